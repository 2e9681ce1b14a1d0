#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the small Linux guest that ./run and the tests boot, and prints where it is:
#   kernel=/…/vmlinux
#   initrd=/…/initrd
# It is Debian's kernel, a few of its modules, busybox, a DHCPv6 client and the files of guest/. Nothing is installed,
# no root is needed. Images are kept in the cache folder (see kernel_package.sh) under a name made of the kernel's
# version and a hash of everything else that went in, so a changed script builds a new one and old ones stay usable
# meanwhile.
#
# What the guest does is told on its kernel command line; guest/init describes it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Loaded by the guest at once, in this order, with what they depend on before them.
boot_modules=(virtio_pci virtio_net virtio_console af_packet)
# Loaded when there is a card for them, or when the kernel or somebody asks: each costs a good part of a second under
# emulation.
other_modules=(virtio_rng e1000 e1000e igbvf 8021q)

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "guest image: '$tool' is missing (packages: packaging/packages-run.txt)" >&2; exit 1; }
    done
}

# unpack DEB FOLDER: only the parts of the kernel package that a guest can use (the whole is 300 MB).
unpack() {
    mkdir -p "$2"
    dpkg --fsys-tarfile "$1" | tar -x -C "$2" --wildcards \
        './boot/vmlinuz-*' './lib/modules/*/modules.*' './lib/modules/*/kernel/drivers/virtio/*' \
        './lib/modules/*/kernel/drivers/net/*' './lib/modules/*/kernel/drivers/char/*' \
        './lib/modules/*/kernel/drivers/ptp/*' './lib/modules/*/kernel/drivers/pps/*' \
        './lib/modules/*/kernel/drivers/i2c/*' './lib/modules/*/kernel/net/*'
}

# Programs of this machine's, with the libraries and the loader that they name: a DHCPv6 client, which busybox of Debian
# 12 has none of, a meter and QEMU's agent. Only tests ask for them (packages-test.txt), so a machine without them still gets an
# image, and lease6 says what is missing.
add_programs() {
    local root=$1 program file
    mkdir -p "$root/etc/dhcp" "$root/var/lib/dhcp"
    for program in "${programs[@]}"; do
        install -m 755 "$program" "$root/bin/"
        for file in $(ldd "$program" | grep -o '/[^ ]*'); do
            install -D -m 755 "$file" "$root$file"
        done
    done
}

# lay_out KERNEL_TREE VERSION FOLDER: the guest's file system as a folder.
lay_out() {
    local tree=$1 version=$2 root=$3 line program number=100
    mkdir -p "$root"/{bin,etc,lib/boot-modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    install -m 755 "$here/guest/init" "$root/init"
    install -m 755 "$here/guest/lease" "$root/bin/lease"
    install -m 755 "$here/guest/lease6" "$root/bin/lease6"
    install -m 755 "$here/guest/shutdown" "$root/bin/shutdown"
    for program in checksums frame responder; do
        gcc -O2 -static -Wall -Wextra -Werror -s -o "$root/bin/$program" "$here/guest/$program.c"
    done
    add_programs "$root"
    depmod -b "$tree" "$version" 2>/dev/null
    files_of() { # MODULE… -> their files, each after what it needs
        local module
        for module in "$@"; do
            modprobe -d "$tree" -S "$version" --show-depends "$module"
        done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
    }
    while read -r line; do
        cp "$line" "$root/lib/boot-modules/$((number++))-$(basename "$line")"
    done < <(files_of "${boot_modules[@]}")
    while read -r line; do
        install -D -m 644 "$line" "$root/lib/modules/${line#"$tree"/lib/modules/}"
    done < <(files_of "${boot_modules[@]}" "${other_modules[@]}")
    depmod -b "$root" "$version" 2>/dev/null
    ln -s busybox "$root/bin/modprobe"
    ln -s /bin "$root/sbin" # the kernel asks /sbin/modprobe
}

main() {
    need python3 busybox gcc cpio gzip depmod modprobe flock dpkg
    mapfile -t programs < <(PATH=$PATH:/usr/sbin:/sbin; for program in dhclient iperf3 qemu-ga; do command -v $program; done)
    local deb cache name hash folder work tree version
    deb=$("$here/kernel_package.sh")
    cache=$(dirname "$deb")
    hash=$({ cat "${BASH_SOURCE[0]}" "$here"/guest/*; cat "$(command -v busybox)" "${programs[@]}"; } | sha256sum | cut -c1-12)
    name=$(basename "$deb" .deb)
    folder=$cache/guest-${name#linux-image-}-$hash
    exec 8>"$cache/guest_image.lock"
    flock 8
    if [[ ! -e $folder/initrd ]]; then
        work=$(mktemp -d "$cache/build.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        chmod 755 "$work"
        echo "guest image: building from $(basename "$deb")" >&2
        unpack "$deb" "$work/tree"
        version=$(basename "$work"/tree/lib/modules/*)
        lay_out "$work/tree" "$version" "$work/root"
        mkdir "$work/image"
        chmod 755 "$work/image"
        # Unpacked: that is two seconds less of each boot under emulation, for 60 MB once.
        "$here/unpack_kernel.py" "$work/tree/boot/vmlinuz-$version" "$work/image/vmlinux"
        # Owner, order and times fixed: the same input gives the same bytes.
        find "$work/root" -exec touch -h -d @0 {} +
        (cd "$work/root" && find . -print0 | sort -z | cpio --null --quiet -o -H newc -R 0:0 --reproducible) |
            cat >"$work/image/initrd"
        chmod 644 "$work"/image/*
        rm -rf "$folder"
        mv "$work/image" "$folder"
    fi
    echo "kernel=$folder/vmlinux"
    echo "initrd=$folder/initrd"
}
main
