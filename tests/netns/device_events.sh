#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Devices of the host that come, go and change are told to clients that ask for it.
# time: 10
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
events=$BASCULE_TEST_DIR/events
for event in lifecycle update; do
    stdbuf -oL virsh -q -c "$(libvirt_uri)" nodedev-event --event $event --loop --timeout 60 >>"$events" 2>&1 &
done
# Until both listen.
number=0
came() {
    ip link add "dev$((++number))" type bridge
    grep -q "lifecycle.*net_dev" "$events"
}
wait_until 20 "the event of a new device" came
name=$(virsh -q -c "$(libvirt_uri)" nodedev-list --cap net | grep "net_dev${number}_" | tr -d ' ')
says() { grep "$name" "$events" | grep -q "$1"; }
wait_until 20 "that it was created" says Created
ip link del "dev$number"
wait_until 20 "that it was deleted" says Deleted
# A bridge of ours is a device as well.
v net-start default >/dev/null 2>&1 || true
says_bridge() { grep "net_virbr0" "$events" | grep -q Created; }
v net-destroy default >/dev/null
v net-start default >/dev/null
wait_until 20 "the bridge of a network" says_bridge
