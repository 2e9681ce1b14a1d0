#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""learning.py: reads steps, a line each, and answers each with a line: "ok", or what went wrong.

    STEP GUEST-PID OBSERVER-PID MAC [NAME=VALUE…]

Of what ports learn: frames of a guest, and of a DHCP server or router at the observer's place, by raw sockets.

passes, blocked   whether IPv4 (or IPv6) frames from that source address get to the observer; waits until it is so
ack NAME=VALUE…   a server's words: ip= lease= server= xid= chaddr= kind=ack|nak
request, release, decline     the guest's: ip= xid=
arp ip=           the guest asks for the gateway from that address
flood count=      DISCOVERs, as fast as they leave
advertise prefix= valid=      a router advertises
dad ip=           the guest asks whether somebody has that address
reply6 ip= valid=             a DHCPv6 server gives
release6 ip=                  the guest gives back
"""

import os
import pathlib
import select
import sys
import time

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Release, DHCP6_Reply, DHCP6OptClientId, DHCP6OptIA_NA, DHCP6OptIAAddress, DHCP6OptServerId, DUID_LL
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6
from scapy.layers.l2 import ARP, Ether

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from raw import EVERYONE, packet_socket  # noqa: E402

LIMIT = 30
SERVER_MAC = "52:54:00:70:00:fe"


class Step:
    def __init__(self, guest, observer, mac):
        self.mac, self.octets = mac, bytes.fromhex(mac.replace(":", ""))
        self.guest, self.observer = packet_socket(guest), packet_socket(observer)
        tail = bytearray(self.octets)
        tail[0] ^= 2
        self.link_local = "fe80::" + ":".join(part.hex() for part in (tail[0:2], tail[2:3] + b"\xff", b"\xfe" + tail[3:4], tail[4:6]))

    def dhcp(self, kind, xid, options, **fields):
        """From the guest."""
        source = fields.get("ciaddr", "0.0.0.0")
        return (Ether(src=self.mac, dst=EVERYONE) / IP(src=source, dst="255.255.255.255") / UDP(sport=68, dport=67)
                / BOOTP(op=1, chaddr=self.octets, xid=xid, **fields) / DHCP(options=[("message-type", kind), *options, "end"]))

    def arrives(self, source):
        """Sends a frame from there, and one that every filter lets through; tells whether the first came."""
        nonce = os.urandom(8)
        if ":" in source:
            probe = Ether(src=self.mac, dst=EVERYONE) / IPv6(src=source, dst="2001:db8:ffff::1") / UDP(sport=9, dport=9) / nonce
        else:
            probe = Ether(src=self.mac, dst=EVERYONE) / IP(src=source, dst="10.70.0.1") / UDP(sport=9, dport=9) / nonce
        marker = bytes(self.dhcp("discover", int.from_bytes(nonce[:4], "big"), []))
        while select.select([self.observer], [], [], 0)[0]:
            self.observer.recv(4096)
        self.guest.send(bytes(probe))
        self.guest.send(marker)
        seen, end = False, time.monotonic() + LIMIT
        while time.monotonic() < end:
            if select.select([self.observer], [], [], 1)[0]:
                frame = self.observer.recv(4096)
                seen = seen or nonce in frame
                if frame.startswith(marker):
                    return seen
        raise RuntimeError("the guest's DISCOVER did not get through")

    def wait(self, source, wanted):
        end = time.monotonic() + LIMIT
        while self.arrives(source) != wanted:
            if time.monotonic() > end:
                raise RuntimeError(f"{source} {'is cut off' if wanted else 'still passes'}")
            time.sleep(0.05)

    def passes(self, ip):
        self.wait(ip, True)

    def blocked(self, ip):
        self.wait(ip, False)

    def ack(self, ip="0.0.0.0", lease=None, server="10.70.0.254", xid=1, chaddr=None, kind="ack"):
        octets = bytes.fromhex((chaddr or self.mac).replace(":", ""))
        options = [("message-type", kind), ("server_id", server)]
        options += [("lease_time", int(lease, 0))] if lease else []
        self.observer.send(bytes(
            Ether(src=SERVER_MAC, dst=EVERYONE) / IP(src=server, dst="255.255.255.255") / UDP(sport=67, dport=68)
            / BOOTP(op=2, chaddr=octets, xid=int(xid), yiaddr=ip, siaddr=server) / DHCP(options=[*options, "end"])))

    def request(self, ip, xid):
        self.guest.send(bytes(self.dhcp("request", int(xid), [("requested_addr", ip)])))

    def release(self, ip, xid=7):
        self.guest.send(bytes(self.dhcp("release", int(xid), [], ciaddr=ip)))

    def decline(self, ip, xid=8):
        self.guest.send(bytes(self.dhcp("decline", int(xid), [("requested_addr", ip)])))

    def arp(self, ip):
        self.guest.send(bytes(Ether(src=self.mac, dst=EVERYONE) / ARP(op=1, hwsrc=self.mac, psrc=ip, pdst="10.70.0.1")))

    def flood(self, count):
        frame = bytes(self.dhcp("discover", 99, []))
        for _ in range(int(count)):
            self.guest.send(frame)

    def advertise(self, prefix, valid):
        self.observer.send(bytes(
            Ether(src=SERVER_MAC, dst="33:33:00:00:00:01") / IPv6(src="fe80::fe", dst="ff02::1", hlim=255) / ICMPv6ND_RA()
            / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, L=1, A=1, validlifetime=int(valid), preferredlifetime=int(valid))))

    def dad(self, ip):
        self.guest.send(bytes(Ether(src=self.mac, dst="33:33:ff:00:00:01")
                              / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=ip)))

    def _association(self, ip, valid):
        return (DHCP6OptClientId(duid=DUID_LL(lladdr=self.mac)) / DHCP6OptServerId(duid=DUID_LL(lladdr=SERVER_MAC))
                / DHCP6OptIA_NA(iaid=1, ianaopts=[DHCP6OptIAAddress(addr=ip, preflft=int(valid), validlft=int(valid))]))

    def reply6(self, ip, valid, server="fe80::fe"):
        self.observer.send(bytes(Ether(src=SERVER_MAC, dst=self.mac) / IPv6(src=server, dst=self.link_local)
                                 / UDP(sport=547, dport=546) / DHCP6_Reply(trid=1) / self._association(ip, valid)))

    def release6(self, ip):
        self.guest.send(bytes(Ether(src=self.mac, dst="33:33:00:01:00:02") / IPv6(src=self.link_local, dst="ff02::1:2")
                              / UDP(sport=546, dport=547) / DHCP6_Release(trid=2) / self._association(ip, 0)))


def main():
    guests = {}
    for line in sys.stdin:
        name, guest, observer, mac, *words = line.split()
        try:
            step = guests.setdefault(mac, None) or Step(int(guest), int(observer), mac)
            guests[mac] = step
            getattr(step, name)(**dict(word.split("=", 1) for word in words))
            print("ok", flush=True)
        except Exception as error:  # whatever it was, the test says it
            print(f"{type(error).__name__}: {error}", flush=True)


main()
