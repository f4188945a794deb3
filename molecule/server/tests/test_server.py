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


@pytest.fixture
def listed(network: str) -> str:
    """Give the address of the peer that the policy names."""
    return f"{network}51"


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


@pytest.mark.usefixtures("forgetful")
def test_row_1_6_the_fifth_connection_within_a_minute_is_dropped(peer: Host, address: str, stranger: str, listed: str) -> None:
    """And 1.7: one may come as often as it likes. Nor does one visitor count for another."""
    met = one_after_the_other(peer, *([Visit(address, 2222, stranger)] for _number in range(5)))
    assert [one.how for one in met] == [OPEN, OPEN, OPEN, OPEN, SILENCE]
    assert how(peer, *(Visit(address, 2222, listed) for _number in range(6))) == [OPEN] * 6


def knock(address: str, source: str, *ports: int) -> list[list[Visit]]:
    """Knock at these ports, one after the other."""
    return [[Visit(address, port, source, "udp", seconds=0.05)] for port in ports]


@pytest.mark.usefixtures("forgetful")
def test_row_3_5_a_port_opens_to_who_knocks_in_the_right_order(peer: Host, address: str, stranger: str, listed: str) -> None:
    """For a while, and to nobody else."""
    here = Visit(address, 2223, stranger)
    assert how(peer, here) == [SILENCE]
    wrong, right = knock(address, stranger, 12345, 34567, 23456), knock(address, stranger, 12345, 23456, 34567)
    assert one_after_the_other(peer, *wrong, [here])[-1].how == SILENCE
    met = one_after_the_other(peer, *right, [here, Visit(address, 2223, listed)])[-2:]
    assert [one.how for one in met] == [OPEN, SILENCE]
    time.sleep(3.5)
    assert how(peer, here) == [SILENCE]


@pytest.mark.usefixtures("forgetful")
def test_row_3_5_a_wrong_knock_begins_anew(peer: Host, address: str, stranger: str) -> None:
    knocks = knock(address, stranger, 12345, 23456, 12345, 34567)
    assert one_after_the_other(peer, *knocks, [Visit(address, 2223, stranger)])[-1].how == SILENCE


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
