# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For lab tests that run on the build machine and drive their hosts from outside: "# lab: drive=outside", "hosts=2".
#   boot a              power_cut a              power_off a
#   host a COMMAND…     runs a command there: its output, its status (LAB_SECONDS: time limit, 60)
#   here a FUNCTION…    runs a function of this script there, with lib.sh sourced. What the function needs of the
#                       script's other functions and variables: named in $share (functions) and exported by hand.
# The folder of host a, $BASCULE_LAB/a here, is /mnt/out there.
set -euo pipefail

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
lab() { "$BASCULE_TOP/tests/lab/lab.py" "$@"; }
boot() { lab boot "$BASCULE_LAB/$1" || fail "host $1 did not boot"; }
power_cut() { lab cut "$BASCULE_LAB/$1"; }
power_off() { lab off "$BASCULE_LAB/$1"; }
host() {
    local name=$1
    shift
    lab run "$BASCULE_LAB/$name" --time "${LAB_SECONDS:-60}" "$@"
}
# Functions travel as a file: a command of the responder is one line.
here() {
    local name=$1 script=$BASCULE_LAB/$1/here.$RANDOM$RANDOM.sh
    shift
    {
        echo "export BASCULE_TOP='$BASCULE_TOP' BASCULE_BUILD='${BASCULE_BUILD:-}' LC_ALL=C.UTF-8"
        echo "cd '$BASCULE_TOP'"
        echo '. tests/support/lib.sh'
        declare -f | sed -n '/^\(fail\|lab\|boot\|power_cut\|power_off\|host\|here\) () *$/,/^}$/!p'
        printf '%q ' "$@"
        echo
    } >"$script"
    host "$name" "bash /mnt/out/$(basename "$script")"
}
