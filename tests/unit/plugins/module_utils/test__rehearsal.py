# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a rehearsal, and what its outcome says about which rule: all without a host."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import Declared, DeclaredRule, declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._rehearsal import (
    Place,
    Rehearsal,
    ShortCountError,
    as_written,
    check_hooks,
    failed_line,
    is_live,
    names_used,
    nth_place,
    only_rule,
    rule_count,
    rule_of_line,
    split_global_target,
    with_addresses,
    words,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import join, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.tests.unit.support.saved import SAVED, saved_rules
from hypothesis import given
from hypothesis import strategies as st


def declared_from(tables: Dict[str, Any]) -> Declared:
    return declare_tables(tables, ['ipv4'], {}).declared['ipv4']


def one_chain(*rules: str, chain: str = 'INPUT') -> Declared:
    return declared_from({'filter': {chain: list(rules)}})


TWO_TABLES = {'filter': {'INPUT': ['-j WEB', '-j ACCEPT'], 'OUTPUT': [], 'WEB': ['-j DROP']}, 'nat': {'POSTROUTING': ['-j MASQUERADE']}}


# The text

def test_a_rehearsal_in_a_namespace_uses_the_users_own_names_and_open_policies() -> None:
    text = Rehearsal(declared_from(TWO_TABLES), foreign={'filter': frozenset(['f2b-sshd', 'WEB'])}).text
    assert text.split('\n') == [
        '*filter', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':WEB - [0:0]', ':f2b-sshd - [0:0]', '-A INPUT -j WEB', '-A INPUT -j ACCEPT',
        '-A WEB -j DROP', 'COMMIT', '*nat', ':POSTROUTING ACCEPT [0:0]', '-A POSTROUTING -j MASQUERADE', 'COMMIT', '']


def test_a_rehearsal_in_scratch_chains_renames_chains_and_jumps() -> None:
    names = {'filter': {'INPUT': 'p~0', 'OUTPUT': 'p~1', 'WEB': 'p~2'}, 'nat': {'POSTROUTING': 'p~3'}}
    text = Rehearsal(declared_from({**TWO_TABLES, 'filter': {'INPUT': ['--jump=WEB', '-jACCEPT'], 'OUTPUT': [], 'WEB': []}}),
                     foreign={}, names=names).text
    assert text.split('\n') == [
        '*filter', ':p~0 - [0:0]', ':p~1 - [0:0]', ':p~2 - [0:0]', '-A p~0 --jump=p~2', '-A p~0 -jACCEPT', 'COMMIT',
        '*nat', ':p~3 - [0:0]', '-A p~3 -j MASQUERADE', 'COMMIT', '']


@pytest.mark.parametrize(('limit', 'loaded'), [(0, 0), (1, 1), (3, 3), (4, 4), (99, 4), (None, 4)])
def test_a_limit_takes_the_first_rules_of_all_tables(limit: Optional[int], loaded: int) -> None:
    text = Rehearsal(declared_from(TWO_TABLES), foreign={}, limit=limit).text
    assert [line for line in text.split('\n') if line.startswith('-A')] == [
        '-A INPUT -j WEB', '-A INPUT -j ACCEPT', '-A WEB -j DROP', '-A POSTROUTING -j MASQUERADE'][:loaded]


def test_nothing_declared_is_nothing_to_load() -> None:
    assert Rehearsal(Declared(), foreign={}).text == ''


# Which rule a line is

CHAINS = st.dictionaries(st.sampled_from(['OUTPUT', 'PREROUTING', 'A', 'B']), st.lists(st.sampled_from(['-p tcp', '-p udp', '']), max_size=3))


@given(st.dictionaries(st.sampled_from(['filter', 'mangle', 'raw']), CHAINS))
def test_every_line_of_the_text_leads_to_its_rule_and_no_other_line_to_any(tables: Dict[str, Any]) -> None:
    declared = declared_from(tables)
    rehearsal = Rehearsal(declared, foreign={table: frozenset(['Z']) for table in tables})
    found: List[Place] = []
    table = ''
    for number, line in enumerate(rehearsal.text.split('\n'), 1):
        place = rehearsal.place(number)
        table = line[1:] if line.startswith('*') else table
        assert (place is not None) == line.startswith('-A ')
        if place is not None:
            assert ('-A %s %s' % (place.chain, place.rule.text), place.table) == (line, table)
            found.append(place)
    assert found == [nth_place(declared, index) for index in range(rule_count(declared))]
    assert nth_place(declared, rule_count(declared)) is None


