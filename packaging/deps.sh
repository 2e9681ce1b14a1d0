# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The one place that installs packages; ./run, ./test and ./bench source it.
#   deps_install run build …   makes sure of every package named in packaging/packages-{run,build,…}.txt
# Does nothing, fast and without root, when all are there.

deps_missing() { # LIST… -> names of packages that are not installed
    local list wanted=()
    for list in "$@"; do
        mapfile -t -O "${#wanted[@]}" wanted < <(sed 's/#.*//; /^[[:space:]]*$/d' "$(dirname "${BASH_SOURCE[0]}")/packages-$list.txt")
    done
    comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

deps_install() { # LIST…
    local missing guard=/usr/sbin/policy-rc.d guarded=no status=0
    mapfile -t missing < <(deps_missing "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        echo "missing packages; install them as root:" >&2
        echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "installing: ${missing[*]}"
    # Some packages bring services (libvirtd) that must not start on this host: Debian's maintainer scripts ask
    # policy-rc.d, and 101 means no. One that is there already is somebody's decision and stays.
    if [[ ! -e $guard ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
        guarded=yes
    fi
    {
        apt-get -qq update &&
            DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}"
    } </dev/null >/tmp/bascule-deps.$$ 2>&1 || status=$?
    [[ $guarded == no ]] || rm -f "$guard"
    ((status == 0)) || { tail -n 30 /tmp/bascule-deps.$$ >&2; echo "installing packages failed (status $status)" >&2; }
    rm -f /tmp/bascule-deps.$$
    return "$status"
}
