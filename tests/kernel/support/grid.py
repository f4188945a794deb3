# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grids of flows: every combination of interface, source, protocol, port, flags and state that a set of rules may tell apart. Pure.

A place is where packets come from or go to: an interface, who is there, and the addresses to choose from. Each case takes the next
address and the next port, so that conntrack and `recent` remember nothing of one case when the next one comes, and hundreds of cases
share one copy of the rules.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, product
from typing import Any

#: Ports that a client's system takes, and no rule of a document names.
CLIENT_PORTS = range(30000, 34000)
#: Nothing but a SYN opens a connection; these are what a scanner sends instead.
SEGMENTS = ("SYN", "ACK", "SYN,ACK", "FIN", "RST", "NONE", "FIN,PSH,URG", "SYN,FIN", "SYN,ECE,CWR", "PSH,ACK")
ICMP_TYPES = ("0", "3/1", "3/3", "3/4", "4", "5/1", "8", "9", "10", "11", "12", "13", "17")
#: More echo-requests than this meet a rate limit, were they in one rig.
FEW = 4


@dataclass
class Case:
    """One flow, or several that make a connection or a sequence of knocks; `tags` say what it is, for the table of differences."""

    flows: list[dict[str, Any]]
    tags: dict[str, Any]
    alone: bool = False

    def text(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.tags.items())


