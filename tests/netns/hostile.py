#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile.py SENDER RECEIVER MAC IP SERVER-IP

Sends frames of an intruder and looks whether they arrive. After each one an honest frame follows, which must arrive: so
silence means that the frame was dropped, not that the link was dead. Status 1 when a hostile frame arrived or an honest
one did not.

SENDER     pid:N     eth0 of that process's network namespace       RECEIVER   pid:N      the same
           guest:S   eth0 of the guest whose responder listens on              link:NAME  what goes out of (or comes into)
                     the socket S: its own raw socket sends                               that link of this namespace
"""

import os
import pathlib
import select
import socket
import sys
import time

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from raw import EVERYONE, packet_socket  # noqa: E402
from responder import Responder  # noqa: E402


def link_socket(name):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((name, 0))
    return sock


class Guest:
    """Sends from inside a guest."""

    def __init__(self, path):
        self.responder = Responder(path)

    def send(self, *frames):
        # Shorter than 60 bytes is for the card to pad, as for any sender.
        status, said = self.responder.run(" && ".join(f"frame eth0 hex data={frame.hex()}" for frame in frames))
        if status != 0:
            raise OSError(f"the guest could not send: {said.decode(errors='replace')}")


class Namespace:
    """Sends from a namespace of this machine."""

    def __init__(self, pid):
        self.socket = packet_socket(pid)

    def send(self, *frames):
        for frame in frames:
            self.socket.send(frame)


def hostile_frames(mac, ip, server):
    other_mac, other_ip = "52:54:00:66:66:66", ip.rsplit(".", 1)[0] + ".166"
    honest = Ether(src=mac, dst=EVERYONE)

    def offer(source):
        return (honest / IP(src=source, dst="255.255.255.255") / UDP(sport=67, dport=68)
                / BOOTP(op=2, yiaddr=other_ip, siaddr=source, chaddr=b"\x52\x54\x00\x01\x02\x03")
                / DHCP(options=[("message-type", "offer"), ("server_id", source), ("router", source), "end"]))

    yield "another MAC address", Ether(src=other_mac, dst=EVERYONE) / IP(src=ip, dst=server) / ICMP()
    yield "another IP address", honest / IP(src=other_ip, dst=server) / ICMP()
    yield "the gateway's IP address", honest / IP(src=server, dst=ip) / ICMP()
    yield "ARP with another IP address", honest / ARP(op=1, hwsrc=mac, psrc=other_ip, pdst=server)
    yield "ARP reply as the gateway", honest / ARP(op=2, hwsrc=mac, psrc=server, hwdst=EVERYONE, pdst=ip)
    yield "ARP with another MAC address inside", honest / ARP(op=1, hwsrc=other_mac, psrc=ip, pdst=server)
    yield "gratuitous ARP for the gateway", honest / ARP(op=1, hwsrc=mac, psrc=server, pdst=server)
    yield "a DHCP offer as the gateway", offer(server)
    yield "a DHCP offer as itself", offer(ip)
    yield "another IP address behind a VLAN tag", honest / Dot1Q(vlan=5) / IP(src=other_ip, dst=server) / ICMP()
    yield "another IP address behind two VLAN tags", honest / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(src=other_ip, dst=server) / ICMP()
    yield "an IPv6 router advertisement", honest / IPv6(src="fe80::66", dst="ff02::1", hlim=255) / ICMPv6ND_RA()
    yield "an unknown protocol", Ether(src=mac, dst=EVERYONE, type=0x88B5) / b"hello"
    yield "an ARP frame cut short", Ether(src=mac, dst=EVERYONE, type=0x0806) / b"\x00\x01\x08\x00\x06"
    yield "an IPv4 frame cut short", Ether(src=mac, dst=EVERYONE, type=0x0800) / b"\x45\x00"


def honest_frames(mac, ip, server):
    frame = Ether(src=mac, dst=EVERYONE)
    yield "UDP", frame / IP(src=ip, dst=server) / UDP(sport=4242, dport=4242)
    yield "ARP", frame / ARP(op=1, hwsrc=mac, psrc=ip, pdst=server)


def arrives(receiver, wanted, seconds):
    """Frames up to the one that starts with `wanted`; None when it did not come."""
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([receiver], [], [], max(0, end - time.monotonic()))[0]:
            frame = receiver.recv(4096)
            seen.append(frame)
            if frame.startswith(wanted):
                return seen
    return None


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    kind, where = sys.argv[1].split(":", 1)
    sender = Guest(where) if kind == "guest" else Namespace(where)
    kind, where = sys.argv[2].split(":", 1)
    receiver = link_socket(where) if kind == "link" else packet_socket(where)
    mac, ip, server = sys.argv[3:6]
    failed = 0
    for number, (what, frame) in enumerate(hostile_frames(mac, ip, server)):
        # Pads and nonces make each frame recognisable whatever the last one was.
        hostile = bytes(frame).ljust(60, b"\0")
        kind, polite = list(honest_frames(mac, ip, server))[number % 2]
        honest = bytes(polite / (b"honest-%04d-" % number + os.urandom(4).hex().encode())) if kind == "UDP" else bytes(polite).ljust(60, b"\0")
        while select.select([receiver], [], [], 0)[0]:
            receiver.recv(4096)
        sender.send(hostile, honest)
        seen = arrives(receiver, honest, 2)
        if seen is None:
            failed += 1
            print(f"an honest {kind} frame after '{what}' did not arrive")
        elif any(got.startswith(hostile) for got in seen):
            failed += 1
            print(f"arrived: {what}")
        else:
            print(f"dropped: {what}")
    sys.exit(1 if failed else 0)


main()
