#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Files for guests that boot from the network: TFTP and HTTP, with real clients; no way out of the root.
# time: 40
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }

boot=$BASCULE_TEST_DIR/boot
mkdir -p "$boot/sub dir"
chmod -R a+rX "$BASCULE_TEST_DIR" "$boot"
head -c 3000000 /dev/urandom >"$boot/big"
head -c 1024 /dev/urandom >"$boot/even" # ends with an empty block
: >"$boot/empty"
printf 'one\ntwo\r\n' >"$boot/text"
echo inside >"$boot/sub dir/file"
echo secret >"$BASCULE_TEST_DIR/secret"
ln -s big "$boot/link"
ln -s ../secret "$boot/out"
ln -s /etc/passwd "$boot/absolute"
mkfifo "$boot/fifo"
install -m 600 /dev/null "$boot/private"
daemon_start
cat >"$BASCULE_TEST_DIR/pxe.xml" <<XML
<network>
  <name>pxe</name>
  <bridge name='pxebr' stp='off' delay='0'/>
  <ip address='10.44.0.1' netmask='255.255.255.0'>
    <tftp root='$boot'/>
    <dhcp><range start='10.44.0.10' end='10.44.0.20'/><bootp file='big'/></dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/pxe.xml" >/dev/null
plug alpha pxebr 52:54:00:44:00:01
lease alpha >/dev/null
work=$BASCULE_TEST_DIR/work
mkdir -p "$work"
cd "$work"
same() { cmp -s "$boot/$2" "$3" || fail "$1: $2 came otherwise"; }

# TFTP
for name in big even empty; do
    at alpha busybox tftp -g -r "$name" -l got 10.44.0.1 2>/dev/null || fail "busybox tftp: $name"
    same "busybox tftp" "$name" got
    at alpha busybox tftp -b 1400 -g -r "/$name" -l got 10.44.0.1 2>/dev/null || fail "busybox tftp with blocks of 1400: $name"
    same "blocks of 1400" "$name" got
done
for name in big even; do # curl takes a reply without data for a failure
    rm -f got
    at alpha curl -s -o got "tftp://10.44.0.1/$name" || fail "curl tftp: $name"
    same "curl" "$name" got
done
if command -v atftp >/dev/null; then
    at alpha atftp --option "blksize 1400" --option "windowsize 8" --option "tsize 0" -g -r big -l got 10.44.0.1 2>/dev/null ||
        fail "atftp with a window"
    same "a window of 8" big got
fi
if command -v tftp >/dev/null; then
    at alpha tftp -m binary 10.44.0.1 -c get big got
    same "tftp-hpa" big got
    at alpha tftp -m netascii 10.44.0.1 -c get text got
    same "netascii" text got
fi
at alpha busybox tftp -g -r link -l got 10.44.0.1 2>/dev/null || fail "a link that stays inside"
for name in nowhere out absolute ../secret sub/../../secret fifo "sub dir" private; do
    at alpha timeout 5 busybox tftp -g -r "$name" -l got 10.44.0.1 2>/dev/null && fail "TFTP gave $name away"
done
at alpha busybox tftp -p -l "$boot/even" -r written 10.44.0.1 2>/dev/null && fail "TFTP took a file"
[[ ! -e $boot/written ]] || fail "TFTP wrote"

# HTTP
get() { at alpha curl -s --max-time 5 "$@"; }
code() { get -o /dev/null -w '%{http_code}' "$@"; }
get -o got http://10.44.0.1/big
same "HTTP" big got
is "twice on one connection" "$(get -o a -o b -w '%{num_connects}' http://10.44.0.1/even http://10.44.0.1/big)" 10
same "the second" big b
is "a range" "$(get -r 4-6 http://10.44.0.1/text)" two
is "the end" "$(get -r -5 http://10.44.0.1/text | tr -d '\r\n')" two
is "a range's code" "$(code -r 4-6 http://10.44.0.1/text)" 206
is "beyond the end" "$(code -r 100- http://10.44.0.1/text)" 416
is "HEAD" "$(get -I http://10.44.0.1/big | tr -d '\r' | sed -n 's/^Content-Length: //p')" 3000000
is "an escaped name" "$(get 'http://10.44.0.1/sub%20dir/file?x=1')" inside
for name in nowhere out absolute %2e%2e/secret sub/%2e%2e/%2e%2e/secret "sub%20dir" "" %00; do
    case $(code --path-as-is "http://10.44.0.1/$name") in 403 | 404) ;; *) fail "HTTP: /$name" ;; esac
done
is "not for reading" "$(code http://10.44.0.1/private)" 403
is "a FIFO" "$(code http://10.44.0.1/fifo)" 403
is "POST" "$(code -d x http://10.44.0.1/big)" 405
# Two requests in one segment, and an end of what the client has to say: both are answered.
pipelined() { # FILE…
    printf 'GET /%s HTTP/1.1\r\nHost: x\r\n\r\n' "$@" | at alpha timeout 10 python3 -c '
import socket, sys
s = socket.create_connection(("10.44.0.1", 80))
s.sendall(sys.stdin.buffer.read())
if sys.argv[1] == "end":
    s.shutdown(socket.SHUT_WR)
want = b"HTTP/1.1 200"
got = b""
while got.count(want) < 2:
    more = s.recv(65536)
    if not more:
        break
    got += more
print(got.count(want))' "$how"
}
for how in open end; do is "two requests at once, $how" "$(pipelined text even)" 2; done
is "nonsense" "$(printf 'GARBAGE\r\n\r\n' | at alpha timeout 5 busybox nc 10.44.0.1 80 | head -c 12)" "HTTP/1.1 400"

# A disk that hangs keeps whoever opens files from answering: the files cannot be had then, and everything else can.
opener=$(pgrep -x netsvc-files)
kill -STOP "$opener"
get -o hung -w '%{http_code}' http://10.44.0.1/text >"$BASCULE_TEST_DIR/hung" &
hung=$!
at alpha timeout 20 busybox tftp -g -r text -l got 10.44.0.1 2>"$BASCULE_TEST_DIR/hung.tftp" && fail "TFTP from a hung disk"
for _ in 1 2 3 4 5; do
    at alpha dig +short +time=1 +tries=1 @10.44.0.1 nobody.example >/dev/null || fail "no DNS beside a hung disk"
done
wait "$hung"
is "HTTP from a hung disk" "$(<"$BASCULE_TEST_DIR/hung")" 503
kill -CONT "$opener"
is "HTTP when it goes on" "$(get -r 4-6 http://10.44.0.1/text)" two
at alpha busybox tftp -g -r big -l got 10.44.0.1 2>/dev/null || fail "TFTP when it goes on"
same "TFTP when it goes on" big got

# Who opens files is a process that only does that, and it ends with the other.
[[ -n $(pgrep -x netsvc-files) ]] || fail "no netsvc-files"
kill -KILL "$(pgrep -x bascule-netsvc)"
files_again() { [[ $(code http://10.44.0.1/text) == 200 ]]; }
wait_until 10 "HTTP after the helper was killed" files_again
is "one opener" "$(pgrep -c -x netsvc-files)" 1
