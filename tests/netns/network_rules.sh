#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time: 120
# Who reaches whom, on a real kernel, with the compiled rules of four networks loaded at once: nat, route, isolated
# and nat by one device only. The rules are the golden files', so what is reviewed there is what is proved here.
#
# Host: this namespace, with the four bridges and two ways out. outside0 leads to `outside`, outside1 to `elsewhere`.
# Each network has a guest in each of its two IPv4 subnets.
set -euo pipefail
BASCULE_TOP=${BASCULE_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
# shellcheck source=tests/support/lib.sh
source "$BASCULE_TOP/tests/support/lib.sh"
((EUID == 0)) || skip "needs root"
for tool in ip nft ping nsenter python3; do
    command -v "$tool" >/dev/null || skip "needs $tool"
done

# load NAME: sysctls, addresses and rules of tests/golden/network/NAME.state. Chains that several of them have are the
# same in each, since they are named by their content, and go in once.
load() {
    local state=$BASCULE_TOP/tests/golden/network/$1.state bridge
    bridge=$(awk '$1 == "link" { print $2 }' "$state")
    ip link add "$bridge" type bridge
    awk '$1 == "sysctl" { print $2, $4 }' "$state" | while read -r key value; do echo "$value" >"/proc/sys/$key"; done
    awk '$1 == "address" { print $2, index($2, ":") ? "nodad" : "" }' "$state" | while read -r address nodad; do
        ip addr add "$address" dev "$bridge" ${nodad:+"$nodad"}
    done
    sed -n '/^table /,$p' "$state" |
        awk -v loaded="$(nft list chains inet)" '/^\tchain / { skip = index(loaded, " " $2 " {") } !skip { print } /^\t}/ { skip = 0 }' |
        nft -f - || fail "nft refuses the rules of $1"
    ip link set "$bridge" up
}

# guest NAME BRIDGE SUBNET: NAME at 10.SUBNET.2 behind BRIDGE, and in its IPv6 subnet.
guest() {
    local name=$1 bridge=$2 subnet=$3
    place "$name"
    ip link add "p-$name" type veth peer name eth0 netns "${place[$name]}"
    ip link set "p-$name" master "$bridge" up
    at "$name" ip addr add "10.$subnet.2/24" dev eth0
    at "$name" ip addr add "fd00:${subnet/./:}::2/64" dev eth0 nodad
    at "$name" ip link set eth0 up
    at "$name" ip route add default via "10.$subnet.1"
    [[ $subnet == *.2 ]] || at "$name" ip -6 route add default via "fd00:${subnet/./:}::1"
}

# uplink PLACE DEVICE NUMBER: 203.0.113.0/24 and 2001:db8:113::/64 for number 113, and so on.
uplink() {
    place "$1"
    ip link add "$2" type veth peer name eth0 netns "${place[$1]}"
    ip addr add "203.0.$3.1/24" dev "$2"
    ip addr add "2001:db8:$3::1/64" dev "$2" nodad
    ip link set "$2" up
    at "$1" ip addr add "203.0.$3.2/24" dev eth0
    at "$1" ip addr add "2001:db8:$3::2/64" dev eth0 nodad
    at "$1" ip link set eth0 up
    wait_until 5 "$1" ping -c 1 -W 1 "203.0.$3.2"
}

failures=0
wrong() {
    echo "WRONG: $*"
    failures=$((failures + 1))
}
reaches() { # PLACE ADDRESS: a fresh IPv6 host may drop what comes before its link-local address is its own
    wait_until 8 "$1 to reach $2" at "$1" ping -n -c 1 -W 1 "$2" || wrong "$1 does not reach $2"
}
rejected() { # PLACE ADDRESS: an answer comes, and it says no
    local said
    said=$(at "$1" ping -n -c 1 -W 2 "$2" 2>&1) && { wrong "$1 reaches $2"; return; }
    [[ $said == *nreachable* ]] || wrong "$1 is not told that $2 is out of bounds: $said"
}

# seen_as FROM TO ADDRESS [SOURCE_PORT]: who a TCP server at TO sees when FROM connects: "ADDRESS PORT".
seen_as() {
    local ready port
    ready=$(mktemp)
    at "$2" python3 -c '
import socket, sys
server = socket.create_server(("", 5000))
server.settimeout(10)
open(sys.argv[1], "w").write("ready")
peer = server.accept()[1]
print(peer[0], peer[1])' "$ready" &
    local server=$!
    wait_until 5 "the server at $2" test -s "$ready"
    port=${4:-0}
    at "$1" python3 -c '
import socket, sys
socket.create_connection((sys.argv[1], 5000), 5, ("", int(sys.argv[2])))' "$3" "$port" || true
    wait "$server" || echo "nobody"
    rm -f "$ready"
}

uplink outside outside0 113
uplink elsewhere outside1 114
for network in nat route isolated device; do load "netns-$network"; done
guest nat1 br-nat 61.1
guest nat2 br-nat 61.2
guest route1 br-route 62.1
guest isolated1 br-isolated 63.1
guest isolated2 br-isolated 63.2
guest device1 br-device 64.1

# ── nobody out there knows the way back ─────────────────────────────────────────────────────────────────────
wait_until 5 "the first guest" at nat1 ping -c 1 -W 1 10.61.1.1
reaches nat1 203.0.113.2
reaches nat2 203.0.113.2
reaches nat1 203.0.114.2
reaches device1 203.0.113.2
rejected device1 203.0.114.2
rejected isolated1 203.0.113.2

# ── now everybody knows ─────────────────────────────────────────────────────────────────────────────────────
for far in outside:113 elsewhere:114; do
    at "${far%:*}" ip route add 10.0.0.0/8 via "203.0.${far#*:}.1"
    at "${far%:*}" ip -6 route add fd00::/16 via "2001:db8:${far#*:}::1"
done
# Out and in, both families. IPv6 of a nat network is routed.
rejected outside 10.61.1.2
reaches outside fd00:61:1::2
reaches nat1 2001:db8:113::2
reaches outside 10.62.1.2
reaches outside fd00:62:1::2
reaches route1 203.0.113.2
reaches route1 203.0.114.2
reaches route1 2001:db8:113::2
rejected outside 10.63.1.2
rejected outside fd00:63:1::2
rejected isolated1 2001:db8:113::2
# One device only, both ways.
reaches outside fd00:64:1::2
rejected elsewhere fd00:64:1::2
rejected elsewhere 10.64.1.2
rejected device1 2001:db8:114::2
# Between networks: nobody was admitted.
rejected nat1 10.62.1.2
rejected nat1 fd00:62:1::2
rejected route1 10.61.1.2
rejected route1 fd00:61:1::2
rejected nat1 10.63.1.2
rejected nat1 fd00:63:1::2
rejected isolated1 10.61.1.2
rejected isolated1 10.62.1.2
rejected route1 10.63.1.2
rejected device1 10.62.1.2
rejected device1 fd00:62:1::2
rejected route1 10.64.1.2
# Within a network, and the host itself.
reaches nat1 10.61.2.2
reaches isolated1 10.63.2.2
reaches isolated1 10.63.1.1
reaches isolated1 fd00:63:1::1
reaches nat1 10.61.1.1

# ── addresses ───────────────────────────────────────────────────────────────────────────────────────────────
expect_seen() { # WANTED FROM TO ADDRESS [PORT]
    local wanted=$1 seen
    shift
    seen=$(seen_as "$@")
    [[ $seen == "$wanted "* ]] || wrong "$2 sees $1 as '$seen', not $wanted"
}
expect_seen 203.0.113.1 nat1 outside 203.0.113.2
expect_seen 203.0.113.1 device1 outside 203.0.113.2
expect_seen 10.62.1.2 route1 outside 203.0.113.2
expect_seen 10.61.1.2 nat1 nat2 10.61.2.2
low=$(seen_as nat1 outside 203.0.113.2 600)
((${low#* } >= 1024)) || wrong "a low source port goes out as it is: $low"

# A source that is not the network's own stays inside, although everybody would know the way back.
ip route add 10.99.0.0/16 dev br-nat
at nat1 ip addr add 10.99.0.2/16 dev eth0
reaches nat1 203.0.113.2
if at nat1 ping -n -c 1 -W 1 -I 10.99.0.2 203.0.113.2 >/dev/null 2>&1; then wrong "a foreign source address leaves the network"; fi

((failures == 0)) || fail "$failures of the above"
echo "reachability is as promised"
