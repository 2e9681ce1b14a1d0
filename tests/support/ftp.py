#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ftp.py serve: as much of an FTP server as opens data connections where its client says, from port 20.
ftp.py fetch OWN-ADDRESS PEER: says "hello" when such a connection came, else "nothing"."""

import re
import socket
import sys

if sys.argv[1] == "serve":
    server = socket.create_server(("", 21))
    while True:
        control = server.accept()[0]
        for line in control.makefile("rb"):
            if not line.startswith(b"PORT "):
                control.sendall(b"331 go on\r\n")
                continue
            numbers = re.findall(rb"\d+", line)
            data = socket.socket()
            data.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            data.settimeout(2)
            data.bind(("", 20))
            try:
                data.connect((b".".join(numbers[:4]).decode(), int(numbers[4]) * 256 + int(numbers[5])))
                data.sendall(b"hello")
            except OSError:
                pass
            data.close()
_, _, own, peer = sys.argv
control = socket.create_connection((peer, 21), timeout=5)
listener = socket.create_server((own, 0))
listener.settimeout(4)
control.sendall(b"USER nobody\r\n")
control.recv(100)
port = listener.getsockname()[1]
control.sendall(f"PORT {own.replace('.', ',')},{port // 256},{port % 256}\r\n".encode())
try:
    print(listener.accept()[0].recv(5).decode())
except TimeoutError:
    print("nothing")
