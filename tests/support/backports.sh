#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# backports.sh TREE PACKAGE…
# Brings packages of Debian's backports suite, with what they need beyond this machine's own packages, into the
# folder TREE of the cache, and prints that folder. Nothing is installed and nothing of the machine's package
# management changes: lists and archives live in the cache too. Run a program from there as
#   LD_LIBRARY_PATH=FOLDER/usr/lib/x86_64-linux-gnu FOLDER/usr/bin/PROGRAM
# The suite's source is the machine's own Debian entry with the suite replaced, so it comes from wherever the
# machine's other packages come from. A tree that is there is used as it is; remove the folder to fetch anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
    echo "backports: $*" >&2
    exit 1
}

# sources SUITE -> the machine's Debian entry for that suite with "-backports" appended, in deb822 form.
sources() {
    python3 - "$1" <<'PYTHON'
import glob, re, sys
suite = sys.argv[1]

def entries():
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", open(path, encoding="utf-8").read()):
            fields, last = {}, None
            for line in stanza.splitlines():
                if line.startswith("#"):
                    continue
                if line[:1].isspace() and last:
                    fields[last] += "\n" + line
                elif ":" in line:
                    last, value = line.split(":", 1)
                    last = last.strip().lower()
                    fields[last] = value.strip()
            if fields.get("enabled", "yes").lower() not in ("no", "false"):
                yield fields
    for path in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*.list")):
        try:
            lines = open(path, encoding="utf-8").read().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
            if found:
                options = dict(o.split("=", 1) for o in (found[1] or "").split() if "=" in o)
                yield {"types": "deb", "uris": found[2], "suites": found[3], "components": found[4].strip(),
                       **({"signed-by": options["signed-by"]} if "signed-by" in options else {})}

for entry in entries():
    if "deb" in entry.get("types", "").split() and suite in entry.get("suites", "").split() and "main" in entry.get("components", "").split():
        print("Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main" % (entry["uris"], suite))
        if "signed-by" in entry:
            print("Signed-By: " + entry["signed-by"])
        break
else:
    sys.exit("backports: no enabled Debian source for suite '%s' below /etc/apt" % suite)
PYTHON
}

main() {
    (($# >= 2)) || die "usage: backports.sh TREE PACKAGE…"
    local tree cache suite work apt=()
    cache=$(BASCULE_CACHE=${BASCULE_CACHE:-} "$here/kernel_package.sh" --cache-folder)
    tree=$cache/$1
    shift
    exec 7>"$cache/backports.lock"
    flock 7
    if [[ -e $tree/packages && $(cat "$tree/packages") == "$*" ]]; then
        echo "$tree"
        return
    fi
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [[ -n $suite ]] || die "/etc/os-release names no suite"
    work=$(mktemp -d "$cache/backports.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    mkdir -p "$work"/{parts,lists/partial,archives/partial,tree}
    cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$work/parts" 2>/dev/null || true
    [[ ! -e /etc/apt/sources.list ]] || cp /etc/apt/sources.list "$work/parts/main.list"
    sources "$suite" >"$work/parts/bascule-backports.sources" || exit 1
    apt=(-qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/parts" -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache::Archives=$work/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
        -o "APT::Sandbox::User=$(id -un)" -o "Debug::NoLocking=1")
    echo "backports: fetching $* for $(basename "$tree")" >&2
    # Lists that the machine has need not come again.
    cp /var/lib/apt/lists/*_* "$work/lists" 2>/dev/null || true
    apt-get "${apt[@]}" update >"$work/log" 2>&1 || { cat "$work/log" >&2; die "no package lists for $suite-backports"; }
    # --reinstall: also a package that this machine has at that very version.
    DEBIAN_FRONTEND=noninteractive apt-get "${apt[@]}" -y --no-install-recommends --download-only --reinstall \
        -t "$suite-backports" install "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "fetching failed"; }
    local deb
    for deb in "$work"/archives/*.deb; do
        [[ -e $deb ]] || die "nothing was fetched for: $*"
        dpkg -x "$deb" "$work/tree"
    done
    echo "$*" >"$work/tree/packages"
    chmod 755 "$work/tree"
    rm -rf "$tree"
    mv "$work/tree" "$tree"
    echo "$tree"
}
main "$@"
