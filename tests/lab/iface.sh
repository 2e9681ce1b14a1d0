#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# lab:
# time: 200
# VLANs and bonds of the host as definitions of ours, alone, on top of each other and in a bridge: made, read back, kept
# by the next daemon, taken back; frames carry the tag, and a bond lives on when one of its members loses its cable.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
trap tear_down EXIT
daemon_start
ip netns add far
for n in 0 1; do
    ip link add "port$n" type veth peer name "far$n"
    ip link set "far$n" netns far up
done
# The far end: a switch with both cables, an address on VLAN 42.
ip -n far link add sw type bridge
ip -n far link set far0 master sw
ip -n far link set far1 master sw
ip -n far link set sw up
ip -n far link add link sw name sw.42 type vlan id 42
ip -n far link set sw.42 up
ip -n far addr add 198.51.100.1/24 dev sw.42
ip -n far addr add 192.0.2.1/24 dev sw
ip link set port0 up
ip addr add 192.0.2.10/24 dev port0
ip route add default via 192.0.2.1 dev port0 metric 77

refused() { # WORDS COMMAND…
    local words=$1
    shift
    ! v "$@" >"$root/out" 2>"$root/words" || fail "$* was done"
    grep -q "$words" "$root/words" || fail "$*: $(cat "$root/words")"
}
define() {
    cat >"$root/new.xml"
    v iface-define "$root/new.xml" >/dev/null 2>"$root/words" || fail "iface-define: $(cat "$root/words")"
}
start() { v iface-start "$1" >/dev/null 2>"$root/words" || fail "iface-start $1: $(cat "$root/words")"; }
stop() { v iface-destroy "$1" >/dev/null 2>&1 || true; } # virsh 9.0 ends with 1 when it went well
reaches() { ping -c 1 -W 1 "$1" >/dev/null; }

# A VLAN of a device.
define <<'XML'
<interface type='vlan' name='port0.42'><start mode='onboot'/>
  <protocol family='ipv4'><ip address='198.51.100.2' prefix='24'/></protocol>
  <vlan tag='42'><interface name='port0'/></vlan></interface>
XML
v iface-dumpxml port0.42 --inactive | grep -q "<vlan tag='42'>" || fail "$(v iface-dumpxml port0.42 --inactive)"
start port0.42
[[ $(ip -d link show port0.42) == *"vlan protocol 802.1Q id 42"* ]] || fail "$(ip -d link show port0.42)"
wait_until 30 "the far end on VLAN 42" reaches 198.51.100.1
v iface-dumpxml port0.42 >"$root/live.xml"
for words in "type='vlan'" "tag='42'" 198.51.100.2; do
    grep -q "$words" "$root/live.xml" || fail "no $words: $(cat "$root/live.xml")"
done
before=$(cat /sys/class/net/port0.42/ifindex)
daemon_stop
daemon_start
[[ $(cat /sys/class/net/port0.42/ifindex) == "$before" ]] || fail "the next daemon made it anew"
# What somebody else removes comes back, with its address.
ip link del port0.42
again() { ip -4 addr show port0.42 2>/dev/null | grep -q 198.51.100.2; }
wait_until 30 "the VLAN to come back" again
# As a port: what virsh makes of it.
v iface-bridge port0.42 brv --no-stp >/dev/null 2>"$root/words" || fail "iface-bridge: $(cat "$root/words")"
[[ $(readlink /sys/class/net/port0.42/master) == *brv ]] || fail "it is no port: $(ip -d link show port0.42)"
ip -4 addr show brv | grep -q 198.51.100.2 || fail "the bridge has no address: $(ip addr)"
v iface-unbridge brv >/dev/null 2>"$root/words" || fail "iface-unbridge: $(cat "$root/words")"
[[ ! -e /sys/class/net/brv ]] || fail "brv is still there"
wait_until 30 "the VLAN's address" again
stop port0.42
[[ ! -e /sys/class/net/port0.42 ]] || fail "port0.42 is still there"
v iface-undefine port0.42 >/dev/null

