# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy compiler: from a profile and the user's variables to declared tables for both families. Pure.

    profile, policy ──▶ read_policy (validated data) ──▶ one function a section ──▶ tables

A section is one idea of the policy (loopback, management, services, ...) and gives the rules that say it, in the order
in which the built-in chain has them. What a later section needs (a nat table, a chain in FORWARD) is another section.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_closed import closed
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES, REQUIRED_ICMP6
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy, Service, read_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    icmp_protocol,
    icmp_rule,
    limit_match,
    log_target,
    port_groups,
    port_matches,
    reject,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source

LINK_LOCAL = "fe80::/10"

# A chain may have 28 characters, `<name>-` in front takes up to 13 of them.
_CHAIN_LENGTH = 15

Chains = Dict[str, List[Rule]]


@dataclass(frozen=True)
class CompiledPolicy:
    """What a policy comes to.

    `tables` has the shape of the module's option of that name: table → chain → `policy` (built-in chains only) and
    `rules`. A rule that begins with `-4 ` or `-6 ` is for that family. A chain with `only_if_unused: true` is to be
    declared only on a host where nobody else has rules in it: the policy DROP of FORWARD would cut off the traffic that
    Docker, libvirt or Kubernetes forward. `fallback` has the same shape: the few rules that a host boots with when it
    cannot load its own. `notes` are sentences that an operator should read.
    """

    tables: dict[str, dict[str, dict[str, Any]]]
    fallback: dict[str, dict[str, dict[str, Any]]]
    notes: list[str] = field(default_factory=list)


def compile_policy(profile: str, policy: Mapping[str, Any]) -> CompiledPolicy:
    """Compile `policy`, whose keys are the role variables without `firewall_`, over the defaults of `profile`.

    Raises PalisadeError, whose message begins with the variable and the entry that is wrong.
    """
    return compile_read_policy(read_policy(profile, policy))


def compile_read_policy(policy: Policy) -> CompiledPolicy:
    """Compile a policy that `read_policy` has read."""
    # Whatever forwards on the host, nothing is forwarded while it has no rules of its own.
    return CompiledPolicy(
        tables=_tables(policy, {"policy": "DROP", "rules": [], "only_if_unused": True}),
        fallback=_tables(closed(policy), {"policy": "DROP", "rules": []}),
        notes=_notes(policy),
    )


