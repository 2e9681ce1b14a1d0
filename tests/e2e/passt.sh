#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest whose NIC is passt's: it has the host's own address, reaches what the host reaches, and a forwarded port leads
# into it.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v passt >/dev/null || fail "passt is not there (package passt)"
make_outside
# passt gives the guest address and route of the host's default route.
ip route add default via "$outside_address"
# (Its address means the host itself to guests, so the outside is reached at another.)
far=198.51.100.7
at outside ip addr add "$far/32" dev lo
daemon_start
prepare_guest_image
guest_xml alpha 52:54:00:e2:9a:01 "wait" |
    sed "s|<interface type='network'>|<interface type='user'><backend type='passt'/><portForward proto='tcp'><range start='2222' to='7'/></portForward>|; /<source network/d" \
        >"$BASCULE_TEST_DIR/alpha.xml"
v define "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
v start alpha >/dev/null
console_log alpha "$BASCULE_TEST_DIR/console"
# Its program is another where the processor has more (passt.avx2).
helpers() { pgrep -r R,S,D -x "passt|passt.avx2" || true; }
helper=$(helpers)
[[ -n $helper && $(stat -c %u "/proc/$helper") != 0 ]] || fail "passt runs as root, or not at all"
lease=$(wait_marker 90 "$BASCULE_TEST_DIR/console" lease)
address=$(cut -d' ' -f3 <<<"$lease")
echo "$lease"
[[ $address == "$outside_host"/* ]] || fail "the guest has $address instead of the host's $outside_host"
at outside timeout 60 busybox nc -l -p 5000 >"$BASCULE_TEST_DIR/heard" &
listener=$!
guest alpha "echo from the guest | nc -w 5 $far 5000"
wait "$listener"
[[ $(<"$BASCULE_TEST_DIR/heard") == "from the guest" ]] || fail "nothing came out of the guest"
guest alpha "echo hello from the guest | nc -l -p 7 >/tmp/in 2>&1 &"
answered() { [[ $(echo hi | busybox nc -w 2 127.0.0.1 2222) == "hello from the guest" ]]; }
wait_until 20 "an answer through the forwarded port" answered
v destroy alpha >/dev/null
gone() { [[ -z $(helpers) ]]; }
wait_until 20 "passt to end with its guest" gone
