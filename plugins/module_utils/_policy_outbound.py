# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host itself may send. Pure.

Where the policy is not `accept`, what a host cannot live without is let out whatever the services say: loopback, answers,
errors, neighbour discovery, the DHCP client's requests, and answers to management in whatever state tracking is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Callable, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import (
    Chains,
    by_destination,
    chain_name,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    icmp_protocol,
    icmp_rule,
    port_groups,
    port_matches,
    reject,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import (
    service_ports,
    service_source_ports,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._services import WELL_KNOWN

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

POLICIES = ("accept", "drop", "reject")
KEYS = ("icmp_types", "interfaces", "ports", "protocols", "source_ports", "state", "to", "uid")
#: Well-known here and no service: a name → its ICMP types.
ICMP_SERVICES: Mapping[str, tuple[str, ...]] = {"ping": ("echo-request",)}
#: The protocol of a service that is not limited to one.
ALL = "all"

# A user's name as useradd takes it, an id, or a range of ids; the last id is no user.
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,30}\$?\Z")
_LAST_ID = 2**32 - 2

# What says that something went wrong with a packet (RFC 4890, 4.4.1; RFC 1812, 4.3). Tracking knows most of them as
# related, but not those about a packet that was never let on: a router's time-exceeded to a traceroute, for one.
_ERRORS = ("destination-unreachable", "time-exceeded", "parameter-problem")
# RFC 4861 and RFC 3810, as far as a host sends them; a router also advertises itself and asks who listens.
_ND_AND_MLD: Mapping[str, int] = {
    "neighbour-solicitation": 135,
    "neighbour-advertisement": 136,
    "router-solicitation": 133,
    "listener-report": 131,
    "listener-done": 132,
    "listener-report-v2": 143,
}
_ROUTERS_OWN: Mapping[str, int] = {"router-advertisement": 134, "listener-query": 130}


@dataclass(frozen=True)
class OutboundService:
    """Something that is let out. `ports` is empty where `icmp_types` says it; those are None where they say nothing, and empty for every type."""

    name: str
    ports: tuple[tuple[str, tuple[PortRange, ...]], ...]
    icmp_types: tuple[str, ...] | None
    destinations: tuple[Source, ...] | None
    interfaces: tuple[str, ...] | None
    source_ports: tuple[PortRange, ...]
    uid: str

    @property
    def variable(self) -> str:
        return "firewall_outbound.services." + self.name


@dataclass(frozen=True)
class Outbound:
    """The policy of OUTPUT and what it lets out."""

    policy: str = "accept"
    services: tuple[OutboundService, ...] = ()


# Reading


