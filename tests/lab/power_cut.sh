#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Ten power cuts in the middle of lease traffic: no lease that a client was promised is lost, and the service is back
# by itself after each. What the disk had not been told to keep is gone each time: the host's page cache dies with it.
# lab: drive=outside disk=1 mem=1024
# time: 480
. "$BASCULE_TOP/tests/lab/driver.sh"
promised=$BASCULE_LAB/a/promised
: >"$promised"

daemon_on_disk() {
    root=/mnt/disk/root
    daemon_start
}

# The network, once: later boots find it on the disk.
define() {
    daemon_on_disk
    cat >/run/lab.xml <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.70.0.1' netmask='255.255.0.0'>
    <dhcp><range start='10.70.1.0' end='10.70.200.255'/></dhcp>
  </ip>
</network>
XML
    v net-define /run/lab.xml >/dev/null
    v net-autostart lab >/dev/null
    v net-start lab >/dev/null
}

# Leaves the daemon running, and clients that ask for one lease after another. The network must have come up by itself.
traffic() { # FIRST
    [[ -n ${daemon:-} ]] || daemon_on_disk
    all_known || exit 1
    plug crowd labbr
    # shellcheck disable=SC2154  # lib.sh has it
    setsid nsenter --net="/proc/${place[crowd]}/ns/net" tests/support/dhcp_load.py eth0 /mnt/out/promised --first "$1" \
        >/mnt/out/load.log 2>&1 &
}

define_and_traffic() {
    define
    traffic "$1"
}

# Every promised lease is known, with its address, as soon as the service has told the daemon what it read.
all_known() {
    wait_until 20 "all leases to be known" none_missing && return
    echo "promised, and lost:"
    missing
    tail -n 30 "$root/basculed.log"
    return 1
}
missing() {
    v net-dhcp-leases lab | awk 'NF { sub("/.*", "", $5); print $3, $5 }' | sort -u >/run/listed
    sort -u /mnt/out/promised | comm -13 /run/listed -
}
none_missing() { [[ -z $(missing) ]]; }
check() {
    daemon_on_disk
    all_known
}

more_than() { (($(wc -l <"$promised") > $1)); }
for round in 1 2 3 4 5 6 7 8 9 10; do
    boot a
    before=$(wc -l <"$promised")
    if ((round == 1)); then here a define_and_traffic $((round * 65536)); else here a traffic $((round * 65536)); fi ||
        fail "round $round"
    # Cut at a different point of the traffic each time.
    deadline=$((SECONDS + 30))
    until more_than $((before + 3 * round)); do
        ((SECONDS < deadline)) || fail "round $round: no leases are given: $(cat "$BASCULE_LAB/a/load.log")"
        sleep 0.01
    done
    power_cut a
    echo "round $round: cut after $(($(wc -l <"$promised") - before)) new leases, $(wc -l <"$promised") in all"
done
boot a
here a check || fail "after the last cut"
