# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy compiler: from a profile and the user's variables to declared tables for both families. Pure.

    profile, policy ──▶ read_policy (validated data) ──▶ one function a section ──▶ tables

A section is one idea of the policy (loopback, management, services, ...) and gives the rules that say it, in the order
in which the built-in chain has them. What a later section needs (a nat table, a chain in FORWARD) is another section.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, by_source
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_closed import closed
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_forwards import forward_nat_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_helpers import helper_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES, REQUIRED_ICMP6
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_input import (
    antispoof_rules,
    quiet_rules,
    trusted_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import log_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_mac_acl import mac_acl_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy, read_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_outbound import outbound_end, outbound_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_raw import raw_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_redirects import (
    redirect_rules,
    redirected_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import (
    forward_rules,
    lan_input_rules,
    mss_rules,
    router_notes,
    router_solicitations,
    source_nat_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    icmp_protocol,
    icmp_rule,
    limit_match,
    port_matches,
    reject,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import (
    service_rules,
    services_knock_rules,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS

LINK_LOCAL = "fe80::/10"


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
    """The tables, each with its built-in chains first. A table or an optional chain without rules is left out.

    `forward` is what FORWARD is on a host that is no router.
    """
    chains: Chains = {}
    filtered = {"INPUT": {"policy": "DROP", "rules": _texts(_input_rules(policy, chains), policy)}}
    forwarded = _texts(_forward_rules(policy, chains), policy)
    own = _texts(_with_raw([], policy, "filter", "FORWARD"), policy)
    filtered["FORWARD"] = {"policy": "DROP", "rules": forwarded} if forwarded else {**forward, "rules": own}
    sent = _texts(_output_rules(policy, chains), policy)
    if policy.outbound.policy != "accept":
        filtered["OUTPUT"] = {"policy": "DROP", "rules": sent}
    elif sent:
        filtered["OUTPUT"] = {"rules": sent}
    filtered.update((name, {"rules": _texts(rules, policy)}) for name, rules in chains.items())
    return {**_other_tables(policy), "filter": filtered}


def _other_tables(policy: Policy) -> dict[str, dict[str, dict[str, Any]]]:
    """What the tables beside filter hold, in the order in which a packet meets them."""
    chains: Chains = {}
    written: dict[str, dict[str, list[Rule]]] = {
        "raw": {chain: helper_rules(policy, chain) for chain in ("PREROUTING", "OUTPUT")},
        "mangle": {"FORWARD": mss_rules(policy)},
        "nat": {
            "PREROUTING": forward_nat_rules(policy, chains) + redirect_rules(policy, "PREROUTING"),
            "OUTPUT": redirect_rules(policy, "OUTPUT"),
            "POSTROUTING": source_nat_rules(policy),
        },
        "security": {},
    }
    tables = {}
    for table, hooks in written.items():
        rules = {chain: _with_raw(hooks.get(chain, []), policy, table, chain) for chain in BUILTIN_CHAINS[table]}
        texts = {chain: _texts(found, policy) for chain, found in rules.items() if found}
        if any(texts.values()):
            tables[table] = {chain: {"rules": found} for chain, found in texts.items() if found}
    # Our chains outside filter are all in nat.
    for chain, own in chains.items():
        tables["nat"][chain] = {"rules": _texts(own, policy)}
    return tables


def _with_raw(rules: list[Rule], policy: Policy, table: str, chain: str) -> list[Rule]:
    return raw_rules(policy, table, chain, "before") + rules + raw_rules(policy, table, chain, "after")


def _texts(rules: Sequence[Rule], policy: Policy) -> list[str]:
    """The rules as texts, without those for a family that the policy leaves alone."""
    return [str(rule) for rule in rules if rule.family is None or rule.family in policy.families]


def _notes(policy: Policy) -> list[str]:
    missing = [family for family in (4, 6) if family not in policy.families]
    return [f"firewall_families: IPv{family} is not filtered" for family in missing] + router_notes(policy)


def _input_rules(policy: Policy, chains: Chains) -> list[Rule]:
    rules = raw_rules(policy, "filter", "INPUT", "before") + _loopback() + _established()
    rules += _management(policy, chains)
    rules += antispoof_rules(policy, chains)
    rules += trusted_rules(policy, chains)
    rules += mac_acl_rules(policy, chains)
    rules += _icmp(policy, chains)
    rules += _invalid(policy)
    rules += _dhcp_client(policy)
    for service in policy.services:
        rules += [] if service.for_the_rest else service_rules(service, policy, chains)
    rules += lan_input_rules(policy, chains)
    for service in policy.services:
        rules += service_rules(service, policy, chains) if service.for_the_rest else []
    rules += redirected_rules(policy, chains)
    rules += services_knock_rules(policy.every_service, policy, chains)
    rules += raw_rules(policy, "filter", "INPUT", "after") + quiet_rules(policy, chains)
    return rules + _logging(policy, "INPUT") + _final(policy)


def _forward_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """None on a host that is no router."""
    rules = forward_rules(policy, chains)
    if not rules:
        return []
    rules = _established() + _invalid(policy) + antispoof_rules(policy, chains) + mac_acl_rules(policy, chains) + rules
    rules = _with_raw(rules, policy, "filter", "FORWARD") + quiet_rules(policy, chains)
    return rules + _logging(policy, "FORWARD") + _final(policy)


def _output_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """None but the user's own where everything may leave."""
    rules = _with_raw(outbound_rules(policy, chains), policy, "filter", "OUTPUT")
    if policy.outbound.policy == "accept":
        return rules
    return rules + log_rules(policy, "OUTPUT", policy.outbound.policy) + outbound_end(policy)


def _loopback() -> list[Rule]:
    return [Rule("ACCEPT", interface="lo", comment="loopback")]


def _established() -> list[Rule]:
    return [Rule("ACCEPT", matches=("-m conntrack --ctstate RELATED,ESTABLISHED",), comment="established and related")]


def _invalid(policy: Policy) -> list[Rule]:
    rule = Rule("DROP", matches=("-m conntrack --ctstate INVALID",), comment="invalid")
    logged = log_rules(policy, "invalid", "drop", replace(rule, comment="firewall_logging.invalid"))
    return [*(logged if policy.logging.invalid else []), rule]


def _management(policy: Policy, chains: Chains) -> list[Rule]:
    """Neither a SYN nor a connection that conntrack knows is asked for: it must work when all else has gone wrong."""
    port = PortRange(policy.management.port, policy.management.port)
    rule = Rule("ACCEPT", protocol="tcp", matches=port_matches("tcp", [port]), comment="firewall_management")
    return by_source(rule, policy.management.sources, "management", chains) if policy.management.sources else []


def _icmp(policy: Policy, chains: Chains) -> list[Rule]:
    """Ahead of INVALID: conntrack calls an error about a connection that it does not know invalid."""
    rules = _required_icmp6(policy) if 6 in policy.families else []
    for family in policy.families:
        rules += _chosen_icmp(policy, family, rules)
    if rules:
        chains["icmp"] = rules
    return [
        Rule("icmp", family=family, protocol=icmp_protocol(family), comment="firewall_icmp")
        for family in policy.families
        if any(rule.family == family for rule in rules)
    ]


def _required_icmp6(policy: Policy) -> list[Rule]:
    rules = []
    for item in REQUIRED_ICMP6:
        rule = icmp_rule(6, item.type, item.name)
        if item.link_local:
            rule = replace(rule, source=LINK_LOCAL)
        if item.hop_limit is not None:
            rule = replace(rule, matches=(*rule.matches, f"-m hl --hl-eq {item.hop_limit}"))
        rules.append(rule)
    for interface in router_solicitations(policy):
        rule = icmp_rule(6, ICMP_TYPES["router-solicitation"].ipv6 or 0, "router-solicitation")
        rules.append(replace(rule, interface=interface, matches=(*rule.matches, "-m hl --hl-eq 255")))
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


def _logging(policy: Policy, chain: str) -> list[Rule]:
    return log_rules(policy, chain, "reject" if policy.final == "reject" else "drop")


def _final(policy: Policy) -> list[Rule]:
    """With `policy` the built-in chain's own policy ends it, so that rules of others behind ours still work."""
    if policy.final == "policy":
        return []
    if policy.final == "drop":
        return [Rule("DROP", comment="firewall_final")]
    rule = Rule("", comment="firewall_final")
    return reject(replace(rule, protocol="tcp"), policy.families) + reject(rule, policy.families)
