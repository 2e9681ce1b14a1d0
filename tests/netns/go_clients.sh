#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The call sequences of go-libvirt and of terraform's provider.
# time: 90
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v qemu-img >/dev/null || skip "needs qemu-img"
daemon_start
python3 "$BASCULE_TOP/tests/netns/go_clients.py" "$root/run/bascule/libvirt-sock" "$BASCULE_TOP/rpc/procedures.tsv"
tear_down
