# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quiet workstations, as they meet the world and it meets them, by rows of the source documents (as in tests/kernel/rows)."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    FORBIDDEN,
    OPEN,
    SILENCE,
    Met,
    Visit,
    fetched,
    how,
    machine,
    play,
    saved,
    visit,
)
from testinfra.host import Host

BACKENDS = {"bullseye": "nft", "bookworm": "legacy"}
NETWORKS = {"ipv4": "198.51.100.", "ipv6": "2001:db8:51::"}
SENT = {("tcp", 80): OPEN, ("udp", 53): OPEN, ("tcp", 443): SILENCE, ("tcp", 40000): SILENCE, ("udp", 123): FORBIDDEN}
"""What a workstation meets by protocol and port at the peer, which serves them all. Who sends a datagram is told that it was dropped."""


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def workstation(name: str) -> Host:
    return machine(name)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    return NETWORKS[request.param]


@pytest.fixture
def address(name: str, network: str) -> str:
    """Give the workstation's address."""
    return f"{network}{list(BACKENDS).index(name) + 1}"


@pytest.fixture
def served(network: str) -> str:
    """Give the peer's address."""
    return f"{network}50"


@pytest.fixture(scope="module")
def peer() -> Host:
    return machine("peer")


def test_row_0_11_only_what_is_named_goes_out(workstation: Host, served: str) -> None:
    assert dict(zip(SENT, how(workstation, *(Visit(served, port, protocol=protocol) for protocol, port in SENT)))) == SENT


def test_row_0_3_answers_and_errors_come_back(workstation: Host, address: str, served: str) -> None:
    """The refusal of a datagram is an error about it; nothing that comes in by itself gets an answer."""
    assert visit(workstation, Visit(served, 80, address)) == [Met(OPEN, address, 80)]
    workstation.check_output(f"ping -c 1 -W 3 {served}")


def test_nothing_is_let_in_but_ping(peer: Host, address: str) -> None:
    visits = Visit(address, 22), Visit(address, 8080), Visit(address, 8080, protocol="udp"), Visit(address, 8080, source_port=20)
    assert how(peer, *visits) == [SILENCE] * 4
    peer.check_output(f"ping -c 1 -W 3 {address}")


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_row_3_3_a_file_by_ftp(workstation: Host, address: str, served: str, mode: str) -> None:
    """The server's connection to us (from port 20) or ours to a port of its choice, and no other such connection: see above."""
    assert fetched(workstation, served, address, mode) == "a file by FTP"


def test_row_0_13_a_redirect_on_the_low_port(workstation: Host, peer: Host, address: str, served: str) -> None:
    """Also for programs of the host itself. The high port stays closed to others."""
    assert visit(peer, Visit(address, 80, served)) == [Met(OPEN, served, 8080)]
    assert visit(workstation, Visit(address, 80, address)) == [Met(OPEN, address, 8080)]


@pytest.mark.parametrize("network", ["ipv4"], indirect=True)
def test_check_mode_shows_and_changes_nothing(name: str, workstation: Host, peer: Host, address: str) -> None:
    before = saved(workstation, BACKENDS[name])
    shown = play(name, "--check", "--diff", firewall_services={"other": {"ports": 8080}})
    assert (shown.status, shown.changed) == (0, 1), shown.output
    assert "+-A palisade-INPUT -p tcp -m tcp --dport 8080 " in shown.output
    assert saved(workstation, BACKENDS[name]) == before
    assert how(peer, Visit(address, 8080)) == [SILENCE]
