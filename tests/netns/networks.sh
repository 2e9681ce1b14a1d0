#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The life of networks, through virsh: define, start, autostart, transient ones, edit, and what each leaves in the kernel.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start

is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }
info() { v net-info "$1" | awk -v key="$2:" '$1 == key { print $2 }'; }
link_gone() { ! ip link show "$1"; }

# `default` is there, active and marked, from the first start on.
wait_until 10 "default to be active" ip link show virbr0
is "default active" "$(info default Active)" yes
is "default autostart" "$(info default Autostart)" yes
is "default persistent" "$(info default Persistent)" yes
is "address" "$(ip -j -4 addr show virbr0 | jq -r '.[0].addr_info[0] | "\(.local)/\(.prefixlen)"')" 192.168.122.1/24
is "stp" "$(cat /sys/class/net/virbr0/bridge/stp_state)" 1
if grep -E '^<[0-4]>.*(default|virbr0|checksum|nft|rule)' "$root/basculed.log"; then fail "an ordinary start frightens the reader"; fi
v net-dumpxml default | grep -q "<bridge name='virbr0' stp='on' delay='0'/>" || fail "default's bridge element"

# Defined is not started; name and uuid find each other.
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <ip address='10.20.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.20.0.10' end='10.20.0.99'/></dhcp>
  </ip>
</network>
XML
v net-define "$BASCULE_TEST_DIR/lab.xml" >/dev/null
is "lab active" "$(info lab Active)" no
link_gone labbr 2>/dev/null || fail "net-define made a bridge"
uuid=$(v net-uuid lab)
is "net-name" "$(v net-name "$uuid")" lab
v net-list --inactive --name | grep -x lab >/dev/null || fail "lab is not among the inactive networks"
v net-start lab >/dev/null
ip link show labbr >/dev/null || fail "net-start made no bridge"
is "stp off" "$(cat /sys/class/net/labbr/bridge/stp_state)" 0
v net-list --name | grep -x lab >/dev/null || fail "lab is not among the active networks"

# Autostart, both ways; destroy by uuid; the definition stays.
v net-autostart lab >/dev/null
is "autostart" "$(info lab Autostart)" yes
v net-autostart lab --disable >/dev/null
is "no autostart" "$(info lab Autostart)" no
v net-destroy "$uuid" >/dev/null
wait_until 5 "labbr to be gone" link_gone labbr
is "lab still defined" "$(info lab Persistent)" yes

# Edited as an editor would; what comes back is what was written.
EDITOR="sed -i s/10.20.0.99/10.20.0.50/" v net-edit lab >/dev/null
v net-dumpxml lab --inactive | grep -q "end='10.20.0.50'" || fail "net-edit did not take effect"
v net-undefine lab >/dev/null
v net-list --all --name | grep -x lab >/dev/null && fail "lab is still listed"

# A transient network is gone when it stops.
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
is "transient" "$(info lab Persistent)" no
v net-destroy lab >/dev/null
v net-list --all --name | grep -x lab >/dev/null && fail "a transient network outlived its stop"

# Everything of default goes with it, and comes back.
v net-destroy default >/dev/null
wait_until 5 "virbr0 to be gone" link_gone virbr0
left=$(left_behind | grep -E '^(link|table)' || true)
is "left in the kernel" "$left" ""
v net-start default >/dev/null
ip link show virbr0 >/dev/null || fail "default did not come back"
