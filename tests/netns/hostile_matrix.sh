#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every frame of the hostile matrix under the stock filters and one of a user's: each fares as written, none leaks.
# time: 60
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add labbr type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip link set labbr up
# Else fragments go through the IP layer's connection tracking, which keeps them until they are whole.
sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true
mac=52:54:00:61:00:02
plug intruder labbr $mac
plug victim labbr
at victim ip link set eth0 promisc on
for name in intruder victim; do
    at "$name" ip link set eth0 mtu 9000
    ip link set "$name-port" mtu 9000
done
for name in intruder victim; do at "$name" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1; done

# Answers of a web server, whoever asked, and the errors that belong to them.
cat >"$BASCULE_TEST_DIR/web-server.xml" <<'XML'
<filter name='web-server'>
  <filterref filter='clean-traffic'/>
  <rule action='accept' direction='out' priority='100' statematch='false'><tcp srcportstart='80'/></rule>
  <rule action='accept' direction='out' priority='100' statematch='false'><icmp type='3'/></rule>
  <rule action='drop' direction='inout' priority='1000'><all/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/web-server.xml" >/dev/null
for filter in clean-traffic clean-traffic-dual web-server; do
    cat >"$root/binding.xml" <<XML
<filterbinding>
  <owner><name>intruder</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid></owner>
  <portdev name='intruder-port'/>
  <mac address='$mac'/>
  <filterref filter='$filter'>
    <parameter name='IP' value='10.61.0.2'/>
    <parameter name='IPV6' value='2001:db8:61::2'/>
  </filterref>
</filterbinding>
XML
    v nwfilter-binding-create "$root/binding.xml" >/dev/null
    "$BASCULE_TOP/tests/netns/hostile_matrix.py" $filter "${place[intruder]}" "${place[victim]}" ||
        fail "$filter: a frame fared otherwise than written"
    v nwfilter-binding-delete intruder-port >/dev/null
done
