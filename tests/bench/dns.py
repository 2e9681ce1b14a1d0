#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench dns: how many questions a second a network's name server answers, beside Debian's dnsmasq and unbound.

Each server runs in namespaces of its own on a bridge 10.64.0.1/16; dnsperf asks from a port of it, in another network namespace.
Round by round, ours beside each peer; medians. The limit is a program that answers everything without a look
(dns_responder.cpp); the servers also ask it, on the loopback, for what they do not know.

  hits     names of 1000 <host> records, by UDP
  cached   2000 names of elsewhere that were asked before, by UDP
  misses   names of elsewhere that nobody asked before
  tcp      the 1000 names by TCP, 16 connections
  tcp-idle the same, while another client holds 200 connections open and says nothing (ours against ours without them, "self")

and of each cpu-hits, cpu-cached and so on: microseconds of the server's processes for a question, which move less than rates
when the machine does other work, too.

Options: --rounds N (3), --seconds S of each measurement (3), --only ours|dnsmasq|unbound|limit, --verbose.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dhcp  # the other benchmark: workers, servers
import start

SIDES = ("ours", "dnsmasq", "unbound", "limit")
CASES = ("hits", "cached", "misses", "tcp", "tcp-idle")
SERVER, UPSTREAM_PORT = "10.64.0.1", 5300
HOSTS = [(f"host{n}.bench.example", f"10.64.{16 + n // 250}.{n % 250 + 1}") for n in range(1000)]
NETWORK = """<network>
  <name>bench</name>
  <metadata><bascule:network xmlns:bascule='urn:bascule:1'>
    <bascule:forwarder addr='127.0.0.1' port='%d'/>
  </bascule:network></metadata>
  <forward mode='nat'/>
  <bridge name='benchnet' stp='off' delay='0'/>
  <domain name='bench.example' localOnly='yes'/>
  <dns>%s</dns>
  <ip address='%s' netmask='255.255.0.0'/>
</network>""" % (UPSTREAM_PORT, "".join(f"<host ip='{address}'><hostname>{name}</hostname></host>" for name, address in HOSTS), SERVER)
UNBOUND = """server:
  interface: {server}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{root}"
  pidfile: ""
  use-syslog: no
  logfile: "{root}/unbound.log"
  do-daemonize: no
  do-not-query-localhost: no
  access-control: 10.64.0.0/16 allow
  module-config: "iterator"
  local-zone: "bench.example." static
{data}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{port}
"""


