#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clients hear what becomes of leases, and of a flood only so much; what is dropped is shown by reason.
# time: 20
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
[[ -x $BASCULE_BUILD/bascule ]] || skip "needs bascule in $BASCULE_BUILD"
daemon_start
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
for name in lab other; do
    [[ $name == lab ]] && net=10.40 || net=10.41
    cat >"$BASCULE_TEST_DIR/$name.xml" <<XML
<network>
  <name>$name</name>
  <bridge name='${name}br' stp='off' delay='0'/>
  <ip address='$net.0.1' netmask='255.255.0.0'>
    <dhcp><range start='$net.1.0' end='$net.3.255'><lease expiry='2' unit='minutes'/></range></dhcp>
  </ip>
</network>
XML
    v net-create "$BASCULE_TEST_DIR/$name.xml" >/dev/null
done
b net watch >"$BASCULE_TEST_DIR/all" 2>&1 &
all=$!
b -o json net watch lab >"$BASCULE_TEST_DIR/lab" 2>&1 &
watchers="$all $!"
b net watch nosuch >"$BASCULE_TEST_DIR/nosuch" 2>&1 && fail "a network that is not there can be watched"
says() { grep -q "$2" "$BASCULE_TEST_DIR/$1"; }
# A watch has begun when it tells of a lease that is taken again and again. The words are in every form of output.
plug probe labbr 52:54:00:40:00:99
hears() { lease probe >/dev/null && says "$1" 52:54:00:40:00:99; }
for file in all lab; do wait_until 30 "the watch to begin" hears $file; done

cat >"$BASCULE_TEST_DIR/vm.xml" <<'XML'
<domain type='qemu'>
  <name>vm</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='network'><mac address='52:54:00:40:00:01'/><source network='lab'/></interface></devices>
</domain>
XML
v define "$BASCULE_TEST_DIR/vm.xml" >/dev/null

# Given, renewed, gone with its guest: each once, to who asked for that network.
plug alpha labbr 52:54:00:40:00:01
plug beta otherbr 52:54:00:41:00:01
address=$(lease alpha -x hostname:alpha | fact ip)
wait_until 5 "alpha's lease" says all "^lab added $address/16 52:54:00:40:00:01 alpha until 2"
lease alpha -x hostname:alpha >/dev/null
wait_until 5 "its renewal" says all "^lab renewed $address/16 "
theirs=$(lease beta | fact ip)
wait_until 5 "beta's lease" says all "^other added $theirs/16 52:54:00:41:00:01 - until 2"
v undefine vm >/dev/null
wait_until 5 "the end of alpha's lease" says all "^lab released $address/16"
[[ $(grep -c "^lab added $address/" "$BASCULE_TEST_DIR/all") == 1 ]] || fail "told twice: $(cat "$BASCULE_TEST_DIR/all")"
wait_until 5 "the same as JSON" says lab '"event": "released"'
says lab '"network": "other"' && fail "who asked for lab hears of others"
jq -es 'map(select(.event == "added" and .mac == "52:54:00:40:00:01" and .address == "'"$address"'")) | length > 0' \
    "$BASCULE_TEST_DIR/lab" >/dev/null || fail "no added lease: $(cat "$BASCULE_TEST_DIR/lab")"

# A daemon that starts again tells nobody what was known before.
daemon_stop
wait "$all" && fail "the watch ended without an error though the daemon was stopped"
daemon_start
b net watch >>"$BASCULE_TEST_DIR/again" 2>&1 &
watchers+=" $!"
wait_until 30 "the watch to begin" hears again

# A flood of leases is cut off, and counted.
plug evil labbr 02:00:00:00:00:66
exec_at evil "$BASCULE_TOP/tests/support/dhcp_flood.py" eth0 10.40.0.1 10.40.1.0 700 "$BASCULE_TEST_DIR/flooded" &
flood=$!
wait_until 30 "events of the flood" says again '^lab added '
wait_until 30 "what the flood left out" says again '^lab missed [0-9]* more: see bascule net leases lab$'
kill "$flood"
says again '^other' && fail "what was known before is told as news: $(grep other "$BASCULE_TEST_DIR/again")"
: >"$BASCULE_TEST_DIR/again"
wait_until 30 "events after the flood" hears again

# What was dropped, and why.
at evil python3 - <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
for _ in range(7):
    s.sendto(b"nonsense", ("255.255.255.255", 67))
PY
malformed() { b status | grep -E '^Messages dropped:.*lab: .*[0-9]+ malformed DHCP'; }
wait_until 5 "malformed messages to be counted" malformed || fail "$(b status)"
malformed
# shellcheck disable=SC2086  # a list
kill $watchers 2>/dev/null || true
