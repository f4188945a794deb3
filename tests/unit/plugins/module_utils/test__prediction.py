# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is predicted is what a kernel has that carried the plan out: for whatever is there, whatever is wanted, and both scopes."""
from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain, declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import REBUILD_ABOVE, FamilyPlan, make_plan
from ansible_collections.palisade.netfilter.plugins.module_utils._prediction import predicted
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Tables, parse, render
from ansible_collections.palisade.netfilter.tests.unit.support.situations import FAMILY, goals_of, live_of, situations
from hypothesis import given
from hypothesis import strategies as st

OWNERSHIPS = [Ownership('palisade', 'chains'), Ownership('palisade', 'tables')]
State = Dict[str, Dict[str, Tuple[Optional[str], List[str]]]]


def state_of(tables: Tables) -> State:
    """What packets can meet: policies and rules, of tables that are there."""
    return {table: {name: (chain.policy, list(chain.rules)) for name, chain in chains.items()} for table, chains in tables.items()}


@pytest.mark.parametrize('rebuild_above', [REBUILD_ABOVE, 0], ids=['edits', 'rebuild'])
@pytest.mark.parametrize('ownership', OWNERSHIPS, ids=['chains', 'tables'])
@given(data=st.data())
def test_the_prediction_comes_true(data: st.DataObject, ownership: Ownership, rebuild_above: int) -> None:
    situation = data.draw(situations(scope=ownership.scope))
    live = live_of(situation.kernel)
    plan = make_plan(FAMILY, live, goals_of(situation.wish, live, ownership), ownership, rebuild_above)
    before = render(live)
    found = predicted(live, plan)
    assert render(live) == before
    ended = situation.kernel.restore(plan.text)
    assert ended.status == 0, ended.errors
    assert state_of(found) == state_of(parse(situation.kernel.save(), 'fake'))


LIVE = """*filter
:INPUT ACCEPT [7:700]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
[1:60] -A INPUT -p tcp -j f2b-sshd
[2:80] -A f2b-sshd -s 203.0.113.7/32 -j DROP
COMMIT
"""


def plan_for(live: Tables, **chains: DeclaredChain) -> FamilyPlan:
    ownership = OWNERSHIPS[0]
    canonical = {name: [rule.text for rule in chain.rules] for name, chain in chains.items()}
    return make_plan(FAMILY, live, {'filter': table_goal('filter', chains, canonical, live.get('filter', {}), ownership)}, ownership)


def declared(**chains: object) -> Dict[str, DeclaredChain]:
    return declare_tables({'filter': chains}, ['ipv4'], {}).declared['ipv4'].tables['filter']


def test_other_peoples_rules_stand_where_they_stood() -> None:
    live = parse(LIVE, 'test')
    found = predicted(live, plan_for(live, **declared(INPUT={'policy': 'DROP', 'rules': ['-i lo -j ACCEPT']})))['filter']
    assert found['INPUT'].policy == 'DROP'
    assert found['INPUT'].rules == ['-p tcp -j f2b-sshd', '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT']
    assert found['palisade-INPUT'].rules == ['-i lo -j ACCEPT']
    assert found['f2b-sshd'] is live['filter']['f2b-sshd']
    assert found['FORWARD'].policy == 'DROP'


def test_a_table_that_was_not_there_comes_with_its_hooks() -> None:
    found = predicted({}, plan_for({}, **declared(INPUT=['-i lo -j ACCEPT'])))
    assert set(found) == {'filter'}
    assert [name for name in found['filter'] if found['filter'][name].policy == 'ACCEPT'] == list(BUILTIN_CHAINS['filter'])


def test_a_plan_of_nothing_predicts_what_is() -> None:
    live = parse(LIVE, 'test')
    assert predicted(live, plan_for(live)) == live
    assert predicted({}, plan_for({})) == {}
