# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port knocking: a service that opens for an address that has sent packets to the right ports in the right order. Pure.

What an address has done is in one of the kernel's lists of recent addresses: one list for each knock but the last, and
one for whom the service is open. An address is in one of the first at most: the right next knock moves it on, any other
packet that nobody accepts takes it out. So a scan of all ports in order opens nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule, port_matches, recent_match
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

DEFAULT_SECONDS = 30
_LONGEST_SEQUENCE = 32
_STEP = re.compile(r"([a-z]+)/([0-9]+)\Z")


@dataclass(frozen=True)
class Knock:
    """Protocols and ports in their order; `seconds` for each next one, and for the opening."""

    steps: tuple[tuple[str, PortRange], ...]
    seconds: int


def read_knock(given: Mapping[str, Any], where: str) -> Knock | None:
    """The keys `knock` and `knock_seconds` of a service."""
    at, at_seconds = join(where, "knock"), join(where, "knock_seconds")
    if "knock" not in given:
        if "knock_seconds" in given:
            raise PalisadeError(f"{at_seconds}: there is no `knock` that it could be for")
        return None
    steps = tuple(_step(item, at) for item in values.items(given["knock"], at))
    if len(steps) < 2:
        raise PalisadeError(f"{at}: one knock is no sequence, any port scan would open it; name two or more")
    if len(steps) > _LONGEST_SEQUENCE:
        raise PalisadeError(f"{at}: {len(steps)} knocks are too many ({_LONGEST_SEQUENCE} at most)")
    return Knock(steps, values.integer(given.get("knock_seconds", DEFAULT_SECONDS), at_seconds, 1, 86400))


def _step(item: object, where: str) -> tuple[str, PortRange]:
    match = _STEP.match(item.strip()) if isinstance(item, str) else None
    if not match or match.group(1) not in ("tcp", "udp"):
        raise PalisadeError(f"{where}: {item!r} is no knock; write it like 'udp/12345' or 'tcp/12345'")
    return match.group(1), values.port_range(match.group(2), where)


def knock_gate(knock: Knock, tag: str, variable: str, policy: Policy) -> list[Rule]:
    """At the head of a service's own chain: who has not knocked goes on as if there were no service."""
    return [
        Rule(
            "RETURN",
            family=family,
            matches=(recent_match(family, "rcheck", _open(tag), seconds=knock.seconds, inverted=True),),
            comment=f"{variable}.knock: not open",
        )
        for family in policy.families
    ]


def knock_rules(knock: Knock, tag: str, variable: str, policy: Policy, chains: Chains) -> list[Rule]:
    """What follows the knocks, behind everything that accepts. It decides nothing: a knock is dropped or refused like any
    packet to a closed port, and cannot be told from one.

    Only packets to this host alone count, or a neighbour's broadcasts would interrupt its own knocking.
    """
    chain = chain_name("knock", tag)
    chains[chain] = [rule for family in policy.families for rule in _family_rules(knock, tag, variable, family)]
    return [Rule(chain, matches=("-m addrtype --dst-type LOCAL",), comment=f"{variable}.knock")]


def _family_rules(knock: Knock, tag: str, variable: str, family: int) -> list[Rule]:
    """The last knock first: whoever is in two places of the sequence by one packet cannot be."""
    count = len(knock.steps)
    lists = ["", *(f"palisade-{tag}-knock{number}" for number in range(1, count)), _open(tag)]

    def step(number: int, *matches: str) -> Rule:
        protocol, port = knock.steps[number - 1]
        ports = port_matches(protocol, [port], syn_only=protocol == "tcp")
        reached = recent_match(family, "set", lists[number])
        comment = f"{variable}.knock: {number} of {count}"
        return Rule("RETURN", family=family, protocol=protocol, matches=(*ports, *matches, reached), comment=comment)

    rules = []
    for number in range(count, 1, -1):
        before = recent_match(family, "rcheck", lists[number - 1], seconds=knock.seconds)
        rules.append(step(number, before, recent_match(family, "remove", lists[number - 1])))
    for name in lists[count - 1 : 0 : -1]:
        anew = recent_match(family, "remove", name)
        rules.append(Rule("", family=family, matches=(anew,), comment=f"{variable}.knock: anew"))
    return [*rules, step(1)]


def _open(tag: str) -> str:
    return f"palisade-{tag}-open"
