#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time: 60
# While rules of ours are missing, guests' links are down; and what another program does to a guest's port is undone.
# The guest only stands there (paused, nothing to boot).
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
[[ -x /usr/bin/qemu-system-x86_64 ]] || skip "needs qemu-system-x86_64"
daemon_start
cat >"$BASCULE_TEST_DIR/guest.xml" <<'XML'
<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><interface type='network'><mac address='52:54:00:00:0c:01'/><source network='default'/></interface></devices></domain>
XML
v create --paused "$BASCULE_TEST_DIR/guest.xml" >/dev/null
tap=$(v domiflist guest | awk '$5 == "52:54:00:00:0c:01" { print $1 }')
[[ -n $tap ]] || fail "no tap"
log=$root/basculed.log
up() { ip link show dev "$tap" up | grep -q "$tap"; }
down() { ip link show dev "$tap" | grep -q "$tap" && ! up; }
rules() { nft list chains inet | grep -q 'chain to_nat_'; }
up || fail "the guest's link is down to begin with"

# ── rules that cannot be put back ───────────────────────────────────────────────────────────────────────────
# A table that another process owns refuses everybody else's changes until that process ends (kernel 5.12).
mkfifo "$BASCULE_TEST_DIR/words"
nft -i <"$BASCULE_TEST_DIR/words" >/dev/null 2>&1 &
owner=$!
exec 9>"$BASCULE_TEST_DIR/words"
echo 'delete table inet bascule; add table inet bascule { flags owner; }' >&9
wait_until 10 "the guest's link to go down" down
wait_until 10 "the reason" grep -q "guests' links are down until they can" "$log"
if rules; then fail "the rules are there: nothing was tried"; fi
down || fail "the link came back without its rules"
# Nor does a look at the link itself raise it.
ip link set "$tap" promisc on
sleep 0.3 # what must not happen has no event to wait for
down || fail "a change of the link raised it without its rules"
exec 9>&-
wait "$owner" || true
wait_until 10 "the rules" rules
wait_until 10 "the guest's link" up

# ── a plain flush: down and up again, sooner than anybody looks ─────────────────────────────────────────────
were_down() { (($(grep -c "1 guests' links were down meanwhile" "$log") == $1)); }
were_down 1 || fail "it is not said once that the link was down"
nft flush ruleset
wait_until 10 "word that the link was down" were_down 2
wait_until 10 "the rules" rules
wait_until 10 "the link" up

# ── the port itself ─────────────────────────────────────────────────────────────────────────────────────────
member() { [[ $(readlink "/sys/class/net/$tap/master") == *virbr0 ]]; }
member || fail "no port of virbr0"
ip link set "$tap" nomaster
wait_until 10 "its membership" member
ip link set "$tap" down
wait_until 10 "the link" up

# ── settings of a bridge of ours, which nobody tells of ─────────────────────────────────────────────────────
setting=/proc/sys/net/ipv6/conf/virbr0/disable_ipv6
if [[ -e $setting ]]; then
    [[ $(cat $setting) == 1 ]] || fail "virbr0 has IPv6"
    echo 0 >$setting
    restored() { [[ $(cat $setting) == 1 ]]; }
    wait_until 7 "the setting of virbr0" restored
fi
v destroy guest >/dev/null
