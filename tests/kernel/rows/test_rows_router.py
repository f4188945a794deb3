# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the source documents that are about a router, and what it does beyond them: each packet is sent, on both backends."""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from ..support.host import FAMILIES, Host
from ..support.save_text import rules

ICMP = {"ipv4": "icmp", "ipv6": "ipv6-icmp"}
#: The router's interfaces: its own address in each family, and the network's length.
LINKS = {
    "lan0": {"ipv4": "192.168.0.1/24", "ipv6": "2001:db8:1:1::1/64"},
    "guest0": {"ipv4": "192.168.9.1/24", "ipv6": "2001:db8:1:9::1/64"},
    "wan0": {"ipv4": "203.0.113.1/24", "ipv6": "2001:db8:113::1/64"},
    "wan1": {"ipv4": "198.51.100.1/24", "ipv6": "2001:db8:51::1/64"},
}
#: Somebody on each link, and somebody far away behind wan0.
THERE = {
    "lan0": {"ipv4": "192.168.0.50", "ipv6": "2001:db8:1:1::50"},
    "guest0": {"ipv4": "192.168.9.50", "ipv6": "2001:db8:1:9::50"},
    "wan0": {"ipv4": "203.0.113.77", "ipv6": "2001:db8:113::77"},
    "wan1": {"ipv4": "198.51.100.77", "ipv6": "2001:db8:51::77"},
}
FAR = {"ipv4": "9.9.9.9", "ipv6": "2620:fe::9"}
SERVER = {"ipv4": "192.168.0.2", "ipv6": "2001:db8:1:1::2"}
MACS = {"tablet": "02:00:5e:00:53:01", "tv": "02:00:5e:00:53:02", "stranger": "02:00:5e:00:53:99"}

LAN: dict[str, Any] = {"home": {"interfaces": "lan0", "networks": ["192.168.0.0/24", "2001:db8:1:1::/64"]}}
GUEST: dict[str, Any] = {"guest": {"interfaces": "guest0", "networks": ["192.168.9.0/24", "2001:db8:1:9::/64"]}}
WAN: dict[str, Any] = {"internet": {"interfaces": "wan0"}}
SECOND: dict[str, Any] = {"second": {"interfaces": "wan1"}}
UDP = {"protocol": "udp"}


@pytest.fixture
def router(host: Host) -> Host:
    """Make a host with two LANs and two WANs that forwards; the default route leads out by wan0."""
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    for name, addresses in LINKS.items():
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
        host.run("ip", "link", "set", f"{name}-end", "up")
        host.run("ip", "link", "set", name, "up")
        host.run("ip", "address", "add", addresses["ipv4"], "dev", name)
        host.run("ip", "address", "add", addresses["ipv6"], "dev", name, "nodad")
    for family in FAMILIES:
        host.run("ip", f"-{family[-1]}", "route", "add", "default", "via", THERE["wan0"][family])
    return host


def apply(host: Host, **policy: Any) -> None:
    host.apply(tables=compile_policy("nat_router", policy).tables)


def own(family: str, link: str) -> str:
    return LINKS[link][family].partition("/")[0]


def through(family: str, come: str, go: str, **flow: Any) -> dict[str, Any]:
    """Somebody on one link to somebody on another, or to the world behind wan0."""
    destination = FAR[family] if go == "wan0" else THERE[go][family]
    return {
        "hook": "forward", "in_interface": come, "out_interface": go, "source": THERE[come][family], "destination": destination, "port": 443, **flow,
    }


def to_router(family: str, link: str, **flow: Any) -> dict[str, Any]:
    return {"hook": "input", "in_interface": link, "source": THERE[link][family], "destination": own(family, link), **flow}


def probed(host: Host, *flows: dict[str, Any], sequence: bool = False) -> list[dict[str, Any]]:
    flows_without_ports = [{key: value for key, value in flow.items() if value is not None} for flow in flows]
    result = host.probe(flows=[flows_without_ports] if sequence else flows_without_ports)
    assert not result.failed, result.message
    return list(result.data["flows"])


def verdicts(host: Host, *flows: dict[str, Any]) -> list[str]:
    return [flow["verdict"] for flow in probed(host, *flows)]


