# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""packet_probe against the truth: real clients and real servers on both sides of a router, and each verdict as they found it.

accept: the connection opens. reject: it is refused at once. drop: nothing answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from .support.forked import Process
from .support.host import FAMILIES, Host
from .test_packets import NAMES, RULES, worded

#: Link addresses beside those that the rules name.
WAN_PEER = {"ipv4": "192.0.2.254", "ipv6": "2001:db8::254"}
LAN_OWN = {"ipv4": "10.1.0.1", "ipv6": "fd01::1"}
LENGTHS = {"ipv4": (24, 16, 32), "ipv6": (64, 64, 128)}
ANYWHERE = {"ipv4": "0.0.0.0/0", "ipv6": "::/0"}

SERVE = """
import json, select, socket, sys
sockets = []
for protocol, address, port in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, port))
    if protocol == "tcp":
        one.listen(50)
    sockets.append(one)
print("ready", flush=True)
while True:
    for one in select.select(sockets, [], [])[0]:
        if one.type == socket.SOCK_STREAM:
            one.accept()[0].close()
        else:
            one.sendto(b"answer", one.recvfrom(100)[1])
"""
ASK = """
import json, os, socket, sys
from concurrent.futures import ThreadPoolExecutor
import encodings.idna
def ask(question):
    protocol, source, source_port, destination, port = question
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as one:
        one.settimeout(2.5)  # Over veth an ICMPv6 error is back before connect() would take it: only the second SYN, a second later, is refused.
        one.bind((source, source_port))
        try:
            one.connect((destination, port))
            if protocol == "udp":
                try:
                    one.send(b"question")
                except PermissionError:
                    pass  # dropped on the way out; a REJECT says so by an error that comes in
                one.recv(100)
            return "accept"
        except ConnectionRefusedError:
            return "reject"
        except OSError:
            return "drop"
os.setuid(int(sys.argv[1]))
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(ask, json.loads(sys.stdin.read())))))
"""
#: Who asks (wan, lan, or the router itself as a user), protocol, source, its port or 0, destination, port.
QUESTIONS: list[tuple[str, str, str, int, str, int]] = [
    *(("wan", "tcp", source, 0, "ME", 22) for source in ("OFFICE", "BAD", "ELSE", "FAR")),
    *(("wan", "tcp", "FAR", 0, "ME", port) for port in (80, 443, 444, 113, 8080, 9000, 9001, 9002, 9003, 4444, 4445, 7000, 3128)),
    *(("wan", "tcp", "FAR", 0, "ME", port) for port in (8088, 8089)),
    ("wan", "tcp", "SPOOF", 0, "ME", 80),
    ("wan", "tcp", "FAR", 20, "ME", 5000),
    ("wan", "tcp", "FAR", 0, "ME", 5000),
    *(("wan", "udp", "FAR", 0, "ME", port) for port in (53, 123)),
    *(("wan", "tcp", "FAR", 0, "SERVER", port) for port in (80, 22, 4446)),
    *(("wan", "tcp", "FAR", 0, "LAN", port) for port in (80, 22)),
    ("wan", "udp", "FAR", 0, "SERVER", 53),
    *(("lan", "tcp", "LAN", 0, "ME", port) for port in (22, 80, 81, 444, 113, 3128, 8088)),
    *(("lan", "udp", "LAN", 0, "ME", port) for port in (53, 54)),
    *(("lan", "tcp", "LAN", 0, "FAR", port) for port in (80, 4446, 25)),
    *(("lan", "udp", "LAN", 0, "FAR", port) for port in (53, 1900, 5060)),
    *(("0", "tcp", "ME", 0, "FAR", port) for port in (443, 25)),
    *(("0", "udp", "ME", 0, "FAR", port) for port in (53, 1900)),
    *(("0", "udp", "ME", 0, "HOLE", port) for port in (53, 54)),
    ("0", "tcp", "ME", 0, "HOLE", 443),
    ("33", "tcp", "ME", 0, "FAR", 443),
    ("33", "udp", "ME", 0, "FAR", 53),
    ("34", "tcp", "ME", 0, "FAR", 443),
]


