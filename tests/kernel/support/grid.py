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

    def add(self, *flows: dict[str, Any], **tags: Any) -> None:
        self.cases.append(Case(list(flows), tags))

    # One packet

    def into(self, places: Iterable[Place], protocol: str, ports: Sequence[int], *, flags: Sequence[str] = ("SYN",),
             source_ports: Sequence[int] = (0,)) -> None:
        """Packets for the host itself. Port 0: one of a client's."""
        for place, port, segment, source_port in product(places, ports, _segments(protocol, flags), source_ports):
            flow = self._to_host(place, protocol)
            flow.update(port=port, source_port=source_port or self.port(), **segment)
            self.add(flow, hook="input", interface=place.interface, who=place.who, protocol=protocol, port=port, source_port=source_port, **segment)

    def ping(self, places: Iterable[Place], types: Sequence[str] = ICMP_TYPES, protocol: str = "icmp") -> None:
        """Control messages to the host."""
        for place, kind in product(places, types):
            flow = {**self._to_host(place, protocol), "icmp_type": kind}
            self.add(flow, hook="input", interface=place.interface, who=place.who, protocol=protocol, type=kind)

    def out(self, places: Iterable[Place], protocol: str, ports: Sequence[int], *, flags: Sequence[str] = ("SYN",),
            source_ports: Sequence[int] = (0,)) -> None:
        """Packets of the host itself."""
        for place, port, segment, source_port in product(places, ports, _segments(protocol, flags), source_ports):
            flow = self._from_host(place, protocol)
            flow.update(port=port, source_port=source_port or self.port(), **segment)
            self.add(flow, hook="output", interface=place.interface, who=place.who, protocol=protocol, port=port, source_port=source_port, **segment)

    def ping_out(self, places: Iterable[Place], types: Sequence[str] = ("0", "3/3", "8", "11", "13"), protocol: str = "icmp") -> None:
        """Control messages that the host sends."""
        for place, kind in product(places, types):
            flow = {**self._from_host(place, protocol), "icmp_type": kind}
            self.add(flow, hook="output", interface=place.interface, who=place.who, protocol=protocol, type=kind)

    def across(self, come: Place, go: Place, protocol: str, ports: Sequence[int] = (), *, flags: Sequence[str] = ("SYN",),
               types: Sequence[str] = (), state: str = "new", to: str = "") -> None:
        """Packets from one side of the host to another. `to` is an address of the host that its nat may give to somebody else."""
        what = [{"port": port, **segment} for port, segment in product(ports, _segments(protocol, flags))] or [{"icmp_type": kind} for kind in types]
        for tags in what:
            flow = {**self._to_host(come, protocol), **tags, "destination": to or go.address()}
            if not to:
                flow.update(hook="forward", out_interface=go.interface)
            if ports:
                flow["source_port"] = self.port()
            if state == "established":
                flow = {key: value for key, value in {**flow, "state": state}.items() if key != "flags"}
            self.add(flow, hook=flow["hook"], interface=come.interface, who=come.who, towards=to or go.who, protocol=protocol, state=state,
                     **{"type" if key == "icmp_type" else key: value for key, value in tags.items()})

    def _to_host(self, place: Place, protocol: str) -> dict[str, Any]:
        flow = {"hook": "input", "in_interface": place.interface, "source": place.address(), "destination": self.own[place.interface],
                "protocol": protocol}
        return {**flow, "source_mac": place.mac} if place.mac else flow

    def _from_host(self, place: Place, protocol: str) -> dict[str, Any]:
        return {"hook": "output", "out_interface": place.interface, "source": self.own[place.interface], "destination": place.address(),
                "protocol": protocol}

    # Connections

    def known(self, places: Iterable[Place], *ports: tuple[str, int], hook: str = "input") -> None:
        """The next packet of connections that were there before the rules. Port 0 for those that have none."""
        for place, (protocol, port) in product(places, ports):
            flow = {**(self._to_host if hook == "input" else self._from_host)(place, protocol), "state": "established"}
            if port:
                flow.update(port=port, source_port=self.port())
            self.add(flow, hook=hook, interface=place.interface, who=place.who, protocol=protocol, port=port, state="established")

    def served(self, places: Iterable[Place], *ports: tuple[str, int]) -> None:
        """A client's connection to the host: its first packet, the answer, and one more of each."""
        for place, (protocol, port) in product(places, ports):
            ask = {**self._to_host(place, protocol), "port": port, "source_port": self.port()}
            self.add(*_conversation(ask, {"hook": "output", "out_interface": place.interface}), hook="input", interface=place.interface,
                     who=place.who, protocol=protocol, port=port, kind="served")

    def asked(self, places: Iterable[Place], *ports: tuple[str, int]) -> None:
        """A connection that the host opens: its first packet, the answer, and one more of each."""
        for place, (protocol, port) in product(places, ports):
            ask = {**self._from_host(place, protocol), "port": port, "source_port": self.port()}
            self.add(*_conversation(ask, {"hook": "input", "in_interface": place.interface}), hook="output", interface=place.interface,
                     who=place.who, protocol=protocol, port=port, kind="asked")

    def again(self, place: Place, protocol: str, port: int, times: int) -> None:
        """The same client opens a connection to the host so many times: for what rules remember."""
        flow = {**self._to_host(place, protocol), "count": times, **({"port": port} if port else {})}
        tags = {"hook": "input", "interface": place.interface, "who": place.who, "protocol": protocol, "port": port, "kind": "again", "times": times}
        self.cases.append(Case([flow], tags, alone=True))

    def knocks(self, place: Place, name: str, *ports: tuple[str, int], conversation: bool = False) -> None:
        """Packets of one client, in order; the last of them may begin a conversation."""
        source = place.address()
        flows = [{**self._to_host(place, protocol), "source": source, "port": port, "source_port": self.port()} for protocol, port in ports]
        if conversation:
            flows[-1:] = _conversation(flows[-1], {"hook": "output", "out_interface": place.interface})
        self.add(*flows, hook="input", interface=place.interface, who=place.who, kind="knocks", order=name)


def _segments(protocol: str, flags: Sequence[str]) -> list[dict[str, str]]:
    return [{"flags": one} for one in flags] if protocol == "tcp" else [{}]


def _conversation(ask: dict[str, Any], back: dict[str, Any]) -> list[dict[str, Any]]:
    answer = {**back, "protocol": ask["protocol"], "source": ask["destination"], "destination": ask["source"], "port": ask["source_port"],
              "source_port": ask["port"]}
    if ask["protocol"] != "tcp":
        return [ask, answer, ask, answer]
    return [{**ask, "flags": "SYN"}, {**answer, "flags": "SYN,ACK"}, {**ask, "flags": "ACK"}, {**answer, "flags": "ACK"}]


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
