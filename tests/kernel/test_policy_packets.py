# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's policy between two throwaway hosts on one wire: what a neighbour gets through to it, over IPv4 and IPv6."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from .support.forked import Process
from .support.host import FAMILIES, Host
from .support.wire import wait_for_addresses

SERVER = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}
CLIENT = {"ipv4": "192.0.2.2", "ipv6": "2001:db8::2"}

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
TALK = """
import socket, sys
with socket.create_connection(("{to}", {port}), 3) as connection:
    for line in sys.stdin:
        connection.sendall(line.encode())
        print(connection.recv(100).decode(), end="", flush=True)
"""
CONNECT = """
import socket
try:
    socket.create_connection(("{to}", {port}), 0.7).close()
    print("accepted")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silence")
"""
# One TCP segment with these flags, from a raw socket.
SEGMENT = """
import socket, struct
def total(data):
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff
def segment(checksum):
    return struct.pack("!HHIIBBHHH", 50000, {port}, 1, 1, 5 << 4, {flags}, 1000, checksum, 0)
addresses = socket.inet_aton("{source}") + socket.inet_aton("{to}")
checksum = total(addresses + struct.pack("!BBH", 0, 6, 20) + segment(0))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sender:
    sender.sendto(segment(checksum), ("{to}", 0))
"""
# The kernel writes ICMPv6's checksum itself; 0xf7ff less its identifier is that of an ICMP echo-request.
# Another identifier is another connection to conntrack.
PING = """
import select, socket
kind, protocol, reply = {{4: (8, socket.IPPROTO_ICMP, 0), 6: (128, socket.IPPROTO_ICMPV6, 129)}}[{version}]
family = socket.AF_INET if {version} == 4 else socket.AF_INET6
with socket.socket(family, socket.SOCK_RAW, protocol) as wire:
    wire.sendto(bytes([kind, 0, 0xf7, 0xff - {ident}, 0, {ident}, 0, 0]), ("{to}", 0))
    while select.select([wire], [], [], 0.7)[0]:
        data = wire.recv(100)
        if data[20 if {version} == 4 else 0] == reply:
            print("answered")
            break
"""


