#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run_test TEST OUT SECONDS: in a lab host, runs one test script; what it leaves is brought to OUT.
# Logs always, everything after a failure. Status is the test's.
set -u
test=$1 out=$2 seconds=$3
cd "$BASCULE_TOP" || exit 120

if [[ ${LAB_INSIDE:-} != yes ]]; then
    BASCULE_TEST_DIR=$(mktemp -d /tmp/t.XXXXXX) || exit 120
    chmod 755 "$BASCULE_TEST_DIR"
    export BASCULE_TEST_DIR LAB_INSIDE=yes LC_ALL=C.UTF-8
    if [[ $LAB_NAMESPACES == own ]]; then
        tests/support/in_namespace.sh --time $((seconds + 20)) "$0" "$@"
    else
        # What it leaves running would slow the next test down, or worse: other tests lose everything with their namespaces.
        mkdir -p /sys/fs/cgroup/test
        (echo 0 >/sys/fs/cgroup/test/cgroup.procs && exec "$0" "$@")
    fi
    status=$?
    [[ ! -e /sys/fs/cgroup/test ]] || echo 1 >/sys/fs/cgroup/test/cgroup.kill
    find "$BASCULE_TEST_DIR" -name '*.log' -type f -size -8M -exec cp --parents -t "$out" {} + 2>/dev/null
    if ((status != 0 && status != 77)); then
        # Sockets and disks stay where they are.
        find "$BASCULE_TEST_DIR" -type f -size -4M -exec cp --parents -t "$out" {} + 2>/dev/null
        dmesg >"$out/dmesg"
    fi
    rm -rf "$BASCULE_TEST_DIR"
    exit "$status"
fi

# In the test's namespaces, so that its links and rules can be looked at before they are gone.
timeout --signal=KILL "$seconds" "$test" >"$out/output.txt" 2>&1
status=$?
if ((status != 0 && status != 77)); then
    nft -a list ruleset >"$out/nft-ruleset" 2>&1
    ip -d link >"$out/ip-link" 2>&1
    ip addr >"$out/ip-addr" 2>&1
    ip route show table all >"$out/ip-route" 2>&1
    bridge -d link >"$out/bridge-link" 2>&1
    bridge fdb >"$out/bridge-fdb" 2>&1
    ps axfww >"$out/processes" 2>&1
fi
exit "$status"
