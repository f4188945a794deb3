# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled tables as text that a person reads and iptables-restore loads. Neither compiles nor reads anything."""

from __future__ import annotations

from typing import Any, Mapping


def tables_text(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The tables in iptables-restore's format. Rules of one family keep their `-4` or `-6`; both programs heed it."""
    return "".join("\n".join(_table(name, chains)) + "\n" for name, chains in tables.items())


def _table(name: str, chains: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["*" + name]
    for chain, content in chains.items():
        if content.get("only_if_unused"):
            lines.append("# only on a host where nobody else has rules in it:")
        lines.append(":{} {} [0:0]".format(chain, content.get("policy") or "-"))
    for chain, content in chains.items():
        lines += [_appended(chain, rule) for rule in content["rules"]]
    return [*lines, "COMMIT"]


def _appended(chain: str, rule: str) -> str:
    family = rule[:3] if rule.startswith(("-4 ", "-6 ")) else ""
    return f"{family}-A {chain} {rule[len(family) :]}"
