# SPDX-License-Identifier: GPL-2.0-or-later
"""python_client.py URI FOLDER: what programs on python3-libvirt do, on a fresh daemon."""

import os
import sys
import threading
import time

import libvirt

URI, FOLDER = sys.argv[1:]
GUEST = """<domain type='qemu'><name>py</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<interface type='network'><mac address='52:54:00:77:00:09'/><source network='default'/><model type='virtio'/></interface>
<serial type='pty'/><console type='pty'/><memballoon model='virtio'/></devices></domain>"""
VOLUME = "<volume><name>up.raw</name><capacity>1048576</capacity><target><format type='raw'/></target></volume>"

UNLIMITED = 9007199254740991  # VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, which the bindings leave out

checked = []


def check(what, true):
    checked.append(what)
    if not true:
        sys.exit(f"FAILED: {what}")


def code_of(call):
    """The error number that a call ends with; 0: none."""
    try:
        call()
    except libvirt.libvirtError as error:
        return error.get_error_code()
    return 0


def wait(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"FAILED: gave up waiting for {what}")
        time.sleep(0.02)


def event_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def host(connection):
    info = connection.getInfo()
    check("getInfo", info[0] == "x86_64" and info[2] >= 1)
    check("getHostname", connection.getHostname() == os.uname().nodename)
    check("getMemoryStats", connection.getMemoryStats(-1)["total"] > 0)
    check("getCPUStats", set(connection.getCPUStats(-1)) == {"kernel", "user", "idle", "iowait"})
    check("getCPUMap", connection.getCPUMap()[0] >= info[2])
    check("getFreeMemory", connection.getFreeMemory() > 0)
    check("getCellsFreeMemory", len(connection.getCellsFreeMemory(0, 10)) >= 1)
    check("getFreePages", connection.getFreePages([4], 0, 1)[0][4] > 0)
    check("getCapabilities", "<guest>" in connection.getCapabilities())
    check("getDomainCapabilities", "<domain>qemu<" in connection.getDomainCapabilities(None, None, None, "qemu"))
    check("getCPUModelNames", "qemu64" in connection.getCPUModelNames("x86_64"))
    check("compareCPU", connection.compareCPU("<cpu><model>486</model></cpu>") == libvirt.VIR_CPU_COMPARE_SUPERSET)
    check("baselineCPU", "<model" in connection.baselineCPU(["<cpu><model>qemu64</model></cpu>"]))
    check("listAllInterfaces", "virbr0" in [interface.name() for interface in connection.listAllInterfaces()])
    check("listAllDevices", "computer" in [device.name() for device in connection.listAllDevices()])
    check("interfaceLookupByName", code_of(lambda: connection.interfaceLookupByName("none")) == libvirt.VIR_ERR_NO_INTERFACE)
    check("nodeDeviceLookupByName",
          code_of(lambda: connection.nodeDeviceLookupByName("none")) == libvirt.VIR_ERR_NO_NODE_DEVICE)


def parameters(domain):
    check("schedulerType", domain.schedulerType()[0] == "posix")
    check("schedulerParameters", domain.schedulerParameters()["cpu_shares"] == 0)
    check("memoryParameters", domain.memoryParameters(0)["hard_limit"] == UNLIMITED)
    check("numaParameters has text", domain.numaParameters(0)["numa_nodeset"] == "")
    check("setSchedulerParameters", code_of(lambda: domain.setSchedulerParameters({"cpu_shares": 5})) == libvirt.VIR_ERR_CONFIG_UNSUPPORTED)
    bandwidth = domain.interfaceParameters("52:54:00:77:00:09", 0)
    check("interfaceParameters", bandwidth["inbound.average"] == 0)
    domain.setInterfaceParameters("52:54:00:77:00:09", {"inbound.average": 0}, 0)
    check("vcpuPinInfo", len(domain.vcpuPinInfo()) == 2)


