#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench dhcp: how many DHCP clients a second, beside Debian's dnsmasq and kea-dhcp4.

Each server runs in namespaces of its own on a bridge 10.64.0.1/12; the clients (dhcp_load.cpp) sit on a port of it and send
whole frames, broadcast, as clients without an address do. All lease files are on the file system of the build folder,
whose fdatasync latency is printed beside: ours acknowledges what is on the disk, dnsmasq syncs its file, Kea never does.

  new-clients       4-way exchanges a second, every client new, with less than 1 % lost
  renewals          REQUEST and ACK a second of 1000 clients that have a lease, with less than 1 % lost
  cpu-per-exchange  microseconds of the server's processes (ours: service and daemon) for a 4-way exchange of a new client, at a
                    rate that everybody but dnsmasq keeps
  flat-60000        the same after 55,000 leases, against the first 5,000 (ours, and Kea for comparison)
  scale-memory      PSS of one service with 1000 networks and 100,000 leases, against the aim of 64 MiB
  scale-restart     from starting that service until it serves all of them and has told the daemon, against the aim of 1 s; the
                    best of three (dhcp_scale.cpp, which plays the daemon)

Options: --only ours|dnsmasq|kea|scale, --seconds S of each step (2), --verbose.
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import start  # the other benchmark: devices, daemons

SIDES = ("ours", "dnsmasq", "kea")
STEPS = {"ours": [2000, 4000, 6000, 8000, 10000, 12000, 14000, 17000, 20000, 25000],
         "kea": [2000, 4000, 6000, 8000, 10000, 12000, 14000, 17000, 20000, 25000],
         "dnsmasq": [50, 100, 150, 200, 250, 300, 400, 500, 700, 1000, 1500]}
CPU_RATE, CPU_RATE_DNSMASQ = 1500, 100
RENEWING = 1000
TICK = os.sysconf("SC_CLK_TCK")
RANGES = "".join(f"<range start='10.{n}.0.0' end='10.{n}.255.254'/>" for n in range(65, 76))  # 65,535 addresses each at most
NETWORK = f"""<network>
  <name>bench</name>
  <forward mode='nat'/>
  <bridge name='benchnet' stp='off' delay='0'/>
  <dns enable='no'/>
  <ip address='10.64.0.1' netmask='255.240.0.0'>
    <dhcp>{RANGES}</dhcp>
  </ip>
</network>"""


def kea_settings(root):
    return {"Dhcp4": {
        "interfaces-config": {"interfaces": ["benchnet"], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": True, "name": f"{root}/kea-leases.csv", "lfc-interval": 0},
        "multi-threading": {"enable-multi-threading": False},
        "authoritative": True, "valid-lifetime": 3600,
        "subnet4": [{"subnet": "10.64.0.0/12", "pools": [{"pool": "10.65.0.0 - 10.75.255.255"}],
                     "option-data": [{"name": "routers", "data": "10.64.0.1"}]}],
        "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": f"{root}/kea.log"}]}]}}


