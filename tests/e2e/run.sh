#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ./run --once does all that it promises and leaves nothing behind.
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
files() { find /tmp -maxdepth 1 -name 'bascule.??????' | sort; }
links() { ip -o link show | cut -d: -f2; }
files_before=$(files) links_before=$(links)
BASCULE_BUILD=$BASCULE_BUILD "$BASCULE_TOP/run" --once | tee "$BASCULE_TEST_DIR/said"
for word in network guest lease name ping spoof "nothing left behind"; do
    grep -q "$word" "$BASCULE_TEST_DIR/said" || fail "./run --once did not show: $word"
done
[[ $(files) == "$files_before" ]] || fail "files are left: $(files)"
[[ $(links) == "$links_before" ]] || fail "links are left: $(links)"
[[ -z $(nft list tables) ]] || fail "tables are left: $(nft list tables)"
