# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may write: `tables` and `content` read into families, both ways alike, and bad input refused by place and name."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import (
    Declared,
    Reader,
    declare_content,
    declare_tables,
    declared_families,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._family import FAMILIES
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import join, tokenise
from ansible_collections.palisade.netfilter.tests.unit.support.strategies import AWKWARD_WORDS, WORDS
from hypothesis import given
from hypothesis import strategies as st

BOTH = ('ipv4', 'ipv6')


def texts(declared: Declared, table: str = 'filter', chain: str = 'INPUT') -> List[str]:
    """The rules of one chain as text."""
    return [rule.text for rule in declared.tables[table][chain].rules]


def from_tables(*rules: str, families: Sequence[str] = BOTH) -> Reader:
    """Rules of filter INPUT, read as `tables`."""
    return declare_tables({'filter': {'INPUT': list(rules)}}, families, {})


def from_content(*lines: str, families: Sequence[str] = BOTH) -> Reader:
    """Lines of the table filter, read as `content`."""
    return declare_content('*filter\n%s\nCOMMIT\n' % '\n'.join(lines), families, {})


#: A rule as written → the rule that is passed on. Each is one that iptables-restore 1.8.9 takes.
WRITTEN = [
    ('-j ACCEPT', '-j ACCEPT'),
    ('  -j ACCEPT  ', '-j ACCEPT'),
    ('-j\tACCEPT', '-j ACCEPT'),
    ('-A INPUT -j ACCEPT', '-j ACCEPT'),
    ('-A  INPUT  -j ACCEPT', '-j ACCEPT'),
    ('-A\tINPUT -j ACCEPT', '-j ACCEPT'),
    ('-AINPUT -j ACCEPT', '-j ACCEPT'),
    ('--append INPUT -j ACCEPT', '-j ACCEPT'),
    ('--append=INPUT -j ACCEPT', '-j ACCEPT'),
    ('--app INPUT -j ACCEPT', '-j ACCEPT'),
    ('-A INPUT', ''),
    ('', ''),
    ('-p tcp --dport 22 -j ACCEPT', '-p tcp --dport 22 -j ACCEPT'),
    ('-m comment --comment "two  words" -j ACCEPT', '-m comment --comment "two  words" -j ACCEPT'),
    ('-A INPUT -m comment --comment "-A FORWARD" -j DROP', '-m comment --comment "-A FORWARD" -j DROP'),
    ('-m comment --comment "-4" -j ACCEPT', '-m comment --comment "-4" -j ACCEPT'),
    ('-m comment --comment -6 -j ACCEPT', '-m comment --comment -6 -j ACCEPT'),
    ('-m comment --comment -M -j ACCEPT', '-m comment --comment -M -j ACCEPT'),
    ('-m comment --comment --modprobe=x -j ACCEPT', '-m comment --comment --modprobe=x -j ACCEPT'),
    ('-fj ACCEPT', '-f -j ACCEPT'),
    ("-m comment --comment it's -j ACCEPT", "-m comment --comment it's -j ACCEPT"),
    ('-m comment --comment "naïve – 防火墙"', '-m comment --comment "naïve – 防火墙"'),
]


@pytest.mark.parametrize(('written', 'text'), WRITTEN)
def test_a_rule_in_tables_is_passed_on_less_its_command(written: str, text: str) -> None:
    assert texts(from_tables(written, families=['ipv4']).declared['ipv4']) == [text]


@pytest.mark.parametrize(('written', 'text'), [case for case in WRITTEN if case[0].startswith(('-A', '--app'))])
def test_a_line_of_content_is_the_same_rule(written: str, text: str) -> None:
    assert texts(from_content(written, families=['ipv4']).declared['ipv4']) == [text]


@given(st.lists(st.lists(WORDS | AWKWARD_WORDS, min_size=1, max_size=4), max_size=4))
def test_tables_and_content_say_the_same(comments: List[List[str]]) -> None:
    rules = [join([word for comment in words for word in ('-m', 'comment', '--comment', comment)]) for words in comments]
    reader = from_tables(*rules)
    lines = [':INPUT ACCEPT [0:0]'] + ['-A INPUT %s' % rule for rule in rules]
    assert texts(reader.declared['ipv6']) == texts(from_content(*lines).declared['ipv6']) == rules
    assert [tokenise(rule)[3::4] for rule in texts(reader.declared['ipv4'])] == comments


