#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench networks: many networks, and changes of one that runs, beside Debian's libvirtd.

Each side is a worker in namespaces of its own, as in ./bench start. The clock starts at the protocol call and stops when
its effect is there:

  update-dhcp-host  net-update adds a DHCP host to a running network; the host, which asks for its address as after a
                    reboot (no range holds it), gets it. A DISCOVER that comes too early would have dnsmasq wait
                    three seconds for a ping, and make it look a thousand times slower than it is
  start-100         100 networks (nat, DHCP range) started one after the other; a DISCOVER in the last is answered
  restart-100       the daemon ended and started again with 100 networks running; it lists 100 active ones

Without a peer, against ourselves with ten networks:

  flat-1000         one network more started beside 1000 running ones and, turn by turn, beside 10 of another daemon: on the
                    clock and (flat-1000-processor) of processor time, which other work on the machine changes little
  restart-1000      the daemon started again beside 1000 running networks, until it answers; pings lost on a running flow
  memory            PSS of daemon and service, per network: that with 1000 less that with 10

Options: --rounds N (7), --only ours|theirs|flat, --case NAME (of the first three), --many N (1000), --verbose.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import start  # the other benchmark: devices, frames, daemons

SIDES = start.SIDES
HUNDRED = 100
ROUNDS_ALONE = 61


def network_xml(number, mac=None):
    host = f"<host mac='{start.CLIENT_MAC}' ip='10.{100 + number // 250}.{number % 250}.10'/>" if mac else ""
    subnet = f"10.{100 + number // 250}.{number % 250}"
    return f"""<network>
  <name>many{number}</name>
  <forward mode='nat'/>
  <bridge name='many{number}' stp='off' delay='0'/>
  <ip address='{subnet}.1' netmask='255.255.255.0'>
    <dhcp><range start='{subnet}.2' end='{subnet}.254'/>{host}</dhcp>
  </ip>
</network>"""


UPDATED = start.NETWORK.replace(f"<host mac='{start.CLIENT_MAC}' ip='{start.CLIENT_IP}'/>", "").replace(
    "start='10.213.0.2' end='10.213.0.254'", "start='10.213.0.100' end='10.213.0.199'")


def request(xid, mac, address):
    """A client that was here before and wants its address again (RFC 2131, INIT-REBOOT)."""
    wanted = socket.inet_aton(address)
    bootp = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, xid, 0, 0x8000, bytes(4), bytes(4), bytes(4), bytes(4), start.mac(mac))
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x03" + b"\x32\x04" + wanted + b"\xff"
    return start.udp_frame(mac, "0.0.0.0", "255.255.255.255", 68, 67, (bootp + bytes(192) + options).ljust(300, b"\0"))


def is_ack(frame, xids, address):
    if not start.is_offer(frame, xids):  # any answer to those
        return False
    bootp = frame[14 + (frame[14] & 15) * 4 + 8:]
    return bootp[16:20] == socket.inet_aton(address) and b"\x35\x01\x05" in bootp[236:]


