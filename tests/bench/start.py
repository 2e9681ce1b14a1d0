#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench start: how fast networks and filters come and go, and what the daemons weigh, beside Debian's libvirtd.

Each side is a worker process in network, mount and process namespaces of its own, which starts its daemon, keeps one
connection open (python3-libvirt, the same client library for both) and does what the coordinator tells it, turn by
turn: ours, theirs, ours, … The clock starts at the protocol call and stops when its effect is there, seen from a tap as
a guest would see it:

  net-start      a DISCOVER sent into the bridge is answered. The client has a reservation, because dnsmasq waits three
                 seconds for a ping before it offers anybody else an address; without one the peer would look far worse.
  net-destroy    the bridge is gone, watched by a thread beside the call
  net-destroy-returned  the same call's return. Both sides wait here for the kernel, which holds whoever deletes a bridge
                 for some 35 ms (a grace period of RCU) after the bridge is out of everybody's sight
  filter-bind    from a tap with clean-traffic, an honest frame arrives at another tap and a spoofed one does not
  filter-unbind  the spoofed frame arrives again
  memory         PSS of all processes of a side, one network and one binding active, its DHCP server included, no client
                 connected

Options: --rounds N (15), --only ours|theirs, --verbose.
"""

import argparse
import fcntl
import json
import os
import pathlib
import random
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BASCULE_BUILD", TOP / "build" / "release"))
SIDES = ("ours", "theirs")
CASES = (("net-start", "ms"), ("net-destroy", "ms"), ("net-destroy-returned", "ms"), ("filter-bind", "ms"), ("filter-unbind", "ms"), ("memory", "MiB"))
DEADLINE = 30.0  # seconds for one effect

CLIENT_MAC = "52:54:00:be:00:01"
CLIENT_IP = "10.213.0.10"
NETWORK = f"""<network>
  <name>bench</name>
  <forward mode='nat'/>
  <bridge name='benchnet' stp='off' delay='0'/>
  <ip address='10.213.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.213.0.2' end='10.213.0.254'/>
      <host mac='{CLIENT_MAC}' ip='{CLIENT_IP}'/>
    </dhcp>
  </ip>
</network>"""
BINDING = f"""<filterbinding>
  <owner><name>bench</name><uuid>b5c0ffee-0000-4000-8000-0000be9c4001</uuid></owner>
  <portdev name='benchtap0'/>
  <mac address='{CLIENT_MAC}'/>
  <filterref filter='clean-traffic'><parameter name='IP' value='{CLIENT_IP}'/></filterref>
</filterbinding>"""

# ── frames and devices, without helpers that would cost time ─────────────────────────────────────────────────

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
SIOCBRADDBR, SIOCBRADDIF, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x89A0, 0x89A2, 0x8913, 0x8914, 1


def control():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def link_up(name):
    with control() as sock:
        request = struct.pack("16sH22x", name.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | IFF_UP))


def make_bridge(name):
    with control() as sock:
        fcntl.ioctl(sock, SIOCBRADDBR, struct.pack("16s", name.encode()))
    link_up(name)


def add_port(bridge, port):
    with control() as sock:
        fcntl.ioctl(sock, SIOCBRADDIF, struct.pack("16si20x", bridge.encode(), socket.if_nametoindex(port)))


class Tap:
    """A guest's end of a tap: frames written go into the host, frames read come out of it."""

    def __init__(self, name):
        self.name = name
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1", encoding="ascii")
        link_up(name)

    def send(self, frame):
        os.write(self.fd, frame)

    def drain(self):
        while True:
            try:
                os.read(self.fd, 2048)
            except BlockingIOError:
                return

    def receive_until(self, wanted, seconds):
        """Frames read until one for which wanted(frame) holds, that one last; None when the time is up."""
        frames, end = [], time.monotonic() + seconds
        while True:
            try:
                frame = os.read(self.fd, 2048)
                frames.append(frame)
                if wanted(frame):
                    return frames
                continue
            except BlockingIOError:
                pass
            left = end - time.monotonic()
            if left <= 0:
                return None
            select.select([self.fd], [], [], left)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_frame(source_mac, source_ip, target_ip, sport, dport, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0,
                       socket.inet_aton(source_ip), socket.inet_aton(target_ip))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    return b"\xff" * 6 + mac(source_mac) + b"\x08\x00" + head + udp + payload


def discover(xid):
    bootp = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, xid, 0, 0x8000, bytes(4), bytes(4), bytes(4), bytes(4), mac(CLIENT_MAC))
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x03\x01\x03\x06" + b"\xff"
    return udp_frame(CLIENT_MAC, "0.0.0.0", "255.255.255.255", 68, 67, (bootp + bytes(192) + options).ljust(300, b"\0"))


def is_offer(frame, xids):
    if len(frame) < 282 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return False
    start = 14 + (frame[14] & 15) * 4
    sport, dport = struct.unpack_from("!HH", frame, start)
    bootp = frame[start + 8:]
    return (sport, dport) == (67, 68) and bootp[0] == 2 and struct.unpack_from("!I", bootp, 4)[0] in xids


