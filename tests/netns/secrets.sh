#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Secrets, as virsh uses them: every secret- command, who gets a value and who does not, and where values are kept.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
refused() { # PATTERN VIRSH-COMMAND…
    local pattern=$1 said
    shift
    if said=$(v "$@" 2>&1); then fail "'$*' was not refused"; fi
    has "$pattern" "$said"
}
define() { # ATTRIBUTES USAGE…: prints the uuid
    local attributes=$1
    shift
    printf '%s\n' "<secret $attributes>$*</secret>" >"$BASCULE_TEST_DIR/secret.xml"
    virsh -c "$(libvirt_uri)" secret-define "$BASCULE_TEST_DIR/secret.xml" | grep -o '[0-9a-f-]\{36\}'
}
folder=$root/etc/bascule/secrets
events=$BASCULE_TEST_DIR/events
stdbuf -oL virsh -q -c "$(libvirt_uri)" secret-event --event value-changed --loop --timeout 30 >"$events" 2>&1 &
listener=$!

volume=$(define "ephemeral='no' private='no'" "<description>disk</description><usage type='volume'><volume>/srv/a.img</volume></usage>")
[[ -n $volume ]] || fail "secret-define says no uuid"
dumped=$(v secret-dumpxml "$volume")
has "<volume>/srv/a.img</volume>" "$dumped"
printf '%s\n' "$dumped" >"$BASCULE_TEST_DIR/dumped.xml"
virt-xml-validate "$BASCULE_TEST_DIR/dumped.xml" secret >/dev/null || fail "not valid: $dumped"
refused "does not have a value" secret-get-value "$volume"
heard() { # a value that is set until the listener has heard of one
    v secret-set-value "$volume" --base64 "$(printf 'open sesame' | base64)" >/dev/null 2>&1
    grep -q "value-changed.*$volume" "$events"
}
wait_until 20 "the event of a changed value" heard
kill "$listener"
wait "$listener" || true
[[ $(v secret-get-value "$volume" | base64 -d) == "open sesame" ]] || fail "the value came back as $(v secret-get-value "$volume")"
[[ $(stat -c %a "$folder/$volume.xml" "$folder/$volume.value" | xargs) == "600 600" ]] || fail "modes: $(stat -c '%a %n' "$folder"/*)"

# All uses, each once.
for use in "ceph name" "iscsi target" "tls name" "vtpm name"; do
    read -r type element <<<"$use"
    uuid=$(define "" "<usage type='$type'><$element>id-$type</$element></usage>")
    has "<$element>id-$type</$element>" "$(v secret-dumpxml "$uuid")"
    v secret-dumpxml "$uuid" >"$BASCULE_TEST_DIR/dumped.xml"
    virt-xml-validate "$BASCULE_TEST_DIR/dumped.xml" secret >/dev/null || fail "not valid: $(v secret-dumpxml "$uuid")"
done
printf '%s\n' "<secret><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid><usage type='ceph'><name>id-ceph</name></usage></secret>" >"$BASCULE_TEST_DIR/twice.xml"
refused "already defined for use with id-ceph" secret-define "$BASCULE_TEST_DIR/twice.xml"
printf '%s\n' "<secret><usage type='magic'/></secret>" >"$BASCULE_TEST_DIR/bad.xml"
refused "line 1: <usage type>: expected" secret-define "$BASCULE_TEST_DIR/bad.xml"
refused "no secret with matching uuid" secret-dumpxml "$(cat /proc/sys/kernel/random/uuid)"

# A private value is kept and given to nobody; an ephemeral one is never on the disk.
private=$(define "private='yes'" "<usage type='tls'><name>private</name></usage>")
v secret-set-value "$private" --base64 eA== >/dev/null 2>&1
refused "Invalid secret: secret is private" secret-get-value "$private"
printf '%s\n' "<secret private='no'><uuid>$private</uuid><usage type='tls'><name>private</name></usage></secret>" >"$BASCULE_TEST_DIR/open.xml"
refused "cannot change private flag" secret-define "$BASCULE_TEST_DIR/open.xml"
ephemeral=$(define "ephemeral='yes'" "<usage type='ceph'><name>ephemeral</name></usage>")
v secret-set-value "$ephemeral" --base64 "$(printf 'in memory only' | base64)" >/dev/null 2>&1
[[ $(v secret-get-value "$ephemeral" | base64 -d) == "in memory only" ]] || fail "the ephemeral value"
! grep -r -q -a "in memory only" "$root/etc" "$root/run" "$root/var" || fail "an ephemeral value is on the disk"
has "$ephemeral" "$(v secret-list --ephemeral)"
! grep -q "$ephemeral" <<<"$(v secret-list --no-ephemeral)" || fail "secret-list --no-ephemeral"
[[ $(v secret-list --private | grep -c .) == 1 ]] || fail "secret-list --private: $(v secret-list --private)"
[[ $(v secret-list | grep -c .) == 7 ]] || fail "secret-list: $(v secret-list)"

# The read-only socket: what there is, never a value.
ro() { virsh -q -r -c "qemu+unix:///system?socket=$root/run/bascule/libvirt-sock-ro" "$@"; }
has "$volume" "$(ro secret-list)"
for command in "secret-get-value $volume" "secret-set-value $volume --base64 eA==" "secret-undefine $volume"; do
    # shellcheck disable=SC2086
    if said=$(ro $command 2>&1); then fail "the read-only socket: $command"; fi
    has "read only access prevents virSecret" "$said"
done

# A restart keeps what is to be kept.
daemon_stop KILL
daemon_start
[[ $(v secret-get-value "$volume" | base64 -d) == "open sesame" ]] || fail "the value did not survive"
refused "no secret" secret-dumpxml "$ephemeral"
refused "secret is private" secret-get-value "$private"
v secret-undefine "$volume" >/dev/null
[[ ! -e $folder/$volume.xml && ! -e $folder/$volume.value ]] || fail "secret-undefine left files"
tear_down
