#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests in lab hosts (lab_host.py says what those are), and handles single hosts.

  lab.py tests RESULTS [--jobs N] SCRIPT…   runs test scripts; ./test lab is its caller
  lab.py make FOLDER [NEED…]                a new host, e.g. lab.py make /tmp/h mem=4096 igb=1; then boot it
  lab.py boot FOLDER                        starts it (again)
  lab.py shell FOLDER                       a terminal in it
  lab.py run FOLDER [--time SECONDS] COMMAND…
  lab.py cut FOLDER                         a power cut
  lab.py off FOLDER                         power off in order
  lab.py remove FOLDER                      off, and everything of it removed

A test is a script tests/lab/*.sh. Its header says what it needs:

  # lab: igb=1 mem=4096 disk=1     the needs of lab_host.py; hosts=2: two hosts, a and b, joined by a link;
                                   drive=outside: the script runs on the build machine and drives its hosts itself
  # time: 60                       its time limit in seconds

Without drive=outside the script runs in the lab host, in namespaces of its own as netns tests do
(namespaces=host: in the host's). Tests with the same needs share a boot; tests that drive from outside get hosts of
their own, as $BASCULE_LAB/a and $BASCULE_LAB/b, made but not booted (driver.sh has the words for them).

Of a failing test its folder is kept, with the daemon's log, guests' consoles, ruleset and links in it. With
BASCULE_LAB_KEEP=1 the host of the first failing test stays up, and the way in is printed.
"""

import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import runner  # noqa: E402
from lab_host import DEFAULTS, TOP, Host, LabError  # noqa: E402
from responder import NoResponder  # noqa: E402

WORDS = {**DEFAULTS, "hosts": 1, "drive": "inside", "namespaces": "own"}
KEEP = bool(os.environ.get("BASCULE_LAB_KEEP"))


def parse_needs(text, where):
    needs = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if key not in WORDS or not equals:
            raise LabError(f"{where}: '{word}' is not KEY=VALUE with a key of: {' '.join(WORDS)}")
        if isinstance(WORDS[key], int):
            if not value.isdigit():
                raise LabError(f"{where}: '{word}' needs a number")
            needs[key] = int(value)
        else:
            needs[key] = value
    return needs


class Test:
    def __init__(self, path):
        self.path = path
        self.id = str(path.relative_to(TOP))
        head = path.read_text(encoding="utf-8")[:4000]
        found = re.search(r"^# lab:(.*)$", head, re.M)
        self.needs = {**WORDS, **parse_needs(found.group(1) if found else "", self.id)}
        if self.needs["hosts"] == 2:
            self.needs.update(drive="outside", link=1)
        elif self.needs["hosts"] != 1:
            raise LabError(f"{self.id}: hosts={self.needs['hosts']}: 1 or 2")
        self.seconds = runner.time_limit(path)

    def host_needs(self):
        return {key: self.needs[key] for key in DEFAULTS}

    def group(self):
        """Tests of the same group share a boot."""
        return self.id if self.needs["drive"] == "outside" else repr(sorted(self.host_needs().items()))


class Stage:
    def __init__(self, results):
        self.results = results
        # Found out once and here: in a lab host that takes seconds.
        self.guest_image = subprocess.run([TOP / "tests/support/guest_image.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bascule-lab."))
        self.kept = False
        self.lock = threading.Lock()
        self.count = 0
        self.outcomes = {}  # test id -> (test, state, note)

    def new_folder(self):
        with self.lock:
            self.count += 1
            folder = self.folder / str(self.count)
        folder.mkdir()
        return folder

    def finish(self, test, state, note, seconds, folder, output):
        """Records a result; `folder` is what is kept of it when it failed."""
        print(f"{state:8} {seconds:6.1f} s  {test.id}{'  ' + note if note else ''}", flush=True)
        if state == "failed":
            where = runner.keep(folder, output, test.id.replace("/", "-"))
            tail = output.decode(errors="replace").splitlines()[-40:]
            print("\n".join("    | " + line for line in tail) + f"\n    kept: {where}", flush=True)
            note += f" (kept: {where})"
        runner.record(self.results, test.id, state, seconds, note)
        with self.lock:
            self.outcomes[test.id] = (test, state, note)

    def keep_running(self, host):
        with self.lock:
            if not KEEP or self.kept:
                return False
            self.kept = True
        print(f"    the host is kept running: tests/lab/lab.py shell {host.folder}; when done: "
              f"tests/lab/lab.py remove {host.folder}", flush=True)
        return True

    # ── inside ──

    def inside(self, tests):
        host = Host(self.new_folder() / "lab")
        left = list(tests)
        try:
            Host.make(host.folder, "lab", tests[0].host_needs())
            begin = time.monotonic()
            host.boot()
            print(f"lab host up after {time.monotonic() - begin:.1f} s ({len(tests)} tests)", flush=True)
            while left:
                self.run_inside(host, left[0])
                left.pop(0)
        except (LabError, NoResponder, OSError, subprocess.CalledProcessError) as error:
            self.lab_failed(left, host, error)
        if not (self.kept and host.running() and KEEP):
            host.remove()

    def run_inside(self, host, test):
        name = test.path.stem
        out = host.folder / "tests" / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        begin = time.monotonic()
        command = (f"BASCULE_TOP={TOP} BASCULE_BUILD={os.environ.get('BASCULE_BUILD', TOP / 'build/release')} "
                   f"BASCULE_GUEST_IMAGE={shlex.quote(' '.join(self.guest_image.split()))} LAB_NAMESPACES={test.needs['namespaces']} "
                   f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')} UBSAN_OPTIONS={os.environ.get('UBSAN_OPTIONS', '')} "
                   f"{TOP}/tests/lab/host/run_test.sh {test.id} /mnt/out/tests/{name} {test.seconds}")
        status, said = host.run(command, test.seconds + 30)
        output = (out / "output.txt").read_bytes() if (out / "output.txt").exists() else said
        state, note = runner.judge(137 if status == 124 else status, output, out)
        if state == "failed":
            shutil.copy(host.folder / "console.log", out / "lab-console.log")
        self.finish(test, state, note, time.monotonic() - begin, out, output)
        if state == "failed" and self.keep_running(host):
            raise LabError("left running for whoever looks at it; the tests that share its boot were not run")
        shutil.rmtree(out, ignore_errors=True)

    # ── outside ──

    def outside(self, test):
        folder = self.new_folder()
        begin = time.monotonic()
        names = ["a", "b"][:test.needs["hosts"]]
        hosts = [Host(folder / name) for name in names]
        try:
            for index, name in enumerate(names):
                Host.make(folder / name, name, test.host_needs(), folder / names[1 - index] if len(names) == 2 else None)
        except (LabError, OSError, subprocess.CalledProcessError) as error:
            self.lab_failed([test], hosts[0], error)
            return
        work = folder / "test"
        work.mkdir()
        environment = dict(os.environ, BASCULE_TOP=str(TOP), BASCULE_TEST_DIR=str(work), BASCULE_LAB=str(folder), LC_ALL="C.UTF-8")
        with open(work / "output.txt", "wb") as output:
            status = subprocess.run(["timeout", "--signal=KILL", str(test.seconds), str(test.path)], env=environment, cwd=TOP,
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        output = (work / "output.txt").read_bytes()
        for host in hosts:
            if status not in (0, 77) and host.running():
                self.look_around(host)
            self.collect(host, work)
        state, note = runner.judge(status, output, work)
        kept = False
        self.finish(test, state, note, time.monotonic() - begin, work, output)
        for host in hosts:
            kept = kept or (state == "failed" and host.running() and self.keep_running(host))
        for host in hosts if not kept else []:
            host.remove()

    @staticmethod
    def look_around(host):
        """What a test inside leaves when it fails, of a host that was driven from outside and still answers."""
        try:
            host.run("cd /mnt/out; nft -a list ruleset >nft-ruleset 2>&1; ip -d link >ip-link; ip addr >ip-addr; dmesg >dmesg; "
                     "ps axfww >processes; find /mnt/disk /tmp -xdev -name '*.log' -size -8M "
                     "-mmin -$(($(cut -d. -f1 /proc/uptime) / 60 + 2)) -exec cp -t . {} +", 30)
        except NoResponder:
            pass

    @staticmethod
    def collect(host, work):
        target = work / host.folder.name
        target.mkdir(exist_ok=True)
        for file in host.folder.iterdir():
            if file.is_file() and file.suffix != ".img" and file.name != "responder":
                shutil.copy(file, target)

    # ── the whole ──

    def run_group(self, tests):
        """State and note of the last of them."""
        if tests[0].needs["drive"] == "inside":
            self.inside(tests)
        else:
            self.outside(tests[0])
        return self.outcomes[tests[-1].id][1:]

    def lab_failed(self, tests, host, error):
        """A host that does not boot or is lost: that is a failure of every test that was to run in it."""
        for test in tests:
            work = self.new_folder()
            if host.folder.exists():
                self.collect(host, work)
            note = f"FAILED: the lab: {error}"
            self.finish(test, "failed", note.splitlines()[0], 0, work, note.encode())

    def run(self, tests, jobs):
        groups = {}
        for test in tests:
            groups.setdefault(test.group(), []).append(test)
        # The longest first: with two at a time they end together.
        ordered = sorted(groups.values(), key=lambda group: -sum(test.seconds for test in group))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(self.run_group, group) for group in ordered]:
                done.result()
        failed = {name: (test, note) for name, (test, state, note) in self.outcomes.items() if state == "failed"}
        if not KEEP:
            runner.run_again(failed, self.results, lambda test: self.run_group([test]))
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)


def run_tests(results, arguments):
    jobs, files = 1, []
    while arguments:
        word = arguments.pop(0)
        if word == "--jobs":
            jobs = int(arguments.pop(0))
        else:
            files.append(pathlib.Path(word).resolve())
    tests, broken = [], 0
    for file in files:
        try:
            tests.append(Test(file))
        except LabError as error:
            runner.record(results, str(file.relative_to(TOP)), "failed", 0, str(error))
            print(f"failed: {error}", flush=True)
            broken = 1
    Stage(results).run(tests, jobs)
    return broken


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    verb, target, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if verb == "tests":
        return run_tests(target, rest)
    host = Host(target)
    if verb == "make":
        Host.make(target, pathlib.Path(target).name, parse_needs(" ".join(rest), "needs"))
    elif not host.folder.is_dir():
        print(f"lab: {target} is no folder of a lab host (lab.py make makes one)", file=sys.stderr)
        return 2
    elif verb == "boot":
        host.boot()
    elif verb == "shell":
        host.shell()
    elif verb == "run":
        seconds = 60
        if rest[:1] == ["--time"]:
            seconds, rest = int(rest[1]), rest[2:]
        status, output = host.run(" ".join(rest), seconds)
        sys.stdout.buffer.write(output)
        return status
    elif verb == "cut":
        host.cut()
    elif verb == "off":
        host.off()
    elif verb == "remove":
        host.remove()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, NoResponder) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        sys.exit(125)
