#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds docs/status.tsv to the tests: a row that says "works" names a test, the test exists, and, when the results of
this run are there (BASCULE_RESULTS), it passed. A row that says "partial" and names a test is held to the same.

In a run of everything (BASCULE_RESULTS_COMPLETE=1) a test without a result counts as one that did not pass. A skip
counts as passed only for a reason that tests/skips.txt accepts.
"""

import fnmatch
import os
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "support"))
import runner  # noqa: E402  (its folder had to be named first)

STATES = {"works", "partial", "refused", "later"}
CASE = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)


def program_of(source):
    """tests/kernel/linux/x_test.cpp -> netns_kernel_linux; see tests/CMakeLists.txt."""
    folder = str(source.parent.relative_to(TOP / "tests"))
    return ("netns_" if folder == "kernel/linux" else "unit_") + folder.replace("/", "_")


def gtest_names():
    for source in TOP.glob("tests/**/*_test.cpp"):
        for suite, case in CASE.findall(source.read_text(encoding="utf-8")):
            yield f"{program_of(source)}:{suite}.{case}"
    # Suites that several programs include live in headers (the kernel's conformance suite).
    for header in TOP.glob("tests/**/*.h"):
        for suite, case in CASE.findall(header.read_text(encoding="utf-8")):
            for program in ("unit_kernel", "netns_kernel_linux"):
                yield f"{program}:{suite}.{case}"


def plain(test):
    """unit_x:Instance/Suite.Case/3 -> unit_x:Suite.Case, what a row can name."""
    program, colon, case = test.partition(":")
    if not colon:
        return test
    suite, _, name = case.partition(".")
    return f"{program}:{suite.split('/')[-1] if '/' in suite else suite}.{name.split('/')[0]}"


def check_row(test, names, results, complete, skips):
    """An error text, or None."""
    if "/" in test and ":" not in test:
        path = TOP / test
        if not path.is_file() or not os.access(path, os.X_OK):
            return f"its test {test} does not exist (or is not executable)"
    elif not fnmatch.filter(names, test):
        return f"no test is called {test}"
    found = {name: row for name, row in results.items() if fnmatch.fnmatch(plain(name), test)}
    if not found:
        return f"its test {test} was not run" if complete else None
    for name, (state, _, note) in found.items():
        if state == "failed" or (state == "skipped" and not runner.is_allowed(name, note, skips)):
            return f"its test {name} {'failed' if state == 'failed' else 'was skipped: ' + note}"
    return None


def main():
    names, errors, seen = sorted(set(gtest_names())), [], {}
    results = runner.read(os.environ.get("BASCULE_RESULTS", ""))
    complete = os.environ.get("BASCULE_RESULTS_COMPLETE") == "1"
    skips, counts = runner.allowed_skips(), dict.fromkeys(sorted(STATES), 0)
    table = TOP / "docs" / "status.tsv"
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        where = f"docs/status.tsv:{number}"
        if len(fields) != 4:
            errors.append(f"{where}: {len(fields)} columns instead of id, state, test, note")
            continue
        row, state, test, _ = fields
        if row in seen:
            errors.append(f"{where}: {row} is in line {seen[row]} already")
        seen[row] = number
        if state not in STATES:
            errors.append(f"{where}: {row}: state '{state}' is none of {', '.join(sorted(STATES))}")
            continue
        counts[state] += 1
        if test == "-":
            if state == "works":
                errors.append(f"{where}: {row} says works and names no test")
        elif state in ("works", "partial", "refused"):
            error = check_row(test, names, results, complete, skips)
            if error:
                errors.append(f"{where}: {row} says {state}, but {error}")
    for error in errors:
        print(f"FAILED: {error}")
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
