#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two lab hosts, their link, and a disk that keeps what was synced through a power cut: what later tests stand on.
# lab: hosts=2 disk=1 mem=1024
# time: 120
. "$BASCULE_TOP/tests/lab/driver.sh"
boot a &
boot b &
wait
host a 'ip addr add 10.90.0.1/24 dev link0 && ip link set link0 up'
host b 'ip addr add 10.90.0.2/24 dev link0 && ip link set link0 up'
host a 'busybox ping -c 2 -W 2 10.90.0.2' || fail "host a does not reach host b"

# Written and synced: there afterwards. The link works again with the new boot.
host a 'echo kept >/mnt/disk/synced && sync -d /mnt/disk/synced && sync /mnt/disk && echo gone >/run/volatile'
power_cut a
if host a true; then fail "host a lives without power"; fi
boot a
[[ $(host a 'cat /mnt/disk/synced') == kept ]] || fail "what was synced is lost"
host a 'test ! -e /run/volatile' || fail "/run survived a power cut"
host a 'ip addr add 10.90.0.1/24 dev link0 && ip link set link0 up && busybox ping -c 2 -W 2 10.90.0.2' ||
    fail "the link is dead after a power cut of one side"
