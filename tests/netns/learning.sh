#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Ports that learn their addresses: by DHCP of servers that are not ours, by their first frame, by IPv6's ways. What was
# learned passes as long as it may and no longer; what was not learned never does; all of it outlives our processes.
# time: 90
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add labbr type bridge stp_state 0 forward_delay 0
ip link set labbr up

guard() { # NAME MAC FILTER NAME=VALUE…: that port is filtered
    local name=$1 mac=$2 filter=$3 parameters="" one
    shift 3
    for one in "$@"; do parameters+="<parameter name='${one%%=*}' value='${one#*=}'/>"; done
    cat >"$root/$name.xml" <<XML
<filterbinding>
  <owner><name>$name</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid></owner>
  <portdev name='$name-port'/>
  <mac address='$mac'/>
  <filterref filter='$filter'>$parameters</filterref>
</filterbinding>
XML
    v nwfilter-binding-create "$root/$name.xml"
}
plug observer labbr 52:54:00:70:00:fe
at observer ip link set eth0 promisc on
declare -A mac=([alpha]=52:54:00:70:00:01 [beta]=52:54:00:70:00:02 [gamma]=52:54:00:70:00:03 [delta]=52:54:00:70:00:04
    [epsilon]=52:54:00:70:00:05 [zeta]=52:54:00:70:00:06)
for name in "${!mac[@]}"; do plug "$name" labbr "${mac[$name]}"; done
coproc frames { exec "$BASCULE_TOP/tests/netns/learning.py"; }
step() { # NAME WHAT WORD…
    local name=$1 what=$2 said=nothing
    shift 2
    echo "$what ${place[$name]} ${place[observer]} ${mac[$name]} $*" >&"${frames[1]}"
    read -r said <&"${frames[0]}" || true
    [[ $said == ok ]] || fail "$name: $what $*: $said"
}
seconds_left() { # ADDRESS: what the kernel still gives it
    nft -j list set bridge bascule nwf_ip4_IP | python3 -c '
import json, sys
for thing in json.load(sys.stdin)["nftables"]:
    for item in thing.get("set", {}).get("elem", []):
        value = item["elem"]["val"] if "elem" in item else item
        if value["concat"][1] == sys.argv[1]:
            print(item["elem"].get("expires", "for ever") if "elem" in item else "for ever")' "$1"
}

# DHCP only: nothing before a lease, every lease of the port's own MAC, for its time; a shorter renewal shortens it.
guard alpha "${mac[alpha]}" clean-traffic CTRL_IP_LEARNING=dhcp >/dev/null
step alpha arp ip=10.70.0.5
step alpha blocked ip=10.70.0.5
step alpha ack ip=10.70.0.5 lease=1000
step alpha passes ip=10.70.0.5
[[ $(seconds_left 10.70.0.5) -gt 900 && $(seconds_left 10.70.0.5) -le 1000 ]] || fail "the lease's time is $(seconds_left 10.70.0.5)"
step alpha ack ip=10.70.0.6 lease=0xffffffff
step alpha passes ip=10.70.0.6
step alpha passes ip=10.70.0.5
[[ $(seconds_left 10.70.0.6) == "for ever" ]] || fail "a lease for ever ends"
step alpha ack ip=10.70.0.9 lease=1000 chaddr=52:54:00:70:00:99
step alpha ack ip=10.70.0.9
step alpha ack ip=10.70.0.5 lease=3
step alpha blocked ip=10.70.0.5
step alpha blocked ip=10.70.0.9
step alpha passes ip=10.70.0.6

# RELEASE, DECLINE and a NAK to its own request cut off; somebody else's NAK does not.
step alpha ack ip=10.70.0.7 lease=1000
step alpha passes ip=10.70.0.7
step alpha request ip=10.70.0.7 xid=21
step alpha ack kind=nak xid=20
step alpha passes ip=10.70.0.7
step alpha ack kind=nak xid=21
step alpha blocked ip=10.70.0.7
step alpha ack ip=10.70.0.7 lease=1000
step alpha passes ip=10.70.0.7
step alpha decline ip=10.70.0.7
step alpha blocked ip=10.70.0.7
step alpha release ip=10.70.0.6
step alpha blocked ip=10.70.0.6

# Only servers that are trusted, where they are named.
guard beta "${mac[beta]}" clean-traffic CTRL_IP_LEARNING=dhcp DHCPSERVER=10.70.0.253 >/dev/null
step beta ack ip=10.70.0.15 lease=1000
step beta ack ip=10.70.0.16 lease=1000 server=10.70.0.253
step beta passes ip=10.70.0.16
step beta blocked ip=10.70.0.15

guard zeta "${mac[zeta]}" clean-traffic CTRL_IP_LEARNING=dhcp DHCPSERVER=10.70.0.253 DHCPSERVER=10.70.0.252 >/dev/null
for last in 251 252 253; do step zeta ack ip=10.70.0.$last lease=1000 server=10.70.0.$last; done
step zeta passes ip=10.70.0.252
step zeta passes ip=10.70.0.253
step zeta blocked ip=10.70.0.251
# A lease that is not renewed ends; one that is renewed in time goes on.
step zeta ack ip=10.70.0.35 lease=4 server=10.70.0.252
step zeta ack ip=10.70.0.36 lease=4 server=10.70.0.252
step zeta passes ip=10.70.0.36
step zeta ack ip=10.70.0.36 lease=1000 server=10.70.0.252
step zeta blocked ip=10.70.0.35
step zeta passes ip=10.70.0.36

