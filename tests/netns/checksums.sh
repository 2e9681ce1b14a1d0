#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 20
# What the service answers has a checksum that a program finds right which reads frames by itself: the kernel leaves it to
# a card that a virtual link does not have, unless it is told otherwise. Both families, DNS and DHCPv6.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$root/sums.xml" <<'XML'
<network><name>sums</name><bridge name='sums0' stp='off'/>
<ip address='10.78.0.1' prefix='24'/><ip family='ipv6' address='fd00:78::1' prefix='64'><dhcp><range start='fd00:78::10' end='fd00:78::20'/></dhcp></ip></network>
XML
v net-create "$root/sums.xml" >/dev/null
plug a sums0 52:54:00:00:78:02
at a ip addr add 10.78.0.2/24 dev eth0
at a ip addr add fd00:78::2/64 dev eth0 nodad
at a python3 "$BASCULE_TOP/tests/netns/checksums.py" eth0 52:54:00:00:78:02 10.78.0.1 fd00:78::1 >"$root/seen" || fail "no answer: $(cat "$root/seen")"
if grep bad "$root/seen"; then fail "checksums that are wrong: $(cat "$root/seen")"; fi
grep -q "ipv6 53 ok" "$root/seen" || fail "DNS over IPv6: $(cat "$root/seen")"
grep -q "ipv6 547 ok" "$root/seen" || fail "DHCPv6: $(cat "$root/seen")"
tear_down
