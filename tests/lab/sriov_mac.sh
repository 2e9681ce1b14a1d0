#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a nested guest's driver makes of the MAC address that was set on the PF for its virtual function: it has it when
# the PF is up while the driver starts, in whatever order VF, address and vfio-pci came; with the PF down it makes one up,
# since nobody answers its mailbox. What gives guests VFs must therefore set the PF up first.
# lab: igb=1 namespaces=host
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
prepare_guest_image
device=$(readlink -f /sys/class/net/igb0/device)
mac=52:54:00:0d:00:01
trap 'echo 0 >"$device/sriov_numvfs"' EXIT

virtual_function() {
    echo 0 >"$device/sriov_numvfs"
    echo 1 >"$device/sriov_numvfs"
    vf=$(basename "$(readlink "$device/virtfn0")")
}
hand_over() { # to vfio-pci
    local driver=/sys/bus/pci/devices/$vf/driver
    [[ ! -e $driver ]] || echo "$vf" >"$driver/unbind"
    echo vfio-pci >"/sys/bus/pci/devices/$vf/driver_override"
    echo "$vf" >/sys/bus/pci/drivers_probe
}
address_in_guest() {
    local console=$BASCULE_TEST_DIR/console
    rm -f "$console"
    qemu-system-x86_64 -accel kvm -cpu host -nodefaults -no-user-config -display none -no-reboot -m 192 \
        -machine q35 -kernel "$guest_kernel" -initrd "$guest_initrd" -append "console=ttyS0 quiet panic=-1 bascule.net=none" \
        -serial "file:$console" -device "vfio-pci,host=$vf" &
    wait_until 60 "the guest to boot" marker "$console" "done"
    kill $!
    wait $! || true
    marker "$console" "link eth0" | cut -d' ' -f4
}
expect() { # WHAT WANTED
    local got
    got=$(address_in_guest)
    echo "$1: $got"
    [[ $2 == other && -n $got && $got != "$mac" || $got == "$2" ]] || fail "$1: the guest has $got, expected $2"
}

ip link set igb0 down
virtual_function
ip link set igb0 vf 0 mac $mac
hand_over
expect "PF down" other
ip link set igb0 up
expect "PF up after everything else" $mac
