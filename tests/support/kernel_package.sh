#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Prints the path of Debian's kernel package (a .deb) in the cache folder, after downloading it when it is not
# there. Nothing is installed. Any user may run it; it needs package lists (apt-get update) only the first time.
# With --cache-folder it only prints the cache folder.
#   BASCULE_CACHE   folder, default $XDG_CACHE_HOME/bascule, else ~/.cache/bascule, else /tmp/bascule-cache-UID
set -euo pipefail

cache_folder() {
    local folder
    for folder in "${BASCULE_CACHE:-}" "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/bascule}" "${HOME:+$HOME/.cache/bascule}"; do
        if [[ -n $folder ]] && mkdir -p "$folder" 2>/dev/null && [[ -w $folder ]]; then
            echo "$folder"
            return
        fi
    done
    folder=/tmp/bascule-cache-$(id -u)
    mkdir -p "$folder"
    echo "$folder"
}

# linux-image-amd64 is empty and depends on the package that holds kernel and modules.
candidate() {
    local package version
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }')
    [[ -n $package ]] || return 1
    version=$(apt-cache show --no-all-versions "$package" | awk '/^Version:/ { print $2; exit }')
    [[ -n $version ]] && echo "${package}_${version//:/%3a}_amd64.deb" "$package"
}

main() {
    local cache deb package newest
    cache=$(cache_folder)
    [[ ${1:-} != --cache-folder ]] || { echo "$cache"; return; }
    if ! read -r deb package < <(candidate); then
        # No package lists: a kernel fetched earlier serves as well.
        newest=$(find "$cache" -maxdepth 1 -name 'linux-image-*.deb' | sort -V | tail -n 1)
        [[ -n $newest ]] && { echo "$newest"; return; }
        echo "kernel_package: no candidate for linux-image-amd64: run apt-get update (as root) first" >&2
        return 1
    fi
    exec 9>"$cache/kernel_package.lock"
    flock 9
    if [[ ! -s $cache/$deb ]]; then
        local work
        work=$(mktemp -d "$cache/fetch.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        echo "guest image: downloading $package" >&2
        # Without this, apt running as root warns that its own user cannot write here.
        (cd "$work" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" >&2)
        mv "$work"/*.deb "$cache/$deb"
    fi
    echo "$cache/$deb"
}
main "$@"
