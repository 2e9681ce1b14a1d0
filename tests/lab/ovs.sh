#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# lab:
# time: 300
# Ports of guests that only stand there (paused) on an Open vSwitch bridge: access, trunk and native, what a controller
# finds them by, a network and its portgroups over such a bridge; they outlive the daemon and go with their guest.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v ovs-vswitchd >/dev/null || skip "needs openvswitch-switch"
trap stop_everything EXIT
stop_everything() {
    tear_down
    ovs-appctl -t ovs-vswitchd exit >/dev/null 2>&1 || true
    ovs-appctl -t ovsdb-server exit >/dev/null 2>&1 || true
}
daemon_start
port() { # NAME MAC SOURCE VIRTUALPORT VLAN
    cat >"$root/$1.xml" <<XML
<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<interface $3><mac address='$2'/>$4$5</interface></devices></domain>
XML
}
on_bridge="type='bridge'><source bridge='ovsbr0'/"
plain="<virtualport type='openvswitch'/>"
port early 52:54:00:00:02:01 "$on_bridge" "$plain" ""
v create --paused "$root/early.xml" 2>"$root/words" >/dev/null && fail "a port where no Open vSwitch runs"
grep -q "Open vSwitch does not run" "$root/words" || fail "why not: $(cat "$root/words")"

modprobe openvswitch || fail "no module openvswitch"
mkdir -p /run/openvswitch
ovsdb-tool create "$root/vswitch.db" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$root/vswitch.db" --remote=punix:/run/openvswitch/db.sock --detach --no-chdir --pidfile --log-file="$root/ovsdb.log"
ovs-vsctl --no-wait init
ovs-vswitchd --detach --no-chdir --pidfile --log-file="$root/vswitchd.log" 2>/dev/null
port lost 52:54:00:00:02:02 "$on_bridge" "$plain" ""
v create --paused "$root/lost.xml" 2>"$root/words" >/dev/null && fail "a port of a bridge that is not there"
grep -q "ovsbr0" "$root/words" || fail "why not: $(cat "$root/words")"
if ovs-vsctl show | grep vnet; then fail "it left a port"; fi
ovs-vsctl add-br ovsbr0

cat >"$root/net.xml" <<'XML'
<network><name>ovs-net</name><forward mode='bridge'/><bridge name='ovsbr0'/><virtualport type='openvswitch'/>
<portgroup name='red'><vlan><tag id='66'/></vlan>
  <virtualport><parameters profileid='blood'/></virtualport></portgroup></network>
XML
v net-create "$root/net.xml" >/dev/null
interface=9f1c2d3e-0000-4000-8000-0123456789ab
port access 52:54:00:00:02:03 "$on_bridge" \
    "<virtualport type='openvswitch'><parameters interfaceid='$interface' profileid='menial'/></virtualport>" "<vlan><tag id='42'/></vlan>"
port trunk 52:54:00:00:02:04 "$on_bridge" "$plain" "<vlan trunk='yes'><tag id='42'/><tag id='48'/></vlan>"
port native 52:54:00:00:02:05 "$on_bridge" "$plain" "<vlan trunk='yes'><tag id='42'/><tag id='7' nativeMode='untagged'/></vlan>"
port early 52:54:00:00:02:01 "$on_bridge" "$plain" ""
port red 52:54:00:00:02:06 "type='network'><source network='ovs-net' portgroup='red'/" "" ""
guests=(access trunk native early red)
for guest in "${guests[@]}"; do v create --paused "$root/$guest.xml" >/dev/null || fail "$guest"; done

