#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What filters need a kernel with bridge connection tracking and reject for: connections pass in the direction that was
# allowed and their answers with them, a count of connections holds, what is rejected is told so at once.
# lab:
# time: 300
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <forward mode='route'/>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.50.0.1' netmask='255.255.255.0'/>
  <ip family='ipv6' address='fd00:50::1' prefix='64'/>
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
beta=52:54:00:50:00:02
plug beta labbr $beta
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
expect refused "a connection to another port" beta 10.50.0.2 81
expect hello "a connection that the guest may open" alpha 10.50.0.3 80
expect refused "a connection that it may not open" alpha 10.50.0.3 5555
expect refused "an open port turned round" alpha 10.50.0.3 5555 23
expect hello "as many connections as are allowed" beta 10.50.0.2 2222 0 2
expect nothing "one connection more" beta 10.50.0.2 2222 0 3
at alpha busybox ping -c 1 -W 2 10.50.0.3 || fail "the guest cannot ping"
if at beta busybox ping -c 1 -W 1 10.50.0.2; then fail "the guest can be pinged"; fi
nft list table bridge bascule | grep 'packets [1-9].*reject.*served/rule 8' >/dev/null || fail "rejects are not counted"

# Who is rejected is told: both ways, in both families, between guests of one bridge, whoever of them is filtered.
cat >"$BASCULE_TEST_DIR/closed.xml" <<'XML'
<filter name='closed'>
  <rule action='accept' direction='in' priority='100' statematch='false'>
    <tcp srcipaddr='$FRIEND[@1]' dstportstart='81'/>
  </rule>
  <rule action='drop' direction='in' priority='200'><udp dstportstart='7'/></rule>
  <rule action='reject' direction='in' priority='300'><tcp dstportend='1023' dstportstart='1'/></rule>
  <rule action='reject' direction='in' priority='300'><udp/></rule>
  <rule action='reject' direction='in' priority='300'><tcp-ipv6 dstportend='1023' dstportstart='1'/></rule>
  <rule action='reject' direction='in' priority='300'><udp-ipv6/></rule>
  <rule action='reject' direction='out' priority='300'><udp dstportstart='9'/></rule>
  <rule action='reject' direction='out' priority='300'><udp-ipv6 dstportstart='9'/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/closed.xml" >/dev/null
cat >"$BASCULE_TEST_DIR/told.py" <<'PY'
import socket, sys
# told PROTOCOL PEER PORT: what becomes of a connection, or of a datagram
_, protocol, peer, port = sys.argv
family = socket.AF_INET6 if ":" in peer else socket.AF_INET
sock = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
sock.settimeout(3)
try:
    sock.connect((peer, int(port)))
    for attempt in range(2 if protocol == "udp" else 0):
        try:
            sock.send(b"hello")
        except PermissionError:
            pass  # what the host's own sockets are told of a packet that is rejected; the reason follows
        try:
            sock.recv(5)
            break
        except TimeoutError:
            if attempt == 1:
                raise
    print("taken")
except ConnectionRefusedError:
    print("refused")
except (TimeoutError, OSError):
    print("nothing")
