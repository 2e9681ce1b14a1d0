#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# lab: mem=3072
# time: 150
# Ports on a VLAN-aware bridge of the host's own: access, trunk and native, while guests only stand there (paused). What
# passes is the kernel's promise; what is asked of it is ours.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
ip link add lan0 type bridge vlan_filtering 0
ip link set lan0 up
port() { # NAME MAC VLAN
    echo "<interface type='bridge'><mac address='$2'/><source bridge='lan0'/>$3</interface>" >"$root/$1.nic"
    cat >"$root/$1.xml" <<XML
<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
$(cat "$root/$1.nic")</devices></domain>
XML
}
vlans() { # GUEST: "42 PVID Egress Untagged" …, one a line
    bridge -j vlan show dev "$(v domiflist "$1" | awk 'NR == 1 { print $1 }')" |
        jq -r '.[0].vlans[] | "\(.vlan) \((.flags // []) | join(" "))"' | sed 's/ $//'
}
is() { # GUEST EXPECTED
    [[ $(vlans "$1") == "$2" ]] || fail "$1: $(vlans "$1")"
}
port access 52:54:00:00:01:01 "<vlan><tag id='42'/></vlan>"
v create --paused "$root/access.xml" 2>"$root/words" >/dev/null && fail "tags on a bridge that knows none"
grep -q "not VLAN-aware" "$root/words" || fail "why not: $(cat "$root/words")"
ip link set lan0 type bridge vlan_filtering 1
port trunk 52:54:00:00:01:02 "<vlan trunk='yes'><tag id='42'/><tag id='48'/></vlan>"
port native 52:54:00:00:01:03 "<vlan trunk='yes'><tag id='42'/><tag id='7' nativeMode='untagged'/></vlan>"
port plain 52:54:00:00:01:04 ""
for guest in access trunk native plain; do v create --paused "$root/$guest.xml" >/dev/null || fail "$guest"; done
is access "42 PVID Egress Untagged"
is trunk $'42\n48'
is native $'7 PVID Egress Untagged\n42'
is plain "1 PVID Egress Untagged"
# To another VLAN while it runs, and to none.
sed 's/42/43/' "$root/access.nic" >"$root/move.xml"
v update-device access "$root/move.xml" --live >/dev/null || fail "moving it"
is access "43 PVID Egress Untagged"
sed -i 's/<vlan>.*<\/vlan>//' "$root/move.xml"
v update-device access "$root/move.xml" --live >/dev/null || fail "moving it out"
is access "1 PVID Egress Untagged"
# The next daemon finds nothing to do.
daemon_stop
daemon_start
is native $'7 PVID Egress Untagged\n42'
for guest in access trunk native plain; do v destroy "$guest" >/dev/null; done
tear_down