@pytest.fixture
def sides(host: Host, new_host: Callable[[], Host]) -> dict[str, Host]:
    """Put the router of test_packets between a host on its wan0 and one on its lan0, which have all the other addresses."""
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.ip_nonlocal_bind"):
        host.run("sysctl", "-qw", f"{key}=1")
    found = {"wan": new_host(), "lan": new_host()}
    for name, other in found.items():
        # Without ARP a packet goes to the sender's own Ethernet address. The rules let no neighbour discovery through.
        same = ["address", "02:00:00:00:00:77"]
        host.run("ip", "link", "add", f"{name}0", *same, "type", "veth", "peer", "name", "up0", *same, "netns", str(other.pid))
        for member, link in ((host, f"{name}0"), (other, "up0")):
            member.run("ip", "link", "set", link, "arp", "off", "up")
    for family in FAMILIES:
        names, (wan, lan, single) = NAMES[family], LENGTHS[family]
        _addresses(host, "wan0", f"{names['ME']}/{wan}")
        _addresses(host, "lan0", f"{LAN_OWN[family]}/{lan}")
        outside = [f"{names[name]}/{single}" for name in ("OFFICE", "BAD", "ELSE", "FAR", "SPOOF", "HOLE")]
        _addresses(found["wan"], "up0", f"{WAN_PEER[family]}/{wan}", *outside)
        _addresses(found["lan"], "up0", *(f"{names[name]}/{lan}" for name in ("LAN", "SERVER")))
        host.run("ip", "route", "add", ANYWHERE[family], "via", WAN_PEER[family])
        found["wan"].run("ip", "route", "add", ANYWHERE[family], "via", names["ME"])
        found["lan"].run("ip", "route", "add", ANYWHERE[family], "via", LAN_OWN[family])
        host.restore(worded(family, RULES), family=family)
    return found


def _addresses(member: Host, interface: str, *addresses: str) -> None:
    for address in addresses:
        member.run("ip", "address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))


def answers(router: Host, sides: dict[str, Host], family: str) -> list[str]:
    """Ask every question for real."""
    names = NAMES[family]
    ports = sorted({(protocol, port) for _who, protocol, *_rest, port in QUESTIONS} | {("tcp", 89)})
    found: dict[int, str] = {}
    with ExitStack() as stack:
        for member, here in ((sides["wan"], ("FAR", "HOLE")), (sides["lan"], ("LAN", "SERVER")), (router, ("ME", LAN_OWN[family]))):
            places = [(protocol, names.get(name, name), port) for name in here for protocol, port in ports]
            server = stack.enter_context(member.start(sys.executable, "-c", SERVE, json.dumps(places)))
            stack.callback(server.kill)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        running = [(numbers, _asked(sides.get(who, router), who, family, numbers)) for who, numbers in _by_who().items()]
        for numbers, process in running:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            found.update(zip(numbers, json.loads(output), strict=True))
    return [found[number] for number in range(len(QUESTIONS))]


def _by_who() -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for number, (who, *_rest) in enumerate(QUESTIONS):
        groups.setdefault(who, []).append(number)
    return groups


def _asked(member: Host, who: str, family: str, numbers: list[int]) -> Process:
    names = NAMES[family]
    questions = [[protocol, names[source], port, names[destination], to]
                 for _who, protocol, source, port, destination, to in (QUESTIONS[number] for number in numbers)]
    process = member.start(sys.executable, "-c", ASK, who if who.isdigit() else "0")
    assert process.stdin is not None
    process.stdin.write(json.dumps(questions))
    process.stdin.close()
    process.stdin = None
    return process


def flow_of(question: tuple[str, str, str, int, str, int], family: str) -> dict[str, Any]:
    who, protocol, source, source_port, destination, port = question
    names = NAMES[family]
    flow: dict[str, Any] = {"protocol": protocol, "source": names[source], "destination": names[destination], "port": port}
    flow.update({"hook": "output", "uid": who} if who.isdigit() else {"in_interface": f"{who}0"})
    return {**flow, "source_port": source_port} if source_port else flow


@pytest.mark.parametrize("family", FAMILIES)
def test_each_verdict_is_what_real_clients_find(host: Host, sides: dict[str, Host], family: str) -> None:
    result = host.probe(flows=[flow_of(question, family) for question in QUESTIONS])
    assert not result.failed, result.message
    probed = [one["verdict"] for one in result.data["flows"]]
    truth = answers(host, sides, family)
    differing = [(question, one, other) for question, one, other in zip(QUESTIONS, probed, truth, strict=True) if one != other]
    assert differing == [], "question, probed, truth"
    assert set(truth) == {"accept", "reject", "drop"}
    assert all(one["assumed"] == [] for one in result.data["flows"])
