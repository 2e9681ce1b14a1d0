#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""protocol.py SOCKET READ-ONLY-SOCKET        what the daemon answers to packets that no client library sends
protocol.py SOCKET --stuck GUEST PID        stops the guest's QEMU and looks what its client can still do

Status 1 when an answer is not as expected; each is named.
"""

import os
import signal
import sys
import time

import wire
from wire import Client, Closed, maybe, string, u32

AUTH_LIST, OPEN, CLOSE, HOSTNAME, FEATURE = 66, 1, 2, 59, 60
LOOKUP_NETWORK, LIST_DOMAINS, DEFINE_NETWORK = 46, 273, 41
failures = []


def expect(what, got, wanted):
    if got != wanted:
        failures.append(what)
        print(f"{what}:\n  expected {wanted}\n  got      {got}")
    else:
        print(f"as expected: {what}")


def silent(client, what):
    """Nothing comes, and the connection lives."""
    try:
        got = client.receive(0.3)
    except TimeoutError:
        got = None
    except Closed:
        got = "closed"
    client.socket.settimeout(10)
    expect(what, got, None)
    expect(f"{what}; and it lives on", client.call(HOSTNAME).status, wire.OK)


def closed(client, what):
    try:
        client.receive(5)
        got = "answered"
    except Closed:
        got = "closed"
    except TimeoutError:
        got = "open"
    expect(what, got, "closed")


def what_is_off(path):
    client = Client(path).open()

    def off(what, code, text, procedure, payload=b"", **header):
        reply = client.call(procedure, payload, **header)
        expect(what, tuple(wire.error_of(reply)), (code, 7, text, 2))
        echoed = (header.get("program", wire.REMOTE), header.get("version", 1), procedure, wire.REPLY)
        expect(f"{what}: header", (reply.program, reply.version, reply.procedure, reply.type), echoed)

    for number in (9999, 0, -1, 318, 315, 454, 2**31 - 1, -2**31):
        off(f"procedure {number}", 39, f"unknown procedure: {number}", number)
    off("unknown procedure of another program", 39, "unknown procedure: 99", 99, program=wire.QEMU)
    off("unknown program", 39, "Cannot find program 305419896 version 1", 1, program=0x12345678)
    off("unknown version", 39, "Cannot find program 536903814 version 2", HOSTNAME, version=2)
    off("status 1 in a call", 39, "Unexpected message status 1", HOSTNAME, status=1)
    off("status 2 in a call", 39, "Unexpected message status 2", HOSTNAME, status=2)
    undecodable = "Unable to decode message payload"
    off("no arguments", 39, undecodable, LOOKUP_NETWORK)
    off("arguments cut short", 39, undecodable, LOOKUP_NETWORK, u32(100) + b"ab")
    off("a string over its limit", 39, undecodable, LOOKUP_NETWORK, u32(5000000))
    off("an array over its limit", 39, undecodable, 344, u32(0xFFFFFFFF))
    off("a second connect-open", 1, "internal error: connection already open", OPEN, maybe("qemu:///system") + u32(0))
    for kind in (wire.REPLY, wire.EVENT, 7, 9, 0xFFFFFFFF):
        client.send(HOSTNAME, kind=kind)
        silent(client, f"type {kind}")
    for status in (wire.OK, wire.ERROR, wire.CONTINUE):
        client.send(HOSTNAME, b"abc", kind=wire.STREAM, status=status)
        silent(client, f"a stream packet of status {status} for no stream")
    client.send(HOSTNAME, bytes(12), kind=wire.HOLE, status=wire.CONTINUE)
    silent(client, "a hole for no stream")
    error = wire.error_of(client.call(LIST_DOMAINS, u32(1) + u32(0xF0000000)))
    expect("unsupported flags", (error.code, error.message.startswith("unsupported flags (0xf0000000) in function ")
                                 or error.message.startswith("invalid argument: unsupported flags (0xf0000000) in function ")), (8, True))
    expect("trailing bytes", client.call(HOSTNAME, bytes(8)).status, wire.OK)
    expect("padding that is not zero", wire.error_of(client.call(LOOKUP_NETWORK, u32(3) + b"abc\x01")).code, 43)
    expect("a string that is not UTF-8", wire.error_of(client.call(LOOKUP_NETWORK, u32(4) + b"\xff\xfe\xfd\xfc")).code, 43)
    expect("a zero byte ends a string", client.call(LOOKUP_NETWORK, u32(12) + b"default\0rest").status, wire.OK)
    expect("any serial is echoed", client.call(HOSTNAME, serial=0xFFFFFFFF).serial, 0xFFFFFFFF)

    fresh = Client(path)
    error = wire.error_of(fresh.call(HOSTNAME))
    expect("a call before connect-open", tuple(error)[:3], (1, 7, "internal error: hypervisor connection not open"))
    expect("no URI at all is refused", fresh.call(OPEN, maybe(None) + u32(0)).status, wire.ERROR)
    expect("an empty one is ours", fresh.call(OPEN, maybe("") + u32(0)).status, wire.OK)
    expect("which the client asks for", fresh.good(110).string(), "qemu:///system")
    expect("a marker that is not one", Client(path).call(OPEN, u32(2) + string("qemu:///system") + u32(0)).status, wire.OK)
    fresh.good(CLOSE)
    closed(fresh, "after connect-close")


def flags_of_guests(path):
    """Bits that a call does not know are refused, also where there is nothing that they could change."""
    client = Client(path).open()
    reader = client.good(11, string("<domain type='qemu'><name>flags</name><memory>65536</memory><os><type>hvm</type></os></domain>"))
    name, uuid = reader.string(), reader.take(16)
    domain = string(name) + uuid + u32(-1)
    unknown = u32(1 << 30)
    for procedure, arguments in ((245, domain), (183, domain), (187, domain), (188, domain + u32(9)), (189, domain + string("s")),
                                 (190, domain), (191, domain), (186, string("s") + domain), (192, string("s") + domain),
                                 (193, string("s") + domain), (271, string("s") + domain), (274, domain + u32(1)), (396, domain),
                                 (426, domain), (442, domain), (240, domain + string("vda") + wire.u64(0)),
                                 (290, domain + string("vda") + u32(0) + u32(0) + wire.u64(0))):
        error = wire.error_of(client.call(procedure, arguments + unknown))
        expect(f"unknown flags of procedure {procedure}", (error.code, error.message.split(" in function ")[0]),
               (8, "invalid argument: unsupported flags (0x40000000)"))
    client.good(35, domain)


def lengths(path):
    for length in (0, 4, 27):
        client = Client(path).open()
        client.send(HOSTNAME, length=length)
        closed(client, f"a length of {length}")
    for length in (33554437, 0xFFFFFFFF):
        client = Client(path).open()
        client.send(HOSTNAME, length=length)
        closed(client, f"a length of {length}")
    client = Client(path).open()
    client.socket.sendall(wire.packet(HOSTNAME, bytes(33554436 - 28), serial=77))
    expect("a packet of the most bytes", client.reply_to(77).status, wire.OK)


def descriptors(path):
    client = Client(path).open()
    expect("feature 8, descriptors", client.good(FEATURE, u32(8)).i32(), 1)
    null = os.open("/dev/null", os.O_RDONLY)
    for count in (0, 1, 32):
        serial = client.send(HOSTNAME, kind=wire.CALL_FDS, fd_count=count)
        client.send_fds([null] * count)
        expect(f"a call with {count} descriptors", client.reply_to(serial).status, wire.OK)
    client.send(HOSTNAME, kind=wire.CALL_FDS, fd_count=33)
    try:
        client.send_fds([null] * 33)
    except OSError:
        pass
    closed(client, "33 descriptors")
    client = Client(path).open()
    client.send(HOSTNAME, kind=wire.CALL_FDS, fd_count=2)
    client.socket.sendall(bytes(2))
    closed(client, "descriptors that were announced and did not come")


def pipelining(path):
    client = Client(path).open()
    serials = [client.send(HOSTNAME) for _ in range(30)]
    replies = [client.receive() for _ in serials]
    expect("30 calls at once", sorted(r.serial for r in replies if r.status == wire.OK), serials)
    flood = b"".join(wire.packet(HOSTNAME, serial=n) for n in range(5000))
    client.socket.settimeout(30)
    client.socket.sendall(flood[: len(flood) // 2])
    seen = {client.receive().serial for _ in range(2400)}
    client.socket.sendall(flood[len(flood) // 2:])
    while len(seen) < 5000:
        seen.add(client.receive().serial)
    expect("5000 calls, packets cut anywhere", len(seen), 5000)


def read_only(path):
    client = Client(path).open()
    expect("reading on the read-only socket", client.call(LOOKUP_NETWORK, string("default")).status, wire.OK)
    error = wire.error_of(client.call(DEFINE_NETWORK, string("<network/>")))
    expect("defining there", (error.code, error.message),
           (29, "operation forbidden: read only access prevents virNetworkDefineXML"))


def keepalive(path):
    client, quiet = Client(path).open(), Client(path).open()
    client.socket.sendall(wire.packet(1, program=wire.KEEPALIVE, kind=wire.EVENT))
    pong = client.receive()
    expect("a ping is answered", tuple(pong), (wire.KEEPALIVE, 1, 2, wire.EVENT, 0, wire.OK, b"", []))
    client.good(FEATURE, u32(10))
    begin = time.monotonic()
    ping = client.receive()
    expect("who asked for it is pinged", (ping.program, ping.procedure, ping.type, ping.serial), (wire.KEEPALIVE, 1, wire.EVENT, 0))
    expect("after the interval", 0.8 < time.monotonic() - begin < 1.8, True)
    client.socket.sendall(wire.packet(2, program=wire.KEEPALIVE, kind=wire.EVENT))
    pings = 0
    try:
        while True:
            client.receive(5)
            pings += 1
    except Closed:
        pass
    expect("who answers no more pings is dropped", pings, 2)
    silent(quiet, "who never asked is never pinged")


def events(path):
    watcher, actor = Client(path).open(), Client(path).open()
    ids = []
    for procedure, last in ((316, 28), (313, 2), (368, 2), (374, 2), (380, 2)):
        ids += [watcher.good(procedure, u32(event) + u32(0)).i32() for event in range(last)]
    ids.append(watcher.good(4, u32(0) + u32(0) + u32(0), program=wire.QEMU).i32())
    expect("ids are unique over all classes", len(set(ids)), len(ids))
    expect("an unknown event is refused", watcher.call(316, u32(99) + u32(0)).status, wire.ERROR)
    expect("the same twice is refused", wire.error_of(watcher.call(313, u32(0) + u32(0))).code, 8)
    xml = "<network><name>ev</name><bridge name='evbr'/><ip address='10.99.0.1' netmask='255.255.255.0'/></network>"
    reader = actor.good(40, string(xml))
    name, uuid = reader.string(), reader.take(16)
    got = watcher.receive()
    expect("an event of the network class", (got.procedure, got.type, wire.Reader(got.payload).i32()), (315, wire.EVENT, ids[28]))
    watcher.good(314, u32(ids[28]))
    actor.good(42, string(name) + uuid)
    silent(watcher, "after deregistering")


def stuck(path, guest, pid):
    client = Client(path).open()
    reader = client.good(23, string(guest))
    domain = string(reader.string()) + reader.take(16) + u32(reader.u32())
    console = client.send(201, domain + u32(0) + u32(0))
    expect("the console opens", client.reply_to(console).status, wire.OK)
    os.kill(pid, signal.SIGSTOP)
    try:
        waiting = {client.send(34, domain) for _ in range(5)}
        client.send(34, domain)
        typed = wire.packet(201, bytes(65536), kind=wire.STREAM, serial=console, status=wire.CONTINUE)
        client.socket.sendall(typed * 5)
        begin = time.monotonic()
        expect("a lookup beside calls that are stuck", client.call(23, string(guest)).status, wire.OK)
        expect("at once", time.monotonic() - begin < 3, True)
        client.socket.sendall(wire.packet(1, program=wire.KEEPALIVE, kind=wire.EVENT))
        while (got := client.receive()).program != wire.KEEPALIVE:
            expect("none of them is answered", got.serial in waiting, False)
        client.socket.settimeout(30)  # QEMU is asked first, and has some seconds before it is made to
        expect("destroying the guest", client.call(12, domain).status, wire.OK)
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def main():
    if sys.argv[2] == "--stuck":
        stuck(sys.argv[1], sys.argv[3], int(sys.argv[4]))
    else:
        for test in (what_is_off, flags_of_guests, lengths, descriptors, pipelining, keepalive, events):
            test(sys.argv[1])
        read_only(sys.argv[2])
    print(f"{len(failures)} of the answers are wrong" if failures else "all as expected")
    sys.exit(1 if failures else 0)


main()
