#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The real virt-install makes guests, as it would with the peer: transient first, then persistent with the same uuid.
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v virt-install >/dev/null || skip "needs virt-install (virtinst)"
daemon_start
export HOME=$BASCULE_TEST_DIR
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
install_guest() { # NAME OPTION…
    local name=$1
    shift
    timeout 120 virt-install --connect "$(libvirt_uri)" --name "$name" --memory 128 --virt-type qemu --machine q35 \
        --import --noautoconsole "$@" >"$BASCULE_TEST_DIR/$name.said" 2>&1 || fail "virt-install: $(cat "$BASCULE_TEST_DIR/$name.said")"
}
field() { sed -n "s/^$1: *//p"; }

# Only written, not made.
document=$(virt-install --connect "$(libvirt_uri)" --name seen --memory 64 --virt-type qemu --osinfo generic --import --disk none \
    --network network=default,model=virtio --graphics none --print-xml 2>&1)
has "<name>seen</name>" "$document"
has "<source network=.default./>" "$document"
[[ -z $(v list --all --name) ]] || fail "--print-xml made a guest"

# No disk, no display, an unknown system: what virt-install writes when it knows least.
install_guest plain --disk none --graphics none --osinfo detect=on,require=off
[[ $(v domstate plain | xargs) == running ]] || fail "plain is $(v domstate plain)"
[[ $(v dominfo plain | field Persistent) == yes ]] || fail "plain is transient"
has "pcie-root-port" "$(v dumpxml plain)"
if said=$(virt-install --connect "$(libvirt_uri)" --name plain --memory 64 --osinfo generic --import --disk none --noautoconsole 2>&1); then
    fail "the name was taken twice"
fi
has "already\|in use" "$said"

# A system that it knows, a display, an agent's channel.
install_guest seat --disk none --graphics vnc,listen=127.0.0.1,password=s3cret --osinfo debian11 --network network=default,model=virtio
[[ $(v vncdisplay seat | xargs) =~ ^127.0.0.1:[0-9]+$ ]] || fail "vncdisplay: $(v vncdisplay seat)"
[[ $(v domdisplay seat | xargs) =~ ^vnc://127.0.0.1:[0-9]+$ ]] || fail "domdisplay: $(v domdisplay seat)"
port=$(v dumpxml seat | sed -n "s/.*<graphics type='vnc' port='\([0-9]*\)'.*/\1/p")
exec 3<>"/dev/tcp/127.0.0.1/$port"
read -r -t 10 -n 12 greeting <&3
[[ $greeting == RFB\ 003.* ]] || fail "the display greets with '$greeting'"
exec 3>&-
has "org.qemu.guest_agent.0' state='disconnected'" "$(v dumpxml seat)"
if v dumpxml seat | grep -q s3cret; then fail "the password is shown to everybody"; fi
has "passwd='s3cret'" "$(v dumpxml --security-info seat)"
has "port='-1' autoport='yes'" "$(v dumpxml --inactive seat)"

# A disk: an image that builds on another, which QEMU's user could not open itself.
images=$root/images
mkdir -m 700 "$images"
qemu-img create -q -f raw "$images/base.img" 8M
qemu-img create -q -f qcow2 -F raw -b base.img "$images/top.qcow2"
qemu-img create -q -f qcow2 "$images/new.qcow2" 8M
install_guest stored --graphics none --osinfo debian11 --disk "path=$images/new.qcow2,bus=virtio"
has "<source file='$images/new.qcow2'" "$(v dumpxml stored)"
v destroy stored >/dev/null
v undefine stored >/dev/null
install_guest disks --graphics none --osinfo debian11 --disk none --transient
cat >"$BASCULE_TEST_DIR/disks.xml" <<XML
<domain type='qemu'>
  <name>disked</name>
  <memory unit='MiB'>128</memory>
  <os><type machine='q35'>hvm</type><boot dev='hd'/></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='$images/top.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
  </devices>
</domain>
XML
v create "$BASCULE_TEST_DIR/disks.xml" >/dev/null
# What the disks did and how large they are; the firmware has read the first sector by itself.
wait_until 20 "the disk to be read" eval 'v domblkstat disked vda | grep -q "rd_bytes [1-9]"'
has "has no medium" "$(v domblkstat disked sda 2>&1 || true)"
has "invalid path vdb" "$(v domblkinfo disked vdb 2>&1 || true)"
v blockresize disked vda 16M >/dev/null
has "16777216" "$(v domblkinfo disked vda)"
stats=$(v domstats --block disked)
for line in "block.count=2" "block.0.name=vda" "block.0.path=$images/top.qcow2" "block.0.capacity=16777216" "block.1.name=sda"; do
    has "$line" "$stats"
done
# Its channel: one client at a time.
timeout 20 /usr/bin/python3 - "$(libvirt_uri)" <<'PYTHON'
import sys
import libvirt

libvirt.registerErrorHandler(lambda *_: None, None)
guest = libvirt.open(sys.argv[1]).lookupByName("disked")
first = guest.connect().newStream(libvirt.VIR_STREAM_NONBLOCK)
guest.openChannel("org.qemu.guest_agent.0", first)
assert first.send(b"nobody is there\n") == 16
for name, flags, words in ((None, 0, "Active channel"), ("nothing", 0, "cannot find channel")):
    try:
        guest.openChannel(name, guest.connect().newStream(), flags)
        sys.exit(f"opened {name}")
    except libvirt.libvirtError as error:
        assert words in str(error), error
second = guest.connect().newStream()
guest.openChannel("channel0", second, libvirt.VIR_DOMAIN_CHANNEL_FORCE)
second.abort()
PYTHON
qemu-img create -q -f qcow2 -b base.img -F raw "$images/vague.qcow2"
qemu-img rebase -u -f qcow2 -F qcow2 -b base.img "$images/vague.qcow2"
sed "s/top.qcow2/vague.qcow2/; s/disked/vague/" "$BASCULE_TEST_DIR/disks.xml" >"$BASCULE_TEST_DIR/vague.xml"
if said=$(v create "$BASCULE_TEST_DIR/vague.xml" 2>&1); then fail "a raw file passed for a qcow2 image"; fi
has "base.img is no qcow2 image" "$said"
v destroy disked >/dev/null
v destroy disks >/dev/null
[[ $(v list --all --name | xargs) == "plain seat" ]] || fail "left: $(v list --all --name | xargs)"

# The peer's schema takes what we show.
if command -v virt-xml-validate >/dev/null; then
    for name in plain seat; do
        for form in "" --inactive; do
            # shellcheck disable=SC2086
            v dumpxml $form "$name" >"$BASCULE_TEST_DIR/shown.xml"
            virt-xml-validate "$BASCULE_TEST_DIR/shown.xml" domain >"$BASCULE_TEST_DIR/validated" 2>&1 || fail "$name $form: $(cat "$BASCULE_TEST_DIR/validated")"
        done
    done
fi

# What was installed survives the daemon, and starts again as it was.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_start
[[ $(v vncdisplay seat | xargs) =~ ^127.0.0.1:[0-9]+$ ]] || fail "the display is forgotten: $(v vncdisplay seat)"
v destroy seat >/dev/null
before=$(v dumpxml seat | sha256sum)
v start seat >/dev/null
[[ $(v dumpxml --inactive seat | sha256sum) == "$before" ]] || fail "starting changed the definition"
tear_down
