#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `bascule nwfilter trace`: live packets of a port, with the filter's rule that dropped one, the way of one that passes,
# and another program's rule that is in the way. The rules that mark them go with whoever asked.
# time: 30
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add labbr type bridge stp_state 0 forward_delay 0
ip link set labbr up
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
mac=52:54:00:55:00:01
plug alpha labbr $mac
plug beta labbr 52:54:00:55:00:02
plug gamma labbr 52:54:00:55:00:03
at alpha ip addr add 10.55.0.2/24 dev eth0
at alpha ip addr add 10.55.0.3/24 dev eth0
at beta ip addr add 10.55.0.4/24 dev eth0
bind alpha-port $mac clean-traffic 10.55.0.2 >/dev/null
bind gamma-port 52:54:00:55:00:03 clean-traffic 10.55.0.5 >/dev/null

if b nwfilter trace beta-port 2>"$root/none"; then fail "a port without a filter was traced"; fi
grep -q "no port 'beta-port' has a filter" "$root/none" || fail "refused otherwise: $(cat "$root/none")"

"$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" nwfilter trace alpha-port >"$root/trace" &
tracer=$!
marked() { nft list table bridge bascule | grep nftrace; }
wait_until 30 "the marking rules" marked
rules=$(nft list table bridge bascule | grep -c nftrace)
if b nwfilter trace alpha-port 2>"$root/twice"; then fail "one port was traced twice"; fi
grep -q "another client traces" "$root/twice" || fail "refused otherwise: $(cat "$root/twice")"

seen() { # WORDS…: a line of the trace has them, in that order
    at alpha busybox ping -c 1 -W 1 -I "$1" 10.55.0.4 || true
    grep -q -- "$2" "$root/trace"
}
# What may pass: its own address, then the other side's answer.
wait_until 30 "an honest packet's way" seen 10.55.0.2 'bridge bascule nwf_prerouting: own MAC and IPv4 address: accept' ||
    fail "$(cat "$root/trace")"
wait_until 30 "the answer's way" seen 10.55.0.2 'bridge bascule nwf_in: allow-incoming-ipv4/rule 1: accept' || fail "$(cat "$root/trace")"
grep -q ' alpha-port -> .* frame=.*52540055000[12]' "$root/trace" || fail "no frame is shown: $(cat "$root/trace")"
# Another port's trace has nothing of what ends before it.
"$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" nwfilter trace gamma-port >"$root/other" &
other=$!
others() { (($(nft list table bridge bascule | grep -c nftrace) > $1)); }
wait_until 30 "the other port's marking rules" others "$rules"
# What is spoofed: the filter and its rule.
wait_until 30 "a spoofed packet's end" seen 10.55.0.3 'bridge bascule nwf_out_ipv4-ip: no-ip-spoofing/rule 3: drop' ||
    fail "$(cat "$root/trace")"
if grep no-ip-spoofing "$root/other"; then fail "the other port's trace has this one's packets"; fi
kill "$other"
# Somebody else's rule, by its words.
nft -f - <<'NFT'
table bridge other {
    chain guard { type filter hook forward priority 10; icmp type echo-request counter drop comment "not here"; }
}
NFT
wait_until 30 "another program's drop" seen 10.55.0.2 'bridge other guard: icmp type echo-request counter.* drop comment "not here": drop' ||
    fail "$(cat "$root/trace")"
nft delete table bridge other

# Its rules go with it, and nothing else.
kill "$tracer"
unmarked() { ! marked; }
wait_until 30 "the end of the marking rules" unmarked
nft list table bridge bascule | grep no-ip-spoofing >/dev/null || fail "the filter went, too"
at alpha busybox ping -c 1 -W 2 -I 10.55.0.2 10.55.0.4 || fail "the honest address does not pass any more"
