#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""virsh_commands.py run URI FOLDER OUT VIRSH…: runs every line of virsh_commands.tsv and writes what came of each to OUT.
virsh_commands.py table NAME=OUT…: the table for docs/clients.md, and how many work with every client.
"""

import json
import os
import pathlib
import pty
import re
import select
import shlex
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CONSOLE_SECONDS = 60
PATIENCE = 90
# virsh 9.0 ends these with 1 and no word when they went well.
SILENT = {"iface-destroy"}


def lines():
    """Group, command line and remark of each line; and the number that must work."""
    rows, works = [], 0
    for line in (HERE / "virsh_commands.tsv").read_text(encoding="utf-8").splitlines():
        found = re.match(r"# works: (\d+)", line)
        if found:
            works = int(found.group(1))
        elif line and not line.startswith("#"):
            group, command, *remark = line.split("\t")
            rows.append((group, command, remark[0] if remark else ""))
    return rows, works


class Runner:
    def __init__(self, uri, folder, virsh):
        self.uri, self.folder, self.virsh = uri, folder, virsh
        editor = pathlib.Path(folder) / "editor"
        editor.write_text("#!/bin/sh\n# A change that changes nothing.\nsed -i '1s/^/<!-- edited -->/' \"$1\"\n", encoding="ascii")
        editor.chmod(0o755)
        self.environment = dict(os.environ, VISUAL=str(editor), EDITOR=str(editor), LC_ALL="C.UTF-8")

    def call(self, words, seconds=60):
        command = self.virsh + ["-q", "-c", self.uri] + words
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=self.environment, timeout=seconds, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def fill(self, command):
        """DIR, UUID_x and MAC_x with what they stand for."""
        def uuid(found):
            name = found.group(1)
            for kind in ("net-uuid", "pool-uuid", "domuuid"):
                status, out = self.call([kind, name])
                if status == 0:
                    return out.strip()
            return "00000000-0000-0000-0000-000000000000"

        def mac(found):
            out = self.call(["net-dumpxml", found.group(1)])[1]
            address = re.search(r"<mac address='([^']+)'", out)
            return address.group(1) if address else "00:00:00:00:00:00"

        command = re.sub(r"\bUUID_(\w+)", uuid, command)
        command = re.sub(r"\bMAC_(\w+)", mac, command)
        return command.replace("DIR", self.folder)

    def console(self, words):
        """virsh console wants a terminal, and is left by Ctrl-]; what is typed before it has put the terminal into its
        raw mode is thrown away, so it is typed until virsh ends."""
        child, master = pty.fork()
        if child == 0:
            os.execvpe(self.virsh[0], self.virsh + ["-c", self.uri] + words, self.environment)
        said, end = b"", time.monotonic() + CONSOLE_SECONDS
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.2)[0]:
                if b"Escape character" in said:
                    os.write(master, b"\x1d")
                continue
            try:
                got = os.read(master, 4096)
            except OSError:
                break
            if not got:
                break
            said += got
        else:
            os.kill(child, 9)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, said.decode(errors="replace")

    def run(self, command):
        words = shlex.split(self.fill(command))
        return self.console(words) if words[0] == "console" else self.call(words)


def reason(output, folder):
    """The last thing that virsh complained of, without what differs from run to run."""
    errors = [line[len("error: "):] for line in output.splitlines() if line.startswith("error: ")]
    text = errors[-1] if errors else (output.strip().splitlines() or ["nothing was said"])[-1]
    text = text.replace(folder, "DIR")
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", text)


def run(uri, folder, out, virsh):
    runner, results = Runner(uri, folder, virsh), {}
    for group, command, _ in lines()[0]:
        try:
            status, output = runner.run(command)
            end = time.monotonic() + PATIENCE
            while group == "~" and status != 0 and time.monotonic() < end:
                time.sleep(0.5)
                status, output = runner.run(command)
        except subprocess.TimeoutExpired:
            status, output = 124, "error: no answer within a minute"
        name = command.split()[0]
        if status == 1 and name in SILENT and not output.strip():
            status = 0
        if group in "-~":
            if status != 0:
                print(f"preparation: {command}: {reason(output, folder)}")
            continue
        results[name] = "" if status == 0 else reason(output, folder)
        print(f"{'works' if status == 0 else 'fails'}  {command}{'' if status == 0 else ': ' + results[name]}")
    pathlib.Path(out).write_text(json.dumps(results), encoding="utf-8")


def table(outs):
    clients = {name: json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for name, path in outs}
    rows, works = [], 0
    for group, command, remark in lines()[0]:
        if group in "-~":
            continue
        name = command.split()[0]
        said = [client[name] for client in clients.values()]
        works += not remark and not any(said)
        if remark:
            outcome = f"works; {remark}"
        elif not any(said):
            outcome = "works"
        elif len(set(said)) == 1:
            outcome = said[0]
        else:
            outcome = "; ".join(f"{client}: {text or 'works'}" for client, text in zip(clients, said))
        rows.append((name, group, outcome.replace("|", "\\|")))
    counted = len(rows)
    text = f"{works} of {counted} work, with {' and '.join('virsh ' + name for name in clients)}.\n\n"
    text += "| command | group | outcome |\n|---|---|---|\n"
    text += "".join(f"| `{name}` | {group} | {outcome} |\n" for name, group, outcome in rows)
    return text, works


def main():
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "run":
        run(rest[0], rest[1], rest[2], rest[3:])
        return 0
    text, works = table([word.split("=", 1) for word in rest])
    least = lines()[1]
    docs = HERE.parent.parent / "docs" / "clients.md"
    begin, end = "<!-- virsh commands: begin -->\n", "<!-- virsh commands: end -->\n"
    page = docs.read_text(encoding="utf-8")
    head, old, tail = re.split(f"{re.escape(begin)}|{re.escape(end)}", page)
    failed = False
    if old != text:
        if os.environ.get("UPDATE_GOLDEN"):
            docs.write_text(head + begin + text + end + tail, encoding="utf-8")
        else:
            is_new = [line for line in text.splitlines() if line not in old.splitlines()]
            print("docs/clients.md is not current; UPDATE_GOLDEN=1 rewrites it. New:", *is_new, sep="\n  ")
            failed = True
    if works < least:
        print(f"{works} commands work, but {least} worked before")
        failed = True
    elif works > least:
        print(f"{works} commands work: raise the {least} of tests/e2e/virsh_commands.tsv")
        failed = True
    print(f"{works} commands work")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
