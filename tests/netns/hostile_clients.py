#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile_clients.py SOCKET DAEMON-PID

Attacks the daemon from processes of their own, one kind after the other and then all at once, while another client
measures how long its calls take and new ones connect. Status 1 when they take too long, or the daemon holds too much.
"""

import pathlib
import resource
import select
import socket
import statistics
import subprocess
import sys
import time

import wire
from wire import Client, string, u32

HOSTNAME, LIST_NETWORKS = 59, 283
POOL_BY_NAME, CREATE_VOLUME, VOLUME_BY_NAME, UPLOAD = 84, 93, 95, 208
MOST = 0.5  # seconds that a call may take at worst; usually it is a few hundred microseconds
MEMORY = 400  # MiB that the daemon may hold more than before, while all attack


def connections(path):
    """As many as it gets of ten thousand."""
    kept = []
    for _ in range(10000):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:  # the backlog is full: that is one way of being turned away
            client.close()
            time.sleep(0.001)
            continue
        kept.append(client)
    yield
    while True:  # whoever was turned away comes again
        time.sleep(0.01)
        for index, client in enumerate(kept[:50]):
            client.close()
            kept[index] = socket.socket(socket.AF_UNIX)
            kept[index].setblocking(False)
            try:
                kept[index].connect(path)
            except BlockingIOError:
                pass


def slow(path):
    """Opened like any other, and then a call that comes a byte a second."""
    clients = [Client(path).open() for _ in range(200)]
    call = wire.packet(HOSTNAME)
    yield
    for byte in call:
        for client in clients:
            client.socket.sendall(bytes([byte]))
        time.sleep(1)
    for client in clients:
        client.receive()


def large(path):
    """Packets of 32 MiB, announced by all and sent as far as anybody takes them."""
    clients = [Client(path).open() for _ in range(40)]
    head = wire.packet(HOSTNAME, length=33554436)
    for client in clients:
        client.socket.sendall(head)
        client.socket.setblocking(False)
    yield
    chunk = bytes(1 << 16)
    while clients:
        for client in list(clients):
            try:
                client.socket.send(chunk)
            except BlockingIOError:
                pass
            except OSError:
                clients.remove(client)  # dropped, as it should be
        time.sleep(0.001)


def unread(path):
    """Calls with large replies, as many as go in, and no reply ever read."""
    clients = [Client(path).open() for _ in range(100)]
    calls = wire.packet(LIST_NETWORKS, u32(1) + u32(0)) * 100
    for client in clients:
        client.socket.setblocking(False)
    yield
    while clients:
        for client in list(clients):
            try:
                client.socket.send(calls)
            except BlockingIOError:
                pass
            except OSError:
                clients.remove(client)
        time.sleep(0.01)


def deaf(path):
    """Listens for every event and reads none, while another makes as many as it can."""
    listeners = [Client(path).open() for _ in range(50)]
    for client in listeners:
        client.good(313, u32(0) + u32(0))
    actor, number = Client(path).open(), 0
    yield
    while True:
        reader = actor.good(41, string(f"<network><name>deaf{number}</name><bridge name='deaf{number}'/></network>"))
        name, uuid = reader.string(), reader.take(16)
        actor.good(49, string(name) + uuid)
        number += 1


def crumbs(path):
    """Uploads to volumes, in pieces of a byte and in holes of one: far more pieces than any disk takes."""
    clients, pieces = [Client(path).open() for _ in range(8)], []
    reader = clients[0].good(POOL_BY_NAME, string("default"))
    pool = string(reader.string()) + reader.take(16)
    for index, client in enumerate(clients):
        xml = f"<volume><name>crumbs{index}</name><capacity>1000000000</capacity><allocation>0</allocation></volume>"
        try:
            reader = client.good(CREATE_VOLUME, pool + string(xml) + u32(0))
        except RuntimeError:  # it is left of the attack before
            reader = client.good(VOLUME_BY_NAME, pool + string(f"crumbs{index}"))
        volume = b"".join(string(reader.string()) for _ in range(3))
        serial = client.send(UPLOAD, volume + wire.u64(0) + wire.u64(0) + u32(1))
        client.reply_to(serial)
        pieces.append((wire.packet(UPLOAD, b"a", kind=wire.STREAM, serial=serial, status=wire.CONTINUE) +
                       wire.packet(UPLOAD, wire.u64(1) + u32(0), kind=wire.HOLE, serial=serial, status=wire.CONTINUE)) * 500)
        client.socket.setblocking(False)
    yield
    left = list(pieces)
    while True:
        for index, client in enumerate(clients):
            try:
                left[index] = left[index][client.socket.send(left[index]):] or pieces[index]
            except BlockingIOError:
                pass
        time.sleep(0.001)


ATTACKS = {attack.__name__: attack for attack in (connections, slow, large, unread, deaf, crumbs)}


def attack(kind, path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = ATTACKS[kind](path)
    next(running)
    print("ready", flush=True)
    for _ in running:
        pass
    time.sleep(3600)


def weight(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def measure(client, path, seconds):
    """How long calls of a client take that is connected, and of one that comes anew."""
    calls, handshakes, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(20):
            begin = time.perf_counter()
            client.good(HOSTNAME)
            calls.append(time.perf_counter() - begin)
            time.sleep(0.002)
        begin = time.perf_counter()
        newcomer = Client(path).open()
        newcomer.good(HOSTNAME)
        newcomer.close()
        handshakes.append(time.perf_counter() - begin)
    return calls, handshakes


def say(what, calls, handshakes, memory):
    worst = sorted(calls)[int(len(calls) * 0.99)]
    print(f"{what:12} call {statistics.median(calls) * 1e3:7.3f} ms, 99th {worst * 1e3:7.3f}, worst {max(calls) * 1e3:7.3f};"
          f" new client {statistics.median(handshakes) * 1e3:7.3f}, worst {max(handshakes) * 1e3:7.3f}; {memory:6.1f} MiB", flush=True)
    return worst


def main():
    path, daemon = sys.argv[1], int(sys.argv[2])
    client = Client(path).open()
    say("in peace", *measure(client, path, 2), weight(daemon))
    before, open_before, failed = weight(daemon), descriptors(daemon), False
    for kinds in [[kind] for kind in ATTACKS] + [list(ATTACKS)]:
        attackers = [subprocess.Popen([sys.executable, __file__, "--attack", kind, path], stdout=subprocess.PIPE) for kind in kinds]
        try:
            for one in attackers:
                if not select.select([one.stdout], [], [], 60)[0] or one.stdout.readline() != b"ready\n":
                    print(f"{kinds}: the attack did not get under way")
                    failed = True
            calls, handshakes = measure(client, path, 4)
            memory = weight(daemon)
            worst = say("all of them" if len(kinds) > 1 else kinds[0], calls, handshakes, memory)
            failed |= worst > MOST or statistics.median(handshakes) > MOST or memory > before + MEMORY
        finally:
            for one in attackers:
                one.kill()
                one.wait()
    end = time.monotonic() + 20
    while descriptors(daemon) > open_before and time.monotonic() < end:
        time.sleep(0.05)
    print(f"afterwards {descriptors(daemon)} descriptors ({open_before} before), {weight(daemon):.1f} MiB ({before:.1f} before)")
    failed |= descriptors(daemon) > open_before
    say("in peace", *measure(client, path, 1), weight(daemon))
    sys.exit(1 if failed else 0)


if sys.argv[1] == "--attack":
    attack(sys.argv[2], sys.argv[3])
else:
    main()
