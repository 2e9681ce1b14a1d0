#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every document that the daemon gives is valid by libvirt's own schemas.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v virt-xml-validate >/dev/null || skip "needs virt-xml-validate"
[[ -e /usr/share/libvirt/schemas/domain.rng ]] || skip "needs libvirt's schemas"
daemon_start
document=$BASCULE_TEST_DIR/document.xml
seen=0
valid() { # SCHEMA VIRSH-COMMAND…: what virsh shows is valid
    local schema=$1
    shift
    v "$@" >"$document" || fail "'$*' failed"
    virt-xml-validate "$document" "$schema" >/dev/null 2>"$BASCULE_TEST_DIR/errors" ||
        fail "'$*' is no valid $schema: $(cat "$BASCULE_TEST_DIR/errors") $(cat "$document")"
    seen=$((seen + 1))
}

valid capability capabilities
valid domaincaps domcapabilities
valid domaincaps domcapabilities --virttype qemu --machine pc
valid domaincaps domcapabilities --virttype qemu --machine q35
for device in $(v nodedev-list); do valid nodedev nodedev-dumpxml "$device"; done

# Host devices: a bridge with ports, a VLAN where the kernel has them, addresses of both families.
ip link add eth7 type veth peer name eth8
ip link set eth8 master virbr0 up
ip addr add 192.0.2.9/24 dev eth7
ip -6 addr add 2001:db8::9/64 dev eth7
ip link set eth7 up
if ip link add link eth7 name eth7.5 type vlan id 5 2>/dev/null; then ip link set eth7.5 master virbr0 up; fi
for interface in $(v iface-list --all | awk '{ print $1 }'); do valid interface iface-dumpxml "$interface"; done

# Networks and filters: those that come with the program, and one with everything.
valid network net-dumpxml default
valid network net-dumpxml default --inactive
cat >"$BASCULE_TEST_DIR/net.xml" <<'XML'
<network><name>full</name><metadata><a:b xmlns:a='urn:a'><a:c/></a:b></metadata><forward mode='nat'><nat><port start='2000' end='3000'/></nat></forward>
<bridge name='virbr7' stp='on' delay='0'/><mtu size='1400'/><domain name='full.test' localOnly='yes'/>
<dns><host ip='10.77.0.9'><hostname>nine</hostname></host></dns>
<ip address='10.77.0.1' netmask='255.255.255.0'><dhcp><range start='10.77.0.10' end='10.77.0.20'><lease expiry='2' unit='hours'/></range>
<host mac='52:54:00:00:00:01' name='one' ip='10.77.0.30'/></dhcp></ip><ip family='ipv6' address='fd00:77::1' prefix='64'/></network>
XML
v net-define "$BASCULE_TEST_DIR/net.xml" >/dev/null
v net-start full >/dev/null
valid network net-dumpxml full
valid network net-dumpxml full --inactive
# Without those that check what is inside neighbour discovery (ndtargetaddr): libvirt has no words for that.
for filter in $(v nwfilter-list | awk '$2 !~ /^(no-nd-spoofing)$/ { print $2 }'); do valid nwfilter nwfilter-dumpxml "$filter"; done

# Storage and secrets.
for pool in $(v pool-list --all --name); do valid storagepool pool-dumpxml "$pool"; done
v vol-create-as default disk.qcow2 1M --format qcow2 >/dev/null
valid storagevol vol-dumpxml disk.qcow2 --pool default
cat >"$BASCULE_TEST_DIR/secret.xml" <<'XML'
<secret ephemeral='no' private='yes'><description>of a volume</description><usage type='volume'><volume>/a</volume></usage></secret>
XML
v secret-define "$BASCULE_TEST_DIR/secret.xml" >/dev/null
secret=$(v secret-list | awk 'NF { print $1; exit }')
valid secret secret-dumpxml "$secret"

# A guest with a filter, defined and running, and its binding.
cat >"$BASCULE_TEST_DIR/guest.xml" <<'XML'
<domain type='qemu'><name>g</name><title>one</title><description>two</description>
  <metadata><a:b xmlns:a='urn:a'/></metadata>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/><apic/></features><cpu mode='maximum'/>
  <devices>
    <interface type='network'><mac address='52:54:00:77:00:01'/><source network='default'/><model type='virtio'/>
      <filterref filter='clean-traffic'><parameter name='IP' value='192.168.122.50'/></filterref></interface>
    <serial type='pty'/><console type='pty'/><memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
XML
v define "$BASCULE_TEST_DIR/guest.xml" >/dev/null
valid domain dumpxml g
v start g >/dev/null
valid domain dumpxml g
valid domain dumpxml g --inactive
valid nwfilterbinding nwfilter-binding-dumpxml "$(v nwfilter-binding-list | awk '{ print $1; exit }')"
tear_down
((seen > 30)) || fail "only $seen documents were looked at"
echo "$seen documents are valid"
