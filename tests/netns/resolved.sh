#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# systemd-resolved on the host learns of a network's names by itself, both ways, and again after it was started anew. It
# is the one that ./test has unpacked into the cache: installing it would take the machine's own resolver over.
# time: 40
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
tree=${BASCULE_CACHE:-/nowhere}/resolved
resolved=$tree/lib/systemd/systemd-resolved
[[ -x $resolved ]] || skip "needs systemd-resolved in $tree (tests/support/unpacked.sh)"
busctl() { LD_LIBRARY_PATH=$libraries "$tree/usr/bin/busctl" "$@"; }
libraries=$tree/usr/lib/x86_64-linux-gnu/systemd

# A system bus and a host of our own.
mkdir -p /run/systemd "$BASCULE_TEST_DIR/etc"
system_bus
cp -a /etc/. "$BASCULE_TEST_DIR/etc"
mount --bind "$BASCULE_TEST_DIR/etc" /etc
id systemd-resolve >/dev/null 2>&1 || {
    echo 'systemd-resolve:x:991:991::/:/bin/false' >>/etc/passwd
    echo 'systemd-resolve:x:991:' >>/etc/group
}
resolve1() { busctl --system "$1" org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.resolve1.Manager "${@:2}"; }
start_resolved() {
    LD_LIBRARY_PATH=$libraries "$resolved" >>"$BASCULE_TEST_DIR/resolved.log" 2>&1 &
    resolver=$!
    wait_until 10 "systemd-resolved" resolve1 get-property DNS
}
start_resolved

daemon_start
cat >"$BASCULE_TEST_DIR/host.xml" <<'XML'
<network>
  <name>host</name>
  <forward mode='nat'/>
  <bridge name='hostbr' stp='off' delay='0'/>
  <domain name='host.example' localOnly='yes'/>
  <dns><host ip='10.46.0.200'><hostname>printer</hostname></host></dns>
  <ip address='10.46.0.1' netmask='255.255.255.0'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/host.xml" >/dev/null
plug alpha hostbr # a bridge without a port has no carrier, and resolved asks nobody there
there() { [[ $(resolve1 call ResolveHostname isit 0 printer.host.example 2 0) == *' 10 46 0 200 '* ]]; }
back() { [[ $(resolve1 call ResolveAddress iiayt 0 2 4 10 46 0 200 0) == *'"printer.host.example"'* ]]; }
wait_until 10 "the name on the host" there
wait_until 10 "the address's name on the host" back
[[ $(resolve1 get-property Domains) == *'"host.example" true'* ]] || fail "the domain is not for routing only"

kill "$resolver"
wait "$resolver" 2>/dev/null || true
start_resolved
wait_until 10 "the name after systemd-resolved was started again" there

# And is told nothing where the definition says so.
sed "s/localOnly='yes'/& register='no'/; s/<name>/<uuid>$(v net-uuid host)<\/uuid>&/" "$BASCULE_TEST_DIR/host.xml" >"$BASCULE_TEST_DIR/silent.xml"
"$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" net define --live "$BASCULE_TEST_DIR/silent.xml" >/dev/null || fail "register='no'"
untold() { [[ $(resolve1 get-property Domains) != *'"host.example"'* ]]; }
wait_until 10 "systemd-resolved to forget the domain" untold
