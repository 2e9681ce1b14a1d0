#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clients that mean harm: ten thousand connections, a byte a second, packets of 32 MiB announced, replies and events
# never read. Each is limited, and a second client's calls take as long as before.
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
ulimit -n "$(ulimit -Hn)"
# The sanitizer keeps what was freed, a quarter of a gigabyte of it: that would be counted as the daemon's.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=8
daemon_start
PYTHONPATH=$BASCULE_TOP/tests/support "$BASCULE_TOP/tests/netns/hostile_clients.py" "$root/run/bascule/libvirt-sock" "$daemon" ||
    fail "a hostile client hurts others"
