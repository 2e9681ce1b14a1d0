#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 40
# A real firewalld beside us, with the zone and the policy that are installed for it: a routed network's guests are
# reached, a NAT network's are not, and all of that again after it reloads. Without the policy it turns away what the LAN
# sends to routed guests, and `bascule status` says so.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
tree=${BASCULE_CACHE:-/nowhere}/firewalld
[[ -x $tree/usr/sbin/firewalld ]] || skip "needs firewalld in $tree (tests/support/unpacked.sh)"
/usr/bin/python3 -c 'import dbus, gi' 2>/dev/null || skip "needs python3-dbus and python3-gi"
system_bus
files=$BASCULE_TEST_DIR/firewalld
mkdir -p "$files/etc"
cp -a "$tree/usr/lib/firewalld" "$files/default"
cp -a "$tree/etc/firewalld/." "$files/etc"
cp "$BASCULE_TOP/packaging/firewalld/bascule.xml" "$files/default/zones"
cp "$BASCULE_TOP/packaging/firewalld/bascule-in.xml" "$files/default/policies"
PYTHONPATH=$tree/usr/lib/python3/dist-packages /usr/bin/python3 "$tree/usr/sbin/firewalld" --nofork --nopid \
    --default-config "$files/default" --system-config "$files/etc" --log-file "$files/log" >"$files/out" 2>&1 &
ask_firewalld() { # INTERFACE METHOD
    busctl --system call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 "org.fedoraproject.FirewallD1$1" "$2" 2>&1
}
wait_until 60 "firewalld" ask_firewalld .zone getZones || fail "$(cat "$files/out")"

daemon_start
make_outside
for mode in route nat; do
    n=$([[ $mode == route ]] && echo 1 || echo 2)
    cat >"$root/$mode.xml" <<XML
<network><name>$mode</name><forward mode='$mode'/><bridge name='vfw$n' stp='off'/><ip address='10.88.$n.1' prefix='24'/></network>
XML
    v net-create "$root/$mode.xml" >/dev/null || fail "net-create $mode"
    plug "$mode" "vfw$n"
    at "$mode" ip addr add "10.88.$n.2/24" dev eth0
    at "$mode" ip route add default via "10.88.$n.1"
    at outside ip route add "10.88.$n.0/24" via "$outside_host"
done
in_zone() { ask_firewalld .zone getActiveZones | grep -q '"bascule" 1 "interfaces".*"vfw1".*"vfw2"\|"bascule" 1 "interfaces".*"vfw2".*"vfw1"'; }
pings() { at "$1" ping -c 1 -W 1 "$2" >/dev/null; }
matrix() {
    wait_until 30 "both bridges to be in the zone" in_zone
    wait_until 30 "the outside to reach the routed guest" pings outside 10.88.1.2
    wait_until 30 "the routed guest to reach the outside" pings route "$outside_address"
    wait_until 30 "the NAT guest to reach the outside" pings nat "$outside_address"
    ! pings outside 10.88.2.2 || fail "the outside reaches a guest behind NAT"
    ! pings nat 10.88.1.2 || fail "one network reaches the other"
}
matrix
ask_firewalld "" reload >/dev/null || fail "firewalld does not reload"
matrix
status() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" status; }
no_alarm() { ! status | grep "firewalld" >/dev/null; } # what it said while bridges were in no zone is looked at again
wait_until 30 "no alarm" no_alarm || fail "a false alarm: $(status)"
rm "$files/default/policies/bascule-in.xml"
ask_firewalld "" reload >/dev/null
turned_away() { in_zone && ! pings outside 10.88.1.2; }
wait_until 30 "firewalld to turn the outside away" turned_away
named() { status | grep -q "table inet firewalld.*drops what the outside sends guests of network route"; }
wait_until 30 "the status to name firewalld's rule" named || fail "$(status)"
tear_down
