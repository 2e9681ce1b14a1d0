# SPDX-License-Identifier: GPL-2.0-or-later
"""go_clients.py SOCKET TABLE: the calls that go-libvirt and terraform's provider make, in their order, packet by packet.

They ask no feature, send no keepalive, count serials from 1, tell events by number alone, and take an error whose text
says "unknown procedure" for something that the daemon lacks.
"""

import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import wire  # noqa: E402
from wire import Reader, maybe, string, u32, u64  # noqa: E402

NUMBERS = {}
for line in pathlib.Path(sys.argv[2]).read_text(encoding="utf-8").splitlines():
    words = line.split("\t")
    if words[0].isdigit():
        NUMBERS[words[1]] = int(words[0])
AUTH_NONE, NO_VOLUME, NO_DOMAIN = 0, 50, 42


def i32(number):
    return u32(number)


class Go:
    """What go-libvirt's connection does."""

    def __init__(self, path):
        self.client = wire.Client(path, timeout=60)
        self.client.next_serial = 1
        reader = self.call("auth-list")
        assert AUTH_NONE in [reader.i32() for _ in range(reader.u32())], "auth-list"
        self.call("connect-open", maybe("qemu:///system") + u32(0))

    def call(self, name, payload=b""):
        return self.client.good(NUMBERS[name], payload)

    def fails(self, name, payload, code):
        error = wire.error_of(self.client.call(NUMBERS[name], payload))
        assert error.code == code and error.message, f"{name}: {error}"
        assert "unknown procedure" not in error.message, f"{name} is not there"

    def close(self):
        self.call("connect-close")
        self.client.close()


def object_of(reader):
    """Name and uuid of a network or pool, as bytes to send again."""
    name = reader.string()
    return string(name) + reader.take(16)


def domain_of(reader):
    name = reader.string()
    return string(name) + reader.take(16) + u32(reader.u32())


def volume_of(reader):
    return b"".join(string(reader.string()) for _ in range(3))


def session(go):
    """A program that looks around: section 8 of the traces."""
    assert go.call("connect-get-lib-version").take(8)
    go.call("connect-list-all-domains", i32(1) + u32(3))
    networks = go.call("connect-list-all-networks", i32(1) + u32(3))
    for _ in range(networks.u32()):
        go.call("network-get-dhcp-leases", object_of(networks) + u32(0) + i32(1) + u32(0))
    go.fails("domain-lookup-by-name", string("nobody"), NO_DOMAIN)
    assert "<capabilities>" in go.call("connect-get-capabilities").string()
    assert go.call("connect-get-hostname").string()
    go.call("node-get-info")


def network(go):
    go.call("connect-get-lib-version")
    xml = "<network><name>tf</name><bridge name='virbr78'/><ip address='10.78.0.1' netmask='255.255.255.0'/></network>"
    made = object_of(go.call("network-define-xml", string(xml)))
    go.call("network-set-autostart", made + i32(1))
    go.call("network-create", made)
    identity = made[-16:]
    again = object_of(go.call("network-lookup-by-uuid", identity))
    assert "<name>tf</name>" in go.call("network-get-xml-desc", again + u32(0)).string()
    assert go.call("network-get-autostart", again).i32() == 1
    assert go.call("network-is-active", again).i32() == 1
    go.call("network-destroy", again)
    go.call("network-undefine", again)


def storage(go, folder):
    xml = f"<pool type='dir'><name>tf</name><target><path>{folder}</path></target></pool>"
    pool = object_of(go.call("storage-pool-define-xml", string(xml) + u32(0)))
    go.call("storage-pool-build", pool + u32(0))
    go.call("storage-pool-set-autostart", pool + i32(1))
    go.call("storage-pool-create", pool + u32(0))
    go.call("storage-pool-refresh", pool + u32(0))
    go.call("storage-pool-lookup-by-uuid", pool[-16:])
    go.call("storage-pool-get-xml-desc", pool + u32(0))
    go.call("storage-pool-get-info", pool)
    pool = object_of(go.call("storage-pool-lookup-by-name", string("tf")))
    xml = "<volume><name>base</name><capacity>65536</capacity><target><format type='raw'/></target></volume>"
    volume = volume_of(go.call("storage-vol-create-xml", pool + string(xml) + u32(0)))
    upload(go, volume, b"x" * 65536)
    key = Reader(volume)
    key.string()
    key.string()
    again = volume_of(go.call("storage-vol-lookup-by-key", string(key.string())))
    go.call("storage-vol-get-xml-desc", again + u32(0))
    go.call("storage-vol-delete", again + u32(0))
    go.fails("storage-vol-lookup-by-key", string(f"{folder}/base"), NO_VOLUME)
    go.call("storage-pool-destroy", pool)
    go.call("storage-pool-delete", pool + u32(0))
    go.call("storage-pool-undefine", pool)


def upload(go, volume, data):
    """go-libvirt sends stream packets of the call's serial, then an empty one that finishes."""
    number = NUMBERS["storage-vol-upload"]
    serial = go.client.send(number, volume + u64(0) + u64(len(data)) + u32(0))
    assert go.client.reply_to(serial).status == wire.OK
    for at in range(0, len(data), 32768):
        go.client.send(number, data[at:at + 32768], kind=wire.STREAM, serial=serial, status=wire.CONTINUE)
    go.client.send(number, kind=wire.STREAM, serial=serial, status=wire.OK)
    while True:
        got = go.client.receive()
        if got.type == wire.STREAM and got.serial == serial:
            assert got.status == wire.OK, got
            return


def domain(go):
    identity = uuid.uuid4()
    xml = (f"<domain type='qemu'><name>tf</name><uuid>{identity}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
           "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><serial type='pty'/></devices></domain>")
    made = domain_of(go.call("domain-define-xml", string(xml)))
    made = domain_of(go.call("domain-create-with-flags", made + u32(0)))
    go.call("domain-interface-addresses", made + u32(0) + u32(0))
    go.call("domain-set-autostart", made + i32(1))
    secure = 1
    assert "<name>tf</name>" in go.call("domain-get-xml-desc", made + u32(secure)).string()
    assert go.call("domain-get-autostart", made).i32() == 1
    made = domain_of(go.call("domain-lookup-by-uuid", identity.bytes))
    assert go.call("domain-get-state", made + u32(0)).i32() == 1
    go.call("domain-shutdown", made)
    go.call("domain-destroy-flags", made + u32(0))
    go.call("connect-get-lib-version")
    go.call("domain-undefine-flags", made + u32(4))  # with its NVRAM, as the provider asks
    go.fails("domain-lookup-by-uuid", identity.bytes, NO_DOMAIN)


def data_sources(go):
    go.call("node-get-info")
    count = go.call("node-num-of-devices", u32(0) + u32(0)).i32()
    devices = go.call("node-list-devices", u32(0) + i32(count) + u32(0))
    names = [devices.string() for _ in range(devices.u32())]
    assert len(names) == count and "computer" in names, names
    for name in names:
        assert "<device>" in go.call("node-device-get-xml-desc", string(name) + u32(0)).string()


def main():
    go = Go(sys.argv[1])
    session(go)
    network(go)
    storage(go, pathlib.Path(sys.argv[1]).parent.parent.parent / "tf-pool")
    domain(go)
    data_sources(go)
    go.close()


main()
