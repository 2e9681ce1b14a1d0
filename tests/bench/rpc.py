#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench rpc: how many calls the daemons answer, and what their clients cost in memory, beside Debian's libvirtd.

Each side is a worker process in namespaces of its own with its daemon. The load is one small program (rpc_load.cpp),
which sends both daemons the very same bytes over their unix sockets. Turn by turn: ours, theirs, ours, …; medians.

  small-calls-1       one client, connect-get-hostname, the next call when the reply is there
  small-calls-50      50 clients at once, each so
  list-networks-1000  connect-list-all-networks with 1000 of them defined
  list-guests-1000    connect-list-all-domains with 1000 guests defined
  event-fanout-100    100 clients listen for network events, one more defines and undefines a network: events delivered
  idle-clients-1000   MiB (PSS) of all processes of a side with 1000 clients connected that do nothing
  memory              MiB (PSS) after all of this, no client connected

Options: --rounds N (5), --seconds S of each measurement (1), --only ours|theirs, --verbose.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import start

SIDES = start.SIDES
RATES = ("small-calls-1", "small-calls-50", "list-networks-1000", "list-guests-1000", "event-fanout-100")
CASES = [(case, "calls/s" if "fanout" not in case else "events/s") for case in RATES] + [("idle-clients-1000", "MiB"), ("memory", "MiB")]
HOSTNAME, DEFINE_NETWORK, DEFINE_DOMAIN, ALL_NETWORKS, ALL_DOMAINS = 59, 41, 11, 283, 273


def u32(number):
    return number.to_bytes(4, "big")


def string(text):
    raw = text.encode()
    return u32(len(raw)) + raw + bytes(-len(raw) % 4)


def network(number):
    return string(f"<network><name>net{number:04}</name><bridge name='nb{number:04}'/></network>")


def domain(number):
    return string(f"<domain type='qemu'><name>guest{number:04}</name><memory unit='MiB'>64</memory>"
                  "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>")


UUID = "b5c0ffee-0000-4000-8000-00000000e7e7"
FANOUT = (string(f"<network><name>fanout</name><uuid>{UUID}</uuid><bridge name='fanout'/></network>").hex(),
          (string("fanout") + bytes.fromhex(UUID.replace("-", ""))).hex())