# Families


@pytest.mark.parametrize(('written', 'families'), [
    ('-j ACCEPT', ['ipv4', 'ipv6']),
    ('-4 -j ACCEPT', ['ipv4']),
    ('-6 -j ACCEPT', ['ipv6']),
    ('--ipv4 -j ACCEPT', ['ipv4']),
    ('-j ACCEPT --ipv6', ['ipv6']),
    ('-4 -A INPUT -j ACCEPT', ['ipv4']),
    ('-A INPUT -6 -j ACCEPT', ['ipv6']),
    ('"-6" -j ACCEPT', ['ipv6']),
    ('-s 10.0.0.1 -j ACCEPT', ['ipv4']),
    ('-s fe80::/10 -j ACCEPT', ['ipv6']),
    ('-p icmp -j ACCEPT', ['ipv4']),
    ('-p icmpv6 -j ACCEPT', ['ipv6']),
    ('-6 -p icmp -j ACCEPT', ['ipv6']),
    ('-m comment --comment "-4" -j ACCEPT', ['ipv4', 'ipv6']),
    ('-m comment --comment "from 10.0.0.1 -p icmp" -j ACCEPT', ['ipv4', 'ipv6']),
])
def test_each_family_gets_the_rules_that_are_for_it(written: str, families: List[str]) -> None:
    reader = from_tables(written)
    assert [family for family in BOTH if texts(reader.declared[family])] == families
    assert reader.warnings == []
    assert not any(rule.startswith(('-4', '-6', '--ipv')) for family in families for rule in texts(reader.declared[family]))


def test_with_one_family_every_rule_is_passed_as_written() -> None:
    reader = from_tables('-s fe80::1 -j ACCEPT', '-p icmpv6 -j ACCEPT', families=['ipv4'])
    assert texts(reader.declared['ipv4']) == ['-s fe80::1 -j ACCEPT', '-p icmpv6 -j ACCEPT']
    assert list(reader.declared) == ['ipv4']


def test_a_rule_prefixed_for_a_family_that_is_not_asked_for_is_left_out_with_a_warning() -> None:
    reader = from_tables('-j ACCEPT', '-6 -j DROP', families=['ipv4'])
    assert texts(reader.declared['ipv4']) == ['-j ACCEPT']
    assert reader.warnings == [
        'tables: table filter, chain INPUT, rule 2: left out, since it is for ipv6, which is not in families: -6 -j DROP']


def test_a_set_decides_the_family_where_its_own_is_known() -> None:
    rules = ['-m set --match-set four src -j DROP', '-m set ! --match-set six src -j DROP', '-m set --match-set unknown src -j DROP']
    reader = declare_tables({'filter': {'INPUT': rules}}, BOTH, {'four': 'ipv4', 'six': 'ipv6'})
    assert texts(reader.declared['ipv4']) == [rules[0], rules[2]]
    assert texts(reader.declared['ipv6']) == [rules[1], rules[2]]


def test_a_chain_is_declared_in_both_families_even_if_its_rules_are_for_one() -> None:
    reader = declare_tables({'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-4 -j WEB']}, 'WEB': []}}, BOTH, {})
    for family in BOTH:
        assert list(reader.declared[family].tables['filter']) == ['INPUT', 'WEB']
        assert reader.declared[family].tables['filter']['INPUT'].policy == 'DROP'


@pytest.mark.parametrize(('asked', 'families'), [
    (['ipv6', 'ipv4'], ['ipv4', 'ipv6']), (['ipv6'], ['ipv6']), (['ipv4', 'ipv4'], ['ipv4']), ([], []),
])
def test_families_come_in_their_fixed_order_each_once(asked: List[str], families: List[str]) -> None:
    assert declared_families(asked) == families


# Chains, policies, numbers