def metadata(domain):
    kind, where = libvirt.VIR_DOMAIN_METADATA_ELEMENT, "urn:test"
    check("no metadata", code_of(lambda: domain.metadata(kind, where)) == libvirt.VIR_ERR_NO_DOMAIN_METADATA)
    domain.setMetadata(kind, "<a><b/></a>", "t", where)
    check("metadata", domain.metadata(kind, where) == "<a><b/></a>")
    check("metadata in the definition", "xmlns:t=" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    domain.setMetadata(kind, None, None, where)


def running(connection, domain, seen):
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_FORCE_BOOT)
    wait("the start event", lambda: ("lifecycle", libvirt.VIR_DOMAIN_EVENT_STARTED) in seen)
    wait("the event that it is paused", lambda: ("lifecycle", libvirt.VIR_DOMAIN_EVENT_SUSPENDED) in seen)
    domain.resume()
    seen.clear()
    records = connection.getAllDomainStats(0)
    stats = [record[1] for record in records if record[0].name() == "py"][0]
    check("statistics", stats["state.state"] == 1 and stats["vcpu.current"] == 2 and stats["net.count"] == 1)
    check("statistics of one", "state.state" in connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_STATE)[0][1])
    check("memoryStats", domain.memoryStats()["actual"] == 65536)
    check("vcpus", len(domain.vcpus()[0]) == 2)
    check("getCPUStats", domain.getCPUStats(True)[0]["cpu_time"] > 0)
    check("interfaceStats", len(domain.interfaceStats("52:54:00:77:00:09")) == 8)
    check("jobInfo", domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE)
    check("screenshot", code_of(lambda: domain.screenshot(connection.newStream(), 0)) == libvirt.VIR_ERR_OPERATION_INVALID)
    domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, 0, [30], 1)
    domain.injectNMI()
    domain.reset()
    domain.suspend()
    wait("the suspend event", lambda: ("lifecycle", libvirt.VIR_DOMAIN_EVENT_SUSPENDED) in seen)
    domain.resume()


def console(connection, domain):
    """One client has the console; another takes it only by force, and then the first one's stream fails."""
    first = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, first, 0)
    ended = []

    def event(stream, events, _):
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            check("the console is lost with an error", code_of(lambda: stream.recv(4096)) != 0)
        ended.append(events)
        stream.eventRemoveCallback()

    interesting = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
    first.eventAddCallback(interesting, event, None)
    check("bytes for the guest", first.send(b"hello\n") == 6)
    second = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    check("the console is taken", code_of(lambda: domain.openConsole(None, second, 0)) == libvirt.VIR_ERR_OPERATION_FAILED)
    domain.openConsole(None, second, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    wait("the first console's end", lambda: ended)
    second.finish()


def transfer(connection):
    """Up and down again through streams, and a stream that is given up."""
    pool = connection.storagePoolLookupByName("default")
    volume = pool.createXML(VOLUME, 0)
    data = os.urandom(1048576)
    stream = connection.newStream()
    volume.upload(stream, 0, len(data), 0)
    at = 0

    def source(_stream, size, _opaque):
        nonlocal at
        part = data[at:at + size]
        at += len(part)
        return part

    stream.sendAll(source, None)
    stream.finish()
    back = []
    stream = connection.newStream()
    volume.download(stream, 0, len(data), 0)
    stream.recvAll(lambda _stream, part, _opaque: back.append(part), None)
    stream.finish()
    check("upload and download", b"".join(back) == data)
    stream = connection.newStream()
    volume.download(stream, 0, len(data), 0)
    stream.abort()
    check("the connection lives on", connection.isAlive() == 1)
    wait("the volume to be free", lambda: code_of(lambda: volume.delete(0)) == 0)


def main():
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)
    threading.Thread(target=event_loop, daemon=True).start()
    connection = libvirt.open(URI)
    seen = []
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                      lambda c, d, event, detail, _: seen.append(("lifecycle", event)), None)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                                      lambda c, d, kind, uri, _: seen.append(("metadata", kind)), None)
    connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                                       lambda c, n, event, detail, _: seen.append(("network", event)), None)
    host(connection)
    domain = connection.defineXML(GUEST)
    wait("the definition event", lambda: ("lifecycle", libvirt.VIR_DOMAIN_EVENT_DEFINED) in seen)
    parameters(domain)
    metadata(domain)
    wait("the metadata event", lambda: ("metadata", libvirt.VIR_DOMAIN_METADATA_ELEMENT) in seen)
    running(connection, domain, seen)
    console(connection, domain)
    transfer(connection)
    domain.destroy()
    wait("the stop event", lambda: ("lifecycle", libvirt.VIR_DOMAIN_EVENT_STOPPED) in seen)
    domain.undefine()
    network = connection.networkLookupByName("default")
    network.destroy()
    wait("the network's event", lambda: ("network", libvirt.VIR_NETWORK_EVENT_STOPPED) in seen)
    network.create()
    check("a lookup of what is gone", code_of(lambda: connection.lookupByName("py")) == libvirt.VIR_ERR_NO_DOMAIN)
    connection.close()
    print(f"{len(checked)} checks")


main()
