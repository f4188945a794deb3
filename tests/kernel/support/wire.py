# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cable between two throwaway hosts, and what one tries with the other over it. It holds no test logic."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from .host import Host

#: The addresses at the ends of the cable: of the host's eth0 and of its neighbour.
OWN = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}
NEIGHBOUR = {"ipv4": "192.0.2.2", "ipv6": "2001:db8::2"}

ECHO = """
import socket, threading
def answer(connection):
    while data := connection.recv(100):
        connection.sendall(data)
server = socket.create_server(("", {port}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""
# A user other than root may not be able to read what Python would load later.
CONNECT = """
import encodings.idna, os, socket
os.setuid({uid})
try:
    socket.create_connection(("{to}", {port}), 0.7).close()
    print("accepted")
except (ConnectionRefusedError, PermissionError):
    print("refused")
except OSError:
    print("silence")
"""
# The answer says which port it was that has been reached.
ASK = """
import socket
with socket.socket(socket.{family}, socket.SOCK_DGRAM) as asker:
    asker.settimeout(0.7)
    try:
        asker.connect(("{to}", {port}))
        asker.send(b"?")
        print(asker.recv(100).decode())
    except ConnectionRefusedError:
        print("refused")
    except PermissionError:
        print("not let out")
    except OSError:
        print("silence")
"""
ANSWER = """
import socket
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
    server.bind(("", {port}))
    print("ready", flush=True)
    while True:
        question, who = server.recvfrom(100)
        server.sendto(b"{port}", who)
"""
# The kernel writes ICMPv6's checksum itself; 0xf7ff is that of an ICMP echo-request without identifier, sequence and data.
PING = """
import select, socket
kind, protocol, reply = {{"AF_INET": (8, socket.IPPROTO_ICMP, 0), "AF_INET6": (128, socket.IPPROTO_ICMPV6, 129)}}["{family}"]
with socket.socket(socket.{family}, socket.SOCK_RAW, protocol) as wire:
    try:
        wire.sendto(bytes([kind, 0, 0xf7, 0xff, 0, 0, 0, 0]), ("{to}", 0))
    except PermissionError:
        pass
    while select.select([wire], [], [], 0.7)[0]:
        data = wire.recv(100)
        if data[20 if "{family}" == "AF_INET" else 0] == reply:
            print("answered")
            break
"""
FAMILY = {"ipv4": "AF_INET", "ipv6": "AF_INET6"}


def cable(
    host: Host, neighbour: Host, interface: str = "eth0", own: Mapping[str, str] | None = None, there: Mapping[str, str] | None = None
) -> None:
    """Connect two hosts: an interface of `host`, and wire0 of its neighbour."""
    host.run("ip", "link", "add", interface, "type", "veth", "peer", "name", "wire0", "netns", str(neighbour.pid))
    for member, name, addresses in ((host, interface, own or OWN), (neighbour, "wire0", there or NEIGHBOUR)):
        # A router asks for its neighbours from its link-local address, and would wait until nobody else has shown up with it.
        member.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0")
        member.run("ip", "address", "add", addresses["ipv4"] + "/24", "dev", name)
        member.run("ip", "address", "add", addresses["ipv6"] + "/64", "dev", name, "nodad")
        member.run("ip", "link", "set", name, "up")
    for member, name in ((host, interface), (neighbour, "wire0")):
        wait_for_addresses(member, name)


def wait_for_addresses(host: Host, interface: str) -> None:
    """Wait until an interface can be asked for both its IPv6 addresses: the kernel listens for that in its own time, and who asks too early
    asks again after a second."""
    host.run("sh", "-euc", f"until [ $(grep -c ' {interface} *ff0200000000000000000001ff' /proc/net/igmp6) = 2 ]; do sleep 0.02; done")


@contextmanager
def listening(host: Host, *ports: int) -> Iterator[None]:
    """TCP servers that answer with what they are told."""
    with running(host, *(ECHO.format(port=port) for port in ports)):
        yield


@contextmanager
def answering(host: Host, *ports: int) -> Iterator[None]:
    """UDP servers that answer with their port."""
    with running(host, *(ANSWER.format(port=port) for port in ports)):
        yield


@contextmanager
def running(host: Host, *programs: str) -> Iterator[None]:
    """Python programs that say when they are ready."""
    with ExitStack() as stack:
        for program in programs:
            server = stack.enter_context(host.start(sys.executable, "-c", program))
            stack.callback(server.kill)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n", server.communicate()[1]
        yield


def connect(host: Host, to: str, port: int, uid: int = 0) -> str:
    """Try a new TCP connection: accepted, refused or silence."""
    return host.run(sys.executable, "-c", CONNECT.format(to=to, port=port, uid=uid)).stdout.strip()


def connects(host: Host, to: str, *ports: int) -> dict[int, str]:
    """Try several ports at once: silence takes its time."""
    with ExitStack() as stack:
        tries = {port: stack.enter_context(host.start(sys.executable, "-c", CONNECT.format(to=to, port=port, uid=0))) for port in ports}
        return {port: process.communicate()[0].strip() for port, process in tries.items()}


def ask(host: Host, family: str, to: str, port: int) -> str:
    """Send a UDP question and return the answer, or: refused, silence, not let out."""
    return host.run(sys.executable, "-c", ASK.format(family=FAMILY[family], to=to, port=port)).stdout.strip()


def pings(host: Host, family: str, to: str) -> bool:
    """Tell whether an echo-request is answered."""
    return host.run(sys.executable, "-c", PING.format(family=FAMILY[family], to=to)).stdout == "answered\n"


def flush_neighbours(*hosts: Host) -> None:
    """Forget who has which address on the wire, as time would."""
    for host in hosts:
        host.run("ip", "neighbour", "flush", "all")
