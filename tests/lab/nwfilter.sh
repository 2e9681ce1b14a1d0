#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What filters need a kernel with bridge connection tracking and reject for: connections pass in the direction that was
# allowed and their answers with them, a count of connections holds, what is rejected is told so at once.
# lab:
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.50.0.1' netmask='255.255.255.0'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
cat >"$BASCULE_TEST_DIR/served.xml" <<'XML'
<filter name='served'>
  <uuid>5f4d0a7e-58c7-4f0b-9b43-0a1f5f3a7d22</uuid>
  <rule action='drop' direction='in' priority='100'><tcp connlimit-above='2' dstportstart='2222'/></rule>
  <rule action='accept' direction='in' priority='200'><tcp dstportstart='22' dstportend='23'/></rule>
  <rule action='accept' direction='in' priority='200'><tcp dstportstart='2222'/></rule>
  <rule action='accept' direction='out' priority='200'><tcp dstportstart='80'/></rule>
  <rule action='accept' direction='out' priority='200'><icmp type='8'/></rule>
  <rule action='accept' direction='in' priority='200'><icmp type='0'/></rule>
  <rule action='accept' direction='in' priority='300'><all state='RELATED'/></rule>
  <rule action='reject' direction='inout' priority='900'><tcp/></rule>
  <rule action='reject' direction='out' priority='900'><udp/></rule>
  <rule action='drop' direction='inout' priority='1000'><all/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/served.xml" >/dev/null
mac=52:54:00:50:00:01
plug alpha labbr $mac
plug beta labbr
at alpha ip addr add 10.50.0.2/24 dev eth0
at beta ip addr add 10.50.0.3/24 dev eth0
cat >"$BASCULE_TEST_DIR/tcp.py" <<'PY'
import socket, sys, time
if sys.argv[1] == "serve":
    server = socket.create_server(("", int(sys.argv[2])))
    kept = []
    while True:
        kept.append(server.accept()[0])
        kept[-1].sendall(b"hello")
# connect PEER PORT [FROM [HOW-MANY]]: what became of the last one
_, _, peer, port, *more = sys.argv
kept = []
try:
    for _ in range(int(more[1]) if len(more) > 1 else 1):
        source = ("", int(more[0]) if more else 0)
        kept.append(socket.create_connection((peer, int(port)), timeout=1.5, source_address=source))
        assert kept[-1].recv(5) == b"hello"
    print("hello")
except ConnectionRefusedError:
    print("refused")
except (TimeoutError, OSError):
    print("nothing")
PY
tcp() { at "$1" python3 "$BASCULE_TEST_DIR/tcp.py" connect "${@:2}"; }
for port in 22 81 2222; do at alpha python3 "$BASCULE_TEST_DIR/tcp.py" serve $port & done
for port in 80 5555; do at beta python3 "$BASCULE_TEST_DIR/tcp.py" serve $port & done
says() { [[ $(tcp "${@:2}") == "$1" ]]; }
wait_until 10 "alpha's servers" says hello beta 10.50.0.2 81
wait_until 10 "beta's servers" says hello alpha 10.50.0.3 5555
bind alpha-port $mac served >/dev/null

expect() { # WHAT WHY tcp's arguments…
    local got
    got=$(tcp "${@:3}")
    [[ $got == "$1" ]] || fail "$2: expected $1, got $got; $(nft list table bridge bascule)"
}
expect hello "a connection to the port that is open" beta 10.50.0.2 22
expect nothing "a connection to another port" beta 10.50.0.2 81
expect hello "a connection that the guest may open" alpha 10.50.0.3 80
expect refused "a connection that it may not open" alpha 10.50.0.3 5555
expect refused "an open port turned round" alpha 10.50.0.3 5555 23
expect hello "as many connections as are allowed" beta 10.50.0.2 2222 0 2
expect nothing "one connection more" beta 10.50.0.2 2222 0 3
at alpha busybox ping -c 1 -W 2 10.50.0.3 || fail "the guest cannot ping"
if at beta busybox ping -c 1 -W 1 10.50.0.2; then fail "the guest can be pinged"; fi
nft list table bridge bascule | grep 'packets [1-9].*reject.*served/rule 8' >/dev/null || fail "rejects are not counted"

# As it was before a change that the kernel or we refuse.
sed "s/<udp\/>/<udp srcipaddr='\$NOWHERE'\/>/" "$BASCULE_TEST_DIR/served.xml" >"$BASCULE_TEST_DIR/broken.xml"
if said=$(v nwfilter-define "$BASCULE_TEST_DIR/broken.xml" 2>&1); then fail "a filter without its parameter was taken"; fi
grep -q NOWHERE <<<"$said" || fail "refused without its reason: $said"
expect hello "a connection after a refused change" beta 10.50.0.2 22
