# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small readers of iptables-save text for the tests, written apart from the collection's own parser on purpose."""
from __future__ import annotations

import re

RULE_COUNTERS = re.compile(r"^\[\d+:\d+\] ", re.MULTILINE)
POLICY_COUNTERS = re.compile(r"^(:\S+ \S+) \[\d+:\d+\]$", re.MULTILINE)
JUMP = re.compile(r" -(?P<how>[jg]) (?P<chain>\S+)$")
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def without_comments(text: str) -> str:
    """Drop the lines with the date and the program's name: they differ from one save to the next."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def without_counters(text: str) -> str:
    """Drop the counters of policies and rules."""
    return RULE_COUNTERS.sub("", without_policy_counters(text))


def without_policy_counters(text: str) -> str:
    """Drop the policies' counters: iptables-legacy itself sets a table's to zero whenever anything in the table changes."""
    return POLICY_COUNTERS.sub(r"\1", text)


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each table, without `*table` and COMMIT."""
    found: dict[str, list[str]] = {}
    for line in without_comments(text).splitlines():
        if line.startswith("*"):
            lines = found.setdefault(line[1:], [])
        elif line and line != "COMMIT":
            lines.append(line)
    return found


def rules(text: str, table: str = "filter", chain: str | None = None) -> list[str]:
    """Return a table's rules in their order, or one chain's."""
    lines = (line for line in sections(text).get(table, []) if not line.startswith(":"))
    return [line for line in lines if chain is None or f"-A {chain} " in f"{line} "]


def policies(text: str, table: str = "filter") -> dict[str, str]:
    """Return the built-in chains' policies."""
    heads = (line[1:].split() for line in sections(text).get(table, []) if line.startswith(":"))
    return {name: policy for name, policy, *rest in heads if policy != "-"}


def chains(text: str, table: str = "filter") -> list[str]:
    """Return the user chains of a table."""
    heads = (line[1:].split() for line in sections(text).get(table, []) if line.startswith(":"))
    return [name for name, policy, *rest in heads if policy == "-"]


def policy_of(text: str, chain: str, table: str = "filter") -> str:
    """Return a built-in chain's policy; a table that does not exist accepts."""
    return policies(text, table).get(chain, "ACCEPT")


def is_empty(lines: list[str]) -> bool:
    """Tell whether a table's lines do nothing to a packet: built-in chains that accept, and no rule."""
    return all(line.startswith(":") and line.split()[1] == "ACCEPT" for line in lines)


def without_empty_tables(text: str) -> dict[str, list[str]]:
    """Return the tables that do something: what a packet can meet."""
    return {table: lines for table, lines in sections(text).items() if not is_empty(lines)}


def renamed(rule: str, name: str, user_chains: set[str]) -> str:
    """Write a saved rule as it stands in the chains that the ruleset `name` owns."""
    head, chain, *rest = rule.split(" ", 2)
    rest_text = f" {rest[0]}" if rest else ""
    jump = JUMP.search(rest_text)
    if jump and jump["chain"] in user_chains:
        rest_text = f"{rest_text[:jump.start()]} -{jump['how']} {name}-{jump['chain']}"
    return f"{head} {name}-{chain}{rest_text}"
