# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortest way from one list of rules to another: a longest common subsequence, in n log n for lists of distinct rules."""
from __future__ import annotations

from bisect import bisect_left
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

Pair = Tuple[int, int]

#: Above this many candidate pairs per rule (many equal rules), only equal occurrences are paired: still right, perhaps not shortest.
_PAIRS_PER_RULE = 20


class Edits(NamedTuple):
    """Old positions to delete and new positions to insert, both from 0 and ascending; `kept` pairs old with new."""

    deletes: Sequence[int]
    inserts: Sequence[int]
    kept: Sequence[Pair]

    @property
    def cost(self) -> int:
        """How many operations that is."""
        return len(self.deletes) + len(self.inserts)


def edit_script(old: Sequence[str], new: Sequence[str]) -> Edits:
    """The edits that make `old` equal `new`, keeping as many rules in place as can be kept."""
    return edits_around(common_subsequence(old, new), len(old), len(new))


def edits_around(kept: Sequence[Pair], old: int, new: int) -> Edits:
    """The edits between lists of these lengths that leave the `kept` pairs alone."""
    kept_old = {pair[0] for pair in kept}
    kept_new = {pair[1] for pair in kept}
    return Edits(
        [index for index in range(old) if index not in kept_old],
        [index for index in range(new) if index not in kept_new],
        kept)


def common_subsequence(old: Sequence[str], new: Sequence[str]) -> List[Pair]:
    """Index pairs of a longest common subsequence, ascending: equal ends first, Hunt and Szymanski (1977) between them."""
    start, end_old, end_new = 0, len(old), len(new)
    while start < end_old and start < end_new and old[start] == new[start]:
        start += 1
    while end_old > start and end_new > start and old[end_old - 1] == new[end_new - 1]:
        end_old -= 1
        end_new -= 1
    pairs = [(index, index) for index in range(start)]
    pairs.extend(_middle(old, new, start, end_old, end_new))
    pairs.extend(zip(range(end_old, len(old)), range(end_new, len(new))))
    return pairs


def _middle(old: Sequence[str], new: Sequence[str], start: int, end_old: int, end_new: int) -> List[Pair]:
    ends: List[int] = []
    links: List[Tuple[int, int, Optional[tuple]]] = []
    for new_index, candidates in _candidates(old, new, start, end_old, end_new):
        for old_index in candidates:
            place = bisect_left(ends, old_index)
            link = (old_index, new_index, links[place - 1] if place else None)
            if place == len(ends):
                ends.append(old_index)
                links.append(link)
            else:
                ends[place] = old_index
                links[place] = link
    pairs: List[Pair] = []
    last: Optional[tuple] = links[-1] if links else None
    while last is not None:
        pairs.append((last[0], last[1]))
        last = last[2]
    pairs.reverse()
    return pairs


def _candidates(old: Sequence[str], new: Sequence[str], start: int, end_old: int, end_new: int) -> List[Tuple[int, List[int]]]:
    """For each new position the old positions with the same rule, descending, as Hunt and Szymanski want them."""
    places: Dict[str, List[int]] = {}
    for index in range(end_old - 1, start - 1, -1):
        places.setdefault(old[index], []).append(index)
    found = [(index, places[new[index]]) for index in range(start, end_new) if new[index] in places]
    if sum(len(candidates) for _index, candidates in found) <= _PAIRS_PER_RULE * (end_old + end_new):
        return found
    return [(index, [candidates.pop()]) for index, candidates in found if candidates]
