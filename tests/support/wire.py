# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of the remote protocol, by hand: for tests that say what no client library would."""

import array
import collections
import socket
import struct

REMOTE, QEMU, KEEPALIVE = 0x20008086, 0x20008087, 0x6B656570
CALL, REPLY, EVENT, STREAM, CALL_FDS, REPLY_FDS, HOLE = range(7)
OK, ERROR, CONTINUE = range(3)

Packet = collections.namedtuple("Packet", "program version procedure type serial status payload fds")
Error = collections.namedtuple("Error", "code domain message level")


class Closed(Exception):
    """The daemon has closed the connection."""


def u32(number):
    return struct.pack(">I", number & 0xFFFFFFFF)


def u64(number):
    return struct.pack(">Q", number)


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return u32(len(raw)) + raw + bytes(-len(raw) % 4)


def maybe(text):
    return u32(0) if text is None else u32(1) + string(text)


class Reader:
    def __init__(self, payload):
        self.payload, self.at = payload, 0

    def take(self, count):
        out = self.payload[self.at:self.at + count]
        assert len(out) == count, "the payload ends too early"
        self.at += count
        return out

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def string(self):
        size = self.u32()
        out = self.take(size)
        self.take(-size % 4)
        return out.decode(errors="replace")

    def maybe(self):
        return self.string() if self.u32() else None


def error_of(packet):
    assert packet.status == ERROR, f"no error: {packet}"
    reader = Reader(packet.payload)
    code, domain = reader.i32(), reader.i32()
    message = reader.maybe()
    return Error(code, domain, message, reader.i32())


def packet(procedure, payload=b"", program=REMOTE, version=1, kind=CALL, serial=0, status=OK, length=None, fd_count=None):
    body = struct.pack(">IIiIII", program, version, procedure, kind, serial, status)
    body += (b"" if fd_count is None else u32(fd_count)) + payload
    return u32(len(body) + 4 if length is None else length) + body


class Client:
    """One connection. Serials count from 0, as the C library's do."""

    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        # Not yet with the time limit: with one, a full backlog is an error at once and not something to wait for.
        self.socket.connect(path)
        self.socket.settimeout(timeout)
        self.next_serial, self.buffer, self.fds = 0, b"", []

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def send(self, procedure, payload=b"", **header):
        if "serial" not in header:
            header["serial"] = self.next_serial
            self.next_serial += 1
        self.socket.sendall(packet(procedure, payload, **header))
        return header["serial"]

    def send_fds(self, fds):
        for fd in fds:
            self.socket.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])

    def _fill(self, size):
        while len(self.buffer) < size:
            try:
                data, control, _, _ = self.socket.recvmsg(1 << 20, 4096)
            except ConnectionError as error:
                raise Closed from error
            for level, kind, content in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self.fds += list(array.array("i", content))
            if not data:
                raise Closed
            self.buffer += data

    def receive(self, timeout=None):
        """The next packet; TimeoutError when none comes."""
        if timeout is not None:
            self.socket.settimeout(timeout)
        self._fill(4)
        size = struct.unpack(">I", self.buffer[:4])[0]
        self._fill(size)
        head, self.buffer = self.buffer[4:size], self.buffer[size:]
        fields = struct.unpack(">IIiIII", head[:24])
        payload, fds = head[24:], []
        if fields[3] in (CALL_FDS, REPLY_FDS):
            count, payload = struct.unpack(">I", payload[:4])[0], payload[4:]
            self._fill(count)
            self.buffer = self.buffer[count:]
            fds, self.fds = self.fds[:count], self.fds[count:]
        return Packet(*fields, payload, fds)

    def reply_to(self, serial):
        """The reply with this serial; what comes in between is dropped."""
        while True:
            got = self.receive()
            if got.type in (REPLY, REPLY_FDS) and got.serial == serial:
                return got

    def call(self, procedure, payload=b"", **header):
        return self.reply_to(self.send(procedure, payload, **header))

    def good(self, procedure, payload=b"", **header):
        got = self.call(procedure, payload, **header)
        if got.status != OK:
            raise RuntimeError(f"procedure {procedure}: {error_of(got).message}")
        return Reader(got.payload)

    def open(self, flags=0, uri="qemu:///system"):
        self.good(66)
        self.good(1, maybe(uri) + u32(flags))
        return self
