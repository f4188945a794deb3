# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packets on a throwaway host's loopback. It judges nothing; tests read the counters."""
from __future__ import annotations

import sys

from .forked import Process
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
SEND_FROM = """
import socket, sys
for line in sys.stdin:
    source, count = line.split()
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if family == socket.AF_INET6:
            sender.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        sender.bind((source, 0))
        for _ in range(int(count)):
            sender.sendto(b"palisade", ("::1" if ":" in source else "127.0.0.1", 9))
"""
LOCAL_SOURCES = {"ipv4": ("-4", "192.0.0.0/16"), "ipv6": ("-6", "2001:db8::/32")}
DATAGRAM = {"ipv4": 36, "ipv6": 56}
TALK = """
import itertools, socket, time
for port in itertools.cycle(range(20000, 60000)):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", port))
        sender.sendto(b"palisade", ("127.0.0.1", {port}))
    if port == 20000:
        print("ready", flush=True)
    time.sleep(0.0005)
"""


def talk(host: Host, port: int) -> Process:
    """Start to send UDP datagrams over loopback without end, each a connection of its own; the caller kills it."""
    return _started(host.start(sys.executable, "-c", TALK.format(port=port)))


def _started(process: Process) -> Process:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def listen(host: Host, port: int) -> Process:
    """Start a TCP server on the host; the caller kills it."""
    return _started(host.start(sys.executable, "-c", LISTEN.format(port=port)))


def connects(host: Host, port: int, *, source: str, to: str = "127.0.0.1") -> bool:
    """Tell whether a new TCP connection on loopback comes about."""
    return host.run(sys.executable, "-c", CONNECT.format(to=to, port=port, source=source)).stdout == "accepted\n"


def send(host: Host, port: int, count: int) -> None:
    """Send UDP datagrams of 36 bytes over loopback."""
    host.run(sys.executable, "-c", SEND.format(port=port, count=count))


def send_from(host: Host, family: str, counts: dict[str, int]) -> None:
    """Send UDP datagrams over loopback from as many addresses as asked for, each so often; DATAGRAM is their size."""
    version, network = LOCAL_SOURCES[family]
    host.run("ip", version, "route", "replace", "local", network, "dev", "lo")
    lines = "".join(f"{source} {count}\n" for source, count in counts.items())
    host.run(sys.executable, "-c", SEND_FROM, text=lines)
