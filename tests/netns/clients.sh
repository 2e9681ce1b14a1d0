#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What every client asks first, the read-only socket, and our own command with its exit codes.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }

# virsh's first questions.
has "Running hypervisor: QEMU" "$(v version)"
[[ $(v hostname) == "$(hostname)"* ]] || fail "hostname: $(v hostname)"
has "qemu" "$(v uri)"
xmllint=$(v capabilities)
has "<host>" "$xmllint"
has "<domain type='qemu'" "$xmllint"
has "CPU(s): *$(nproc)" "$(v nodeinfo)"
v list --all >/dev/null

# The read-only socket answers questions and refuses changes.
ro="qemu+unix:///system?socket=$root/run/bascule/libvirt-sock-ro"
virsh -q -r -c "$ro" net-list --name | grep -x default >/dev/null || fail "the read-only socket does not list networks"
if said=$(virsh -q -c "$ro" net-destroy default 2>&1); then fail "the read-only socket destroyed a network"; fi
has "read.only\|denied\|forbidden" "$said"
ip link show virbr0 >/dev/null || fail "virbr0 is gone"

# Our own command: the same facts, as a table and as JSON, and what its status says.
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
status_is() { # STATUS COMMAND…
    local wanted=$1 got=0
    shift
    "$@" >/dev/null 2>&1 || got=$?
    ((got == wanted)) || fail "'$*' ended with $got instead of $wanted"
}
[[ -x $BASCULE_BUILD/bascule ]] || fail "there is no program bascule in $BASCULE_BUILD"
has "Networks: *1" "$(b status)"
b net list -o json | jq -e '.[] | select(.name == "default")' >/dev/null || fail "net list -o json lacks default"
has virbr0 "$(b net dumpxml default)"
has clean-traffic "$(b nwfilter list)"
b guest list -o json | jq -e 'length == 0' >/dev/null || fail "guest list is not empty"
status_is 0 b net stop default
status_is 4 b net stop default
status_is 0 b net start default
status_is 0 b net leases default
status_is 2 b net frobnicate
status_is 3 b net dumpxml nowhere
status_is 6 "$BASCULE_BUILD/bascule" --socket "$BASCULE_TEST_DIR/nobody-here" status
