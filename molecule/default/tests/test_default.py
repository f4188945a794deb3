# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as their neighbour meets them, and as their own iptables shows them. Only reads, but for one ban that is lifted again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    FAMILIES,
    SERVERS,
    address,
    connect,
    machine,
    rules,
    saved,
    unit_state,
)
from testinfra.host import Host


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(name: str) -> Host:
    return machine(name)


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def peer() -> Host:
    return machine("peer")


def test_the_rules_are_in_the_backend_that_the_server_is_on(name: str, server: Host, family: str) -> None:
    assert [backend for backend in ("nft", "legacy") if ":palisade-INPUT -" in saved(server, backend)[family]] == [SERVERS[name]]


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
    assert "palisade~" not in server.check_output(f"{FAMILIES[family]}-save")


def test_offered_ports_are_open_and_any_other_is_silent(server: Host, peer: Host) -> None:
    wanted = {22: "open", 443: "open", 873: "silence", 8080: "silence"}
    assert connect(peer, server, *wanted) == {(family, port): met for family in FAMILIES for port, met in wanted.items()}


def test_ping_is_answered(server: Host, peer: Host, family: str) -> None:
    assert peer.run(f"ping -c 1 -W 3 {address(server, family)}").rc == 0


def test_the_server_reaches_others_and_gets_answers(server: Host, peer: Host) -> None:
    assert set(connect(server, peer, 22).values()) == {"open"}


@pytest.fixture
def ban(server: Host, peer: Host, family: str) -> Iterator[None]:
    """Have the peer banned, as fail2ban does it."""
    rule = f"f2b-sshd -s {address(peer, family).partition('%')[0]} -j DROP"
    server.check_output(f"{FAMILIES[family]} -w -I {rule}")
    yield
    server.check_output(f"{FAMILIES[family]} -w -D {rule}")


@pytest.mark.usefixtures("ban")
def test_a_ban_is_met_before_our_rules(server: Host, peer: Host, family: str) -> None:
    met = connect(peer, server, 22, 443)
    assert (met[family, 22], met[family, 443]) == ("silence", "open")


def test_the_rules_are_kept_for_the_next_boot(server: Host) -> None:
    folder = server.file("/etc/palisade")
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o700)
    for kind in ("rules", "good", "closed"):
        file = server.file(f"/etc/palisade/palisade.{kind}")
        assert (kind, file.is_file, file.user, file.group, file.mode) == (kind, True, "root", "root", 0o600)


def test_the_unit_is_enabled_and_active(server: Host) -> None:
    state = unit_state(server)
    assert (state["UnitFileState"], state["ActiveState"], state["Result"]) == ("enabled", "active", "success")


def test_the_loader_says_that_live_is_as_persisted(server: Host, family: str) -> None:
    status = server.run("palisade-firewall status")
    assert (status.rc, f"{family}: same as persisted" in status.stdout) == (0, True), status.stdout