# A bond of two, a VLAN of it. What the first had comes back afterwards.
define <<'XML'
<interface type='bond' name='bond0'><mtu size='1450'/>
  <protocol family='ipv4'><ip address='192.0.2.20' prefix='24'/><route gateway='192.0.2.1'/></protocol>
  <bond mode='active-backup'><miimon freq='100' updelay='250' carrier='netif'/>
    <interface type='ethernet' name='port0'/><interface type='ethernet' name='port1'/></bond></interface>
XML
define <<'XML'
<interface type='vlan' name='bond0.42'>
  <protocol family='ipv4'><ip address='198.51.100.2' prefix='24'/></protocol>
  <vlan tag='42'><interface name='bond0'/></vlan></interface>
XML
refused "start it first (iface-start bond0)" iface-start bond0.42
v iface-begin >/dev/null
start bond0
start bond0.42
shown=$(cat /proc/net/bonding/bond0)
[[ $shown == *"fault-tolerance (active-backup)"* && $shown == *"Slave Interface: port0"* && $shown == *"Slave Interface: port1"* ]] || fail "$shown"
[[ $shown == *"MII Polling Interval (ms): 100"* && $shown == *"Up Delay (ms): 200"* ]] || fail "$shown"
[[ $(cat /sys/class/net/bond0/mtu) == 1450 ]] || fail "its MTU: $(ip link show bond0)"
[[ -z $(ip -4 -o addr show port0) ]] || fail "a member has an address"
ip route show default | grep -q "via 192.0.2.1 dev bond0" || fail "$(ip route)"
wait_until 30 "the far end over the bond" reaches 192.0.2.1
wait_until 30 "the far end over the bond's VLAN" reaches 198.51.100.1
active=$(cat /sys/class/net/bond0/bonding/active_slave)
ip -n far link set "far${active#port}" down
wait_until 30 "the other member to take over" reaches 192.0.2.1
ip -n far link set "far${active#port}" up
v iface-dumpxml bond0 >"$root/live.xml"
for words in "mode='active-backup'" "freq='100'" "name='port1'" "gateway='192.0.2.1'"; do
    grep -q "$words" "$root/live.xml" || fail "no $words: $(cat "$root/live.xml")"
done
refused "'bond0.42' stands on bond0: stop it first" iface-destroy bond0
daemon_stop
daemon_start # nobody confirmed
[[ ! -e /sys/class/net/bond0 && ! -e /sys/class/net/bond0.42 ]] || fail "not taken back: $(ip link)"
ip -4 addr show port0 | grep -q 192.0.2.10 || fail "port0 did not get its address back: $(ip addr)"
ip route show default | grep -q "via 192.0.2.1 dev port0.*metric 77" || fail "nor its route: $(ip route)"
wait_until 30 "the far end, as before" reaches 192.0.2.1

# A bridge over a bond over a VLAN-less pair, in one definition; then ARP as its monitor.
define <<'XML'
<interface type='bridge' name='br9'><protocol family='ipv4'><ip address='192.0.2.30' prefix='24'/></protocol>
  <bridge stp='off'><interface type='bond' name='bond9'><bond mode='balance-xor'>
    <arpmon interval='200' target='192.0.2.1' validate='all'/>
    <interface type='ethernet' name='port0'/></bond></interface>
    <interface type='ethernet' name='port1'/></bridge></interface>
XML
sed "s/balance-xor/802.3ad/" "$root/new.xml" >"$root/no.xml"
refused "a mode that <arpmon> works with" iface-define "$root/no.xml"
ip -n far link set far1 down # else it would be a loop
start br9
[[ $(readlink /sys/class/net/bond9/master) == *br9 && $(readlink /sys/class/net/port0/master) == *bond9 ]] || fail "$(ip link)"
grep -q "192.0.2.1" /sys/class/net/bond9/bonding/arp_ip_target || fail "its ARP target"
wait_until 30 "the far end through the bridge" reaches 192.0.2.1
v iface-dumpxml br9 | grep -q "<arpmon interval='200' target='192.0.2.1' validate='all'/>" || fail "$(v iface-dumpxml br9)"
stop br9
[[ ! -e /sys/class/net/br9 && ! -e /sys/class/net/bond9 ]] || fail "left: $(ip link)"
ip -4 addr show port0 | grep -q 192.0.2.10 || fail "port0 has no address: $(ip addr)"