def _tables(policy: Policy, forward: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    chains: Chains = {}
    incoming = {"policy": "DROP", "rules": _texts(_input_rules(policy, chains), policy)}
    own = {name: {"rules": _texts(rules, policy)} for name, rules in chains.items()}
    return {"filter": {"INPUT": incoming, "FORWARD": forward, **own}}


def _texts(rules: Sequence[Rule], policy: Policy) -> list[str]:
    """The rules as texts, without those for a family that the policy leaves alone."""
    return [str(rule) for rule in rules if rule.family is None or rule.family in policy.families]


def _notes(policy: Policy) -> list[str]:
    missing = [family for family in (4, 6) if family not in policy.families]
    return [f"firewall_families: IPv{family} is not filtered" for family in missing]


def _input_rules(policy: Policy, chains: Chains) -> list[Rule]:
    rules = _loopback() + _established()
    rules += _management(policy, chains)
    rules += _icmp(policy, chains)
    rules += _invalid()
    rules += _dhcp_client(policy)
    for service in policy.services:
        rules += _service(service, policy, chains)
    return rules + _logging(policy, "INPUT") + _final(policy)


def _loopback() -> list[Rule]:
    return [Rule("ACCEPT", interface="lo", comment="loopback")]


def _established() -> list[Rule]:
    return [Rule("ACCEPT", matches=("-m conntrack --ctstate RELATED,ESTABLISHED",), comment="established and related")]


def _invalid() -> list[Rule]:
    return [Rule("DROP", matches=("-m conntrack --ctstate INVALID",), comment="invalid")]


def _management(policy: Policy, chains: Chains) -> list[Rule]:
    """Neither a SYN nor a connection that conntrack knows is asked for: it must work when all else has gone wrong."""
    port = PortRange(policy.management.port, policy.management.port)
    rule = Rule("ACCEPT", protocol="tcp", matches=port_matches("tcp", [port]), comment="firewall_management")
    return _by_source(rule, policy.management.sources, "management", chains) if policy.management.sources else []


def _icmp(policy: Policy, chains: Chains) -> list[Rule]:
    """Ahead of INVALID: conntrack calls an error about a connection that it does not know invalid."""
    rules = _required_icmp6() if 6 in policy.families else []
    for family in policy.families:
        rules += _chosen_icmp(policy, family, rules)
    if rules:
        chains["icmp"] = rules
    return [
        Rule("icmp", family=family, protocol=icmp_protocol(family), comment="firewall_icmp")
        for family in policy.families
        if any(rule.family == family for rule in rules)
    ]


def _required_icmp6() -> list[Rule]:
    rules = []
    for item in REQUIRED_ICMP6:
        rule = icmp_rule(6, item.type, item.name)
        if item.link_local:
            rule = replace(rule, source=LINK_LOCAL)
        if item.hop_limit is not None:
            rule = replace(rule, matches=(*rule.matches, f"-m hl --hl-eq {item.hop_limit}"))
        rules.append(rule)
    return rules


def _chosen_icmp(policy: Policy, family: int, required: Sequence[Rule]) -> list[Rule]:
    """What firewall_icmp adds. An echo-request above the rate goes on behind the chain, to be logged and dropped."""
    icmp = policy.icmp
    rules: list[Rule] = []
    for name in icmp.types or ():
        rules += _icmp_type(family, name)
    if icmp.types is None:
        everything = Rule("ACCEPT", family=family, protocol=icmp_protocol(family), comment="every type")
        echo = _icmp_type(family, "echo-request", "RETURN") if icmp.echo_rate else []
        rules = [*echo, everything]
    if icmp.echo_rate and "echo-request" in (icmp.types or ("echo-request",)):
        limit = limit_match(icmp.echo_rate)
        limited = [replace(rule, matches=(*rule.matches, limit)) for rule in _icmp_type(family, "echo-request")]
        rules = limited + [rule for rule in rules if icmp.types is None or rule.comment != "echo-request"]
    written = {(rule.family, rule.matches) for rule in required}
    return [rule for rule in rules if (rule.family, rule.matches) not in written]


def _icmp_type(family: int, name: str, target: str = "ACCEPT") -> list[Rule]:
    number = ICMP_TYPES[name].ipv4 if family == 4 else ICMP_TYPES[name].ipv6
    return [] if number is None else [icmp_rule(family, number, name, target)]


def _dhcp_client(policy: Policy) -> list[Rule]:
    """Replies to a client. A DHCPv6 server may send from any port (RFC 8415 names only the port it listens on)."""
    if not policy.dhcp_client:
        return []
    bootp = port_matches("udp", [PortRange(68, 68)], [PortRange(67, 67)])
    dhcp6 = port_matches("udp", [PortRange(546, 546)])
    return [
        Rule("ACCEPT", family=4, protocol="udp", matches=bootp, comment="firewall_dhcp_client"),
        Rule("ACCEPT", family=6, destination=LINK_LOCAL, protocol="udp", matches=dhcp6, comment="firewall_dhcp_client"),
    ]


def _service(service: Service, policy: Policy, chains: Chains) -> list[Rule]:
    rules: list[Rule] = []
    for interface, (protocol, ports) in product(service.interfaces or ("",), service.ports):
        for matches in _service_matches(service, protocol, ports):
            rule = Rule("", interface=interface, protocol=protocol, matches=matches, comment=service.variable)
            rules += _service_verdict(service, rule, policy, chains)
    return rules


def _service_matches(service: Service, protocol: str, ports: Sequence[PortRange]) -> list[tuple[str, ...]]:
    """One tuple of matches for each rule that the ports need. Only a SYN opens a TCP service; anything is refused."""
    if not ports:
        return [()]
    syn_only = protocol == "tcp" and service.action == "accept"
    pairs = product(port_groups(service.source_ports) or [()], port_groups(ports))
    return [port_matches(protocol, group, source_group, syn_only=syn_only) for source_group, group in pairs]


def _service_verdict(service: Service, rule: Rule, policy: Policy, chains: Chains) -> list[Rule]:
    verdicts = [replace(rule, target="DROP" if service.action == "drop" else "ACCEPT")]
    if service.action == "reject":
        verdicts = reject(rule, policy.families)
    if service.sources is None:
        return verdicts
    if service.action == "reject":
        return [from_source(item, source) for item in verdicts for source in service.sources if _fits(item, source)]
    return _by_source(verdicts[0], service.sources, chain_name("from", service.name), chains)


def _fits(rule: Rule, source: Source) -> bool:
    return rule.family is None or rule.family == source.family


def _by_source(rule: Rule, sources: Sequence[Source], chain: str, chains: Chains) -> list[Rule]:
    """`rule` for these sources: one rule where a family has one, else a jump to a chain that lists them.

    A packet that no line of the chain takes goes on behind the jump.
    """
    families = [family for family in (4, 6) if any(source.family == family for source in sources)]
    if all(sum(source.family == family for source in sources) == 1 for family in families):
        return [from_source(rule, source) for source in sources]
    chains[chain] = [from_source(Rule(rule.target), source) for source in sources]
    return [replace(rule, target=chain, family=families[0] if len(families) == 1 else None)]


def chain_name(kind: str, name: str) -> str:
    """`kind-name`, and where that is too long for a chain, its beginning and a checksum of the name."""
    full = f"{kind}-{name}"
    if len(full) <= _CHAIN_LENGTH:
        return full
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:4]
    return f"{full[: _CHAIN_LENGTH - 5]}-{digest}"


def _logging(policy: Policy, chain: str) -> list[Rule]:
    if not policy.logging.enabled:
        return []
    target = log_target(policy.logging.prefix.replace("{chain}", chain), policy.logging.level)
    return [Rule(target, matches=(limit_match(policy.logging.rate),), comment="firewall_logging")]


def _final(policy: Policy) -> list[Rule]:
    """With `policy` the built-in chain's own policy ends it, so that rules of others behind ours still work."""
    if policy.final == "policy":
        return []
    if policy.final == "drop":
        return [Rule("DROP", comment="firewall_final")]
    rule = Rule("", comment="firewall_final")
    return reject(replace(rule, protocol="tcp"), policy.families) + reject(rule, policy.families)
