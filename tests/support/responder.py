#!/usr/bin/python3 -IS
# SPDX-License-Identifier: GPL-2.0-or-later
"""responder.py SOCKET [--time SECONDS] COMMAND…

Runs a command on the other side of a channel, where guest/responder.c listens, prints its output and ends with its
status; 124 when its time is up (60 seconds unless told), 125 when nobody answers. The words of the command are
joined by spaces for the shell there, as ssh does.

Few imports and no site packages: under emulation each costs tenths of a second, and tests call this often.
"""
import os
import socket
import sys
import time

OUT_OF_TIME = 124
NO_RESPONDER = 125
PATIENCE = 30  # beyond the command's own time: a guest that boots, or one that is still busy with another command


class NoResponder(Exception):
    """Nobody answers on the channel."""


class Responder:
    """One channel, connected anew for each command: QEMU serves one connection at a time."""

    def __init__(self, path, patience=PATIENCE):
        self.path = path
        self.patience = patience

    def run(self, command, seconds=60):
        """Returns (status, output bytes); NoResponder when there is no answer."""
        if "\n" in command or "\0" in command:
            raise ValueError("a command is one line")
        name = os.urandom(16).hex()
        deadline = time.monotonic() + seconds + self.patience
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            try:
                channel.settimeout(max(deadline - time.monotonic(), 0.01))
                channel.connect(self.path)
                # The empty line ends what a client before us may have left unfinished.
                channel.sendall(f"\n{name} {max(int(seconds), 1)} {command}\n".encode())
            except OSError as error:
                raise NoResponder(f"{self.path}: {error.strerror or error}") from error
            return self._answer(channel, name.encode(), deadline)

    def _answer(self, channel, name, deadline):
        """What is still on its way to a client before us comes first; our name is not in it."""
        seen = bytearray()
        while True:
            start = seen.find(name + b" ")
            end = seen.find(b"\n", start) if start >= 0 else -1
            if end >= 0:
                status, length = (int(word) for word in seen[start + len(name):end].split())
                if len(seen) - end > length:
                    return status, bytes(seen[end + 1:end + 1 + length])
            elif start < 0:
                del seen[:-len(name)]
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoResponder(f"{self.path}: no answer in time")
            channel.settimeout(left)
            try:
                got = channel.recv(65536)
            except OSError as error:
                raise NoResponder(f"{self.path}: no answer in time ({error})") from error
            if not got:
                raise NoResponder(f"{self.path}: closed before the answer came")
            seen += got


def main(words):
    seconds = 60
    if len(words) < 2:
        sys.exit(__doc__)
    path, words = words[0], words[1:]
    if words[0] == "--time":
        seconds, words = int(words[1]), words[2:]
    if not words:
        sys.exit(__doc__)
    try:
        status, output = Responder(path).run(" ".join(words), seconds)
    except NoResponder as error:
        print(f"responder: {error}", file=sys.stderr)
        return NO_RESPONDER
    sys.stdout.buffer.write(output)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
