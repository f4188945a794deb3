# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans carried out on a fake kernel: whatever is there and whatever is wanted, the goal is reached, and nobody else's rules move."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Sequence, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, snapshot_goal, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import REBUILD_ABOVE, FamilyPlan, Operation, lost_counters, make_plan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.tests.unit.support.memory_kernel import HOOKS, MemoryKernel
from ansible_collections.palisade.netfilter.tests.unit.support.situations import (
    FAMILY,
    Situation,
    State,
    after,
    goals_of,
    is_our_jump,
    kernels,
    live_of,
    ours,
    rules_of,
    situations,
    state_of,
    wishes,
)
from hypothesis import given
from hypothesis import strategies as st

OWNERSHIP = Ownership('palisade', 'chains')
WHOLE = Ownership('palisade', 'tables')

DISTINCT = st.lists(st.sampled_from(['-p tcp -m tcp --dport %d -j DROP' % index for index in range(8)]), unique=True)

#: By edits, and by writing every changed chain anew.
WAYS = pytest.mark.parametrize('rebuild_above', [REBUILD_ABOVE, 0], ids=['edits', 'rebuild'])


def planned(situation: Situation, ownership: Ownership = OWNERSHIP, rebuild_above: int = REBUILD_ABOVE) -> Tuple[FamilyPlan, Dict[str, TableGoal]]:
    live = live_of(situation.kernel)
    goals = goals_of(situation.wish, live, ownership)
    return make_plan(FAMILY, live, goals, ownership, rebuild_above), goals


def longest(old: Sequence[str], new: Sequence[str]) -> int:
    row = [0] * (len(new) + 1)
    for rule in old:
        before, row = row, [0]
        for index, wanted in enumerate(new):
            row.append(before[index] + 1 if rule == wanted else max(before[index + 1], row[index]))
    return row[-1]


def is_subsequence(part: Sequence[Any], whole: Sequence[Any]) -> bool:
    rest = iter(whole)
    return all(any(one == other for other in rest) for one in part)


