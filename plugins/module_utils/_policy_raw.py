# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw rules: the user's own, as iptables has them, for what has no variable. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import join
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import find_jump, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

PLACES = ("before", "after")
# Options that are no part of a rule.
_COMMANDS = ("-A", "-I", "-D", "-R", "-N", "-P", "-F", "-X", "-t", "--append", "--insert", "--delete", "--table")
_FAMILIES: Mapping[str, int] = {"-4": 4, "-6": 6}

# What does not refuse a packet by itself.
HARMLESS_TARGETS = (
    "ACCEPT",
    "CLASSIFY",
    "CONNMARK",
    "CT",
    "DSCP",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NFLOG",
    "NOTRACK",
    "SNAT",
    "TCPMSS",
    "TOS",
)
REFUSALS = ("DROP", "REJECT", "RETURN")
# Matches that our own rules use too: a host that loads ours loads these.
_OWN_MATCHES = (
    "addrtype",
    "comment",
    "conntrack",
    "icmp",
    "icmp6",
    "iprange",
    "limit",
    "mac",
    "multiport",
    "tcp",
    "udp",
)


@dataclass(frozen=True)
class RawRule(Rule):
    """A rule as it was written, without its family's prefix."""

    text: str = ""

    def __str__(self) -> str:
        return f"-{self.family} {self.text}" if self.family else self.text

    @property
    def plain(self) -> bool:
        """Whether it has none but matches that any host has."""
        words = tokenise(self.text)
        named = [words[place + 1] for place, word in enumerate(words[:-1]) if word in ("-m", "--match")]
        return set(named) <= set(_OWN_MATCHES)


@dataclass(frozen=True)
class Raw:
    """Rules as written, for one chain. `place` is before or after."""

    table: str
    chain: str
    place: str
    rules: tuple[RawRule, ...]


def read_raw(given: Any, where: str, families: tuple[int, ...]) -> tuple[Raw, ...]:
    """What the variable says, validated as far as text can tell; iptables itself has the last word."""
    values.known_keys(given, where, PLACES)
    read = []
    for place in PLACES:
        at_place = join(where, place)
        for table, chains in sorted(values.mapping(given[place], at_place).items()):
            at_table = join(at_place, values.choice(table, at_place, BUILTIN_CHAINS))
            for chain, rules in sorted(values.mapping(chains, at_table).items()):
                values.choice(chain, at_table, BUILTIN_CHAINS[table])
                written = _rules(rules, join(at_table, chain), families)
                read += [Raw(table, chain, place, written)] if written else []
    return tuple(read)


def _rules(value: object, where: str, families: tuple[int, ...]) -> tuple[RawRule, ...]:
    if value is None:
        return ()
    # Not split at commas: a rule may have some.
    listed = [value] if isinstance(value, str) else values.items(value, where)
    return tuple(_rule(item, f"{where}, rule {number}", families) for number, item in enumerate(listed, 1))


def _rule(value: object, where: str, families: tuple[int, ...]) -> RawRule:
    text = values.text(value, where).strip()
    words = tokenise(text, where)
    family = _FAMILIES.get(words[0]) if words else None
    if family:
        text, words = text[2:].strip(), words[1:]
    if not words:
        raise PalisadeError(f"{where}: the rule is empty")
    if family not in (None, *families):
        raise PalisadeError(f"{where}: it is for IPv{family}, and firewall_families leaves that out")
    if words[0].rpartition("/")[2].startswith(("iptables", "ip6tables")):
        raise PalisadeError(f"{where}: write the rule alone, without the command: '-s 192.0.2.1 -j ACCEPT'")
    if words[0].startswith(_COMMANDS) or words[0][0] not in "-!":
        raise PalisadeError(
            f"{where}: {words[0]!r} is no part of a rule; table and chain are named above it: '-s 192.0.2.1 -j ACCEPT'"
        )
    jump = find_jump(words)
    return RawRule(jump.target if jump else "", family=family, text=text)


def raw_rules(policy: Policy, table: str, chain: str, place: str) -> list[Rule]:
    """The rules of a chain, with place "before" or "after"."""
    return [
        rule for raw in policy.raw if (raw.table, raw.chain, raw.place) == (table, chain, place) for rule in raw.rules
    ]


# The closed fallback


def kept_refusals(raw: tuple[Raw, ...]) -> tuple[Raw, ...] | None:
    """What the closed fallback keeps of these: refusals ahead of whatever it lets in, and nothing that lets in.

    None where something might refuse a packet on its way in, and cannot be kept: a fallback must load on any host.
    """
    kept = []
    for one in raw:
        if one.chain in ("FORWARD", "OUTPUT", "POSTROUTING") or (one.table, one.place) == ("filter", "after"):
            continue
        for rule in one.rules:
            if rule.target in HARMLESS_TARGETS or not rule.target:
                continue
            if rule.target not in REFUSALS or not rule.plain or one.table != "filter":
                return None
            kept.append(Raw(one.table, one.chain, one.place, (rule,)))
    return tuple(kept)
