#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon and its network service are killed while guests talk: no ping lost, no acknowledged lease lost.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
make_outside
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.70.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.70.0.10' end='10.70.0.250'/></dhcp>
  </ip>
</network>
XML
v net-define "$BASCULE_TEST_DIR/lab.xml" >/dev/null
v net-start lab >/dev/null
plug alpha labbr 52:54:00:70:00:01
bind alpha-port 52:54:00:70:00:01 clean-traffic >/dev/null
address=$(lease alpha -x hostname:alpha | fact ip)
[[ -n $address ]] || fail "no lease"
wait_until 5 "the outside" at alpha busybox ping -c 1 -W 1 "$outside_address"

# Pings run through NAT and filter all the while, ten a second.
at alpha ping -i 0.1 -W 2 "$outside_address" >"$BASCULE_TEST_DIR/pings" &
ping=$!
replies() { grep -c 'bytes from' "$BASCULE_TEST_DIR/pings"; }
more_replies() { (($(replies) >= $1)); }
wait_until 10 "pings" more_replies 5

# Leases are asked for all the while too: each that a client got is noted.
plug crowd labbr
mac_number=0 acknowledged=$BASCULE_TEST_DIR/acknowledged
: >"$acknowledged"
take_lease() {
    local mac got
    printf -v mac '52:54:00:70:01:%02x' $((++mac_number))
    at crowd ip link set eth0 down
    at crowd ip link set eth0 address "$mac" up
    got=$(lease crowd | fact ip)
    [[ -n $got ]] || fail "no lease for $mac"
    echo "$mac $got" >>"$acknowledged"
}
all_leases_known() {
    local mac got listed
    listed=$(v net-dhcp-leases lab) || return 1
    while read -r mac got; do
        grep "$mac" <<<"$listed" | grep -q "$got/" || { echo "lost: $mac $got"; return 1; }
    done <"$acknowledged"
}
still_there() {
    v net-list --name | grep -x lab >/dev/null || fail "lab is not active any more"
    v nwfilter-binding-list | grep alpha-port >/dev/null || fail "the binding is lost"
    v net-dhcp-leases lab | grep -q "$address/" || fail "alpha's lease is lost"
}

for round in 1 2 3; do
    before=$(replies)
    # The daemon, killed; the service serves on alone; another daemon finds everything.
    take_lease
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null || true
    take_lease
    daemon_start
    still_there
    wait_until 10 "all leases to be known (round $round, daemon)" all_leases_known
    # The service, killed: back by itself, on the same sockets.
    victim=$(processes bascule-netsvc)
    [[ -n $victim ]] || fail "bascule-netsvc does not run"
    take_lease
    kill -KILL "$victim"
    take_lease
    still_there
    wait_until 10 "all leases to be known (round $round, service)" all_leases_known
    wait_until 10 "pings to go on" more_replies $((before + 10))
done

# And stopped in order, with the filter in force meanwhile.
daemon_stop
at alpha ip addr add 10.70.0.251/24 dev eth0
if at alpha busybox ping -c 1 -W 1 -I 10.70.0.251 10.70.0.1 >/dev/null; then fail "the filter is gone without the daemon"; fi
daemon_start
still_there

pkill -INT -x ping # the shell that holds it ignores the signal
wait "$ping" || true
sed -n '/packets transmitted/p' "$BASCULE_TEST_DIR/pings"
lost=$(awk '/packets transmitted/ { print $1 - $4 }' "$BASCULE_TEST_DIR/pings")
# The last one may still have been on its way.
((lost <= 1)) || fail "$lost pings were lost"
