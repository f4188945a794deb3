# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trusted hosts, noise that is dropped in silence, and addresses that cannot be where they claim to be. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, by_source, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    icmp_rule,
    mac_match,
    port_groups,
    port_matches,
    to_destination,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import (
    PROTOCOLS,
    PROTOCOLS_WITH_PORTS,
    service_ports,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._services import WELL_KNOWN

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

# Words in the place of a destination → the families that know them, and the match.
_DESTINATION_KINDS: Mapping[str, tuple[int | None, str]] = {
    "broadcast": (4, "-m addrtype --dst-type BROADCAST"),
    "multicast": (None, "-m addrtype --dst-type MULTICAST"),
}

# Sources that no packet from outside has. IPv4 as firewall how-tos have it (RFC 6890; without 100.64.0.0/10, which
# providers use). IPv6: loopback, mapped and translated addresses, discard, benchmarks, ORCHID, documentation, segment
# routing, unique local, site local, multicast (RFC 6890, 8215, 9602, 9637, 4193, 3879). Link-local addresses are not
# among them: without them there is no neighbour.
BOGONS: Mapping[int, tuple[str, ...]] = {
    4: (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "224.0.0.0/3",
    ),
    6: (
        "::1/128",
        "::ffff:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001:2::/48",
        "2001:10::/28",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
        "ff00::/8",
    ),
}
_DISCOVERY = {"neighbour-solicitation": 135, "neighbour-advertisement": 136}


def _entries(given: object, where: str, known: tuple[str, ...]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, variable and values of each entry that is not absent."""
    for name, entry in sorted(values.mapping(given, where).items()):
        at = join(where, values.name(name, join(where, name)))
        found = values.present(entry, at)
        values.known_keys(found, at, (*known, "state"))
        state = values.choice(found.pop("state", "present"), join(at, "state"), ("present", "absent"))
        if state == "present" or found:
            yield name, at, {**found, "state": state}


def _interfaces(given: Mapping[str, Any], where: str) -> tuple[str, ...]:
    return values.interfaces(given["interfaces"], join(where, "interfaces")) if "interfaces" in given else ()


def _sources(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Source, ...]:
    if "from" not in given:
        return ()
    sources = values.sources(given["from"], join(where, "from"), families)
    if not sources:
        raise PalisadeError(
            f"{join(where, 'from')}: the list is empty, which means nobody; leave it out, or write `state: absent`"
        )
    return sources


# Trusted hosts


@dataclass(frozen=True)
class Trusted:
    """Hosts that may reach everything: by address, by network card, or by both, and then both must fit.

    `port` is for the closed fallback, where they reach that TCP port alone.
    """

    name: str
    sources: tuple[Source, ...]
    macs: tuple[str, ...]
    interfaces: tuple[str, ...]
    port: PortRange | None = None

    @property
    def variable(self) -> str:
        return "firewall_trusted." + self.name


def read_trusted(given: Any, where: str, families: tuple[int, ...]) -> tuple[Trusted, ...]:
    """What the variable says, validated."""
    trusted = []
    for name, at, found in _entries(given, where, ("from", "interfaces", "mac")):
        if found["state"] == "present" and not {"from", "mac"} & set(found):
            raise PalisadeError(f"{at}: who is meant? It needs `from` (addresses), `mac`, or both")
        one = Trusted(
            name=name,
            sources=_sources(found, at, families),
            macs=values.macs(found["mac"], join(at, "mac")) if "mac" in found else (),
            interfaces=_interfaces(found, at),
        )
        if any(source.everything for source in one.sources) and not (one.macs or one.interfaces):
            raise PalisadeError(f"{join(at, 'from')}: this trusts everybody; limit it with `mac` or `interfaces`")
        if found["state"] == "present":
            trusted.append(one)
    return tuple(trusted)


def trusted_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What accepts trusted hosts: everything, in whatever state connection tracking takes it to be."""
    rules: list[Rule] = []
    for one in policy.trusted:
        chain = chain_name("trust", one.name)
        port = port_matches("tcp", [one.port]) if one.port else ()
        for interface, mac in product(one.interfaces or ("",), one.macs or ("",)):
            rule = Rule(
                "ACCEPT",
                interface=interface,
                protocol="tcp" if one.port else "",
                matches=(*port, *((mac_match(mac),) if mac else ())),
                comment=one.variable,
            )
            rules += by_source(rule, one.sources, chain, chains) if one.sources else [rule]
    return rules


# Noise


@dataclass(frozen=True)
class Quiet:
    """Packets that are dropped and not logged. What is empty is no condition; `kinds` are words such as broadcast."""

    name: str
    ports: tuple[tuple[str, tuple[PortRange, ...]], ...]
    sources: tuple[Source, ...]
    interfaces: tuple[str, ...]
    source_ports: tuple[PortRange, ...]
    destinations: tuple[Source, ...]
    kinds: tuple[str, ...]


def read_quiet(given: Any, where: str, families: tuple[int, ...]) -> tuple[Quiet, ...]:
    """What the variable says, validated."""
    keys = ("from", "interfaces", "ports", "protocols", "source_ports", "to")
    quiet = []
    for name, at, found in _entries(given, where, keys):
        if found["state"] == "present" and name not in WELL_KNOWN and not set(keys) & set(found):
            hint = values.suggestion(name, WELL_KNOWN)
            raise PalisadeError(f"{at}: '{name}' is no well-known service, so it needs one of {', '.join(keys)}{hint}")
        named = bool({"ports", "protocols", "source_ports"} & set(found)) or name in WELL_KNOWN
        one = Quiet(
            name=name,
            ports=_quiet_ports(name, found, at) if named else (),
            sources=_sources(found, at, families),
            interfaces=_interfaces(found, at),
            source_ports=values.ports(found["source_ports"], join(at, "source_ports"))
            if "source_ports" in found
            else (),
            destinations=_destinations(found, at, families),
            kinds=_kinds(found, at, families),
        )
        if one.source_ports and any(protocol not in PROTOCOLS_WITH_PORTS for protocol, _ports in one.ports):
            raise PalisadeError(f"{join(at, 'source_ports')}: only tcp, udp and sctp have source ports")
        if found["state"] == "present":
            quiet.append(one)
    return tuple(quiet)


def _quiet_ports(name: str, found: Mapping[str, Any], where: str) -> tuple[tuple[str, tuple[PortRange, ...]], ...]:
    """As for a service; without `ports`, every port of the protocols that are named."""
    if "ports" not in found and name not in WELL_KNOWN:
        at = join(where, "protocols")
        protocols = [
            values.choice(item, at, PROTOCOLS) for item in values.items(found.get("protocols", ["tcp", "udp"]), at)
        ]
        return tuple((protocol, ()) for protocol in values.unique(protocols))
    return service_ports(name, found, where)


def _to(found: Mapping[str, Any], where: str) -> list[Any]:
    to = values.items(found["to"], join(where, "to")) if "to" in found else []
    if "to" in found and not to:
        raise PalisadeError(f"{join(where, 'to')}: the list is empty")
    return to


def _destinations(found: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Source, ...]:
    return values.sources(
        [item for item in _to(found, where) if item not in _DESTINATION_KINDS], join(where, "to"), families
    )


def _kinds(found: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[str, ...]:
    kinds = values.unique(item for item in _to(found, where) if item in _DESTINATION_KINDS)
    for kind in kinds:
        family = _DESTINATION_KINDS[kind][0]
        if family not in (None, *families):
            raise PalisadeError(
                f"{join(where, 'to')}: there is {kind} in IPv{family} only, and firewall_families leaves that out"
            )
    return kinds


def quiet_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What drops noise ahead of the log, in INPUT and in a router's FORWARD alike."""
    return [rule for one in policy.quiet for rule in _quiet_rules(one)]


def _quiet_rules(one: Quiet) -> list[Rule]:
    rules: list[Rule] = []
    for interface, (protocol, ports) in product(one.interfaces or ("",), one.ports or (("", ()),)):
        pairs = product(port_groups(one.source_ports) or [()], port_groups(ports) or [()])
        for source_group, group in pairs:
            matches = port_matches(protocol, group, source_group)
            rule = Rule(
                "DROP", interface=interface, protocol=protocol, matches=matches, comment="firewall_quiet." + one.name
            )
            rules += [limited for to in _towards(rule, one) for limited in _limited(to, one.sources)]
    return rules


def _towards(rule: Rule, one: Quiet) -> list[Rule]:
    if not (one.destinations or one.kinds):
        return [rule]
    kinds = [_DESTINATION_KINDS[kind] for kind in one.kinds]
    return [
        *(replace(rule, family=family, matches=(*rule.matches, match)) for family, match in kinds),
        *(to_destination(rule, destination) for destination in one.destinations),
    ]


def _limited(rule: Rule, sources: tuple[Source, ...]) -> list[Rule]:
    if not sources:
        return [rule]
    return [from_source(rule, source) for source in sources if rule.family in (None, source.family)]


# Spoofed sources


@dataclass(frozen=True)
class Antispoof:
    """Sources that cannot come in by these interfaces."""

    interfaces: tuple[str, ...]
    networks: tuple[Source, ...]


def read_antispoof(given: Any, where: str, families: tuple[int, ...]) -> Antispoof | None:
    """What the variable says, validated; None where no interface is named."""
    values.known_keys(given, where, ("interfaces", "networks"))
    networks = values.items(given["networks"], join(where, "networks"))
    if not values.items(given["interfaces"], join(where, "interfaces")):
        if networks:
            raise PalisadeError(f"{join(where, 'interfaces')}: name the interfaces; without one, nothing is dropped")
        return None
    usual = tuple(values.as_source(ipaddress.ip_network(network)) for family in families for network in BOGONS[family])
    return Antispoof(
        interfaces=values.interfaces(given["interfaces"], join(where, "interfaces")),
        networks=values.sources(networks, join(where, "networks"), families) if networks else usual,
    )


def antispoof_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What drops spoofed sources, in INPUT and FORWARD alike.

    Ahead of the chain's drops: neighbours may have any address on the link, and so may DHCP servers.
    """
    if policy.antispoof is None:
        return []
    drops = [from_source(Rule("DROP"), network) for network in policy.antispoof.networks]
    families = sorted({network.family for network in policy.antispoof.networks})
    chains["antispoof"] = [*(rule for rule in _spared(policy) if rule.family in families), *drops]
    family = families[0] if len(families) == 1 else None
    return [
        Rule("antispoof", family=family, interface=interface, comment="firewall_antispoof")
        for interface in policy.antispoof.interfaces
    ]


def _spared(policy: Policy) -> list[Rule]:
    rules = []
    if policy.dhcp_client:
        bootp = port_matches("udp", [PortRange(68, 68)], [PortRange(67, 67)])
        rules.append(Rule("RETURN", family=4, protocol="udp", matches=bootp, comment="firewall_dhcp_client"))
    for name, number in _DISCOVERY.items():
        rule = icmp_rule(6, number, name, "RETURN")
        rules.append(replace(rule, matches=(*rule.matches, "-m hl --hl-eq 255")))
    return rules
