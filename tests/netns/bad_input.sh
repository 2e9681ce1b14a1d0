#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is wrong is refused, in words that help, with nothing half-done.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
file=$BASCULE_TEST_DIR/bad.xml

# refused WORDS COMMAND…: fails, and its error has all of these words (a | between them).
refused() {
    local words=$1 said word
    shift
    if said=$("$@" 2>&1); then fail "was not refused: $*"; fi
    while read -r word; do
        grep -qi -- "$word" <<<"$said" || fail "'$*' was refused without saying '$word': $said"
    done < <(tr '|' '\n' <<<"$words")
}
given() { cat >"$file"; }
is_refused() { refused "$1" v "$2" "$file"; } # WORDS VIRSH-COMMAND

# Not XML: the parser's words, with the line.
given <<<"<network><name>x</nam></network>"
is_refused "mismatch|name" net-define
given <<<"<network><name>x</name"
is_refused "[: ][0-9]" net-define
given <<<"<domain type 'qemu'><name>x</name></domain>"
is_refused "[: ][0-9]" define
given <<<"<domain type='qemu'><name>x</name></domain><"
is_refused "[: ][0-9]" define
given <<<'<!DOCTYPE n [<!ENTITY e SYSTEM "file:///etc/passwd">]><network><name>&e;</name></network>'
if v net-define "$file" >/dev/null 2>&1; then fail "an external entity was read"; fi

# Not understood: the element, its line and what was perhaps meant.
given <<'XML'
<network>
  <name>typo</name>
  <bridge name='typobr'/>
  <ip address='10.80.0.1' netmask='255.255.255.0'>
    <dhpc><range start='10.80.0.2' end='10.80.0.9'/></dhpc>
  </ip>
</network>
XML
is_refused "dhpc|line 5|dhcp" net-define
sed -i 's/dhpc/dhcp/g; s/10.80.0.9/10.81.0.9/' "$file"
is_refused "10.81.0.9|line 5" net-define
given <<<"<network><name>a/b</name></network>"
is_refused "name" net-define

# A subnet that somebody has already.
given <<<"<network><name>clash</name><ip address='192.168.122.129' netmask='255.255.255.128'/></network>"
is_refused "192.168.122|default" net-create
ip link add other0 type veth peer name other1
ip addr add 10.82.0.77/16 dev other0
ip link set other0 up
ip link set other1 up
given <<<"<network><name>clash</name><ip address='10.82.5.1' netmask='255.255.255.0'/></network>"
is_refused "10.82|other0" net-create

# The wrong moment.
refused "already active" v net-start default
refused "not found" v net-start nowhere
given <<<"<network><name>idle</name><bridge name='idlebr'/><ip address='10.83.0.1' netmask='255.255.255.0'/></network>"
v net-define "$file" >/dev/null
refused "not active" v net-destroy idle

# Guests: no network, a network that is not active, no bridge, no kernel, no memory.
guest() { # INTERFACE KERNEL
    given <<XML
<domain type='qemu'>
  <name>bad</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>$2</kernel></os>
  <devices>$1</devices>
</domain>
XML
}
kernel=$root/no-such-kernel
guest "<interface type='network'><source network='nowhere'/></interface>" "$kernel"
is_refused "nowhere" create
guest "<interface type='network'><source network='idle'/></interface>" "$kernel"
is_refused "idle|not active" create
guest "<interface type='bridge'><source bridge='nobr0'/></interface>" "$kernel"
is_refused "nobr0" create
guest "" "$kernel"
is_refused "no-such-kernel" create
guest "<interface type='network'><source network='default'/><filterref filter='nowhere'/></interface>" "$kernel"
is_refused "nowhere" create
guest "<warp drive='on'/>" "$kernel"
is_refused "warp|line" define
v list --all --name | grep . && fail "a refused guest is listed"

# A console that is not there.
guest "" "$kernel"
v define "$file" >/dev/null
refused "not running" v console bad --force
v undefine bad >/dev/null

# Bytes that are no protocol: the connection ends, the daemon does not.
for bytes in '' '\0\0\0\0' '\xff\xff\xff\xff\xff\xff\xff\xff' '\0\0\0\x1c\x20\0\x80\x86\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\0\0\0' 'GET / HTTP/1.0\r\n\r\n'; do
    python3 - "$root/run/bascule/libvirt-sock" "$bytes" <<'PY'
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(5)
sock.connect(sys.argv[1])
sock.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
sock.shutdown(socket.SHUT_WR)
try:
    while sock.recv(4096):
        pass
except ConnectionError:
    pass
PY
done
[[ $(v uri) == qemu* ]] || fail "the daemon does not answer any more"

# Of all that nothing is left.
ip link show typobr >/dev/null 2>&1 && fail "a refused network left a bridge"
left=$(left_behind | grep -v -E 'virbr0|table|process' || true)
[[ -z $left ]] || fail "left behind: $left"