def ping(family: str, **flow: Any) -> dict[str, Any]:
    return {"protocol": ICMP[family], "port": None, **flow}


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_16_a_router_that_knows_nothing_forwards_nothing(router: Host, family: str) -> None:
    apply(router)
    every = [through(family, come, go) for come in LINKS for go in LINKS if come != go]
    assert verdicts(router, *every) == ["drop"] * 12
    assert verdicts(router, *(to_router(family, link, port=22) for link in LINKS)) == ["accept"] * 4
    assert verdicts(router, *(to_router(family, link, port=53, **UDP) for link in LINKS)) == ["drop"] * 4


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_16_a_router_with_lans_and_a_wan(router: Host, family: str) -> None:
    apply(router, lan={**LAN, **GUEST}, wan=WAN)
    asked = {
        "ssh from the LAN": to_router(family, "lan0", port=22),
        "ssh from the guests": to_router(family, "guest0", port=22),
        "ssh from the WAN": to_router(family, "wan0", port=22),
        "ssh by an interface that is neither": to_router(family, "wan1", port=22),
        "ping from the WAN": to_router(family, "wan0", protocol=ICMP[family]),
        "out": through(family, "lan0", "wan0"),
        "guests out": through(family, "guest0", "wan0"),
        "out by an interface that is neither": through(family, "lan0", "wan1"),
        "in": through(family, "wan0", "lan0"),
        "in by an interface that is neither": through(family, "wan1", "lan0"),
        "from LAN to LAN": through(family, "lan0", "guest0"),
        "from guests to LAN": through(family, "guest0", "lan0"),
        "through, from a WAN to what is neither": through(family, "wan0", "wan1"),
    }
    found = dict(zip(asked, verdicts(router, *asked.values()), strict=True))
    let_through = {"ssh from the LAN", "ssh from the guests", "ping from the WAN", "out", "guests out"}
    assert {name for name, verdict in found.items() if verdict == "accept"} == let_through


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_5_new_connections_begin_inside(router: Host, family: str) -> None:
    apply(router, lan=LAN, wan=WAN)
    asked = [
        (through(family, "lan0", "wan0"), "accept"),
        (through(family, "lan0", "wan0", port=53, **UDP), "accept"),
        (through(family, "lan0", "wan0", **ping(family)), "accept"),
        (through(family, "lan0", "wan0", flags="FIN,PSH,URG"), "drop"),
        (through(family, "wan0", "lan0"), "drop"),
        (through(family, "wan0", "lan0", port=53, **UDP), "drop"),
        (through(family, "wan0", "lan0", **ping(family)), "drop"),
        (through(family, "wan0", "lan0", flags="ACK"), "drop"),
        (through(family, "wan0", "lan0", state="established"), "accept"),
        (through(family, "wan0", "lan0", state="established", **UDP), "accept"),
    ]
    assert verdicts(router, *(flow for flow, _verdict in asked)) == [verdict for _flow, verdict in asked]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_5_the_answer_comes_back(router: Host, family: str) -> None:
    """The second packet of a connection goes to the router's address and arrives at the host inside."""
    apply(router, lan=LAN, wan=WAN)
    inside, outside = THERE["lan0"][family], FAR[family]
    translated = {"ipv4": own(family, "wan0"), "ipv6": inside}[family]
    answer = {"hook": "forward", "in_interface": "wan0", "out_interface": "lan0", "source": outside, "source_port": 443, "flags": "SYN,ACK"}
    opened, answered, unasked = probed(
        router,
        through(family, "lan0", "wan0", source_port=40000),
        {**answer, "destination": translated, "port": 40000},
        {**answer, "destination": inside, "port": 40001},
        sequence=True,
    )
    assert (opened["verdict"], answered["verdict"], unasked["verdict"]) == ("accept", "accept", "drop")
    assert answered.get("rewritten_destination") == {"ipv4": f"{inside}:40000", "ipv6": None}[family]


