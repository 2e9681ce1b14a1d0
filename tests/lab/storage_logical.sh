#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A pool of logical volumes on two loop devices: made, used, found, and taken apart again, with LVM's own tools as witness.
# lab: namespaces=host disk=1
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
trap finish EXIT
needs_daemon
command -v vgs >/dev/null || skip "needs lvm2"
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
refused() { # PATTERN VIRSH-COMMAND…
    local pattern=$1 said
    shift
    if said=$(v "$@" 2>&1); then fail "'$*' was not refused"; fi
    has "$pattern" "$said"
}
devices=()
tidy() {
    vgremove -f lab >/dev/null 2>&1 || true
    for device in "${devices[@]}"; do losetup -d "$device" || true; done
}
finish() {
    local status=$?
    tear_down
    tidy
    exit $status
}
modprobe loop
modprobe dm-mod
# Lab hosts have no udev: LVM makes device files itself. (Their /etc is an overlay that goes with them.)
echo 'activation { udev_sync = 0 udev_rules = 0 }' >>/etc/lvm/lvmlocal.conf
for number in 1 2; do
    truncate -s 128M "/mnt/disk/pv$number"
    devices+=("$(losetup --find --show "/mnt/disk/pv$number")")
done
daemon_start

cat >"$BASCULE_TEST_DIR/pool.xml" <<XML
<pool type='logical'>
  <name>vms</name>
  <source><device path='${devices[0]}'/><device path='${devices[1]}'/><name>lab</name><format type='lvm2'/></source>
  <target><path>/dev/lab</path></target>
</pool>
XML
v pool-define "$BASCULE_TEST_DIR/pool.xml" >/dev/null
refused "lab" pool-start vms
v pool-build vms >/dev/null
[[ $(vgs --noheadings -o pv_count lab | xargs) == 2 ]] || fail "the group: $(vgs lab)"
v pool-start vms >/dev/null
capacity=$(v pool-info vms --bytes | sed -n 's/^Capacity: *//p')
[[ $capacity == $(vgs --noheadings --units b --nosuffix -o vg_size lab | xargs) ]] || fail "capacity $capacity"
v pool-dumpxml vms >"$BASCULE_TEST_DIR/vms.xml"
virt-xml-validate "$BASCULE_TEST_DIR/vms.xml" storagepool >/dev/null || fail "not valid: $(cat "$BASCULE_TEST_DIR/vms.xml")"
has "<name>lab</name>" "$(v find-storage-pool-sources logical)"

v vol-create-as vms one 20M >/dev/null
[[ $(lvs --noheadings --units m --nosuffix -o lv_size lab/one | xargs) == 20.00 ]] || fail "lvs: $(lvs lab)"
[[ $(v vol-path one --pool vms) == /dev/lab/one ]] || fail "vol-path: $(v vol-path one --pool vms)"
has "Type: *block" "$(v vol-info one --pool vms)"
[[ $(v vol-key one --pool vms) == "$(lvs --noheadings -o lv_uuid lab/one | xargs)" ]] || fail "vol-key"
v vol-dumpxml one --pool vms >"$BASCULE_TEST_DIR/one.xml"
virt-xml-validate "$BASCULE_TEST_DIR/one.xml" storagevol >/dev/null || fail "not valid: $(cat "$BASCULE_TEST_DIR/one.xml")"
refused "exists already" vol-create-as vms one 20M
refused "holds the format 'raw'" vol-create-as vms two 20M --format qcow2
refused "lvcreate" vol-create-as vms huge 20G

head -c 20971520 /dev/urandom >"$BASCULE_TEST_DIR/in"
v vol-upload one "$BASCULE_TEST_DIR/in" --pool vms
v vol-download one "$BASCULE_TEST_DIR/out" --pool vms
cmp "$BASCULE_TEST_DIR/in" "$BASCULE_TEST_DIR/out" || fail "what came down is not what went up"
v vol-clone one two --pool vms >/dev/null
cmp -n 20971520 /dev/lab/one /dev/lab/two || fail "vol-clone"
v vol-resize two 40M --pool vms >/dev/null
[[ $(blockdev --getsize64 /dev/lab/two) == 41943040 ]] || fail "vol-resize"
v vol-wipe two --pool vms >/dev/null
cmp -n 41943040 /dev/lab/two /dev/zero || fail "vol-wipe"
lvcreate -y -n strange -L 4M lab >/dev/null
v pool-refresh vms >/dev/null
has strange "$(v vol-list vms)"
for name in one two strange; do v vol-delete "$name" --pool vms >/dev/null; done
[[ -z $(lvs --noheadings lab) ]] || fail "left: $(lvs lab)"

# A restart finds it as it was.
v vol-create-as vms kept 8M >/dev/null
daemon_stop KILL
daemon_start
has kept "$(v vol-list vms)"
v vol-delete kept --pool vms >/dev/null
v pool-destroy vms >/dev/null
v pool-delete vms >/dev/null
! vgs lab >/dev/null 2>&1 || fail "the group is still there"
v pool-undefine vms >/dev/null
