#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dhcpcd, whose identifiers are RFC 4361's, on both families; and a network whose leases are kept by them: clones that share one
# are one client there, and two otherwise.
# time: 15
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
dhcpcd=${BASCULE_CACHE:-/nowhere}/clients/usr/sbin/dhcpcd
[[ -x $dhcpcd ]] || skip "needs dhcpcd in ${BASCULE_CACHE:-/nowhere}/clients (tests/support/unpacked.sh)"
daemon_start
for name in plain strict; do
    key=port subnet=10.61 bridge=plainbr
    [[ $name == plain ]] || { key=client-id subnet=10.62 bridge=strictbr; }
    cat >"$BASCULE_TEST_DIR/$name.xml" <<XML
<network>
  <name>$name</name>
  <metadata><b:network xmlns:b='urn:bascule:1'><b:dhcp key='$key'/></b:network></metadata>
  <forward mode='route'/>
  <bridge name='$bridge' stp='off' delay='0'/>
  <ip address='$subnet.0.1' netmask='255.255.255.0'>
    <dhcp><range start='$subnet.0.10' end='$subnet.0.99'/></dhcp>
  </ip>
</network>
XML
    v net-create "$BASCULE_TEST_DIR/$name.xml" >/dev/null
done
printf 'clientid machine-id\noption host_name\n' >"$BASCULE_TEST_DIR/dhcpcd.conf"

# asks PLUG: a lease with dhcpcd as a client of that plug, all plugs under one identifier; prints the address.
asks() {
    at "$1" unshare --mount sh -c "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && mkdir -p /run/dhcpcd /var/lib/dhcpcd && \
        exec timeout 30 $dhcpcd -f $BASCULE_TEST_DIR/dhcpcd.conf -c /bin/true --noipv6rs -4 -1 -A -t 25 -B --oneshot eth0" \
        >"$BASCULE_TEST_DIR/dhcpcd-$1.log" 2>&1 || { cat "$BASCULE_TEST_DIR/dhcpcd-$1.log" >&2; fail "dhcpcd got no lease as $1"; }
    at "$1" ip -4 -o addr show dev eth0 | awk '{ sub(/\/.*/, "", $4); print $4; exit }'
}
plug first plainbr 52:54:00:61:00:01
plug second plainbr 52:54:00:61:00:02
one=$(asks first)
two=$(asks second)
[[ $one == 10.61.0.* && $two == 10.61.0.* && $one != "$two" ]] || fail "clones on the plain network: '$one' and '$two'"
v net-dhcp-leases plain | grep -q "$one/24.*01:52:54\|$one/24.*[0-9a-f]:" || fail "net-dhcp-leases shows no identifier"

plug third strictbr 52:54:00:62:00:01
plug fourth strictbr 52:54:00:62:00:02
three=$(asks third)
four=$(asks fourth)
[[ $three == 10.62.0.* && $three == "$four" ]] || fail "one identifier on the strict network: '$three' and '$four'"
(($(v net-dhcp-leases strict | grep -c '10\.62\.0\.') == 1)) || fail "the strict network has not one lease: $(v net-dhcp-leases strict)"