class Side:
    def __init__(self, side, root):
        import libvirt

        self.libvirt, self.side, self.root = libvirt, side, root
        libvirt.registerErrorHandler(lambda context, error: None, None)
        self.daemon, self.path = (start.start_ours if side == "ours" else start.start_theirs)(root)
        self.connection = start.connect(libvirt, self.daemon, self.path)
        for network in self.connection.listAllNetworks():
            if network.isActive():
                network.destroy()
        self.client = start.Tap("benchclient")
        self.base = None
        self.hosts = 0
        self.filled, self.more = [], None

    def until(self, begin, message, is_answer):
        xids, end = set(), time.monotonic() + start.DEADLINE
        while time.monotonic() < end:
            xid = random.getrandbits(32)
            xids.add(xid)
            try:
                self.client.send(message(xid))
            except OSError:
                pass
            # Seldom enough that a slow server works on what it was asked last, not on a queue.
            if self.client.receive_until(lambda frame: is_answer(frame, xids), 0.01):
                return time.perf_counter() - begin
        raise RuntimeError("no client got the answer that it should")

    def update_dhcp_host(self):
        if self.base is None:
            self.base = self.connection.networkDefineXML(UPDATED)
            self.base.create()
            start.add_port("benchnet", "benchclient")
        flags = self.libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
        section = self.libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
        self.hosts += 1
        address, mac = f"10.213.0.{20 + self.hosts}", f"52:54:00:be:01:{self.hosts:02x}"
        host = f"<host mac='{mac}' ip='{address}'/>"
        self.client.drain()
        begin = time.perf_counter()
        self.base.update(self.libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, host, flags)
        return self.until(begin, lambda xid: request(xid, mac, address), lambda frame, xids: is_ack(frame, xids, address))

    def define(self, count):
        return [self.connection.networkDefineXML(network_xml(n, n == count - 1)) for n in range(count)]

    def start_100(self):
        self.base.destroy()  # which the client is a port of
        networks = self.define(HUNDRED)
        self.client.drain()
        begin = time.perf_counter()
        for network in networks:
            network.create()
        start.add_port(f"many{HUNDRED - 1}", "benchclient")
        return self.until(begin, start.discover, start.is_offer)

    def restart(self, active):
        self.connection.close()
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait()
        begin = time.perf_counter()
        if self.side == "ours":
            log = open(f"{self.root}/basculed.log", "ab")
            self.daemon = subprocess.Popen([start.BUILD / "basculed", "--root", self.root], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        else:
            log = open(f"{self.root}/libvirtd.log", "ab")
            self.daemon = subprocess.Popen(["libvirtd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while True:
            if start.ended(self.daemon.pid) or time.perf_counter() - begin > 300:
                raise RuntimeError("not all networks came back")
            try:
                self.connection = self.libvirt.open(f"qemu+unix:///system?socket={self.path}")
                if self.connection.numOfNetworks() >= active:
                    return time.perf_counter() - begin
                self.connection.close()
            except self.libvirt.libvirtError:
                pass
            time.sleep(0.001)

    def restart_100(self):
        seconds = self.restart(HUNDRED)
        for network in self.connection.listAllNetworks():
            if network.isActive():
                network.destroy()
        return seconds

    # ── ours alone ───────────────────────────────────────────────────────────────────────────────────────────

    def processor(self):
        """Seconds of processor time that our two programs have had: what a busy machine does not change."""
        total = 0
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "comm").read_text(encoding="utf-8").startswith("bascule"):
                    total += int((entry / "schedstat").read_text(encoding="ascii").split()[0])
            except OSError:
                pass
        return total / 1e9

    def fill(self, many):
        """So many networks run from now on."""
        self.filled = self.define(many)
        for network in self.filled:
            network.create()
        self.more = self.connection.networkDefineXML(network_xml(2000))
        return self.memory()

    def one_more(self):
        """One network started and ended again: the start's seconds on the clock, and of processors."""
        used, begin = self.processor(), time.perf_counter()
        self.more.create()
        clock, processor = time.perf_counter() - begin, self.processor() - used
        self.more.destroy()
        return clock * 1000, processor * 1000

    def memory(self):
        total = 0
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "comm").read_text(encoding="utf-8").startswith("bascule"):
                    total += next(int(line.split()[1]) for line in (entry / "smaps_rollup").read_text(encoding="ascii").splitlines()
                                  if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def flow(self, many):
        """The daemon ended and started again while a guest pings: seconds, and pings lost."""
        guest = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        time.sleep(0.5)
        start.shell(f"ip link add flow0 type veth peer name eth0 netns {guest.pid} && ip link set flow0 master many0 up")
        inside = ["nsenter", f"--net=/proc/{guest.pid}/ns/net"]
        subprocess.run([*inside, "sh", "-c", "ip addr add 10.100.0.77/24 dev eth0; ip link set eth0 up"], check=True)
        pings = subprocess.Popen([*inside, "ping", "-n", "-q", "-i", "0.01", "10.100.0.1"], stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        seconds = self.restart(many)
        time.sleep(1)
        pings.send_signal(signal.SIGINT)
        said = pings.communicate()[0]
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
        guest.kill()
        return seconds, max(0, sent - received - 1)  # the last may still have been on its way


def worker(side, root):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    state = Side(side, root)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb, *rest = line.split()
        try:
            value = getattr(state, verb.replace("-", "_"))(*map(int, rest))
            answer = {"value": value}
        except Exception as error:  # whatever it was, the coordinator says it
            answer = {"error": f"{verb}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


class Worker(start.Worker):
    def __init__(self, side, verbose):
        self.side = side
        self.root = tempfile.mkdtemp(prefix=f"bascule-bench-{side}.")
        os.chmod(self.root, 0o755)
        self.process = subprocess.Popen(
            [*start.NAMESPACES, "/usr/bin/python3", __file__, "--worker", side, self.root],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=None if verbose else subprocess.DEVNULL)
        hello = self.read()
        if "ready" not in hello:
            raise SystemExit(f"bench: {side}: {hello.get('error')}\n{self.log()}")


def report(case, values):
    medians = {side: statistics.median(v) for side, v in values.items() if v}
    ours, theirs = medians.get("ours"), medians.get("theirs")
    print(f"{case:18} " + "  ".join(f"{side} {value:.1f} ms" for side, value in medians.items()), flush=True)
    if ours and theirs:
        print(f"RESULT name=networks case={case} peer=libvirtd ratio={theirs / ours:.2f} ours={ours:.3f} theirs={theirs:.3f} unit=ms", flush=True)


CASES = ("update-dhcp-host", "start-100", "restart-100")


def compare(sides, cases, rounds, verbose):
    workers = {side: Worker(side, verbose) for side in sides}
    try:
        values = {side: [] for side in sides}
        for number in range(rounds + 1):
            for side, one in workers.items():
                seconds = one.ask("update-dhcp-host")["value"]
                if number > 0:  # the first warms up
                    values[side].append(seconds * 1000)
        report(CASES[0], values)
        for case in cases[1:]:
            report(case, {side: [one.ask(case)["value"] * 1000] for side, one in workers.items()})
    finally:
        for one in workers.values():
            one.end()


def alone(many, verbose):
    """Turn by turn beside a few networks and beside many, so that what else the machine does is the same to both."""
    sides = {10: Worker("ours", verbose), many: Worker("ours", verbose)}
    try:
        memory = {count: one.ask(f"fill {count}")["value"] for count, one in sides.items()}
        values = {count: [] for count in sides}
        for number in range(ROUNDS_ALONE + 1):
            for count, one in sides.items():
                value = one.ask("one-more")["value"]
                if number > 0:  # the first warms up
                    values[count].append(value)
        restart, lost = sides[many].ask(f"flow {many}")["value"]
    finally:
        for one in sides.values():
            one.end()
    (few, few_busy), (lots, lots_busy) = ([statistics.median(column) for column in zip(*values[count])] for count in sides)
    per_network = (memory[many] - memory[10]) / (many - 10)
    print(f"one network more: {few:.2f} ms beside 10, {lots:.2f} ms beside {many}: {lots / few:.2f} times")
    print(f"of processor time: {few_busy:.2f} ms beside 10, {lots_busy:.2f} ms beside {many}: {lots_busy / few_busy:.2f} times")
    print(f"restart beside {many}: {restart * 1000:.0f} ms, {lost} pings lost; memory: {per_network:.1f} KiB a network")
    print(f"RESULT name=networks case=flat-{many} peer=self ratio={few / lots:.2f} ours={lots:.3f} theirs={few:.3f} unit=ms")
    print(f"RESULT name=networks case=flat-{many}-processor peer=self ratio={few_busy / lots_busy:.2f} ours={lots_busy:.3f} theirs={few_busy:.3f} unit=ms")
    print(f"RESULT name=networks case=restart-{many} peer=none ratio=- ours={restart * 1000:.1f} theirs=- unit=ms lost={lost}")
    print(f"RESULT name=networks case=memory-per-network peer=none ratio=- ours={per_network:.2f} theirs=- unit=KiB")


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3])
    parser = argparse.ArgumentParser(prog="./bench networks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", choices=CASES, default=CASES[-1], help="the last one to measure: each needs those before")
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--only", choices=(*SIDES, "flat"))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sides = [side for side in SIDES if options.only in (None, side)]
    if sides and not shutil.which("libvirtd"):
        sides = [side for side in sides if side == "ours"]
    if sides:
        compare(sides, CASES[:CASES.index(options.case) + 1], options.rounds, options.verbose)
    if options.only == "flat" or (options.only is None and options.case == CASES[-1]):
        alone(options.many, options.verbose)
    return 0


if __name__ == "__main__":
    sys.exit(main())
