#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes what lab hosts boot from, in the cache folder (see ../support/kernel_package.sh), and prints where it is:
#   kernel=…   Debian's kernel          initrd=…   ours, see host/initrd_init
#   modules=…  lib/modules of that kernel's package       qemu=…   folder of a QEMU 8 or newer (backports)
# Nothing is installed. Each part is made once for its inputs; a changed input makes a new one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
support=$here/../support

# What the initramfs needs to reach its root: everything else is loaded from the modules share.
modules=(virtio_pci virtio_blk virtio_console virtio_net 9pnet_virtio 9p overlay ext4)

# kernel_tree DEB FOLDER: kernel and modules, unpacked and indexed.
kernel_tree() {
    [[ ! -e $2/vmlinux ]] || return 0
    local work
    work=$(mktemp -d "$(dirname "$2")/build.XXXXXX")
    echo "lab: unpacking $(basename "$1")" >&2
    dpkg --fsys-tarfile "$1" | tar -x -C "$work" ./boot ./lib/modules
    local version
    version=$(basename "$work"/lib/modules/*)
    depmod -b "$work" "$version"
    python3 "$here/../support/unpack_kernel.py" "$work/boot/vmlinuz-$version" "$work/vmlinux"
    echo "$version" >"$work/version"
    chmod 755 "$work"
    rm -rf "$2"
    mv "$work" "$2"
}

# initrd TREE FILE
initrd() {
    [[ ! -e $2 ]] || return 0
    local tree=$1 version work number=100 line
    version=$(cat "$tree/version")
    work=$(mktemp -d "$(dirname "$2")/build.XXXXXX")
    mkdir -p "$work"/{bin,modules}
    cp "$(command -v busybox)" "$work/bin/busybox"
    install -m 755 "$here/host/initrd_init" "$work/init"
    for line in "${modules[@]}"; do
        modprobe -d "$tree" -S "$version" --show-depends "$line"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/list"
    while read -r line; do
        cp "$line" "$work/modules/$((number++))-$(basename "$line")"
    done <"$work/list"
    rm "$work/list"
    (cd "$work" && find . -print0 | sort -z | cpio --null --quiet -o -H newc -R 0:0 --reproducible) | gzip -1n >"$2.part"
    rm -rf "$work"
    mv "$2.part" "$2"
}

main() {
    local deb cache name hash tree
    deb=$("$support/kernel_package.sh")
    cache=$(dirname "$deb")
    exec 8>"$cache/lab.lock"
    flock 8
    name=$(basename "$deb" .deb)
    tree=$cache/lab-${name#linux-image-}
    kernel_tree "$deb" "$tree"
    hash=$(cat "${BASH_SOURCE[0]}" "$here/host/initrd_init" "$(command -v busybox)" | sha256sum | cut -c1-12)
    initrd "$tree" "$tree/initrd-$hash.gz"
    echo "kernel=$tree/vmlinux"
    echo "initrd=$tree/initrd-$hash.gz"
    echo "modules=$tree/lib/modules"
    echo "qemu=$("$support/backports.sh" qemu-backports qemu-system-x86)"
}
main
