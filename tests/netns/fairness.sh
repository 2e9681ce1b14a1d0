#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One port floods, with made-up MAC addresses and then with its own: takes every lease it can, declines, solicits. The NICs
# of defined guests get theirs meanwhile, and so does IPv6. Counted in messages that they need.
# time: 25
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

# flood [OWN]: begins one, and waits until it has sent enough to be one.
sent=$BASCULE_TEST_DIR/sent
frames() { cat "$sent" 2>/dev/null || echo 0; }
many() { (($(frames) >= $1)); }
flood() {
    rm -f "$sent"
    exec_at evil "$BASCULE_TOP/tests/support/dhcp_flood.py" eth0 10.44.0.1 10.44.0.10 20 "$sent" "$@" &
    flood=$!
    wait_until 30 "the flood" many 5000
}
dropped_for() { # REASON -> how often, as the status has it
    "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" status | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p" | head -1
}
# A client sends one message a second. It gives up when a request of it was lost three times, and begins again: three
# times that is as much as any client's patience.
patient() { lease "$1" || lease "$1" || lease "$1"; }
messages=0
all_get_theirs() {
    local n asked
    for n in 1 2 3; do
        at "vm$n" ip -4 addr flush dev eth0
        patient "vm$n" >"$BASCULE_TEST_DIR/vm$n.facts" || fail "vm$n got no lease while its neighbour floods"
        asked=$(grep -c 'discover\|select' "$BASCULE_TEST_DIR/lease-vm$n.err")
        echo "vm$n: $(fact ip <"$BASCULE_TEST_DIR/vm$n.facts") for $asked messages"
        ((messages += asked))
    done
    kill -0 "$flood" || fail "the flood has ended by itself"
}
leases() { v net-dhcp-leases fair | grep -c 10.44.0. || true; }
enough() { (($(leases) >= 15)); }

# Under made-up addresses: it has all of the pool that is not kept for guests, and they have theirs.
flood
wait_until 30 "the pool to be emptied" enough
all_get_theirs
own_address() { at vm1 ip -6 addr show dev eth0 | grep -q 'fd00:44:0:0\|fd00:44::'; }
wait_until 30 "vm1's own IPv6 address" own_address
got6() { # DHCPv6 without a lease: what a client sends until it is answered
    at "$1" timeout 40 dhclient -6 -S -1 -sf /bin/true -lf "$BASCULE_TEST_DIR/$1.leases6" -pf "$BASCULE_TEST_DIR/$1.pid6" eth0 \
        >/dev/null 2>&1
}
got6 vm2 || fail "vm2 is not answered by DHCPv6 while its neighbour floods"
kill "$flood"
echo "$messages messages of three guests beside $(frames) frames"

# Under its own: the port of a defined guest, which is known.
cat >"$BASCULE_TEST_DIR/evil.xml" <<'XML'
<domain type='qemu'>
  <name>evil</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='network'><mac address='02:00:00:00:00:66'/><source network='fair'/></interface></devices>
</domain>
XML
v define "$BASCULE_TEST_DIR/evil.xml" >/dev/null
flood own
all_get_theirs
got6 vm3 || fail "vm3 is not answered by DHCPv6 while a known port floods"
kill "$flood"
rate() { [[ $(dropped_for "DHCP beyond a port's rate") -gt 0 ]]; }
wait_until 30 "the drops to be told" rate
# Three guests, twice, two messages each when none is lost; a client that is not heard at all sends forty.
((messages <= 120)) || fail "$messages messages for six leases"
# And the flood has not made the log of the service a means of filling the disk.
lines=$(wc -l <"$root/basculed.log")
((lines < 12000)) || fail "$lines lines in the log"
