#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench nwfilter: filters of many ports, beside Debian's libvirtd.

Each side is a worker in namespaces of its own, as in ./bench start. Every port is bound to the filter `bench`, which is
clean-traffic and a small filter below it. The clock starts at the protocol call (or the signal) and stops when the
effect is there, seen by frames from one tap to another; N ports have the filter then:

  bind-N      one more port is bound: a spoofed frame from it is dropped, an honest one passes
  unbind-N    it is unbound: the spoofed frame passes again
  edit-N      the small filter is defined anew: what passed from that port is dropped, or the other way round
  reload-N    the same by its file and SIGHUP; ours alone

Ours alone: the same with 1000 ports, edit-shapes-1000 (1000 ports with 100 different nets in a rule that cannot be a
look-up), and memory of the daemon per port.

Of the peer's there are two rounds with one port and one with more; ours has five. The peer's edit with 100 ports is the
last thing to be done, and cut off when the whole run has taken --limit seconds: it then counts as that long, which
favours the peer (ten ports take it 19 seconds; --limit 1200 waits for a hundred).

Options: --rounds N (5) of ours, --only ours|theirs, --most N of the peer's ports (100), --limit S (215), --verbose.
"""

import argparse
import json
import os
import pathlib
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import start  # the other benchmark: devices, frames, daemons

SIDES = start.SIDES
PEERS_ROUNDS = {1: 2}  # with so many ports; else one
# The peer's edit comes last, since it may be cut off; what follows it in a round is not measured.
ORDER = {"ours": ("bind", "edit", "reload", "unbind"), "theirs": ("bind", "unbind", "+bind", "edit", "+unbind")}
start.DEADLINE = 900.0  # for one effect: a hundred ports of the peer's take minutes

SMALL_UUID, BENCH_UUID = "b5c0ffee-0000-4000-8000-0000be9c5001", "b5c0ffee-0000-4000-8000-0000be9c5002"
CASES = ("bind", "unbind", "edit", "reload")


def small(port):
    """Drops what goes to that UDP port."""
    return f"""<filter name='bench-small' chain='ipv4' priority='-700'>
  <uuid>{SMALL_UUID}</uuid>
  <rule action='drop' direction='out' priority='100'><ip protocol='udp' dstportstart='{port}'/></rule>
</filter>
"""


def bench(shapes):
    more = "<rule action='drop' direction='out' priority='200'><ip dstipaddr='$NET' dstipmask='24'/></rule>" if shapes else ""
    return f"""<filter name='bench' chain='root'>
  <uuid>{BENCH_UUID}</uuid>
  <filterref filter='bench-small'/>
  <filterref filter='clean-traffic'/>
  {more}
</filter>
"""


def binding(name, number, shapes):
    if number is None:
        mac, address = start.CLIENT_MAC, start.CLIENT_IP
    else:
        mac, address = f"52:54:01:00:{number >> 8:02x}:{number & 255:02x}", f"10.214.{number >> 8}.{number & 255}"
    net = f"<parameter name='NET' value='10.220.{(number or 0) % 100}.0'/>" if shapes else ""
    return f"""<filterbinding>
  <owner><name>{name}</name><uuid>b5c0ffee-0000-4000-8000-{(number or 0) + 1:012x}</uuid></owner>
  <portdev name='{name}'/>
  <mac address='{mac}'/>
  <filterref filter='bench'><parameter name='IP' value='{address}'/>{net}</filterref>