def read_outbound(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> Outbound:
    """What the variable says, validated; also the services that a policy of `accept` has no use for."""
    values.known_keys(given, where, ("policy", "services"))
    at = join(where, "services")
    entries = values.mapping(given["services"], at)
    services = [_service(name, entries[name], join(at, name), families) for name in sorted(entries)]
    return Outbound(
        policy=values.choice(given["policy"], join(where, "policy"), POLICIES),
        services=tuple(service for service in services if service is not None),
    )


def _service(name: str, entry: object, where: str, families: tuple[int, ...]) -> OutboundService | None:
    values.name(name, where)
    given = {key: value for key, value in values.mapping(entry, where).items() if value is not None}
    values.known_keys(given, where, KEYS)
    state = values.choice(given.get("state", "present"), join(where, "state"), ("present", "absent"))
    if state == "absent" and not {"ports", "protocols", "icmp_types"} & set(given):
        return None
    icmp_types = _icmp_types(name, given, where)
    ports = () if icmp_types is not None else _ports(name, given, where)
    service = OutboundService(
        name=name,
        ports=ports,
        icmp_types=icmp_types,
        destinations=_destinations(given, where, families),
        interfaces=_optional(given, where, "interfaces", values.interfaces),
        source_ports=service_source_ports(name, given, where),
        uid=_optional(given, where, "uid", _user) or "",
    )
    if service.source_ports and not (ports and all(ranges for _protocol, ranges in ports)):
        raise PalisadeError("{}: only tcp, udp and sctp have source ports".format(join(where, "source_ports")))
    return service if state == "present" else None


def _optional(given: Mapping[str, Any], where: str, key: str, read: Callable[[object, str], Any]) -> Any:
    return read(given[key], join(where, key)) if key in given else None


def _icmp_types(name: str, given: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    """None where the entry is about ports, empty for every type."""
    if "icmp_types" not in given:
        return ICMP_SERVICES.get(name) if not {"ports", "protocols"} & set(given) else None
    where_types = join(where, "icmp_types")
    if {"ports", "protocols"} & set(given):
        raise PalisadeError(f"{where_types}: an entry has either these or ports; make it two")
    names = values.items(given["icmp_types"], where_types)
    if not names:
        raise PalisadeError(f"{where_types}: the list is empty")
    types = values.unique(values.choice(item, where_types, (*ICMP_TYPES, ALL)) for item in names)
    if ALL in types and len(types) > 1:
        raise PalisadeError(f"{where_types}: 'all' says it already; leave the other names out")
    return () if types == (ALL,) else types


def _ports(name: str, given: Mapping[str, Any], where: str) -> tuple[tuple[str, tuple[PortRange, ...]], ...]:
    if "protocols" not in given or values.items(given["protocols"], join(where, "protocols")) != [ALL]:
        known = (*WELL_KNOWN, *ICMP_SERVICES)
        if not {"ports", "protocols"} & set(given) and name not in WELL_KNOWN:
            hint = values.suggestion(name, known)
            raise PalisadeError(f"{where}: '{name}' is no well-known service, so it needs `ports`{hint}")
        return service_ports(name, given, where)
    if "ports" in given:
        raise PalisadeError("{}: not every protocol has ports; name those that are meant".format(join(where, "ports")))
    if not {"to", "interfaces", "uid"} & set(given):
        raise PalisadeError(f"{where}: lets out everything to everybody; say `policy: accept`, or limit it with `to`, `interfaces` or `uid`")
    return ((ALL, ()),)


def _destinations(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Source, ...] | None:
    if "to" not in given:
        return None
    destinations = values.sources(given["to"], join(where, "to"), families)
    if not destinations:
        raise PalisadeError(
            "{}: the list is empty, which lets nothing out; leave it out to mean everywhere, "
            "or write `state: absent`".format(join(where, "to"))
        )
    return destinations


def _user(value: object, where: str) -> str:
    """A user's name, an id, or a range of ids, as the owner match takes them."""
    if isinstance(value, str) and _USER.match(value):
        return value
    ends = str(value).split("-") if isinstance(value, (int, str)) and not isinstance(value, bool) else []
    if len(ends) not in (1, 2) or not all(re.match(r"[0-9]+\Z", end) for end in ends):
        raise PalisadeError(f"{where}: {value!r} is no user (a name, a number or a range such as 1000-1999)")
    first, last = (values.integer(end, where, 0, _LAST_ID) for end in (ends[0], ends[-1]))
    if first > last:
        raise PalisadeError(f"{where}: the range {value!r} runs backwards")
    return str(first) if first == last else f"{first}-{last}"


# Writing


def outbound_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of OUTPUT up to the log; none where everything may leave."""
    if policy.outbound.policy == "accept":
        return []
    rules = [
        Rule("ACCEPT", out_interface="lo", comment="loopback"),
        Rule("ACCEPT", matches=("-m conntrack --ctstate RELATED,ESTABLISHED",), comment="established and related"),
    ]
    rules += _management(policy, chains) + _icmp(policy, chains) + _dhcp_client(policy)
    for service in policy.outbound.services:
        rules += _service_rules(service, policy, chains)
    return rules


def outbound_end(policy: Policy) -> list[Rule]:
    """The last rules of OUTPUT, behind the log. The built-in chain's policy drops what they leave."""
    if policy.outbound.policy != "reject":
        return []
    rule = Rule("", comment="firewall_outbound")
    return reject(replace(rule, protocol="tcp"), policy.families) + reject(rule, policy.families)


def _management(policy: Policy, chains: Chains) -> list[Rule]:
    """The answers to what INPUT accepts as management, with no more asked than there."""
    if not policy.management.sources:
        return []
    port = PortRange(policy.management.port, policy.management.port)
    matches = port_matches("tcp", [], [port])
    rule = Rule("ACCEPT", protocol="tcp", matches=matches, comment="firewall_management")
    return by_destination(rule, policy.management.sources, "to-management", chains)


def _icmp(policy: Policy, chains: Chains) -> list[Rule]:
    rules = [
        rule
        for family in policy.families
        for rule in (_neighbours(policy) if family == 6 else []) + _icmp_types_rules(family, _ERRORS, "ACCEPT")
    ]
    chains["icmp-out"] = rules
    return [
        Rule("icmp-out", family=family, protocol=icmp_protocol(family), comment="icmp that a host lives by")
        for family in policy.families
    ]


def _neighbours(policy: Policy) -> list[Rule]:
    types = {**_ND_AND_MLD, **(_ROUTERS_OWN if policy.profile == "nat_router" else {}), "packet-too-big": 2}
    return [icmp_rule(6, number, name) for name, number in types.items()]


def _icmp_types_rules(family: int, names: tuple[str, ...], target: str) -> list[Rule]:
    numbers = {name: getattr(ICMP_TYPES[name], f"ipv{family}") for name in names}
    return [icmp_rule(family, number, name, target) for name, number in numbers.items() if number is not None]


def _dhcp_client(policy: Policy) -> list[Rule]:
    """Requests of a client. Whom they are for is left open: a lease is renewed with the server that gave it."""
    if not policy.dhcp_client:
        return []
    ports = {4: (68, 67), 6: (546, 547)}
    return [
        Rule(
            "ACCEPT",
            family=family,
            protocol="udp",
            matches=port_matches("udp", [PortRange(there, there)], [PortRange(here, here)]),
            comment="firewall_dhcp_client",
        )
        for family, (here, there) in ports.items()
    ]


def _service_rules(service: OutboundService, policy: Policy, chains: Chains) -> list[Rule]:
    rules: list[Rule] = []
    for interface in service.interfaces or ("",):
        for rule in _service_packets(service, policy):
            limited = replace(
                rule,
                target="ACCEPT",
                out_interface=interface,
                matches=(*rule.matches, *([f"-m owner --uid-owner {service.uid}"] if service.uid else [])),
                comment=service.variable,
            )
            rules += _to_destinations(limited, service, chains)
    return rules


def _service_packets(service: OutboundService, policy: Policy) -> list[Rule]:
    """One rule for each kind of packet. Only a SYN opens a TCP connection."""
    if service.icmp_types is not None:
        everything = [Rule("", family=family, protocol=icmp_protocol(family)) for family in policy.families]
        chosen = [rule for family in policy.families for rule in _icmp_types_rules(family, service.icmp_types, "")]
        return chosen if service.icmp_types else everything
    rules = []
    for protocol, ports in service.ports:
        if not ports:
            rules.append(Rule("", protocol="" if protocol == ALL else protocol))
        for source_group, group in product(port_groups(service.source_ports) or [()], port_groups(ports)):
            matches = port_matches(protocol, group, source_group, syn_only=protocol == "tcp")
            rules.append(Rule("", protocol=protocol, matches=matches))
    return rules


def _to_destinations(rule: Rule, service: OutboundService, chains: Chains) -> list[Rule]:
    if service.destinations is None:
        return [rule]
    # Rules for one family share the chain that lists the destinations of both.
    chain = chain_name("out", service.name)
    return [
        written if rule.family is None else replace(written, family=rule.family)
        for written in by_destination(rule, service.destinations, chain, chains)
        if rule.family is None or written.family in (None, rule.family)
    ]