def test_a_place_is_told_in_full() -> None:
    place = Place('nat', 'WEB', DeclaredRule('-j  DNAT', 7))
    assert rule_of_line('tables', 'ipv6', place) == 'tables: ipv6, table nat, chain WEB, rule 7: -j  DNAT'
    place = Place('nat', 'WEB', DeclaredRule('-j  DNAT', 7, 12))
    assert rule_of_line('content', 'ipv6', place) == 'content: ipv6, table nat, chain WEB, rule 7 (line 12): -j  DNAT'


# What comes back

def saved(text: str) -> Tables:
    return parse(text, 'rehearsal')


NAMES = {'filter': {'INPUT': 'palisade-INPUT', 'WEB': 'palisade-WEB'}}


def test_saved_rules_get_their_live_names() -> None:
    rehearsal = Rehearsal(declared_from({'filter': {'INPUT': ['-jWEB'], 'WEB': ['-j ACCEPT']}}), foreign={})
    found = saved('*filter\n:INPUT ACCEPT [0:0]\n:WEB - [0:0]\n-A INPUT -m comment --comment "-j WEB" -j WEB\n-A WEB -j ACCEPT\nCOMMIT\n')
    assert rehearsal.canonical(found, NAMES) == {
        'filter': {'INPUT': ['-m comment --comment "-j WEB" -j palisade-WEB'], 'WEB': ['-j ACCEPT']}}


def test_scratch_names_become_live_names() -> None:
    names = {'filter': {'INPUT': 'palisade~0', 'WEB': 'palisade~1'}}
    rehearsal = Rehearsal(declared_from({'filter': {'INPUT': ['-jWEB'], 'WEB': []}}), foreign={}, names=names)
    found = saved('*filter\n:palisade~0 - [0:0]\n:palisade~1 - [0:0]\n-A palisade~0 -j palisade~1\nCOMMIT\n')
    assert rehearsal.canonical(found, NAMES) == {'filter': {'INPUT': ['-j palisade-WEB'], 'WEB': []}}


@pytest.mark.parametrize('text', ['', '*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n'])
def test_a_rule_that_did_not_arrive_is_an_error_with_its_chain(text: str) -> None:
    with pytest.raises(ShortCountError, match=r'iptables took the rule without an error and did not load it \(table filter, chain INPUT\)'):
        Rehearsal(one_chain('-j ACCEPT'), foreign={}).canonical(saved(text), NAMES)


def test_one_rule_may_come_back_as_two() -> None:
    found = saved('*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32\n-A INPUT -s 10.0.0.2/32\nCOMMIT\n')
    assert Rehearsal(one_chain('-s 10.0.0.1,10.0.0.2'), foreign={}).canonical(found, NAMES) == {
        'filter': {'INPUT': ['-s 10.0.0.1/32', '-s 10.0.0.2/32']}}


# Targets with names that are global to the kernel

IDLE = '-p tcp -m tcp --dport 22 -j IDLETIMER --timeout 60 --label ssh'


@pytest.mark.parametrize(('written', 'kept', 'target'), [
    (IDLE, '-p tcp -m tcp --dport 22', '-j IDLETIMER --timeout 60 --label ssh'),
    ('-j IDLETIMER --label ssh --timeout 60', '', '-j IDLETIMER --timeout 60 --label ssh'),
    ('--jump IDLETIMER --timeout 5 --label a --alarm', '', '-j IDLETIMER --timeout 5 --label a --alarm'),
    ('-j LED --led-trigger-id ssh -p tcp --led-delay 100', '-p tcp', '-j LED --led-trigger-id "ssh" --led-delay 100'),
    ('-j LED --led-always-blink --led-trigger-id "two words"', '', '-j LED --led-trigger-id "two words" --led-always-blink'),
    ('-j ACCEPT', '-j ACCEPT', None),
    ('-m comment --comment "LED -j LED" -j ACCEPT', '-m comment --comment "LED -j LED" -j ACCEPT', None),
])
def test_a_global_target_is_taken_out_in_saves_spelling(written: str, kept: str, target: Optional[str]) -> None:
    assert split_global_target(tokenise(written)) == (tokenise(kept), target)


