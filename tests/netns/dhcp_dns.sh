#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Real clients (udhcpc, dhclient, dig) ask for addresses and names.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='labbr' stp='off' delay='0'/>
  <mtu size='1400'/>
  <domain name='lab.example' localOnly='yes'/>
  <dns><host ip='10.40.0.200'><hostname>printer</hostname></host></dns>
  <ip address='10.40.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.40.0.10' end='10.40.0.20'/>
      <host mac='52:54:00:40:00:01' name='alpha' ip='10.40.0.100'/>
    </dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }
ask() { at "$1" dig +short +time=1 +tries=2 @10.40.0.1 "${@:2}"; }
answers() { [[ -n $(ask "$@") ]]; }

# A reservation by MAC, and what comes with a lease.
plug alpha labbr 52:54:00:40:00:01
facts=$(lease alpha -O mtu)
is "reserved address" "$(fact ip <<<"$facts")" 10.40.0.100
is "router" "$(fact router <<<"$facts")" 10.40.0.1
is "dns" "$(fact dns <<<"$facts")" 10.40.0.1
is "server" "$(fact serverid <<<"$facts")" 10.40.0.1
is "domain" "$(fact domain <<<"$facts")" lab.example
is "mtu" "$(fact mtu <<<"$facts")" 1400

# A pool address for a client that gives a name; the name resolves, both ways.
plug beta labbr 52:54:00:40:00:02
facts=$(lease beta -x hostname:beta)
address=$(fact ip <<<"$facts")
[[ $address == 10.40.0.1[0-9] || $address == 10.40.0.20 ]] || fail "address $address is outside the pool"
wait_until 5 "beta's name" answers alpha beta.lab.example
is "beta" "$(ask alpha beta.lab.example)" "$address"
is "beta without domain" "$(ask alpha beta)" "$address"
is "reverse" "$(ask alpha -x "$address")" beta.lab.example.
is "a reservation's name" "$(ask beta alpha.lab.example)" 10.40.0.100
is "a dns host" "$(ask beta printer.lab.example)" 10.40.0.200
is "a local name nobody has" "$(at alpha dig +time=1 @10.40.0.1 nobody.lab.example | sed -n 's/.*status: \([A-Z]*\).*/\1/p')" NXDOMAIN

# The same client gets the same address again, also another implementation of DHCP.
at beta ip addr flush dev eth0
is "the same again" "$(lease beta -x hostname:beta | fact ip)" "$address"
v net-dhcp-leases lab | grep "52:54:00:40:00:02" | grep -q "$address" || fail "net-dhcp-leases lacks beta"
v net-dhcp-leases lab | grep "52:54:00:40:00:02" | grep -qw beta || fail "net-dhcp-leases lacks beta's name"
plug gamma labbr 52:54:00:40:00:03
at gamma timeout 30 dhclient -1 -sf /bin/true -lf "$BASCULE_TEST_DIR/gamma.leases" -pf "$BASCULE_TEST_DIR/gamma.pid" eth0 ||
    fail "dhclient got no lease"
grep -qE 'fixed-address 10.40.0.(1[0-9]|20);' "$BASCULE_TEST_DIR/gamma.leases" || fail "dhclient's lease"

# Two clients never hold one address.
held=$(v net-dhcp-leases lab | grep -o '10\.40\.0\.[0-9]*' | sort)
is "distinct addresses" "$(uniq <<<"$held" | wc -l)" "$(wc -l <<<"$held")"

# On an isolated network names of the outside are refused, not looked up.
sed -e "/<forward/d" -e 's/lab/lonely/g' -e 's/10\.40/10.41/g' -e 's/lonely.example/lonely.example/' "$BASCULE_TEST_DIR/lab.xml" >"$BASCULE_TEST_DIR/lonely.xml"
v net-create "$BASCULE_TEST_DIR/lonely.xml" >/dev/null
plug hermit lonelybr 52:54:00:41:00:09
facts=$(lease hermit)
is "no router on an isolated network" "$(fact router <<<"$facts")" ""
is "outside names" "$(at hermit dig +time=1 @10.41.0.1 www.example.com | sed -n 's/.*status: \([A-Z]*\).*/\1/p')" REFUSED
