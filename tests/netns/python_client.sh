#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's python3-libvirt: events, streams, typed parameters, statistics.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
# The interpreter that Debian's packages are for, whatever else the machine calls python3.
/usr/bin/python3 -c 'import libvirt' 2>/dev/null || skip "needs python3-libvirt"
daemon_start
/usr/bin/python3 "$BASCULE_TOP/tests/netns/python_client.py" "$(libvirt_uri)" "$BASCULE_TEST_DIR"
tear_down
