#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Raw packets at the real socket: what is off gets the peer's answer, lengths and descriptors have their limits, calls
# are pipelined, pings go both ways, and a guest that is stuck keeps nobody from destroying it.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
mkdir -p "$root/etc/bascule"
printf 'keepalive_interval = 1\nkeepalive_count = 2\n' >"$root/etc/bascule/bascule.conf"
daemon_start
PYTHONPATH=$BASCULE_TOP/tests/support "$BASCULE_TOP/tests/netns/protocol.py" "$root/run/bascule/libvirt-sock" "$root/run/bascule/libvirt-sock-ro" ||
    fail "the daemon answers otherwise than the peer"

if [[ -x /usr/bin/qemu-system-x86_64 ]]; then
    cat >"$BASCULE_TEST_DIR/stuck.xml" <<'XML'
<domain type='qemu'>
  <name>stuck</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><serial type='pty'/></devices>
</domain>
XML
    v create "$BASCULE_TEST_DIR/stuck.xml" >/dev/null
    qemu=$(pgrep -x qemu-system-x86)
    PYTHONPATH=$BASCULE_TOP/tests/support "$BASCULE_TOP/tests/netns/protocol.py" "$root/run/bascule/libvirt-sock" --stuck stuck "$qemu" ||
        fail "a stuck guest holds up its client"
    wait_until 10 "the guest's end" processes_gone qemu-system-x86
fi
