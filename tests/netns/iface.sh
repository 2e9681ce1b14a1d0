#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 30
# The host's own devices: defined, started and stopped, put into a bridge and taken out, tried and taken back.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add eth0 type veth peer name far0
ip link set far0 up
ip link set eth0 up
ip addr add 192.0.2.10/24 dev eth0
names() { v iface-list "$@" | awk '{ print $1 }'; }
address_of() { ip -j addr show "$1" | jq -r '.[0].addr_info[] | select(.family == "inet") | .local'; }
refused() { # WORDS COMMAND…
    local words=$1
    shift
    ! v "$@" >"$root/out" 2>"$root/words" || fail "$* was done"
    grep -q "$words" "$root/words" || fail "$*: $(cat "$root/words")"
}

names | grep -x eth0 >/dev/null || fail "eth0 is not listed"
[[ $(v iface-mac eth0) == "$(cat /sys/class/net/eth0/address)" ]] || fail "iface-mac"
[[ $(v iface-name "$(cat /sys/class/net/eth0/address)") == eth0 ]] || fail "iface-name"
# Two with one MAC: which is meant is not guessed.
own=$(cat /sys/class/net/far0/address)
ip link set far0 address "$(cat /sys/class/net/eth0/address)"
refused "2 devices have the MAC address" iface-name "$(cat /sys/class/net/eth0/address)"
ip link set far0 address "$own"

cat >"$root/br0.xml" <<'XML'
<interface type='bridge' name='br0'>
  <start mode='onboot'/>
  <mtu size='1400'/>
  <protocol family='ipv4'>
    <ip address='192.0.2.20' prefix='24'/>
    <route gateway='192.0.2.1'/>
  </protocol>
  <bridge stp='off' delay='0'>
    <interface type='ethernet' name='eth0'/>
  </bridge>
</interface>
XML
v iface-define "$root/br0.xml" >/dev/null || fail "iface-define"
names --inactive | grep -x br0 >/dev/null || fail "a definition is not listed"
v iface-dumpxml br0 --inactive >"$root/dumped.xml"
v iface-define "$root/dumped.xml" >/dev/null || fail "what was dumped is not taken"
v iface-start br0 >/dev/null || fail "iface-start"
[[ $(address_of br0) == 192.0.2.20 && -z $(address_of eth0) ]] || fail "addresses: $(ip addr)"
[[ $(readlink /sys/class/net/eth0/master) == *br0 ]] || fail "eth0 is no port of br0"
ip route show default | grep "via 192.0.2.1 dev br0" >/dev/null || fail "no default route: $(ip route)"
refused "active already" iface-start br0

# The next daemon leaves it as it is.
before=$(ip -4 -o addr show br0; cat /sys/class/net/br0/mtu)
daemon_stop
daemon_start
[[ $(ip -4 -o addr show br0; cat /sys/class/net/br0/mtu) == "$before" ]] || fail "a new daemon changed it"
v iface-destroy br0 >/dev/null || true # virsh 9.0 ends with 1 when it went well
[[ ! -e /sys/class/net/br0 && $(address_of eth0) == 192.0.2.10 ]] || fail "eth0 did not get its address back: $(ip addr)"

# Tried, and taken back: what runs and what is defined.
v iface-begin >/dev/null
refused "under way" iface-begin
v iface-start br0 >/dev/null
v iface-undefine br0 >/dev/null
v iface-rollback >/dev/null || fail "iface-rollback"
[[ ! -e /sys/class/net/br0 && $(address_of eth0) == 192.0.2.10 ]] || fail "not taken back: $(ip addr)"
names --inactive | grep -x br0 >/dev/null || fail "the definition did not come back"
refused "no change is under way" iface-commit
v iface-begin >/dev/null
v iface-undefine br0 >/dev/null
v iface-commit >/dev/null
! names --all | grep -x br0 >/dev/null || fail "it is defined still"
# A daemon that finds a change which nobody confirmed takes it back.
v iface-define "$root/br0.xml" >/dev/null
v iface-begin >/dev/null
v iface-undefine br0 >/dev/null
daemon_stop KILL
daemon_start
names --all | grep -x br0 >/dev/null || fail "a change that nobody confirmed was kept"
[[ $(address_of br0) == 192.0.2.20 ]] || fail "what starts with the host did not"
v iface-destroy br0 >/dev/null || true
v iface-undefine br0 >/dev/null