def test_a_chain_may_be_a_list_or_a_dictionary_or_nothing() -> None:
    tables: Dict[str, Any] = {'filter': {
        'INPUT': {'policy': 'DROP', 'rules': ['-j ACCEPT']}, 'OUTPUT': ['-j ACCEPT'], 'WEB': None, 'SSH': {}, 'FORWARD': {'policy': 'DROP'}}}
    chains = declare_tables(tables, ['ipv4'], {}).declared['ipv4'].tables['filter']
    assert {name: (chain.policy, [rule.text for rule in chain.rules]) for name, chain in chains.items()} == {
        'INPUT': ('DROP', ['-j ACCEPT']), 'OUTPUT': (None, ['-j ACCEPT']), 'WEB': (None, []), 'SSH': (None, []), 'FORWARD': ('DROP', [])}


@pytest.mark.parametrize('name', ['N' * 28, 'a', '1', '_x', '.x', '@x', '+x', '~x', '%x', '/x', 'x:#=-', 'INPUT'])
def test_names_that_a_chain_may_have(name: str) -> None:
    assert list(declare_tables({'filter': {name: []}}, ['ipv4'], {}).declared['ipv4'].tables['filter']) == [name]


def test_only_if_unused_is_kept_with_its_chain() -> None:
    tables = {'filter': {'FORWARD': {'policy': 'DROP', 'only_if_unused': True}, 'INPUT': []}}
    chains = declare_tables(tables, ['ipv4'], {}).declared['ipv4'].tables['filter']
    assert chains['FORWARD'].only_if_unused
    assert not chains['INPUT'].only_if_unused


def test_an_empty_table_is_declared_too() -> None:
    assert declare_tables({'nat': {}}, ['ipv4'], {}).declared['ipv4'].tables == {'nat': {}}
    assert declare_content('*nat\nCOMMIT\n', ['ipv4'], {}).declared['ipv4'].tables == {'nat': {}}


def test_rules_are_numbered_as_written_whichever_family_gets_them() -> None:
    reader = from_tables('-4 -j ACCEPT', '-j LOG', '-6 -j DROP')
    assert [rule.number for rule in reader.declared['ipv4'].tables['filter']['INPUT'].rules] == [1, 2]
    assert [rule.number for rule in reader.declared['ipv6'].tables['filter']['INPUT'].rules] == [2, 3]


@pytest.mark.parametrize(('lines', 'order'), [
    (['-A INPUT -j LOG', '-I INPUT -j ACCEPT'], ['-j ACCEPT', '-j LOG']),
    (['-A INPUT -j LOG', '-I INPUT 2 -j ACCEPT'], ['-j LOG', '-j ACCEPT']),
    (['-A INPUT -j LOG', '--insert INPUT 1 -j ACCEPT'], ['-j ACCEPT', '-j LOG']),
    (['-A INPUT -j LOG', '--ins INPUT -j ACCEPT'], ['-j ACCEPT', '-j LOG']),
    (['-A INPUT -j LOG', '-I INPUT'], ['', '-j LOG']),
    (['-A INPUT -j LOG', '-IINPUT 1 -j ACCEPT'], ['-j ACCEPT', '-j LOG']),
    (['-A INPUT -j LOG', '--insert=INPUT -j ACCEPT'], ['-j ACCEPT', '-j LOG']),
    (['-I INPUT -j LOG', '-I INPUT -j ACCEPT', '-A INPUT -j DROP'], ['-j ACCEPT', '-j LOG', '-j DROP']),
])
def test_inserts_stand_where_iptables_restore_would_put_them(lines: List[str], order: List[str]) -> None:
    assert texts(from_content(*lines, families=['ipv4']).declared['ipv4']) == order