# From any frame: the first address, and no other; what another port has is not to be had.
guard gamma "${mac[gamma]}" clean-traffic >/dev/null
step gamma arp ip=10.70.0.16
step gamma arp ip=10.70.0.25
step gamma passes ip=10.70.0.25
step gamma arp ip=10.70.0.26
step gamma blocked ip=10.70.0.26
step gamma blocked ip=10.70.0.16
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
b nwfilter explain gamma-port 'out udp src=10.70.0.25 dst=10.70.0.1 dport=9' | grep -q passes || fail "explain knows nothing of what was learned"

# IPv6: a router's prefix, DHCPv6, and nothing else.
guard delta "${mac[delta]}" clean-traffic-dual >/dev/null
step delta dad ip=2001:db8:70::5
step delta blocked ip=2001:db8:70::5
step delta advertise prefix=2001:db8:70:: valid=1000
step delta dad ip=2001:db8:70::6
step delta passes ip=2001:db8:70::6
step delta dad ip=2001:db8:71::6
step delta blocked ip=2001:db8:71::6
step delta reply6 ip=2001:db8:72::7 valid=1000
step delta passes ip=2001:db8:72::7
step delta release6 ip=2001:db8:72::7
step delta blocked ip=2001:db8:72::7

# What ends in IPv6: a lease, one that is given back by its server, and a prefix that is advertised no longer.
step delta reply6 ip=2001:db8:72::8 valid=1000
step delta passes ip=2001:db8:72::8
step delta reply6 ip=2001:db8:72::8 valid=0
step delta blocked ip=2001:db8:72::8
step delta reply6 ip=2001:db8:72::9 valid=4
step delta advertise prefix=2001:db8:74:: valid=4
step delta dad ip=2001:db8:74::6
step delta blocked ip=2001:db8:72::9
step delta blocked ip=2001:db8:74::6
step delta passes ip=2001:db8:70::6

# In IPv6, too, only servers that are trusted, where they are named.
guard epsilon "${mac[epsilon]}" clean-traffic-dual CTRL_IP_LEARNING=dhcp DHCPSERVERV6=fe80::fd >/dev/null
step epsilon reply6 ip=2001:db8:72::15 valid=1000
step epsilon reply6 ip=2001:db8:72::16 valid=1000 server=fe80::fd
step epsilon passes ip=2001:db8:72::16
step epsilon blocked ip=2001:db8:72::15

# The daemon dies and comes back, then the service: what was learned still passes, and learning goes on.
step alpha ack ip=10.70.0.5 lease=1000
step alpha passes ip=10.70.0.5
kill -KILL "$daemon"
wait_until 10 "the daemon's end" daemon_gone
step alpha ack ip=10.70.0.8 lease=1000
daemon_start
step alpha passes ip=10.70.0.5
step alpha passes ip=10.70.0.8
step gamma passes ip=10.70.0.25
step delta passes ip=2001:db8:70::6
service=$(pgrep -x -n bascule-netsvc)
kill -KILL "$service"
another_service() { [[ $(pgrep -x -n bascule-netsvc) != "$service" && -n $(pgrep -x -n bascule-netsvc) ]]; }
wait_until 30 "another service" another_service
step alpha passes ip=10.70.0.5
released() { # learning begins again a moment later
    step alpha release ip=10.70.0.5
    ! nft list set bridge bascule nwf_ip4_IP | grep -qw 10.70.0.5
}
wait_until 30 "learning by the new service" released
step alpha blocked ip=10.70.0.5
step alpha passes ip=10.70.0.8

# A flood costs its own port: it is told and counted, and others learn meanwhile.
step alpha flood count=2000
step beta ack ip=10.70.0.17 lease=1000 server=10.70.0.253
step beta passes ip=10.70.0.17
wait_until 30 "a word about the flood" grep -q "alpha-port: its guest sends more than 10 packets a second" "$root/basculed.log"
counted() { # PORT: what was too much of it, as the kernel counts it
    local all
    all=$(nft list set bridge bascule nwf_not_copied_from)
    grep -Eq "\"$1\" counter packets [1-9]" <<<"$all"
}
wait_until 30 "the flood's count" counted alpha-port || fail "the flood was not counted: $(nft list set bridge bascule nwf_not_copied_from)"
! counted beta-port || fail "beta was counted"

# No learning: an address must be given. Unbound, nothing is left.
v nwfilter-binding-delete gamma-port >/dev/null
if said=$(guard gamma "${mac[gamma]}" clean-traffic CTRL_IP_LEARNING=none 2>&1); then fail "learning is off, and yet it may be missing"; fi
grep -q CTRL_IP_LEARNING <<<"$said" || fail "refused without saying why: $said"
for name in alpha beta delta epsilon zeta; do v nwfilter-binding-delete "$name-port" >/dev/null; done
! nft list table bridge bascule 2>/dev/null | grep -q nwf_ || fail "something is left of the filters"
