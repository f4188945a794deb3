# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables-save's text: parse and render are inverses, on what real iptables printed and on generated tables."""
from __future__ import annotations

from typing import List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declare_content
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._save import (
    BUILTIN_CHAINS,
    Tables,
    append_line,
    parse,
    render,
    rule_lines,
)
from ansible_collections.palisade.netfilter.tests.unit.support.saved import SAVED, given_text, saved_rules, saved_text
from ansible_collections.palisade.netfilter.tests.unit.support.strategies import TABLES
from hypothesis import given


def as_data(tables: Tables) -> dict:
    """Tables as plain data that can be compared."""
    return {table: {name: (chain.policy, chain.packets, chain.rules, chain.counters) for name, chain in chains.items()}
            for table, chains in tables.items()}


def without_notes(text: str) -> List[str]:
    return [line for line in text.split('\n') if not line.startswith('#')]


@pytest.mark.parametrize('name', SAVED)
def test_what_iptables_printed_comes_back_line_by_line(name: str) -> None:
    text = saved_text(name)
    assert render(parse(text, name)).split('\n') == without_notes(text)


@pytest.mark.parametrize('name', SAVED)
def test_the_same_without_counters(name: str) -> None:
    lines = [line.partition('] ')[2] if line.startswith('[') else line for line in without_notes(saved_text(name))]
    tables = parse('\n'.join(lines), name)
    assert render(tables).split('\n') == lines
    assert {counter for table in tables.values() for chain in table.values() for counter in chain.counters} == {''}


@pytest.mark.parametrize('name', SAVED)
def test_every_saved_rule_is_found_with_its_counters(name: str) -> None:
    tables = parse(saved_text(name), name)
    found = [rule for table in tables.values() for chain in table.values() for rule in chain.rules]
    assert found == saved_rules(name)
    assert len(found) > 200
    assert set(tables) == set(BUILTIN_CHAINS)
    counters = [counter for table in tables.values() for chain in table.values() for counter in chain.counters]
    assert len(counters) == len(found)
    assert len(set(counters)) == (1 if name == 'nft.ipv6' else len(counters))


@pytest.mark.parametrize('family', ['ipv4', 'ipv6'])
@pytest.mark.parametrize('backend', ['nft', 'legacy'])
def test_what_was_given_has_as_many_rules_as_what_was_saved(family: str, backend: str) -> None:
    declared = declare_content(given_text(family), [family], {}).declared[family]
    saved = parse(saved_text('%s.%s' % (backend, family)), family)
    assert {(table, chain, len(data.rules)) for table, chains in declared.tables.items() for chain, data in chains.items()} == {
        (table, chain, len(data.rules)) for table, chains in saved.items() for chain, data in chains.items()}


@pytest.mark.parametrize('name', SAVED)
def test_what_iptables_printed_is_a_declaration_as_it_stands(name: str) -> None:
    declared = declare_content(saved_text(name), ['ipv4'], {}).declared['ipv4']
    saved = parse(saved_text(name), name)
    assert {table: {chain: [rule.text for rule in data.rules] for chain, data in chains.items()} for table, chains in declared.tables.items()} == {
        table: {chain: data.rules for chain, data in chains.items()} for table, chains in saved.items()}


@given(TABLES)
def test_parse_is_the_inverse_of_render(tables: Tables) -> None:
    assert as_data(parse(render(tables), 'generated')) == as_data(tables)


def test_nothing_is_saved_as_nothing() -> None:
    assert parse('', 'empty') == {}
    assert render({}) == ''


@pytest.mark.parametrize(('line', 'policy', 'packets'), [
    (':INPUT DROP [12:345]', 'DROP', '[12:345]'), (':INPUT ACCEPT', 'ACCEPT', '[0:0]'), (':WEB - [0:0]', None, '[0:0]'),
])
def test_a_chain_has_a_policy_and_counters(line: str, policy: str, packets: str) -> None:
    chain = next(iter(parse('*filter\n%s\nCOMMIT\n' % line, 'save')['filter'].values()))
    assert (chain.policy, chain.packets) == (policy, packets)


@pytest.mark.parametrize(('line', 'rule'), [
    ('-A INPUT', ''),
    ('[1:2] -A INPUT', ''),
    ('-A INPUT -j ACCEPT ', '-j ACCEPT'),
    ('-A INPUT -m comment --comment "a "', '-m comment --comment "a "'),
])
def test_a_rule_may_be_empty_and_blanks_behind_it_are_no_part_of_it(line: str, rule: str) -> None:
    assert parse('*filter\n:INPUT ACCEPT [0:0]\n%s\nCOMMIT\n' % line, 'save')['filter']['INPUT'].rules == [rule]


@pytest.mark.parametrize(('rule', 'counter', 'line'), [
    ('-j ACCEPT', '', '-A WEB -j ACCEPT'), ('-j ACCEPT', '[1:2]', '[1:2] -A WEB -j ACCEPT'), ('', '', '-A WEB'), ('', '[1:2]', '[1:2] -A WEB'),
])
def test_append_lines(rule: str, counter: str, line: str) -> None:
    assert append_line('WEB', rule, counter) == line
    assert rule_lines('WEB', [rule, rule], [counter, counter]) == [line, line]


@pytest.mark.parametrize('quote', ["`filter'", "'filter'"])
def test_a_table_that_iptables_cannot_represent_is_refused(quote: str) -> None:
    text = '# Table %s is incompatible, use \'nft\' tool.\n' % quote
    with pytest.raises(PalisadeError) as caught:
        parse(text + '*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n', 'ipv4 iptables-nft-save')
    assert str(caught.value).startswith('ipv4 iptables-nft-save: table filter holds native nftables rules that iptables cannot represent')


def test_a_comment_that_says_so_is_no_such_table() -> None:
    text = '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment "# Table `filter\' is incompatible"\nCOMMIT\n'
    assert len(parse(text, 'save')['filter']['INPUT'].rules) == 1


@pytest.mark.parametrize(('text', 'line'), [
    ('iptables: command not found\n', 'iptables: command not found'),
    ('-A INPUT -j ACCEPT\n', '-A INPUT -j ACCEPT'),
    (':INPUT ACCEPT [0:0]\n', ':INPUT ACCEPT [0:0]'),
    ('*filter\n-A WEB -j ACCEPT\nCOMMIT\n', '-A WEB -j ACCEPT'),
    ('*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n-A INPUT -j ACCEPT\n', '-A INPUT -j ACCEPT'),
    ('*filter\n:INPUT ACCEPT [0:0]\n-D INPUT 1\n', '-D INPUT 1'),
    ('*filter\n:INPUT\n', ':INPUT'),
    ('Cannot open\n', 'Cannot open'),
])
def test_text_that_no_iptables_save_prints_is_refused_and_shown(text: str, line: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        parse(text, 'ipv6 ip6tables-save')
    assert str(caught.value).startswith('ipv6 ip6tables-save printed ')
    assert ascii(line) in str(caught.value)