def test_row_2_6_masquerade_gives_the_routers_address(router: Host) -> None:
    apply(router, lan={**LAN, **GUEST}, wan={**WAN, **SECOND})
    first, second, guests, sideways = probed(
        router,
        through("ipv4", "lan0", "wan0", source_port=40000),
        through("ipv4", "lan0", "wan1", source_port=40000),
        through("ipv4", "guest0", "wan0", source_port=40000),
        through("ipv6", "lan0", "wan0", source_port=40000),
    )
    assert first["rewritten_source"] == "203.0.113.1:40000"
    assert second["rewritten_source"] == "198.51.100.1:40000"
    assert guests["rewritten_source"] == "203.0.113.1:40000"
    assert "rewritten_source" not in sideways


def test_row_2_6_masquerade_may_be_off_and_ipv6_on(router: Host) -> None:
    apply(router, lan=LAN, wan=WAN, masquerade={"ipv4": False, "ipv6": True})
    ours, theirs = probed(router, through("ipv4", "lan0", "wan0", source_port=40000), through("ipv6", "lan0", "wan0", source_port=40000))
    assert "rewritten_source" not in ours
    assert theirs["rewritten_source"] == "[2001:db8:113::1]:40000"


def test_row_2_6_a_fixed_address_by_wan(router: Host) -> None:
    apply(router, lan=LAN, wan={**WAN, **SECOND}, snat={"second": {"to": ["198.51.100.200", "2001:db8:51::200"]}})
    flows = probed(router, *(through(family, "lan0", go, source_port=40000) for family in FAMILIES for go in ("wan0", "wan1")))
    assert [flow.get("rewritten_source") for flow in flows] == ["203.0.113.1:40000", "198.51.100.200:40000", None, "[2001:db8:51::200]:40000"]
    router.run("ip", "address", "add", "fe80::1/64", "dev", "wan1", "nodad")
    (own_dhcp6,) = probed(
        router,
        {"hook": "output", "out_interface": "wan1", "source": "fe80::1", "destination": "2001:db8:51::77", "port": 547, "source_port": 546, **UDP},
    )
    assert "rewritten_source" not in own_dhcp6


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_11_services_for_the_lan(router: Host, family: str) -> None:
    services = {"dns": {}, "samba": {"from": ["192.168.0.50", "2001:db8:1:1::50"]}, "telnet": {"action": "reject"}}
    apply(router, lan={"home": {**LAN["home"], "services": services}, **GUEST}, wan=WAN)
    asked = [
        (to_router(family, "lan0", port=53), "accept"),
        (to_router(family, "lan0", port=53, **UDP), "accept"),
        (to_router(family, "lan0", port=53, flags="ACK"), "drop"),
        (to_router(family, "lan0", port=445), "accept"),
        (to_router(family, "lan0", port=137, **UDP), "accept"),
        (to_router(family, "lan0", port=445, source=SERVER[family]), "drop"),
        (to_router(family, "lan0", port=23), "reject"),
        (to_router(family, "lan0", port=80), "drop"),
        (to_router(family, "guest0", port=53, **UDP), "drop"),
        (to_router(family, "guest0", port=23), "drop"),
        (to_router(family, "wan0", port=53, **UDP), "drop"),
        (to_router(family, "wan0", port=445), "drop"),
    ]
    assert verdicts(router, *(flow for flow, _verdict in asked)) == [verdict for _flow, verdict in asked]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_11_a_trusted_lan(router: Host, family: str) -> None:
    """The document's `! -i WAN1 -j ACCEPT`. What is refused to everybody else is not refused to it."""
    apply(router, lan={"home": {**LAN["home"], "trust": True}, **GUEST}, wan=WAN, services={"ident": {"action": "reject"}})
    asked = [
        (to_router(family, "lan0", port=80), "accept"),
        (to_router(family, "lan0", port=9999, **UDP), "accept"),
        (to_router(family, "lan0", port=113), "accept"),
        (to_router(family, "lan0", port=80, flags="FIN,PSH,URG"), "drop"),
        (to_router(family, "guest0", port=113), "reject"),
        (to_router(family, "guest0", port=80), "drop"),
        (to_router(family, "wan0", port=113), "reject"),
        (to_router(family, "wan0", port=80), "drop"),
    ]
    assert verdicts(router, *(flow for flow, _verdict in asked)) == [verdict for _flow, verdict in asked]


