# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains that a policy's sections share: jumps to lists of sources, names that fit. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Callable, Dict, List, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    to_destination,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import Source

# A chain may have 28 characters, `<name>-` in front takes up to 13 of them.
_CHAIN_LENGTH = 15

#: User chains of one table, in the order in which they are declared.
Chains = Dict[str, List[Rule]]


def by_source(rule: Rule, sources: Sequence[Source], chain: str, chains: Chains) -> list[Rule]:
    """`rule` for these sources: one rule where a family has one, else a jump to a chain that lists them.

    A packet that no line of the chain takes goes on behind the jump.
    """
    return _by_address(rule, sources, chain, chains, from_source)


def by_destination(rule: Rule, destinations: Sequence[Source], chain: str, chains: Chains) -> list[Rule]:
    """The same for packets to these destinations."""
    return _by_address(rule, destinations, chain, chains, to_destination)


def _by_address(
    rule: Rule, addresses: Sequence[Source], chain: str, chains: Chains, limited: Callable[[Rule, Source], Rule]
) -> list[Rule]:
    families = [family for family in (4, 6) if any(source.family == family for source in addresses)]
    if all(sum(source.family == family for source in addresses) == 1 for family in families):
        return [limited(rule, source) for source in addresses]
    chains[chain] = [limited(Rule(rule.target), source) for source in addresses]
    return [replace(rule, target=chain, family=families[0] if len(families) == 1 else None)]


def chain_name(kind: str, name: str) -> str:
    """`kind-name`, and where that is too long for a chain, its beginning and a checksum of the name."""
    full = f"{kind}-{name}"
    if len(full) <= _CHAIN_LENGTH:
        return full
    digest = hashlib.sha256(name.encode("ascii")).hexdigest()[:4]
    return f"{full[: _CHAIN_LENGTH - 5]}-{digest}"
