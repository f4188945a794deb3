# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is ours, by names alone; where jumps go and what they remember; what is refused before anything changes."""
from __future__ import annotations

from typing import Dict, List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import (
    DEEPEST_JUMPS,
    Jump,
    Ownership,
    TableGoal,
    check_jumps,
    hook_in_use,
    other_programs_chains,
    snapshot_goal,
    table_goal,
    unexplained_rules,
    unreachable_rules,
    unreached_chains,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._known import RESERVED_NAMES
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Chain, Table
from hypothesis import given
from hypothesis import strategies as st

OURS = Ownership('palisade', 'chains')
WHOLE = Ownership('palisade', 'tables')


def table_of(policy: str = 'ACCEPT', **chains: List[str]) -> Table:
    """A filter table; keyword names are chains, `_` in them stands for `-`."""
    table: Table = {hook: Chain(policy) for hook in ('INPUT', 'FORWARD', 'OUTPUT')}
    for name, rules in chains.items():
        chain = table.setdefault(name.replace('_', '-'), Chain(None))
        chain.rules.extend(rules)
        chain.counters.extend(['[%d:%d]' % (index + 1, index + 1) for index in range(len(rules))])
    return table


# Names

@pytest.mark.parametrize('name', ['palisade', 'a', 'web_2', 'abcdefghijkl'])
def test_names_that_a_ruleset_may_have(name: str) -> None:
    assert Ownership(name, 'chains').chain_name('INPUT') == name + '-INPUT'


@pytest.mark.parametrize('name', ['', 'Web', '2web', '_web', 'web-2', 'we b', 'abcdefghijklm', 'web\n', 'wéb', '-A'])
def test_names_that_it_may_not_have(name: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        Ownership(name, 'chains')
    assert str(caught.value).startswith('name: %s: a ruleset is named by a lower-case letter' % ascii(name))


@pytest.mark.parametrize('name', sorted(RESERVED_NAMES))
def test_another_programs_prefix_is_no_name(name: str) -> None:
    with pytest.raises(PalisadeError, match='name: %s is the prefix of another program' % name):
        Ownership(name, 'chains')


@pytest.mark.parametrize(('chain', 'owned'), [
    ('palisade-INPUT', True), ('palisade-', True), ('palisade~0', True), ('palisade', False), ('palisade2-INPUT', False), ('INPUT', False),
    ('my-palisade-INPUT', False), ('PALISADE-INPUT', False), ('f2b-sshd', False),
])
def test_a_chain_is_ours_by_its_name(chain: str, owned: bool) -> None:
    assert OURS.owns_chain('filter', chain) is owned
    assert WHOLE.owns_chain('filter', chain)


@pytest.mark.parametrize(('chain', 'scratch'), [('palisade~0', True), ('palisade~12', True), ('palisade-0', False), ('other~0', False)])
def test_a_scratch_chain_is_known_by_its_name(chain: str, scratch: bool) -> None:
    assert OURS.is_scratch(chain) is scratch
    assert OURS.is_scratch(OURS.scratch_name(7))


@given(st.from_regex(r'\A[a-z][a-z0-9_]{0,11}\Z').filter(lambda name: name not in RESERVED_NAMES), st.sampled_from(['INPUT', 'PREROUTING']),
       st.sampled_from([None, 'ACCEPT', 'DROP']))
def test_a_jump_says_whose_it_is_and_what_it_found(name: str, hook: str, found: Optional[str]) -> None:
    ownership = Ownership(name, 'chains')
    rule = ownership.jump_rule(hook, found)
    assert ownership.is_jump(hook, rule)
    assert ownership.policy_found(rule) == found
    assert not ownership.is_jump('OUTPUT', rule)
    assert not Ownership('other_one', 'chains').is_jump(hook, rule)
    assert rule.endswith(' -j ' + ownership.chain_name(hook))


@pytest.mark.parametrize(('rule', 'is_jump'), [
    ('-j palisade-INPUT', True),
    ('-m comment --comment palisade -j palisade-INPUT', True),
    ('-m comment --comment "palisade: policy was DROP" -j palisade-INPUT', True),
    ('-p tcp -j palisade-INPUT', False),
    ('-m comment --comment "mine" -j palisade-INPUT', False),
    ('-j palisade-FORWARD', False),
    ('-g palisade-INPUT', False),
    ('-m comment --comment "-j palisade-INPUT" -j DROP', False),
])
def test_only_the_bare_jump_is_taken_for_ours(rule: str, is_jump: bool) -> None:
    assert OURS.is_jump('INPUT', rule) is is_jump


def test_a_name_too_long_for_its_prefix_is_refused_with_both_lengths() -> None:
    OURS.check_names('filter', ['N' * 19])
    with pytest.raises(PalisadeError) as caught:
        OURS.check_names('filter', ['WEB', 'N' * 20])
    assert str(caught.value) == (
        'table filter, chain %s: stored as palisade-%s it has 29 characters, iptables allows 28: 19 are left for the name' % ('N' * 20, 'N' * 20))
    WHOLE.check_names('filter', ['N' * 28])


# Jumps and policies

NONE = None
JUMP = '-m comment --comment palisade -j palisade-INPUT'
JUMP_ACCEPT = '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT'
JUMP_DROP = '-m comment --comment "palisade: policy was DROP" -j palisade-INPUT'


@pytest.mark.parametrize(('live', 'rules', 'declared', 'jump', 'policy'), [
    # first apply
    ('ACCEPT', [], 'DROP', JUMP_ACCEPT, 'DROP'),
    ('ACCEPT', [], 'ACCEPT', JUMP, 'ACCEPT'),
    ('DROP', [], 'ACCEPT', JUMP_DROP, 'ACCEPT'),
    ('DROP', [], NONE, JUMP, NONE),
    # again: what was found at first stays
    ('DROP', [JUMP_ACCEPT], 'DROP', JUMP_ACCEPT, 'DROP'),
    ('ACCEPT', [JUMP_ACCEPT], 'DROP', JUMP_ACCEPT, 'DROP'),
    ('DROP', [JUMP_ACCEPT], 'ACCEPT', JUMP_ACCEPT, 'ACCEPT'),
    ('ACCEPT', [JUMP], 'DROP', JUMP_ACCEPT, 'DROP'),
    ('DROP', [JUMP], 'DROP', JUMP, 'DROP'),
    # a policy that is no longer declared goes back
    ('DROP', [JUMP_ACCEPT], NONE, JUMP, 'ACCEPT'),
    ('ACCEPT', [JUMP_ACCEPT], NONE, JUMP, NONE),
    ('DROP', [JUMP], NONE, JUMP, NONE),
])
def test_a_declared_hook(live: str, rules: List[str], declared: Optional[str], jump: str, policy: Optional[str]) -> None:
    chains = {'palisade_INPUT': ['-j ACCEPT']} if rules else {}
    goal = table_goal('filter', {'INPUT': DeclaredChain(declared)}, {'INPUT': []}, table_of(live, INPUT=rules, **chains), OURS)
    assert goal.jumps == {'INPUT': Jump(jump, None), 'FORWARD': None, 'OUTPUT': None}
    assert goal.policies == ({'INPUT': policy} if policy else {})


@pytest.mark.parametrize(('live', 'rules', 'policy'), [
    ('DROP', [JUMP_ACCEPT], 'ACCEPT'), ('ACCEPT', [JUMP_DROP], 'DROP'), ('ACCEPT', [JUMP_ACCEPT], None), ('DROP', [JUMP], None), ('DROP', [], None),
])
def test_a_hook_that_is_not_declared_loses_its_jump_and_gets_its_policy_back(live: str, rules: List[str], policy: Optional[str]) -> None:
    goal = table_goal('filter', {}, {}, table_of(live, INPUT=rules), OURS)
    assert goal.jumps == {'INPUT': None, 'FORWARD': None, 'OUTPUT': None}
    assert goal.policies == ({'INPUT': policy} if policy else {})
    assert goal.chains == {}


def test_a_flushed_hook_with_our_policy_is_not_taken_for_the_policy_found() -> None:
    goal = table_goal('filter', {'INPUT': DeclaredChain('DROP')}, {'INPUT': []}, table_of('DROP', palisade_INPUT=['-j ACCEPT']), OURS)
    assert goal.jumps['INPUT'] == Jump(JUMP_ACCEPT, None)


@pytest.mark.parametrize(('table', 'hook', 'place'), [
    ('nat', 'PREROUTING', 0), ('filter', 'INPUT', None), ('mangle', 'FORWARD', None), ('raw', 'OUTPUT', None), ('security', 'INPUT', None),
])
def test_a_new_jump_goes_first_in_nat_and_last_elsewhere(table: str, hook: str, place: Optional[int]) -> None:
    jump = table_goal(table, {hook: DeclaredChain()}, {hook: []}, {}, OURS).jumps[hook]
    assert jump is not None
    assert jump.place == place


def test_chains_are_stored_under_our_prefix() -> None:
    goal = table_goal('filter', {'INPUT': DeclaredChain(), 'WEB': DeclaredChain()}, {'INPUT': ['-j palisade-WEB'], 'WEB': []}, {}, OURS)
    assert goal.chains == {'palisade-INPUT': ['-j palisade-WEB'], 'palisade-WEB': []}


def test_scope_tables_keeps_names_and_empties_hooks_that_are_not_declared() -> None:
    goal = table_goal('filter', {'INPUT': DeclaredChain('DROP'), 'WEB': DeclaredChain()}, {'INPUT': ['-j WEB'], 'WEB': []},
                      table_of('DROP', OUTPUT=['-j ACCEPT']), WHOLE)
    assert goal.chains == {'INPUT': ['-j WEB'], 'FORWARD': [], 'OUTPUT': [], 'WEB': []}
    assert goal.policies == {'INPUT': 'DROP'}
    assert goal.jumps == {}


# The snapshot

def test_the_snapshot_holds_what_is_ours_with_counters_and_the_policies_that_change() -> None:
    live = table_of('ACCEPT', INPUT=['-j f2b-sshd', JUMP], palisade_INPUT=['-j DROP', '-j ACCEPT'], f2b_sshd=['-j RETURN'])
    goal = table_goal('filter', {'INPUT': DeclaredChain('DROP'), 'OUTPUT': DeclaredChain()}, {}, live, OURS)
    back = snapshot_goal('filter', live, goal, OURS)
    assert back.chains == {'palisade-INPUT': ['-j DROP', '-j ACCEPT']}
    assert back.counters == {'palisade-INPUT': ['[1:1]', '[2:2]']}
    assert back.policies == {'INPUT': 'ACCEPT'}
    assert back.jumps == {'INPUT': Jump(JUMP, 1, '[2:2]'), 'FORWARD': None, 'OUTPUT': None}


def test_the_snapshot_of_a_table_that_is_not_there_is_accept_and_nothing() -> None:
    goal = table_goal('filter', {'INPUT': DeclaredChain('DROP')}, {}, {}, OURS)
    back = snapshot_goal('filter', {}, goal, OURS)
    assert (back.chains, back.policies, back.jumps) == ({}, {'INPUT': 'ACCEPT'}, {'INPUT': None, 'FORWARD': None, 'OUTPUT': None})


# Circles and depth

def goal_of(chains: Dict[str, List[str]], hook: str = 'INPUT') -> TableGoal:
    goal = TableGoal()
    goal.chains = {'palisade-%s' % chain: rules for chain, rules in chains.items()}
    goal.jumps = {hook: Jump(OURS.jump_rule(hook, None), None)}
    return goal


def ladder(steps: int) -> Dict[str, List[str]]:
    chains = {'INPUT': ['-j palisade-C1']} if steps else {'INPUT': []}
    for step in range(1, steps + 1):
        chains['C%d' % step] = ['-j palisade-C%d' % (step + 1)] if step < steps else ['-j ACCEPT']
    return chains


def test_jumps_may_nest_as_deep_as_nftables_allows_and_no_deeper() -> None:
    check_jumps('ipv4', {'filter': goal_of(ladder(DEEPEST_JUMPS - 2))}, DEEPEST_JUMPS)
    with pytest.raises(PalisadeError) as caught:
        check_jumps('ipv4', {'filter': goal_of(ladder(DEEPEST_JUMPS - 1))}, DEEPEST_JUMPS)
    assert str(caught.value) == (
        'ipv4, table filter, chain INPUT: its jumps nest 16 deep with the one that leads to palisade-INPUT; nftables allows 15')


def test_without_a_limit_only_circles_are_refused() -> None:
    check_jumps('ipv4', {'filter': goal_of(ladder(3000))})


def test_the_longest_path_counts_not_the_number_of_chains() -> None:
    chains = {'INPUT': ['-j palisade-C%d' % index for index in range(100)]}
    chains.update({'C%d' % index: ['-j palisade-END'] for index in range(100)})
    chains['END'] = []
    check_jumps('ipv4', {'filter': goal_of(chains)}, 4)
    with pytest.raises(PalisadeError, match='nest 3 deep'):
        check_jumps('ipv4', {'filter': goal_of(chains)}, 3)


@pytest.mark.parametrize(('chains', 'path'), [
    ({'INPUT': ['-j palisade-INPUT']}, 'palisade-INPUT -> palisade-INPUT'),
    ({'INPUT': ['-j palisade-A'], 'A': ['-p tcp -j palisade-B'], 'B': ['-g palisade-A']}, 'palisade-A -> palisade-B -> palisade-A'),
    ({'INPUT': ['-j palisade-A'], 'A': ['-j palisade-INPUT']}, 'palisade-INPUT -> palisade-A -> palisade-INPUT'),
])
def test_a_circle_is_refused_and_shown(chains: Dict[str, List[str]], path: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        check_jumps('ipv6', {'mangle': goal_of(chains)})
    assert str(caught.value).startswith('ipv6, table mangle, chain INPUT: the jumps of chain ')
    assert str(caught.value).endswith('lead back to it: %s' % path)


def test_a_comment_is_no_jump_in_a_circle() -> None:
    check_jumps('ipv4', {'filter': goal_of({'INPUT': ['-m comment --comment "to -j palisade-INPUT" -j ACCEPT']})})


# Other people

def test_a_hook_is_in_use_where_others_have_rules() -> None:
    assert not hook_in_use('INPUT', None, OURS)
    assert not hook_in_use('INPUT', table_of(INPUT=[JUMP])['INPUT'], OURS)
    assert hook_in_use('INPUT', table_of(INPUT=[JUMP, '-j ACCEPT'])['INPUT'], OURS)


def test_rules_that_nobody_explains_are_listed_for_declared_hooks_only() -> None:
    live = table_of(INPUT=['-j f2b-sshd', '-p tcp -j ACCEPT', JUMP], OUTPUT=['-j ACCEPT'])
    goal = table_goal('filter', {'INPUT': DeclaredChain()}, {}, live, OURS)
    assert unexplained_rules({'filter': live}, {'filter': goal}, OURS) == ['filter: -A INPUT -p tcp -j ACCEPT']


@pytest.mark.parametrize(('last', 'dead'), [
    ('-j DROP', True), ('-j REJECT --reject-with icmp-port-unreachable', True), ('-m comment --comment end -j DROP', True),
    ('-m comment --comment "the end" -j DROP', True), ('-p tcp -j DROP', False), ('-j ACCEPT', False), ('-j DROPPED', False),
])
def test_rules_behind_our_final_drop_are_listed(last: str, dead: bool) -> None:
    live = table_of(INPUT=['-j f2b-sshd', JUMP, '-j later'])
    goal = table_goal('filter', {'INPUT': DeclaredChain()}, {'INPUT': ['-i lo -j ACCEPT', last]}, live, OURS)
    assert unreachable_rules({'filter': live}, {'filter': goal}, OURS) == (['filter: -A INPUT -j later'] if dead else [])


def test_other_programs_chains_that_would_go_are_listed_with_their_program() -> None:
    live = table_of(DOCKER=[], f2b_sshd=[], WEB=[])
    goal = table_goal('filter', {'INPUT': DeclaredChain(), 'f2b-sshd': DeclaredChain()}, {}, live, WHOLE)
    assert other_programs_chains({'filter': live}, {'filter': goal}, lambda table, chain: '%s %s' % (table, chain)) == ['filter DOCKER (Docker)']


@pytest.mark.parametrize(('rules', 'foreign', 'lost'), [
    (['-j palisade-WEB'], '-j RETURN', []),
    (['-j ACCEPT'], '-j RETURN', ['filter WEB']),
    (['-m comment --comment "-j palisade-WEB" -j ACCEPT'], '-j RETURN', ['filter WEB']),
    (['-j ACCEPT'], '-j palisade-WEB', []),
])
def test_a_declared_chain_that_no_rule_leads_to_is_named(rules: List[str], foreign: str, lost: List[str]) -> None:
    goal = goal_of({'INPUT': rules, 'WEB': ['-j DROP']})
    live = table_of('ACCEPT', f2b_sshd=[foreign])
    assert unreached_chains('filter', ['INPUT', 'WEB'], live, goal, OURS) == lost
