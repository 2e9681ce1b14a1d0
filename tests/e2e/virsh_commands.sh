#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every virsh command that the guides name, with Debian's virsh and the one of its backports: the table in
# docs/clients.md is what comes of it (UPDATE_GOLDEN=1 rewrites it), and how many work may only rise.
# time: 600
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
here=$BASCULE_TOP/tests/e2e
# The test's own namespace reaches no package server: what is not in the cache by now is not there.
newer=$("$BASCULE_TOP/tests/support/backports.sh" virsh-backports libvirt-clients) || skip "needs virsh of the backports suite"
dir=$BASCULE_TEST_DIR

cat >"$dir/net.xml" <<'XML'
<network><name>lan</name><bridge name='virbr77'/><ip address='10.77.0.1' netmask='255.255.255.0'>
<dhcp><range start='10.77.0.10' end='10.77.0.20'/></dhcp></ip></network>
XML
cat >"$dir/filter.xml" <<'XML'
<filter name='mine'><rule action='drop' direction='in' priority='500'><mac protocolid='arp'/></rule></filter>
XML
cat >"$dir/iface.xml" <<'XML'
<interface type='bridge' name='br9'><start mode='onboot'/><bridge><interface type='ethernet' name='eth9'/></bridge></interface>
XML
ip link add eth9 type veth peer name far9 # a device of the host's own, to be put into bridges
ip link set far9 up
ip link set eth9 up
cat >"$dir/nodedev.xml" <<'XML'
<device><parent>computer</parent><capability type='scsi_host'><capability type='fc_host'><wwnn>2000000012341234</wwnn>
<wwpn>2000000012341235</wwpn></capability></capability></device>
XML
echo "<cpu match='exact'><model>pentium</model></cpu>" >"$dir/cpu.xml"
echo "<cpu><model>qemu64</model></cpu><cpu><model>qemu32</model></cpu>" >"$dir/cpus.xml"
pool_xml() { echo "<pool type='dir'><name>$1</name><target><path>$root/$1</path></target></pool>"; }
vol_xml() { echo "<volume><name>$1</name><capacity unit='MiB'>1</capacity><target><format type='$2'/></target></volume>"; }
mkdir -p "$root/puddle"
pool_xml lake >"$dir/pool.xml"
pool_xml puddle >"$dir/pool2.xml"
vol_xml first.qcow2 qcow2 >"$dir/vol.xml"
vol_xml second.raw raw >"$dir/vol2.xml"
head -c 65536 /dev/urandom >"$dir/data"
nic_xml() { # LINK-STATE
    echo "<interface type='network'><mac address='52:54:00:77:00:03'/><source network='default'/><model type='virtio'/>$1</interface>"
}
nic_xml "" >"$dir/nic.xml"
nic_xml "<link state='down'/>" >"$dir/nic-down.xml"
echo "/usr/bin/qemu-system-x86_64 -name t -m 64" >"$dir/argv"
mkdir -p "$root/images"
truncate -s 1M "$root/images/disk.raw" "$root/images/cd.iso"
# Its boot order makes the firmware of its NIC ask for an address.
cat >"$dir/guest.xml" <<XML
<domain type='qemu'><name>t</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='network'/></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$root/images/disk.raw'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$root/images/cd.iso'/><target dev='sda' bus='sata'/></disk>
    <graphics type='vnc'/><video><model type='vga'/></video>
    <interface type='network'><mac address='52:54:00:77:00:01'/><source network='default'/><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/><memballoon model='virtio'/>
  </devices>
</domain>
XML

# try NAME VIRSH…: every command with that client, on a daemon that knows nothing.
try() {
    local name=$1
    shift
    rm -rf "${root:?}/etc" "${root:?}/var" "$root/lake" "$root/puddle2" "$root/pond" "$dir/dump"
    daemon_start
    "$here/virsh_commands.py" run "$(libvirt_uri)" "$dir" "$dir/$name.json" "$@"
    tear_down
}
try 9.0 virsh
try 11.3 env LD_LIBRARY_PATH="$newer/usr/lib/x86_64-linux-gnu" "$newer/usr/bin/virsh"
"$here/virsh_commands.py" table 9.0="$dir/9.0.json" 11.3="$dir/11.3.json"
