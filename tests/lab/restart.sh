#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon and its network service are restarted and killed while a nested guest pings the world and its neighbour
# through vhost-net: no reply is lost.
# lab:
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
export BASCULE_ACCEL=kvm
make_outside
daemon_start
prepare_guest_image
guest_xml alpha 52:54:00:0c:00:01 "" default clean-traffic >"$BASCULE_TEST_DIR/alpha.xml"
v create "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
console_log alpha "$BASCULE_TEST_DIR/alpha.console"
plug neighbour virbr0 52:54:00:0c:00:02
beta=$(lease neighbour | fact ip)
wait_marker 60 "$BASCULE_TEST_DIR/alpha.console" lease >/dev/null
for target in "$outside_address" "$beta"; do
    guest alpha ping -c 2 -W 2 "$target" || fail "alpha does not reach $target before anything happened"
done

# Five a second each, with numbered replies: a lost one is seen whatever the totals say.
guest alpha "ping -i 0.2 -W 5 $outside_address >/run/world 2>&1 & ping -i 0.2 -W 5 $beta >/run/neighbour 2>&1 &"
# In one question each time: every command in a guest of the lab costs half a second.
replies() { guest alpha "grep -c 'bytes from' /run/world; grep -c 'bytes from' /run/neighbour" | xargs; }
more_replies() { # WORLD NEIGHBOUR: than these
    local now
    read -r -a now <<<"$(replies)"
    ((now[0] > $1 && now[1] > $2))
}
went_on() {
    wait_until 20 "pings to go on ($1)" more_replies $((before[0] + 3)) $((before[1] + 3))
    [[ $(v domstate alpha) == running ]] || fail "alpha is $(v domstate alpha) ($1)"
    v net-dhcp-leases default | grep -q 52:54:00:0c:00:01 || fail "alpha's lease is lost ($1)"
}
came_back() { [[ -n $(processes bascule-netsvc) && $(processes bascule-netsvc) != "$victim" ]]; }
for what in TERM KILL TERM KILL; do
    read -r -a before <<<"$(replies)"
    daemon_stop "$what"
    daemon_start
    went_on "daemon, SIG$what"
    read -r -a before <<<"$(replies)"
    victim=$(processes bascule-netsvc)
    [[ -n $victim ]] || fail "bascule-netsvc does not run"
    kill -"$what" "$victim"
    wait_until 10 "bascule-netsvc to come back" came_back
    went_on "service, SIG$what"
done
guest alpha "pkill -INT ping; sleep 1"
for target in world neighbour; do
    # Sequence numbers without a gap; the last may have been on its way when ping was ended.
    guest alpha "sed -n 's/.* seq=\([0-9]*\).*/\1/p' /run/$target" >"$BASCULE_TEST_DIR/$target.seq"
    awk -v what="$target" 'NR > 1 && $1 != last + 1 { print what ": replies between " last " and " $1 " were lost"; bad = 1 }
                           { last = $1 } END { print what ": " NR " replies"; exit bad || NR < 30 }' "$BASCULE_TEST_DIR/$target.seq" ||
        fail "pings were lost"
done
