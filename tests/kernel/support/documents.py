# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source documents: for each transcript the host that it is for, and the grid of flows that its rules may tell apart. It judges nothing."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .grid import ICMP_TYPES, SEGMENTS, Grid, Place

FOLDER = Path(__file__).resolve().parents[1] / "data" / "documents"
LEAST_FLOWS = 300


def _nothing(_flow: dict[str, Any]) -> bool:
    return False


@dataclass(frozen=True)
class Document:
    """`script` is run with `environment`; `policy` names the variables beside it. `remembered`: packets that its rules count."""

    script: str
    fill: Callable[[Grid], None]
    own: dict[str, str]
    via: str
    policy: str = ""
    family: str = "ipv4"
    environment: dict[str, str] = field(default_factory=dict)
    remembered: Callable[[dict[str, Any]], bool] = _nothing

    @property
    def name(self) -> str:
        return self.policy or self.script

    def grid(self) -> Grid:
        grid = Grid(self.own)
        self.fill(grid)
        return grid


# A single host: eth0 with the default route, and wlan0 that no rule names.

OWN = {"eth0": "192.168.7.1", "wlan0": "10.9.0.1", "lo": "127.0.0.1"}
OWN_ETH1 = {"eth1": "192.168.7.1", "wlan0": "10.9.0.1", "lo": "127.0.0.1"}
OWN_6 = {"eth0": "2001:db8:7::1", "wlan0": "2001:db8:9::1", "lo": "::1"}


def _places(grid: Grid) -> tuple[Place, Place, Place, Place]:
    """The link of the first interface, the Internet behind it, the link of the other, and the host itself."""
    first = next(iter(grid.own))
    if ":" in grid.own[first]:
        networks = ("2001:db8:7::/120", "2001:db8:51::/120", "2001:db8:9::/120", "::1/128")
    else:
        networks = ("192.168.7.0/24", "198.51.100.0/24", "10.9.0.0/24", "127.0.0.1/32")
    return (Place(first, "neighbour", networks[0]), Place(first, "internet", networks[1]), Place("wlan0", "other link", networks[2]),
            Place("lo", "itself", networks[3]))


