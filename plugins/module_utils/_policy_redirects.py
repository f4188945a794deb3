# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the host that answer at another port. Pure.

The nat table changes the port ahead of INPUT, so INPUT sees the port that it leads to. It accepts there what was
redirected, and nothing that comes to that port by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule, from_source, port_matches
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import Service

KEYS = ("from", "interfaces", "port", "protocols", "state", "to_port")
PROTOCOLS = ("tcp", "udp", "sctp")
LOOPBACK = "lo"


@dataclass(frozen=True)
class Redirect:
    """A port, or a range of them, that leads to another port of the host."""

    name: str
    port: PortRange
    to_port: int
    protocols: tuple[str, ...]
    sources: tuple[Source, ...] | None
    interfaces: tuple[str, ...] | None

    @property
    def variable(self) -> str:
        return "firewall_redirects." + self.name


# Reading


def read_redirects(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Redirect, ...]:
    """What the variable says, validated, by name."""
    read = [_redirect(name, given[name], join(where, name), families) for name in sorted(given)]
    redirects = [redirect for redirect in read if redirect is not None]
    for one, other in combinations(redirects, 2):
        if _overlap(one, other):
            raise PalisadeError(
                f"{other.variable}: port {other.port} is redirected by {one.variable} already, for the same "
                "protocol and sources"
            )
    return tuple(redirects)


def _redirect(name: str, entry: object, where: str, families: tuple[int, ...]) -> Redirect | None:
    values.name(name, where)
    given = {key: value for key, value in values.mapping(entry, where).items() if value is not None}
    values.known_keys(given, where, KEYS)
    if values.choice(given.get("state", "present"), join(where, "state"), ("present", "absent")) == "absent":
        return None
    for key in ("port", "to_port"):
        if key not in given:
            raise PalisadeError(f"{where}: a redirect needs `{key}`")
    port = values.port_range(given["port"], join(where, "port"))
    to_port = values.port_range(given["to_port"], join(where, "to_port"))
    if to_port.first != to_port.last:
        raise PalisadeError("{}: one port is needed, not a range".format(join(where, "to_port")))
    if port == to_port:
        raise PalisadeError("{}: port {} leads to itself".format(join(where, "to_port"), port))
    protocols = values.items(given.get("protocols", ["tcp"]), join(where, "protocols"))
    if not protocols:
        raise PalisadeError("{}: the list is empty".format(join(where, "protocols")))
    sources = values.sources(given["from"], join(where, "from"), families) if "from" in given else None
    if sources == ():
        raise PalisadeError("{}: the list is empty; leave it out to mean everybody".format(join(where, "from")))
    interfaces = values.interfaces(given["interfaces"], join(where, "interfaces")) if "interfaces" in given else None
    return Redirect(
        name=name,
        port=port,
        to_port=to_port.first,
        protocols=values.unique(values.choice(item, join(where, "protocols"), PROTOCOLS) for item in protocols),
        sources=sources,
        interfaces=interfaces,
    )


def _overlap(one: Redirect, other: Redirect) -> bool:
    return (
        one.port.overlaps(other.port)
        and bool(set(one.protocols) & set(other.protocols))
        and _share(one.sources, other.sources)
        and _share(one.interfaces, other.interfaces)
    )


def _share(one: Sequence[Any] | None, other: Sequence[Any] | None) -> bool:
    return one is None or other is None or bool(set(one) & set(other))


def refuse_unheard_refusals(redirects: Sequence[Redirect], services: Sequence[Service]) -> None:
    """A service that refuses a redirected port would refuse nothing: INPUT never sees that port."""
    for redirect, service in product(redirects, services):
        if service.action == "accept":
            continue
        refused = [item for protocol, ranges in service.ports if protocol in redirect.protocols for item in ranges]
        to_port = PortRange(redirect.to_port, redirect.to_port)
        if any(item.overlaps(redirect.port) for item in refused) and not any(item.overlaps(to_port) for item in refused):
            raise PalisadeError(
                f"{service.variable}: has no effect on port {redirect.port}, which {redirect.variable} leads to port "
                f"{redirect.to_port} before any rule sees it; refuse port {redirect.to_port} as well"
            )


# Writing


def redirect_rules(policy: Policy, chain: str) -> list[Rule]:
    """The rules of a chain of the nat table: PREROUTING for what comes in, OUTPUT for the host's connections to itself."""
    return [rule for redirect in policy.redirects for rule in _nat_rules(redirect, chain)]


def _nat_rules(redirect: Redirect, chain: str) -> list[Rule]:
    rules = []
    for interface, protocol in product(_interfaces(redirect, chain), redirect.protocols):
        matches = port_matches(protocol, [redirect.port])
        rule = Rule(
            f"REDIRECT --to-ports {redirect.to_port}",
            interface=interface if chain == "PREROUTING" else "",
            out_interface=interface if chain == "OUTPUT" else "",
            protocol=protocol,
            # What goes through the host to somebody else's port is not ours to answer.
            matches=(*matches, "-m addrtype --dst-type LOCAL") if chain == "PREROUTING" else matches,
            comment=redirect.variable,
        )
        rules += [rule] if redirect.sources is None else [from_source(rule, source) for source in redirect.sources]
    return rules


def _interfaces(redirect: Redirect, chain: str) -> list[str]:
    """Loopback is met in OUTPUT alone: there its connections begin, and nat sees each connection once."""
    if chain == "OUTPUT":
        return [LOOPBACK] if redirect.interfaces is None or LOOPBACK in redirect.interfaces else []
    return [name for name in redirect.interfaces or ("",) if name != LOOPBACK]


def redirected_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What INPUT accepts of what was redirected. From whom and where is the nat table's affair: it has redirected nothing else."""
    return [_accepted(redirect, protocol) for redirect in policy.redirects for protocol in redirect.protocols]


def _accepted(redirect: Redirect, protocol: str) -> Rule:
    to_port = PortRange(redirect.to_port, redirect.to_port)
    return Rule(
        "ACCEPT",
        protocol=protocol,
        matches=(
            *port_matches(protocol, [to_port], syn_only=protocol == "tcp"),
            f"-m conntrack --ctstate DNAT --ctorigdstport {redirect.port}",
        ),
        comment=redirect.variable,
    )
