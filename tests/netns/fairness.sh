#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One port floods with made-up MAC addresses, takes every lease it can, declines, solicits: the NICs of defined guests
# still get theirs, at once, and so does IPv6.
# time: 20
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/fair.xml" <<'XML'
<network>
  <name>fair</name>
  <bridge name='fairbr' stp='off' delay='0'/>
  <ip address='10.44.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.44.0.10' end='10.44.0.29'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00:44::1' prefix='64'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/fair.xml" >/dev/null
for n in 1 2 3; do
    cat >"$BASCULE_TEST_DIR/vm$n.xml" <<XML
<domain type='qemu'>
  <name>vm$n</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='network'><mac address='52:54:00:44:00:0$n'/><source network='fair'/></interface></devices>
</domain>
XML
    v define "$BASCULE_TEST_DIR/vm$n.xml" >/dev/null
done
plug evil fairbr 02:00:00:00:00:66
for n in 1 2 3; do plug "vm$n" fairbr "52:54:00:44:00:0$n"; done

seconds=6
at evil "$BASCULE_TOP/tests/support/dhcp_flood.py" eth0 10.44.0.1 10.44.0.10 20 $seconds >"$BASCULE_TEST_DIR/sent" &
flood=$!
leases() { v net-dhcp-leases fair | grep -c 10.44.0. || true; }
enough() { (($(leases) >= 15)); }
wait_until 10 "the pool to be emptied" enough
slowest=0
# A client begins again when three requests in a row were lost; all of it counts.
patient() { lease "$1" || lease "$1" || lease "$1"; }
for n in 1 2 3; do
    began=$(date +%s%N)
    address=$(patient "vm$n" | fact ip) || fail "vm$n got no lease while its neighbour floods"
    took=$((($(date +%s%N) - began) / 1000000))
    echo "vm$n: $address after $took ms"
    ((took > slowest)) && slowest=$took
done
own_address() { at vm1 ip -6 addr show dev eth0 | grep -q fd00:44; }
wait_until 15 "vm1's own IPv6 address" own_address
kill -0 "$flood" 2>/dev/null || echo "the flood was over before the last lease"
wait "$flood"
echo "slowest $slowest ms beside $(cat "$BASCULE_TEST_DIR/sent") frames in $seconds s"
((slowest < 15000)) || fail "the slowest lease took $slowest ms"
# And the flood has not made the log of the service a means of filling the disk.
lines=$(wc -l <"$root/basculed.log")
((lines < 3000)) || fail "$lines lines in the log"
