#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An intruder behind clean-traffic and a filter against rogue DHCP servers: no hostile frame gets to the other ports of
# the bridge, each honest one does.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.60.0.1' netmask='255.255.255.0'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
define_guarded

mac=52:54:00:60:00:02
plug intruder labbr $mac
plug victim labbr
at victim ip link set eth0 promisc on
bind intruder-port $mac guarded 10.60.0.2 >/dev/null
"$BASCULE_TOP/tests/netns/hostile.py" "pid:${place[intruder]}" "pid:${place[victim]}" $mac 10.60.0.2 10.60.0.1 ||
    fail "a hostile frame arrived, or an honest one did not"