def test_content_is_what_iptables_save_prints() -> None:
    content = '\n'.join([
        '# Generated by iptables-save', '*filter', ':INPUT DROP [12:3456]', ':WEB - [0:0]', '[5:60] -A INPUT -p tcp -j WEB',
        '-A WEB -m comment --comment "COMMIT" -j ACCEPT', 'COMMIT', '# Completed', '*nat', ':POSTROUTING ACCEPT [0:0]',
        '\t-A POSTROUTING -o wan0 -j MASQUERADE ', 'COMMIT', ''])
    declared = declare_content(content, ['ipv4'], {}).declared['ipv4']
    assert texts(declared) == ['-p tcp -j WEB']
    assert texts(declared, 'filter', 'WEB') == ['-m comment --comment "COMMIT" -j ACCEPT']
    assert texts(declared, 'nat', 'POSTROUTING') == ['-o wan0 -j MASQUERADE']
    assert declared.tables['filter']['INPUT'].policy == 'DROP'
    assert declared.tables['filter']['WEB'].policy is None
    assert [rule.line for rule in declared.tables['filter']['INPUT'].rules] == [5]


def test_content_may_make_chains_and_policies_by_command() -> None:
    declared = from_content('-N WEB', '-P INPUT DROP', '-A WEB -j ACCEPT', families=['ipv4']).declared['ipv4']
    assert declared.tables['filter']['INPUT'].policy == 'DROP'
    assert texts(declared, 'filter', 'WEB') == ['-j ACCEPT']


# Bad input

PROGRAM = 'names a program to run, which a rule may not'
HELP = 'asks iptables about itself'

#: One bad rule of filter INPUT, and what the message says behind the place.
BAD_RULES = [
    ('-j ACCEPT\n-D INPUT 1', 'control character'),
    ('-m comment --comment "open', 'a double quote is opened and never closed'),
    ('-A FORWARD -j ACCEPT', 'the rule says -A FORWARD'),
    ('-AFORWARD -j ACCEPT', 'the rule says -A FORWARD'),
    ('x' * 10_000, 'longer than 10000 bytes'),
    ('-M /tmp/program -j ACCEPT', PROGRAM),
    ('-M/tmp/program -j ACCEPT', PROGRAM),
    ('-j ACCEPT --modprobe /tmp/program', PROGRAM),
    ('-p tcp --syn --modprobe=/tmp/program -j ACCEPT', PROGRAM),
    ('--mo=/tmp/program -j ACCEPT', PROGRAM),
    ('-m comment --comment "x"--modprobe=/tmp/program -j ACCEPT', PROGRAM),
    ('-m comment --comment --comment -M/tmp/program', PROGRAM),
    ('-"M" /tmp/program -j ACCEPT', PROGRAM),
    ('"\\-M/tmp/program" -j ACCEPT', PROGRAM),
    ('-p tcp "\\-M/tmp/program" -j ACCEPT', PROGRAM),
    ('--"modprobe=/tmp/program" -j ACCEPT', PROGRAM),
    ('-vM /tmp/program -j ACCEPT', PROGRAM),
    ('-fnM/tmp/program -j ACCEPT', PROGRAM),
    ('-p tcp --help', HELP),
    ('-h', HELP),
    ('-V -j ACCEPT', HELP),
    ('-fV', HELP),
    ('-s 10.0.0.1 -d fe80::1 -j ACCEPT', 'asks for ipv4 in one place and for ipv6 in another'),
    ('-s 10.0.0.1,fe80::1 -j ACCEPT', 'names addresses of both families in one rule'),
]