def test_hosts_of_a_lan_find_their_router(router: Host) -> None:
    """A router that sends advertisements is asked for them; nobody asks from outside."""
    apply(router, lan=LAN, wan=WAN)
    ask = {"hook": "input", "destination": "ff02::2", "protocol": "ipv6-icmp", "icmp_type": "router-solicitation"}
    flows = [{**ask, "in_interface": link, "source": "fe80::50"} for link in ("lan0", "wan0")]
    assert verdicts(router, *flows) == ["accept", "drop"]


# Port forwards


FORWARDS: dict[str, Any] = {
    "web": {"port": [80, 443], "to": SERVER["ipv4"]},
    "other_port": {"port": 8080, "to": SERVER["ipv4"], "to_port": 8000},
    "range": {"port": "27000-27010", "protocols": ["tcp", "udp"], "to": "192.168.9.7"},
    "office": {"port": 2222, "to": SERVER["ipv4"], "to_port": 22, "from": ["203.0.113.77", "203.0.113.128-203.0.113.130"]},
    "by_the_second": {"port": 9000, "to": SERVER["ipv4"], "wan": "second"},
}


def knock_at(port: int, link: str = "wan0", **flow: Any) -> dict[str, Any]:
    """A connection from outside to the router's own address, which a forward leads to the LAN."""
    source, out = flow.pop("source", THERE[link]["ipv4"]), flow.pop("out_interface", "lan0")
    return {
        "hook": "forward", "in_interface": link, "out_interface": out, "source": source, "destination": own("ipv4", link), "port": port, **flow,
    }


def test_row_2_10_port_forwards(router: Host) -> None:
    apply(router, lan={**LAN, **GUEST}, wan={**WAN, **SECOND}, forwards=FORWARDS)
    asked = [
        (knock_at(80), "192.168.0.2:80"),
        (knock_at(443, "wan1"), "192.168.0.2:443"),
        (knock_at(8080), "192.168.0.2:8000"),
        (knock_at(27005, out_interface="guest0"), "192.168.9.7:27005"),
        (knock_at(27010, "wan1", out_interface="guest0", **UDP), "192.168.9.7:27010"),
        (knock_at(2222), "192.168.0.2:22"),
        (knock_at(2222, source="203.0.113.129"), "192.168.0.2:22"),
        (knock_at(9000, "wan1"), "192.168.0.2:9000"),
    ]
    found = probed(router, *(flow for flow, _to in asked))
    assert [(flow["verdict"], flow["rewritten_destination"]) for flow in found] == [("accept", to) for _flow, to in asked]


def test_row_2_10_what_is_not_forwarded(router: Host) -> None:
    """Neither by another port, source or WAN, nor past the translation, nor without a SYN."""
    apply(router, lan={**LAN, **GUEST}, wan={**WAN, **SECOND}, forwards=FORWARDS)
    direct = {**through("ipv4", "wan0", "lan0"), "destination": SERVER["ipv4"]}
    asked = [
        to_router("ipv4", "wan0", port=81),
        to_router("ipv4", "wan0", port=80, **UDP),
        to_router("ipv4", "wan0", port=8000),
        to_router("ipv4", "wan0", port=2222, source="203.0.113.78"),
        to_router("ipv4", "wan1", port=2222),
        to_router("ipv4", "wan0", port=9000),
        {**direct, "port": 80},
        {**direct, "port": 8000},
        {**direct, "port": 8080},
        knock_at(80, flags="ACK"),
        to_router("ipv4", "wan0", port=80, flags="FIN"),
    ]
    assert verdicts(router, *asked) == ["drop"] * len(asked)
    assert verdicts(router, {**to_router("ipv6", "wan0", port=80)}) == ["drop"]


def test_row_2_10_an_exception_for_some_sources(router: Host) -> None:
    forwards = {
        "everybody": {"port": 80, "to": SERVER["ipv4"]},
        "office": {"port": 80, "to": "192.168.0.3", "from": "203.0.113.77"},
    }
    apply(router, lan=LAN, wan=WAN, forwards=forwards)
    found = probed(router, knock_at(80), knock_at(80, source="203.0.113.78"))
    assert [flow["rewritten_destination"] for flow in found] == ["192.168.0.3:80", "192.168.0.2:80"]