def test_a_global_target_is_never_loaded_in_a_rehearsal_and_comes_back_as_text() -> None:
    rehearsal = Rehearsal(one_chain('-j IDLETIMER --label a --timeout 60', '-j ACCEPT', IDLE), foreign={})
    assert 'IDLETIMER' not in rehearsal.text
    lines = [line for line in rehearsal.text.split('\n') if line.startswith('-A')]
    found = saved('*filter\n:INPUT ACCEPT [0:0]\n%s\nCOMMIT\n' % '\n'.join(lines))
    assert rehearsal.canonical(found, NAMES)['filter']['INPUT'] == ['-j IDLETIMER --timeout 60 --label a', '-j ACCEPT', IDLE]


# By text alone

LIVE = '*filter\n:INPUT ACCEPT [0:0]\n:palisade-INPUT - [0:0]\n:palisade-WEB - [0:0]\n%sCOMMIT\n'


@pytest.mark.parametrize(('written', 'live'), [
    ('-p tcp -m tcp --dport 22 -j ACCEPT', '-p tcp -m tcp --dport 22 -j ACCEPT'),
    ('-j WEB', '-j palisade-WEB'),
    ('-m comment --comment "word" -j WEB', '-m comment --comment word -j palisade-WEB'),
    ('-m comment --comment a.b -j ACCEPT', '-m comment --comment "a.b" -j ACCEPT'),
    ('-j IDLETIMER --label a --timeout 60', '-j IDLETIMER --timeout 60 --label a'),
    ('', ''),
])
def test_a_rule_written_as_saved_needs_no_rehearsal(written: str, live: str) -> None:
    declared = declared_from({'filter': {'INPUT': [written], 'WEB': []}})
    tables = saved(LIVE % ('-A palisade-INPUT %s\n' % live))
    canonical = as_written(declared, tables, NAMES)
    assert canonical['filter']['INPUT'] == [live]
    assert is_live(canonical, tables, NAMES)


@pytest.mark.parametrize(('written', 'live'), [
    ('-p tcp --dport 22 -j ACCEPT', '-p tcp -m tcp --dport 22 -j ACCEPT'),
    ('-j WEB', '-j WEB'),
    ('-m comment --comment "two words" -j ACCEPT', '-m comment --comment "two  words" -j ACCEPT'),
    ('-m comment --comment A -j ACCEPT', '-m comment --comment a -j ACCEPT'),
])
def test_any_other_difference_needs_one(written: str, live: str) -> None:
    tables = saved(LIVE % ('-A palisade-INPUT %s\n' % live))
    declared = declared_from({'filter': {'INPUT': [written], 'WEB': []}})
    assert not is_live(as_written(declared, tables, NAMES), tables, NAMES)


@pytest.mark.parametrize('rules', [[], ['-j ACCEPT', '-j ACCEPT'], ['-j DROP', '-j ACCEPT'], ['-j ACCEPT', '-j DROP', '-j LOG']])
def test_number_and_order_of_rules_matter(rules: List[str]) -> None:
    tables = saved(LIVE % '-A palisade-INPUT -j ACCEPT\n-A palisade-INPUT -j DROP\n')
    declared = declared_from({'filter': {'INPUT': rules, 'WEB': []}})
    assert not is_live(as_written(declared, tables, NAMES), tables, NAMES)


def test_a_chain_that_is_not_there_is_not_live_even_if_it_is_to_be_empty() -> None:
    declared = declared_from({'filter': {'INPUT': []}})
    assert not is_live(as_written(declared, {}, NAMES), {}, NAMES)


