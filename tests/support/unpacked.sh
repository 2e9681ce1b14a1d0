#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# unpacked.sh TREE PACKAGE…
# Brings packages into the folder TREE of the cache without installing them, and prints that folder: for programs that would
# take over what belongs to the machine (its resolver, its network). What they depend on has to be named, too, or be
# installed. A tree that is there is used as it is; remove the folder to fetch anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

main() {
    (($# >= 2)) || { echo "usage: unpacked.sh TREE PACKAGE…" >&2; exit 2; }
    local tree cache work deb
    cache=$(BASCULE_CACHE=${BASCULE_CACHE:-} "$here/kernel_package.sh" --cache-folder)
    tree=$cache/$1
    shift
    exec 7>"$cache/unpacked.lock"
    flock 7
    if [[ -e $tree/packages && $(cat "$tree/packages") == "$*" ]]; then
        echo "$tree"
        return
    fi
    work=$(mktemp -d "$cache/unpacked.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    mkdir "$work/archives" "$work/tree"
    echo "unpacked: fetching $*" >&2
    (cd "$work/archives" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@" >&2)
    for deb in "$work"/archives/*.deb; do
        dpkg -x "$deb" "$work/tree"
    done
    echo "$*" >"$work/tree/packages"
    chmod 755 "$work/tree"
    rm -rf "$tree"
    mv "$work/tree" "$tree"
    echo "$tree"
}
main "$@"