def test_row_2_10_a_host_behind_the_router_with_a_public_address_is_left_alone(router: Host) -> None:
    """A forward is for what is addressed to the router."""
    apply(router, lan=LAN, wan={**WAN, **SECOND}, forwards=FORWARDS)
    (found,) = probed(router, {**through("ipv4", "wan0", "lan0", port=80), "destination": "192.168.0.80"})
    assert found["verdict"] == "drop"
    assert "rewritten_destination" not in found


def test_row_2_10_hairpin_in_one_network(router: Host) -> None:
    """Client and server share a wire, the client asks for the router's outer address: both ways go by the router."""
    apply(router, lan=LAN, wan={**WAN, **SECOND}, forwards=FORWARDS)
    client, server = THERE["lan0"]["ipv4"], SERVER["ipv4"]
    turned = {"hook": "forward", "in_interface": "lan0", "out_interface": "lan0"}
    opened, answered, acknowledged = probed(
        router,
        {**turned, "source": client, "source_port": 40000, "destination": "203.0.113.1", "port": 8080},
        {**turned, "source": server, "source_port": 8000, "destination": "192.168.0.1", "port": 40000, "flags": "SYN,ACK"},
        {**turned, "source": client, "source_port": 40000, "destination": "203.0.113.1", "port": 8080, "flags": "ACK"},
        sequence=True,
    )
    assert (opened["verdict"], opened["rewritten_destination"], opened["rewritten_source"]) == ("accept", "192.168.0.2:8000", "192.168.0.1:40000")
    assert (answered["verdict"], answered["rewritten_destination"]) == ("accept", f"{client}:40000")
    assert answered["rewritten_source"] == "203.0.113.1:8080"
    assert acknowledged["verdict"] == "accept"


def test_row_2_10_hairpin_between_networks_keeps_the_source(router: Host) -> None:
    apply(router, lan={**LAN, **GUEST}, wan={**WAN, **SECOND}, forwards=FORWARDS)
    (found,) = probed(router, {**through("ipv4", "guest0", "lan0", port=443), "destination": "203.0.113.1"})
    assert (found["verdict"], found["rewritten_destination"]) == ("accept", "192.168.0.2:443")
    assert "rewritten_source" not in found


def test_row_2_10_hairpin_is_for_outer_addresses_and_for_those_who_may(router: Host) -> None:
    lans = {**LAN, "guest": {**GUEST["guest"], "internet": False}}
    forwards = {**FORWARDS, "not_from_inside": {"port": 9443, "to": SERVER["ipv4"], "hairpin": False}}
    apply(router, lan=lans, wan={**WAN, **SECOND}, forwards=forwards)
    asked = [
        # The router's inner addresses are its own, whichever LAN asks.
        to_router("ipv4", "lan0", port=80),
        {**to_router("ipv4", "lan0", port=80), "destination": "192.168.9.1"},
        # A LAN without the internet does not reach another LAN by this way, nor is a source limit lifted inside.
        {**to_router("ipv4", "guest0", port=80), "destination": "203.0.113.1"},
        {**to_router("ipv4", "lan0", port=2222), "destination": "203.0.113.1"},
        {**to_router("ipv4", "lan0", port=9443), "destination": "203.0.113.1"},
    ]
    found = probed(router, *asked)
    assert [flow["verdict"] for flow in found] == ["drop"] * len(asked)
    assert not any("rewritten_destination" in flow for flow in found)


# IPv6 exceptions