def without_our_comments(rules: Sequence[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """A jump whose comment changes is still the same jump and keeps what it has counted."""
    return [(counter, re.sub(r'-m comment --comment "?palisade(: policy was \w+"?)? ', '', rule)) for counter, rule in rules]


def own_chains(state: State) -> Dict[str, Dict[str, List[str]]]:
    return {table: {name: rules_of(data[2]) for name, data in chains.items() if ours(name)} for table, chains in state.items()}


def foreign_rules(state: State) -> Dict[str, Any]:
    """All that is not ours, counters included. A table that is not there holds empty hooks."""
    found: Dict[str, Any] = {}
    for table in HOOKS:
        chains = state.get(table, {hook: ('ACCEPT', '[0:0]', []) for hook in HOOKS[table]})
        found[table] = {name: (data[1], [rule for rule in data[2] if not (name in HOOKS[table] and is_our_jump(rule[1]))])
                        for name, data in chains.items() if not ours(name)}
    return found


@WAYS
@given(situation=situations())
def test_our_chains_become_what_is_wanted(rebuild_above: int, situation: Situation) -> None:
    plan, goals = planned(situation, rebuild_above=rebuild_above)
    found = own_chains(state_of(after(situation.kernel, plan)))
    for table, canonical in situation.wish[1].items():
        assert found.get(table, {}) == {'palisade-%s' % chain: rules for chain, rules in canonical.items()}
        assert goals[table].chains == {'palisade-%s' % chain: rules for chain, rules in canonical.items()}


@WAYS
@given(situation=situations())
def test_other_peoples_chains_rules_and_counters_stay(rebuild_above: int, situation: Situation) -> None:
    changed = after(situation.kernel, planned(situation, rebuild_above=rebuild_above)[0])
    assert foreign_rules(state_of(changed)) == foreign_rules(state_of(situation.kernel))


@given(situation=situations())
def test_every_declared_hook_and_no_other_holds_one_jump(situation: Situation) -> None:
    plan, _goals = planned(situation)
    before, state = state_of(situation.kernel), state_of(after(situation.kernel, plan))
    for table, declared in situation.wish[0].items():
        for hook in HOOKS[table]:
            rules = rules_of(state[table][hook][2]) if table in state else []
            places = [index for index, rule in enumerate(rules) if is_our_jump(rule)]
            assert len(places) == (1 if hook in declared else 0)
            had = [index for index, rule in enumerate(rules_of(before[table][hook][2])) if is_our_jump(rule)] if table in before else []
            if places and not had:
                assert places == ([0] if table == 'nat' else [len(rules) - 1])
            elif places:
                assert places == had[:1]


@given(situation=situations())
def test_declared_policies_are_set_and_others_are_as_they_were_found(situation: Situation) -> None:
    plan, _goals = planned(situation)
    before, state = state_of(situation.kernel), state_of(after(situation.kernel, plan))
    for table, declared in situation.wish[0].items():
        for hook in HOOKS[table]:
            policy = declared[hook].policy if hook in declared else None
            had = before[table][hook][0] if table in before else 'ACCEPT'
            jumps = [rule for rule in rules_of(before[table][hook][2]) if is_our_jump(rule)] if table in before else []
            found = jumps[0].partition('policy was ')[2].partition('"')[0] if jumps else ''
            assert state.get(table, {}).get(hook, ('ACCEPT',))[0] == (policy or found or had)


@WAYS
@given(situation=situations())
def test_rules_that_stay_keep_their_counters(rebuild_above: int, situation: Situation) -> None:
    before, state = state_of(situation.kernel), state_of(after(situation.kernel, planned(situation, rebuild_above=rebuild_above)[0]))
    for table, chains in before.items():
        for name, (_policy, _packets, old) in chains.items():
            new = state[table].get(name, (None, '', []))[2]
            counted = [rule for rule in new if rule[0] != '[0:0]']
            assert is_subsequence(without_our_comments(counted), without_our_comments(old))
            if ours(name):
                assert len(counted) == longest(rules_of(old), rules_of(new))


@WAYS
@given(situation=situations())
def test_the_second_plan_is_empty(rebuild_above: int, situation: Situation) -> None:
    changed = after(situation.kernel, planned(situation, rebuild_above=rebuild_above)[0])
    second, _goals = planned(Situation(changed, situation.wish), rebuild_above=rebuild_above)
    assert second.operations == []
    assert second.text == ''


@given(situation=situations())
def test_no_line_names_anything_but_our_chains_our_jumps_and_policies(situation: Situation) -> None:
    for table in planned(situation)[0].tables:
        for line in table.lines:
            command, _blank, rest = re.sub(r'\A\[\d+:\d+\] ', '', line).partition(' ')
            if command.startswith(':'):
                assert ours(command[1:]) or (command[1:] in HOOKS[table.table] and rest.split()[0] in ('ACCEPT', 'DROP'))
                continue
            chain, _blank, rule = rest.partition(' ')
            assert ours(chain) or (command in ('-A', '-I', '-D') and chain in HOOKS[table.table] and is_our_jump(rule))
            assert ours(chain) or command != '-D' or not rule.isdigit()


@given(situation=situations())
def test_the_operations_as_data_say_the_same(situation: Situation) -> None:
    plan, _goals = planned(situation)
    before, state = state_of(situation.kernel), state_of(after(situation.kernel, plan))
    for table in situation.wish[0]:
        chains = {name: rules_of(data[2]) for name, data in before.get(table, {hook: (0, '', []) for hook in HOOKS[table]}).items()}
        for operation in [operation for operation in plan.operations if operation.table == table]:
            _follow(chains, operation)
        assert chains == ({name: rules_of(data[2]) for name, data in state[table].items()} if table in state else {hook: [] for hook in HOOKS[table]})


def _follow(chains: Dict[str, List[str]], operation: Operation) -> None:
    rules = chains.setdefault(operation.chain, []) if operation.action == 'create_chain' else chains[operation.chain]
    position = (operation.position or 0) - 1
    if operation.action == 'delete':
        assert rules.pop(position) == operation.rule
    elif operation.action == 'insert':
        assert position < len(rules)
        rules.insert(position, operation.rule or '')
    elif operation.action == 'append':
        assert position == len(rules)
        rules.append(operation.rule or '')
    elif operation.action == 'flush_chain':
        rules.clear()
    elif operation.action == 'delete_chain':
        del chains[operation.chain]
    else:
        assert operation.action in ('create_chain', 'policy')


# The way back


def with_all_tables(state: State) -> State:
    """A table that is not there is the same as one with empty, open hooks."""
    return {table: state.get(table, {hook: ('ACCEPT', '[0:0]', []) for hook in HOOKS[table]}) for table in HOOKS}


def assert_back(restored: State, before: State) -> None:
    restored, before = with_all_tables(restored), with_all_tables(before)
    assert without_counters(restored) == without_counters(before)
    for table, chains in before.items():
        for name, (_policy, _packets, rules) in chains.items():
            for (counter, _rule), (had, _same) in zip(restored[table][name][2], rules):
                assert packets(counter) >= packets(had)


def without_counters(state: State) -> Any:
    return {table: {name: (data[0], data[1], rules_of(data[2])) for name, data in chains.items()} for table, chains in state.items()}


def packets(counter: str) -> int:
    return int(counter.strip('[]').split(':')[0] or 0)


def put_back(situation: Situation, ownership: Ownership, changed: MemoryKernel, goals: Dict[str, TableGoal],
             rebuild_above: int = REBUILD_ABOVE) -> MemoryKernel:
    before = live_of(situation.kernel)
    back = {table: snapshot_goal(table, before.get(table, {}), goal, ownership) for table, goal in goals.items()}
    plan = make_plan(FAMILY, live_of(changed), back, ownership, rebuild_above)
    restored = after(changed, plan)
    assert make_plan(FAMILY, live_of(restored), back, ownership).operations == []
    return restored


@WAYS
@given(situation=situations())
def test_the_snapshot_puts_everything_back_and_no_rule_counts_less_than_before(rebuild_above: int, situation: Situation) -> None:
    plan, goals = planned(situation, rebuild_above=rebuild_above)
    restored = put_back(situation, OWNERSHIP, after(situation.kernel, plan), goals, rebuild_above)
    assert_back(state_of(restored), state_of(situation.kernel))


@WAYS
@given(old=DISTINCT, new=DISTINCT)
def test_rules_that_only_changed_places_come_back_with_their_own_counters(rebuild_above: int, old: List[str], new: List[str]) -> None:
    kernel = MemoryKernel(FAMILY)
    assert kernel.restore(many(old)).status == 0
    situation = Situation(kernel, ({'filter': {'INPUT': DeclaredChain()}}, {'filter': {'INPUT': new}}))
    plan, goals = planned(situation, rebuild_above=rebuild_above)
    restored = put_back(situation, OWNERSHIP, after(kernel, plan), goals, rebuild_above)
    assert state_of(restored) == state_of(kernel)


@given(situation=situations())
def test_the_snapshot_of_an_unchanged_host_does_nothing(situation: Situation) -> None:
    _plan_made, goals = planned(situation)
    assert state_of(put_back(situation, OWNERSHIP, situation.kernel, goals)) == state_of(situation.kernel)


@given(kernel=kernels(with_ours=False), wanted=st.lists(wishes(), min_size=1, max_size=3))
def test_absent_leaves_the_host_as_if_we_had_never_been_there(kernel: MemoryKernel, wanted: List[Any]) -> None:
    changed = kernel
    tables: Dict[str, Any] = {table: {} for table in HOOKS}
    for wish in wanted:
        everything = ({**tables, **wish[0]}, {**tables, **wish[1]})
        changed = after(changed, planned(Situation(changed, everything))[0])
    gone = after(changed, planned(Situation(changed, (tables, tables)))[0])
    assert with_all_tables(state_of(gone)) == with_all_tables(state_of(kernel))


# Scope tables


@WAYS
@given(situation=situations(scope='tables'))
def test_a_whole_table_becomes_exactly_what_is_wanted(rebuild_above: int, situation: Situation) -> None:
    plan, _goals = planned(situation, WHOLE, rebuild_above)
    changed = after(situation.kernel, plan)
    second, _again = planned(Situation(changed, situation.wish), WHOLE)
    before, state = state_of(situation.kernel), state_of(changed)
    for table in HOOKS:
        if table not in situation.wish[0]:
            assert state.get(table) == before.get(table)
            continue
        declared, canonical = situation.wish[0][table], situation.wish[1][table]
        wanted = {hook: canonical.get(hook, []) for hook in HOOKS[table]}
        wanted.update(canonical)
        found = state.get(table, {hook: ('ACCEPT', '', []) for hook in HOOKS[table]})
        assert {name: rules_of(data[2]) for name, data in found.items()} == wanted
        for hook in HOOKS[table]:
            had = before[table][hook][0] if table in before else 'ACCEPT'
            assert found[hook][0] == ((declared[hook].policy if hook in declared else None) or had)
    assert second.operations == []


@WAYS
@given(situation=situations(scope='tables'))
def test_the_snapshot_puts_whole_tables_back_counters_included(rebuild_above: int, situation: Situation) -> None:
    plan, goals = planned(situation, WHOLE, rebuild_above)
    restored = put_back(situation, WHOLE, after(situation.kernel, plan), goals, rebuild_above)
    assert_back(state_of(restored), state_of(situation.kernel))


# By hand


def tables_from(text: str) -> Tables:
    return parse(text, 'test')


def plan_for(live: str, table: str, declared: Dict[str, Any], canonical: Dict[str, List[str]], ownership: Ownership = OWNERSHIP) -> FamilyPlan:
    tables = tables_from(live)
    chains = {chain: DeclaredChain(policy) for chain, policy in declared.items()}
    return make_plan(FAMILY, tables, {table: table_goal(table, chains, canonical, tables.get(table, {}), ownership)}, ownership)


def test_the_first_apply_as_text() -> None:
    plan = plan_for(
        '*filter\n:INPUT ACCEPT [10:100]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[1:2] -A INPUT -j f2b-sshd\nCOMMIT\n',
        'filter', {'INPUT': 'DROP', 'WEB': None}, {'INPUT': ['-i lo -j ACCEPT', '-j palisade-WEB'], 'WEB': []})
    assert plan.text == '\n'.join([
        '*filter', ':palisade-INPUT - [0:0]', ':palisade-WEB - [0:0]', ':INPUT DROP [10:100]', '-A palisade-INPUT -i lo -j ACCEPT',
        '-A palisade-INPUT -j palisade-WEB', '-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT', 'COMMIT', ''])


def test_absent_as_text() -> None:
    live = '\n'.join([
        '*filter', ':INPUT DROP [10:100]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':palisade-INPUT - [0:0]', ':palisade-WEB - [0:0]',
        '-A INPUT -j f2b-sshd', '-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT', '-A palisade-INPUT -j palisade-WEB',
        'COMMIT', ''])
    assert plan_for(live, 'filter', {}, {}).text == '\n'.join([
        '*filter', ':INPUT ACCEPT [10:100]', '-D INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT', '-F palisade-INPUT',
        '-F palisade-WEB', '-X palisade-INPUT', '-X palisade-WEB', 'COMMIT', ''])


def many(rules: Sequence[str]) -> str:
    head = ['*filter', ':INPUT ACCEPT [0:0]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':palisade-INPUT - [0:0]',
            '[1:1] -A INPUT -m comment --comment palisade -j palisade-INPUT']
    return '\n'.join(head + ['[%d:%d] -A palisade-INPUT %s' % (index + 1, index + 7, rule) for index, rule in enumerate(rules)] + ['COMMIT', ''])


RULES = ['-s 10.0.%d.%d/32 -j DROP' % (index // 250, index % 250) for index in range(1000)]


def test_one_rule_on_top_of_a_thousand_is_one_operation_and_one_line() -> None:
    plan = plan_for(many(RULES), 'filter', {'INPUT': None}, {'INPUT': ['-i lo -j ACCEPT'] + RULES})
    assert [operation.as_dict() for operation in plan.operations] == [
        {'family': 'ipv4', 'table': 'filter', 'chain': 'palisade-INPUT', 'action': 'insert', 'position': 1, 'rule': '-i lo -j ACCEPT'}]
    assert plan.text == '*filter\n-I palisade-INPUT 1 -i lo -j ACCEPT\nCOMMIT\n'


def test_many_edits_in_a_long_chain_are_one_rewrite_with_the_counters_of_what_stays() -> None:
    rules = ['-s 10.%d.%d.%d/32 -j DROP' % (index // 62500, index // 250 % 250, index % 250) for index in range(3000)]
    wanted = rules[:1000] + ['-j LOG'] + rules[2000:]
    plan = plan_for(many(rules), 'filter', {'INPUT': None}, {'INPUT': wanted})
    assert len(plan.operations) == 1001
    lines = plan.text.split('\n')
    assert lines[:3] == ['*filter', '-F palisade-INPUT', '[1:7] -A palisade-INPUT -s 10.0.0.0/32 -j DROP']
    assert lines[1002:1004] == ['-A palisade-INPUT -j LOG', '[2001:2007] -A palisade-INPUT -s 10.0.8.0/32 -j DROP']
    assert len(lines) == 2 + len(wanted) + 2


@pytest.mark.parametrize(('edits', 'length', 'rebuilt'), [
    (1, 3000, False), (600, 3000, False), (700, 3000, True), (1999, 1000, False), (2001, 1000, True),
])
def test_a_rewrite_is_chosen_by_edits_times_rules(edits: int, length: int, rebuilt: bool) -> None:
    rules = ['-s 10.%d.%d.%d/32 -j DROP' % (index // 62500, index // 250 % 250, index % 250) for index in range(length)]
    wanted = rules[:-edits] if edits < length else ['-m mark --mark %d -j DROP' % index for index in range(edits - length)]
    assert ('-F palisade-INPUT\n' in plan_for(many(rules), 'filter', {'INPUT': None}, {'INPUT': wanted}).text) is rebuilt


def test_an_emptied_chain_is_flushed_by_one_operation() -> None:
    plan = plan_for(many(RULES), 'filter', {'INPUT': None}, {'INPUT': []})
    assert [(operation.action, operation.chain) for operation in plan.operations] == [('flush_chain', 'palisade-INPUT')]
    assert plan.text == '*filter\n-F palisade-INPUT\nCOMMIT\n'


def test_tables_come_in_a_fixed_order_each_with_its_commit() -> None:
    goals = {table: TableGoal() for table in ('raw', 'filter')}
    for goal in goals.values():
        goal.chains = {'palisade-OUTPUT': []}
    plan = make_plan(FAMILY, {}, goals, OWNERSHIP)
    assert plan.text == '*filter\n:palisade-OUTPUT - [0:0]\nCOMMIT\n*raw\n:palisade-OUTPUT - [0:0]\nCOMMIT\n'


def test_a_table_without_changes_is_not_written() -> None:
    assert plan_for(many(RULES), 'filter', {'INPUT': None}, {'INPUT': RULES}).text == ''


def test_a_foreign_rule_that_leads_into_a_chain_that_would_go_is_refused_by_name() -> None:
    live = ('*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:palisade-WEB - [0:0]\n-A FORWARD -j ACCEPT\n'
            '-A FORWARD -p tcp -j palisade-WEB\nCOMMIT\n')
    with pytest.raises(PalisadeError) as caught:
        plan_for(live, 'filter', {'INPUT': None}, {'INPUT': []})
    assert str(caught.value) == (
        'ipv4, table filter: chain palisade-WEB is no longer declared, but rule 2 of FORWARD, which is not ours, still leads there: '
        '-A FORWARD -p tcp -j palisade-WEB')


def test_two_jumps_of_ours_become_one_where_the_first_stood() -> None:
    jump = '-m comment --comment palisade -j palisade-INPUT'
    live = ('*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:palisade-INPUT - [0:0]\n-A INPUT -j ACCEPT\n'
            '-A INPUT %s\n-A INPUT -j DROP\n-A INPUT %s\nCOMMIT\n' % (jump, jump))
    assert plan_for(live, 'filter', {'INPUT': None}, {'INPUT': []}).text == (
        '*filter\n-D INPUT %s\n-D INPUT %s\n-I INPUT 2 %s\nCOMMIT\n' % (jump, jump, jump))


JUMP = '-m comment --comment palisade -j palisade-INPUT'
JUMP_ACCEPT = '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT'


@pytest.mark.parametrize(('live', 'declared', 'operations'), [
    (JUMP, {'INPUT': 'DROP'}, [('policy', None, 'DROP'), ('delete', 2, JUMP), ('insert', 2, JUMP_ACCEPT)]),
    (JUMP_ACCEPT, {'INPUT': 'DROP'}, [('policy', None, 'DROP')]),
    (JUMP, {'INPUT': None}, []),
    (JUMP, {}, [('delete', 2, JUMP)]),
    ('-p udp', {'INPUT': None}, [('append', 4, JUMP)]),
])
def test_what_happens_to_a_hook_is_listed_and_shown(live: str, declared: Dict[str, Any], operations: List[Any]) -> None:
    text = ('*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:palisade-INPUT - [0:0]\n-A INPUT -p tcp\n'
            '-A INPUT %s\n-A INPUT -p icmp\nCOMMIT\n' % live)
    plan = plan_for(text, 'filter', declared, {'INPUT': []})
    assert [(one.action, one.position, one.rule) for one in plan.operations if one.chain == 'INPUT'] == operations
    assert [change.chain for change in plan.tables[0].changes if change.chain == 'INPUT'] == (['INPUT'] if operations else [])


def test_a_hook_that_lost_its_jump_gets_it_again_and_remembers_accept() -> None:
    live = '*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:palisade-INPUT - [0:0]\nCOMMIT\n'
    plan = plan_for(live, 'filter', {'INPUT': 'DROP'}, {'INPUT': []})
    assert plan.text == '*filter\n-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT\nCOMMIT\n'


def test_a_foreign_chain_that_is_called_like_ours_may_not_lead_there_either() -> None:
    live = ('*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:WEB - [0:0]\n:palisade-WEB - [0:0]\n'
            '-A WEB -j palisade-WEB\nCOMMIT\n')
    with pytest.raises(PalisadeError, match='chain palisade-WEB is no longer declared, but rule 1 of WEB, which is not ours, still leads there'):
        plan_for(live, 'filter', {'INPUT': None}, {'INPUT': []})


@WAYS
@given(situation=situations())
def test_no_chain_is_said_to_have_lost_counters_where_restore_takes_them(rebuild_above: int, situation: Situation) -> None:
    plan, _goals = planned(situation, rebuild_above=rebuild_above)
    assert lost_counters(plan, live_of(situation.kernel), live_of(after(situation.kernel, plan))) == []


def test_a_chain_whose_counters_restore_left_out_is_named() -> None:
    before = tables_from(many(RULES[:5]))
    goal = table_goal('filter', {'INPUT': DeclaredChain()}, {'INPUT': RULES[1:6]}, before['filter'], OWNERSHIP)
    plan = make_plan(FAMILY, before, {'filter': goal}, OWNERSHIP, 0)
    kept, dropped = tables_from(many(RULES[1:6])), tables_from(re.sub(r'\[\d+:\d+\]', '[0:0]', many(RULES[1:6])))
    assert lost_counters(plan, before, kept) == []
    assert lost_counters(plan, before, dropped) == [('filter', 'palisade-INPUT')]
