#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs script tests, collects results of all kinds, adds them up. ./test is its caller.

  runner.py scripts RESULTS [--jobs N] [--host] SCRIPT…   run scripts, each in namespaces of its own (--host: not)
  runner.py gtest RESULTS JUNIT XML_FOLDER                take over a ctest run with its GoogleTest reports
  runner.py record RESULTS ID STATE SECONDS [NOTE]        add one result
  runner.py summary RESULTS                               print failures, skips and the last line; status 1 if any failed

RESULTS is a table of tab-separated lines: id, state (passed, failed, skipped), seconds, note. Ids are
"unit_base:Suite.Case" for GoogleTest cases and the path for scripts.

A script passes with status 0, is skipped with 77 (the last line that begins with "SKIPPED:" is the reason), fails
with anything else, when its time is up ("# time: SECONDS" in its head; default 120), or when a sanitizer complained
in a log of its folder. It finds $BASCULE_TEST_DIR empty; what is there after a failure is kept.

Scripts run side by side, and a loaded machine can hold one up past its limits. What failed is therefore run once more,
alone, when the others are done; what passes then is counted as passed and named as "unsteady" in the summary, and its
first failure is kept. When more than a few fail, nothing is run again: that is no accident.

With CI=true a skip counts as a failure unless tests/skips.txt has a pattern for it.
"""

import concurrent.futures
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

TOP = pathlib.Path(__file__).resolve().parents[2]
MOST_RUN_AGAIN = 3
UNSTEADY = "passed at the second try; the first: "
SANITIZER = re.compile(rb"ERROR: \w+Sanitizer|runtime error: |SUMMARY: \w+Sanitizer")


def record(results, test, state, seconds, note=""):
    note = re.sub(r"\s+", " ", note).strip()[:300]
    with open(results, "a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(f"{test}\t{state}\t{seconds:.2f}\t{note}\n")


def read(results):
    """id -> (state, seconds, note); of several results for one id the last counts."""
    rows = {}
    if not os.path.exists(results):
        return rows
    for line in open(results, encoding="utf-8"):
        if line.startswith("#") or not line.strip():
            continue
        test, state, seconds, note = (line.rstrip("\n").split("\t") + [""] * 3)[:4]
        rows[test] = (state, float(seconds or 0), note)
    return rows


# ── scripts ──────────────────────────────────────────────────────────────────────────────────────────────────


def time_limit(script):
    found = re.search(r"^# time: (\d+)", script.read_text(encoding="utf-8")[:4000], re.M)
    return int(found.group(1)) if found else 120


def judge(status, output, folder):
    for log in folder.rglob("*.log"):
        if log.is_file() and SANITIZER.search(log.read_bytes()):
            return "failed", f"a sanitizer complained in {log.name}"
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    if status == 0:
        return "passed", ""
    if status == 77:
        reasons = [line.split(":", 1)[1] for line in lines if line.startswith("SKIPPED:")]
        return "skipped", reasons[-1] if reasons else "no reason given"
    if status in (-9, 137):
        return "failed", "its time was up"
    return "failed", next((line for line in reversed(lines) if "FAILED" in line), lines[-1] if lines else f"status {status}")


def keep(folder, output, name):
    kept = TOP / "build" / "test-failures" / name
    shutil.rmtree(kept, ignore_errors=True)

    def skip_special(directory, names):
        return [n for n in names if not os.path.isdir(os.path.join(directory, n)) and not os.path.isfile(os.path.join(directory, n))]

    shutil.copytree(folder, kept, ignore=skip_special, symlinks=True)
    (kept / "output.txt").write_bytes(output)
    return kept.relative_to(TOP)


def run_script(script, in_namespace, results):
    test = str(script.relative_to(TOP))
    name = test.replace("/", "-")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bascule-test."))
    folder.chmod(0o755)  # guests' QEMU runs as another user
    environment = dict(os.environ, BASCULE_TOP=str(TOP), BASCULE_TEST_DIR=str(folder), LC_ALL="C.UTF-8")
    limit = time_limit(script)
    command = [str(script)]
    if in_namespace:
        command = [str(TOP / "tests/support/in_namespace.sh"), "--time", str(limit)] + command
    else:
        command = ["timeout", "--signal=KILL", str(limit)] + command
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output_file:
        # A file, not a pipe: a process that outlives its script would keep a pipe open and us waiting.
        status = subprocess.run(command, env=environment, cwd=TOP, stdin=subprocess.DEVNULL, stdout=output_file,
                                stderr=subprocess.STDOUT, check=False).returncode
        output_file.seek(0)
        output = output_file.read()
    seconds = time.monotonic() - begin
    state, note = judge(status, output, folder)
    print(f"{state:8} {seconds:6.1f} s  {test}{'  ' + note if note else ''}", flush=True)
    if state == "failed":
        where = keep(folder, output, name)
        tail = output.decode(errors="replace").splitlines()[-40:]
        print("\n".join("    | " + line for line in tail) + f"\n    kept: {where}", flush=True)
        note += f" (kept: {where})"
    shutil.rmtree(folder, ignore_errors=True)
    record(results, test, state, seconds, note)
    return state, note


def run_again(failed, results, run):
    """failed: test id -> (what `run` takes, the note of its failure). run(it) -> (state, note), recorded."""
    if len(failed) > MOST_RUN_AGAIN:
        return
    for test, (it, first) in failed.items():
        kept = TOP / "build" / "test-failures" / test.replace("/", "-")
        if kept.exists():
            shutil.rmtree(f"{kept}.first", ignore_errors=True)
            kept.rename(f"{kept}.first")
        begin = time.monotonic()
        if run(it)[0] == "passed":
            record(results, test, "passed", time.monotonic() - begin, UNSTEADY + first.replace(kept.name, kept.name + ".first"))


def scripts(results, arguments):
    jobs, in_namespace, files = 1, True, []
    while arguments:
        word = arguments.pop(0)
        if word == "--jobs":
            jobs = int(arguments.pop(0))
        elif word == "--host":
            in_namespace = False
        else:
            files.append(pathlib.Path(word).resolve())
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        outcomes = [(file, pool.submit(run_script, file, in_namespace, results)) for file in files]
        done = [(file, *outcome.result()) for file, outcome in outcomes]
    failed = {str(file.relative_to(TOP)): (file, note) for file, state, note in done if state == "failed"}
    if in_namespace:
        run_again(failed, results, lambda file: run_script(file, in_namespace, results))


# ── GoogleTest through ctest ─────────────────────────────────────────────────────────────────────────────────


def gtest(results, junit, folder):
    for program in ElementTree.parse(junit).getroot().iter("testcase"):
        name, seconds = program.get("name"), float(program.get("time", 0))
        bad = program.get("status") == "fail" or program.find("failure") is not None
        report = pathlib.Path(folder) / (name + ".xml")
        failures = 0
        if report.exists():
            for case in ElementTree.parse(report).getroot().iter("testcase"):
                test = f"{name}:{case.get('classname')}.{case.get('name')}"
                took = float(case.get("time", 0))
                failure, skipped = case.find("failure"), case.find("skipped")
                if failure is not None:
                    failures += 1
                    record(results, test, "failed", took, failure.get("message", ""))
                elif skipped is not None or case.get("result") == "skipped":
                    reason = skipped.get("message", "") if skipped is not None else ""
                    # "file.cpp:12\nreason": the place says nothing to a reader of the summary.
                    record(results, test, "skipped", took, re.sub(r"^\S+:\d+\s+", "", reason) or "no reason given")
                else:
                    record(results, test, "passed", took)
        if program.get("status") == "notrun" or program.find("skipped") is not None:
            record(results, name, "failed", seconds, "was not run: " + (program.get("message") or "see the build"))
        elif bad and not failures:
            record(results, name, "failed", seconds, "the program ended badly (crash, sanitizer or time)")
        elif not report.exists():
            record(results, name, "passed", seconds)


# ── adding up ────────────────────────────────────────────────────────────────────────────────────────────────


def allowed_skips():
    path = TOP / "tests" / "skips.txt"
    if not path.exists():
        return []
    lines = (line.split(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def is_allowed(test, note, patterns):
    return any(pattern.search(f"{test}: {note}") for pattern in patterns)


def summary(results):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    strict = os.environ.get("CI") == "true"
    patterns = allowed_skips()
    for test, (state, _, note) in read(results).items():
        if state == "skipped":
            if strict and not is_allowed(test, note, patterns):
                state, note = "failed", f"skipped ({note}), which tests/skips.txt does not allow in CI"
            else:
                print(f"skipped: {test}: {note}")
        if state == "failed":
            print(f"FAILED: {test}: {note}")
        if note.startswith(UNSTEADY):
            print(f"unsteady: {test}: {note}")
        counts[state] += 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    verb, results, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if verb == "scripts":
        scripts(results, rest)
    elif verb == "gtest" and len(rest) == 2:
        gtest(results, *rest)
    elif verb == "record" and len(rest) >= 3:
        record(results, rest[0], rest[1], float(rest[2]), " ".join(rest[3:]))
    elif verb == "summary":
        return summary(results)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