class Server(dhcp.Server):
    def __init__(self, side, root, responder):
        self.processes = []
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        if side != "ours":
            start.make_bridge("benchnet")
            start.shell(f"ip addr add {SERVER}/16 dev benchnet")
        subprocess.Popen([responder, "127.0.0.1", str(UPSTREAM_PORT)], **quiet)
        if side == "ours":
            self.start_ours(root, NETWORK)
        elif side == "dnsmasq":
            hosts = pathlib.Path(root) / "hosts"
            hosts.write_text("".join(f"{address} {name}\n" for name, address in HOSTS), encoding="ascii")
            self.run(["dnsmasq", "-k", "--conf-file=/dev/null", "--interface=benchnet", "--bind-interfaces", "--no-resolv", "--no-hosts",
                      f"--addn-hosts={hosts}", "--local=/bench.example/", f"--server=127.0.0.1#{UPSTREAM_PORT}", "--cache-size=10000",
                      "--user=root", "--log-facility=/dev/null"])
        elif side == "unbound":
            settings = pathlib.Path(root) / "unbound.conf"
            data = "".join(f'  local-data: "{name}. 3600 A {address}"\n' for name, address in HOSTS)
            settings.write_text(UNBOUND.format(server=SERVER, root=root, data=data, port=UPSTREAM_PORT), encoding="ascii")
            self.run(["unbound", "-d", "-c", settings])
        else:
            self.processes.append(subprocess.Popen([responder, SERVER, "53"], **quiet).pid)
        self.guest = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        end = time.monotonic() + start.DEADLINE
        while os.readlink(f"/proc/{self.guest.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            if time.monotonic() > end:
                raise RuntimeError("no namespace for the client")
            time.sleep(0.01)
        start.shell(f"ip link add benchport type veth peer name eth0 netns {self.guest.pid}; ip link set benchport master benchnet up")
        self.inside = ["nsenter", f"--net=/proc/{self.guest.pid}/ns/net"]
        subprocess.run([*self.inside, "sh", "-c", "ip addr add 10.64.0.2/16 dev eth0; ip addr add 10.64.0.3/16 dev eth0; ip link set lo up; ip link set eth0 up"],
                       check=True)


class Side:
    def __init__(self, side, root, responder):
        self.root = pathlib.Path(root)
        self.server = Server(side, root, responder)
        self.unique = 0
        self.idle = None
        (self.root / "hits").write_text("".join(f"{name} A\n" for name, _ in HOSTS), encoding="ascii")
        (self.root / "cached").write_text("".join(f"www{n}.elsewhere.example A\n" for n in range(2000)), encoding="ascii")
        end = time.monotonic() + start.DEADLINE
        while self.perf("hits", 0.2)["rate"] == 0:
            if time.monotonic() > end:
                raise RuntimeError(f"{side} answers nothing")

    def perf(self, questions, seconds, *more):
        before = self.server.ticks()
        command = [*self.server.inside, "dnsperf", "-s", SERVER, "-d", self.root / questions, "-l", str(seconds), "-T", "1",
                   *(more or ("-c", "8", "-q", "200"))]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60).stdout
        completed = int((re.search(r"Queries completed:\s+(\d+)", said) or [0, 0])[1])
        sent = int((re.search(r"Queries sent:\s+(\d+)", said) or [0, 0])[1])
        rate = float((re.search(r"Queries per second:\s+([\d.]+)", said) or [0, 0])[1])
        cpu = (sum(self.server.ticks()) - sum(before)) / dhcp.TICK * 1e6 / max(completed, 1)
        return {"rate": rate, "lost": 1 - completed / max(sent, 1), "cpu": cpu}

    def measure(self, case, seconds):
        if case == "misses":
            self.unique += 1
            (self.root / "misses").write_text("".join(f"n{n}.r{self.unique}.elsewhere.example A\n" for n in range(400000)), encoding="ascii")
            return self.perf("misses", seconds, "-n", "1", "-c", "8", "-q", "100")
        if case == "cached":
            self.perf("cached", 0.5, "-n", "1", "-c", "8", "-q", "50")
            return self.perf("cached", seconds)
        if case == "tcp":
            return self.perf("hits", seconds, "-m", "tcp", "-c", "16", "-q", "200")
        if case == "idle":
            idle = self.open_idle()
            try:
                return self.perf("hits", seconds, "-m", "tcp", "-c", "16", "-q", "200")
            finally:
                idle.kill()
                idle.wait()
        return self.perf("hits", seconds)

    def open_idle(self):
        """200 connections from another address of the client, as far as the server takes them."""
        program = ("import socket,sys,time\nheld=[]\nfor n in range(200):\n s=socket.socket()\n s.settimeout(1)\n s.bind(('10.64.0.3',0))\n"
                   f" try: s.connect(('{SERVER}',53)); held.append(s)\n except OSError: pass\n"
                   "print(len(held),flush=True)\ntime.sleep(600)\n")
        child = subprocess.Popen([*self.server.inside, "python3", "-c", program], stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        return child


def worker(side, root, responder):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && mount -t proc proc /proc && ip link set lo up")
    state = Side(side, root, responder)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb, case, seconds = line.split()
        try:
            answer = {"value": getattr(state, verb)(case, float(seconds))}
        except Exception as error:  # whatever it was, the coordinator says it
            answer = {"error": f"{verb}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(*sys.argv[2:5])
    parser = argparse.ArgumentParser(prog="./bench dns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bascule-bench.")
    values = {case: {} for case in CASES}
    try:
        responder = pathlib.Path(folder) / "dns_responder"
        subprocess.run(["c++", "-std=c++20", "-O2", "-o", responder, pathlib.Path(__file__).with_name("dns_responder.cpp")], check=True)
        workers = {side: dhcp.Worker(side, responder, options.verbose, __file__) for side in SIDES if options.only in (None, side)}
        try:
            for case in CASES:
                for turn in range(options.rounds):
                    for side, one in workers.items():
                        if (case == "tcp-idle" and side != "ours") or (side == "limit" and case != "hits"):
                            continue
                        # Without the idle ones in the same round, in turns before and after: a minute later the machine is another.
                        pairs = [(side, case.removeprefix("tcp-"))] + ([("self", "tcp")] if case == "tcp-idle" else [])
                        for name, what in pairs[:: -1 if turn % 2 else 1]:
                            values[case].setdefault(name, []).append(one.ask("measure", what, options.seconds))
                for side, rounds in values[case].items():
                    print(f"{case:9} {side:8} {statistics.median(r['rate'] for r in rounds):9.0f}/s  {statistics.median(r['cpu'] for r in rounds):6.1f} us"
                          f"  lost {max(r['lost'] for r in rounds) * 100:.2f} %", flush=True)
        finally:
            for one in workers.values():
                one.end()
    finally:
        shutil.rmtree(folder)
    rate = {case: {side: statistics.median(r["rate"] for r in rounds) for side, rounds in sides.items()} for case, sides in values.items()}
    for case in CASES:
        cpu = {side: statistics.median(r["cpu"] for r in rounds) for side, rounds in values[case].items()}
        for peer, theirs in cpu.items():
            if peer != "ours" and cpu.get("ours"):
                print(f"RESULT name=dns case=cpu-{case} peer={peer} ratio={theirs / cpu['ours']:.2f} ours={cpu['ours']:.2f} theirs={theirs:.2f} unit=us")
    for case, sides in rate.items():
        for peer, theirs in sides.items():
            if peer != "ours" and "ours" in sides and theirs:
                print(f"RESULT name=dns case={case} peer={peer} ratio={sides['ours'] / theirs:.2f} ours={sides['ours']:.0f} theirs={theirs:.0f} unit=queries/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
