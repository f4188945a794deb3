# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plain iptables-restore makes of candidate rules: the truth that the module is measured against. No module runs here."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from .extension_tests import Candidate
from .host import COMMANDS, Host
from .save_text import without_comments, without_counters


def in_order(batch: Iterable[Candidate]) -> list[Candidate]:
    """Put what a candidate needs in front, once, and keep the order otherwise."""
    batch = list(batch)
    return list(dict.fromkeys([needed for candidate in batch for needed in candidate.needs] + batch))


def by_table(batch: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """Group a batch by table."""
    tables: dict[str, list[Candidate]] = {}
    for candidate in in_order(batch):
        tables.setdefault(candidate.table, []).append(candidate)
    return tables


def restore_text(batch: Iterable[Candidate]) -> str:
    """Write a batch as a file for iptables-restore."""
    lines = [
        "\n".join([f"*{table}", *(candidate.line for candidate in members), "COMMIT", ""])
        for table, members in by_table(batch).items()
    ]
    return "".join(lines)


def loads(host: Host, family: str, text: str) -> bool:
    """Tell whether iptables-restore alone takes the whole text, in a network namespace of its own."""
    command = f"{COMMANDS[family]}-{host.backend}-restore"
    return host.run("unshare", "--net", command, text=text, check=False).returncode == 0


def batches(host: Host, family: str, members: Sequence[Candidate]) -> list[list[Candidate]]:
    """Split candidates, by halving, into batches that load together. A candidate that never loads is in none."""
    if not members:
        return []
    if loads(host, family, restore_text(members)):
        return [list(members)]
    if len(members) == 1:
        return []
    half = len(members) // 2
    return batches(host, family, members[:half]) + batches(host, family, members[half:])


def accepted_batches(host: Host, family: str, members: Sequence[Candidate]) -> list[list[Candidate]]:
    """Return few, large batches of everything that loads: first what loads at all, then what loads together."""
    hopeful = [candidate for candidate in members if candidate.expected]
    others = [candidate for candidate in members if not candidate.expected]
    accepted = [candidate for batch in batches(host, family, hopeful) for candidate in batch]
    accepted += [candidate for candidate in others if loads(host, family, restore_text([candidate]))]
    return batches(host, family, accepted)


def saved_alone(host: Host, family: str, text: str) -> str:
    """Return what iptables-save prints after iptables-restore alone loaded the text, in a namespace of its own."""
    command = f"{COMMANDS[family]}-{host.backend}"
    script = f"{command}-restore && {command}-save"
    return without_counters(without_comments(host.run("unshare", "--net", "sh", "-euc", script, text=text).stdout))
