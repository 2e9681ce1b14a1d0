#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# virt-install: the document that it writes, and a guest without disks that it defines and starts; from the latter's
# document the elements are taken out that a definition cannot have yet.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v virt-install >/dev/null || skip "needs virt-install"
daemon_start
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
export HOME=$BASCULE_TEST_DIR
later=(--machine pc --controller 'usb,model=none' --xml xpath.delete=./clock --xml xpath.delete=./pm)
install_guest() { # NAME OPTION…
    local name=$1
    shift
    virt-install --connect "$(libvirt_uri)" --name "$name" --memory 64 --virt-type qemu --osinfo generic \
        --import --disk none --network network=default,model=virtio --graphics none --sound none --noautoconsole "$@" 2>&1
}

document=$(install_guest seen --print-xml)
has "<name>seen</name>" "$document"
has "<source network=.default./>" "$document"
[[ -z $(v list --all --name) ]] || fail "--print-xml made a guest"

said=$(install_guest made "${later[@]}") || fail "virt-install: $said"
has "Domain creation completed" "$said"
[[ $(v domstate made) == running ]] || fail "the guest does not run"
has "Persistent: *yes" "$(v dominfo made)"
has 52:54:00 "$(v domiflist made)"
if said=$(install_guest made "${later[@]}"); then fail "the name was taken twice"; fi
has "already\|in use" "$said"
v destroy made >/dev/null
v undefine made >/dev/null
tear_down
