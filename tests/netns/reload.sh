#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Files below /etc/bascule, dropped, edited, broken and removed, take effect on `bascule reload` and SIGHUP.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
networks=$root/etc/bascule/networks
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
uuid_of() { v net-dumpxml "$1" --inactive | sed -n 's,.*<uuid>\(.*\)</uuid>.*,\1,p'; }
lab() { # EXTRA
    cat <<XML
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.90.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.90.0.10' end='10.90.0.20'/>
      $1
    </dhcp>
  </ip>
</network>
XML
}

# Dropped: known after a reload, with the uuid that it then keeps.
lab '' >"$networks/lab.xml"
if v net-info lab >/dev/null 2>&1; then fail "lab is known before the reload"; fi
b reload >/dev/null
uuid=$(uuid_of lab)
[[ -n $uuid ]] || fail "lab got no uuid"
b reload >/dev/null
[[ $(uuid_of lab) == "$uuid" ]] || fail "lab's uuid changed"
v net-start lab >/dev/null
plug alpha labbr 52:54:00:90:00:01
address=$(lease alpha | fact ip)
[[ $address == 10.90.0.* ]] || fail "no lease: '$address'"

# Edited while it runs, and without its uuid: the same network, the same bridge, a new reservation at once.
index=$(cat /sys/class/net/labbr/ifindex)
lab "<host mac='52:54:00:90:00:02' name='beta' ip='10.90.0.99'/>" >"$networks/lab.xml"
b reload >/dev/null
[[ $(uuid_of lab) == "$uuid" ]] || fail "lab's uuid changed by an edit"
[[ $(cat /sys/class/net/labbr/ifindex) == "$index" ]] || fail "the bridge was made again"
v net-dumpxml lab | grep -q 10.90.0.99 || fail "the edit is not live"
plug beta labbr 52:54:00:90:00:02
[[ $(lease beta | fact ip) == 10.90.0.99 ]] || fail "the new reservation is not served"
v net-dhcp-leases lab | grep -q "$address/" || fail "the edit lost a lease"

# Broken: said with file and line, and nothing else suffers; SIGHUP is the same.
printf '<network>\n  <name>broken</name>\n  <bridge nmae="x"/>\n</network>\n' >"$networks/broken.xml"
if said=$(b reload 2>&1); then fail "a broken file was passed over"; fi
grep -q "$networks/broken.xml:3: " <<<"$said" || fail "no file and line in: $said"
grep -q "did you mean 'name'" <<<"$said" || fail "no hint in: $said"
v net-list --name | grep -qx lab || fail "lab suffers from another's file"
b status | grep -q "broken.xml:3" || fail "status does not show the broken file"
rm "$networks/broken.xml"
kill -HUP "$daemon"
no_problems() { b status | grep -q '^Problems: *none'; }
wait_until 5 "SIGHUP to be heard" no_problems

# A broken file does not keep the daemon from starting either.
printf '<network>' >"$networks/broken.xml"
daemon_stop
daemon_start
v net-list --name | grep -qx lab || fail "lab did not survive the restart"
grep -q "$networks/broken.xml:1: " "$root/basculed.log" || fail "the log does not name the broken file"
rm "$networks/broken.xml"

# Removed: an inactive network is gone, a running one lives until it is stopped.
lab '' | sed 's/lab</other</; s/labbr/otherbr/; s/10\.90\./10.91./g' >"$networks/other.xml"
b reload >/dev/null
v net-info other >/dev/null || fail "other is not known"
rm "$networks/other.xml" "$networks/lab.xml"
b reload >/dev/null
if v net-info other >/dev/null 2>&1; then fail "other is still known"; fi
v net-list --transient --name | grep -qx lab || fail "lab is not transient"
v net-destroy lab >/dev/null
if v net-info lab >/dev/null 2>&1; then fail "lab is still known"; fi

# An autostart link starts what is not running.
lab '' >"$networks/lab.xml"
mkdir -p "$networks/autostart"
ln -s ../lab.xml "$networks/autostart/lab.xml"
b reload >/dev/null
v net-list --autostart --name | grep -qx lab || fail "lab was not started"

# Filters alike: dropped, edited, removed.
filters=$root/etc/bascule/nwfilter
mkdir -p "$filters"
printf "<filter name='mine' chain='root'>\n  <rule action='drop' direction='out'/>\n</filter>\n" >"$filters/mine.xml"
b reload >/dev/null
v nwfilter-dumpxml mine | grep -q "action='drop'" || fail "the filter is not known"
sed -i "s/drop/accept/" "$filters/mine.xml"
b reload >/dev/null
v nwfilter-dumpxml mine | grep -q "action='accept'" || fail "the filter's edit is not known"
rm "$filters/mine.xml"
b reload >/dev/null
if v nwfilter-dumpxml mine >/dev/null 2>&1; then fail "the filter is still known"; fi