# ── one side ─────────────────────────────────────────────────────────────────────────────────────────────────


def shell(command):
    subprocess.run(command, shell=True, check=True, stdin=subprocess.DEVNULL)


def start_theirs(root, settings=""):
    """Debian's libvirtd, monolithic, as packaged, on empty state with its stock filters."""
    stock = pathlib.Path(root) / "stock"
    shutil.copytree("/etc/libvirt/nwfilter", stock)
    for folder in ("/run", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"):
        shell(f"mkdir -p {folder} && mount -t tmpfs -o mode=755 tmpfs {folder}")
    shutil.copytree(stock, "/etc/libvirt/nwfilter")
    # A daemon on its own, not woken or put to sleep by systemd; no polkit in here to ask.
    pathlib.Path("/etc/libvirt/libvirtd.conf").write_text('auth_unix_rw = "none"\n' + settings, encoding="ascii")
    log = open(f"{root}/libvirtd.log", "wb")
    daemon = subprocess.Popen(["libvirtd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    return daemon, "/run/libvirt/libvirt-sock"


def start_ours(root):
    for folder in ("run", "etc", "var"):  # in memory, as the peer's
        shell(f"mkdir -p {root}/{folder} && mount -t tmpfs -o mode=755 tmpfs {root}/{folder}")
    log = open(f"{root}/basculed.log", "wb")
    daemon = subprocess.Popen([BUILD / "basculed", "--root", root], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    return daemon, f"{root}/run/bascule/libvirt-sock"


def ended(pid):
    """Also asked by processes that are not the daemon's parent, which cannot wait for it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def connect(libvirt, daemon, path):
    end = time.monotonic() + DEADLINE
    while True:
        if ended(daemon.pid):
            raise RuntimeError("the daemon ended")
        try:
            return libvirt.open(f"qemu+unix:///system?socket={path}")
        except libvirt.libvirtError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Devices:
    """A tap that is to be the network's client, and two on a bridge of their own."""

    def __init__(self):
        self.client = Tap("benchclient")
        make_bridge("benchbr")
        self.taps = [Tap("benchtap0"), Tap("benchtap1")]
        for tap in self.taps:
            add_port("benchbr", tap.name)


class Side:
    def __init__(self, connection, devices):
        self.connection = connection
        for network in connection.listAllNetworks():
            if network.isActive():
                network.destroy()
        self.network = connection.networkDefineXML(NETWORK)
        self.client, self.taps = devices.client, devices.taps
        self.binding, self.destroy_returned = None, 0.0
        if not self.passes_both():
            raise RuntimeError("frames do not pass the bare bridge")

    def net_start(self):
        self.client.drain()
        begin = time.perf_counter()
        self.network.create()
        xids, end = set(), time.monotonic() + DEADLINE
        add_port("benchnet", "benchclient")
        while time.monotonic() < end:
            xid = random.getrandbits(32)
            xids.add(xid)
            try:
                self.client.send(discover(xid))
            except OSError:
                pass
            # An answer to any of them counts; a new one goes out each millisecond, as the first may come too early.
            if self.client.receive_until(lambda frame: is_offer(frame, xids), 0.001):
                return time.perf_counter() - begin
        raise RuntimeError("no DISCOVER was answered")

    def net_destroy(self):
        gone = []

        def watch():
            while not gone:
                try:
                    socket.if_nametoindex("benchnet")
                except OSError:
                    gone.append(time.perf_counter())

        watcher = threading.Thread(target=watch)
        watcher.start()
        begin = time.perf_counter()
        self.network.destroy()
        self.destroy_returned = time.perf_counter() - begin
        watcher.join()
        return gone[0] - begin

    def net_destroy_returned(self):
        return self.destroy_returned

    def probe(self, wait):
        """(spoofed frame passed, honest frame passed) from the first tap to the second, sent in this order."""
        sender, receiver = self.taps
        receiver.drain()
        nonce = os.urandom(16)
        sender.send(udp_frame("52:54:00:be:66:66", CLIENT_IP, "10.213.0.255", 4242, 4242, b"spoofed" + nonce))
        sender.send(udp_frame(CLIENT_MAC, CLIENT_IP, "10.213.0.255", 4242, 4242, b"honest!" + nonce))
        frames = receiver.receive_until(lambda frame: b"honest!" + nonce in frame, wait)
        honest = frames is not None
        spoofed = any(b"spoofed" + nonce in frame for frame in frames or [])
        return spoofed, honest

    def passes_both(self):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if self.probe(0.05) == (True, True):
                return True
        return False

    def until_probe(self, expected, begin):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if self.probe(0.001) == expected:
                return time.perf_counter() - begin
        raise RuntimeError(f"spoofed and honest frame never passed as expected {expected}")

    def filter_bind(self):
        begin = time.perf_counter()
        self.binding = self.connection.nwfilterBindingCreateXML(BINDING)
        return self.until_probe((False, True), begin)

    def filter_unbind(self):
        begin = time.perf_counter()
        self.binding.delete()
        seconds = self.until_probe((True, True), begin)
        self.binding = None
        return seconds


def memory():
    """MiB of PSS; this process namespace holds the side's processes, this worker and its first process."""
    total, parts = 0, {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
            continue
        try:
            name = (entry / "comm").read_text(encoding="utf-8").strip()
            rollup = (entry / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        kib = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        parts[name] = round(parts.get(name, 0) + kib / 1024, 2)
        total += kib
    return total / 1024, parts


def in_a_child(work):
    """Its own process, so that what it loads is gone when it ends."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except Exception as error:  # said here, as this process is about to vanish
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("the child failed")


def worker(side, root):
    shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    daemon, path = (start_ours if side == "ours" else start_theirs)(root)
    devices, state = Devices(), None

    def get_side():
        import libvirt  # only where it is used: a process that has it loaded shares its pages with the peer's daemon

        libvirt.registerErrorHandler(lambda context, error: None, None)
        return Side(connect(libvirt, daemon, path), devices)

    def loaded_memory():
        def load():
            loaded = get_side()
            loaded.net_start()
            loaded.filter_bind()

        in_a_child(load)
        return memory()

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb = line.strip()
        try:
            if verb == "memory":
                value, parts = loaded_memory()
                answer = {"value": value, "parts": parts}
            else:
                state = state or get_side()
                answer = {"value": getattr(state, verb.replace("-", "_"))() * 1000}
        except Exception as error:  # whatever it was, the coordinator says it
            answer = {"error": f"{verb}: {error}"}
        print(json.dumps(answer), flush=True)


# ── both sides ───────────────────────────────────────────────────────────────────────────────────────────────


NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
              "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh")


class Worker:
    def __init__(self, side, verbose):
        self.side = side
        self.root = tempfile.mkdtemp(prefix=f"bascule-bench-{side}.")
        os.chmod(self.root, 0o755)
        self.process = subprocess.Popen(
            [*NAMESPACES, "/usr/bin/python3", __file__, "--worker", side, self.root],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=None if verbose else subprocess.DEVNULL)
        hello = self.read()
        if "ready" not in hello:
            raise SystemExit(f"bench: {side}: {hello.get('error')}\n{self.log()}")

    def log(self):
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in pathlib.Path(self.root).glob("*.log"))

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "the worker ended; --verbose shows why"}

    def ask(self, verb):
        self.process.stdin.write(verb + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise SystemExit(f"bench: {self.side}: {answer['error']}\n{self.log()}")
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def measure(sides, rounds, verbose):
    values = {case: {side: [] for side in sides} for case, _ in CASES}
    workers = {}
    try:
        for side in sides:
            workers[side] = Worker(side, verbose)
        for number in range(rounds + 1):
            for case in ("net-start", "filter-bind", "filter-unbind", "net-destroy", "net-destroy-returned"):
                for side, one in workers.items():
                    answer = one.ask(case)
                    if number > 0:  # the first round warms up both
                        values[case][side].append(answer["value"])
    finally:
        for one in workers.values():
            one.end()
    return values


def weigh(sides, rounds, values, verbose):
    """Fresh daemons each time, no client connected: libvirt's clients share pages with libvirtd, which PSS would halve."""
    for _ in range(rounds):
        for side in sides:
            one = Worker(side, verbose)
            try:
                answer = one.ask("memory")
                values["memory"][side].append(answer["value"])
            finally:
                one.end()
            if verbose:
                print(f"# {side}: PSS in MiB: {answer['parts']}")


def report(values):
    print(f"{'case':20} {'ours':>12} {'libvirtd':>12} {'ratio':>8}   (medians; lowest–highest)")
    for case, unit in CASES:
        cells = {side: values[case].get(side) for side in SIDES}
        text = {side: f"{statistics.median(v):.2f} {unit}" if v else "-" for side, v in cells.items()}
        spread = "; ".join(f"{side} {min(v):.2f}–{max(v):.2f}" for side, v in cells.items() if v)
        ratio = statistics.median(cells["theirs"]) / statistics.median(cells["ours"]) if all(cells.values()) else None
        print(f"{case:20} {text['ours']:>12} {text['theirs']:>12} {f'{ratio:.1f}' if ratio else '-':>8}   {spread}")
    for case, unit in CASES:
        ours, theirs = values[case].get("ours"), values[case].get("theirs")
        if ours and theirs:
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            print(f"RESULT name=start case={case} peer=libvirtd ratio={theirs / ours:.2f} ours={ours:.3f} theirs={theirs:.3f} unit={unit}")


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3])
    parser = argparse.ArgumentParser(prog="./bench start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sides = [side for side in SIDES if options.only in (None, side)]
    values = measure(sides, options.rounds, options.verbose)
    weigh(sides, 3, values, options.verbose)
    report(values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
