#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 60
# Bridges are in their zone of firewalld's, where one runs: the zone that <bridge zone=> names or ours, again after it
# reloads or is started anew, changed while the network runs, gone with it. A zone that cannot be had is refused.
# NetworkManager and systemd-networkd are told which bridges are none of theirs.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
/usr/bin/python3 -c 'import dbus, gi' 2>/dev/null || skip "needs python3-dbus and python3-gi"
system_bus
zones=$BASCULE_TEST_DIR/zones
firewalld() {
    /usr/bin/python3 "$BASCULE_TOP/tests/support/fake_firewalld.py" "$zones" public bascule dmz 2>"$BASCULE_TEST_DIR/firewalld.log" &
    firewalld=$!
    wait_until 30 "the fake firewalld" busctl --system call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 \
        org.fedoraproject.FirewallD1.zone getZones
}
is() { grep -qx "$1 $2" "$zones"; }
is_none() { ! grep -q "^$1 " "$zones"; }

mkdir -p "$root/run/NetworkManager" "$root/run/systemd/netif"
manager=$root/run/NetworkManager/conf.d/bascule.conf
networkd=$root/run/systemd/network/10-bascule-networks.network
daemon_start
network() { # NAME BRIDGE-ATTRIBUTES
    echo "<network><name>$1</name><forward mode='nat'/><bridge name='$1' $2/><ip address='10.61.$3.1' prefix='24'/></network>"
}
# What a definition of the host's devices makes is none of theirs, too.
echo "<interface type='bridge' name='hostbr0'><bridge/></interface>" >"$root/hostbr0.xml"
v iface-define "$root/hostbr0.xml" >/dev/null || fail "iface-define"
hands_off_device() { grep -q 'interface-name:=hostbr0' "$manager" && grep -q 'hostbr0' "$networkd"; }
wait_until 30 "them to be told of a device of the host's" hands_off_device
v iface-undefine hostbr0 >/dev/null
network work0 "zone='dmz'" 1 >"$root/work0.xml"
v net-define "$root/work0.xml" >/dev/null
hands_off() { grep -qx 'unmanaged-devices+=interface-name:=work0' "$manager" && grep -qx 'Name=work0' "$networkd"; }
wait_until 30 "NetworkManager and networkd to be told" hands_off
v net-start work0 2>"$root/words" && fail "a zone without a firewalld"
grep -q "firewalld does not run" "$root/words" || fail "why not: $(cat "$root/words")"

firewalld
wait_until 30 "what runs already to be in our zone" is virbr0 bascule
v net-start work0 >/dev/null || fail "starting it"
wait_until 30 "its own zone" is work0 dmz
network other0 "zone='nosuch'" 2 >"$root/other0.xml"
v net-create "$root/other0.xml" 2>"$root/words" && fail "a zone that is not there"
grep -q "no such zone; it has: bascule, dmz, public" "$root/words" || fail "why not: $(cat "$root/words")"
[[ ! -e /sys/class/net/other0 ]] || fail "it left a bridge"

# firewalld forgets when it reloads, and when it is another one.
kill -USR1 "$firewalld"
dmz_and_ours() { is work0 dmz && is virbr0 bascule; }
none() { [[ ! -s $zones ]]; }
wait_until 30 "the zones after a reload" dmz_and_ours
kill "$firewalld"
wait "$firewalld" 2>/dev/null || true
: >"$zones"
firewalld
wait_until 30 "the zones of another firewalld" dmz_and_ours

# Another zone while it runs, and no zone of its own.
sed "s/ zone='dmz'/ zone='public'/" "$root/work0.xml" | sed "s/<name>/<uuid>$(v net-uuid work0)<\/uuid>&/" >"$root/moved.xml"
"$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" net define --live "$root/moved.xml" >/dev/null || fail "another zone, live"
wait_until 30 "the other zone" is work0 public

# The next daemon tells it again; what stops is taken out.
daemon_stop
: >"$zones"
kill -USR1 "$firewalld"
wait_until 30 "an empty firewalld" none
daemon_start
both() { is work0 public && is virbr0 bascule; }
wait_until 30 "the zones that the next daemon tells" both
v net-destroy work0 >/dev/null
wait_until 30 "its zone to be taken back" is_none work0
v net-undefine work0 >/dev/null
no_files() { [[ ! -e $manager && ! -e $networkd ]]; }
wait_until 30 "the files to go" no_files
tear_down
