#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Filters through virsh: the stock ones are there; bound, edited, unbound, they do what they say, at once.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.50.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.50.0.10' end='10.50.0.99'/></dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
reaches() { at "$1" busybox ping -c 1 -W 1 -I "$2" 10.50.0.1; }
unreached() { ! reaches "$@"; }
refused() { # WORDS COMMAND…: fails, and says so in these words
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then fail "was not refused: $*"; fi
    grep -qi -- "$words" <<<"$said" || fail "refused without saying '$words': $said"
}

# The stock filters, and one with its references.
for name in clean-traffic no-mac-spoofing no-ip-spoofing no-arp-spoofing no-other-l2-traffic qemu-announce-self \
    allow-incoming-ipv4 allow-arp allow-ipv4 allow-dhcp; do
    v nwfilter-list | grep -w "$name" >/dev/null || fail "there is no filter $name"
done
v nwfilter-dumpxml clean-traffic | grep -q "filter='no-mac-spoofing'" || fail "clean-traffic does not refer to no-mac-spoofing"

# Bound with an address: that one passes, another does not.
mac=52:54:00:50:00:01
plug alpha labbr $mac
at alpha ip addr add 10.50.0.2/24 dev eth0
at alpha ip addr add 10.50.0.3/24 dev eth0
wait_until 5 "the bare port" reaches alpha 10.50.0.3
bind alpha-port $mac clean-traffic 10.50.0.2 >/dev/null
v nwfilter-binding-list | grep alpha-port | grep -q clean-traffic || fail "nwfilter-binding-list"
v nwfilter-binding-dumpxml alpha-port | grep -q "value='10.50.0.2'" || fail "nwfilter-binding-dumpxml"
wait_until 5 "the honest address" reaches alpha 10.50.0.2
unreached alpha 10.50.0.3 >/dev/null || fail "a spoofed source passed"
refused "alpha-port" bind alpha-port $mac clean-traffic 10.50.0.2
# What was dropped is counted, by port and rule.
b nwfilter drops alpha-port | grep -q '^alpha-port  *out  *no-ip-spoofing/rule [0-9]*  *[1-9]' ||
    fail "no drop is counted: $(b nwfilter drops; nft list table bridge bascule)"
refused "no port 'nothing' has a filter" b nwfilter drops nothing
counted() { nft list set bridge bascule nwf_drops_from | grep 'counter packets'; }
counted >/dev/null || fail "nothing is in the set of drops"

# Unbound, everything passes again; bound with a list, both of its addresses do.
v nwfilter-binding-delete alpha-port >/dev/null
wait_until 5 "the freed port" reaches alpha 10.50.0.3
bind alpha-port $mac clean-traffic 10.50.0.2 10.50.0.3 >/dev/null
wait_until 5 "the first of two addresses" reaches alpha 10.50.0.2
wait_until 5 "the second of two addresses" reaches alpha 10.50.0.3
# What was counted of a port goes with it, some time later: while another keeps the set in place.
reaches_none() { ! at alpha busybox ping -c 1 -W 1 -I 10.50.0.77 10.50.0.1; }
at alpha ip addr add 10.50.0.77/24 dev eth0
reaches_none || fail "a third address passed"
counted >/dev/null || fail "nothing is in the set of drops"
plug keeper labbr 52:54:00:50:00:09
bind keeper-port 52:54:00:50:00:09 clean-traffic 10.50.0.9 >/dev/null
v nwfilter-binding-delete alpha-port >/dev/null
swept() { ! counted | grep -v keeper-port; }
wait_until 30 "the counts of a port that is gone to go" swept || fail "$(nft list set bridge bascule nwf_drops_from)"
v nwfilter-binding-delete keeper-port >/dev/null

# A filter of our own, edited while two ports use it: both change.
own() { # ACTION
    cat >"$BASCULE_TEST_DIR/own.xml" <<XML
<filter name='own' chain='root'>
  <uuid>5f4d0a7e-58c7-4f0b-9b43-0a1f5f3a7d11</uuid>
  <rule action='$1' direction='out' priority='100'>
    <ip dstipaddr='10.50.0.1' protocol='icmp'/>
  </rule>
</filter>
XML
    v nwfilter-define "$BASCULE_TEST_DIR/own.xml" >/dev/null
}
plug beta labbr 52:54:00:50:00:02
at beta ip addr add 10.50.0.4/24 dev eth0
own accept
bind alpha-port $mac own >/dev/null
bind beta-port 52:54:00:50:00:02 own >/dev/null
wait_until 5 "alpha under its own filter" reaches alpha 10.50.0.2
wait_until 5 "beta under its own filter" reaches beta 10.50.0.4
own drop
unreached alpha 10.50.0.2 >/dev/null || fail "the edited filter does not hold alpha"
unreached beta 10.50.0.4 >/dev/null || fail "the edited filter does not hold beta"
refused "in use" v nwfilter-undefine own
v nwfilter-binding-delete alpha-port >/dev/null
v nwfilter-binding-delete beta-port >/dev/null
v nwfilter-undefine own >/dev/null

