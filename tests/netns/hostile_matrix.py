#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile_matrix.py FILTER|verdicts SENDER-PID RECEIVER-PID

Every kind of frame that a guest can send, what becomes of it under FILTER (clean-traffic, clean-traffic-dual or
web-server, of hostile_matrix.sh), and why. All are sent, then one that must arrive; what came before it is compared
with the table. Status 1, and the frames with another verdict than the written one, when there are any. `verdicts`
only says what became of each, "pass" or "drop" and the frame's name a line.
"""

import itertools
import os
import pathlib
import select
import socket
import sys
import time

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Advertise, DHCP6_Solicit
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR, IPOption_SSRR
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                                ICMPv6ND_Redirect, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from raw import EVERYONE, packet_socket  # noqa: E402

MAC, OTHER_MAC, GATEWAY_MAC = "52:54:00:61:00:02", "52:54:00:66:66:66", "52:54:00:61:00:01"
IP4, OTHER4, GATEWAY4 = "10.61.0.2", "10.61.0.66", "10.61.0.1"
IP6, OTHER6, GATEWAY6 = "2001:db8:61::2", "2001:db8:61::66", "2001:db8:61::1"
LINK, OTHER_LINK, GATEWAY_LINK = "fe80::5054:ff:fe61:2", "fe80::66", "fe80::1"
LIMIT = 30
MOST = 1 << 14
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
PASS, DROP = True, False

# Why a frame fares as it does. SAME: in all three filters.
OWN = "the port's own address"
NOT_OWN_MAC = "no-mac-spoofing: not the port's MAC address"
NOT_OWN_IP = "no-ip-spoofing: not the port's address"
NOT_OWN_ARP = "no-arp-spoofing: not the port's MAC or address in ARP"
OTHER_TYPE = "no-other-l2-traffic: no frame of that type is let out"
TAGGED = "accepts are for frames without a tag; what is dropped is dropped behind a tag, too"
TWO_TAGS = "behind a second tag nothing is checked, so it does not pass where anything is"
NO_V6 = "only the dual filter lets IPv6 out"
LAYERS = "the address is looked at in each fragment; what is inside is the receiver's to put together"
WEB = "the IP layer of web-server lets out TCP from port 80 and ICMP errors only"
SHORT = "too short for the header that would have to be checked"


def rows():
    """What, frame, verdict under clean-traffic, under clean-traffic-dual, under web-server, and why."""
    own = Ether(src=MAC, dst=EVERYONE)
    ip = own / IP(src=IP4, dst=GATEWAY4)
    six = own / IPv6(src=IP6, dst=GATEWAY6)
    nd = own / IPv6(src=LINK, dst="ff02::1", hlim=255)

    def same(what, frame, verdict, why):
        return what, frame, verdict, verdict, verdict, why

    # Ethernet
    yield same("another source MAC", Ether(src=OTHER_MAC, dst=EVERYONE) / IP(src=IP4, dst=GATEWAY4) / ICMP(), DROP, NOT_OWN_MAC)
    yield same("a multicast source MAC", Ether(src="01:00:5e:00:00:01", dst=EVERYONE) / IP(src=IP4, dst=GATEWAY4) / ICMP(), DROP, NOT_OWN_MAC)
    yield same("the gateway's MAC", Ether(src=GATEWAY_MAC, dst=EVERYONE) / IP(src=IP4, dst=GATEWAY4) / ICMP(), DROP, NOT_OWN_MAC)
    yield same("an unknown type", Ether(src=MAC, dst=EVERYONE, type=0x88B5) / b"hello", DROP, OTHER_TYPE)
    yield same("LLDP to all", Ether(src=MAC, dst=EVERYONE, type=0x88CC) / (b"\x02\x07\x04" + bytes(6)), DROP, OTHER_TYPE)
    yield same("a BPDU", Dot3(src=MAC, dst="01:80:c2:00:00:00") / LLC() / STP(), DROP, OTHER_TYPE)
    yield same("a BPDU to everyone", Dot3(src=MAC, dst=EVERYONE) / LLC() / STP(), DROP, OTHER_TYPE)
    yield same("EAPOL", Ether(src=MAC, dst=EVERYONE, type=0x888E) / b"\x01\x01\x00\x00", DROP, OTHER_TYPE)
    yield same("PPPoE discovery", Ether(src=MAC, dst=EVERYONE, type=0x8863) / b"\x11\x09\x00\x00\x00\x00", DROP, OTHER_TYPE)
    yield same("MPLS around another's IPv4", Ether(src=MAC, dst=EVERYONE, type=0x8847) / b"\x00\x01\x01\xff" / IP(src=OTHER4, dst=GATEWAY4), DROP, OTHER_TYPE)
    yield same("a runt", Ether(src=MAC, dst=EVERYONE, type=0x0800), DROP, SHORT)
    # IPv4
    yield "own IPv4", ip / UDP(sport=9, dport=9), PASS, PASS, DROP, OWN + "; " + WEB
    yield "own IPv4, TCP from port 80", ip / TCP(sport=80, dport=9, flags="SA"), PASS, PASS, PASS, OWN
    yield same("another IPv4 address", own / IP(src=OTHER4, dst=GATEWAY4) / UDP(sport=9, dport=9), DROP, NOT_OWN_IP)
    yield same("the gateway's IPv4 address", own / IP(src=GATEWAY4, dst=IP4) / TCP(sport=80, dport=9, flags="SA"), DROP, NOT_OWN_IP)
    yield same("a loopback address", own / IP(src="127.0.0.1", dst=GATEWAY4) / TCP(sport=80, dport=9), DROP, NOT_OWN_IP)
    yield same("no address, TCP", own / IP(src="0.0.0.0", dst=GATEWAY4) / TCP(sport=80, dport=9), DROP, NOT_OWN_IP)
    yield "own IPv4 to a group", own / IP(src=IP4, dst="224.0.0.251") / UDP(sport=5353, dport=5353), PASS, PASS, DROP, OWN + "; " + WEB
    yield "a first fragment", own / IP(src=IP4, dst=GATEWAY4, flags="MF", id=1) / TCP(sport=80, dport=9), PASS, PASS, PASS, LAYERS
    yield "a later fragment", own / IP(src=IP4, dst=GATEWAY4, frag=5, id=1, proto=17) / (b"x" * 24), PASS, PASS, DROP, LAYERS + "; " + WEB
    yield same("a later fragment of another", own / IP(src=OTHER4, dst=GATEWAY4, frag=5, id=1, proto=17) / (b"x" * 24), DROP, NOT_OWN_IP)
    yield "a tiny fragment", own / IP(src=IP4, dst=GATEWAY4, flags="MF", id=2, proto=6) / b"\x00\x50\x00\x09", PASS, PASS, PASS, LAYERS + "; its source port is in it, and is 80"
    yield same("an overlapping fragment of another", own / IP(src=OTHER4, dst=GATEWAY4, frag=1, id=2, proto=6) / (b"x" * 16), DROP, NOT_OWN_IP)
    yield same("loose source routing by another", own / IP(src=OTHER4, dst=GATEWAY4, options=IPOption_LSRR(routers=[IP4])) / TCP(sport=80), DROP, NOT_OWN_IP)
    yield "own, strict source routing", own / IP(src=IP4, dst=GATEWAY4, options=IPOption_SSRR(routers=[GATEWAY4])) / UDP(sport=9), PASS, PASS, DROP, OWN + "; hosts ignore the option"
    yield same("options in front of another's port", own / IP(src=OTHER4, dst=GATEWAY4, options=IPOption_RR(routers=["0.0.0.0"])) / TCP(sport=80), DROP, NOT_OWN_IP)
    yield "a jumbo frame", ip / UDP(sport=9, dport=9) / bytes(8000), PASS, PASS, DROP, OWN + "; " + WEB
    yield same("a jumbo frame of another", own / IP(src=OTHER4, dst=GATEWAY4) / UDP(sport=9, dport=9) / bytes(8000), DROP, NOT_OWN_IP)
    yield same("a jumbo ARP as the gateway", own / ARP(op=2, hwsrc=MAC, psrc=GATEWAY4, pdst=OTHER4) / bytes(8000), DROP, NOT_OWN_ARP)
    yield same("another's IPv4 to a group", own / IP(src=OTHER4, dst="224.0.0.251") / UDP(sport=5353, dport=5353), DROP, NOT_OWN_IP)
    yield same("another's IPv4 to all", own / IP(src=OTHER4, dst="255.255.255.255") / UDP(sport=9, dport=9), DROP, NOT_OWN_IP)
    yield same("IPv4 cut short", Ether(src=MAC, dst=EVERYONE, type=0x0800) / b"\x45\x00", DROP, SHORT)
    yield same("ICMP redirect as the gateway", own / IP(src=GATEWAY4, dst=IP4) / ICMP(type=5, code=1), DROP, NOT_OWN_IP)
    # ARP and RARP
    yield same("own ARP request", own / ARP(op=1, hwsrc=MAC, psrc=IP4, pdst=GATEWAY4), PASS, OWN)
    yield same("own gratuitous ARP", own / ARP(op=1, hwsrc=MAC, psrc=IP4, pdst=IP4), PASS, OWN)
    yield same("own ARP reply", own / ARP(op=2, hwsrc=MAC, psrc=IP4, hwdst=EVERYONE, pdst=IP4), PASS, OWN)
    yield same("gratuitous ARP for the gateway", own / ARP(op=1, hwsrc=MAC, psrc=GATEWAY4, pdst=GATEWAY4), DROP, NOT_OWN_ARP)
    yield same("ARP reply as the gateway", own / ARP(op=2, hwsrc=MAC, psrc=GATEWAY4, pdst=OTHER4), DROP, NOT_OWN_ARP)
    yield same("ARP with another's MAC inside", own / ARP(op=1, hwsrc=OTHER_MAC, psrc=IP4, pdst=GATEWAY4), DROP, NOT_OWN_ARP)
    yield same("ARP with both of another", own / ARP(op=2, hwsrc=OTHER_MAC, psrc=OTHER4, pdst=GATEWAY4), DROP, NOT_OWN_ARP)
    whose = {MAC: "its own", OTHER_MAC: "another's", "00:00:00:00:00:00": "no", IP4: "its own", OTHER4: "another's",
             GATEWAY4: "the gateway's", "0.0.0.0": "no"}
    for op, hwsrc, psrc, hwdst, pdst in itertools.product(
            (1, 2), (MAC, OTHER_MAC), (IP4, OTHER4, "0.0.0.0"), ("00:00:00:00:00:00", MAC, OTHER_MAC), (IP4, OTHER4, GATEWAY4)):
        yield same(f"ARP {'request' if op == 1 else 'reply'} from {whose[hwsrc]} MAC and {whose[psrc]} address to {whose[hwdst]} MAC and {whose[pdst]} address",
                   own / ARP(op=op, hwsrc=hwsrc, psrc=psrc, hwdst=hwdst, pdst=pdst),
                   PASS if (hwsrc, psrc) == (MAC, IP4) else DROP, OWN if (hwsrc, psrc) == (MAC, IP4) else NOT_OWN_ARP)
    yield same("ARP of another hardware", own / ARP(hwtype=6, hwsrc=MAC, psrc=GATEWAY4, pdst=OTHER4), DROP, NOT_OWN_ARP)
    yield same("ARP with long addresses", Ether(src=MAC, dst=EVERYONE, type=0x0806) / (b"\x00\x01\x08\x00\x08\x04\x00\x01" + bytes(24)), DROP, NOT_OWN_ARP)
    yield same("ARP cut short", Ether(src=MAC, dst=EVERYONE, type=0x0806) / b"\x00\x01\x08\x00\x06", DROP, SHORT)
    yield same("RARP as QEMU announces", Ether(src=MAC, dst=EVERYONE, type=0x8035) / ARP(op=3, hwsrc=MAC, hwdst=MAC, psrc="0.0.0.0", pdst="0.0.0.0"), PASS, "qemu-announce-self")
    yield same("RARP for another", Ether(src=MAC, dst=EVERYONE, type=0x8035) / ARP(op=3, hwsrc=OTHER_MAC, hwdst=OTHER_MAC, psrc="0.0.0.0", pdst="0.0.0.0"), DROP, "qemu-announce-self: for the port's MAC only")
    yield same("a RARP reply", Ether(src=MAC, dst=EVERYONE, type=0x8035) / ARP(op=4, hwsrc=MAC, hwdst=OTHER_MAC, psrc=IP4, pdst=OTHER4), DROP, "qemu-announce-self: only QEMU's form")
    # Tags
    for what, tag in (("a VLAN tag", Dot1Q(vlan=5)), ("a priority tag", Dot1Q(vlan=0, prio=3)), ("a service tag", Dot1AD(vlan=5))):
        yield same(f"own IPv4 behind {what}", own / tag / IP(src=IP4, dst=GATEWAY4) / UDP(sport=9), DROP, TAGGED)
        yield same(f"another's IPv4 behind {what}", own / tag / IP(src=OTHER4, dst=GATEWAY4) / UDP(sport=9), DROP, TAGGED)
        yield same(f"the gateway's ARP behind {what}", own / tag / ARP(op=2, hwsrc=MAC, psrc=GATEWAY4), DROP, TAGGED)
        yield same(f"a router advertisement behind {what}", own / tag / IPv6(src=LINK, dst="ff02::1", hlim=255) / ICMPv6ND_RA(), DROP, TAGGED)
    yield same("IPv4 behind two tags", own / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(src=OTHER4, dst=GATEWAY4), DROP, TWO_TAGS)
    yield same("ARP behind QinQ", own / Dot1AD(vlan=5) / Dot1Q(vlan=6) / ARP(op=2, hwsrc=MAC, psrc=GATEWAY4), DROP, TWO_TAGS)
    # DHCP
    yield "a DISCOVER", own / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(chaddr=MAC) / DHCP(options=[("message-type", "discover"), "end"]), PASS, PASS, DROP, "UDP from no address is how a lease is asked for; " + WEB
    yield same("an OFFER as the gateway", own / IP(src=GATEWAY4, dst="255.255.255.255") / UDP(sport=67, dport=68) / BOOTP(op=2), DROP, NOT_OWN_IP)
    # IPv6
    yield "own IPv6", six / UDP(sport=9, dport=9), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield "own link-local", own / IPv6(src=LINK, dst=GATEWAY_LINK) / ICMPv6EchoRequest(), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield same("another's IPv6", own / IPv6(src=OTHER6, dst=GATEWAY6) / UDP(sport=9), DROP, "no-nd-spoofing: not the port's address")
    yield same("another's link-local", own / IPv6(src=OTHER_LINK, dst=GATEWAY_LINK) / ICMPv6EchoRequest(), DROP, "no-nd-spoofing: not the port's address")
    yield same("another's IPv6 behind hop-by-hop options", own / IPv6(src=OTHER6, dst=GATEWAY6) / IPv6ExtHdrHopByHop() / UDP(sport=9), DROP, "no-nd-spoofing: not the port's address")
    yield same("another's IPv6 with a routing header", own / IPv6(src=OTHER6, dst=GATEWAY6) / IPv6ExtHdrRouting(addresses=[IP6]) / UDP(sport=9), DROP, "no-nd-spoofing: not the port's address")
    yield same("another's IPv6 fragment", own / IPv6(src=OTHER6, dst=GATEWAY6) / IPv6ExtHdrFragment(offset=5, id=3, nh=17) / (b"x" * 16), DROP, "no-nd-spoofing: not the port's address")
    yield "own IPv6 fragment", six / IPv6ExtHdrFragment(offset=5, id=3, nh=17) / (b"x" * 16), DROP, PASS, DROP, LAYERS
    yield "a router solicitation", nd / ICMPv6ND_RS(), DROP, PASS, DROP, "a guest may ask for routers"
    yield same("a router advertisement", nd / ICMPv6ND_RA(), DROP, "no-nd-spoofing: the guest is no router")
    yield same("a router advertisement behind destination options", nd / IPv6ExtHdrDestOpt() / ICMPv6ND_RA(), DROP, "the type counts behind extension headers, too")
    yield same("a redirect", nd / ICMPv6ND_Redirect(tgt=LINK, dst=GATEWAY6), DROP, "no-nd-spoofing: the guest is no router")
    yield "own neighbour advertisement", nd / ICMPv6ND_NA(tgt=IP6) / ICMPv6NDOptDstLLAddr(lladdr=MAC), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield same("a neighbour advertisement for the gateway", nd / ICMPv6ND_NA(tgt=GATEWAY6, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC), DROP, "no-nd-spoofing: not the port's address")
    yield same("the same behind hop-by-hop options", nd / IPv6ExtHdrHopByHop() / ICMPv6ND_NA(tgt=GATEWAY6, O=1), DROP, "no-nd-spoofing: the target is looked at where it is, and only there")
    yield "asking whether its own address is free", own / IPv6(src="::", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=IP6), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield same("asking whether another's address is free", own / IPv6(src="::", dst="ff02::1:ff00:66", hlim=255) / ICMPv6ND_NS(tgt=OTHER6), DROP, "no-nd-spoofing: it would keep the other from having it")
    yield "asking for a neighbour", nd / ICMPv6ND_NS(tgt=GATEWAY6), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield "joining a group before it has an address", own / IPv6(src="::", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop() / ICMPv6MLReport2(), DROP, PASS, DROP, "RFC 3590; " + NO_V6
    yield "a DHCPv6 SOLICIT", own / IPv6(src=LINK, dst="ff02::1:2") / UDP(sport=546, dport=547) / DHCP6_Solicit(), DROP, PASS, DROP, OWN + "; " + NO_V6
    yield same("a DHCPv6 ADVERTISE", own / IPv6(src=LINK, dst=OTHER_LINK) / UDP(sport=547, dport=546) / DHCP6_Advertise(), DROP, "no-nd-spoofing: the guest is no DHCPv6 server")
    yield same("an ICMPv6 error as another", own / IPv6(src=OTHER6, dst=GATEWAY6) / ICMPv6DestUnreach() / (b"x" * 40), DROP, "no-nd-spoofing: not the port's address")
    yield same("IPv6 cut short", Ether(src=MAC, dst=EVERYONE, type=0x86DD) / b"\x60\x00\x00", DROP, SHORT)
    yield same("IPv4 in IPv6's type", Ether(src=MAC, dst=EVERYONE, type=0x86DD) / IP(src=OTHER4, dst=GATEWAY4) / UDP(sport=9), DROP, "no-nd-spoofing: what is read as its source is not the port's")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    column = {"verdicts": None, "clean-traffic": 2, "clean-traffic-dual": 3, "web-server": 4}[sys.argv[1]]
    sender, receiver = packet_socket(sys.argv[2]), packet_socket(sys.argv[3])
    receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)  # all frames, before the first is read
    while select.select([receiver], [], [], 0)[0]:
        receiver.recv(MOST)
    table = []
    for number, row in enumerate(rows()):
        # A payload makes each frame one of its own; those that are cut short stay so.
        table.append((row, bytes(row[1] if row[5] is SHORT else row[1] / (b"frame-%04d" % number))))
    last = bytes(Ether(src=MAC, dst=EVERYONE) / ARP(op=1, hwsrc=MAC, psrc=IP4, pdst=GATEWAY4)).ljust(60, b"\0") + os.urandom(8)
    seen, end = [], time.monotonic() + LIMIT
    for frame in [frame for _, frame in table] + [last]:
        sender.send(frame)
    while last not in seen and time.monotonic() < end:
        if select.select([receiver], [], [], 1)[0]:
            seen.append(receiver.recv(MOST))
    if last not in seen:
        sys.exit("the honest frame behind all others did not arrive")
    wrong, dropped = 0, 0
    for row, frame in table:
        passed = frame in seen
        dropped += not passed
        if column is None:
            print(f"{'pass' if passed else 'drop'} {row[0]}")
        elif passed != row[column]:
            wrong += 1
            print(f"{'LEAKED' if passed else 'did not arrive'}: {row[0]} ({row[5]})")
    if column is None:
        return
    print(f"{sys.argv[1]}: {len(table)} frames, {dropped} dropped, {wrong} with another verdict than written")
    sys.exit(1 if wrong else 0)


main()