class Server:
    """One server on its bridge; `processes` are those whose time counts."""

    def __init__(self, side, root):
        self.processes = []
        if side == "ours":
            self.start_ours(root, NETWORK)
        else:
            start.make_bridge("benchnet")
            start.shell("ip addr add 10.64.0.1/12 dev benchnet")
        if side == "dnsmasq":
            self.run(["dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=benchnet", "--bind-interfaces",
                      "--dhcp-range=10.65.0.0,10.75.255.255,255.240.0.0,1h", "--no-ping", "--dhcp-authoritative",
                      "--dhcp-lease-max=1000000", f"--dhcp-leasefile={root}/dnsmasq.leases", "--quiet-dhcp",
                      "--log-facility=/dev/null", "--user=root"])
        elif side == "kea":
            settings = pathlib.Path(root) / "kea.json"
            settings.write_text(json.dumps(kea_settings(root)), encoding="ascii")
            self.run(["kea-dhcp4", "-c", settings], {"KEA_PIDFILE_DIR": root, "KEA_LOCKFILE_DIR": root})
        start.shell("ip link add benchport type veth peer name benchclient")
        start.shell("sysctl -qw net.ipv6.conf.benchclient.disable_ipv6=1 net.ipv6.conf.benchport.disable_ipv6=1")
        start.shell("ip link set benchport master benchnet; ip link set benchport up; ip link set benchclient up")

    def run(self, command, settings=None):
        self.processes.append(subprocess.Popen(command, env={**os.environ, **(settings or {})},
                                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid)

    def start_ours(self, root, definition):
        import libvirt

        log = open(f"{root}/basculed.log", "wb")
        daemon = subprocess.Popen([start.BUILD / "basculed", "--root", root], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        connection = start.connect(libvirt, daemon, f"{root}/run/bascule/libvirt-sock")
        for network in connection.listAllNetworks():
            if network.isActive():
                network.destroy()
        connection.networkCreateXML(definition)
        connection.close()
        self.processes = [int(entry.name) for entry in pathlib.Path("/proc").iterdir()
                          if entry.name.isdigit() and (entry / "comm").read_text(encoding="utf-8").startswith("bascule")]

    def ticks(self):
        """Of each process, user and system time."""
        def of(pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        return [of(pid) for pid in self.processes]


class Side:
    def __init__(self, side, root, load):
        self.side, self.load = side, load
        self.server = Server(side, root)
        self.next = 1
        self.until_served()

    def until_served(self):
        end = time.monotonic() + start.DEADLINE
        while time.monotonic() < end:
            if self.clients("new", 5, 0.2)["finished"] == 1:
                return
        raise RuntimeError(f"{self.side} serves nobody")

    def clients(self, kind, rate, seconds):
        first = self.next
        if kind == "new":
            self.next += int(rate * seconds) + 1
        before = self.server.ticks()
        done = subprocess.run([self.load, "benchclient", kind, str(rate), str(seconds), str(first if kind == "new" else 0x70000000),
                               str(RENEWING)], capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        begun, finished, median, tail = map(float, done.stdout.split())
        # What the server still has to do for it belongs to it, too.
        ticks = self.server.ticks()
        while True:
            time.sleep(0.1)
            now = self.server.ticks()
            if sum(now) - sum(ticks) <= 1:
                break
            ticks = now
        return {"begun": begun, "finished": finished, "lost": 1 - finished / max(begun, 1), "median": median, "tail": tail,
                "cpu": (sum(now) - sum(before)) / TICK * 1e6 / max(finished, 1),
                "parts": [round((b - a) / TICK * 1e6 / max(finished, 1), 1) for a, b in zip(before, now)]}

    def best(self, kind, seconds):
        """The highest rate of the steps with less than 1 % lost; each step has two chances, as the machine may be busy."""
        best, tried = None, []
        for rate in STEPS[self.side]:
            got = min((self.clients(kind, rate, seconds) for _ in range(1)), key=lambda one: one["lost"])
            if got["lost"] >= 0.01:
                got = self.clients(kind, rate, seconds)
            tried.append((rate, round(got["lost"] * 100, 2), round(got["median"])))
            if got["lost"] >= 0.01:
                break
            best = rate
        return {"rate": best or 0, "tried": tried}


def worker(side, root, load):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && mount -t proc proc /proc && ip link set lo up")
    state = Side(side, root, load)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        verb, *rest = line.split()
        try:
            answer = {"value": getattr(state, verb)(*(word if word.isalpha() else float(word) for word in rest))}
        except Exception as error:  # whatever it was, the coordinator says it
            answer = {"error": f"{verb}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


class Worker:
    def __init__(self, side, load, verbose, script=__file__):
        self.side = side
        (start.TOP / "build").mkdir(exist_ok=True)
        self.root = tempfile.mkdtemp(prefix=f"bench-{side}.", dir=start.TOP / "build")  # on the disk
        os.chmod(self.root, 0o755)
        self.process = subprocess.Popen([*start.NAMESPACES, "/usr/bin/python3", script, "--worker", side, self.root, str(load)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=None if verbose else subprocess.DEVNULL)
        if "ready" not in self.read():
            raise SystemExit(f"bench: {side} did not start")

    def read(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the worker ended; see --verbose"}
        if "error" in answer:
            raise SystemExit(f"bench: {self.side}: {answer['error']}")
        return answer

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.read()["value"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def sync_latency(folder):
    """Microseconds of a 100 byte append and fdatasync: median and 99th percentile."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(300):
            begin = time.perf_counter()
            os.write(file.fileno(), b"x" * 100)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1e6)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.99)]


def measure(side, load, seconds, verbose):
    one = Worker(side, load, verbose)
    try:
        out = {}
        rate = CPU_RATE_DNSMASQ if side == "dnsmasq" else CPU_RATE
        first = one.ask("clients", "new", rate, 4 if side == "dnsmasq" else 5000 / rate)
        out["cpu"], out["parts"] = first["cpu"], first["parts"]
        if side != "dnsmasq":
            for _ in range(5):
                one.ask("clients", "new", 2 * rate, 10000 / (2 * rate))
            out["cpu_full"] = one.ask("clients", "new", rate, 5000 / rate)["cpu"]
        out["renew"] = one.ask("best", "renew", seconds)
        out["new"] = one.ask("best", "new", seconds)
        return out
    finally:
        one.end()


def report(case, results, value, unit, more_is_better):
    ours = value(results["ours"])
    for peer in SIDES[1:]:
        if peer in results and value(results[peer]):
            theirs = value(results[peer])
            ratio = ours / theirs if more_is_better else theirs / ours
            print(f"RESULT name=dhcp case={case} peer={peer} ratio={ratio:.2f} ours={ours:.1f} theirs={theirs:.1f} unit={unit}")


def measure_scale(folder):
    program = pathlib.Path(folder) / "dhcp_scale"
    subprocess.run(["c++", "-std=c++23", "-O2", "-I", start.TOP, "-o", program, pathlib.Path(__file__).with_name("dhcp_scale.cpp"),
                    "-L", start.BUILD, "-lbascule_dhcp", "-lbascule_kernel", "-lbascule_base", "-lfmt"], check=True)
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="bench-scale.", dir=start.TOP / "build") as leases:
            done = subprocess.run([program, start.BUILD / "bascule-netsvc", leases, "1000", "100000"], check=True,
                                  stdout=subprocess.PIPE)
        runs.append(json.loads(done.stdout))
        print(f"scale    {runs[-1]}", flush=True)
        if runs[-1]["leases"] != 100000:
            raise SystemExit("bench: the service did not tell of every lease")
    pss, took = max(run["pss_kib"] for run in runs), min(run["ms"] for run in runs)
    print(f"RESULT name=dhcp case=scale-memory peer=aim ratio={65536 / pss:.2f} ours={pss} theirs=65536 unit=KiB")
    print(f"RESULT name=dhcp case=scale-restart peer=aim ratio={1000 / took:.2f} ours={took:.0f} theirs=1000 unit=ms")


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(*sys.argv[2:5])
    parser = argparse.ArgumentParser(prog="./bench dhcp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=(*SIDES, "scale"))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bascule-bench.")
    try:
        if options.only in (None, "scale"):
            measure_scale(folder)
        if options.only == "scale":
            return 0
        load = pathlib.Path(folder) / "dhcp_load"
        subprocess.run(["c++", "-std=c++20", "-O2", "-o", load, pathlib.Path(__file__).with_name("dhcp_load.cpp")], check=True)
        median, tail = sync_latency(start.TOP / "build")
        print(f"fdatasync of 100 bytes where the lease files are: median {median:.0f} us, 99th percentile {tail:.0f} us")
        results = {}
        for side in SIDES:
            if options.only in (None, side):
                results[side] = measure(side, load, options.seconds, options.verbose)
                one = results[side]
                print(f"{side:8} new {one['new']['rate']}/s {one['new']['tried']}\n         renew {one['renew']['rate']}/s {one['renew']['tried']}\n"
                      f"         {one['cpu']:.1f} us an exchange {one['parts']}" + (f", {one['cpu_full']:.1f} us after 55,000 leases" if "cpu_full" in one else ""), flush=True)
    finally:
        shutil.rmtree(folder)
    if "ours" in results:
        report("new-clients", results, lambda one: one["new"]["rate"], "exchanges/s", True)
        report("renewals", results, lambda one: one["renew"]["rate"], "exchanges/s", True)
        report("cpu-per-exchange", results, lambda one: one["cpu"], "us", False)
        ours = results["ours"]
        print(f"RESULT name=dhcp case=flat-60000 peer=self ratio={ours['cpu'] / ours['cpu_full']:.2f} ours={ours['cpu_full']:.1f} "
              f"theirs={ours['cpu']:.1f} unit=us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
