# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff that a person reads: applied by hand to the live rules it gives the wanted ones, it is short, and it is capped."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._diff import CONTEXT, LONGEST_DIFF, diff_of
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import FamilyPlan, make_plan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.tests.unit.support.memory_kernel import HOOKS
from ansible_collections.palisade.netfilter.tests.unit.support.situations import (
    FAMILY,
    Situation,
    State,
    after,
    goals_of,
    live_of,
    rules_of,
    situations,
    state_of,
)
from hypothesis import given
from hypothesis import strategies as st

OWNERSHIP = Ownership('palisade', 'chains')
HUNK = re.compile(r'@@ -(\d+),(\d+) \+(\d+),(\d+) @@ (\S+)\Z')


def plan_of(live: Tables, rules: List[str]) -> FamilyPlan:
    goal = table_goal('filter', {'INPUT': DeclaredChain('DROP')}, {'INPUT': rules}, live.get('filter', {}), OWNERSHIP)
    return make_plan('ipv4', live, {'filter': goal}, OWNERSHIP)


def applied(rules: List[str]) -> Tables:
    lines = ['*filter', ':INPUT DROP [0:0]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':palisade-INPUT - [0:0]',
             '-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT']
    return parse('\n'.join(lines + ['-A palisade-INPUT %s' % rule for rule in rules] + ['COMMIT', '']), 'test')


def chain_lines(state: State, table: str, chain: str, policy_changed: bool, is_new: bool) -> List[str]:
    """A chain as the diff sees it: -P where the policy changes, -N where the chain comes or goes, then its rules."""
    if chain not in state.get(table, {}):
        return []
    policy, _packets, rules = state[table][chain]
    head = ['-P %s %s' % (chain, policy)] if policy_changed else ['-N %s' % chain] if is_new else []
    return head + [('-A %s %s' % (chain, rule)).rstrip(' ') for rule in rules_of(rules)]


def hunks_of(prepared: str) -> Dict[str, List[Tuple[List[int], List[str]]]]:
    """chain → its hunks: the four numbers and the lines."""
    hunks: Dict[str, List[Tuple[List[int], List[str]]]] = {}
    current: List[str] = []
    for line in prepared.split('\n')[2:-1]:
        found = HUNK.match(line)
        if found:
            current = []
            hunks.setdefault(found.group(5), []).append(([int(number) for number in found.groups()[:4]], current))
        else:
            current.append(line)
    return hunks


def patched(old: List[str], hunks: List[Tuple[List[int], List[str]]]) -> List[str]:
    """What patch(1) would make of it, checking all numbers and every context line on the way."""
    new: List[str] = []
    done = 0
    for (start, count, new_start, new_count), lines in hunks:
        first = start - 1 if count else start
        new.extend(old[done:first])
        assert len(new) == (new_start - 1 if new_count else new_start)
        gone = [line[1:] for line in lines if line[0] in ' -']
        came = [line[1:] for line in lines if line[0] in ' +']
        assert old[first:first + count] == gone
        assert (len(gone), len(came)) == (count, new_count)
        new.extend(came)
        done = first + count
    return new + old[done:]


@given(situations())
def test_a_persons_patch_of_the_live_rules_gives_the_wanted_ones(situation: Situation) -> None:
    live = live_of(situation.kernel)
    plan = make_plan(FAMILY, live, goals_of(situation.wish, live, OWNERSHIP), OWNERSHIP)
    before, wanted = state_of(situation.kernel), state_of(after(situation.kernel, plan))
    for table in situation.wish[0]:
        empty: Dict[str, Any] = {hook: ('ACCEPT', '', []) for hook in HOOKS[table]}
        old: State = {table: before.get(table, dict(empty))}
        new: State = {table: wanted.get(table, dict(empty))}
        prepared = [entry['prepared'] for entry in diff_of(plan) if ' %s ' % table in entry['before_header']]
        hunks = hunks_of(''.join(prepared))
        for chain in set(old[table]) | set(new[table]):
            policy = chain in old[table] and chain in new[table] and old[table][chain][0] != new[table][chain][0]
            is_new = (chain in old[table]) != (chain in new[table])
            lines = chain_lines(old, table, chain, policy, is_new)
            assert patched(lines, hunks.get(chain, [])) == chain_lines(new, table, chain, policy, is_new)


@given(situations())
def test_there_is_a_diff_for_just_the_tables_that_change(situation: Situation) -> None:
    live = live_of(situation.kernel)
    plan = make_plan(FAMILY, live, goals_of(situation.wish, live, OWNERSHIP), OWNERSHIP)
    changing = [table.table for table in plan.tables if table.operations]
    assert [entry['before_header'] for entry in diff_of(plan)] == ['ipv4 %s (live)' % table for table in changing]
    assert [entry['after_header'] for entry in diff_of(plan)] == ['ipv4 %s (wanted)' % table for table in changing]


