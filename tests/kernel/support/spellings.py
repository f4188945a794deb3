# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of data/spellings.rules: rules as people write them. It judges none of them."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .save_text import HOOKS

FILE = Path(__file__).resolve().parent.parent / "data" / "spellings.rules"
SETS = """create blocked list:set
create allowed bitmap:port range 0-1023
create pairs list:set
create blocked4 hash:net family inet
create blocked6 hash:net family inet6
"""  # the first three serve either family


@dataclass(frozen=True)
class Spelling:
    """One rule as somebody wrote it; family is ipv4, ipv6 or any, with a ? where versions of iptables differ."""

    family: str
    table: str
    chain: str
    rule: str

    @property
    def line(self) -> str:
        """The rule as a line for iptables-restore, which a rule with its own `-A CHAIN` already is."""
        return self.rule if self.rule.lstrip().startswith("-A ") else f"-A {self.chain} {self.rule}"


def spellings(*families: str) -> list[Spelling]:
    """Return the rules of these families, in the order of the file."""
    found, section = [], ("", "", "")
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            family, table, chain = line.strip("[]").split()
            section = (family, table, chain)
        elif line and not line.startswith("# ") and line != "#" and section[0] in families:
            found.append(Spelling(*section, line))
    return found


def tables(members: Iterable[Spelling]) -> dict[str, dict[str, list[str]]]:
    """Write rules as the module's `tables`."""
    declared: dict[str, dict[str, list[str]]] = {}
    for member in members:
        declared.setdefault(member.table, {}).setdefault(member.chain, []).append(member.rule)
    return declared


def user_chains(members: Iterable[Spelling]) -> set[str]:
    """Return the names of the chains that are no hooks."""
    return {member.chain for member in members if member.chain not in HOOKS}


def restore_text(members: Iterable[Spelling]) -> str:
    """Write rules as a file for iptables-restore, with the user chains declared in front."""
    lines: dict[str, list[str]] = {}
    heads: dict[str, dict[str, None]] = {}
    for member in members:
        lines.setdefault(member.table, []).append(member.line)
        if member.chain not in HOOKS:
            heads.setdefault(member.table, {})[f":{member.chain} - [0:0]"] = None
    parts = [[f"*{table}", *heads.get(table, {}), *rules, "COMMIT", ""] for table, rules in lines.items()]
    return "".join("\n".join(part) for part in parts)
