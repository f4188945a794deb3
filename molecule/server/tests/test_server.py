# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as their peer meets them who has several addresses. The numbers in the names are rows of the source documents, as in tests/kernel/rows."""

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


@pytest.fixture(scope="module")
def peer() -> Host:
    return machine("peer")


@pytest.fixture
def forgetful(name: str) -> Host:
    """Give the server with nothing kept of who came before."""
    server = machine(name)
    server.check_output("for list in /proc/net/xt_recent/*; do echo / >$list; done")
    return server


def both(name: str, last: int, port: int, protocol: str = "tcp", seconds: float = 2) -> list[Visit]:
    """Visit the server over both families from the peer's addresses that end so."""
    return [Visit(f"{network}{HOSTS[name]}", port, f"{network}{last}", protocol, seconds) for network in NETWORKS.values()]


def at_once(peer: Host, *pairs: list[Visit]) -> list[tuple[str, ...]]:
    """Make visits over both families, all at once, and return how each pair went."""
    return met(peer, [one for pair in pairs for one in pair])


def met(peer: Host, *groups: list[Visit]) -> list[tuple[str, ...]]:
    """Make visits over both families, one pair after the other, and return how each pair went."""
    answers = [one.how for one in one_after_the_other(peer, *groups)]
    return list(zip(answers[::2], answers[1::2]))


def bare(name: str, flags: int, port: int, source_port: int) -> list[Visit]:
    """Send the server a segment without a connection, over both families."""
    return [one._replace(source_port=source_port, flags=flags) for one in both(name, 50, port)]


def test_row_0_5_each_port_is_open_and_any_other_silent(name: str, peer: Host) -> None:
    wanted = {80: OPEN, 139: OPEN, 445: OPEN, 873: OPEN, 16384: OPEN, 3306: SILENCE, 8080: SILENCE}
    assert dict(zip(wanted, at_once(peer, *(both(name, 50, port) for port in wanted)))) == {port: (how, how) for port, how in wanted.items()}


def test_row_0_5_a_syn_is_answered_and_an_ack_without_a_connection_is_not(name: str, peer: Host) -> None:
    sent = [*bare(name, SYN, 80, 4001), *bare(name, ACK, 80, 4002), *bare(name, SYN | ACK, 80, 4003)]
    assert segments(peer, *sent) == ["SYN ACK"] * 2 + [SILENCE] * 4


def test_row_0_6_a_range_of_udp_ports(name: str, peer: Host) -> None:
    asked = [both(name, 50, port, "udp") for port in (137, 138, 139)]
    assert at_once(peer, *asked) == [(OPEN, OPEN), (OPEN, OPEN), (SILENCE, SILENCE)]


def test_row_1_5_one_address_and_one_network_may_and_others_may_not(name: str, peer: Host) -> None:
    asked = [both(name, last, 3306) for last in (51, 70, 50)]
    assert at_once(peer, *asked) == [(OPEN, OPEN), (OPEN, OPEN), (SILENCE, SILENCE)]


def test_row_0_3_answers_come_in_to_the_port_that_asked(name: str, peer: Host) -> None:
    """And to no other: the very same segment without the connection is not let in."""
    out = [Visit(f"{network}50", 80, f"{network}{HOSTS[name]}", source_port=5000) for network in NETWORKS.values()]
    assert [(one.how, one.seen) for one in visit(machine(name), *out)] == [(OPEN, there.source) for there in out]
    assert segments(peer, *bare(name, SYN | ACK, 5001, 80)) == [SILENCE, SILENCE]


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
    here, neighbour = both(name, 50, 2223, seconds=1), both(name, 51, 2223, seconds=1)
    assert met(peer, here) == [(SILENCE, SILENCE)]
    assert met(peer, *knock(name, 50, 12345, 34567, 23456), here)[-1] == (SILENCE, SILENCE)
    assert met(peer, *knock(name, 50, 12345, 23456, 34567), here, neighbour)[-2:] == [(OPEN, OPEN), (SILENCE, SILENCE)]
    time.sleep(3)
    assert met(peer, here) == [(SILENCE, SILENCE)]


@pytest.mark.usefixtures("forgetful")
def test_row_3_5_a_wrong_knock_begins_anew(name: str, peer: Host) -> None:
    assert met(peer, *knock(name, 50, 12345, 23456, 12345, 34567), both(name, 50, 2223))[-1] == (SILENCE, SILENCE)


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_row_4_5_files_by_ftp(name: str, peer: Host, network: str, mode: str) -> None:
    assert fetched(peer, f"{network}{HOSTS[name]}", f"{network}50", mode) == "a file by FTP"


@pytest.mark.parametrize("name", ["bookworm"], indirect=True)
def test_row_0_3_a_connection_outlives_the_offer_of_its_service(name: str, peer: Host) -> None:
    """And check mode shows the same change without making it."""
    server, before = machine(name), saved(machine(name), SERVERS[name])
    gone = {"firewall_services__gone": {"files": {"state": "absent"}}}
    with Talk("peer", both(name, 50, 80)[0].to, 80) as talk:
        assert talk.say("one") == "one"
        shown = play(name, "--check", "--diff", **gone)
        assert (shown.status, shown.changed) == (0, 1), shown.output
        assert "--- " in shown.output
        assert "firewall_services.files" in shown.output
        assert saved(server, SERVERS[name]) == before
        assert play(name, **gone).changed == 1
        assert met(peer, both(name, 50, 80)) == [(SILENCE, SILENCE)]
        assert talk.say("two") == "two"
    assert play(name).changed == 1
    assert saved(server, SERVERS[name]) == before
