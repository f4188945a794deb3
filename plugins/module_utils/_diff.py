# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a unified diff that a person reads, one per family and table, in the spelling of `iptables -S`. Capped in size."""
from __future__ import annotations

from typing import Dict, Iterator, List, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._edits import Edits, edit_script
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import ChainChange, FamilyPlan, TablePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import append_line

#: Unchanged rules shown on either side of a change.
CONTEXT = 3
#: Lines shown for one table; the rest is counted in one more line.
LONGEST_DIFF = 1_000

#: Sign (' ', '-', '+') and text.
Line = Tuple[str, str]


def diff_of(plan: FamilyPlan) -> List[Dict[str, str]]:
    """Ansible's `diff` for one family: an entry for every table that changes."""
    return [_table_diff(plan.family, table) for table in plan.tables if table.operations]


def _table_diff(family: str, table: TablePlan) -> Dict[str, str]:
    hunks = [line for change in table.changes for line in _hunks(change.chain, _lines(change))]
    return _entry('%s %s (live)' % (family, table.table), '%s %s (wanted)' % (family, table.table), hunks)


def diff_of_lines(path: str, old: Sequence[str], new: Sequence[str]) -> Dict[str, str]:
    """Ansible's `diff` for a file."""
    return _entry(path, path, list(_hunks('', list(_signed(old, new, edit_script(old, new))))))


def _entry(before: str, after: str, hunks: Sequence[str]) -> Dict[str, str]:
    lines = ['--- %s' % before, '+++ %s' % after, *hunks]
    if len(lines) > LONGEST_DIFF:
        hidden = len(lines) - LONGEST_DIFF
        lines = lines[:LONGEST_DIFF] + ['... %d more lines: a diff is cut after %d lines for each table' % (hidden, LONGEST_DIFF)]
    return {'before_header': before, 'after_header': after, 'prepared': '\n'.join(lines) + '\n'}


def _hunks(title: str, lines: Sequence[Line]) -> Iterator[str]:
    old_number = new_number = 0
    index = 0
    for start, end in _windows(lines):
        skipped = sum(1 for sign, _text in lines[index:start] if sign != '+')
        old_number += skipped
        new_number += skipped
        hunk = lines[start:end]
        old_count = sum(1 for sign, _text in hunk if sign != '+')
        new_count = sum(1 for sign, _text in hunk if sign != '-')
        place = (old_number + (old_count > 0), old_count, new_number + (new_count > 0), new_count)
        yield ('@@ -%d,%d +%d,%d @@ ' % place + title).rstrip(' ')
        for sign, text in hunk:
            yield sign + text
        old_number += old_count
        new_number += new_count
        index = end


def _windows(lines: Sequence[Line]) -> Iterator[Tuple[int, int]]:
    """Ranges of lines around the changed ones, those that touch joined."""
    start = end = -1
    for index, (sign, _text) in enumerate(lines):
        if sign == ' ':
            continue
        if end >= 0 and index - CONTEXT <= end:
            end = min(index + 1 + CONTEXT, len(lines))
            continue
        if end >= 0:
            yield start, end
        start, end = max(index - CONTEXT, 0), min(index + 1 + CONTEXT, len(lines))
    if end >= 0:
        yield start, end


def _lines(change: ChainChange) -> List[Line]:
    """The whole chain as signed lines; a new or removed chain starts with its -N, a changed policy with its -P."""
    old, new = change.old or (), change.new or ()
    lines: List[Line] = []
    before, after = change.policies
    if after is not None:
        lines += [('-', '-P %s %s' % (change.chain, before)), ('+', '-P %s %s' % (change.chain, after))]
    if change.old is None or change.new is None:
        lines.append(('+' if change.old is None else '-', '-N %s' % change.chain))
    rendered = [[append_line(change.chain, rule) for rule in rules] for rules in (old, new)]
    return lines + list(_signed(rendered[0], rendered[1], change.edits))


def _signed(old: Sequence[str], new: Sequence[str], edits: Edits) -> Iterator[Line]:
    old_index = new_index = 0
    for kept_old, kept_new in [*edits.kept, (len(old), len(new))]:
        for line in old[old_index:kept_old]:
            yield '-', line
        for line in new[new_index:kept_new]:
            yield '+', line
        if kept_old < len(old):
            yield ' ', old[kept_old]
        old_index, new_index = kept_old + 1, kept_new + 1
