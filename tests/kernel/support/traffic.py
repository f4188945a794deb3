# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets on a throwaway host's loopback. It judges nothing; tests read the counters."""
from __future__ import annotations

import subprocess
import sys

from .host import Host

LISTEN = """
import socket
server = socket.create_server(("", {port}), reuse_port=True)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""
CONNECT = """
import socket
try:
    socket.create_connection(("{to}", {port}), 2, ("{source}", 0)).close()
    print("accepted")
except OSError:
    print("refused")
"""
SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range({count}):
        sender.sendto(b"palisade", ("127.0.0.1", {port}))
"""


def listen(host: Host, port: int) -> subprocess.Popen[str]:
    """Start a TCP server on the host; the caller kills it."""
    server = host.start(sys.executable, "-c", LISTEN.format(port=port))
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def connects(host: Host, port: int, *, source: str, to: str = "127.0.0.1") -> bool:
    """Tell whether a new TCP connection on loopback comes about."""
    return host.run(sys.executable, "-c", CONNECT.format(to=to, port=port, source=source)).stdout == "accepted\n"


def send(host: Host, port: int, count: int) -> None:
    """Send UDP datagrams of 36 bytes over loopback."""
    host.run(sys.executable, "-c", SEND.format(port=port, count=count))
