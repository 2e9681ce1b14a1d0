#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time: 90
# Who reaches whom, each mode with guest, sibling, host, other networks and the outside, each direction, both families.
# Everybody outside knows the way back, so what does not arrive was stopped by a rule.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
make_outside
ip addr add 2001:db8:113::1/64 dev outside0 nodad
at outside ip addr add 2001:db8:113::2/64 dev eth0 nodad
at outside ip route add 10.0.0.0/8 via "$outside_host"
at outside ip -6 route add fd00::/16 via 2001:db8:113::1
daemon_start

# network NAME NUMBER FORWARD [OUR ELEMENTS]: 10.NUMBER.0.0/24 and fd00:NUMBER::/64, with a guest and its sibling.
network() {
    cat >"$BASCULE_TEST_DIR/$1.xml" <<XML
<network>
  <name>$1</name>
  <metadata><bascule:network xmlns:bascule='urn:bascule:1'>${4:-}</bascule:network></metadata>
  $3
  <bridge name='$1-br' stp='off' delay='0'/>
  <ip address='10.$2.0.1' netmask='255.255.255.0'/>
  <ip family='ipv6' address='fd00:$2::1' prefix='64'/>
</network>
XML
    v net-create "$BASCULE_TEST_DIR/$1.xml" >/dev/null
    number[$1]=$2
    local guest
    for guest in 2 3; do
        plug "$1$guest" "$1-br"
        at "$1$guest" ip addr add "10.$2.0.$guest/24" dev eth0
        at "$1$guest" ip addr add "fd00:$2::$guest/64" dev eth0 nodad
        at "$1$guest" ip route add default via "10.$2.0.1"
        at "$1$guest" ip -6 route add default via "fd00:$2::1"
    done
}
declare -A number
network nated 41 "<forward mode='nat'/>" "<bascule:host protocol='tcp' port='8022'/>"
network six 42 "<forward mode='nat'><nat ipv6='yes'/></forward>"
network routed 43 "<forward mode='route'/>" "<bascule:admit network='nated'/>"
network lonely 44 ""
network open 45 "<forward mode='open'/>"
modes="nated six routed lonely open"

# A service of the host that is nobody's business unless a network says so.
python3 -c '
import socket
server = socket.create_server(("::", 8022), family=socket.AF_INET6, dualstack_ipv6=True)
while True: server.accept()[0].close()' &
listening() { [[ -n $(ss -Hltn sport = :8022) ]]; }
wait_until 5 "the host's service" listening

for mode in $modes; do
    wait_until 8 "$mode's IPv6" at "${mode}2" ping -n -c 1 -W 1 "fd00:${number[$mode]}::1"
    wait_until 8 "$mode's other guest" at "${mode}3" ping -n -c 1 -W 1 "fd00:${number[$mode]}::1"
done
wait_until 8 "the outside's IPv6" at outside ping -n -c 1 -W 1 2001:db8:113::1

# All probes at once: each says what it saw, and the list says what it should have.
results=$BASCULE_TEST_DIR/results
: >"$results"
probes=()
ping_probe() { # EXPECTED FROM WHAT ADDRESS
    { if [[ $2 == host ]]; then ping -n -c 2 -i 0.3 -W 2 "$4"; else at "$2" ping -n -c 2 -i 0.3 -W 2 "$4"; fi >/dev/null 2>&1 &&
        echo "yes $*" || echo "no $*"; } >>"$results" &
    probes+=($!)
}
tcp_probe() { # EXPECTED FROM WHAT ADDRESS: the host's service
    { at "$2" python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], 8022), 3)' "$4" 2>/dev/null &&
        echo "yes $*" || echo "no $*"; } >>"$results" &
    probes+=($!)
}
settle() { wait "${probes[@]}" || true; probes=(); } # not too many at a time

for from in $modes; do
    n=${number[$from]}
    ping_probe yes "${from}2" sibling "10.$n.0.3"
    ping_probe yes "${from}2" sibling "fd00:$n::3"
    ping_probe yes "${from}2" host "10.$n.0.1"
    ping_probe yes "${from}2" host "fd00:$n::1"
    ping_probe yes host "$from" "10.$n.0.2"
    ping_probe yes host "$from" "fd00:$n::2"
    # The host's services: those of an open network are up to somebody else, those of nated are allowed.
    case $from in open | nated) service=yes ;; *) service=no ;; esac
    tcp_probe $service "${from}2" service "10.$n.0.1"
    tcp_probe $service "${from}2" service "fd00:$n::1"
    out=yes in4=yes in6=yes
    case $from in
        nated) in4=no ;;
        six) in4=no in6=no ;;
        lonely) out=no in4=no in6=no ;;
    esac
    ping_probe $out "${from}2" outside "$outside_address"
    ping_probe $out "${from}2" outside 2001:db8:113::2
    ping_probe $in4 outside "$from" "10.$n.0.2"
    ping_probe $in6 outside "$from" "fd00:$n::2"
    for to in $modes; do
        [[ $to != "$from" ]] || continue
        cross=no
        [[ $from-$to != nated-routed ]] || cross=yes
        ping_probe $cross "${from}2" "$to" "10.${number[$to]}.0.2"
        ping_probe $cross "${from}2" "$to" "fd00:${number[$to]}::2"
    done
    settle
done

wrong=$(awk '$1 != $2 { print $3, "to", $4, "(" $5 "): expected", $2 ", saw", $1 }' "$results")
echo "$(wc -l <"$results") probes"
(($(wc -l <"$results") == 100)) || fail "some probes said nothing"
[[ -z $wrong ]] || fail "$wrong"

# Translated or not, as the outside sees it.
seen_by_outside() { # FROM FAMILY OUTSIDE-ADDRESS
    local ready
    ready=$(mktemp)
    at outside timeout 10 python3 -c '
import socket, sys
server = socket.create_server(("::", 5000), family=socket.AF_INET6, dualstack_ipv6=True)
open(sys.argv[1], "w").write("ready")
print(server.accept()[1][0].removeprefix("::ffff:"))' "$ready" &
    local server=$!
    wait_until 5 "the server outside" test -s "$ready"
    # From the address that the test gave: guests also make one of what is advertised to them.
    local own=10.${number[${1%2}]}.0.2
    [[ $2 != *:* ]] || own=fd00:${number[${1%2}]}::2
    at "$1" python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], 5000), 5, (sys.argv[2], 0))' "$2" "$own"
    wait "$server"
}
expect_seen() { [[ $(seen_by_outside "$2" "$3") == "$1" ]] || fail "$2 is not seen as $1 at $3"; }
expect_seen "$outside_host" nated2 "$outside_address"
expect_seen fd00:41::2 nated2 2001:db8:113::2
expect_seen 2001:db8:113::1 six2 2001:db8:113::2
expect_seen 10.43.0.2 routed2 "$outside_address"

# An exception goes with the network that it is for, and comes with it.
v net-destroy nated >/dev/null
! nft list set inet bascule net_admits | grep -q nated-br || fail "a stopped network is still admitted"
# What it forwarded is forgotten: established would go on letting it pass.
if grep -E 'src=10\.41\.[0-9.]+ dst=(203|10\.4[^1])' /proc/net/nf_conntrack; then fail "flows of the stopped network are still known"; fi
grep -q 'src=10\.43\.' /proc/net/nf_conntrack || fail "flows of another network were cut"
