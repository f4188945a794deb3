# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router's LANs and WANs: what it offers the LANs, who may open connections where, whose addresses are translated. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_entries import (
    Entry,
    entries,
    reference,
    references,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_forwards import (
    forward_filter_rules,
    hairpin_source_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import (
    Service,
    read_services,
    service_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import FAMILIES, PortRange, Source, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

#: The profile that the variables of this file have an effect in.
PROFILE = "nat_router"

LAN_KEYS = ("interfaces", "internet", "networks", "services", "to", "trust")
NEW = "-m conntrack --ctstate NEW"
SYN = "--tcp-flags SYN,RST SYN"


@dataclass(frozen=True)
class Lan:
    """A network behind the router. `services` is what the router offers it, `to` are other LANs by name."""

    name: str
    interfaces: tuple[str, ...]
    networks: tuple[Source, ...] = ()
    trust: bool = False
    services: tuple[Service, ...] = ()
    internet: bool = True
    to: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return "firewall_lan." + self.name


@dataclass(frozen=True)
class Wan:
    """A way out."""

    name: str
    interfaces: tuple[str, ...]

    @property
    def variable(self) -> str:
        return "firewall_wan." + self.name


@dataclass(frozen=True)
class Snat:
    """The source address, or range of addresses, of what leaves by a WAN, in one family."""

    wan: str
    to: Source


# Reading


def read_lans(given: Any, where: str, families: tuple[int, ...]) -> tuple[Lan, ...]:
    return tuple(_lan(entry, given, where, families) for entry in entries(given, where, LAN_KEYS))


def _lan(entry: Entry, given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> Lan:
    interfaces = entry.needed("interfaces", values.interfaces)
    return Lan(
        name=entry.name,
        interfaces=interfaces,
        networks=entry.read("networks", _networks, (), families),
        trust=entry.read("trust", values.boolean, False),
        services=_lan_services(entry, interfaces, families),
        internet=entry.read("internet", values.boolean, True),
        to=entry.read("to", references, (), where, given),
    )


def _networks(value: Any, where: str, families: tuple[int, ...]) -> tuple[Source, ...]:
    networks = values.sources(value, where, families)
    for network in networks:
        if network.is_range:
            raise PalisadeError(f"{where}: {network.text} is a range; write networks")
    return networks


def _lan_services(entry: Entry, interfaces: tuple[str, ...], families: tuple[int, ...]) -> tuple[Service, ...]:
    where = entry.at("services")
    services = read_services(values.mapping(entry.given.get("services"), where), where, families)
    for service in services:
        for interface in service.interfaces or ():
            if interface not in interfaces:
                raise PalisadeError(f"{service.variable}.interfaces: {interface!r} is none of {entry.at('interfaces')}")
    return services


def read_wans(given: Any, where: str, families: tuple[int, ...]) -> tuple[Wan, ...]:
    return tuple(
        Wan(entry.name, entry.needed("interfaces", values.interfaces)) for entry in entries(given, where, ("interfaces",))
    )


def refuse_shared_interfaces(networks: Iterable[Lan | Wan]) -> None:
    """An interface belongs to one LAN or one WAN."""
    for one, other in combinations(networks, 2):
        for mine, theirs in product(one.interfaces, other.interfaces):
            if _same_interface(mine, theirs):
                raise PalisadeError(f"{other.variable}.interfaces: {theirs!r} is an interface of {one.variable} already")


def _same_interface(one: str, other: str) -> bool:
    """Whether one of the two names, which may end in '+', stands for an interface that the other stands for too."""
    if one.endswith("+") and other.endswith("+"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("+"):
        return other.startswith(one[:-1])
    return one.startswith(other[:-1]) if other.endswith("+") else one == other


def read_masquerade(given: Mapping[str, Any], where: str) -> tuple[int, ...]:
    """The families in which what leaves by a WAN gets the router's address."""
    values.known_keys(given, where, FAMILIES)
    return tuple(number for name, number in FAMILIES.items() if values.boolean(given[name], join(where, name)))


def read_snat(given: Any, where: str, families: tuple[int, ...], wans: Iterable[str]) -> tuple[Snat, ...]:
    result = []
    for entry in entries(given, where, ("to",)):
        reference(entry.name, where, "firewall_wan", wans)
        addresses = entry.needed("to", values.sources, families)
        for address in addresses:
            if not address.is_range and address.first != address.last:
                raise PalisadeError(f"{entry.at('to')}: {address.text} is a network; write an address or a range of addresses")
            if sum(other.family == address.family for other in addresses) > 1:
                raise PalisadeError(
                    f"{entry.at('to')}: more than one address of IPv{address.family}; write one, or a range first-last"
                )
            result.append(Snat(entry.name, address))
        if not addresses:
            raise PalisadeError(f"{entry.at('to')}: the list is empty")
    return tuple(result)


def ssh_for_lans(services: Sequence[Service], lans: Sequence[Lan], wans: Sequence[Wan]) -> tuple[Service, ...]:
    """The services, with ssh for the LANs alone where the user names neither sources nor interfaces for it.

    Where there is neither a LAN nor a WAN, nobody knows what is inside and what outside.
    """
    if not lans and not wans:
        return tuple(services)
    inside = tuple(interface for lan in lans for interface in lan.interfaces)
    return tuple(_ssh_inside(service, inside) for service in services)


def _ssh_inside(service: Service, interfaces: tuple[str, ...]) -> Service:
    if service.name != "ssh" or service.limited or service.action != "accept":
        return service
    if not interfaces:
        raise PalisadeError(
            "firewall_lan: there is a WAN and no LAN, so nobody would be offered ssh; name the LANs, "
            "or say in firewall_services.ssh whom it is for (`from` or `interfaces`)"
        )
    return replace(service, interfaces=interfaces)


def offered_to(lan: Lan) -> tuple[Service, ...]:
    """What a LAN reaches of the router, trust as a service that has every port of tcp, in the order of the rules."""
    trust = Service("trust", (("tcp", (PortRange(1, 65535),)),), None, None, (), "accept", lan.variable + ".trust")
    return (*lan.services, trust) if lan.trust else lan.services


# Writing


def lan_input_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What the router offers its LANs: a chain of services for each, or everything."""
    rules = []
    for lan in policy.lans:
        if lan.services:
            chain = chain_name("lan", lan.name)
            chains[chain] = []
            for service in lan.services:
                chains[chain] += service_rules(service, policy, chains)
            rules += _for_each(lan.interfaces, Rule(chain, comment=lan.variable + ".services"))
        if lan.trust:
            rules += _for_each(lan.interfaces, Rule("ACCEPT", comment=lan.variable + ".trust"))
    return rules


def _for_each(interfaces: Iterable[str], rule: Rule) -> list[Rule]:
    return [replace(rule, interface=interface) for interface in interfaces]


def router_solicitations(policy: Policy) -> list[str]:
    """The interfaces by which hosts ask for a router."""
    return [interface for lan in policy.lans for interface in lan.interfaces]


def forward_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of FORWARD between established and the log: who may open connections."""
    rules = []
    for lan in policy.lans:
        if lan.internet:
            for wan in policy.wans:
                rules += _between(lan, wan, lan.variable + ".internet")
        for other in policy.lans:
            if other.name in lan.to:
                rules += _between(lan, other, lan.variable + ".to")
    return rules + forward_filter_rules(policy, chains)


def _between(one: Lan, other: Lan | Wan, comment: str) -> list[Rule]:
    pairs = product(one.interfaces, other.interfaces)
    return [Rule("ACCEPT", interface=come, out_interface=go, matches=(NEW,), comment=comment) for come, go in pairs]


def source_nat_rules(policy: Policy) -> list[Rule]:
    """The rules of POSTROUTING of the nat table."""
    rules = hairpin_source_rules(policy)
    for wan, interface in _wan_interfaces(policy):
        for family in (4, 6):
            rule = Rule("", family=family, out_interface=interface)
            if family == 6:
                # What has a link-local address talks to the link: DHCPv6 would not find its client again.
                rule = replace(rule, source="! fe80::/10")
            fixed = [snat.to for snat in policy.snat if snat.wan == wan.name and snat.to.family == family]
            if fixed:
                target = "SNAT --to-source " + fixed[0].text.partition("/")[0]
                rules.append(replace(rule, target=target, comment="firewall_snat." + wan.name))
            elif family in policy.masquerade:
                rules.append(replace(rule, target="MASQUERADE", comment="firewall_masquerade"))
    return rules


def _wan_interfaces(policy: Policy) -> list[tuple[Wan, str]]:
    return [(wan, interface) for wan in policy.wans for interface in wan.interfaces]


def mss_rules(policy: Policy) -> list[Rule]:
    """The rules of FORWARD of the mangle table. What is said in a SYN binds the other side: so both ways."""
    if not policy.mss_clamp:
        return []
    clamp = Rule("TCPMSS --clamp-mss-to-pmtu", protocol="tcp", matches=("-m tcp " + SYN,), comment="firewall_mss_clamp")
    rules = []
    for _wan, interface in _wan_interfaces(policy):
        rules += [replace(clamp, out_interface=interface), replace(clamp, interface=interface)]
    return rules


def router_notes(policy: Policy) -> list[str]:
    """What an operator should know of a router that does less than it seems to."""
    if policy.wans:
        return []
    without = [name for name, items in (("firewall_lan", policy.lans), ("firewall_forwards", policy.forwards)) if items]
    return [f"{name}: no WAN is named in firewall_wan, so nothing goes out or comes in by one" for name in without[:1]]