tap() { v domiflist "$1" | awk 'NR == 1 { print $1 }'; }
seen() { # GUEST: tag, trunks, mode of its port
    ovs-vsctl get port "$(tap "$1")" tag trunks vlan_mode | tr '\n' ' ' | sed 's/ $//'
}
is() { [[ $(seen "$1") == "$2" ]] || fail "$1: $(seen "$1")"; }
id() { ovs-vsctl --if-exists get interface "$(tap "$1")" "external_ids:$2" | tr -d '"'; }
is access "42 [] []"
is trunk "[] [42, 48] []"
is native "7 [7, 42] native-untagged"
is early "[] [] []"
is red "66 [] []"
[[ $(id access iface-id) == "$interface" ]] || fail "interfaceid: $(id access iface-id)"
[[ $(id access port-profile) == menial && $(id red port-profile) == blood ]] || fail "profileid"
[[ $(id access attached-mac) == 52:54:00:00:02:03 ]] || fail "its MAC: $(id access attached-mac)"
[[ $(id access vm-id) == $(v domuuid access) ]] || fail "whose it is: $(id access vm-id)"
# Who names none gets one, which a client sees and which stays.
made=$(id early iface-id)
[[ $made =~ ^[0-9a-f-]{36}$ ]] || fail "no interfaceid: '$made'"
[[ $(v dumpxml early) == *"$made"* ]] || fail "clients do not see it: $(v dumpxml early)"

row() { ovs-vsctl get interface "$(tap "$1")" _uuid; }
before=$(row access)
daemon_stop
daemon_start
[[ $(row access) == "$before" ]] || fail "the next daemon made the port anew"
is access "42 [] []"
[[ $(id early iface-id) == "$made" ]] || fail "another interfaceid: $(id early iface-id)"

# While it runs: its cable is pulled and put back, by itself and as a change of the whole device; a change of its switch's
# side is refused, and then nothing has changed.
link() { v domif-getlink access "$(tap access)"; }
v domif-setlink access "$(tap access)" down >/dev/null || fail "the cable"
[[ $(link) == *down* ]] || fail "the cable is in: $(link)"
v domif-setlink access "$(tap access)" up >/dev/null
[[ $(link) == *up* ]] || fail "the cable is out: $(link)"
is access "42 [] []"
device() { # VLAN LINK
    echo "<interface type='bridge'><mac address='52:54:00:00:02:03'/><source bridge='ovsbr0'/><virtualport type='openvswitch'><parameters interfaceid='$interface' profileid='menial'/></virtualport><vlan><tag id='$1'/></vlan><link state='$2'/></interface>"
}
device 42 down >"$root/device.xml"
v update-device access "$root/device.xml" --live >/dev/null 2>"$root/words" || fail "update-device: $(cat "$root/words")"
[[ $(link) == *down* ]] || fail "update-device did nothing: $(link)"
device 42 up >"$root/device.xml"
v update-device access "$root/device.xml" --live >/dev/null
[[ $(link) == *up* ]] || fail "the cable is out: $(link)"
v domiftune access "$(tap access)" --inbound 1000 --outbound 500,800,400 --live >/dev/null || fail "limits"
tc class show dev "$(tap access)" | grep -q "rate 8Mbit" || fail "no limit: $(tc class show dev "$(tap access)")"
tc filter show dev "$(tap access)" parent ffff: | grep -q "police.*peakrate 6400Kbit" || fail "no peak: $(tc filter show dev "$(tap access)" parent ffff:)"
is access "42 [] []"
device 43 up >"$root/device.xml"
v update-device access "$root/device.xml" --live >/dev/null 2>"$root/words" && fail "another VLAN was taken"
grep -q "Open vSwitch" "$root/words" || fail "why not: $(cat "$root/words")"
is access "42 [] []"
[[ $(v dumpxml access) == *"<tag id='42'/>"* ]] || fail "$(v dumpxml access)"

gone=$(tap access)
v destroy access >/dev/null
no_port() { ! ovs-vsctl port-to-br "$1"; }
wait_until 30 "the port to go" no_port "$gone"
for guest in "${guests[@]:1}"; do v destroy "$guest" >/dev/null; done
no_ports() { [[ -z $(ovs-vsctl list-ports ovsbr0) ]]; }
wait_until 30 "all ports to go" no_ports
