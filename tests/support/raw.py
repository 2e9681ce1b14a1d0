# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames by hand, from the namespace that a process is in."""

import ctypes
import os
import socket

EVERYONE = "ff:ff:ff:ff:ff:ff"
CLONE_NEWNET = 0x40000000


def packet_socket(pid):
    """A socket stays in the namespace that it was made in."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, open(f"/proc/{pid}/ns/net", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to the namespace of {pid}")
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind(("eth0", 0))
        if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns back")
    return sock
