#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a client is told beyond its address, with udhcpc: boot files by architecture, routes, time servers, search list;
# reservations by client identifier; addresses that are in use already.
# time: 15
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/boot.xml" <<'XML'
<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>boot</name>
  <metadata>
    <b:network xmlns:b='urn:bascule:1'>
      <b:dhcp probe='yes' ntp='10.45.0.3' search='one.example two.example'/>
      <b:boot file='grubx64.efi' arch='7 9'/>
      <b:route to='10.99.0.0/16' via='10.45.0.7'/>
    </b:network>
  </metadata>
  <bridge name='bootbr' stp='off' delay='0'/>
  <forward mode='route'/>
  <ip address='10.45.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.45.0.10' end='10.45.0.11'><lease expiry='5'/></range>
      <host id='01:52:54:00:45:00:02' ip='10.45.0.50'><lease expiry='0'/></host>
      <bootp file='pxelinux.0' server='10.45.0.9'/>
    </dhcp>
  </ip>
  <dnsmasq:options><dnsmasq:option value='dhcp-option-force=252,"http://wpad/"'/></dnsmasq:options>
</network>
XML
v net-create "$BASCULE_TEST_DIR/boot.xml" >/dev/null
is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }

# Somebody has the first address of the pool without asking: it is found by ARP, and not offered.
plug squatter bootbr 52:54:00:45:00:66
at squatter ip addr add 10.45.0.10/24 dev eth0
plug one bootbr 52:54:00:45:00:01
facts=$(lease one -O bootfile -O ntpsrv -O search -O staticroutes)
is "the free address" "$(fact ip <<<"$facts")" 10.45.0.11
is "the range's lease time" "$(fact lease <<<"$facts")" 300
is "boot file" "$(fact boot_file <<<"$facts")" pxelinux.0
is "next server" "$(fact siaddr <<<"$facts")" 10.45.0.9
is "time server" "$(fact ntpsrv <<<"$facts")" 10.45.0.3
is "search list" "$(fact search <<<"$facts")" "one.example two.example"
is "routes" "$(fact staticroutes <<<"$facts")" "10.99.0.0/16 10.45.0.7 0.0.0.0/0 10.45.0.1"

# UEFI is told another file; who shows the reserved identifier gets its address, for ever.
plug two bootbr 52:54:00:45:00:02
facts=$(lease two -O bootfile -x 0x5d:0007 -x 0x3d:01525400450002)
is "the reserved address" "$(fact ip <<<"$facts")" 10.45.0.50
is "boot file of UEFI" "$(fact boot_file <<<"$facts")" grubx64.efi
is "an endless lease" "$(fact lease <<<"$facts")" 4294967295
v net-dhcp-leases boot | grep -q '10.45.0.50/24' || fail "net-dhcp-leases with an endless lease"
