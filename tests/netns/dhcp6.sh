#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# IPv6: dhclient asks for addresses and prefixes, the kernel's own host side takes router advertisements.
# time: 20
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
[[ -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ]] || skip "needs IPv6 in the kernel"
daemon_start
cat >"$BASCULE_TEST_DIR/six.xml" <<'XML'
<network>
  <name>six</name>
  <uuid>5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d6666</uuid>
  <metadata>
    <b:network xmlns:b='urn:bascule:1'>
      <b:delegate from='fd00:6:f00::/56' length='64'/>
      <b:advertise routes='fd00:6:aa::/48'/>
    </b:network>
  </metadata>
  <forward mode='route'/>
  <bridge name='sixbr' stp='off' delay='0'/>
  <domain name='six.example'/>
  <ip family='ipv6' address='fd00:6::1' prefix='64'>
    <dhcp>
      <range start='fd00:6::100' end='fd00:6::1ff'/>
      <host id='00:03:00:01:52:54:00:66:00:09' name='fixed' ip='fd00:6::9'/>
    </dhcp>
  </ip>
</network>
XML
sed -e 's/six/auto/g' -e 's/6666/7777/' -e 's/fd00:6:/fd00:7:/g' -e '/<dhcp>/,/<\/dhcp>/d' -e '/delegate/d' \
    "$BASCULE_TEST_DIR/six.xml" >"$BASCULE_TEST_DIR/auto.xml"
sed -e 's/auto/lone/g' -e 's/7777/8888/' -e 's/fd00:7:/fd00:8:/g' -e '/<forward/d' -e '/advertise/d' \
    "$BASCULE_TEST_DIR/auto.xml" >"$BASCULE_TEST_DIR/lone.xml"
for network in six auto lone; do v net-create "$BASCULE_TEST_DIR/$network.xml" >/dev/null; done
# Who advertises: from the first frame on it has to be a link-local address, or no guest listens (RFC 4861 6.1.2).
cat >"$BASCULE_TEST_DIR/sources.py" <<'PY'
import socket
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(("autobr", 0))
while True:
    frame = link.recv(2048)
    if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 134:
        print(socket.inet_ntop(socket.AF_INET6, frame[22:38]), flush=True)
PY
python3 "$BASCULE_TEST_DIR/sources.py" >"$BASCULE_TEST_DIR/sources" &
sources=$!

# plug6 NAME BRIDGE MAC: without duplicate address detection, which would only take time.
plug6() {
    plug "$@"
    at "$1" sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.accept_ra=2 \
        net.ipv6.conf.eth0.accept_ra_rt_info_max_plen=64
    at "$1" ip link set eth0 down
    at "$1" ip link set eth0 up
}
has() { grep -q "$1"; }
shows() { at "$1" ip -6 "${@:3}" | has "$2"; } # PLACE TEXT COMMAND…
lacks() { ! shows "$@"; }
client6() { # NAME [OPTION…]
    local name=$1
    shift
    at "$name" timeout 30 dhclient -6 -1 -sf /bin/true -lf "$BASCULE_TEST_DIR/$name.leases" \
        -pf "$BASCULE_TEST_DIR/$name.pid" "$@" eth0 2>"$BASCULE_TEST_DIR/$name.log" ||
        { cat "$BASCULE_TEST_DIR/$name.log" "$root/basculed.log" >&2; fail "dhclient -6 of $name got nothing"; }
}

plug6 alpha sixbr 52:54:00:66:00:01
plug6 fixed sixbr 52:54:00:66:00:09
plug6 beta autobr 52:54:00:77:00:01
plug6 gamma lonebr 52:54:00:88:00:01

# An address of the range and a prefix, told by the leases with their IAID and DUID.
client6 alpha -N -P -D LL
grep -q 'iaaddr fd00:6::1[0-9a-f][0-9a-f] ' "$BASCULE_TEST_DIR/alpha.leases" || fail "alpha's address"
grep -q 'iaprefix fd00:6:f00:.*/64' "$BASCULE_TEST_DIR/alpha.leases" || fail "alpha's prefix"
v net-dhcp-leases six | has 'ipv6 .*fd00:6::1.*/64.*00:03:00:01:52:54:00:66:00:01' || fail "net-dhcp-leases: $(v net-dhcp-leases six)"
# Reservations by the port's MAC, whatever DUID its guest shows, and for one association of a DUID: live.
v net-update six add ip-dhcp-host "<host mac='52:54:00:66:00:0a' name='delta' ip='fd00:6::a'/>" --live >/dev/null
v net-update six add ip-dhcp-host "<host id='00:03:00:01:52:54:00:66:00:0b' ip='fd00:6::b'>
    <b:association xmlns:b='urn:bascule:1' iaid='$((0x0066000b))'/></host>" --live >/dev/null
v net-dumpxml six | has "association.*iaid='$((0x0066000b))'" || fail "the association is not shown"
plug6 delta sixbr 52:54:00:66:00:0a
client6 delta -D LLT
grep -q 'iaaddr fd00:6::a ' "$BASCULE_TEST_DIR/delta.leases" || fail "the address reserved for a port's MAC"
plug6 eta sixbr 52:54:00:66:00:0b
client6 eta -D LL # its IAID is the end of its MAC address
grep -q 'iaaddr fd00:6::b ' "$BASCULE_TEST_DIR/eta.leases" || fail "the address reserved for an association"
v net-update six delete ip-dhcp-host "<host mac='52:54:00:66:00:0a'/>" --live >/dev/null
client6 fixed -D LL
grep -q 'iaaddr fd00:6::9 ' "$BASCULE_TEST_DIR/fixed.leases" || fail "the address reserved for a DUID"
v net-dhcp-leases six | has fixed || fail "the reserved name"

# Advertisements: the prefix is for making addresses up where nothing is handed out; on an isolated network there is no
# default route.
wait_until 15 "beta's own address" shows beta 'fd00:7::' addr show dev eth0
wait_until 15 "beta's default route" shows beta default route show
kill "$sources"
grep -q '^fe80:' "$BASCULE_TEST_DIR/sources" || fail "no advertisement was seen"
! grep -v '^fe80:' "$BASCULE_TEST_DIR/sources" || fail "an advertisement that no guest may take"
# A client that has its address by itself is told the rest.
client6 beta -S
wait_until 15 "the route information" shows beta fd00:7:aa::/48 route show
wait_until 15 "gamma's own address" shows gamma 'fd00:8::' addr show dev eth0
lacks gamma default route show || fail "a default route on an isolated network"
wait_until 15 "alpha's default route" shows alpha default route show
lacks alpha 'fd00:6::.*dynamic' addr show dev eth0 || fail "alpha made an address up though addresses are managed"

# The service dies: the next one has the leases, and the answer waits for it.
before=$(v net-dhcp-leases six | grep -o 'fd00:6::[0-9a-f]*' | sort)
for helper in $(processes bascule-netsvc); do kill -KILL "$helper"; done
after=$(v net-dhcp-leases six | grep -o 'fd00:6::[0-9a-f]*' | sort)
[[ $before == "$after" ]] || fail "leases before the service died: $before; after: $after"

# A network that stops says so first; one that is no more leaves no leases.
[[ -s $root/var/lib/bascule/leases/5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d6666.leases ]] || fail "no lease file"
v net-destroy auto >/dev/null
v net-destroy six >/dev/null
wait_until 5 "beta to lose its default route" lacks beta default route show
[[ ! -e $root/var/lib/bascule/leases/5b4b42b8-7f0a-4f0e-8f5d-2a7b8e0d6666.leases ]] || fail "the lease file stayed"
