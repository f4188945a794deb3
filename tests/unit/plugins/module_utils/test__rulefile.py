# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The format of persisted rules: text and back, every kind of damage, what a file holds of a declaration."""
from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import (
    RuleFile,
    Section,
    read,
    render,
    rule_counts,
    section_of,
    tables_in,
)
from hypothesis import given
from hypothesis import strategies as st

WRITTEN = '2026-11-21T10:40:35Z'
RULES = RuleFile('palisade', 'nft', ['ipv4', 'ipv6'], {
    'ipv4': Section('chains', [
        '*filter', ':palisade-INPUT - [0:0]', '#hook INPUT last DROP', '-A palisade-INPUT -m comment --comment "a # b" -j ACCEPT', 'COMMIT']),
    'ipv6': Section('chains', []),
})
TEXT = """\
# palisade.netfilter rules 1
# name palisade
# backend nft
# asked ipv4 ipv6
# written 2026-11-21T10:40:35Z
# family ipv4 chains
*filter
:palisade-INPUT - [0:0]
#hook INPUT last DROP
-A palisade-INPUT -m comment --comment "a # b" -j ACCEPT
COMMIT
# family ipv6 chains
# end sha256 %s
"""


def test_a_file_is_what_the_loader_reads() -> None:
    text = render(RULES, WRITTEN)
    assert text.rpartition(' ')[0] == TEXT.rpartition(' ')[0]


def test_it_is_read_back() -> None:
    assert read(render(RULES, WRITTEN), 'palisade') == RULES


def test_the_date_makes_no_difference() -> None:
    assert read(render(RULES, '2000-01-01T00:00:00Z'), 'palisade').body() == RULES.body()


@pytest.mark.parametrize('other', [
    RULES._replace(backend='legacy'), RULES._replace(asked=['ipv4']), RULES._replace(sections={}),
    RULES._replace(sections={**RULES.sections, 'ipv6': Section('tables', [])}),
    RULES._replace(sections={**RULES.sections, 'ipv6': Section('chains', ['*nat', 'COMMIT'])}),
])
def test_everything_else_does(other: RuleFile) -> None:
    assert read(render(other, WRITTEN), 'palisade').body() == other.body() != RULES.body()


def problem(text: str, name: str = 'palisade') -> str:
    with pytest.raises(PalisadeError) as caught:
        read(text, name)
    return str(caught.value)


def test_damage_is_told_in_words() -> None:
    text = render(RULES, WRITTEN)
    assert problem('') == 'is empty'
    assert problem('*filter\nCOMMIT\n') == 'does not begin as a file of ours'
    assert problem(text[:-1]) == 'is cut off: its last line is missing'
    assert problem(text.replace('-j ACCEPT', '-j DROP')) == 'is damaged: its checksum is wrong'
    assert problem(text + '-A palisade-INPUT -j DROP\n') == 'is cut off: its last line is missing'
    assert problem(text, 'web') == 'is of another ruleset, palisade'
    assert problem(render(RULES, '')) == 'has no complete header'


def test_every_cut_and_every_changed_character_is_noticed() -> None:
    text = render(RULES, WRITTEN)
    for place in range(len(text)):
        assert problem(text[:place])
        assert problem(text[:place] + ('x' if text[place] != 'x' else 'y') + text[place + 1:])


WORDS = st.text(st.characters(blacklist_categories=('Cc', 'Cs'), blacklist_characters='\x85\u2028\u2029'), max_size=30)


@given(st.lists(WORDS))
def test_any_rules_come_back_as_they_were(comments: Any) -> None:
    lines = ['*filter', *['-A palisade-INPUT -m comment --comment "%s"' % comment for comment in comments], 'COMMIT']
    rules = RULES._replace(sections={'ipv6': Section('tables', lines)})
    assert read(render(rules, WRITTEN), 'palisade') == rules


# What a declaration comes to

DECLARED: Dict[str, Any] = {
    'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT']}, 'OUTPUT': [], 'web': ['-j ACCEPT']},
    'nat': {'POSTROUTING': ['-o wan0 -j MASQUERADE']},
}


def section(scope: str) -> Section:
    tables = declare_tables(DECLARED, ['ipv4'], {}).declared['ipv4'].tables
    canonical = {table: {chain: [rule.text for rule in data.rules] for chain, data in chains.items()} for table, chains in tables.items()}
    ownership = Ownership('fw', scope)
    return section_of(scope, tables, {table: table_goal(table, tables[table], canonical[table], {}, ownership) for table in tables})


def test_own_chains_are_without_their_jumps() -> None:
    assert section('chains').lines == [
        '*filter', ':fw-INPUT - [0:0]', ':fw-OUTPUT - [0:0]', ':fw-web - [0:0]', '#hook INPUT last DROP', '#hook OUTPUT last -',
        '-A fw-INPUT -i lo -j ACCEPT', '-A fw-web -j ACCEPT', 'COMMIT',
        '*nat', ':fw-POSTROUTING - [0:0]', '#hook POSTROUTING first -', '-A fw-POSTROUTING -o wan0 -j MASQUERADE', 'COMMIT']


def test_whole_tables_are_as_iptables_restore_takes_them() -> None:
    assert section('tables').lines == [
        '*filter', ':INPUT DROP [0:0]', ':web - [0:0]', '-A INPUT -i lo -j ACCEPT', '-A web -j ACCEPT', 'COMMIT',
        '*nat', '-A POSTROUTING -o wan0 -j MASQUERADE', 'COMMIT']


def test_counts() -> None:
    rules = RULES._replace(sections={'ipv4': section('chains'), 'ipv6': Section('chains', [])})
    assert rule_counts(rules) == {'ipv4': 3, 'ipv6': 0}
    assert tables_in(rules) == [('ipv4', 'filter'), ('ipv4', 'nat')]
