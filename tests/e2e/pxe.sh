#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest without a disk boots from the network: the firmware (iPXE in QEMU's NIC) asks for its lease, fetches a script by TFTP,
# and that one another by HTTP. The second's address holds what only the first one knew. The second guest is virt-install's.
# time: 300
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
[[ -n $(find /usr/lib/ipxe /usr/share/qemu -name 'pxe-virtio.rom' -print -quit 2>/dev/null) ]] || skip "needs iPXE's ROMs for QEMU"
command -v virt-install >/dev/null || skip "needs virt-install (virtinst)"
command -v dnsmasq >/dev/null || skip "needs dnsmasq"
boot=$BASCULE_TEST_DIR/boot
mkdir -p "$boot"
cat >"$boot/first.ipxe" <<'SCRIPT'
#!ipxe
chain http://10.47.0.1/second-${net0/mac:hexraw}.ipxe
SCRIPT
for guest in 1 2; do
    cat >"$boot/second-52540047000$guest.ipxe" <<SCRIPT
#!ipxe
imgfetch http://10.47.0.1/arrived$guest ||
sleep 600
SCRIPT
    echo here >"$boot/arrived$guest"
done
chmod -R a+rX "$BASCULE_TEST_DIR" "$boot"
daemon_start
cat >"$BASCULE_TEST_DIR/pxe.xml" <<XML
<network>
  <name>pxe</name>
  <metadata><b:network xmlns:b='urn:bascule:1'><b:boot file='first.ipxe' ipxe='yes'/></b:network></metadata>
  <forward mode='route'/>
  <bridge name='pxebr' stp='off' delay='0'/>
  <ip address='10.47.0.1' netmask='255.255.255.0'>
    <tftp root='$boot'/>
    <dhcp><range start='10.47.0.10' end='10.47.0.99'/><bootp file='nothing-for-others'/></dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/pxe.xml" >/dev/null
cat >"$BASCULE_TEST_DIR/diskless.xml" <<'XML'
<domain type='qemu'>
  <name>diskless</name>
  <memory unit='MiB'>128</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='network'/></os>
  <devices>
    <interface type='network'>
      <mac address='52:54:00:47:00:01'/>
      <source network='pxe'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
XML
# What is fetched by HTTP and TFTP, as it passes the bridge.
python3 - >"$BASCULE_TEST_DIR/fetched" <<'PYTHON' &
import re, socket
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
link.bind(("pxebr", 0))
while True:
    frame = link.recv(4096)
    for wanted in re.findall(rb"GET (\S+) HTTP|\x00\x01([\w.]+)\x00octet", frame):
        print((wanted[0] or wanted[1]).decode(), flush=True)
PYTHON
v define "$BASCULE_TEST_DIR/diskless.xml" >/dev/null
v start diskless >/dev/null
fetched() { grep -qx "$1" "$BASCULE_TEST_DIR/fetched"; }
arrives() { # GUEST
    wait_until 90 "a lease" sh -c "virsh -q -c '$(libvirt_uri)' net-dhcp-leases pxe | grep -q 52:54:00:47:00:0$1"
    wait_until 60 "the first script by TFTP" fetched first.ipxe
    wait_until 60 "the second script by HTTP" fetched "/second-52540047000$1.ipxe"
    wait_until 60 "what the second script asks for" fetched "/arrived$1"
}
arrives 1
v destroy diskless >/dev/null

install() { # NAME NETWORK…
    HOME=$BASCULE_TEST_DIR timeout 120 virt-install --connect "$(libvirt_uri)" --name "$1" --memory 128 --virt-type qemu --pxe \
        --network "$2,model=virtio" --disk none --graphics none --osinfo generic --noautoconsole \
        >"$BASCULE_TEST_DIR/said" 2>&1 || fail "virt-install --pxe: $(cat "$BASCULE_TEST_DIR/said")"
}
install installed network=pxe,mac=52:54:00:47:00:02
arrives 2
v destroy installed >/dev/null

# On a bridge of the host it is whoever serves there that it boots from.
ip link add plain0 type bridge
ip addr add 10.48.0.1/24 dev plain0
ip link set plain0 up
dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=plain0 --bind-interfaces --user=root \
    --dhcp-leasefile=/dev/null --dhcp-range=10.48.0.10,10.48.0.20 --dhcp-boot=theirs.ipxe --enable-tftp --tftp-root="$boot" \
    --pid-file="$BASCULE_TEST_DIR/theirs.pid" --log-facility="$BASCULE_TEST_DIR/theirs.log" &
printf '#!ipxe\nsleep 600\n' >"$boot/theirs.ipxe"
chmod a+r "$boot/theirs.ipxe"
install bridged bridge=plain0
wait_until 120 "the other server's script" grep -qs "sent .*/theirs.ipxe" "$BASCULE_TEST_DIR/theirs.log"
v destroy bridged >/dev/null
