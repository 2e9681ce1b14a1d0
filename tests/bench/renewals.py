#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./bench renewals: guests behind clean-traffic with CTRL_IP_LEARNING=dhcp that renew their leases all at once.

Each guest is a tap of its own on a network's bridge; what the server grants it is what its filter lets pass, for as long as the
lease. Their REQUESTs go out one behind the other, without anything sent again:

  renew-N    from the first REQUEST until the last guest has its ACK
  follow-N   until each address in the filters' set is there for the whole new lease
  cpu-N      processor time of the daemon and of bascule-netsvc in that time, for one guest
  bind-N     for one port, of N that are bound one after the other

for N = 10, 100, 1000. Nothing stands beside it: libvirtd reads each port's frames in a thread and calls ebtables for each lease.
A guest whose ACK does not come is an error.

Options: --rounds N (3), --most N of the guests (1000), --verbose.
"""

import argparse
import json
import os
import pathlib
import re
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dhcp
import start  # the other benchmarks: devices, frames, daemons, processor time

SERVER, LEASE, COUNTS = "10.215.0.1", 600, (10, 100, 1000)
NETWORK = f"""<network>
  <name>renewals</name>
  <bridge name='renewbr' stp='off' delay='0'/>
  <ip address='{SERVER}' netmask='255.255.0.0'>
    <dhcp><range start='10.215.1.0' end='10.215.20.255'><lease expiry='{LEASE}' unit='seconds'/></range></dhcp>
  </ip>
