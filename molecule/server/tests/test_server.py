# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as their peer meets them who has several addresses. The numbers in the names are rows of docs/sources.md."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    OPEN,
    SILENCE,
    Visit,
    how,
    machine,
    segments,
    visit,
)
from testinfra.host import Host

NETWORKS = {"ipv4": "198.51.100.", "ipv6": "2001:db8:51::"}
HOSTS = {"bookworm": 2, "trixie": 3}
SYN, ACK = 2, 16


@pytest.fixture(params=HOSTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    return NETWORKS[request.param]


@pytest.fixture
def address(name: str, network: str) -> str:
    """Give the server's address."""
    return f"{network}{HOSTS[name]}"


@pytest.fixture
def stranger(network: str) -> str:
    """Give an address of the peer that no list of the policy names."""
    return f"{network}50"


@pytest.fixture
def listed(network: str) -> str:
    """Give the address of the peer that the policy names."""
    return f"{network}51"


@pytest.fixture(scope="module")
def peer() -> Host:
    return machine("peer")


def test_row_0_5_each_port_is_open_and_any_other_silent(peer: Host, address: str) -> None:
    wanted = {80: OPEN, 139: OPEN, 445: OPEN, 873: OPEN, 16384: OPEN, 3306: SILENCE, 8080: SILENCE}
    assert dict(zip(wanted, how(peer, *(Visit(address, port) for port in wanted)))) == wanted


def test_row_0_5_a_syn_is_answered_and_an_ack_without_a_connection_is_not(peer: Host, address: str, stranger: str) -> None:
    sent = [Visit(address, 80, stranger, source_port=4001 + number, flags=flags) for number, flags in enumerate((SYN, ACK, SYN | ACK))]
    assert segments(peer, *sent) == ["SYN ACK", SILENCE, SILENCE]


def test_row_0_6_a_range_of_udp_ports(peer: Host, address: str) -> None:
    assert how(peer, *(Visit(address, port, protocol="udp") for port in (137, 138, 139))) == [OPEN, OPEN, SILENCE]


def test_row_1_5_one_address_and_one_network_may_and_others_may_not(peer: Host, address: str, network: str) -> None:
    wanted = {51: OPEN, 70: OPEN, 50: SILENCE}
    assert dict(zip(wanted, how(peer, *(Visit(address, 3306, f"{network}{last}") for last in wanted)))) == wanted


def test_row_0_3_answers_come_in_to_the_port_that_asked(name: str, peer: Host, address: str, stranger: str) -> None:
    """And to no other: the very same segment without the connection is not let in."""
    met = visit(machine(name), Visit(stranger, 80, address, source_port=5000))[0]
    assert (met.how, met.seen) == (OPEN, address)
    assert segments(peer, Visit(address, 5001, stranger, source_port=80, flags=SYN | ACK)) == [SILENCE]