@pytest.mark.parametrize(('written', 'text'), [
    ('--jump WEB', '--jump palisade-WEB'), ('-jWEB', '-jpalisade-WEB'), ('-j  WEB', '-j palisade-WEB'), ('--goto=WEB', '--goto=palisade-WEB'),
    ('-j "WEB"', '-j palisade-WEB'), ('--jump ACCEPT', '--jump ACCEPT'), ('-m comment --comment "--jump WEB"', '-m comment --comment "--jump WEB"'),
])
def test_jumps_in_any_spelling_lead_to_our_chains_where_text_is_all_there_is(written: str, text: str) -> None:
    declared = declared_from({'filter': {'INPUT': [written], 'WEB': []}})
    assert as_written(declared, {}, NAMES)['filter']['INPUT'] == [text]


@pytest.mark.parametrize('name', SAVED)
def test_every_rule_that_iptables_saved_is_recognised_when_it_is_declared_so(name: str) -> None:
    rules = saved_rules(name)
    declared = declare_tables({'filter': {'INPUT': rules}}, [name[-4:]], {}).declared[name[-4:]]
    tables = saved('*filter\n:palisade-INPUT - [0:0]\n%s\nCOMMIT\n' % '\n'.join(('-A palisade-INPUT %s' % rule).rstrip(' ') for rule in rules))
    names: Mapping[str, Mapping[str, str]] = {'filter': {'INPUT': 'palisade-INPUT'}}
    assert is_live(as_written(declared, tables, names), tables, names)


@pytest.mark.parametrize('name', SAVED)
def test_and_when_all_its_words_are_quoted_by_us(name: str) -> None:
    rules = [rule for rule in saved_rules(name) if "\\'" not in rule]
    declared = declare_tables({'filter': {'INPUT': [join(tokenise(rule)) for rule in rules]}}, [name[-4:]], {}).declared[name[-4:]]
    tables = saved('*filter\n:palisade-INPUT - [0:0]\n%s\nCOMMIT\n' % '\n'.join(('-A palisade-INPUT %s' % rule).rstrip(' ') for rule in rules))
    names: Mapping[str, Mapping[str, str]] = {'filter': {'INPUT': 'palisade-INPUT'}}
    assert is_live(as_written(declared, tables, names), tables, names)


# What iptables says

@pytest.mark.parametrize(('stderr', 'told', 'line'), [
    ("iptables-nft-restore v1.8.9 (nf_tables): unknown option \"--dport\"\nError occurred at line: 3\nTry `iptables-nft-restore -h'.\n",
     'iptables-nft-restore: unknown option "--dport"', 3),
    ("Bad argument `bar'\nError occurred at line: 12\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
     "Bad argument `bar'", 12),
    ('iptables-nft-restore: line 5 failed: No chain/target/match by that name.\n',
     'iptables-nft-restore: line 5 failed: No chain/target/match by that name.', 5),
    ('iptables-restore: line 9 failed\n', 'iptables-restore: the kernel refuses the rule (on the legacy backend it gives no reason)', 9),
    ('iptables-nft-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Invalid argument): rule in chain INPUT\n',
     'iptables-nft-restore: RULE_APPEND failed (Invalid argument): rule in chain INPUT', 4),
    ("# Warning: iptables-legacy tables present\nBad argument `x'\nError occurred at line: 2\n", "Bad argument `x'", 2),
    ('', 'refused without a reason', None),
    ('modprobe: FATAL\n', 'modprobe: FATAL', None),
])
def test_iptables_own_words_without_what_nobody_can_use(stderr: str, told: str, line: Optional[int]) -> None:
    assert words(stderr) == told
    assert failed_line(stderr) == line


# Names

def test_names_of_sets_are_found_in_every_spelling() -> None:
    declared = one_chain(
        '-m set --match-set a src', '-m set ! --match-set=b dst -j DROP', '-m comment --comment "--match-set c"', '-j SET --add-set d src')
    assert names_used(declared, {'--match-set': 1, '--add-set': 1}) == {'a', 'b', 'd'}
    assert names_used(declared, {'--nfacct-name': 1}) == frozenset()