def _personal(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    trusted_mac = "00:a0:c9:96:94:d3"
    trusted = Place("eth0", "trusted", "192.168.7.2/32", trusted_mac)
    stranger = Place("eth0", "trusted address, another card", "192.168.7.2/32", "02:00:00:00:00:99")
    moved = Place("eth0", "trusted card, another address", "192.168.7.128/25", trusted_mac)
    elsewhere = Place("wlan0", "trusted by the other link", "192.168.7.2/32", trusted_mac)
    tcp = (20, 21, 22, 23, 25, 53, 79, 80, 81, 111, 137, 138, 139, 140, 443, 444, 445, 631, 872, 873, 2049, 8080, 16383, 16384, 16385, 65535)
    udp = (22, 53, 68, 80, 111, 123, 136, 137, 138, 139, 161, 445, 631, 1024, 1025, 1900, 2049, 5353, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((trusted, stranger, moved, elsewhere), "tcp", (22, 25, 2049, 16385))
    grid.into((near, far, trusted), "tcp", (22, 80, 445, 2049), flags=SEGMENTS[1:])
    grid.into((near, far, other), "udp", udp)
    grid.into((trusted, stranger, moved, elsewhere), "udp", (111, 137, 2049))
    grid.into((near, far, other), "udp", (53, 137, 1024, 1025, 5000, 65535), source_ports=(137, 138, 139, 631))
    grid.into((near, other), "udp", (68, 631), source_ports=(67, 631, 632))
    grid.into((near, far), "tcp", (22, 1025), source_ports=(20, 138, 500))
    grid.ping((near, other), ICMP_TYPES)
    grid.ping((trusted, stranger), ("8", "13", "17"))
    grid.into((itself,), "tcp", (22, 25, 631))
    grid.into((itself,), "udp", (53, 631))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    _connections(grid, near, far, other)
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (22, 25, 80, 443), flags=("SYN", "ACK"))
    grid.out((near, far, other), "udp", (53, 123, 137, 5353))
    grid.ping_out((near, other))
    for place in (near, other):
        grid.served((place,), ("tcp", 22), ("tcp", 25), ("udp", 137), ("udp", 500))
        grid.asked((place,), ("tcp", 443), ("udp", 53), ("tcp", 21))


def _connections(grid: Grid, *places: Place) -> None:
    grid.known(places, ("tcp", 22), ("tcp", 4000), ("udp", 4000), ("icmp" if ":" not in next(iter(grid.own.values())) else "ipv6-icmp", 0))
    grid.known(places, ("tcp", 443), ("udp", 4000), hook="output")


def _forwarded(grid: Grid, near: Place, other: Place) -> None:
    icmp = "icmp" if ":" not in next(iter(grid.own.values())) else "ipv6-icmp"
    for come, go in ((near, other), (other, near)):
        grid.across(come, go, "tcp", (22, 80, 445), flags=("SYN", "ACK", "SYN,ACK", "NONE"))
        grid.across(come, go, "udp", (53, 137, 500))
        grid.across(come, go, icmp, types=("8", "13") if icmp == "icmp" else ("128", "1"))


def _securing(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    six = grid.own["lo"] == "::1"
    icmp = "ipv6-icmp" if six else "icmp"
    one = Place("eth0", "the listed host", "2001:db8:158::25/128" if six else "192.158.3.25/32")
    beside = Place("eth0", "beside the listed host", "2001:db8:158::26/128" if six else "192.158.3.26/32")
    within = Place("eth0", "the listed network", "2001:db8:1003::/120" if six else "10.3.7.0/24")
    without = Place("wlan0", "the next network", "2001:db8:1004::/120" if six else "10.4.0.0/24")
    tcp = (21, 22, 23, 25, 53, 79, 80, 81, 110, 143, 442, 443, 444, 993, 3305, 3306, 3307, 5432, 8080, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((one, beside, within, without), "tcp", (22, 80, 3305, 3306, 3307))
    grid.into((near, other, within), "tcp", (22, 80, 443, 3306), flags=SEGMENTS[1:])
    grid.into((near, far, other), "udp", (22, 53, 67, 68, 80, 123, 137, 161, 443, 500, 3306, 5353, 65535))
    grid.into((one, within), "udp", (3306, 53))
    grid.into((near, far), "tcp", (80, 3306), source_ports=(20, 500, 65535))
    grid.into((near, far), "udp", (68, 80), source_ports=(53, 67, 123))
    types = ("1", "1/4", "2", "3", "4", "128", "129", "130", "133", "135", "136", "137", "138") if six else ICMP_TYPES
    grid.ping((near, other, one), types, icmp)
    if not six:
        grid.ping((within,), ("8", "13", "17"), icmp)
    grid.into((itself,), "tcp", (22, 25, 3306))
    grid.into((itself,), "udp", (53, 631))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    _connections(grid, near, far, other)
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (22, 25, 80, 443), flags=("SYN", "ACK"))
    grid.out((near, far, other), "udp", (53, 123, 500))
    grid.ping_out((near, other), ("128", "129", "135", "136", "1") if six else ("0", "3/3", "8", "11", "13"), icmp)
    for place in (near, other):
        grid.served((place,), ("tcp", 80), ("tcp", 3306), ("tcp", 22), ("udp", 53))
        grid.asked((place,), ("tcp", 443), ("udp", 53), ("tcp", 21))
    for times in (3, 4, 5, 6):
        grid.again(near, "tcp", 22, times)
    grid.again(far, "tcp", 80, 12)
    grid.again(within, "tcp", 3306, 6)


def _ssh(flow: dict[str, Any]) -> bool:
    return flow["protocol"] == "tcp" and flow.get("port") == 22


def _surfing(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    tcp = (20, 21, 22, 25, 53, 80, 110, 111, 113, 139, 143, 443, 445, 631, 3306, 6000, 8080, 65535)
    udp = (22, 53, 67, 68, 111, 123, 137, 138, 161, 500, 631, 1900, 4500, 5353, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((near, far, other), "tcp", (22, 80, 113), flags=SEGMENTS[1:])
    grid.into((near, far, other), "udp", udp)
    grid.into((near, far), "udp", (68, 1025), source_ports=(53, 67, 138))
    grid.into((near, far), "tcp", (1025, 6000), source_ports=(20, 53))
    grid.ping((near, far, other))
    grid.into((itself,), "tcp", (22, 25, 631))
    grid.into((itself,), "udp", (53, 631))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    _connections(grid, near, far, other)
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (21, 22, 25, 80, 443), flags=("SYN", "ACK", "SYN,ACK"))
    grid.out((near, far, other), "udp", (53, 68, 123, 137, 5353))
    grid.ping_out((near, far, other))
    for place in (near, far, other):
        grid.served((place,), ("tcp", 22), ("udp", 500))
        grid.asked((place,), ("tcp", 443), ("udp", 53), ("tcp", 21))


def _knocking(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    nearby = Place(near.interface, "a neighbour that knocks", "192.168.7.0/24")
    tcp = (20, 21, 22, 23, 25, 53, 79, 80, 81, 110, 443, 445, 3306, 8080, 12345, 23456, 34567, 65535)
    udp = (22, 53, 68, 80, 123, 137, 12344, 23456, 34567, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((near, other), "tcp", (22, 80, 8080), flags=SEGMENTS[1:])
    grid.into((near, far, other), "udp", udp)
    grid.into((near,), "udp", (68, 1025), source_ports=(53, 67))
    grid.ping((near, other), [kind for kind in ICMP_TYPES if kind != "8"])
    grid.ping((near, far, other), ("8",))
    grid.into((itself,), "tcp", (22, 25, 80))
    grid.into((itself,), "udp", (53, 12345))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    spoofed = Place("wlan0", "a loopback address by a link", "127.0.0.0/28")
    grid.into((spoofed,), "tcp", (22, 80))
    _connections(grid, near, far, other)
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (21, 22, 25, 53, 54, 80, 443), flags=("SYN", "ACK"))
    grid.out((near, far, other), "udp", (53, 54, 67, 123, 5353))
    grid.out((near, other), "tcp", (30001,), source_ports=(20, 22, 80), flags=("SYN", "ACK", "SYN,ACK"))
    grid.ping_out((near, far, other))
    for place in (near, far, other):
        grid.served((place,), ("tcp", 80), ("tcp", 22), ("tcp", 443), ("udp", 53))
        grid.asked((place,), ("tcp", 53), ("udp", 53), ("tcp", 21), ("tcp", 80), ("tcp", 443), ("udp", 123))
    first, second, third, ssh = ("udp", 12345), ("udp", 23456), ("udp", 34567), ("tcp", 22)
    for name, steps in (
        ("right", (first, second, third, ssh)), ("ssh twice", (first, second, third, ssh, ssh)), ("no third", (first, second, ssh)),
        ("no first", (second, third, ssh)), ("swapped", (second, first, third, ssh)), ("third and second swapped", (first, third, second, ssh)),
        ("first twice", (first, first, second, third, ssh)), ("second twice", (first, second, second, third, ssh)),
        ("third twice", (first, second, third, third, ssh)), ("by tcp", (("tcp", 12345), ("tcp", 23456), ("tcp", 34567), ssh)),
        ("another port between", (first, second, ("udp", 23457), third, ssh)), ("another service", (first, second, third, ("tcp", 23))),
        ("another service first", (first, second, third, ("tcp", 23), ssh)), ("the web between", (first, ("tcp", 80), second, third, ssh)),
        ("on from the second", (first, second, ("tcp", 25), second, third, ssh)), ("on from the third", (first, second, third, first, third, ssh)),
        ("begun anew", (first, second, ("tcp", 25), first, second, third, ssh)), ("right, twice", (first, second, third, ssh) * 2),
    ):
        grid.knocks(nearby, name, *steps)
    grid.knocks(other, "by the other link", first, second, third, ssh)
    grid.knocks(nearby, "right, and what follows", first, second, third, ssh, conversation=True)
    grid.knocks(nearby, "wrong, and what follows", first, third, second, ssh, conversation=True)
    grid.again(near, "icmp", 0, 30)
    grid.again(near, "tcp", 80, 12)


def _knocks_or_ping(flow: dict[str, Any]) -> bool:
    return flow["protocol"] == "icmp" and flow["hook"] == "input" and flow.get("icmp_type", "8") == "8"


def _fetching(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    tcp = (20, 21, 22, 23, 25, 53, 80, 110, 443, 445, 1023, 1024, 3306, 8080, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((near, other), "tcp", (22, 80, 8080), flags=SEGMENTS[1:])
    grid.into((near, far, other), "udp", (22, 53, 68, 80, 123, 137, 500, 65535))
    grid.into((near, far), "tcp", (22, 1025, 30001), source_ports=(20, 21, 80, 1024), flags=("SYN", "ACK"))
    grid.into((near,), "udp", (68, 1025), source_ports=(53, 67))
    grid.ping((near, other), [kind for kind in ICMP_TYPES if kind != "8"])
    grid.ping((near, far, other), ("8",))
    grid.into((itself,), "tcp", (22, 25, 80))
    grid.into((itself,), "udp", (53, 631))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    _connections(grid, near, far, other)
    grid.known((near, other), ("tcp", 80), ("tcp", 20), ("tcp", 21), ("tcp", 53), ("tcp", 4000), hook="output")
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (20, 21, 22, 25, 53, 54, 80, 443, 8080), flags=("SYN", "ACK"))
    grid.out((near, far, other), "udp", (53, 54, 67, 123, 5353))
    grid.out((near, other), "tcp", (30001,), source_ports=(20, 22, 80, 1024), flags=("SYN", "ACK", "SYN,ACK"))
    grid.ping_out((near, far, other))
    for place in (near, far, other):
        grid.served((place,), ("tcp", 22), ("tcp", 80), ("udp", 53))
        grid.asked((place,), ("tcp", 53), ("udp", 53), ("tcp", 21), ("tcp", 80), ("tcp", 443), ("udp", 123))
    grid.again(near, "icmp", 0, 30)
    grid.again(near, "tcp", 22, 12)


def _serving(grid: Grid) -> None:
    near, far, other, itself = _places(grid)
    tcp = (20, 21, 22, 23, 25, 26, 53, 80, 81, 110, 143, 443, 445, 993, 3306, 6667, 8080, 61999, 62000, 63000, 64000, 64001)
    udp = (21, 22, 25, 53, 54, 67, 68, 80, 123, 137, 443, 6667, 62000, 65535)
    grid.into((near, far, other), "tcp", tcp)
    grid.into((near,), "tcp", tcp, source_ports=(20, 500, 1023, 1024, 65535))
    grid.into((near, other), "tcp", (21, 22, 80, 443, 53, 62000, 3306), flags=SEGMENTS[1:])
    grid.into((near, far), "tcp", (25, 3306), source_ports=(20, 500), flags=("ACK", "FIN"))
    grid.into((near, far, other), "udp", udp)
    grid.into((near, far), "udp", (53, 68, 1025), source_ports=(53, 67, 500))
    grid.ping((near, other), ICMP_TYPES)
    grid.into((itself,), "tcp", (22, 25, 3306))
    grid.into((itself,), "udp", (53, 631))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    _connections(grid, near, far, other)
    _forwarded(grid, near, other)
    grid.out((near, far, other), "tcp", (22, 25, 53, 80), flags=("SYN", "ACK"))
    grid.out((near, far, other), "udp", (53, 123, 5353))
    grid.ping_out((near, other))
    for place in (near, other):
        grid.served((place,), ("tcp", 21), ("tcp", 80), ("tcp", 443), ("udp", 53), ("tcp", 3306), ("tcp", 62000))
        grid.asked((place,), ("tcp", 443), ("tcp", 53), ("udp", 53), ("tcp", 25))
        grid.known((place,), ("tcp", 80), ("tcp", 62000), ("udp", 53))


# A router: WAN1 with the default route, LAN1, and LAN2 that no document names.

ROUTER = {"WAN1": "203.0.113.1", "LAN1": "192.168.0.1", "LAN2": "192.168.2.1", "lo": "127.0.0.1"}
BOGONS = ("10.1.2.0/24", "172.16.3.0/24", "172.32.0.0/24", "192.168.55.0/24", "0.1.2.0/24", "127.1.0.0/24", "224.0.1.0/24", "240.0.0.0/24",
          "169.254.7.0/24", "192.0.2.0/24", "192.0.3.0/24", "11.0.0.0/24")


def _router(grid: Grid) -> None:
    wan, lan = Place("WAN1", "internet", "198.51.100.0/24"), Place("LAN1", "lan", "192.168.0.0/24")
    second = Place("LAN2", "second lan", "192.168.2.0/24")
    itself = Place("lo", "itself", "127.0.0.1/32")
    tcp = (21, 22, 25, 53, 80, 112, 113, 114, 139, 443, 445, 3128, 8080, 65535)
    udp = (53, 67, 68, 123, 137, 500, 1900, 65535)
    grid.into((wan, lan, second), "tcp", tcp)
    grid.into((wan, lan), "tcp", (22, 80, 113), flags=SEGMENTS[1:])
    grid.into((wan, lan, second), "udp", udp)
    grid.into((wan, lan), "udp", (68, 1025), source_ports=(53, 67))
    grid.into((wan,), "tcp", (1025, 30001), source_ports=(80, 20), flags=("SYN", "ACK", "SYN,ACK"))
    dhcp = {"protocol": "udp", "source_port": 67, "port": 68, "destination": "255.255.255.255"}
    for place, source in ((wan, "0.0.0.0"), (wan, "198.51.100.254"), (lan, "0.0.0.0")):
        grid.add({"hook": "input", "in_interface": place.interface, "source": source, **dhcp}, hook="input", interface=place.interface, who=source,
                 protocol="udp", kind="dhcp")
    grid.ping((wan, lan), ICMP_TYPES)
    grid.ping((second,), ("8", "3/1", "13"))
    for network in BOGONS:
        for place in (Place("WAN1", network, network), Place("LAN1", network, network)):
            grid.into((place,), "tcp", (22, 113))
            grid.ping((place,), ("8",))
    grid.into((itself,), "tcp", (22, 80, 3128))
    grid.into((itself,), "udp", (53,))
    grid.out((itself,), "tcp", (25,))
    grid.out((itself,), "udp", (53,))
    sides = (wan, lan, second)
    for come in sides:
        for go in sides:
            if come is not go:
                grid.across(come, go, "tcp", (22, 80, 443, 8080), flags=("SYN", "ACK", "NONE"))
                grid.across(come, go, "udp", (53, 500))
                grid.across(come, go, "icmp", types=("8", "13", "3/1"))
                grid.across(come, go, "tcp", (22,), state="established")
                grid.across(come, go, "udp", (500,), state="established")
    web = Place("LAN1", "the web server", "192.168.0.2/32")
    for come in (wan, second):
        grid.across(come, web, "tcp", (22, 80, 443, 8080), flags=("SYN", "ACK"))
        grid.across(come, web, "udp", (80, 443))
    for come in sides:
        grid.across(come, web, "tcp", (80, 443, 81), to="203.0.113.1")
    # What is spoofed on its way to the LAN.
    for network in BOGONS:
        grid.across(Place("WAN1", network, network), web, "tcp", (80, 22))
    grid.out(sides, "tcp", (22, 25, 80, 443), flags=("SYN", "ACK"))
    grid.out(sides, "udp", (53, 67, 123))
    grid.ping_out(sides)
    grid.known((wan, lan), ("tcp", 22), ("udp", 4000), ("icmp", 0))
    grid.known((wan, lan), ("tcp", 80), ("tcp", 443), ("udp", 53), ("udp", 123), hook="output")
    for place in sides:
        grid.served((place,), ("tcp", 22), ("tcp", 3128), ("udp", 53))
        grid.asked((place,), ("tcp", 80), ("tcp", 443), ("udp", 53), ("udp", 123))


DOCUMENTS = (
    Document("000", _personal, OWN, "192.168.7.254"),
    Document("001", _securing, OWN, "192.168.7.254", remembered=_ssh),
    Document("001", _securing, OWN_6, "2001:db8:7::fe", policy="001_ipv6", family="ipv6", remembered=_ssh,
             environment={"iptables": "ip6tables", "host": "2001:db8:158::25", "network": "2001:db8:1003::/48"}),
    Document("002_personal", _surfing, OWN, "192.168.7.254"),
    Document("002_router", _router, ROUTER, "203.0.113.254"),
    Document("002_options", _router, ROUTER, "203.0.113.254"),
    Document("002_busybox", _router, ROUTER, "203.0.113.254"),
    Document("003", _knocking, OWN_ETH1, "192.168.7.254", remembered=_knocks_or_ping),
    Document("003_ports", _fetching, OWN, "192.168.7.254", remembered=_knocks_or_ping),
    Document("004", _serving, OWN, "192.168.7.254"),
)
