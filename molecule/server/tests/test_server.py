# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as their peer meets them who has several addresses. The numbers in the names are rows of docs/sources.md."""

from __future__ import annotations

import time

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    OPEN,
    SERVERS,
    SILENCE,
    Talk,
    Visit,
    fetched,
    how,
    machine,
    one_after_the_other,
    play,
    saved,
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


@pytest.fixture(scope="module")
def peer() -> Host:
    return machine("peer")


def test_row_0_5_each_port_is_open_and_any_other_silent(peer: Host, address: str, stranger: str) -> None:
    wanted = {80: OPEN, 139: OPEN, 445: OPEN, 873: OPEN, 16384: OPEN, 3306: SILENCE, 8080: SILENCE}
    assert dict(zip(wanted, how(peer, *(Visit(address, port, stranger) for port in wanted)))) == wanted


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


@pytest.fixture
def forgetful(name: str) -> Host:
    """Give the server with nothing kept of who came before."""
    server = machine(name)
    server.check_output("for list in /proc/net/xt_recent/*; do echo / >$list; done")
    return server


def both(name: str, last: int, port: int, protocol: str = "tcp", seconds: float = 2) -> list[Visit]:
    """Visit the server over both families from the peer's addresses that end so."""
    return [Visit(f"{network}{HOSTS[name]}", port, f"{network}{last}", protocol, seconds) for network in NETWORKS.values()]


def met(peer: Host, *groups: list[Visit]) -> list[tuple[str, ...]]:
    """Make visits over both families, one pair after the other, and return how each pair went."""
    answers = [one.how for one in one_after_the_other(peer, *groups)]
    return list(zip(answers[::2], answers[1::2]))


@pytest.mark.usefixtures("forgetful")
def test_row_1_6_the_fifth_connection_within_a_minute_is_dropped(name: str, peer: Host) -> None:
    """And 1.7: one may come as often as it likes. Nor does a visitor count for another."""
    visits = [both(name, 50, 2222) for _number in range(5)]
    assert met(peer, *visits) == [(OPEN, OPEN)] * 4 + [(SILENCE, SILENCE)]
    assert met(peer, *(both(name, 51, 2222) for _number in range(6)), both(name, 70, 2222)) == [(OPEN, OPEN)] * 7


def knock(name: str, last: int, *ports: int) -> list[list[Visit]]:
    """Knock at these ports, one after the other."""
    return [both(name, last, port, "udp", 0.05) for port in ports]


@pytest.mark.usefixtures("forgetful")
def test_row_3_5_a_port_opens_to_who_knocks_in_the_right_order(name: str, peer: Host) -> None:
    """For a while, and to nobody else."""
    here, neighbour = both(name, 50, 2223), both(name, 51, 2223)
    assert met(peer, here) == [(SILENCE, SILENCE)]
    assert met(peer, *knock(name, 50, 12345, 34567, 23456), here)[-1] == (SILENCE, SILENCE)
    assert met(peer, *knock(name, 50, 12345, 23456, 34567), here, neighbour)[-2:] == [(OPEN, OPEN), (SILENCE, SILENCE)]
    time.sleep(3)
    assert met(peer, here) == [(SILENCE, SILENCE)]


@pytest.mark.usefixtures("forgetful")
def test_row_3_5_a_wrong_knock_begins_anew(name: str, peer: Host) -> None:
    assert met(peer, *knock(name, 50, 12345, 23456, 12345, 34567), both(name, 50, 2223))[-1] == (SILENCE, SILENCE)


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_row_4_5_files_by_ftp(peer: Host, address: str, stranger: str, mode: str) -> None:
    assert fetched(peer, address, stranger, mode) == "a file by FTP"


@pytest.mark.parametrize(("name", "network"), [("bookworm", "ipv4")], indirect=True)
def test_row_0_3_a_connection_outlives_the_offer_of_its_service(name: str, peer: Host, address: str, stranger: str) -> None:
    """And check mode shows the same change without making it."""
    server, before = machine(name), saved(machine(name), SERVERS[name])
    gone = {"firewall_services__gone": {"files": {"state": "absent"}}}
    with Talk("peer", address, 80) as talk:
        assert talk.say("one") == "one"
        shown = play(name, "--check", "--diff", **gone)
        assert (shown.status, shown.changed) == (0, 1), shown.output
        assert "--- " in shown.output
        assert "firewall_services.files" in shown.output
        assert saved(server, SERVERS[name]) == before
        assert play(name, **gone).changed == 1
        assert how(peer, Visit(address, 80, stranger)) == [SILENCE]
        assert talk.say("two") == "two"
    assert play(name).changed == 1
    assert saved(server, SERVERS[name]) == before
