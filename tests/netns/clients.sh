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

# The list of guests, by all that it can be narrowed to: "on" is defined, starts with the host and is paused; "off" is
# only defined; "passing" is not.
if [[ -x /usr/bin/qemu-system-x86_64 ]]; then
    named() {
        printf '%s\n' "<domain type='qemu'><name>$1</name><title>title of $1</title><memory unit='MiB'>64</memory><os>" \
            "<type arch='x86_64' machine='q35'>hvm</type></os></domain>" >"$BASCULE_TEST_DIR/$1.xml"
    }
    for guest in on off passing; do named "$guest"; done
    v define "$BASCULE_TEST_DIR/on.xml" >/dev/null
    v define "$BASCULE_TEST_DIR/off.xml" >/dev/null
    v autostart on >/dev/null
    v start on --paused --force-boot >/dev/null
    v create "$BASCULE_TEST_DIR/passing.xml" >/dev/null
    lists() { # NAMES OPTION…
        local names=$1 said
        shift
        said=$(v list --name "$@" | sort | xargs)
        [[ $said == "$names" ]] || fail "list $*: $said"
    }
    lists "on passing"
    lists "off on passing" --all
    lists off --inactive
    lists "off on" --all --persistent
    lists passing --transient
    lists on --all --autostart
    lists "off passing" --all --no-autostart
    lists passing --state-running
    lists on --state-paused
    lists off --all --state-shutoff
    lists "" --all --state-other
    lists "on passing" --all --state-running --state-paused
    lists "" --all --with-managed-save
    lists "off on passing" --all --without-managed-save
    lists "" --all --with-snapshot
    lists "off on passing" --all --without-snapshot
    has "off *shut off *title of off" "$(v list --all --title)"
    has "on *paused" "$(v list --table)"
    [[ $(v list --uuid --transient | xargs) == "$(v domuuid passing | xargs)" ]] || fail "list --uuid: $(v list --uuid)"
    has "off *shut off" "$(v list --all --managed-save)"
    tear_down
fi
