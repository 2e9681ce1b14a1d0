#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dhcp_load.py IFACE FILE [--clients N] [--first N]

Many DHCP clients on one interface, one after another, until N have their lease or somebody ends it. FILE gets a line
"MAC ADDRESS" for each ACK, written out before the next client begins: every line is a lease that the server has
promised, however this ends. Status 1 when a client gets no answer in five seconds.
"""
import argparse
import os
import socket
import struct
import sys
import time

SERVER, CLIENT = 67, 68
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
MAGIC = b"\x63\x82\x53\x63"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(mac, xid, kind, options):
    bootp = struct.pack("!BBBBIHH16s16s192s", 1, 1, 6, 0, xid, 0, 0x8000, bytes(16), mac + bytes(10), bytes(192))
    dhcp = bootp + MAGIC + bytes([53, 1, kind]) + options + b"\xff"
    udp = struct.pack("!HHHH", CLIENT, SERVER, 8 + len(dhcp), 0) + dhcp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + head + udp


def answer(data, xid):
    """(kind, address, server) of a DHCP answer with that transaction id, or None."""
    if len(data) < 42 or data[12:14] != b"\x08\x00" or data[23] != 17:
        return None
    start = 14 + (data[14] & 15) * 4
    if data[start:start + 4] != struct.pack("!HH", SERVER, CLIENT):
        return None
    bootp = data[start + 8:]
    if len(bootp) < 240 or bootp[0] != 2 or struct.unpack("!I", bootp[4:8])[0] != xid:
        return None
    options, at = {}, 240
    while at + 1 < len(bootp) and bootp[at] != 255:
        if bootp[at] == 0:
            at += 1
            continue
        options[bootp[at]] = bootp[at + 2:at + 2 + bootp[at + 1]]
        at += 2 + bootp[at + 1]
    return options.get(53, b"\0")[0], bootp[16:20], options.get(54, b"")


def ask(link, mac, xid, kind, options, wanted):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        link.send(frame(mac, xid, kind, options))
        again = time.monotonic() + 1
        while time.monotonic() < again:
            link.settimeout(max(again - time.monotonic(), 0.001))
            try:
                got = answer(link.recv(2048), xid)
            except TimeoutError:
                break
            if got and got[0] == wanted:
                return got
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface")
    parser.add_argument("file")
    parser.add_argument("--clients", type=int, default=1 << 24)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind((given.interface, 0))
    with open(given.file, "a", encoding="ascii") as out:
        for number in range(given.first, given.first + given.clients):
            mac = b"\x52\x54\x00" + number.to_bytes(3, "big")
            xid = int.from_bytes(os.urandom(4), "big")
            offer = ask(link, mac, xid, DISCOVER, b"", OFFER)
            options = offer and b"\x32\x04" + offer[1] + b"\x36\x04" + offer[2]
            got = offer and ask(link, mac, xid, REQUEST, options, ACK)
            if not got:
                sys.exit(f"no {'ACK' if offer else 'OFFER'} for {mac.hex(':')}")
            out.write(f"{mac.hex(':')} {socket.inet_ntoa(got[1])}\n")
            out.flush()


if __name__ == "__main__":
    main()
