#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# type='kvm' guests on `default`: lease, names, the world behind NAT, each other; their frames go through vhost-net, or
# not where the definition says so.
# lab: namespaces=host
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
trap tear_down EXIT
needs_daemon
export BASCULE_ACCEL=kvm
for device in /dev/kvm /dev/vhost-net; do [[ -c $device ]] || fail "this lab host has no $device"; done
make_outside
daemon_start
prepare_guest_image

start() { # NAME MAC [DRIVER]
    local driver=${3:+"<driver name='$3'/>"}
    guest_xml "$1" "$2" "" | sed "s|<model type='virtio'/>|&$driver|" >"$BASCULE_TEST_DIR/$1.xml"
    v define "$BASCULE_TEST_DIR/$1.xml" >/dev/null
    v start "$1" >/dev/null
    console_log "$1" "$BASCULE_TEST_DIR/$1.console"
}
start alpha 52:54:00:0a:00:01
start beta 52:54:00:0a:00:02
start gamma 52:54:00:0a:00:03 qemu

address() { v domifaddr "$1" | awk 'NF { sub("/.*", "", $4); print $4 }'; }
for name in alpha beta gamma; do
    wait_marker 60 "$BASCULE_TEST_DIR/$name.console" lease >/dev/null
    [[ $(address $name) == 192.168.122.* ]] || fail "domifaddr of $name: $(v domifaddr $name)"
done

# Lease, name service, the world, each other.
guest alpha ip -4 addr show eth0 | grep -q "inet $(address alpha)/24" || fail "alpha has another address than its lease says"
[[ $(guest alpha nslookup beta) == *"$(address beta)"* ]] || fail "alpha does not know beta: $(guest alpha nslookup beta)"
guest alpha ping -c 3 -W 2 "$outside_address" || fail "alpha does not reach the world"
guest alpha ping -c 3 -W 2 "$(address beta)" || fail "alpha does not reach beta"
guest beta ping -c 3 -W 2 "$(address alpha)" || fail "beta does not reach alpha"
guest gamma ping -c 3 -W 2 "$(address alpha)" || fail "gamma does not reach alpha"
status=0
guest alpha 'echo said; exit 7' >"$BASCULE_TEST_DIR/said" || status=$?
[[ $status == 7 && $(<"$BASCULE_TEST_DIR/said") == said ]] || fail "the responder: status $status, '$(<"$BASCULE_TEST_DIR/said")'"

# vhost: QEMU has the device open, and the kernel works for it in a thread of its own.
qemu_of() { pgrep -f "^[^ ]*qemu-system-x86_64 .*guest=$1[, ]"; }
vhost_descriptors() { find "/proc/$(qemu_of "$1")/fd" -lname /dev/vhost-net | wc -l; }
vhost_threads() { pgrep -c "^vhost-$(qemu_of "$1")\$" || true; }
for name in alpha beta; do
    [[ $(vhost_descriptors $name) == 1 ]] || fail "QEMU of $name has $(vhost_descriptors $name) descriptors of /dev/vhost-net"
    (($(vhost_threads $name) > 0)) || fail "no vhost thread works for $name"
done
[[ $(vhost_descriptors gamma) == 0 ]] || fail "driver name='qemu' did not switch vhost off"
[[ $(vhost_threads gamma) == 0 ]] || fail "a vhost thread works for gamma"
[[ $(v dumpxml gamma) == *"<driver name='qemu'"* ]] || fail "gamma's definition lost its driver"

# Asked for and not there: refused, not run slowly.
chmod 000 /dev/vhost-net
mv /dev/vhost-net /dev/vhost-net.away
trap 'mv /dev/vhost-net.away /dev/vhost-net; chmod 666 /dev/vhost-net; tear_down' EXIT
guest_xml delta 52:54:00:0a:00:04 "" | sed "s|<model type='virtio'/>|&<driver name='vhost'/>|" >"$BASCULE_TEST_DIR/delta.xml"
if said=$(v create "$BASCULE_TEST_DIR/delta.xml" 2>&1); then fail "driver name='vhost' started without vhost-net"; fi
grep -q /dev/vhost-net <<<"$said" || fail "the refusal does not name /dev/vhost-net: $said"
