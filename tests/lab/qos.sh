#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# <bandwidth> as iperf3 measures it through a guest's NIC with vhost: average and peak towards the guest, average from it,
# both changed while it runs, a floor beside somebody who wants everything. Within a tenth, headers not counted.
# lab:
# time: 300
. "$BASCULE_TOP/tests/support/lib.sh"
trap tear_down EXIT
needs_daemon
command -v iperf3 >/dev/null || skip "needs iperf3"
export BASCULE_ACCEL=kvm
daemon_start
prepare_guest_image
cat >"$root/limited.xml" <<'XML'
<network><name>limited</name><bridge name='vlim0' stp='off'/>
<bandwidth><inbound average='400'/></bandwidth>
<ip address='10.77.0.1' netmask='255.255.255.0'><dhcp><host mac='52:54:00:77:00:02' ip='10.77.0.2'/></dhcp></ip></network>
XML
v net-create "$root/limited.xml" >/dev/null
mac=52:54:00:77:00:02
guest_xml meter $mac "" limited |
    sed "s|<model type='virtio'/>|&<bandwidth><inbound average='300'/><outbound average='100' burst='16'/></bandwidth>|" >"$root/meter.xml"
v create "$root/meter.xml" >/dev/null
wait_until 120 "the guest's address" guest meter "ip -4 addr show eth0 | grep -q 10.77.0.2"

# Behind vhost nobody completes checksums: what a client reads that looks at frames by itself.
guest meter "checksums eth0 60 >/run/sums 2>&1 </dev/null &"
answers() {
    guest meter "udhcpc -q -n -t 3 -i eth0 -s /bin/true >/dev/null 2>&1; nslookup meter 10.77.0.1" >/dev/null
    guest meter "grep -q 'udp 67 ok' /run/sums && grep -Eq 'udp 53 (ok|none)' /run/sums"
}
wait_until 60 "answers with checksums that are right" answers || fail "$(guest meter cat /run/sums)"
if guest meter "grep bad /run/sums"; then fail "checksums that are wrong: $(guest meter cat /run/sums)"; fi

guest meter iperf3 -s -D
wait_until 30 "iperf3 in the guest" guest meter "netstat -ltn | grep -q :5201"

# measure PEER OPTION…: kilobytes a second that arrived.
measure() { iperf3 -J -c "$@" | jq '.end.sum_received.bits_per_second / 8000 | floor'; }
# expect WHAT KILOBYTES COMMAND…: what the command measures is that within a tenth. A host that is emulated on a busy
# machine stands still at times, so it may try again.
expect() {
    local what=$1 wanted=$2 got try
    shift 2
    for try in 1 2 3; do
        got=$("$@")
        echo "$what: $got kB/s of $wanted"
        ((got * 10 < wanted * 9 || got * 10 > wanted * 11)) || return 0
    done
    fail "$what: $got kB/s, which is not $wanted within a tenth, $try times"
}
steady=(-O 1 -t 4)
# What is above the rate is dropped, not held back, and TCP takes that the worse the further away it is; from an emulated
# guest it is far. So it sends more than the rate and does not care. Rates are such as an emulated guest can send.
flood=(-R -u -l 1400 -b)
expect "to the guest" 300 measure 10.77.0.2 "${steady[@]}"
expect "from the guest" 100 measure 10.77.0.2 "${steady[@]}" "${flood[@]}" 2M

# Anew, so that all of its burst is there.
at_peak() {
    v domiftune meter $mac --inbound 0 --live >/dev/null
    v domiftune meter $mac --inbound 150,400,1000 --live >/dev/null
    measure 10.77.0.2 -n 1M
}
expect "to the guest, at its peak" 400 at_peak
# What it sends comes in a burst, but not faster than its peak.
from_peak() {
    v domiftune meter $mac --outbound 0 --live >/dev/null
    v domiftune meter $mac --outbound 20,120,2000 --live >/dev/null
    measure 10.77.0.2 -t 4 -R -u -l 1400 -b 2M
}
expect "from the guest, at its peak" 136 from_peak # a twentieth second of it and 66 kB come at once
v domiftune meter $mac --inbound 150 --outbound 60,0,16 --live >/dev/null
expect "to the guest, after its peak" 150 measure 10.77.0.2 "${steady[@]}"
expect "from the guest, changed" 60 measure 10.77.0.2 "${steady[@]}" "${flood[@]}" 2M

# Three quarters of what the network has are the guest's, whatever the neighbour wants.
v domiftune meter $mac --inbound 400,0,0,300 --outbound 0 --live >/dev/null
plug other vlim0
at other ip addr add 10.77.0.3/24 dev eth0
at other iperf3 -s -D
wait_until 30 "iperf3 of the neighbour" at other sh -c "ss -ltn | grep -q :5201"
iperf3 -c 10.77.0.3 -P 4 -t 600 >/dev/null &
greedy=$!
sleep 1
expect "to the guest, with its floor" 300 measure 10.77.0.2 -O 2 -t 5
kill "$greedy"