</network>"""
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def option(code, data):
    return bytes([code, len(data)]) + data


class Guest:
    def __init__(self, number):
        self.tap = start.Tap(f"rn{number}")
        self.mac = f"52:54:02:00:{number >> 8:02x}:{number & 255:02x}"
        self.address = None
        start.add_port("renewbr", self.tap.name)

    def binding(self):
        return (f"<filterbinding><owner><name>{self.tap.name}</name><uuid>b5c0ffee-0000-4000-8000-{self.mac.replace(':', '')}</uuid></owner>"
                f"<portdev name='{self.tap.name}'/><mac address='{self.mac}'/><filterref filter='clean-traffic'>"
                "<parameter name='CTRL_IP_LEARNING' value='dhcp'/></filterref></filterbinding>")

    def message(self, kind, options, address="0.0.0.0"):
        """From that address of its own; to everybody."""
        octets = bytes(map(int, address.split(".")))
        bootp = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, 0x5eed, 0, 0, octets, bytes(4), bytes(4), bytes(4), start.mac(self.mac))
        text = bootp + bytes(192) + b"\x63\x82\x53\x63" + option(53, bytes([kind])) + options + b"\xff"
        return start.udp_frame(self.mac, address, "255.255.255.255" if address == "0.0.0.0" else SERVER, 68, 67, text.ljust(300, b"\0"))

    def renewal(self, server_mac):
        return start.mac(server_mac) + self.message(REQUEST, b"", self.address)[6:]

    def hear(self):
        """(kind, address) of what the server says; None: something else, or nothing."""
        try:
            frame = os.read(self.tap.fd, 2048)
        except BlockingIOError:
            return None
        if len(frame) < 290 or frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[34:38] != b"\x00\x43\x00\x44" or frame[70:76] != start.mac(self.mac):
            return None
        return frame[284], ".".join(map(str, frame[58:62]))


def gather(guests, kind, seconds=30):
    """Waits until each of them has heard that; returns what they heard."""
    heard, waiting = {}, {guest.tap.fd: guest for guest in guests}
    poll = select.epoll()
    for fd in waiting:
        poll.register(fd, select.EPOLLIN)
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for fd, _ in poll.poll(0.1):
            said = waiting[fd].hear() if fd in waiting else None
            if said and said[0] == kind:
                heard[waiting.pop(fd)] = said[1]
                poll.unregister(fd)
    if waiting:
        raise RuntimeError(f"{len(waiting)} of {len(guests)} guests heard nothing")
    return heard


class Side:
    def __init__(self, root):
        import libvirt

        libvirt.registerErrorHandler(lambda context, error: None, None)
        self.daemon, path = start.start_ours(root)
        self.connection = start.connect(libvirt, self.daemon, path)
        self.connection.networkDefineXML(NETWORK).create()
        self.server_mac = pathlib.Path("/sys/class/net/renewbr/address").read_text(encoding="ascii").strip()
        self.guests = []

    def grow(self, count):
        """So many guests, bound and with leases; milliseconds that a port took."""
        fresh = [Guest(number) for number in range(len(self.guests), count)]
        begin = time.perf_counter()
        for guest in fresh:
            self.connection.nwfilterBindingCreateXML(guest.binding())
        took = (time.perf_counter() - begin) / len(fresh) * 1000
        for at in range(0, len(fresh), 50):
            some = fresh[at:at + 50]
            for guest in some:
                guest.tap.drain()
                guest.tap.send(guest.message(DISCOVER, b""))
            for guest, offered in gather(some, OFFER).items():
                wanted = option(50, bytes(map(int, offered.split(".")))) + option(54, bytes(map(int, SERVER.split("."))))
                guest.tap.send(guest.message(REQUEST, wanted))
            for guest, given in gather(some, ACK).items():
                guest.address = given
        # The kernel knows where they are, as a guest's ARP would have told it.
        subprocess.run(["ip", "-batch", "-"], check=True, text=True,
                       input="".join(f"neigh replace {guest.address} lladdr {guest.mac} dev renewbr nud permanent\n" for guest in fresh))
        self.guests += fresh
        self.until_followed(LEASE - 60)
        return took

    def seconds_left(self):
        """Of each guest's address in the set of its filter."""
        said = subprocess.run(["nft", "list", "set", "bridge", "bascule", "nwf_ip4_IP"], capture_output=True, text=True, check=False).stdout
        left = {}
        for name, address, clock in re.findall(r'"(rn\d+)" \. ([\d.]+) (?:timeout \S+ )?expires (\w+)', said):
            units = dict((unit, int(number)) for number, unit in re.findall(r"(\d+)(ms|[dhms])", clock))
            left[name, address] = units.get("d", 0) * 86400 + units.get("h", 0) * 3600 + units.get("m", 0) * 60 + units.get("s", 0)
        return left

    def until_followed(self, least):
        """Until each has so many seconds left, counted from now."""
        begin = time.monotonic()
        while True:
            passed = time.monotonic() - begin
            left = self.seconds_left()
            short = [guest.tap.name for guest in self.guests if left.get((guest.tap.name, guest.address), 0) + passed < least]
            if not short:
                return
            if passed > 30:
                raise RuntimeError(f"the filters of {len(short)} ports did not follow, as {short[0]}: {list(left.items())[:2]}")

    def ticks(self):
        total = 0
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and (entry / "comm").read_text(encoding="ascii").strip() in ("basculed", "bascule-netsvc"):
                fields = (entry / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total

    def renew(self):
        # So much of the lease is over that its new end can be told from the old.
        time.sleep(4)
        frames = [(guest, guest.renewal(self.server_mac)) for guest in self.guests]
        for guest in self.guests:
            guest.tap.drain()
        before, begin = self.ticks(), time.perf_counter()
        for guest, frame in frames:
            guest.tap.send(frame)
        gather(self.guests, ACK)
        answered = time.perf_counter() - begin
        self.until_followed(LEASE - 2)
        followed = time.perf_counter() - begin
        return {"renew": answered * 1000, "follow": followed * 1000, "cpu": (self.ticks() - before) / dhcp.TICK * 1e6 / len(frames)}


def worker(root, rounds, most):
    start.shell("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up")
    side = Side(root)
    for count in COUNTS:
        if count > most:
            break
        bind = side.grow(count)
        all_rounds = [side.renew() for _ in range(rounds)]
        print(json.dumps({"count": count, "bind": bind, **{key: statistics.median(one[key] for one in all_rounds) for key in all_rounds[0]}}), flush=True)


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(prog="./bench renewals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="bascule-bench-ours.")
    os.chmod(root, 0o755)
    try:
        child = subprocess.Popen([*start.NAMESPACES, "/usr/bin/python3", __file__, "--worker", root, str(options.rounds), str(options.most)],
                                 stdout=subprocess.PIPE, text=True, stderr=None if options.verbose else subprocess.DEVNULL)
        for line in child.stdout:
            said = json.loads(line)
            for case, unit in (("bind", "ms"), ("renew", "ms"), ("follow", "ms"), ("cpu", "us")):
                print(f"RESULT name=renewals case={case}-{said['count']} peer=none ratio=0 ours={said[case]:.2f} theirs=0 unit={unit}", flush=True)
        if child.wait() != 0:
            log = pathlib.Path(root, "basculed.log")
            raise SystemExit("bench: the worker failed; --verbose shows why\n" + (log.read_text(errors="replace")[-2000:] if log.exists() else ""))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
