# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate limits of a service: so many new connections from one address, counted by the kernel's list of recent ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import service_log_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule, from_source, recent_match
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import Source, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

# xt_recent of older kernels keeps at most 255 times of an address.
_MOST_HITS = 255


@dataclass(frozen=True)
class RateLimit:
    """`hits` new connections of one address in any `seconds` pass; what is `exempt` is not counted."""

    hits: int
    seconds: int
    exempt: tuple[Source, ...]


def read_rate_limit(value: object, where: str, families: tuple[int, ...]) -> RateLimit:
    given: Mapping[str, Any] = {"hits": 4, "seconds": 60, "exempt": [], **values.present(value, where)}
    values.known_keys(given, where, ("exempt", "hits", "seconds"))
    return RateLimit(
        hits=values.integer(given["hits"], join(where, "hits"), 1, _MOST_HITS),
        seconds=values.integer(given["seconds"], join(where, "seconds"), 1, 86400),
        exempt=values.sources(given["exempt"], join(where, "exempt"), families),
    )


def rate_rules(limit: RateLimit, tag: str, variable: str, policy: Policy) -> list[Rule]:
    """Accept what is below the limit; log and drop the rest.

    The attempt that is refused is counted too (`--update`): who goes on trying stays out. The rule that logs only looks
    (`--rcheck`), or each attempt would be counted twice.
    """
    name, comment = f"palisade-{tag}-rate", f"{variable}.rate_limit"
    rules = [
        from_source(Rule("ACCEPT", comment=f"{comment}.exempt"), source)
        for source in limit.exempt
        if source.family in policy.families
    ]
    for family in policy.families:
        over = recent_match(family, "rcheck", name, seconds=limit.seconds, hits=limit.hits)
        counted = recent_match(family, "update", name, seconds=limit.seconds, hits=limit.hits)
        looked = Rule("", family=family, matches=(over,), comment=comment)
        rules += service_log_rules(policy, tag, "drop", looked)
        rules.append(Rule("DROP", family=family, matches=(counted,), comment=comment))
        rules.append(Rule("ACCEPT", family=family, matches=(recent_match(family, "set", name),), comment=comment))
    return rules