@dataclass
class Place:
    """Packets come in by `interface` from `who`: one of `addresses` (a network or one address), with this MAC address if any."""

    interface: str
    who: str
    addresses: str
    mac: str = ""
    _next: Iterator[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._next = self._cycle()

    def _cycle(self) -> Iterator[str]:
        network = ipaddress.ip_network(self.addresses)
        first = 1 if network.num_addresses > 2 else 0
        size = min(network.num_addresses - 2 * first, 200)
        for number in count():
            yield str(network[first * 10 + number % size] if first else network[0])

    def address(self) -> str:
        return str(next(self._next))


@dataclass
class Grid:
    """Makes cases. `own` is the host's address by interface."""

    own: dict[str, str]
    cases: list[Case] = field(default_factory=list)
    _ports: Iterator[int] = field(default_factory=lambda: (CLIENT_PORTS[number % len(CLIENT_PORTS)] for number in count()))

    def port(self) -> int:
        return next(self._ports)

    def add(self, *flows: dict[str, Any], alone: bool = False, **tags: Any) -> None:
        self.cases.append(Case(list(flows), tags, alone))

    # One packet

    def into(self, places: Iterable[Place], protocol: str, ports: Sequence[int], *, flags: Sequence[str] = ("SYN",), source_ports: Sequence[int] = (),
             **more: Any) -> None:
        """Packets for the host itself."""
        several = flags if protocol == "tcp" else ("",)
        for place, port, segment, source_port in product(places, ports, several, source_ports or (0,)):
            flow = self._from(place, protocol, port, segment, source_port)
            flow["destination"] = more.get("destination", self.own[place.interface])
            self.add(flow, hook="input", interface=place.interface, who=place.who, protocol=protocol, port=port, flags=segment, source_port=source_port)

    def _from(self, place: Place, protocol: str, port: int, segment: str, source_port: int) -> dict[str, Any]:
        flow: dict[str, Any] = {"hook": "input", "in_interface": place.interface, "source": place.address(), "protocol": protocol, "port": port,
                                "source_port": source_port or self.port()}
        if place.mac:
            flow["source_mac"] = place.mac
        return {**flow, "flags": segment} if segment else flow

    def ping(self, places: Iterable[Place], types: Sequence[str] = ICMP_TYPES, protocol: str = "icmp") -> None:
        """Control messages to the host."""
        for place, kind in product(places, types):
            flow: dict[str, Any] = {"hook": "input", "in_interface": place.interface, "source": place.address(), "protocol": protocol, "icmp_type": kind,
                                    "destination": self.own[place.interface]}
            if place.mac:
                flow["source_mac"] = place.mac
            self.add(flow, hook="input", interface=place.interface, who=place.who, protocol=protocol, type=kind)

    def out(self, places: Iterable[Place], protocol: str, ports: Sequence[int], *, flags: Sequence[str] = ("SYN",),
            source_ports: Sequence[int] = ()) -> None:
        """Packets of the host itself."""
        for place, port, segment, source_port in product(places, ports, flags if protocol == "tcp" else ("",), source_ports or (0,)):
            flow: dict[str, Any] = {"hook": "output", "out_interface": place.interface, "source": self.own[place.interface], "destination": place.address(),
                                    "protocol": protocol, "port": port, "source_port": source_port or self.port()}
            if segment:
                flow["flags"] = segment
            self.add(flow, hook="output", interface=place.interface, who=place.who, protocol=protocol, port=port, flags=segment, source_port=source_port)

    def ping_out(self, places: Iterable[Place], types: Sequence[str] = ("0", "3/3", "8", "11", "13"), protocol: str = "icmp") -> None:
        """Control messages that the host sends."""
        for place, kind in product(places, types):
            self.add({"hook": "output", "out_interface": place.interface, "source": self.own[place.interface], "destination": place.address(),
                      "protocol": protocol, "icmp_type": kind}, hook="output", interface=place.interface, who=place.who, protocol=protocol, type=kind)

    def across(self, come: Place, go: Place, protocol: str, ports: Sequence[int] = (), *, flags: Sequence[str] = ("SYN",), types: Sequence[str] = (),
               state: str = "new", to: str = "") -> None:
        """Packets from one side of the host to another. `to` is an address of the host that its nat gives to somebody else."""
        for port, segment in product(ports or types, flags if protocol == "tcp" else ("",)):
            flow: dict[str, Any] = {"hook": "input" if to else "forward", "in_interface": come.interface, "source": come.address(),
                                    "destination": to or go.address(), "protocol": protocol}
            if not to:
                flow["out_interface"] = go.interface
            flow.update({"icmp_type": port} if types else {"port": port, "source_port": self.port()})
            if come.mac:
                flow["source_mac"] = come.mac
            if state == "established":
                flow["state"] = state
            elif segment:
                flow["flags"] = segment
            what = {"type": port} if types else {"port": port, "flags": segment}
            self.add(flow, hook=flow["hook"], interface=come.interface, who=come.who, towards=go.who if not to else to, protocol=protocol, state=state, **what)

    # Connections

    def known(self, places: Iterable[Place], *ports: tuple[str, int], hook: str = "input") -> None:
        """The next packet of connections that were there before the rules."""
        for place, (protocol, port) in product(places, ports):
            mine, other = self.own[place.interface], place.address()
            ends = (other, mine) if hook == "input" else (mine, other)
            flow = {"hook": hook, "source": ends[0], "destination": ends[1], "protocol": protocol, "state": "established",
                    "in_interface" if hook == "input" else "out_interface": place.interface}
            if port:
                flow.update(port=port, source_port=self.port())
            if place.mac and hook == "input":
                flow["source_mac"] = place.mac
            self.add(flow, hook=hook, interface=place.interface, who=place.who, protocol=protocol, port=port, state="established")

    def served(self, places: Iterable[Place], *ports: tuple[str, int]) -> None:
        """A client's connection to the host: its first packet, the answer, and one more of each."""
        for place, (protocol, port) in product(places, ports):
            ask = self._from(place, protocol, port, "SYN" if protocol == "tcp" else "", 0)
            ask["destination"] = self.own[place.interface]
            tags = {"hook": "input", "interface": place.interface, "who": place.who, "protocol": protocol, "port": port, "kind": "served"}
            self.add(*_conversation(ask, {"hook": "output", "out_interface": place.interface}, protocol), **tags)

    def asked(self, places: Iterable[Place], *ports: tuple[str, int], source_port: int = 0) -> None:
        """A connection that the host opens: its first packet, the answer, and one more of each."""
        for place, (protocol, port) in product(places, ports):
            ask: dict[str, Any] = {"hook": "output", "out_interface": place.interface, "source": self.own[place.interface], "destination": place.address(),
                                   "protocol": protocol, "port": port, "source_port": source_port or self.port()}
            if protocol == "tcp":
                ask["flags"] = "SYN"
            answer: dict[str, Any] = {"hook": "input", "in_interface": place.interface}
            if place.mac:
                answer["source_mac"] = place.mac
            tags = {"hook": "output", "interface": place.interface, "who": place.who, "protocol": protocol, "port": port, "kind": "asked"}
            self.add(*_conversation(ask, answer, protocol), **tags)

    def again(self, place: Place, protocol: str, port: int, times: int) -> None:
        """The same client opens a connection to the host so many times: for what rules remember."""
        flow: dict[str, Any] = {"hook": "input", "in_interface": place.interface, "source": place.address(), "destination": self.own[place.interface],
                                "protocol": protocol, "count": times}
        if protocol in ("tcp", "udp"):
            flow["port"] = port
        self.add(flow, alone=True, hook="input", interface=place.interface, who=place.who, protocol=protocol, port=port, kind="again", times=times)

    def knocks(self, place: Place, name: str, *ports: tuple[str, int]) -> None:
        """Packets of one client, in order."""
        source = place.address()
        flows = [{"hook": "input", "in_interface": place.interface, "source": source, "destination": self.own[place.interface], "protocol": protocol,
                  "port": port, "source_port": self.port()} for protocol, port in ports]
        self.add(*flows, hook="input", interface=place.interface, who=place.who, kind="knocks", order=name)


def _conversation(ask: dict[str, Any], back: dict[str, Any], protocol: str) -> list[dict[str, Any]]:
    answer = {**back, "protocol": protocol, "source": ask["destination"], "destination": ask["source"], "port": ask["source_port"],
              "source_port": ask["port"]}
    if protocol != "tcp":
        return [ask, answer, ask, answer]
    return [ask, {**answer, "flags": "SYN,ACK"}, {**ask, "flags": "ACK"}, {**answer, "flags": "ACK"}]


# Sharing rigs


@dataclass
class _Rig:
    cases: list[int] = field(default_factory=list)
    taken: set[Any] = field(default_factory=set)
    remembered: int = 0
    closed: bool = False


def share_rigs(cases: Sequence[Case], least: int, remembered: Callable[[dict[str, Any]], bool]) -> list[list[int]]:
    """Which cases go through one copy of the rules, by number: in at least so many rigs.

    No two cases of a rig are of one connection. Packets that are `remembered` (a limit counts them, or `recent` keeps their source) are few
    in a rig, and each from another source.
    """
    rigs = [_Rig() for _each in range(least)]
    for number, case in enumerate(cases):
        taken = {key for flow in case.flows for key in _keys(flow, remembered)}
        counted = any(map(remembered, case.flows))
        start = number % least
        order = [] if case.alone else [*rigs[start:least], *rigs[:start], *rigs[least:]]
        rig = next((one for one in order if not one.closed and not taken & one.taken and one.remembered + counted <= FEW), None)
        if rig is None:
            rig = _Rig(closed=case.alone)
            rigs.append(rig)
        rig.cases.append(number)
        rig.taken |= taken
        rig.remembered += counted
    return [rig.cases for rig in rigs if rig.cases]


def _keys(flow: dict[str, Any], remembered: Callable[[dict[str, Any]], bool]) -> Iterator[Any]:
    ends = frozenset(((flow["source"], flow.get("source_port")), (flow["destination"], flow.get("port"))))
    yield flow["protocol"], ends
    if remembered(flow):
        yield "remembered", flow["source"]
