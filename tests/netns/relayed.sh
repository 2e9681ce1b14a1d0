#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clients behind a relay: ISC's perfdhcp is the relay and all of them. They get addresses of the relay's subnet and of their
# line's pool (option 82), each its own; nobody on the bridge
# gets one of these. By IPv6 addresses and prefixes.
# time: 15
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v perfdhcp >/dev/null || skip "needs perfdhcp (kea-admin)"
daemon_start
cat >"$BASCULE_TEST_DIR/far.xml" <<'XML'
<network>
  <name>far</name>
  <metadata><b:network xmlns:b='urn:bascule:1'>
    <b:delegate from='fd00:49:f00::/56' length='64'/>
    <b:relayed router='10.9.0.1' prefix='24' start='10.9.0.10' end='10.9.0.59'/>
    <b:pool circuit-id='hex:0102' start='10.9.0.100' end='10.9.0.139' lease='600'/>
  </b:network></metadata>
  <forward mode='route'/>
  <bridge name='farbr' stp='off' delay='0'/>
  <ip family='ipv6' address='fd00:49::1' prefix='64'><dhcp><range start='fd00:49::100' end='fd00:49::1ff'/></dhcp></ip>
  <ip address='10.49.0.1' netmask='255.255.255.0'><dhcp><range start='10.49.0.10' end='10.49.0.20'/></dhcp></ip>
  <route address='10.9.0.0' prefix='24' gateway='10.49.0.2'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/far.xml" >/dev/null
plug relay farbr 52:54:00:49:00:01
at relay ip addr add 10.49.0.2/24 dev eth0
at relay ip addr add 10.9.0.1/24 dev eth0
at relay ip route add default via 10.49.0.1
plug near farbr 52:54:00:49:00:02

# run EXCHANGES [OPTION…]: all of them are to be answered; some may be sent anew.
run() {
    at relay timeout 60 perfdhcp -r 40 -R "$1" -n "$1" -u -W 500000 "${@:2}" >"$BASCULE_TEST_DIR/perfdhcp" 2>&1 || true
    grep -q '^non unique addresses: 0' "$BASCULE_TEST_DIR/perfdhcp" || fail "perfdhcp: $(cat "$BASCULE_TEST_DIR/perfdhcp")"
    ! grep -E '^(non unique addresses|rejected leases|Malformed packets): [1-9]' "$BASCULE_TEST_DIR/perfdhcp" || fail "perfdhcp refuses what it got"
}
count() { v net-dhcp-leases far | grep -c "$1" || true; }
at_least() { (($(count "$1") >= $2)); }
run 30 -4 -l 10.9.0.1 10.49.0.1
wait_until 10 "30 leases of the relayed subnet" at_least '10\.9\.0\.[1-5][0-9]/' 25 ||
    fail "$(cat "$BASCULE_TEST_DIR/perfdhcp"; tail -n 5 "$root/basculed.log"; v net-dhcp-leases far)"
(($(count '10\.9\.0\.1[0-9][0-9]/') == 0)) || fail "a client that is on no line got an address of a line's pool"
run 20 -4 -l 10.9.0.1 -b mac=00:0c:01:aa:00:00 -o 82,01020102 10.49.0.1
wait_until 10 "leases of the line's pool" at_least '10\.9\.0\.1[0-3][0-9]/' 15 ||
    fail "$(cat "$BASCULE_TEST_DIR/perfdhcp"; tail -n 5 "$root/basculed.log"; v net-dhcp-leases far)"
addresses=$(v net-dhcp-leases far | grep -o '10\.9\.0\.[0-9]*' | sort)
[[ $addresses == "$(uniq <<<"$addresses")" ]] || fail "an address was given twice: $addresses"

# On the bridge: the bridge's own.
[[ $(lease near | fact ip) == 10.49.0.* ]] || fail "who is near got no near address"

# The same by IPv6, for addresses and prefixes, as a relay (RFC 9915 section 19).
at relay sysctl -qw net.ipv6.conf.eth0.accept_dad=0
at relay ip -6 addr add fd00:49::2/64 dev eth0 nodad
run 20 -6 -A 1 -e address-and-prefix -l eth0
wait_until 10 "addresses by IPv6" at_least 'fd00:49::1[0-9a-f]*/64' 15 ||
    fail "$(cat "$BASCULE_TEST_DIR/perfdhcp"; tail -n 5 "$root/basculed.log"; v net-dhcp-leases far)"
