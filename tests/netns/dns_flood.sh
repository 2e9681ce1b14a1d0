#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fairness: a guest that floods DNS, holds connections or floods TFTP costs itself its service, not its neighbours.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
boot=$BASCULE_TEST_DIR/boot
mkdir -p "$boot"
head -c 100000 /dev/urandom >"$boot/file"
chmod -R a+rX "$BASCULE_TEST_DIR"
daemon_start
cat >"$BASCULE_TEST_DIR/crowd.xml" <<XML
<network>
  <name>crowd</name>
  <bridge name='crowdbr' stp='off' delay='0'/>
  <domain name='crowd.example' localOnly='yes'/>
  <dns><host ip='10.45.0.200'><hostname>printer</hostname></host></dns>
  <ip address='10.45.0.1' netmask='255.255.255.0'>
    <tftp root='$boot'/>
    <dhcp><range start='10.45.0.10' end='10.45.0.99'/></dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/crowd.xml" >/dev/null
plug good crowdbr 52:54:00:45:00:01
plug bad crowdbr 52:54:00:45:00:02
lease good >/dev/null
lease bad >/dev/null

# served SECONDS: of a neighbour's 100 lookups, how many are answered within a second each.
served() {
    at good python3 - <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect(("10.45.0.1", 53))
answered = 0
for i in range(100):
    s.send(bytes([i, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + b"\x07printer\x05crowd\x07example\x00\x00\x01\x00\x01")
    try:
        while s.recv(512)[0] != i:
            pass
        answered += 1
    except TimeoutError:
        pass
print(answered)
PY
}
enough() { # WHAT COUNT LEAST
    echo "$1: $2 of 100 answered"
    (($2 >= $3)) || fail "$1: only $2 of 100 of a neighbour's lookups were answered"
}
flood() { # PORT PAYLOAD(python bytes)
    exec_at bad python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setblocking(False)
n = 0
while True:
    n += 1
    try:
        s.sendto($2, ('10.45.0.1', $1))
    except BlockingIOError:
        pass
" &
    flooder=$!
    sleep 1
}
stop_flood() {
    kill -0 "$flooder" || fail "the flood was over before its end"
    kill "$flooder"
    wait "$flooder" 2>/dev/null || true
}
enough "at rest" "$(served)" 100
flood 53 'bytes([n & 255, n >> 8 & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + bytes([7]) + b"printer" + bytes([5]) + b"crowd" + bytes([7]) + b"example" + bytes([0, 0, 1, 0, 1])'
enough "a flood of queries" "$(served)" 90
stop_flood
flood 69 'bytes([0, 1]) + b"file" + bytes([0]) + b"octet" + bytes([0])'
enough "a flood of TFTP requests" "$(served)" 90
cd "$BASCULE_TEST_DIR"
at good timeout 20 busybox tftp -g -r file -l got 10.45.0.1 2>/dev/null || fail "no TFTP beside a flood of requests"
cmp -s got "$boot/file" || fail "TFTP beside a flood came otherwise"
stop_flood
# Connections that say nothing, and one that begins a message and never ends it.
exec_at bad python3 -c "
import socket, time
held = []
for i in range(200):
    s = socket.socket()
    s.settimeout(5)
    s.connect(('10.45.0.1', 53 if i % 2 else 80))
    s.send(b'\x00')
    held.append(s)
print('held', flush=True)
time.sleep(60)
" >"$BASCULE_TEST_DIR/held" &
holder=$!
wait_until 20 "200 connections" grep -q held "$BASCULE_TEST_DIR/held"
enough "200 idle connections" "$(served)" 100
[[ $(at good dig +tcp +short +time=2 +tries=1 @10.45.0.1 printer) == 10.45.0.200 ]] || fail "no DNS by TCP beside 200 idle connections"
[[ $(at good curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://10.45.0.1/file) == 200 ]] || fail "no HTTP beside 200 idle connections"
kill "$holder"