# The IP layer decides beside the Ethernet layer: both have to let a packet pass. What would change is told before it
# does, and why a packet fares as it does.
cat >"$BASCULE_TEST_DIR/own.xml" <<'XML'
<filter name='own' chain='root'>
  <uuid>5f4d0a7e-58c7-4f0b-9b43-0a1f5f3a7d11</uuid>
  <rule action='accept' direction='inout' priority='100'><mac protocolid='ipv4'/></rule>
  <rule action='accept' direction='out' priority='100' statematch='false'><icmp dstipaddr='$PEER[@1]' type='8'/></rule>
  <rule action='accept' direction='in' priority='100' statematch='false'><icmp type='0'/></rule>
  <rule action='drop' direction='inout' priority='900'><all/></rule>
</filter>
XML
sed "s/\$PEER\[@1\]/10.50.0.1/" "$BASCULE_TEST_DIR/own.xml" >"$BASCULE_TEST_DIR/one.xml"
v nwfilter-define "$BASCULE_TEST_DIR/one.xml" >/dev/null
bind alpha-port $mac own >/dev/null
wait_until 5 "the one address that may be pinged" reaches alpha 10.50.0.2
if at alpha busybox ping -c 1 -W 1 10.50.0.4; then fail "an address that may not be pinged was"; fi
b nwfilter explain alpha-port 'out icmp src=10.50.0.2 dst=10.50.0.4 type=8' >"$BASCULE_TEST_DIR/why"
grep -q 'is dropped' "$BASCULE_TEST_DIR/why" || fail "explain: $(cat "$BASCULE_TEST_DIR/why")"
grep -q '# own/rule 4' "$BASCULE_TEST_DIR/why" || fail "explain: $(cat "$BASCULE_TEST_DIR/why")"
refused "expected 'in' or 'out'" b nwfilter explain alpha-port tcp
sed "s/dstipaddr='10.50.0.1'/dstipaddr='10.50.0.4'/" "$BASCULE_TEST_DIR/one.xml" >"$BASCULE_TEST_DIR/two.xml"
b nwfilter diff "$BASCULE_TEST_DIR/two.xml" >"$BASCULE_TEST_DIR/changes"
grep -q '^alpha-port: changes' "$BASCULE_TEST_DIR/changes" || fail "diff: $(cat "$BASCULE_TEST_DIR/changes")"
grep -q '^+ .*10.50.0.4' "$BASCULE_TEST_DIR/changes" || fail "diff: $(cat "$BASCULE_TEST_DIR/changes")"
reaches alpha 10.50.0.2 || fail "diff changed something"
# A change that a port's parameters do not fit is refused, and all is as it was.
refused "parameter PEER is missing" v nwfilter-define "$BASCULE_TEST_DIR/own.xml"
reaches alpha 10.50.0.2 || fail "a refused change did something"
v nwfilter-binding-delete alpha-port >/dev/null

# A named set of ours: its file is read when it is first used, and again when the daemon is told to.
sed "s/<icmp dstipaddr='10.50.0.1' type='8'\/>/<icmp ipset='peers' ipsetflags='dst' type='8'\/>/" "$BASCULE_TEST_DIR/one.xml" \
    >"$BASCULE_TEST_DIR/set.xml"
v nwfilter-define "$BASCULE_TEST_DIR/set.xml" >/dev/null
refused "no set of that name" bind alpha-port $mac own
mkdir -p "$root/etc/bascule/sets"
printf '10.50.0.0/31 # the bridge\n' >"$root/etc/bascule/sets/peers"
bind alpha-port $mac own >/dev/null
wait_until 5 "an address of the set" reaches alpha 10.50.0.2
if at alpha busybox ping -c 1 -W 1 10.50.0.4; then fail "an address outside of the set passed"; fi
printf '10.50.0.0/31\n10.50.0.4\n' >"$root/etc/bascule/sets/peers"
b reload >/dev/null
wait_until 5 "an address that came into the set" at alpha busybox ping -c 1 -W 1 10.50.0.4
v nwfilter-binding-delete alpha-port >/dev/null
v nwfilter-undefine own >/dev/null

