#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a running guest hands out: pictures of its screen, ways into its display, its memory as a core file. And what is
# heard of its display and its drives.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
/usr/bin/python3 -c 'import libvirt' 2>/dev/null || skip "needs python3-libvirt"
dir=$BASCULE_TEST_DIR
daemon_start
cat >"$dir/guest.xml" <<'XML'
<domain type='qemu'><name>t</name><memory unit='MiB'>96</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk><graphics type='vnc'/><video><model type='vga'/></video></devices></domain>
XML
refused() { # WORDS COMMAND…
    local words=$1
    shift
    ! v "$@" >"$dir/words" 2>&1 || fail "$* was done"
    grep -q "$words" "$dir/words" || fail "$*: $(<"$dir/words")"
}
v create "$dir/guest.xml" >/dev/null

v screenshot t --file "$dir/screen.ppm" >/dev/null
[[ $(head -c 2 "$dir/screen.ppm") == P6 ]] || fail "no portable pixmap"
read -r width height < <(sed -n 2p "$dir/screen.ppm")
[[ $(stat -c %s "$dir/screen.ppm") == $((${#width} + ${#height} + 9 + 3 * width * height)) ]] || fail "a picture of another size"
refused "no such screen: 1" screenshot t --screen 1 --file "$dir/none"

v dump t "$dir/core" >/dev/null
[[ $(head -c 4 "$dir/core") == $'\x7fELF' ]] || fail "no core file"
(($(stat -c %s "$dir/core") > 96 << 20)) || fail "a core file without the memory"
[[ $(v domstate t) == running* ]] || fail "it does not run after a dump"
echo precious >"$dir/file"
refused "File exists" dump t "$dir/file"
[[ $(<"$dir/file") == precious ]] || fail "a file was overwritten"
refused "absolute path\|No such file" dump t "$dir/nowhere/core"

/usr/bin/python3 - "$(libvirt_uri)" <<'PYTHON'
import os, socket, sys, threading, time
import libvirt, libvirt_qemu

libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
events = []


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()
connection = libvirt.open(sys.argv[1])
guest = connection.lookupByName("t")
for kind in (libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS, libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE):
    connection.domainEventRegisterAny(guest, kind, lambda _c, _d, *what: events.append(what[:-1]), None)


def heard(what):
    end = time.monotonic() + 30
    while not any(what(event) for event in events):
        assert time.monotonic() < end, f"not heard: {events}"
        time.sleep(0.02)


libvirt_qemu.qemuMonitorCommand(guest, '{"execute": "blockdev-open-tray", "arguments": {"id": "sata0-0-0"}}', 0)
heard(lambda event: event == ("sata0-0-0", libvirt.VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN))
assert os.read(guest.openGraphicsFD(0), 12) == b"RFB 003.008\n"
heard(lambda event: event[0] == libvirt.VIR_DOMAIN_EVENT_GRAPHICS_CONNECT)
ours, theirs = socket.socketpair()
guest.openGraphics(0, theirs.fileno(), libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
assert ours.recv(12) == b"RFB 003.008\n"


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except libvirt.libvirtError as error:
        assert error.get_error_code() == code, error
    else:
        sys.exit(f"{call} was done")


refused(libvirt.VIR_ERR_OPERATION_INVALID, guest.openGraphicsFD, 1)
with open("/dev/null", "rb") as null:
    refused(libvirt.VIR_ERR_INVALID_ARG, guest.openGraphics, 0, null.fileno())
PYTHON

v dump t "$dir/last" --crash --memory-only >/dev/null
[[ -z $(v list --all --name | tr -d '\n') && -s $dir/last ]] || fail "--crash"
tear_down
