#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a lab host does once its root is there: mounts, the modules that nothing loads by itself, a shell on the first
# virtio console, and the responder, through which the build machine runs commands here.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LC_ALL=C.UTF-8
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/shm /dev/pts /run/netns /run/lock
mount -t tmpfs shm /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 pts /dev/pts
mount -t hugetlbfs hugetlbfs /dev/hugepages 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
hostname "$(cat /mnt/out/name)"
ip link set lo up

# Drivers that have no device to be loaded for, and those of network cards. In one call: each takes long here.
mapfile -t cards < <(grep -l '^0x02' /sys/bus/pci/devices/*/class | sed 's/class$/modalias/' | xargs -r cat)
modprobe -aq kvm_amd vhost_net tun nf_conntrack_bridge nft_meta_bridge nft_reject_bridge vfio-pci "${cards[@]}" ||
    echo "LAB a module is missing"
chmod 666 /dev/kvm /dev/vhost-net /dev/net/tun 2>/dev/null

# Names that tests can rely on, by the addresses that lab_host.py gave: igb0, igb1 …, and link0.
for address in /sys/class/net/*/address; do
    case $(cat "$address") in
        52:54:00:1a:b0:*) name=igb$((16#$(cut -d: -f6 "$address"))) ;;
        52:54:00:1a:b1:*) name=link0 ;;
        *) continue ;;
    esac
    ip link set "$(basename "$(dirname "$address")")" name "$name"
done

port() { # NAME -> device of the virtio-serial port
    local name
    for name in /sys/class/virtio-ports/*/name; do
        [[ $(cat "$name") == "$1" ]] && { echo "/dev/$(basename "$(dirname "$name")")"; return; }
    done
}

echo "LAB up $(cut -d' ' -f1 /proc/uptime)"
while :; do setsid --ctty bash --noprofile --norc -i </dev/hvc0 >/dev/hvc0 2>&1; done &
while :; do /mnt/out/responder "$(port bascule.responder)"; echo "LAB responder ended: $?"; sleep 1; done
