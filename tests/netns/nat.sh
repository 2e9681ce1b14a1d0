#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Reaching the outside: translated on NAT networks, not translated on routed ones, not at all on isolated ones.
# time: 90
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
make_outside
daemon_start

network() { # NAME SUBNET FORWARD
    cat >"$BASCULE_TEST_DIR/$1.xml" <<XML
<network>
  <name>$1</name>
  $3
  <bridge name='$1-br' stp='off' delay='0'/>
  <ip address='$2.1' netmask='255.255.255.0'/>
</network>
XML
    v net-create "$BASCULE_TEST_DIR/$1.xml" >/dev/null
    plug "$1" "$1-br"
    at "$1" ip addr add "$2.2/24" dev eth0
    at "$1" ip route add default via "$2.1"
    wait_until 5 "$1's gateway" at "$1" busybox ping -c 1 -W 1 "$2.1"
}
reaches() { at "$1" busybox ping -c 1 -W 1 "$2"; }
never() { if reaches "$1" "$2" >/dev/null; then fail "$1 reaches $2"; fi; }

network nated 10.31.0 "<forward mode='nat'/>"
network bound 10.32.0 "<forward mode='nat' dev='outside0'/>"
network elsewhere 10.33.0 "<forward mode='nat' dev='lo'/>"
network routed 10.34.0 "<forward mode='route'/>"
network lonely 10.35.0 ""
[[ $(cat /proc/sys/net/ipv4/ip_forward) == 1 ]] || fail "forwarding is off"

# The outside has no route back: an answer means that the source was translated.
wait_until 5 "NAT" reaches nated "$outside_address"
wait_until 5 "NAT through outside0" reaches bound "$outside_address"
never elsewhere "$outside_address"
# Routed packets leave with their own source, so the answer needs a route there.
never routed "$outside_address"
at outside ip route add 10.34.0.0/24 via "$outside_host"
wait_until 5 "the routed network" reaches routed "$outside_address"
wait_until 5 "the routed guest from outside" at outside busybox ping -c 1 -W 1 10.34.0.2
never lonely "$outside_address"
wait_until 5 "the host from the isolated network" reaches lonely 10.35.0.1

# Nobody outside starts a conversation with a guest behind NAT, route or not; nor do the networks with each other's guests.
at outside ip route add 10.31.0.0/24 via "$outside_host"
if at outside busybox ping -c 1 -W 1 10.31.0.2 >/dev/null; then fail "the outside reaches a guest behind NAT"; fi
at outside ip route add 10.35.0.0/24 via "$outside_host"
if at outside busybox ping -c 1 -W 1 10.35.0.2 >/dev/null; then fail "the outside reaches an isolated guest"; fi
never nated 10.35.0.2
never lonely 10.31.0.2
