# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port forwards, hairpin included, and IPv6 hosts that may be reached from outside. Pure.

To an IPv4 host a forward is a DNAT of what is addressed to the router, an accept in FORWARD of what was rewritten, and
the same for LANs that use the router's outer address (hairpin). To an IPv6 host it is an accept in FORWARD alone.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, by_source, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_entries import Entry, entries, references
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    SYN_ONLY,
    Rule,
    from_source,
    port_groups,
    port_matches,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import Lan

FORWARD_KEYS = ("from", "hairpin", "port", "protocols", "to", "to_port", "wan")
PROTOCOLS = ("tcp", "udp", "sctp")
LOCAL = "-m addrtype --dst-type LOCAL"
REWRITTEN = "-m conntrack --ctstate DNAT"


@dataclass(frozen=True)
class Forward:
    """A port of the router that leads to a host behind it, or an IPv6 host that may be reached.

    `to` is as iptables-save has it (with a prefix length or mask). No `ports` are all of them, no `protocols` is
    everything that IPv6 carries. `wans` is None for all.
    """

    name: str
    to: str
    family: int
    protocols: tuple[str, ...]
    ports: tuple[PortRange, ...]
    to_port: int | None = None
    sources: tuple[Source, ...] | None = None
    wans: tuple[str, ...] | None = None
    hairpin: bool = True

    @property
    def variable(self) -> str:
        return "firewall_forwards." + self.name

    @property
    def host(self) -> str:
        return self.to.partition("/")[0]

    @property
    def ports_inside(self) -> tuple[PortRange, ...]:
        return self.ports if self.to_port is None else (PortRange(self.to_port, self.to_port),)


# Reading


def read_forwards(given: Any, where: str, families: tuple[int, ...], wans: Iterable[str]) -> tuple[Forward, ...]:
    """Those for some sources come first: they are the exceptions."""
    wans = list(wans)
    forwards = [_forward(entry, families, wans) for entry in entries(given, where, FORWARD_KEYS)]
    for one, other in combinations(forwards, 2):
        _refuse_overlap(one, other)
    return tuple(sorted(forwards, key=lambda forward: forward.sources is None))


def _forward(entry: Entry, families: tuple[int, ...], wans: Sequence[str]) -> Forward:
    family, to = entry.needed("to", _destination)
    if family not in families:
        raise PalisadeError(f"{entry.at('to')}: {to} is IPv{family}, and firewall_families leaves that out")
    if family == 4 and "port" not in entry.given:
        raise PalisadeError(f"{entry.where}: needs `port`")
    if family == 6 and "to_port" in entry.given:
        raise PalisadeError(f"{entry.at('to_port')}: nothing is rewritten on the way to an IPv6 host; it is reached at its own port")
    ports: tuple[PortRange, ...] = entry.read("port", values.ports, ())
    return Forward(
        name=entry.name,
        to=to,
        family=family,
        protocols=entry.read("protocols", _protocols, ("tcp",) if ports else ()),
        ports=ports,
        to_port=entry.read("to_port", values.integer, None, 1, 65535),
        sources=entry.read("from", _sources, None, families, family),
        wans=entry.read("wan", references, None, "firewall_wan", wans),
        hairpin=entry.read("hairpin", values.boolean, True),
    )


def _protocols(value: Any, where: str) -> tuple[str, ...]:
    names = values.items(value, where)
    if not names:
        raise PalisadeError(f"{where}: the list is empty")
    return values.unique(values.choice(name, where, PROTOCOLS) for name in names)


def _sources(value: Any, where: str, families: tuple[int, ...], family: int) -> tuple[Source, ...]:
    sources = values.sources(value, where, families)
    if not sources:
        raise PalisadeError(f"{where}: the list is empty, which lets nobody in; leave it out to mean everybody")
    for source in sources:
        if source.family != family:
            raise PalisadeError(f"{where}: {source.text} is IPv{source.family}, and `to` is IPv{family}")
    return sources


def _destination(value: Any, where: str) -> tuple[int, str]:
    """The family and `to` as iptables-save spells it."""
    word = values.text(value, where).strip()
    if "/::" in word:
        return 6, _suffix(word, where)
    host = values.source(word, where)
    if host.is_range:
        raise PalisadeError(f"{where}: {host.text} is a range; a forward leads to one host (in IPv6, or to a network)")
    if host.family == 4 and host.first != host.last:
        raise PalisadeError(f"{where}: {host.text} is a network; an IPv4 forward leads to one host")
    if host.first.is_loopback:
        raise PalisadeError(f"{where}: {host.first} is the router itself; firewall_redirects leads to another port of it")
    if host.first.is_multicast or host.first.is_unspecified or str(host.first) == "255.255.255.255":
        raise PalisadeError(f"{where}: {host.first} is no host's address")
    return host.family, host.text


def _suffix(word: str, where: str) -> str:
    """An IPv6 host whatever its prefix is, such as `::10/::ffff:ffff:ffff:ffff`: the mask says which bits count."""
    parts = []
    for part in word.split("/", 1):
        try:
            parts.append(ipaddress.IPv6Address(part))
        except ValueError:
            raise PalisadeError(f"{where}: {word!r} is no suffix; write it like '::10/::ffff:ffff:ffff:ffff'") from None
    address, mask = int(parts[0]), int(parts[1])
    if not mask or mask & mask + 1:
        raise PalisadeError(f"{where}: the mask in {word!r} must be ones from some bit to the last, as in ::ffff:ffff:ffff:ffff")
    if address & ~mask or not address:
        raise PalisadeError(f"{where}: the address in {word!r} must lie within its mask and not be zero")
    return "/".join(values.spelt(part) for part in parts)