@pytest.fixture
def client(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a neighbour of `host` on its eth0."""
    neighbour = new_host()
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire0", "netns", str(neighbour.pid))
    for member, interface, addresses in ((host, "eth0", SERVER), (neighbour, "wire0", CLIENT)):
        member.run("ip", "address", "add", addresses["ipv4"] + "/24", "dev", interface)
        member.run("ip", "address", "add", addresses["ipv6"] + "/64", "dev", interface, "nodad")
        member.run("ip", "link", "set", interface, "up")
    for member, interface in ((host, "eth0"), (neighbour, "wire0")):
        wait_for_addresses(member, interface)
    return neighbour


@contextmanager
def listening(host: Host, *ports: int) -> Iterator[None]:
    with ExitStack() as stack:
        for port in ports:
            server = stack.enter_context(host.start(sys.executable, "-c", ECHO.format(port=port)))
            stack.callback(server.kill)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        yield


def connect(client: Host, family: str, port: int) -> str:
    return client.run(sys.executable, "-c", CONNECT.format(to=SERVER[family], port=port)).stdout.strip()


def accepting(client: Host, family: str, ports: Sequence[int]) -> set[int]:
    """Try all the ports at once: silence takes its time."""
    with ExitStack() as stack:
        code = {port: CONNECT.format(to=SERVER[family], port=port) for port in ports}
        tries = {port: stack.enter_context(client.start(sys.executable, "-c", code[port])) for port in ports}
        return {port for port, process in tries.items() if process.communicate()[0] == "accepted\n"}


def send_segment(client: Host, port: int, flags: int) -> None:
    code = SEGMENT.format(source=CLIENT["ipv4"], to=SERVER["ipv4"], port=port, flags=flags)
    client.run(sys.executable, "-c", code)


def say(talk: Process, word: str) -> str:
    assert talk.stdin is not None
    assert talk.stdout is not None
    talk.stdin.write(word + "\n")
    talk.stdin.flush()
    return talk.stdout.readline().strip()


def apply(host: Host, **policy: Any) -> None:
    host.apply(tables=compile_policy("server", policy).tables)


def hits(host: Host, comment: str, family: str = "ipv4") -> int:
    """Count the packets that the rule with this comment has met."""
    (line,) = [x for x in host.save(family, counters=True).splitlines() if f'"{comment}"' in x or f"--comment {comment} " in x]
    return int(line[1 : line.index(":")])


@pytest.mark.parametrize("family", FAMILIES)
def test_services_answer_and_nothing_else_does(host: Host, client: Host, family: str) -> None:
    with listening(host, 22, 23, 443, 3306, 8080, 8081):
        assert connect(client, family, 23) == "accepted"
        apply(
            host,
            services={
                "https": {},
                "ident": {"action": "reject"},
                "mysql": {"from": [CLIENT[family], "203.0.113.0/24", "2001:db8:1::/48"]},
                "elsewhere": {"ports": 8080, "from": ["203.0.113.0/24", "2001:db8:1::/48"]},
                "other_wire": {"ports": 8081, "interfaces": "eth1"},
            },
        )
        answers = {port: connect(client, family, port) for port in (22, 443, 3306, 113, 23, 8080, 8081)}
    assert answers == {
        22: "accepted",
        443: "accepted",
        3306: "accepted",
        113: "refused",
        23: "silence",
        8080: "silence",
        8081: "silence",
    }
    assert hits(host, "firewall_logging", family) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_connection_that_conntrack_knows_lives_on(host: Host, client: Host, family: str) -> None:
    host.iptables("-t", "mangle", "-A", "PREROUTING", "-m", "conntrack", "--ctstate", "NEW", family=family)
    with listening(host, 9999), client.start(sys.executable, "-c", TALK.format(to=SERVER[family], port=9999)) as talk:
        assert say(talk, "before") == "before"
        apply(host)
        assert connect(client, family, 9999) == "silence"
        assert say(talk, "after") == "after"
        talk.kill()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_neighbour_is_found_again(host: Host, client: Host, family: str) -> None:
    apply(host)
    with listening(host, 22):
        for _time in range(2):
            assert connect(client, family, 22) == "accepted"
            host.run("ip", "neighbour", "flush", "all")
            client.run("ip", "neighbour", "flush", "all")


def test_only_a_syn_opens_a_service(host: Host, client: Host) -> None:
    apply(host, services={"https": {}})
    with listening(host, 443):
        for flags in (0x10, 0x11, 0x14, 0x00, 0x29):
            send_segment(client, 443, flags)
        assert hits(host, "firewall_services.https") == 0
        send_segment(client, 443, 0x02)
        assert hits(host, "firewall_services.https") == 1


def test_management_gets_in_whatever_the_rest_says(host: Host, client: Host) -> None:
    apply(
        host,
        management={"from": [CLIENT["ipv4"]], "port": 2222},
        services={"closed": {"ports": 2222, "action": "drop"}, "ssh": {"state": "absent"}},
    )
    with listening(host, 2222):
        assert connect(client, "ipv4", 2222) == "accepted"
        assert connect(client, "ipv6", 2222) == "silence"
        assert hits(host, "firewall_management") > 0


ELSEWHERE = ["203.0.113.0/24", "2001:db8:1::/48"]
#: What the services say, which port is managed from where, and which of the ports then answer on the closed fallback.
FALLBACKS: dict[str, tuple[dict[str, Any], dict[str, Any], set[int]]] = {
    "nothing set": ({}, {}, {22}),
    "ssh elsewhere": ({"ssh": {"ports": 2222}}, {}, {2222}),
    "ssh for others": ({"ssh": {"from": ELSEWHERE}}, {}, set()),
    "refused to this client": ({"bad": {"ports": 22, "from": [*CLIENT.values()], "action": "drop"}}, {}, set()),
    "by another name": ({"ssh": {"state": "absent"}, "jump": {"ports": "20-2222"}}, {}, {22}),
    "not offered": ({"ssh": {"state": "absent"}}, {}, set()),
    "management": ({"ssh": {}}, {"from": [*CLIENT.values()], "port": 2222}, {2222}),
    "management of others": ({"ssh": {}}, {"from": ELSEWHERE}, set()),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_the_closed_fallback_lets_in_management_and_nothing_else(host: Host, client: Host, name: str) -> None:
    services, management, expected = FALLBACKS[name]
    ports = (22, 23, 443, 2222)
    policy = {"services": {"https": {}, "web": {"ports": [23, 443]}, **services}, "management": management}
    with listening(host, *ports):
        assert accepting(client, "ipv4", ports) == set(ports)
        host.apply(tables=compile_policy("server", policy).fallback)
        for family in FAMILIES:
            assert accepting(client, family, ports) == expected
    for family in FAMILIES:
        assert not pings(client, family, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_on_the_closed_fallback_connections_live_on_and_neighbours_are_found(host: Host, client: Host, family: str) -> None:
    host.iptables("-t", "mangle", "-A", "PREROUTING", "-m", "conntrack", "--ctstate", "NEW", family=family)
    with listening(host, 22, 9999), client.start(sys.executable, "-c", TALK.format(to=SERVER[family], port=9999)) as talk:
        assert say(talk, "before") == "before"
        host.apply(tables=compile_policy("server", {}).fallback)
        assert connect(client, family, 9999) == "silence"
        for member in (host, client):
            member.run("ip", "neighbour", "flush", "all")
        assert say(talk, "after") == "after"
        assert connect(client, family, 22) == "accepted"
        talk.kill()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reject_at_the_end_says_no(host: Host, client: Host, family: str) -> None:
    apply(host, final="reject")
    assert connect(client, family, 23) == "refused"


@pytest.mark.parametrize("family", FAMILIES)
def test_ping_is_answered_unless_it_is_left_out(host: Host, client: Host, family: str) -> None:
    apply(host)
    assert pings(client, family, 1)
    apply(host, icmp={"types": ["destination-unreachable"]})
    assert not pings(client, family, 2)


def pings(client: Host, family: str, ident: int) -> bool:
    code = PING.format(to=SERVER[family], version=family[-1], ident=ident)
    return client.run(sys.executable, "-c", code).stdout == "answered\n"
