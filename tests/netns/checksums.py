# SPDX-License-Identifier: GPL-2.0-or-later
"""checksums.py IFACE MAC SERVER4 SERVER6

Asks for a name over IPv4 and IPv6, and for settings by DHCPv6, and looks at the frames that come back as a program does
that reads them by itself: the UDP checksum of each is right, or (IPv4 only) left out. Prints "FAMILY PORT ok|none|bad"."""
import os
import random
import socket
import struct
import sys
import time

iface, mac, server4, server6 = sys.argv[1:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind((iface, 0))
raw.settimeout(0.2)
own = bytes.fromhex(mac.replace(":", ""))


def folded(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def judged(addresses, udp):
    length, check = struct.unpack("!HH", udp[4:8])
    if check == 0:
        return "none"
    return "ok" if folded(addresses + struct.pack("!BBH", 0, 17, length) + udp[:length]) == 0xFFFF else "bad"


def seen(frame):
    """("ipv4" or "ipv6", source port, what its checksum is) of a UDP frame to us, or None."""
    kind = frame[12:14]
    if frame[6:12] == own:
        return None
    if kind == b"\x08\x00" and frame[23] == 17:
        udp = frame[14 + (frame[14] & 15) * 4 :]
        return "ipv4", struct.unpack("!H", udp[:2])[0], judged(frame[26:34], udp)
    if kind == b"\x86\xdd" and frame[20] == 17:
        udp = frame[54:]
        return "ipv6", struct.unpack("!H", udp[:2])[0], judged(frame[22:54], udp)
    return None


query = struct.pack("!HHHHHH", random.randrange(65536), 0x0100, 1, 0, 0, 0) + b"\x05sums0\0" + struct.pack("!HH", 1, 1)
# INFORMATION-REQUEST with a client identifier and an option request for name servers (RFC 8415, 8).
request = b"\x0b" + os.urandom(3) + struct.pack("!HH", 1, 10) + b"\0\x03\0\x01" + own + struct.pack("!HHH", 6, 2, 23)
v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client6.bind(("::", 546, 0, socket.if_nametoindex(iface)))
wanted = {("ipv4", 53), ("ipv6", 53), ("ipv6", 547)}
end, next_try = time.monotonic() + 30, 0.0
while wanted and time.monotonic() < end:
    if time.monotonic() >= next_try:
        next_try = time.monotonic() + 1
        for send, data, to in (
            (v4, query, (server4, 53)),
            (v6, query, (server6, 53)),
            (client6, request, ("ff02::1:2", 547, 0, socket.if_nametoindex(iface))),
        ):
            try:
                send.sendto(data, to)
            except OSError:
                pass  # no address yet
    try:
        found = seen(raw.recv(65536))
    except TimeoutError:
        continue
    if found:
        wanted.discard(found[:2])
        print(*found, flush=True)
sys.exit(1 if wanted else 0)
