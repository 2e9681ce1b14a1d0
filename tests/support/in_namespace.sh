#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# in_namespace.sh [--time SECONDS] COMMAND…
# Runs a command in network, mount, process, IPC and UTS namespaces of its own: an empty network with `lo` up, /sys
# of that network, an empty /run. When the command ends, or its time is up (status 124), everything it started dies.
set -euo pipefail

if [[ ${1:-} == --inside ]]; then
    shift
    mount --make-rprivate /
    mount -t sysfs sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || true
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns /run/lock
    ip link set lo up
    # Not exec: the first process of a process namespace reaps orphans, and bash does.
    "$@" &
    status=0
    wait $! || status=$?
    exit "$status"
fi

limit=
if [[ ${1:-} == --time ]]; then
    limit=$2
    shift 2
fi
((EUID == 0)) || { echo "SKIPPED: needs root"; exit 77; }
exec ${limit:+timeout --signal=KILL "$limit"} setpriv --pdeathsig KILL \
    unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc "$(realpath "$0")" --inside "$@"