# Connections can be tracked, or the filter is refused and the reason named.
cat >"$BASCULE_TEST_DIR/stateful.xml" <<'XML'
<filter name='stateful'>
  <rule action='accept' direction='in'><tcp dstportstart='22'/></rule>
</filter>
XML
v nwfilter-define "$BASCULE_TEST_DIR/stateful.xml" >/dev/null
if nft -c 'add table bridge probe; add chain bridge probe c { type filter hook prerouting priority 0; }; add rule bridge probe c ct state new' 2>/dev/null; then
    bind alpha-port $mac stateful >/dev/null
    v nwfilter-binding-delete alpha-port >/dev/null
else
    refused "stateful/rule 1 tracks connections" bind alpha-port $mac stateful
fi

# The address learned from the lease that our own server gave.
plug gamma labbr 52:54:00:50:00:03
bind gamma-port 52:54:00:50:00:03 clean-traffic >/dev/null
address=$(lease gamma | fact ip)
[[ -n $address ]] || fail "no lease behind clean-traffic"
wait_until 5 "the leased address" reaches gamma "$address"
at gamma ip addr add 10.50.0.200/24 dev eth0
unreached gamma 10.50.0.200 >/dev/null || fail "an address without lease passed"

# A filter that others only refer to may go, as with libvirt; who refers to it is refused where it is used, until it is
# back. Where a port uses it through others it stays.
printf "<filter name='inner'><rule action='drop' direction='out'><ip dstipaddr='10.50.0.1'/></rule></filter>" >"$BASCULE_TEST_DIR/inner.xml"
printf "<filter name='outer'><filterref filter='inner'/></filter>" >"$BASCULE_TEST_DIR/outer.xml"
v nwfilter-define "$BASCULE_TEST_DIR/outer.xml" >/dev/null
refused "inner is not defined (outer -> inner)" bind beta-port 52:54:00:50:00:02 outer
v nwfilter-define "$BASCULE_TEST_DIR/inner.xml" >/dev/null
v nwfilter-undefine inner >/dev/null
v nwfilter-define "$BASCULE_TEST_DIR/inner.xml" >/dev/null
bind beta-port 52:54:00:50:00:02 outer >/dev/null
unreached beta 10.50.0.4 >/dev/null || fail "a filter that is referred to does not hold"
refused "in use" v nwfilter-undefine inner
v nwfilter-binding-delete beta-port >/dev/null
v nwfilter-undefine inner >/dev/null
v nwfilter-undefine outer >/dev/null

# What cannot be in force is refused.
refused "nowhere" bind beta-port 52:54:00:50:00:02 nowhere
printf "<filter name='loop'><filterref filter='loop'/></filter>" >"$BASCULE_TEST_DIR/loop.xml"
refused "loop" v nwfilter-define "$BASCULE_TEST_DIR/loop.xml"
refused "no-such-address" bind beta-port 52:54:00:50:00:02 clean-traffic no-such-address
wait_until 5 "beta, free after refusals" reaches beta 10.50.0.4

# A guest whose tap somebody else puts into a bridge (type 'ethernet') is filtered like any other.
if [[ -x /usr/bin/qemu-system-x86_64 ]]; then
    cat >"$BASCULE_TEST_DIR/side.xml" <<'XML'
<domain type='qemu'><name>side</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><interface type='ethernet'>
  <mac address='52:54:00:50:00:0e'/><target dev='side0'/>
  <filterref filter='clean-traffic'><parameter name='IP' value='10.50.0.14'/></filterref>
</interface></devices></domain>
XML
    v create --paused "$BASCULE_TEST_DIR/side.xml" >/dev/null
    v nwfilter-binding-list | grep -q 'side0 *clean-traffic' || fail "the tap of type 'ethernet' is not filtered: $(v nwfilter-binding-list)"
    nft list set bridge bascule nwf_own_address | grep -q '"side0" . 52:54:00:50:00:0e . 10.50.0.14' ||
        fail "the tap of type 'ethernet' has no address: $(nft list table bridge bascule)"
    v destroy side >/dev/null
    ! nft list table bridge bascule | grep -q side0 || fail "something is left of the filter of type 'ethernet'"
fi
