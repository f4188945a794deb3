# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortest way from one list of rules to another, held against the textbook table of a longest common subsequence."""
from __future__ import annotations

from typing import List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._edits import Edits, common_subsequence, edit_script
from hypothesis import example, given
from hypothesis import strategies as st

#: Few different rules, so that many are equal.
RULES = st.lists(st.sampled_from('abcd'), max_size=14)
DISTINCT = st.permutations(range(12)).map(lambda numbers: [str(number) for number in numbers])


def longest(old: Sequence[str], new: Sequence[str]) -> int:
    """The length of a longest common subsequence, by the table of n times m."""
    row = [0] * (len(new) + 1)
    for rule in old:
        before = row
        row = [0]
        for index, wanted in enumerate(new):
            row.append(before[index] + 1 if rule == wanted else max(before[index + 1], row[index]))
    return row[-1]


def carried_out(edits: Edits, old: Sequence[str], new: Sequence[str]) -> List[str]:
    """`old` after the deletes, from the bottom, and the inserts, from the top."""
    rules = list(old)
    for index in reversed(edits.deletes):
        del rules[index]
    for index in edits.inserts:
        rules.insert(index, new[index])
    return rules


def assert_common_subsequence(old: Sequence[str], new: Sequence[str]) -> int:
    pairs = common_subsequence(old, new)
    assert all(old[first] == new[second] for first, second in pairs)
    assert all(first < later[0] and second < later[1] for (first, second), later in zip(pairs, pairs[1:]))
    return len(pairs)


@given(RULES, RULES)
@example(list('abcabba'), list('cbabac'))
def test_what_is_kept_is_a_longest_common_subsequence(old: List[str], new: List[str]) -> None:
    assert assert_common_subsequence(old, new) == longest(old, new)


@given(DISTINCT, DISTINCT)
def test_and_for_rules_that_only_change_places(old: List[str], new: List[str]) -> None:
    assert assert_common_subsequence(old, new) == longest(old, new)


@given(RULES, RULES)
def test_deletes_and_inserts_make_old_equal_new(old: List[str], new: List[str]) -> None:
    edits = edit_script(old, new)
    assert carried_out(edits, old, new) == new
    assert edits.cost == len(old) + len(new) - 2 * longest(old, new)
    assert list(edits.deletes) == sorted(set(range(len(old))) - {pair[0] for pair in edits.kept})
    assert list(edits.inserts) == sorted(set(range(len(new))) - {pair[1] for pair in edits.kept})


@given(st.integers(60, 120), st.lists(st.sampled_from('ab'), max_size=12), st.lists(st.sampled_from('ab'), max_size=12))
def test_very_many_equal_rules_still_give_the_wanted_list(equal: int, before: List[str], after: List[str]) -> None:
    old, new = ['c'] + before + ['a'] * equal, after + ['a'] * (equal + 3) + ['d']
    assert assert_common_subsequence(old, new) > 0
    assert carried_out(edit_script(old, new), old, new) == new


@pytest.mark.parametrize(('old', 'new', 'deletes', 'inserts'), [
    ('', '', [], []),
    ('abc', 'abc', [], []),
    ('', 'ab', [], [0, 1]),
    ('ab', '', [0, 1], []),
    ('abc', 'xabc', [], [0]),
    ('abc', 'abcx', [], [3]),
    ('abc', 'axc', [1], [1]),
    ('abc', 'ac', [1], []),
    ('aaa', 'aa', [2], []),
    ('ab', 'ba', [1], [0]),
])
def test_edits_by_hand(old: str, new: str, deletes: List[int], inserts: List[int]) -> None:
    edits = edit_script(list(old), list(new))
    assert (list(edits.deletes), list(edits.inserts)) == (deletes, inserts)


def test_one_rule_on_top_of_a_thousand_is_one_insert() -> None:
    old = ['-s 192.0.2.%d -j DROP' % number for number in range(1000)]
    edits = edit_script(old, ['-i lo -j ACCEPT'] + old)
    assert (list(edits.deletes), list(edits.inserts), len(edits.kept)) == ([], [0], 1000)


def test_a_reversed_chain_keeps_one_rule() -> None:
    old = [str(number) for number in range(2000)]
    assert len(edit_script(old, old[::-1]).kept) == 1


def test_two_rules_that_change_places_cost_two_operations() -> None:
    old = [str(number) for number in range(500)]
    assert edit_script(old, old[:100] + [old[101], old[100]] + old[102:]).cost == 2
