# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of differences between the documents' rules and ours that are allowed, each with its name and its reason. Pure but for reading it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from .documents import FOLDER
from .grid import Case

TABLE = FOLDER / "differences.yml"


@dataclass(frozen=True)
class Difference:
    """Packets whose tags are `where`'s have one of these fates by the document and one of those by ours.

    A value of `where` is one value or a list of them. Besides a case's own tags there are `packet` (from 1, of a case of several) and
    `document` and `ours`, the fates.
    """

    name: str
    reason: str
    where: Mapping[str, Sequence[Any]]

    def fits(self, tags: Mapping[str, Any]) -> bool:
        return all(tags.get(key) in wanted for key, wanted in self.where.items())


def listed(document: str) -> list[Difference]:
    """Return the differences that a document may have."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return [_read(name, entry) for name, entry in table.items() if document in entry["documents"]]


def _read(name: str, entry: Mapping[str, Any]) -> Difference:
    where = {**entry["where"], "document": entry["document"], "ours": entry["ours"]}
    return Difference(name, entry["reason"], {key: value if isinstance(value, list) else [value] for key, value in where.items()})


def sort_out(
    cases: Sequence[Case], document: Sequence[Sequence[Any]], ours: Sequence[Sequence[Any]], allowed: Sequence[Difference]
) -> tuple[list[str], list[str]]:
    """Return what differs and no entry allows, in words, and the names of entries that nothing needs."""
    unexplained: list[str] = []
    needed: set[str] = set()
    for case, theirs, mine in zip(cases, document, ours, strict=True):
        for number, (one, other) in enumerate(zip(theirs, mine, strict=True), 1):
            if one != other:
                tags = {**case.tags, "document": _text(one), "ours": _text(other), **({"packet": number} if len(theirs) > 1 else {})}
                fitting = [difference.name for difference in allowed if difference.fits(tags)]
                needed.update(fitting)
                if not fitting:
                    unexplained.append(" ".join(f"{key}={value}" for key, value in tags.items()))
    return unexplained, [difference.name for difference in allowed if difference.name not in needed]


def _text(fate: Any) -> str:
    return " ".join(fate) if isinstance(fate, list) else str(fate)