@pytest.mark.parametrize(('rule', 'reason'), BAD_RULES)
def test_a_bad_rule_in_tables_is_refused_by_table_chain_number_and_reason(rule: str, reason: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        from_tables('-j LOG', '-6 -j LOG', rule)
    message = str(caught.value)
    assert message.startswith('tables: table filter, chain INPUT, rule 3: ')
    assert reason in message
    assert message.isprintable()


@pytest.mark.parametrize(('rule', 'reason'), [case for case in BAD_RULES if 'both' not in case[1] and 'another' not in case[1]])
def test_the_same_with_one_family_only(rule: str, reason: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        from_tables(rule, families=['ipv6'])
    assert str(caught.value).startswith('tables: table filter, chain INPUT, rule 1: ')
    assert reason in str(caught.value)


@pytest.mark.parametrize(('rule', 'reason'), [case for case in BAD_RULES if '\n' not in case[0] and 'FORWARD' not in case[0]])
def test_the_same_in_content_is_refused_by_line(rule: str, reason: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        from_content(':INPUT ACCEPT [0:0]', '-A INPUT ' + rule)
    assert str(caught.value).startswith('content: table filter, line 3: ')
    assert reason in str(caught.value)


@pytest.mark.parametrize(('tables', 'message'), [
    ({'filtre': {}}, "tables: there is no table 'filtre': the tables are filter, nat, mangle, raw, security"),
    ({'filter\n': {}}, "tables: there is no table 'filter\\n'"),
    ({'filter': []}, 'tables: filter: expected a dictionary of chains, got list'),
    ({'filter': 'INPUT'}, 'tables: filter: expected a dictionary of chains, got str'),
    ({'filter': {'INPUT': 'DROP'}}, "tables: table filter, chain 'INPUT': expected a list of rules or a dictionary with policy and rules, got str"),
    ({'filter': {'INPUT': {'rule': []}}}, "tables: table filter, chain 'INPUT': unknown key 'rule'"),
    ({'filter': {'INPUT': {'rules': '-j DROP'}}}, "tables: table filter, chain 'INPUT': rules: expected a list of rule strings, got str"),
    ({'filter': {'INPUT': ['-j DROP', 5]}}, "tables: table filter, chain 'INPUT', rule 2: expected a string, got int"),
    ({'filter': {'INPUT': {'policy': 'REJECT'}}}, "tables: table filter, chain 'INPUT': policy 'REJECT': a policy is ACCEPT or DROP"),
    ({'filter': {'INPUT': {'policy': 'DROP [0:0]\n-F'}}}, "tables: table filter, chain 'INPUT': policy 'DROP [0:0]\\n-F'"),
    ({'filter': {'WEB': {'policy': 'DROP'}}}, "tables: table filter, chain 'WEB': only a built-in chain has a policy (INPUT, FORWARD, OUTPUT)"),
    ({'nat': {'FORWARD': {'policy': 'DROP'}}}, "tables: table nat, chain 'FORWARD': only a built-in chain has a policy"),
    ({'filter': {'WEB\n-F': []}}, "tables: table filter, chain 'WEB\\n-F': not a name for a chain"),
    ({'filter': {'-F': []}}, "tables: table filter, chain '-F': not a name for a chain"),
    ({'filter': {'two words': []}}, "tables: table filter, chain 'two words': not a name for a chain"),
    ({'filter': {'': []}}, "tables: table filter, chain '': not a name for a chain"),
    ({'filter': {7: []}}, 'tables: table filter, chain 7: not a name for a chain'),
    ({'filter': {'N' * 29: []}}, 'the name is 29 characters long, iptables allows 28'),
    ({'filter': {'DROP': []}}, "tables: table filter, chain 'DROP': DROP is a target of iptables"),
])
def test_bad_tables_are_refused_by_place(tables: Dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        declare_tables(tables, BOTH, {})
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(('content', 'message'), [
    ('-A INPUT -j ACCEPT', "content: line 1: expected *TABLE first, got: '-A INPUT -j ACCEPT'"),
    ('*filter\n-A INPUT -j ACCEPT\n', 'content: table filter has no COMMIT'),
    ('*filter\nCOMMIT\n-A INPUT -j ACCEPT\n', 'content: line 3: expected *TABLE first'),
    ('*filtre\nCOMMIT\n', "content: there is no table 'filtre'"),
    ('*filter\n-A WEB -j ACCEPT\nCOMMIT\n', 'content: table filter, line 2: chain WEB is not declared in table filter'),
    ('*filter\n-D INPUT 1\nCOMMIT\n', "content: line 2: a declaration has *TABLE, :CHAIN POLICY, -N, -P, -A and COMMIT lines, not: '-D INPUT 1'"),
    ('*filter\n-F\nCOMMIT\n', "content: line 2: a declaration has"),
    ('*filter\nINPUT -j ACCEPT\nCOMMIT\n', "content: line 2: a declaration has"),
    ('*filter\n:INPUT\nCOMMIT\n', "content: line 2: a declaration has"),
    ('*filter\n:INPUT QUEUE [0:0]\nCOMMIT\n', "content: table filter, chain 'INPUT': policy 'QUEUE': a policy is ACCEPT or DROP"),
    ('*filter\n:WEB DROP [0:0]\nCOMMIT\n', "content: table filter, chain 'WEB': only a built-in chain has a policy"),
    ('*filter\n-A\nCOMMIT\n', 'content: table filter, line 2: '),
    ('*filter\n-A -j ACCEPT\nCOMMIT\n', 'content: table filter, line 2: not a name for a chain'),
    ('*filter\n-4 -j ACCEPT\nCOMMIT\n', 'content: table filter, line 2: expected -A CHAIN in front of: -4 -j ACCEPT'),
    ('*filter\r\nCOMMIT\r\n', "content: line 1: control character '\\r' in '*filter\\r'"),
    ('*filter\n-A INPUT -j ACCEPT\r\nCOMMIT\n', "content: table filter, line 2: control character '\\r'"),
    ('*filter\n[\nCOMMIT\n', 'content: line 2: a declaration has *TABLE, :CHAIN POLICY'),
    ('*filter\n\u3000\nCOMMIT\n', 'content: line 2: a declaration has *TABLE, :CHAIN POLICY'),
    ('*filter\n[1:2]\nCOMMIT\n', 'content: line 2: a declaration has *TABLE, :CHAIN POLICY'),
    ('*filter\n-N WEB\x00\nCOMMIT\n', "content: line 2: control character '\\x00'"),
])
def test_bad_content_is_refused_by_line(content: str, message: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        declare_content(content, BOTH, {})
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=60), st.sampled_from(['-A INPUT %s', '%s', ':%s - [0:0]', '-N %s', '-I INPUT %s -j DROP']))
def test_whatever_is_written_no_rule_becomes_a_second_line(text: str, line: str) -> None:
    try:
        reader = from_content(*((line % text).split('\n')[:1]))
    except PalisadeError:
        return
    for family in FAMILIES:
        for chain, data in reader.declared[family].tables['filter'].items():
            assert chain.split() == [chain]
            assert [rule.text.splitlines() for rule in data.rules if rule.text] == [[rule.text] for rule in data.rules if rule.text]


@given(st.lists(st.sampled_from([
    '-A INPUT -p tcp -j ACCEPT', '-A WEB', '-A INPUT  -j WEB ', '-A INPUT -m comment --comment "a b" -j DROP', '-A INPUT -4 -j DROP',
    '-A INPUT -m comment --comment "-4" -j DROP', '-A OUTPUT -j LOG', '# a comment', '', '-I INPUT 1 -j DROP', '-A\tINPUT -j DROP',
    '-A INPUT -m comment --comment "a"b -j DROP',
]), max_size=6))
def test_content_read_in_one_look_is_what_it_is_read_word_by_word(lines: List[str]) -> None:
    content = '*filter\n:WEB - [0:0]\n%s\nCOMMIT\n' % '\n'.join(lines)
    quick = declare_content(content, ['ipv4'], {}).declared['ipv4'].tables['filter']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('ansible_collections.palisade.netfilter.plugins.module_utils._declared.is_plain', lambda content: False)
        slow = declare_content(content, ['ipv4'], {}).declared['ipv4'].tables['filter']
    assert {name: chain.rules for name, chain in quick.items()} == {name: chain.rules for name, chain in slow.items()}


def test_an_insertion_behind_the_end_is_refused_as_iptables_does() -> None:
    with pytest.raises(PalisadeError, match='line 3: there are only 1 rules in INPUT'):
        declare_content('*filter\n-A INPUT -j ACCEPT\n-I INPUT 3 -j DROP\nCOMMIT\n', ['ipv4'], {})
    declared = declare_content('*filter\n-A INPUT -j ACCEPT\n-I INPUT 2 -j DROP\nCOMMIT\n', ['ipv4'], {}).declared['ipv4']
    assert texts(declared) == ['-j ACCEPT', '-j DROP']
