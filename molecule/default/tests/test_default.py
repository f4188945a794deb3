# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server as its neighbour meets it, and as its own iptables shows it. Only reads, but for one ban that is lifted again."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import testinfra
from testinfra.host import Host

INSTANCE = os.environ.get("PALISADE_INSTANCE", "local")
IPTABLES = {"ipv4": "iptables", "ipv6": "ip6tables"}

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except socket.timeout:
    print("silence")
except ConnectionRefusedError:
    print("refused")
else:
    print("open")
"""


@pytest.fixture(scope="module")
def server() -> Host:
    return testinfra.get_host(f"docker://server-{INSTANCE}")


@pytest.fixture(scope="module")
def peer() -> Host:
    return testinfra.get_host(f"docker://peer-{INSTANCE}")


@pytest.fixture(params=sorted(IPTABLES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def rules(server: Host, family: str, chain: str) -> list[str]:
    """Return a chain of the filter table as the host's own iptables lists it."""
    return server.check_output(f"{IPTABLES[family]} -w -t filter -S {chain}").splitlines()


def address(host: Host, family: str) -> str:
    """Return the host's address on the wire between the two; for IPv6 the one that needs no configuration."""
    scope = "-4 addr show dev eth0 scope global" if family == "ipv4" else "-6 addr show dev eth0 scope link"
    words = host.check_output(f"ip -o {scope}").split()
    return words[3].split("/")[0]


def connect(peer: Host, server: Host, family: str, port: int) -> str:
    """Return what a new connection from the peer meets: open, refused or silence."""
    zone = "%eth0" if family == "ipv6" else ""
    return peer.check_output("python3 -c %s %s %s", CONNECT, address(server, family) + zone, str(port)).strip()


def test_the_default_is_to_drop(server: Host, family: str) -> None:
    assert rules(server, family, "INPUT")[0] == "-P INPUT DROP"


def test_our_jump_is_the_last_rule_of_input(server: Host, family: str) -> None:
    assert "-j palisade-INPUT" in rules(server, family, "INPUT")[-1]


def test_what_fail2ban_made_is_there_and_first(server: Host, family: str) -> None:
    assert rules(server, family, "INPUT")[1] == "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd"
    assert rules(server, family, "f2b-sshd") == ["-N f2b-sshd", "-A f2b-sshd -j RETURN"]


@pytest.mark.parametrize("port", [22, 443])
def test_offered_services_have_a_rule_in_our_chain(server: Host, family: str, port: int) -> None:
    ours = [rule for rule in rules(server, family, "palisade-INPUT") if f"--dport {port} " in rule]
    assert ours
    assert all(rule.endswith("-j ACCEPT") for rule in ours)


def test_sources_are_kept_to_their_family(server: Host, family: str) -> None:
    ours = [rule for rule in rules(server, family, "palisade-INPUT") if "--dport 873 " in rule]
    assert [rule.split()[3] for rule in ours] == [{"ipv4": "192.0.2.0/24", "ipv6": "2001:db8::/32"}[family]]


def test_nothing_of_a_rehearsal_is_left(server: Host, family: str) -> None:
    assert "palisade~" not in server.check_output(f"{IPTABLES[family]}-save")


@pytest.mark.parametrize("port", [22, 443])
def test_an_offered_port_is_open(server: Host, peer: Host, family: str, port: int) -> None:
    assert connect(peer, server, family, port) == "open"


@pytest.mark.parametrize("port", [8080, 873])
def test_any_other_port_is_silent(server: Host, peer: Host, family: str, port: int) -> None:
    assert connect(peer, server, family, port) == "silence"


def test_ping_is_answered(server: Host, peer: Host, family: str) -> None:
    zone = "%eth0" if family == "ipv6" else ""
    assert peer.run(f"ping -c 1 -W 3 {address(server, family)}{zone}").rc == 0


def test_the_server_reaches_others_and_gets_answers(server: Host, peer: Host, family: str) -> None:
    assert connect(server, peer, family, 22) == "open"


@pytest.fixture
def ban(server: Host, peer: Host, family: str) -> Iterator[None]:
    """Have the peer banned, as fail2ban does it."""
    rule = f"f2b-sshd -s {address(peer, family)} -j DROP"
    server.check_output(f"{IPTABLES[family]} -w -I {rule}")
    yield
    server.check_output(f"{IPTABLES[family]} -w -D {rule}")


@pytest.mark.usefixtures("ban")
def test_a_ban_is_met_before_our_rules(server: Host, peer: Host, family: str) -> None:
    assert connect(peer, server, family, 22) == "silence"
    assert connect(peer, server, family, 443) == "open"
