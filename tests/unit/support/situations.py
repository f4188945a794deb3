# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and wishes drawn at random: live tables with other people's rules and ours, and declarations to bring them to."""
from __future__ import annotations

import copy
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import FamilyPlan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.tests.unit.support.memory_kernel import HOOKS, MemoryChain, MemoryKernel, target_of
from hypothesis import strategies as st

FAMILY = 'ipv4'
NAMES = ('filter', 'nat')
USER_CHAINS = ('WEB', 'SSH')

#: Rules of other people, in save's spelling. Two are equal to rules of ours.
FOREIGN_RULES = (
    '-j ACCEPT', '-p tcp -j DROP', '-p tcp -m tcp --dport 22 -j f2b-sshd', '-i docker0 -j f2b-sshd',
    '-m comment --comment "-j palisade-INPUT" -j DROP', '-m comment --comment other -j ACCEPT')
OWN_RULES = ('-j ACCEPT', '-p tcp -j DROP', '-i lo -j ACCEPT', '-p udp -j RETURN', '-j f2b-sshd', '-m comment --comment "a b" -j ACCEPT')
POLICIES = ('ACCEPT', 'DROP')

#: table → chain → (policy, counters of the policy, rules with counters)
State = Dict[str, Dict[str, Tuple[Any, str, List[Tuple[str, str]]]]]
#: table → chain → declared chain; table → chain → rules in save's spelling with jumps to live names.
Wish = Tuple[Dict[str, Dict[str, DeclaredChain]], Dict[str, Dict[str, List[str]]]]


class Situation(NamedTuple):
    """A host as it stands, and what is wanted of it."""

    kernel: MemoryKernel
    wish: Wish


def live_of(kernel: MemoryKernel) -> Tables:
    """What the engine reads of a host."""
    return parse(kernel.save(), 'fake')


def state_of(kernel: MemoryKernel) -> State:
    """Everything about a host that a person could see, as data."""
    return {table: {name: (chain.policy, chain.packets, list(chain.rules)) for name, chain in chains.items()}
            for table, chains in kernel.tables.items()}


def after(kernel: MemoryKernel, plan: FamilyPlan) -> MemoryKernel:
    """The host after a plan's text was carried out."""
    changed = copy.deepcopy(kernel)
    ended = changed.restore(plan.text)
    assert ended.status == 0, '%s\n%s' % (ended.errors, plan.text)
    return changed


def goals_of(wish: Wish, live: Tables, ownership: Ownership) -> Dict[str, TableGoal]:
    """The goals of all tables that the wish names."""
    declared, canonical = wish
    return {table: table_goal(table, declared[table], canonical[table], live.get(table, {}), ownership) for table in declared}


def ours(chain: str) -> bool:
    """Whether a chain's name starts as those of the ruleset palisade do."""
    return chain.startswith(('palisade-', 'palisade~'))


def is_our_jump(rule: str) -> bool:
    """Whether a rule leads from a hook into our chain of that hook."""
    return (target_of(rule) or '').startswith('palisade-')


@st.composite
def kernels(draw: st.DrawFn, with_ours: bool = True) -> MemoryKernel:
    """A host: foreign chains and rules, perhaps tables missing, and perhaps what an earlier or a killed run of ours left."""
    kernel = MemoryKernel(FAMILY)
    for table in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        chains = {hook: MemoryChain(draw(st.sampled_from(POLICIES))) for hook in HOOKS[table]}
        own = draw(st.lists(st.sampled_from(_own_chains(table)), unique=True)) if with_ours else []
        for name in ['f2b-sshd', 'WEB'] + own:
            chains[name] = MemoryChain()
        for name, chain in chains.items():
            jumps = ['-j %s' % other for other in own if other > name] if ours(name) else []
            vocabulary = OWN_RULES + tuple(jumps) if ours(name) else FOREIGN_RULES[:2] if name == 'f2b-sshd' else FOREIGN_RULES
            rules = draw(st.lists(st.sampled_from(vocabulary), max_size=6))
            if chain.policy and 'palisade-%s' % name in own and draw(st.booleans()):
                comment = draw(st.sampled_from(['palisade', '"palisade: policy was ACCEPT"', '"palisade: policy was DROP"']))
                rules.insert(draw(st.integers(0, len(rules))), '-m comment --comment %s -j palisade-%s' % (comment, name))
            chain.rules = [('', rule) for rule in rules]
        kernel.tables[table] = chains
    _count(kernel)
    return kernel


def _own_chains(table: str) -> List[str]:
    return ['palisade-%s' % name for name in HOOKS[table][:2] + USER_CHAINS + ('OLD',)] + ['palisade~0']


def _count(kernel: MemoryKernel) -> None:
    """Give every rule and policy counters of its own."""
    number = 0
    for table in kernel.tables.values():
        for chain in table.values():
            number += 1
            chain.packets = '[%d:%d]' % (number, 1000 * number) if chain.policy else '[0:0]'
            for index, (_none, rule) in enumerate(chain.rules):
                number += 1
                chain.rules[index] = ('[%d:%d]' % (number, 1000 * number), rule)


@st.composite
def wishes(draw: st.DrawFn, scope: str = 'chains') -> Wish:
    """A declaration, already in save's spelling."""
    declared: Dict[str, Dict[str, DeclaredChain]] = {}
    canonical: Dict[str, Dict[str, List[str]]] = {}
    for table in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        hooks = draw(st.lists(st.sampled_from(HOOKS[table]), unique=True))
        users = draw(st.lists(st.sampled_from(USER_CHAINS), unique=True))
        prefix = 'palisade-' if scope == 'chains' else ''
        declared[table] = {hook: DeclaredChain(draw(st.sampled_from((None,) + POLICIES))) for hook in hooks}
        declared[table].update({user: DeclaredChain() for user in users})
        rules = [rule for rule in OWN_RULES if 'f2b' not in rule]
        jumps = ['-j %s%s' % (prefix, user) for user in users]
        canonical[table] = {chain: draw(st.lists(st.sampled_from(rules if chain in users else rules + jumps), max_size=6))
                            for chain in declared[table]}
    return declared, canonical


@st.composite
def situations(draw: st.DrawFn, scope: str = 'chains', with_ours: bool = True) -> Situation:
    """A host and a wish."""
    return Situation(draw(kernels(with_ours)), draw(wishes(scope)))


def rules_of(pairs: Sequence[Tuple[str, str]]) -> List[str]:
    """Rules without their counters."""
    return [rule for _counter, rule in pairs]