# virsh puts a device into a bridge, and takes it out.
v iface-bridge eth0 br1 --no-stp >/dev/null 2>"$root/words" || fail "iface-bridge: $(cat "$root/words")"
[[ $(address_of br1) == 192.0.2.10 && -z $(address_of eth0) ]] || fail "iface-bridge: $(ip addr)"
v iface-unbridge br1 >/dev/null 2>"$root/words" || fail "iface-unbridge: $(cat "$root/words")"
[[ ! -e /sys/class/net/br1 && $(address_of eth0) == 192.0.2.10 ]] || fail "iface-unbridge: $(ip addr)"
# It is an interface of its own now, and can be put into a bridge again.
v iface-bridge eth0 br1 --no-stp >/dev/null 2>"$root/words" || fail "iface-bridge again: $(cat "$root/words")"
[[ $(address_of br1) == 192.0.2.10 && -z $(address_of eth0) ]] || fail "iface-bridge again: $(ip addr)"
v iface-unbridge br1 >/dev/null 2>"$root/words" || fail "iface-unbridge again: $(cat "$root/words")"

# Whose it is.
mkdir -p /run/NetworkManager/devices
printf '[device]\nmanaged=true\n' >"/run/NetworkManager/devices/$(cat /sys/class/net/eth0/ifindex)"
refused "NetworkManager manages eth0" iface-define "$root/br0.xml"
rm -r /run/NetworkManager
sed 's/name=.eth0./name="nosuch0"/' "$root/br0.xml" >"$root/no.xml"
refused "no network device nosuch0" iface-define "$root/no.xml"
# VLANs and bonds: what this kernel lacks is named, and nothing is left (tests/lab/iface.sh has the rest).
made() { # TYPE ELEMENT
    echo "<interface type='$1' name='on-top'><protocol family='ipv4'><ip address='198.51.100.2' prefix='24'/></protocol>$2</interface>" >"$root/top.xml"
    v iface-define "$root/top.xml"
}
start_or_say() { # MODULE
    if v iface-start on-top >"$root/out" 2>"$root/words"; then
        [[ $(address_of on-top) == 198.51.100.2 ]] || fail "$(ip addr)"
        v iface-destroy on-top >/dev/null 2>&1 || true
    else
        grep -q "lacks the module $1" "$root/words" || fail "$(cat "$root/words")"
    fi
    [[ ! -e /sys/class/net/on-top && $(address_of eth0) == 192.0.2.10 ]] || fail "left: $(ip addr)"
    v iface-undefine on-top >/dev/null
}
made vlan "<vlan tag='42'><interface name='eth0'/></vlan>" >/dev/null || fail "a VLAN"
start_or_say 8021q
made bond "<bond mode='active-backup'><miimon freq='100'/><interface name='eth0'/></bond>" >/dev/null || fail "a bond"
start_or_say bonding
# iface-bridge of the device whose default route the host lives on takes the route along and brings it back.
v iface-undefine eth0 >/dev/null
ip route add default via 192.0.2.1 dev eth0 metric 7
v iface-bridge eth0 br1 --no-stp >/dev/null 2>"$root/words" || fail "iface-bridge: $(cat "$root/words")"
ip route show default | grep "via 192.0.2.1 dev br1" >/dev/null || fail "the host lost its way out: $(ip route)"
v iface-unbridge br1 >/dev/null 2>"$root/words" || fail "iface-unbridge: $(cat "$root/words")"
ip route show default | grep "via 192.0.2.1 dev eth0" >/dev/null || fail "the way out did not come back: $(ip route)"
ip route del default
wrong() { # WORDS ELEMENT…
    ! made "${@:2}" >/dev/null 2>"$root/words" || fail "$2 $3 was taken"
    grep -q "$1" "$root/words" || fail "$2 $3: $(cat "$root/words")"
}
wrong "1 to 4094" vlan "<vlan tag='4095'><interface name='eth0'/></vlan>"
wrong "on top of itself" vlan "<vlan tag='4'><interface name='on-top'/></vlan>"
wrong "no network device nosuch0" vlan "<vlan tag='4'><interface name='nosuch0'/></vlan>"
wrong "<vlan>" vlan ""
wrong "<miimon> or <arpmon>, not both" bond "<bond><miimon freq='1'/><arpmon interval='1' target='192.0.2.1'/></bond>"
wrong "an IPv4 address" bond "<bond><arpmon interval='1' target='fd00::1'/></bond>"
wrong "two places" bond "<bond><interface name='eth0'/><interface name='eth0'/></bond>"
wrong "lo is the host's own loop" bond "<bond><interface name='lo'/></bond>"
wrong "'balance-rr'.*'802.3ad'" bond "<bond mode='fast'/>"
sed "s/type='bridge' name/type='team' name/" "$root/br0.xml" >"$root/team.xml"
refused "'ethernet', 'bridge', 'vlan' or 'bond'" iface-define "$root/team.xml"
sed "s/name='br0'/name='virbr0'/" "$root/br0.xml" >"$root/ours.xml"
refused "own already" iface-define "$root/ours.xml"
tear_down
