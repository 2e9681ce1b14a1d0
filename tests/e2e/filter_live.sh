#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The filter of a running guest: what it learned from a frame is learned anew when the guest resumes; the filter and its
# parameters change under it, as virsh update-device says, and what is refused changes nothing.
# time: 180
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
prepare_guest_image
mac=52:54:00:e2:e1:01 host=192.168.122.1
guest_xml alpha $mac "" default clean-traffic |
    sed "s/bascule.cmds=/bascule.address=192.168.122.77\/24 /" >"$BASCULE_TEST_DIR/alpha.xml"
v create "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
console_log alpha "$BASCULE_TEST_DIR/console"
wait_marker 90 "$BASCULE_TEST_DIR/console" "done" >/dev/null
guest alpha ip addr add 192.168.122.78/24 dev eth0

passes() { [[ $(guest alpha ping -c 1 -W 2 -I "$1" $host) == *"1 packets received"* ]]; }
blocked() { [[ $(guest alpha ping -c 1 -W 1 -I "$1" $host) == *" 0 packets received"* ]]; }

# Learned from its first frame, which is dropped itself; a second address is none of its.
wait_until 30 "its first address" passes 192.168.122.77
blocked 192.168.122.78 || fail "a second address passes"
v suspend alpha >/dev/null
v resume alpha >/dev/null
# From here on the first frame teaches, whatever was before.
wait_until 30 "the address that it shows behind a pause" passes 192.168.122.78
blocked 192.168.122.77 || fail "the address from before the pause passes, too"

update() { # FILTERREF…: the guest's interface has this filter now
    cat >"$BASCULE_TEST_DIR/nic.xml" <<XML
<interface type='network'>
  <mac address='$mac'/>
  <source network='default'/>
  <model type='virtio'/>
  $*
</interface>
XML
    v update-device alpha "$BASCULE_TEST_DIR/nic.xml" --live
}
clean() { # IP…
    local one
    printf "<filterref filter='clean-traffic'>"
    for one in "$@"; do printf "<parameter name='IP' value='%s'/>" "$one"; done
    printf "</filterref>"
}
port=$(v domiflist alpha | awk 'NF { print $1 }')
# A parameter is added, changed, made a list and removed again.
update "$(clean 192.168.122.77)" >/dev/null
passes 192.168.122.77 || fail "the address that was given does not pass"
blocked 192.168.122.78 || fail "an address that was learned before passes beside the one that was given"
v dumpxml alpha | grep -q "<parameter name='IP' value='192.168.122.77'/>" || fail "the parameter is not shown: $(v dumpxml alpha)"
v nwfilter-binding-dumpxml "$port" | grep -q "value='192.168.122.77'" || fail "the binding has another parameter"
update "$(clean 192.168.122.78)" >/dev/null
passes 192.168.122.78 || fail "the changed address does not pass"
blocked 192.168.122.77 || fail "the address from before the change passes"
update "$(clean 192.168.122.77 192.168.122.78)" >/dev/null
passes 192.168.122.77 || fail "the first of a list does not pass"
passes 192.168.122.78 || fail "the second of a list does not pass"
update "$(clean)" >/dev/null
wait_until 30 "an address learned when it was no longer given" passes 192.168.122.77
blocked 192.168.122.78 || fail "a second address passes behind a removed parameter"

# What is refused changes nothing, and says why.
if said=$(update "$(clean not-an-address)" 2>&1); then fail "a parameter that is no address was taken"; fi
grep -q "not-an-address" <<<"$said" || fail "refused without its reason: $said"
if said=$(update "<filterref filter='nowhere'/>" 2>&1); then fail "a filter that is not there was taken"; fi
grep -q "nowhere" <<<"$said" || fail "refused without its reason: $said"
passes 192.168.122.77 || fail "a refused change did something"
v dumpxml alpha | grep -q "<filterref filter='clean-traffic'/>" || fail "a refused change is shown"

# Another filter, none, and one again.
update "<filterref filter='no-mac-spoofing'/>" >/dev/null
passes 192.168.122.78 || fail "the former filter is still there"
v nwfilter-binding-list | grep -q "$port.*no-mac-spoofing" || fail "the list of bindings: $(v nwfilter-binding-list)"
update "" >/dev/null
passes 192.168.122.78 || fail "without a filter nothing passes"
if v nwfilter-binding-list | grep "$port"; then fail "a port without a filter is listed"; fi
! nft list table bridge bascule 2>/dev/null | grep -q nwf_ || fail "something is left of the filter"
update "$(clean 192.168.122.77)" >/dev/null
blocked 192.168.122.78 || fail "a filter that was added does not hold"
passes 192.168.122.77 || fail "a filter that was added holds too much"
v destroy alpha >/dev/null