PY
told() { # WHAT PLACE PROTOCOL PEER PORT
    local got
    got=$(at "$2" python3 "$BASCULE_TEST_DIR/told.py" "${@:3}")
    [[ $got == "$1" ]] || fail "${*:2}: expected $1, got $got; $(nft list table bridge bascule)"
}
plug gamma labbr 52:54:00:50:00:03
for one in alpha:2 beta:3 gamma:4; do
    at ${one%:*} ip -6 addr add fd00:50::${one#*:}/64 dev eth0 nodad
done
at gamma ip addr add 10.50.0.4/24 dev eth0
v nwfilter-binding-delete alpha-port >/dev/null
closed() { # PORT MAC FRIENDS…
    local port=$1 mac=$2
    shift 2
    {
        printf "<filterbinding><owner><name>%s</name><uuid>5f4d0a7e-58c7-4f0b-9b43-0a1f5f3a7d33</uuid></owner>" "$port"
        printf "<portdev name='%s'/><mac address='%s'/><filterref filter='closed'>" "$port" "$mac"
        printf "<parameter name='FRIEND' value='%s'/>" "$@"
        printf "</filterref></filterbinding>"
    } >"$BASCULE_TEST_DIR/binding.xml"
    v nwfilter-binding-create "$BASCULE_TEST_DIR/binding.xml" >/dev/null
}
closed alpha-port $mac 10.50.0.3 10.50.0.9
closed beta-port "$beta" 10.50.0.2 10.50.0.9
counted() { nft list table bridge bascule | grep -c "packets [1-9].*reject.*$1"; }
told taken beta tcp 10.50.0.2 81
told refused gamma tcp 10.50.0.2 81
told refused gamma udp 10.50.0.2 5000
told nothing gamma udp 10.50.0.2 7
told refused beta tcp 10.50.0.2 22
told refused alpha udp 10.50.0.3 5000
told refused alpha udp 10.50.0.4 9
for place in beta gamma; do
    told refused $place tcp fd00:50::2 22
    told refused $place udp fd00:50::2 5000
done
told refused alpha udp fd00:50::4 9
# The host's own sockets, too, and who is routed to the guest: at the second packet.
place outer
ip link add outer0 type veth peer name eth0 netns "${place[outer]}"
ip addr add 10.51.0.1/24 dev outer0
sysctl -qw net.ipv6.conf.outer0.disable_ipv6=0
ip addr add fd00:51::1/64 dev outer0 nodad
ip link set outer0 up
at outer ip addr add 10.51.0.2/24 dev eth0
at outer ip addr add fd00:51::2/64 dev eth0 nodad
at outer ip link set eth0 up
at outer ip route add default via 10.51.0.1
at outer ip -6 route add default via fd00:51::1
at_or_here() { if [[ $1 == host ]]; then "${@:2}"; else at "$@"; fi; }
refused_at_second() { # PLACE PROTOCOL PEER PORT
    local got
    got=$(at_or_here "$1" python3 "$BASCULE_TEST_DIR/told.py" "${@:2}")
    [[ $got == refused ]] || fail "$*: expected refused, got $got; $(nft list ruleset)"
}
for place in host outer; do
    refused_at_second $place tcp 10.50.0.2 22
    refused_at_second $place udp 10.50.0.2 5000
    refused_at_second $place tcp fd00:50::2 22
    refused_at_second $place udp fd00:50::2 5000
    [[ $(at_or_here $place python3 "$BASCULE_TEST_DIR/told.py" udp 10.50.0.2 7) == nothing ]] || fail "$place is told of a drop"
done
for rule in 3 4 5 6 7 8; do
    (($(counted "closed/rule $rule") > 0)) || fail "rule $rule rejected nothing; $(nft list table bridge bascule)"
done
v nwfilter-binding-delete alpha-port >/dev/null
v nwfilter-binding-delete beta-port >/dev/null
told taken gamma tcp 10.50.0.2 81

# What belongs to another connection: FTP's server opens one to where its client said, which the kernel knows by a helper.
at beta "$BASCULE_TOP/tests/support/ftp.py" serve &
ftp() { at alpha "$BASCULE_TOP/tests/support/ftp.py" fetch 10.50.0.2 10.50.0.3; }
fetches() { [[ $(ftp) == "$1" ]]; }
wait_until 10 "an FTP server" fetches hello
cat >"$BASCULE_TEST_DIR/ftp.xml" <<'XML'
<filter name='ftp'>
  <uuid>5f4d0a7e-58c7-4f0b-9b43-0a1f5f3a7d44</uuid>
  <rule action='accept' direction='out' priority='200'><tcp dstportstart='21'/></rule>
  <rule action='accept' direction='inout' priority='300'><all state='ESTABLISHED,RELATED'/></rule>
  <rule action='drop' direction='inout' priority='1000'><all/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/ftp.xml" >/dev/null
bind alpha-port $mac ftp >/dev/null
[[ $(ftp) == hello ]] || fail "what FTP's helper relates is dropped: $(nft list table bridge bascule)"
sed "s/,RELATED//" "$BASCULE_TEST_DIR/ftp.xml" >"$BASCULE_TEST_DIR/strict.xml"
v nwfilter-define "$BASCULE_TEST_DIR/strict.xml" >/dev/null
[[ $(ftp) == nothing ]] || fail "a connection that no rule lets in passed: $(nft list table bridge bascule)"
! nft list table bridge bascule | grep -q 'ct helper' || fail "helpers that nobody needs are left"
v nwfilter-binding-delete alpha-port >/dev/null
bind alpha-port $mac served >/dev/null

# Who counts connections forgets in time those that ended without saying so: the next ping has its turn.
cat >"$BASCULE_TEST_DIR/one.xml" <<'XML'
<filter name='one'>
  <rule action='drop' direction='out' priority='100'><icmp connlimit-above='1'/></rule>
  <rule action='drop' direction='out' priority='100'><tcp connlimit-above='50'/></rule>
  <rule action='accept' direction='out' priority='200'><tcp dstportstart='5555'/></rule>
  <rule action='accept' direction='out' priority='200'><icmp/></rule>
  <rule action='drop' direction='inout' priority='1000'><all/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/one.xml" >/dev/null
v nwfilter-binding-delete alpha-port >/dev/null
bind alpha-port $mac one >/dev/null
pings() { at alpha busybox ping -c 1 -W 1 10.50.0.3 >/dev/null; }
wait_until 20 "the first ping" pings
wait_until 20 "the second ping" pings
expect hello "a connection that is counted" alpha 10.50.0.3 5555
[[ $(</proc/sys/net/netfilter/nf_conntrack_icmp_timeout) == 3 ]] || fail "ICMP's time-out is not set"
awk '/dport=5555/ && /ESTABLISHED|_WAIT|LAST_ACK/ { seen = 1; if ($5 > 7200) exit 1 } END { exit !seen }' /proc/net/nf_conntrack ||
    fail "a counted connection has the kernel's own time-out: $(cat /proc/net/nf_conntrack)"
v nwfilter-binding-delete alpha-port >/dev/null
! nft list table bridge bascule 2>/dev/null | grep -q 'ct timeout' || fail "time-outs that nobody needs are left"
bind alpha-port $mac served >/dev/null

# As it was before a change that the kernel or we refuse.
sed "s/<udp\/>/<udp srcipaddr='\$NOWHERE'\/>/" "$BASCULE_TEST_DIR/served.xml" >"$BASCULE_TEST_DIR/broken.xml"
if said=$(v nwfilter-define "$BASCULE_TEST_DIR/broken.xml" 2>&1); then fail "a filter without its parameter was taken"; fi
grep -q NOWHERE <<<"$said" || fail "refused without its reason: $said"
expect hello "a connection after a refused change" beta 10.50.0.2 22
