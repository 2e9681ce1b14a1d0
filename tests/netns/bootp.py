#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bootp.py MAC FLAGS COOKIE     asks by BOOTP (RFC 951) with a frame of its own until it is answered, at most 20 times

FLAGS is 0, or 32768: answer by broadcast. COOKIE is yes, or no: an empty field for vendors. Prints what the answer says
and how it came, a fact a line.
"""
import os
import socket
import struct
import sys
import time


def main():
    mac = bytes.fromhex(sys.argv[1].replace(":", ""))
    flags, cookie = int(sys.argv[2]), sys.argv[3] == "yes"
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind(("eth0", 0))
    link.settimeout(0.2)
    xid = os.urandom(4)
    message = struct.pack("!BBBB", 1, 1, 6, 0) + xid + struct.pack("!HH", 0, flags) + bytes(16) + mac + bytes(10 + 192)
    message += (bytes.fromhex("63825363ff") if cookie else b"").ljust(64, b"\0")
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + bytes(4) + b"\xff" * 4
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    for _ in range(20):
        link.send(b"\xff" * 6 + mac + b"\x08\0" + head + udp)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                frame = link.recv(2048)
            except TimeoutError:
                continue
            reply = frame[42:]
            if frame[23] != 17 or frame[34:38] != struct.pack("!HH", 67, 68) or reply[0] != 2 or reply[4:8] != xid:
                continue
            print("to", "everybody" if frame[:6] == b"\xff" * 6 else "me" if frame[:6] == mac else "another")
            print("size", struct.unpack("!H", frame[38:40])[0] - 8)
            print("ip", socket.inet_ntoa(reply[16:20]))
            print("server", socket.inet_ntoa(reply[20:24]))
            print("file", reply[108:236].split(b"\0")[0].decode())
            options, codes = reply[240:], []
            while options and options[0] != 255:
                if options[0]:
                    codes.append(options[0])
                options = options[2 + options[1]:] if options[0] else options[1:]
            print("dhcp", "yes" if {51, 53, 54} & set(codes) else "no")
            print("mask", "yes" if 1 in codes else "no")
            return
    sys.exit("no answer")


main()
