# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging: what a line starts with, how many there may be, where they go. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    limit_match,
    log_target,
    nflog_target,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import Rate, join

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

LOG_TARGETS = ("log", "nflog")
LOGGING_KEYS = ("burst", "enabled", "group", "invalid", "level", "prefix", "rate", "target")

# The longest built-in chain and the longest verdict that the placeholders of a prefix can stand for.
_LONGEST_CHAIN = "FORWARD"
_LONGEST_VERDICT = "accept"
_ANY = Rule("")


@dataclass(frozen=True)
class Logging:
    """How packets are logged. `prefix` may hold {chain} and {verdict}; `group` is for the target nflog alone."""

    enabled: bool
    rate: Rate
    prefix: str
    level: int
    target: str = "log"
    group: int = 0
    invalid: bool = False

    def prefix_for(self, chain: str, verdict: str) -> str:
        """The prefix, written out and no longer than the kernel takes: a long name in the place of a chain is cut."""
        written = self.prefix.replace("{verdict}", verdict)
        places = written.count("{chain}")
        room = values.LONGEST_PREFIX - len(written.replace("{chain}", ""))
        return written.replace("{chain}", chain[: room // places] if places else "")


def read_logging(given: Mapping[str, Any], where: str) -> Logging:
    values.known_keys(given, where, LOGGING_KEYS)
    target = values.choice(given["target"], join(where, "target"), LOG_TARGETS)
    if target == "log" and given["group"] is not None:
        raise PalisadeError(f"{join(where, 'group')}: only the target nflog has groups")
    return Logging(
        enabled=values.boolean(given["enabled"], join(where, "enabled")),
        rate=values.rate(given["rate"], given["burst"], join(where, "rate"), join(where, "burst")),
        prefix=values.log_prefix(given["prefix"], join(where, "prefix"), _LONGEST_CHAIN, _LONGEST_VERDICT),
        level=values.log_level(given["level"], join(where, "level")),
        target=target,
        group=values.integer(given["group"] or 0, join(where, "group"), 0, 65535),
        invalid=values.boolean(given["invalid"], join(where, "invalid")),
    )


def log_rules(policy: Policy, chain: str, verdict: str = "drop", rule: Rule = _ANY) -> list[Rule]:
    """What logs the packets that `rule` is about, at a limited rate; nothing where nothing is logged.

    `chain` and `verdict` are what the prefix says. `rule` brings its matches and may bring a comment.
    """
    logging = policy.logging
    if not logging.enabled:
        return []
    prefix = logging.prefix_for(chain, verdict)
    target = nflog_target(prefix, logging.group) if logging.target == "nflog" else log_target(prefix, logging.level)
    matches = (*rule.matches, limit_match(logging.rate))
    return [replace(rule, target=target, matches=matches, comment=rule.comment or "firewall_logging")]


def service_log_rules(policy: Policy, service: str, verdict: str, rule: Rule) -> list[Rule]:
    """The same with the service's name in the line, whether the prefix has a place for it or not."""
    logging = policy.logging
    if "{chain}" not in logging.prefix:
        room = values.LONGEST_PREFIX - len("{chain} ")
        logging = replace(logging, prefix=logging.prefix.replace("{verdict}", verdict)[:room] + "{chain} ")
    return log_rules(replace(policy, logging=logging), service, verdict, rule)
