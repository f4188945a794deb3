# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes through the routers and what does not, as the hosts on both sides meet it, by rows of the source documents (as in tests/kernel/rows)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    OPEN,
    REFUSED,
    SERVERS,
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


class Place(NamedTuple):
    """The addresses around a router, of one family."""

    lan: str
    """Of the router, on the LAN."""
    wan: str
    """Of the router, on the WAN."""
    inside: str
    client: str
    outside: str = "203.0.113.9"
    elsewhere: str = "203.0.113.8"


ROUTERS = {
    "bookworm": Place("192.168.232.1", "203.0.113.2", "192.168.232.2", "192.168.232.10"),
    "trixie": Place("192.168.231.1", "203.0.113.1", "192.168.231.2", "192.168.231.10"),
}
ROUTERS6 = {
    "bookworm": Place("2001:db8:0:232::1", "2001:db8:ff::2", "2001:db8:0:232::2", "2001:db8:0:232::10", "2001:db8:ff::9", "2001:db8:ff::8"),
    "trixie": Place("2001:db8:0:231::1", "2001:db8:ff::1", "2001:db8:0:231::2", "2001:db8:0:231::10", "2001:db8:ff::9", "2001:db8:ff::8"),
}
SEEN_OUTSIDE = {"bookworm": "203.0.113.22", "trixie": "203.0.113.1"}
"""Where what comes out of a router seems to come from: the address that firewall_snat names, the interface's own."""


@pytest.fixture(params=ROUTERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def four(name: str) -> Place:
    return ROUTERS[name]


@pytest.fixture
def six(name: str) -> Place:
    return ROUTERS6[name]


@pytest.fixture(params=["ipv4", "ipv6"])
def place(request: pytest.FixtureRequest, name: str) -> Place:
    return {"ipv4": ROUTERS, "ipv6": ROUTERS6}[request.param][name]


@pytest.fixture(scope="module")
def inside() -> Host:
    return machine("inside")


@pytest.fixture(scope="module")
def client() -> Host:
    return machine("client")


@pytest.fixture(scope="module")
def outside() -> Host:
    return machine("outside")


def test_row_2_5_the_lan_may_open_connections_and_the_wan_may_not(client: Host, outside: Host, place: Place) -> None:
    """Not even where it knows the way: outside has a route to the LAN."""
    assert how(client, Visit(place.outside, 80, place.client), Visit(place.outside, 53, place.client, "udp")) == [OPEN, OPEN]
    assert how(outside, Visit(place.client, 80), Visit(place.inside, 8080)) == [SILENCE, SILENCE]


def test_row_2_6_the_server_outside_sees_the_router(name: str, client: Host, four: Place) -> None:
    assert visit(client, Visit(four.outside, 80, four.client)) == [Met(OPEN, SEEN_OUTSIDE[name], 80)]


def test_the_server_outside_sees_the_client_itself_over_ipv6(client: Host, six: Place) -> None:
    assert visit(client, Visit(six.outside, 80, six.client)) == [Met(OPEN, six.client, 80)]


def test_row_2_10_port_forwards_with_and_without_another_port(outside: Host, four: Place) -> None:
    """The server inside sees who really comes."""
    met = visit(outside, Visit(four.wan, 80, four.outside), Visit(four.wan, 8081, four.outside))
    assert met == [Met(OPEN, four.outside, 80), Met(OPEN, four.outside, 8080)]


def test_row_2_10_a_forward_for_some_sources(outside: Host, four: Place) -> None:
    assert how(outside, Visit(four.wan, 443, four.outside), Visit(four.wan, 443, four.elsewhere)) == [OPEN, SILENCE]


def test_row_2_10_hairpin_from_the_lan_to_itself_over_the_address_outside(client: Host, four: Place) -> None:
    """The server sees the router, so that its answers go back there."""
    met = visit(client, Visit(four.wan, 80, four.client), Visit(four.wan, 8081, four.client))
    assert met == [Met(OPEN, four.lan, 80), Met(OPEN, four.lan, 8080)]


def test_a_host_is_reached_over_ipv6_on_the_port_excepted_and_on_no_other(outside: Host, six: Place) -> None:
    assert how(outside, Visit(six.inside, 80), Visit(six.inside, 443), Visit(six.client, 80)) == [OPEN, SILENCE, SILENCE]


def test_row_2_11_the_router_serves_the_lan_and_not_the_wan(client: Host, outside: Host, place: Place) -> None:
    assert how(client, *(Visit(place.lan, port, place.client) for port in (22, 53, 8000))) == [OPEN, OPEN, SILENCE]
    assert how(outside, *(Visit(place.wan, port) for port in (22, 53, 8000))) == [SILENCE, SILENCE, SILENCE]


def test_row_2_9_what_is_refused_is_refused_at_once(client: Host, outside: Host, place: Place) -> None:
    assert how(outside, Visit(place.wan, 113)) == [REFUSED]
    assert how(client, Visit(place.lan, 113, place.client)) == [REFUSED]


def test_a_refusal_from_outside_reaches_the_lan(client: Host, place: Place) -> None:
    """By a server that has nothing on that port: the connection was let out, and the answer in."""
    assert how(client, Visit(place.outside, 81, place.client), Visit(place.outside, 81, place.client, "udp")) == [REFUSED, REFUSED]


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_row_3_3_ftp_through_the_router(client: Host, place: Place, mode: str) -> None:
    assert fetched(client, place.outside, place.client, mode) == "a file by FTP"


@pytest.mark.parametrize("name", ["bookworm"], indirect=True)
def test_a_router_becomes_a_server_and_a_workstation_and_a_router_again(name: str, client: Host, outside: Host, four: Place) -> None:
    """With the same variables. Nothing of a profile is left in the next one, and check mode changes nothing."""
    router, before = machine(name), saved(machine(name), SERVERS[name])
    here = Visit(four.outside, 80, four.client), Visit(four.lan, 22, four.client)
    there = Visit(four.wan, 80), Visit(four.wan, 22), Visit(four.wan, 113)
    seen = {}
    for profile in ("server", "workstation", "nat_router"):
        if profile == "server":
            shown = play(name, "--check", "--diff", profile=profile)
            assert (shown.status, shown.changed) == (0, 2), shown.output
            assert "--palisade-FORWARD" in shown.output or "-A palisade-FORWARD" in shown.output
            assert saved(router, SERVERS[name]) == before
        done = play(name, profile=profile)
        assert (done.status, done.changed) == (0, 2), done.output
        seen[profile] = how(client, *here), how(outside, *there), saved(router, SERVERS[name]) == before
    assert seen == {
        "server": ([SILENCE, OPEN], [SILENCE, OPEN, REFUSED], False),
        "workstation": ([SILENCE, SILENCE], [SILENCE, SILENCE, REFUSED], False),
        "nat_router": ([OPEN, OPEN], [OPEN, SILENCE, REFUSED], True),
    }