def test_row_2_10_ipv6_hosts_that_may_be_reached(router: Host) -> None:
    forwards = {
        "web": {"port": [80, 443], "to": SERVER["ipv6"]},
        "dns": {"port": 53, "protocols": ["tcp", "udp"], "to": SERVER["ipv6"], "from": ["2001:db8:113::77", "2001:db8:51::/64"]},
        "suffix": {"port": 22, "to": "::10/::ffff:ffff:ffff:ffff", "wan": "internet"},
        "all": {"to": "2001:db8:1:9::70"},
    }
    apply(router, lan={**LAN, **GUEST}, wan={**WAN, **SECOND}, forwards=forwards)

    def come(to: str, port: int | None, link: str = "wan0", **flow: Any) -> dict[str, Any]:
        return {**through("ipv6", link, "guest0" if ":9::" in to else "lan0"), "destination": to, "port": port, **flow}

    server, guest = SERVER["ipv6"], "2001:db8:1:9::70"
    asked = [
        (come(server, 80), "accept"),
        (come(server, 443, "wan1"), "accept"),
        (come(server, 443, flags="ACK"), "drop"),
        (come(server, 8080), "drop"),
        (come(server, 443, **UDP), "drop"),
        (come("2001:db8:1:1::3", 443), "drop"),
        (come(server, 53, **UDP), "accept"),
        (come(server, 53, source="2001:db8:113::78"), "drop"),
        (come(server, 53, "wan1"), "accept"),
        (come("2001:db8:1:1::10", 22), "accept"),
        (come("2001:db8:1:9::10", 22), "accept"),
        (come("2001:db8:1:1::11", 22), "drop"),
        (come("2001:db8:1:1::1:10", 22), "drop"),
        (come("2001:db8:1:1::10", 22, "wan1"), "drop"),
        (come(guest, 1), "accept"),
        (come(guest, 65535, **UDP), "accept"),
        (come(guest, None, protocol="ipv6-icmp"), "accept"),
        (come(guest, 1, flags="ACK"), "drop"),
        ({**through("ipv6", "lan0", "guest0"), "destination": guest}, "drop"),
    ]
    found = probed(router, *(flow for flow, _verdict in asked))
    assert [flow["verdict"] for flow in found] == [verdict for _flow, verdict in asked]
    assert not any("rewritten_destination" in flow for flow in found)


# Lists of hosts


def from_mac(family: str, name: str, **flow: Any) -> list[dict[str, Any]]:
    """To the router and through it."""
    same = {"source_mac": MACS[name], **flow}
    return [to_router(family, "lan0", port=53, **UDP, **same), {**through(family, "lan0", "wan0"), **same}]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_15_only_listed_hosts(router: Host, family: str) -> None:
    listed = {"tablet": {"mac": MACS["tablet"]}, "tv": {"mac": MACS["tv"], "address": [THERE["lan0"][name] for name in FAMILIES]}}
    apply(router, lan={"home": {**LAN["home"], "services": {"dns": {}, "dhcp_server": {}}}, **GUEST}, wan=WAN, mac_acl={"home": listed})
    other = {"source": SERVER[family]}
    asked = [
        (from_mac(family, "tablet"), "accept"),
        (from_mac(family, "tablet", **other), "accept"),
        (from_mac(family, "tv"), "accept"),
        (from_mac(family, "tv", **other), "drop"),
        (from_mac(family, "stranger"), "drop"),
        ([to_router(family, "lan0", protocol=ICMP[family], source_mac=MACS["stranger"])], "drop"),
        ([to_router(family, "lan0", protocol=ICMP[family], source_mac=MACS["tv"])], "accept"),
        # A LAN without a list is open to its hosts, and answers from outside are not asked for a list.
        ([through(family, "guest0", "wan0", source_mac=MACS["stranger"])], "accept"),
    ]
    flows = [flow for several, _verdict in asked for flow in several]
    assert verdicts(router, *flows) == [verdict for several, verdict in asked for _flow in several]
    (logged,) = [rule for rule in rules(router.save(family), chain="palisade-mac-home") if "LOG" in rule]
    assert '--log-prefix "palisade MAC-ACL drop: "' in logged


def test_row_0_15_dhcp_and_neighbour_discovery_work_for_who_is_listed(router: Host) -> None:
    listed = {"tv": {"mac": MACS["tv"], "address": [THERE["lan0"][name] for name in FAMILIES]}}
    apply(router, lan={"home": {**LAN["home"], "services": {"dhcp_server": {}, "dhcp6": {"ports": {"udp": 547}}}}}, wan=WAN, mac_acl={"home": listed})

    def ask(name: str, **flow: Any) -> dict[str, Any]:
        return {"hook": "input", "in_interface": "lan0", "source_mac": MACS[name], **flow}

    dhcp = {"source": "0.0.0.0", "source_port": 68, "destination": "255.255.255.255", "port": 67, **UDP}
    dhcp6 = {"source": "fe80::50", "source_port": 546, "destination": "ff02::1:2", "port": 547, **UDP}
    icmp6 = {"source": "fe80::50", "protocol": "ipv6-icmp"}
    solicitation = {**icmp6, "destination": "ff02::2", "icmp_type": "router-solicitation"}
    neighbour = {**icmp6, "destination": own("ipv6", "lan0"), "icmp_type": "neighbour-solicitation"}
    flows = [ask(name, **flow) for flow in (dhcp, dhcp6, solicitation, neighbour) for name in ("tv", "stranger")]
    assert verdicts(router, *flows) == ["accept", "drop", "accept", "drop", "accept", "drop", "accept", "accept"]


