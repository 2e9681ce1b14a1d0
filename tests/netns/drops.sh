#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest sends and nobody can use is counted, by reason and network, and shown; in a message of the worst kind, too, the
# service answers on.
# time: 12
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
boot=$BASCULE_TEST_DIR/boot
mkdir -p "$boot"
chmod -R a+rX "$BASCULE_TEST_DIR"
daemon_start
cat >"$BASCULE_TEST_DIR/drops.xml" <<XML
<network>
  <name>drops</name>
  <bridge name='dropsbr' stp='off' delay='0'/>
  <ip address='10.48.0.1' netmask='255.255.255.0'>
    <tftp root='$boot'/>
    <dhcp><range start='10.48.0.10' end='10.48.0.20'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:48::1' prefix='64'><dhcp><range start='fd00:48::100' end='fd00:48::1ff'/></dhcp></ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/drops.xml" >/dev/null
cat >"$BASCULE_TEST_DIR/victim.xml" <<'XML'
<domain type='qemu'>
  <name>victim</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='network'><mac address='52:54:00:48:00:77'/><source network='drops'/></interface></devices>
</domain>
XML
v define "$BASCULE_TEST_DIR/victim.xml" >/dev/null
plug victim dropsbr 52:54:00:48:00:77
address=$(lease victim | fact ip)
plug bad dropsbr 52:54:00:48:00:01
lease bad >/dev/null
at bad python3 - "$address" <<'PY'
import socket, struct, sys
def udp(port, *datagrams):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for one in datagrams:
        s.sendto(one, ("10.48.0.1", port))
udp(67, b"", b"\1", bytes(300), bytes(2100))
udp(53, b"", bytes(11), bytes(12), b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", b"\0\1\x80\0" + bytes(8))
udp(69, b"", b"\0\7", b"\0\1file", b"\0\1file\0mail\0", b"\xff" * 2100)
victim = bytes.fromhex("525400480077")
release = struct.pack("!BBBBIHH4s12s16s192s", 1, 1, 6, 0, 1, 0, 0, socket.inet_aton(sys.argv[1]), bytes(12), victim + bytes(10), bytes(192))
udp(67, release + b"\x63\x82\x53\x63" + bytes([53, 1, 7, 255]))
for port, said in (53, b"\0\3abc"), (80, b"\0\r\n\r\n"):
    s = socket.create_connection(("10.48.0.1", port))
    s.sendall(said)
    s.recv(1)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
mac = bytes.fromhex("525400480001")
me, all_routers = bytes.fromhex("fe80" + "00" * 13 + "99"), bytes.fromhex("ff02" + "00" * 13 + "02")
def frame(protocol, hops, payload):
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, hops)
    link.send(b"\x33\x33\0\0\0\2" + mac + b"\x86\xdd" + head + me + all_routers + payload)
solicitation = b"\x85" + bytes(7)
frame(58, 64, solicitation)                          # from elsewhere
frame(58, 255, solicitation + b"\1\0")               # an option of no length
frame(17, 255, struct.pack("!HHHH", 546, 547, 4, 0))  # shorter than its head
for _ in range(30):
    frame(58, 255, solicitation)
PY
shown() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" status | grep -q -- "$1"; }
for reason in "[1-9] malformed DHCP" "[6-9] malformed DNS" "[4-9] malformed TFTP" "1 malformed HTTP" "[2-9] malformed router solicitations" \
    "[1-9] malformed IPv6 frames" "[0-9] router solicitations beyond a port's rate" "1 DHCP in another NIC's name"; do
    wait_until 10 "status to say '$reason'" shown "drops: .*$reason" ||
        fail "$("$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" status)"
done
v net-dhcp-leases drops | grep -q "52:54:00:48:00:77.*$address/24" || fail "the victim's lease was given back by somebody else"
[[ $(at bad dig +short +time=2 +tries=2 @10.48.0.1 -x 10.48.0.1) != *";;"* ]] || fail "no DNS beside it"
lease bad >/dev/null