</filterbinding>"""


class Side:
    def __init__(self, side, root):
        import libvirt

        libvirt.registerErrorHandler(lambda context, error: None, None)
        self.side, self.root = side, root
        self.daemon, path = (start.start_ours if side == "ours" else start.start_theirs)(root)
        self.connection = start.connect(libvirt, self.daemon, path)
        start.make_bridge("benchbr")
        self.taps = [start.Tap("benchtap0"), start.Tap("benchtap1")]
        for tap in self.taps:
            start.add_port("benchbr", tap.name)
        self.port, self.shapes, self.others, self.made = 4242, False, [], 0
        self.connection.nwfilterDefineXML(small(self.port))
        self.connection.nwfilterDefineXML(bench(False))
        self.last = None

    def frame(self, mac, port, text):
        return start.udp_frame(mac, start.CLIENT_IP, "10.213.0.255", 4000, port, text)

    def until(self, hostile, expected, begin):
        """Until of a hostile frame and an honest one behind it these have passed."""
        sender, receiver = self.taps
        end = time.monotonic() + start.DEADLINE
        while time.monotonic() < end:
            nonce = os.urandom(16)
            receiver.drain()
            sender.send(hostile(nonce))
            sender.send(self.frame(start.CLIENT_MAC, 4300, b"honest!" + nonce))
            frames = receiver.receive_until(lambda frame: b"honest!" + nonce in frame, 0.001)
            if frames and any(b"hostile" + nonce in frame for frame in frames) == expected:
                return time.perf_counter() - begin
        raise RuntimeError("the effect never came")

    def spoofed(self, nonce):
        return self.frame("52:54:00:be:66:66", 4300, b"hostile" + nonce)

    def to_port(self, port):
        return lambda nonce: self.frame(start.CLIENT_MAC, port, b"hostile" + nonce)

    def ports(self, count):
        """So many ports with the filter, beside the one that is looked at."""
        while self.made < count:
            subprocess.run(["ip", "-batch", "-"], check=True, text=True,
                           input="".join(f"tuntap add bp{n} mode tap\n" for n in range(self.made, count)))
            self.made = count
        while len(self.others) < count:
            number = len(self.others)
            self.others.append(self.connection.nwfilterBindingCreateXML(binding(f"bp{number}", number, self.shapes)))
        return 0

    def bind(self):
        xml = binding("benchtap0", None, self.shapes)
        begin = time.perf_counter()
        self.last = self.connection.nwfilterBindingCreateXML(xml)
        return self.until(self.spoofed, False, begin)

    def unbind(self):
        begin = time.perf_counter()
        self.last.delete()
        return self.until(self.spoofed, True, begin)

    def next_port(self):
        self.port = 4243 if self.port == 4242 else 4242
        return small(self.port)

    def edit(self):
        xml = self.next_port()
        begin = time.perf_counter()
        self.connection.nwfilterDefineXML(xml)
        return self.until(self.to_port(self.port), False, begin)

    def reload(self):
        file = pathlib.Path(self.root, "etc/bascule/nwfilter/bench-small.xml") if self.side == "ours" else pathlib.Path("/etc/libvirt/nwfilter/bench-small.xml")
        file.write_text(self.next_port(), encoding="ascii")
        begin = time.perf_counter()
        self.daemon.send_signal(signal.SIGHUP)
        return self.until(self.to_port(self.port), False, begin)

    def shape(self, count):
        """The same number of ports again, in a hundred classes."""
        for one in self.others:
            one.delete()
        self.others, self.shapes = [], True
        self.connection.nwfilterDefineXML(bench(True))
        return self.ports(count)

    def memory(self):
        for line in pathlib.Path(f"/proc/{self.daemon.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
        return 0


def worker(side, root):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    state = Side(side, root)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb, *rest = line.split()
        try:
            answer = {"value": getattr(state, verb)(*map(int, rest))}
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

    def ask_until(self, verb, end):
        """The value in ms, and whether it is only a lower bound: at the end the side is done with."""
        begin = time.monotonic()
        self.process.stdin.write(verb + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], max(1.0, end - begin))[0]:
            return (time.monotonic() - begin) * 1000, True
        answer = self.read()
        if "error" in answer:
            raise SystemExit(f"bench: {self.side}: {answer['error']}\n{self.log()}")
        return answer["value"] * 1000, False


def measure(one, rounds, end):
    """Each case's values in ms, some rounds of all of them; and the case that was cut off, which is the last."""
    values = {case: [] for case in CASES}
    for number in range(rounds):
        for case in ORDER[one.side]:
            value, cut_off = one.ask_until(case.removeprefix("+"), end)
            if not case.startswith("+"):
                values[case].append(value)
            if cut_off:
                return values, case
    return values, None


class Report:
    """Medians of both sides; a line for each case once all who have it were measured."""

    def __init__(self):
        self.medians, self.bounds = {}, set()

    def add(self, side, count, values, cut_off):
        for case, all_of_it in values.items():
            if all_of_it:
                self.medians[side, count, case] = statistics.median(all_of_it)
        if cut_off:
            self.bounds.add((side, count, cut_off))

    def show(self, count):
        for case in CASES:
            ours, theirs = (self.medians.get((side, count, case)) for side in SIDES)
            if ours is None and theirs is None:
                continue
            at_least = "at least " if ("theirs", count, case) in self.bounds else ""
            texts = ([f"ours {ours:.2f} ms"] if ours is not None else []) + ([f"theirs {at_least}{theirs:.2f} ms"] if theirs is not None else [])
            print(f"{case + '-' + str(count):12} " + "  ".join(texts), flush=True)
            if ours is not None:
                ratio = f"{theirs / ours:.1f}" if theirs is not None else "-"
                print(f"RESULT name=nwfilter case={case}-{count} peer={'libvirtd' if theirs is not None else 'none'} ratio={ratio} "
                      f"ours={ours:.3f} theirs={'-' if theirs is None else f'{theirs:.3f}'} unit=ms")


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3])
    parser = argparse.ArgumentParser(prog="./bench nwfilter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--limit", type=float, default=215)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    end = time.monotonic() + options.limit
    sides = [side for side in SIDES if options.only in (None, side)]
    if not shutil.which("libvirtd"):
        sides = [side for side in sides if side == "ours"]
    workers, report, memory = {}, Report(), []

    def one_side(side, count):
        one = workers[side]
        one.ask(f"ports {count - 1}")
        report.add(side, count, *measure(one, options.rounds if side == "ours" else PEERS_ROUNDS.get(count, 1), end))

    try:
        for side in sides:
            workers[side] = Worker(side, options.verbose)
        if "ours" in workers:
            for count in (1, 10, 100, 1000):
                one_side("ours", count)
                if count in (10, 1000):
                    memory.append(workers["ours"].ask("memory")["value"])
            shapes_of(workers["ours"], options.rounds, memory)
            workers.pop("ours").end()  # a thousand devices less beside the peer
        if "theirs" in workers:
            for count in (1, 10, 100):
                if count <= options.most and not report.bounds:
                    one_side("theirs", count)
    finally:
        for one in workers.values():
            one.end()
    for count in (1, 10, 100, 1000):
        report.show(count)
    return 0


def shapes_of(one, rounds, memory):
    one.ask("shape 999")
    one.ask("bind")
    shapes = statistics.median(one.ask("edit")["value"] * 1000 for _ in range(rounds))
    print(f"edit with 1000 ports in 100 shapes: {shapes:.2f} ms; memory: {(memory[1] - memory[0]) / 990:.2f} KiB a port")
    print(f"RESULT name=nwfilter case=edit-shapes-1000 peer=none ratio=- ours={shapes:.3f} theirs=- unit=ms")
    print(f"RESULT name=nwfilter case=memory-per-port peer=none ratio=- ours={(memory[1] - memory[0]) / 990:.2f} theirs=- unit=KiB")


if __name__ == "__main__":
    sys.exit(main())