def test_the_first_apply_reads_like_this() -> None:
    entry, = diff_of(plan_of({}, ['-i lo -j ACCEPT', '']))
    assert entry['prepared'].split('\n') == [
        '--- ipv4 filter (live)',
        '+++ ipv4 filter (wanted)',
        '@@ -0,0 +1,3 @@ palisade-INPUT',
        '+-N palisade-INPUT',
        '+-A palisade-INPUT -i lo -j ACCEPT',
        '+-A palisade-INPUT',
        '@@ -1,1 +1,2 @@ INPUT',
        '--P INPUT ACCEPT',
        '+-P INPUT DROP',
        '+-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT',
        '',
    ]


def test_one_changed_rule_is_shown_with_three_on_either_side() -> None:
    rules = ['-p %d -j ACCEPT' % number for number in range(20, 40)]
    entry, = diff_of(plan_of(applied(rules), rules[:10] + ['-j LOG'] + rules[11:]))
    assert entry['prepared'].split('\n') == [
        '--- ipv4 filter (live)',
        '+++ ipv4 filter (wanted)',
        '@@ -8,7 +8,7 @@ palisade-INPUT',
        ' -A palisade-INPUT -p 27 -j ACCEPT',
        ' -A palisade-INPUT -p 28 -j ACCEPT',
        ' -A palisade-INPUT -p 29 -j ACCEPT',
        '--A palisade-INPUT -p 30 -j ACCEPT',
        '+-A palisade-INPUT -j LOG',
        ' -A palisade-INPUT -p 31 -j ACCEPT',
        ' -A palisade-INPUT -p 32 -j ACCEPT',
        ' -A palisade-INPUT -p 33 -j ACCEPT',
        '',
    ]


def test_a_single_insert_has_three_on_either_side_too() -> None:
    rules = ['-p %d -j ACCEPT' % number for number in range(20, 40)]
    entry, = diff_of(plan_of(applied(rules), rules[:10] + ['-j LOG'] + rules[10:]))
    assert [line[:1] for line in entry['prepared'].split('\n')[2:]] == ['@', ' ', ' ', ' ', '+', ' ', ' ', ' ', '']


@pytest.mark.parametrize(('apart', 'hunks'), [(1, 1), (2 * CONTEXT, 1), (2 * CONTEXT + 1, 1), (2 * CONTEXT + 2, 2)])
def test_changes_close_to_each_other_share_their_context(apart: int, hunks: int) -> None:
    rules = ['-p %d -j ACCEPT' % number for number in range(20, 60)]
    wanted = list(rules)
    wanted[10] = '-j LOG'
    wanted[10 + apart] = '-j MARK'
    entry, = diff_of(plan_of(applied(rules), wanted))
    assert entry['prepared'].count('@@ -') == hunks
    lines = entry['prepared'].split('\n')
    assert len(lines) == len(set(lines))


@given(st.integers(1, 60))
def test_nothing_is_shown_twice_however_close_the_changes(apart: int) -> None:
    rules = ['-p %d -j ACCEPT' % number for number in range(20, 100)]
    wanted = list(rules)
    wanted[10], wanted[10 + apart] = '-j LOG', '-j MARK'
    entry, = diff_of(plan_of(applied(rules), wanted))
    lines = [line for line in entry['prepared'].split('\n') if line.startswith(' ')]
    assert len(lines) == len(set(lines))


def test_a_long_diff_is_cut_and_says_how_much_is_missing() -> None:
    rules = ['-s 10.0.%d.%d/32 -j DROP' % (number // 250, number % 250) for number in range(2 * LONGEST_DIFF)]
    entry, = diff_of(plan_of({}, rules))
    lines = entry['prepared'].split('\n')
    assert len(lines) == LONGEST_DIFF + 2
    # two headers, two hunk headers, -N, two of the policy and the jump stand beside the rules
    assert lines[LONGEST_DIFF] == '... %d more lines: a diff is cut after %d lines for each table' % (len(rules) + 8 - LONGEST_DIFF, LONGEST_DIFF)


def test_a_diff_of_just_the_longest_length_is_whole() -> None:
    rules = ['-s 10.0.%d.%d/32 -j DROP' % (number // 250, number % 250) for number in range(LONGEST_DIFF - 8)]
    entry, = diff_of(plan_of({}, rules))
    assert 'more lines' not in entry['prepared']
    assert len(entry['prepared'].split('\n')) == LONGEST_DIFF + 1


def test_no_change_is_no_diff() -> None:
    assert diff_of(plan_of(applied(['-j LOG']), ['-j LOG'])) == []
    assert diff_of(make_plan('ipv4', {}, {'filter': TableGoal()}, OWNERSHIP)) == []
