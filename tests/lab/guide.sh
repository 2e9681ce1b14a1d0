#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The filters that libvirt's guide writes for a server: ssh, a web server, FTP that opens its data connections itself, ping
# and name service from the guest, all else dropped. Each both ways that the guide has it, with the guest at either end.
# lab:
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add labbr type bridge stp_state 0 forward_delay 0
ip link set labbr up
mac=52:54:00:50:00:01
plug alpha labbr $mac
plug beta labbr
at alpha ip addr add 10.50.0.2/24 dev eth0
at beta ip addr add 10.50.0.3/24 dev eth0

# Direction by direction, and by the states of connections.
cat >"$BASCULE_TEST_DIR/by-port.xml" <<'XML'
<filter name='by-port'>
  <filterref filter='clean-traffic'/>
  <rule action='accept' direction='in'><tcp dstportstart='21'/></rule>
  <rule action='accept' direction='out'><tcp srcportstart='20' state='RELATED,ESTABLISHED'/></rule>
  <rule action='accept' direction='in'><tcp dstportstart='20' state='ESTABLISHED'/></rule>
  <rule action='accept' direction='in'><tcp dstportstart='22'/></rule>
  <rule action='accept' direction='in'><tcp dstportstart='80'/></rule>
  <rule action='accept' direction='out'><icmp/></rule>
  <rule action='accept' direction='out'><udp dstportstart='53'/></rule>
  <rule action='drop' direction='inout'><all/></rule>
</filter>
XML
cat >"$BASCULE_TEST_DIR/by-state.xml" <<'XML'
<filter name='by-state'>
  <filterref filter='clean-traffic'/>
  <rule action='accept' direction='in'><all state='ESTABLISHED'/></rule>
  <rule action='accept' direction='out'><all state='ESTABLISHED,RELATED'/></rule>
  <rule action='accept' direction='in'><tcp dstportstart='21' dstportend='22' state='NEW'/></rule>
  <rule action='accept' direction='in'><tcp dstportstart='80' state='NEW'/></rule>
  <rule action='accept' direction='out'><icmp state='NEW'/></rule>
  <rule action='accept' direction='out'><udp dstportstart='53' state='NEW'/></rule>
  <rule action='drop' direction='inout'><all/></rule>
</filter>
XML
cat >"$BASCULE_TEST_DIR/echo.py" <<'PY'
import socket, sys
# echo serve tcp|udp PORT; echo ask tcp|udp PEER PORT: "hello" or "nothing"
stream = sys.argv[2] == "tcp"
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
if sys.argv[1] == "serve":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", int(sys.argv[3])))
    if stream:
        sock.listen()
    kept = []
    while True:
        if stream:
            kept.append(sock.accept()[0])
            kept[-1].sendall(b"hello")
        else:
            sock.sendto(b"hello", sock.recvfrom(100)[1])
sock.settimeout(4)
try:
    sock.connect((sys.argv[3], int(sys.argv[4])))
    sock.send(b"well?")
    print(sock.recv(5).decode())
except OSError:
    print("nothing")
PY
for port in 22 80 81; do at alpha python3 "$BASCULE_TEST_DIR/echo.py" serve tcp $port & done
at alpha "$BASCULE_TOP/tests/support/ftp.py" serve &
at beta python3 "$BASCULE_TEST_DIR/echo.py" serve udp 53 &
at beta python3 "$BASCULE_TEST_DIR/echo.py" serve udp 54 &
at beta python3 "$BASCULE_TEST_DIR/echo.py" serve tcp 80 &
ask() { at "$1" python3 "$BASCULE_TEST_DIR/echo.py" ask "${@:2}"; }
fetch() { at "$1" "$BASCULE_TOP/tests/support/ftp.py" fetch "$2" "$3"; }
hello() { [[ $("$@") == hello ]]; }
for port in 22 80 81; do wait_until 20 "alpha's server at $port" hello ask beta tcp 10.50.0.2 $port; done
wait_until 20 "alpha's FTP" hello fetch beta 10.50.0.3 10.50.0.2
for port in 53 54; do wait_until 20 "beta's server at $port" hello ask alpha udp 10.50.0.3 $port; done
expect() { # WHAT COMMAND…
    local got
    got=$("${@:2}")
    [[ $got == "$1" ]] || fail "$filter: ${*:2}: expected $1, got $got; $(nft list table bridge bascule)"
}
for filter in by-port by-state; do
    v nwfilter-define "$BASCULE_TEST_DIR/$filter.xml" >/dev/null
    bind alpha-port $mac $filter >/dev/null
    at beta ip neigh flush dev eth0
    # Its first frame tells which address it has.
    wait_until 30 "the guest's ping" at alpha busybox ping -c 1 -W 1 10.50.0.3
    expect hello ask beta tcp 10.50.0.2 22
    expect hello ask beta tcp 10.50.0.2 80
    expect nothing ask beta tcp 10.50.0.2 81
    expect hello ask alpha udp 10.50.0.3 53
    expect nothing ask alpha udp 10.50.0.3 54
    expect nothing ask alpha tcp 10.50.0.3 80
    expect hello fetch beta 10.50.0.3 10.50.0.2
    if at beta busybox ping -c 1 -W 1 10.50.0.2; then fail "$filter: the guest can be pinged"; fi
    v nwfilter-binding-delete alpha-port >/dev/null
done