class Load:
    def __init__(self, program, path):
        self.command = [program, path]

    def run(self, *arguments, lines=None):
        done = subprocess.run([*self.command, *map(str, arguments)], input=lines, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"rpc_load {arguments[0]}: {done.stderr.strip()}")
        count, seconds = done.stdout.split()
        return int(count), float(seconds)

    def rate(self, *arguments):
        count, seconds = self.run(*arguments)
        return count / seconds

    def idle(self, clients):
        """With so many connected: a process to be closed."""
        child = subprocess.Popen([*self.command, "idle", str(clients)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not child.stdout.readline():
            raise RuntimeError("rpc_load idle: could not connect them all")
        return child


def memory(but):
    """MiB of PSS of the side's processes without those given."""
    total = 0
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid(), *but):
            continue
        try:
            rollup = (entry / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


class Side:
    def __init__(self, load, seconds):
        self.load, self.seconds, self.defined = load, seconds, set()

    def define(self, procedure, what):
        if procedure not in self.defined:
            self.defined.add(procedure)
            self.load.run("define", procedure, lines="".join(f"{what(n).hex()}\n" for n in range(1000)))

    def ask(self, case):
        if case == "small-calls-1":
            return self.load.rate("calls", 1, self.seconds, HOSTNAME)
        if case == "small-calls-50":
            return self.load.rate("calls", 50, self.seconds, HOSTNAME)
        if case == "list-networks-1000":
            self.define(DEFINE_NETWORK, network)
            return self.load.rate("calls", 1, self.seconds, ALL_NETWORKS, (u32(1) + u32(0)).hex())
        if case == "list-guests-1000":
            self.define(DEFINE_DOMAIN, domain)
            return self.load.rate("calls", 1, self.seconds, ALL_DOMAINS, (u32(1) + u32(0)).hex())
        if case == "event-fanout-100":
            return self.load.rate("fanout", 100, self.seconds, *FANOUT)
        if case == "idle-clients-1000":
            clients = self.load.idle(1000)
            time.sleep(1)  # whatever a daemon puts off to a quiet moment
            weight = memory([clients.pid])
            clients.stdin.close()
            clients.wait()
            return weight
        time.sleep(1)
        return memory([])


def worker(side, root, program, seconds):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    if os.path.exists("/dev/kvm"):
        # One that everybody may open: where libvirtd's guests may not what its probes may, it asks QEMU anew what it can
        # do at every call, which is no fair comparison.
        start.shell(f"mknod -m 666 {root}/kvm c 10 232 && mount --bind {root}/kvm /dev/kvm")
    # As many clients as the cases need, for both; all else as packaged.
    if side == "theirs":
        daemon, path = start.start_theirs(root, "max_clients = 5000\nmax_anonymous_clients = 5000\n")
    else:
        daemon, path = start.start_ours(root)
    load, end = Load(program, path), time.monotonic() + start.DEADLINE
    while True:
        try:
            load.run("calls", 1, 0.01, HOSTNAME)
            break
        except RuntimeError:
            if start.ended(daemon.pid) or time.monotonic() > end:
                raise
            time.sleep(0.05)
    one = Side(load, seconds)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = {"value": one.ask(line.strip())}
        except Exception as error:  # whatever it was, the coordinator says it
            answer = {"error": f"{line.strip()}: {error}"}
        print(json.dumps(answer), flush=True)


class Worker(start.Worker):
    """start.Worker with this program's worker in it."""

    def __init__(self, side, verbose, *arguments):
        self.side = side
        self.root = tempfile.mkdtemp(prefix=f"bascule-bench-{side}.")
        os.chmod(self.root, 0o755)
        self.process = subprocess.Popen(
            [*start.NAMESPACES, "/usr/bin/python3", __file__, "--worker", side, self.root, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=None if verbose else subprocess.DEVNULL)
        if "ready" not in (hello := self.read()):
            raise SystemExit(f"bench: {side}: {hello.get('error')}\n{self.log()}")


def measure(sides, options, program):
    values = {case: {side: [] for side in sides} for case, _ in CASES}
    workers = {}
    try:
        for side in sides:
            workers[side] = Worker(side, options.verbose, program, options.seconds)
        for case, _ in CASES:
            for number in range(1 if case == "memory" else options.rounds + 1):
                for side, one in workers.items():
                    value = one.ask(case)["value"]
                    if number > 0 or case == "memory":  # the first round warms up both
                        values[case][side].append(value)
    finally:
        for one in workers.values():
            one.end()
    return values


def report(values):
    print(f"{'case':20} {'ours':>18} {'libvirtd':>18} {'ratio':>8}   (medians; lowest–highest)")
    lines = []
    for case, unit in CASES:
        cells = {side: values[case].get(side) for side in SIDES}
        middle = {side: statistics.median(v) if v else None for side, v in cells.items()}
        digits = 2 if unit == "MiB" else 0
        text = {side: f"{v:.{digits}f} {unit}" if v else "-" for side, v in middle.items()}
        spread = "; ".join(f"{side} {min(v):.{digits}f}–{max(v):.{digits}f}" for side, v in cells.items() if v)
        ratio = None
        if all(middle.values()):
            ours, theirs = middle["ours"], middle["theirs"]
            ratio = theirs / ours if unit == "MiB" else ours / theirs
            lines.append(f"RESULT name=rpc case={case} peer=libvirtd ratio={ratio:.2f} ours={ours:.3f} theirs={theirs:.3f} unit={unit}")
        print(f"{case:20} {text['ours']:>18} {text['theirs']:>18} {f'{ratio:.1f}' if ratio else '-':>8}   {spread}")
    print("\n".join(lines))


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5])
    parser = argparse.ArgumentParser(prog="./bench rpc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bascule-bench-load."))
    try:
        program = folder / "rpc_load"
        subprocess.run(["c++", "-std=c++20", "-O2", "-o", program, pathlib.Path(__file__).with_name("rpc_load.cpp")], check=True)
        report(measure([side for side in SIDES if options.only in (None, side)], options, program))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
