#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A nested guest behind clean-traffic sends crafted frames from its own raw socket, through vhost-net: none gets to its
# neighbour, each honest one does, and each drop is counted.
# lab:
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
export BASCULE_ACCEL=kvm
daemon_start
prepare_guest_image
define_guarded
mac=52:54:00:0b:00:01
guest_xml intruder $mac "" default guarded >"$BASCULE_TEST_DIR/intruder.xml"
v create "$BASCULE_TEST_DIR/intruder.xml" >/dev/null
console_log intruder "$BASCULE_TEST_DIR/intruder.console"
plug victim virbr0
at victim ip link set eth0 promisc on
wait_marker 60 "$BASCULE_TEST_DIR/intruder.console" lease >/dev/null
address=$(v domifaddr intruder | awk 'NF { sub("/.*", "", $4); print $4 }')
channel=$(v dumpxml intruder | sed -n "s/.*<source mode='bind' path='\([^']*\)'.*/\1/p")
before=$(dropped '')
"$BASCULE_TOP/tests/netns/hostile.py" "guest:$channel" "pid:${place[victim]}" $mac "$address" 192.168.122.1 ||
    fail "a hostile frame arrived, or an honest one did not"
# Each of the frames was dropped by a rule of ours, not lost on the way.
(($(dropped '') >= before + 15)) || fail "$(($(dropped '') - before)) drops were counted: $(drops '')"

# An address that it was not given is of no use to it, and its own still works.
guest intruder ip addr add 192.168.122.250/24 dev eth0
if guest intruder ping -c 2 -W 1 -I 192.168.122.250 192.168.122.1; then fail "an address without lease passed"; fi
guest intruder ping -c 2 -W 2 -I "$address" 192.168.122.1 || fail "the leased address does not pass any more"