def _refuse_overlap(one: Forward, other: Forward) -> None:
    """One packet, two hosts. A forward for some sources is an exception to one for all."""
    if one.family != 4 or other.family != 4 or not set(one.protocols) & set(other.protocols):
        return
    shared = [port for port in one.ports for there in other.ports if port.overlaps(there)]
    if shared and _share(one.wans, other.wans, one.wans is None or other.wans is None) and _same_sources(one, other):
        raise PalisadeError(
            f"{other.variable}: overlaps {one.variable} (port {shared[0]}, same protocol, WAN and sources): "
            "one port can lead to one host only"
        )


def _share(one: Any, other: Any, otherwise: bool) -> bool:
    return otherwise if one is None or other is None else bool(set(one) & set(other))


def _same_sources(one: Forward, other: Forward) -> bool:
    if one.sources is None or other.sources is None:
        return one.sources is other.sources
    return any(source.overlaps(there) for source in one.sources for there in other.sources)


# Writing


def forward_nat_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of PREROUTING of the nat table."""
    translated = [forward for forward in policy.forwards if forward.family == 4]
    rules = [
        replace(rule, interface=interface)
        for forward in translated
        for interface in _wan_interfaces(policy, forward)
        for rule in _rewriting(forward)
    ]
    return rules + _hairpin(policy, translated, chains)


def _wan_interfaces(policy: Policy, forward: Forward) -> list[str]:
    wans = [wan for wan in policy.wans if forward.wans is None or wan.name in forward.wans]
    return [interface for wan in wans for interface in wan.interfaces]


def _rewriting(forward: Forward, local: str = LOCAL) -> list[Rule]:
    """Only what is addressed to the router itself: a host behind it may have a public address."""
    host = forward.host if forward.to_port is None else f"{forward.host}:{forward.to_port}"
    rules = []
    for protocol, group in product(forward.protocols, port_groups(forward.ports)):
        matches = (*port_matches(protocol, group), local) if local else port_matches(protocol, group)
        rule = Rule("DNAT --to-destination " + host, 4, protocol=protocol, matches=matches, comment=forward.variable)
        rules += [from_source(rule, source) for source in forward.sources] if forward.sources else [rule]
    return rules


def _hairpin(policy: Policy, forwards: Sequence[Forward], chains: Chains) -> list[Rule]:
    """From the LANs to the router's outer addresses. Its inner ones answer for the router itself."""
    rules: list[Rule] = []
    listed: list[Rule] = []
    for lan in policy.lans:
        served = [rule for forward in forwards if _turns_back(policy, lan, forward) for rule in _rewriting(forward, "")]
        for interface in lan.interfaces if served else ():
            rules.append(Rule("hairpin", 4, interface=interface, matches=(LOCAL,), comment=f"hairpin from {lan.variable}"))
            listed += [replace(rule, interface=interface) for rule in served]
    if rules:
        inside = [(lan, network) for lan in policy.lans for network in _networks(lan)]
        chains["hairpin"] = [
            Rule("RETURN", 4, destination=network.text, comment=lan.variable + ".networks") for lan, network in inside
        ] + listed
    return rules


def _networks(lan: Lan) -> list[Source]:
    return [network for network in lan.networks if network.family == 4]


def _turns_back(policy: Policy, lan: Lan, forward: Forward) -> bool:
    """Whether hosts of this LAN reach the forward from inside: those that reach its host, or the world outside."""
    if not forward.hairpin or not policy.wans or not _networks(lan):
        return False
    reached = [other for other in policy.lans if other.name == lan.name or other.name in lan.to]
    return lan.internet or any(_is_in(forward, other) for other in reached)


def _is_in(forward: Forward, lan: Lan) -> bool:
    return any(network.holds(ipaddress.ip_address(forward.host)) for network in _networks(lan))


def hairpin_source_rules(policy: Policy) -> list[Rule]:
    """The rules of POSTROUTING for a client and a host in one network, where answers would not come by the router."""
    rules = []
    for lan in policy.lans:
        turning = [
            forward.host for forward in policy.forwards if forward.family == 4 and _turns_back(policy, lan, forward)
        ]
        for network in _networks(lan):
            if any(network.holds(ipaddress.ip_address(host)) for host in turning):
                comment = f"hairpin to {lan.variable}"
                rules.append(Rule("MASQUERADE", 4, network.text, network.text, matches=(REWRITTEN,), comment=comment))
    return rules


def forward_filter_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of FORWARD. What was rewritten has met the sources and interfaces in nat."""
    rules = []
    for forward in policy.forwards:
        interfaces = _wan_interfaces(policy, forward)
        if forward.family == 4:
            rules += _accepting(forward, (REWRITTEN,)) if interfaces else []
            continue
        for rule, interface in product(_accepting(forward, ()), interfaces):
            rule = replace(rule, interface=interface)
            chain = chain_name("fwd", forward.name)
            rules += by_source(rule, forward.sources, chain, chains) if forward.sources else [rule]
    return rules


def _accepting(forward: Forward, also: tuple[str, ...]) -> list[Rule]:
    """Without protocols: everything, and of TCP what opens a connection."""
    rule = Rule("ACCEPT", forward.family, destination=forward.to, comment=forward.variable)
    if not forward.protocols:
        return [_syn(rule), replace(rule, matches=("! -p tcp",))]
    rules = []
    for protocol in forward.protocols:
        if not forward.ports:
            rules.append(_syn(rule) if protocol == "tcp" else replace(rule, protocol=protocol))
        for group in port_groups(forward.ports_inside):
            matches = (*port_matches(protocol, group, syn_only=protocol == "tcp"), *also)
            rules.append(replace(rule, protocol=protocol, matches=matches))
    return rules


def _syn(rule: Rule) -> Rule:
    return replace(rule, protocol="tcp", matches=("-m tcp " + SYN_ONLY,))