@pytest.mark.parametrize(('written', 'text'), [
    ('-s www.example.org -j ACCEPT', '-s 192.0.2.1,192.0.2.2 -j ACCEPT'),
    ('-s www.example.org/24', '-s 192.0.2.1/24,192.0.2.2/24'),
    ('! -d www.example.org', '! -d 192.0.2.1,192.0.2.2'),
    ('-d ! www.example.org', '-d ! 192.0.2.1,192.0.2.2'),
    ('--source=www.example.org', '--source=192.0.2.1,192.0.2.2'),
    ('--source=www.example.org -j ACCEPT', '--source=192.0.2.1,192.0.2.2 -j ACCEPT'),
    ('--dst www.example.org,10.0.0.1', '--dst 192.0.2.1,192.0.2.2,10.0.0.1'),
    ('-s nowhere.example.org', '-s nowhere.example.org'),
    ('-s 10.0.0.1', '-s 10.0.0.1'),
    ('-s 2001:db8::abcd', '-s 2001:db8::abcd'),
    ('-s abcd:ef::1', '-s abcd:ef::1'),
    ('-m comment --comment "-s www.example.org"', '-m comment --comment "-s www.example.org"'),
    ('-i www.example.org', '-i www.example.org'),
])
def test_host_names_become_addresses_before_a_rehearsal(written: str, text: str) -> None:
    asked: List[str] = []

    def addresses(name: str) -> List[str]:
        asked.append(name)
        return ['192.0.2.1', '192.0.2.2'] if name == 'www.example.org' else []

    declared = one_chain(written)
    with_addresses(declared, addresses)
    assert [rule.text for rule in declared.tables['filter']['INPUT'].rules] == [text]
    assert set(asked) <= {'www.example.org', 'nowhere.example.org'}


# Hints and hooks

def test_one_rule_can_be_tried_alone_with_all_its_chains() -> None:
    declared = declared_from(TWO_TABLES)
    place = nth_place(declared, 2)
    assert place is not None
    single = only_rule(declared, place)
    assert single is not None
    assert Rehearsal(single, foreign={}).text == (
        '*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:WEB - [0:0]\n-A WEB -j DROP\nCOMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n')


@pytest.mark.parametrize('tables', [{'filter': {'INPUT': ['-6 -j ACCEPT', '-j ACCEPT']}}, {'filter': {'OUTPUT': []}}, {'nat': {}}, {}])
def test_a_family_without_the_rule_or_its_chain_has_nothing_to_try(tables: Dict[str, Any]) -> None:
    assert only_rule(declared_from(tables), Place('filter', 'INPUT', DeclaredRule('-j ACCEPT', 1))) is None


@pytest.mark.parametrize(('chain', 'rule', 'option'), [
    ('INPUT', '-o eth0 -j DROP', '-o'), ('INPUT', '-oeth0', '-o'), ('INPUT', '! -o eth0', '-o'), ('PREROUTING', '--out-interface=eth0', '-o'),
    ('OUTPUT', '-i lo', '-i'), ('POSTROUTING', '--in-interface lo', '-i'),
])
def test_interfaces_that_a_hook_does_not_have_are_refused_where_a_scratch_chain_would_take_them(chain: str, rule: str, option: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        check_hooks('tables', 'ipv4', declared_from({'mangle': {chain: ['-j ACCEPT', rule]}}))
    assert str(caught.value) == "tables: ipv4, table mangle, chain %s, rule 2: %s: Can't use %s with %s. Nothing has changed" % (
        chain, rule, option, chain)


@pytest.mark.parametrize(('chain', 'rule'), [
    ('INPUT', '-i eth0'), ('FORWARD', '-i a -o b'), ('OUTPUT', '-o eth0'), ('WEB', '-o eth0'),
    ('INPUT', '-m comment --comment "-only ssh" -j ACCEPT'), ('OUTPUT', '-m comment --comment -i'),
])
def test_interfaces_that_a_hook_has_are_not(chain: str, rule: str) -> None:
    check_hooks('tables', 'ipv4', declared_from({'mangle': {chain: [rule]}}))
