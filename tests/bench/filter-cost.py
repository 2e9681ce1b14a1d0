#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench filter-cost: what a frame costs from tap to tap, with and without clean-traffic, beside the bare bridge and ebtables.

Thread processor time for one frame written into a tap (tap_load.cpp), so neither a busy machine nor the reader counts.
All in one namespace and turn by turn: bare, ours at N ports, bare again; the ratio is of the medians of such turns.

  sender-N  the sender has clean-traffic, as have N-1 other ports     both-N  the receiver, too
  ebtables  the same filter by Debian's libvirtd, one port and a hundred

Options: --rounds N (7), --frames N (20000), --peer-ports N (100; 0: without libvirtd).
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import start  # the other benchmark: devices, frames, daemons

HERE = pathlib.Path(__file__).resolve().parent
PEER_MAC, PEER_IP = "52:54:00:be:00:02", "10.213.0.11"


def binding(name, mac, address, number):
    return f"""<filterbinding>
  <owner><name>{name}</name><uuid>b5c0ffee-0000-4000-8000-{number:012x}</uuid></owner>
  <portdev name='{name}'/>
  <mac address='{mac}'/>
  <filterref filter='clean-traffic'><parameter name='IP' value='{address}'/></filterref>
</filterbinding>"""


class Cost:
    def __init__(self, root, frames):
        self.frames, self.load = frames, f"{root}/tap_load"
        subprocess.run(["c++", "-O2", "-std=c++20", "-o", self.load, str(HERE / "tap_load.cpp")], check=True)
        # The bare bridge is in a namespace where nobody has rules: hooks are a namespace's.
        self.elsewhere = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        time.sleep(0.5)
        self.there = ["nsenter", f"--net=/proc/{self.elsewhere.pid}/ns/net"]
        for place in ([], self.there):
            for name in ("benchbr type bridge", "benchtap0", "benchtap1"):
                words = ["link", "add", *name.split()] if "bridge" in name else ["tuntap", "add", name, "mode", "tap"]
                subprocess.run([*place, "ip", *words], check=True)
            subprocess.run([*place, "ip", "link", "set", "benchbr", "up"], check=True)
            # Bridged frames stay with the bridge: else they meet the IP layer's rules and connection tracking, too, of
            # whatever network the daemon runs (br_netfilter), which is no filter's cost.
            for knob in ("iptables", "ip6tables", "arptables"):
                subprocess.run([*place, "sysctl", "-qw", f"net.bridge.bridge-nf-call-{knob}=0"], check=False, stderr=subprocess.DEVNULL)
            for name in ("benchtap0", "benchtap1"):
                subprocess.run([*place, "ip", "link", "set", name, "master", "benchbr", "up"], check=True)
                subprocess.run([*place, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"], check=True)
            subprocess.run([*place, "bridge", "fdb", "replace", PEER_MAC, "dev", "benchtap1", "master", "static"], check=True)
        frame = start.udp_frame(start.CLIENT_MAC, start.CLIENT_IP, PEER_IP, 4000, 4000, b"x" * 22)
        self.frame = (start.mac(PEER_MAC) + frame[6:]).hex()

    def once(self, bare=False):
        got = subprocess.run([*(self.there if bare else []), self.load, "benchtap0", "benchtap1", self.frame, str(self.frames)], capture_output=True, text=True, check=False)
        if got.returncode != 0:
            raise SystemExit(f"bench: frames were lost: {got.stdout}{got.stderr}")
        return float(got.stdout.split()[0])


def dummies(first, end):
    subprocess.run(["ip", "-batch", "-"], check=True, text=True,
                   input="".join(f"tuntap add bp{n} mode tap\n" for n in range(first, end)))


def bind_others(connection, first, end):
    for n in range(first, end):
        connection.nwfilterBindingCreateXML(binding(f"bp{n}", f"52:54:01:00:{n >> 8:02x}:{n & 255:02x}", f"10.214.{n >> 8}.{n & 255}", n + 10))


def worker(root, options):
    import libvirt

    libvirt.registerErrorHandler(lambda context, error: None, None)
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    cost = Cost(root, options.frames)
    daemon, path = start.start_ours(root)
    ours = start.connect(libvirt, daemon, path)
    results = {}

    def turns(case, bind):
        """Medians of bare bridge and with `bind`, taken in turns."""
        bare, filtered = [], []
        for _ in range(options.rounds):
            bare.append(cost.once(True))
            bound = bind()
            filtered.append(cost.once())
            for one in bound:
                one.delete()
        results[case] = (statistics.median(filtered), statistics.median(bare))

    ends = [binding("benchtap0", start.CLIENT_MAC, start.CLIENT_IP, 1), binding("benchtap1", PEER_MAC, PEER_IP, 2)]
    made = 0
    for count in (1, 10, 100, 1000):
        dummies(made, count - 1)
        bind_others(ours, made, count - 1)
        made = count - 1
        turns(f"sender-{count}", lambda: [ours.nwfilterBindingCreateXML(ends[0])])
        turns(f"both-{count}", lambda: [ours.nwfilterBindingCreateXML(xml) for xml in ends])
    ours.close()
    daemon.terminate()
    daemon.wait()
    start.shell("nft flush ruleset")
    theirs = {}
    if options.peer_ports and shutil.which("libvirtd"):
        daemon, path = start.start_theirs(root)
        connection = start.connect(libvirt, daemon, path)
        bare = statistics.median(cost.once(True) for _ in range(options.rounds))
        connection.nwfilterBindingCreateXML(ends[0])
        theirs["sender-1"] = (statistics.median(cost.once() for _ in range(options.rounds)), bare)
        if options.peer_ports > 1:
            bind_others(connection, 0, options.peer_ports - 1)
            theirs[f"sender-{options.peer_ports}"] = (statistics.median(cost.once() for _ in range(options.rounds)), bare)
        daemon.terminate()
    for case, (value, bare) in results.items():
        print(f"{case:12} {value:6.0f} ns, bare bridge {bare:6.0f} ns: {value / bare:.2f} times")
        print(f"RESULT name=filter-cost case={case} peer=bare-bridge ratio={bare / value:.3f} ours={value:.1f} theirs={bare:.1f} unit=ns")
    for kind in ("sender", "both"):
        one, many = results[f"{kind}-1"], results[f"{kind}-1000"]
        print(f"{kind}: 1000 ports cost {many[0] / many[1] / (one[0] / one[1]):.3f} times what one costs")
    for case, (value, bare) in theirs.items():
        mine = results.get(case, results["sender-100"])[0]
        print(f"{case:12} {value:6.0f} ns with ebtables, bare {bare:6.0f} ns: {value / bare:.2f} times")
        print(f"RESULT name=filter-cost case={case} peer=ebtables ratio={value / mine:.2f} ours={mine:.1f} theirs={value:.1f} unit=ns")


def main():
    parser = argparse.ArgumentParser(prog="./bench filter-cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--peer-ports", type=int, default=100)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker, options)
    root = tempfile.mkdtemp(prefix="bascule-bench-cost.")
    os.chmod(root, 0o755)
    try:
        return subprocess.run([*start.NAMESPACES, "/usr/bin/python3", __file__, *sys.argv[1:], "--worker", root], check=False).returncode
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