# Between LANs, several WANs, segments


@pytest.mark.parametrize("family", FAMILIES)
def test_from_lan_to_lan(router: Host, family: str) -> None:
    apply(router, lan={"home": {**LAN["home"], "to": ["guest"]}, "guest": {**GUEST["guest"], "internet": False}}, wan=WAN)
    there, back, answer, out = probed(
        router,
        through(family, "lan0", "guest0"),
        through(family, "guest0", "lan0"),
        through(family, "guest0", "lan0", state="established"),
        through(family, "guest0", "wan0"),
    )
    assert [flow["verdict"] for flow in (there, back, answer, out)] == ["accept", "drop", "accept", "drop"]
    assert "rewritten_source" not in there


@pytest.mark.parametrize("family", FAMILIES)
def test_several_wans(router: Host, family: str) -> None:
    apply(router, lan=LAN, wan={**WAN, **SECOND})
    flows = [through(family, "lan0", "wan0"), through(family, "lan0", "wan1"), through(family, "wan0", "wan1"), through(family, "wan1", "lan0")]
    assert verdicts(router, *flows) == ["accept", "accept", "drop", "drop"]


@pytest.mark.parametrize("family", FAMILIES)
def test_segments_are_kept_as_small_as_the_path_needs(router: Host, family: str) -> None:
    def clamped() -> list[str]:
        return [rule for rule in rules(router.save(family), "mangle") if "TCPMSS" in rule]

    apply(router, lan=LAN, wan=WAN)
    assert [rule.split()[2:4] for rule in clamped()] == [["-o", "wan0"], ["-i", "wan0"]]
    apply(router, lan=LAN, wan=WAN, mss_clamp=False)
    assert clamped() == []


SEGMENTS = """
import socket, sys
with socket.create_server(("", 443), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("ready", flush=True)
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"%d" % connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""
OPEN = """
import socket
with socket.create_connection(("{to}", 443), 5) as connection:
    print(connection.recv(100).decode(), connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""


def plug(host: Host, name: str, there: Host, name_there: str) -> None:
    """Lay a cable from one host to another."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", name_there, "netns", str(there.pid))
    for member, interface in ((host, name), (there, name_there)):
        member.run("ip", "link", "set", interface, "up")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_ends_of_a_connection_agree_on_small_segments(new_host: Callable[[], Host], family: str) -> None:
    """The WAN takes 1400 bytes, and neither end can know: each has 1500 on its own wire."""
    client, host, server = new_host(), new_host(), new_host()
    plug(host, "lan0", client, "eth0")
    plug(host, "wan0", server, "eth0")
    length = {"ipv4": "24", "ipv6": "64"}[family]
    for member, link, address in ((client, "eth0", THERE["lan0"]), (host, "lan0", None), (host, "wan0", None), (server, "eth0", THERE["wan0"])):
        text = f"{address[family]}/{length}" if address else LINKS[link][family]
        member.run("ip", "address", "add", text, "dev", link, *(["nodad"] if family == "ipv6" else []))
    for member, gateway in ((client, "lan0"), (server, "wan0")):
        member.run("ip", f"-{family[-1]}", "route", "add", "default", "via", own(family, gateway))
    host.run("ip", "link", "set", "wan0", "mtu", "1400")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    # Segments are smaller than what is announced by the option for times, which each of them carries.
    largest = 1400 - {"ipv4": 40, "ipv6": 60}[family] - 12
    with server.start(sys.executable, "-c", SEGMENTS) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "ready\n"
        found = []
        for clamp in (True, False):
            apply(host, lan=LAN, wan=WAN, mss_clamp=clamp)
            found.append(client.run(sys.executable, "-c", OPEN.format(to=THERE["wan0"][family])).stdout.split())
        listening.kill()
    assert found == [[str(largest)] * 2, [str(largest + 100)] * 2]
