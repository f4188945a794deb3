# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use the router and go through it, by Ethernet and IP address, for LANs that have a list. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Iterable

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_entries import Entry, entries, reference
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import log_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    icmp_rule,
    mac_match,
    port_matches,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

# In the place of a chain in a log prefix: the chain's own name would be cut.
LOGGED_AS = "MAC-ACL"


@dataclass(frozen=True)
class Member:
    """A host of a LAN. In a family in which it has no address, its Ethernet address is enough."""

    lan: str
    name: str
    macs: tuple[str, ...]
    addresses: tuple[Source, ...] = ()

    @property
    def variable(self) -> str:
        return f"firewall_mac_acl.{self.lan}.{self.name}"


def read_mac_acl(given: Any, where: str, families: tuple[int, ...], lans: Iterable[str]) -> tuple[Member, ...]:
    lans = list(lans)
    members = []
    for lan, listed in sorted(values.mapping(given, where).items()):
        reference(lan, where, "firewall_lan", lans)
        members += [_member(lan, entry, families) for entry in entries(listed, join(where, lan), ("address", "mac"))]
    return tuple(members)


def _member(lan: str, entry: Entry, families: tuple[int, ...]) -> Member:
    return Member(
        lan=lan,
        name=entry.name,
        macs=entry.needed("mac", values.macs),
        addresses=entry.read("address", values.sources, (), families),
    )


def mac_acl_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What refuses strangers, in INPUT and FORWARD alike: who is listed comes back from the chain."""
    rules = []
    for lan in policy.lans:
        members = [member for member in policy.mac_acl if member.lan == lan.name]
        if not members:
            continue
        chain = chain_name("mac", lan.name)
        variable = "firewall_mac_acl." + lan.name
        chains[chain] = [*_neighbours(), *(rule for member in members for rule in _listed(member)), *_strangers(policy, variable)]
        rules += [Rule(chain, interface=interface, comment=variable) for interface in lan.interfaces]
    return rules


def _neighbours() -> list[Rule]:
    """Neighbour discovery is to IPv6 what ARP is to IPv4, and ARP does not come by here."""
    return [icmp_rule(6, number, name, "RETURN") for number, name in ((135, "neighbour-solicitation"), (136, "neighbour-advertisement"))]


def _listed(member: Member) -> list[Rule]:
    rules = []
    for address in member.macs:
        rule = Rule("RETURN", matches=(mac_match(address),), comment=member.variable)
        families = {source.family for source in member.addresses}
        rules += [from_source(rule, source) for source in member.addresses]
        if 4 in families:
            rules.append(_asking_for_an_address(rule))
        if 6 in families:
            rules.append(replace(rule, family=6, source="fe80::/10"))
        if len(families) < 2:
            others = {4: 6, 6: 4}
            rules.append(replace(rule, family=others[families.pop()] if families else None))
    return rules


def _asking_for_an_address(rule: Rule) -> Rule:
    dhcp = port_matches("udp", [PortRange(67, 67)], [PortRange(68, 68)])
    return replace(rule, family=4, protocol="udp", matches=(*rule.matches, *dhcp))


def _strangers(policy: Policy, variable: str) -> list[Rule]:
    return [*log_rules(policy, LOGGED_AS, rule=Rule("", comment=variable)), Rule("DROP", comment=variable)]


def listed(policy: Policy, lan: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a host of this LAN with this address may be on its list, if there is one. Its Ethernet address is not known."""
    members = [member for member in policy.mac_acl if member.lan == lan]
    return not members or any(_may_have(member, address) for member in members)


def _may_have(member: Member, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    same = [source for source in member.addresses if source.family == address.version]
    return not same or any(source.holds(address) for source in same)
