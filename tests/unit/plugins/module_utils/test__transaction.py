# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs on a fake host: apply, again, check, absent, failures and kills at every step, other people's rules, two families."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import LONGEST_PLAN, Request, run_ruleset
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import KilledError, MemoryHost
from ansible_collections.palisade.netfilter.tests.unit.support.memory_kernel import HOOKS
from hypothesis import given
from hypothesis import strategies as st

WEB: Dict[str, Any] = {
    'filter': {
        'INPUT': {'policy': 'DROP', 'rules': [
            '-i lo -j ACCEPT', '-p tcp --dport 80 --jump WEB', '-s 10.0.0.0/8 -j ACCEPT', '-s fe80::/10 -j ACCEPT']},
        'WEB': ['-m comment --comment "the web" -j ACCEPT'],
    },
    'nat': {'POSTROUTING': ['-4 -o wan0 -j MASQUERADE']},
}
FOREIGN = '''*filter
:f2b-sshd - [0:0]
[5:50] -A f2b-sshd -s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable
[6:60] -A f2b-sshd -j RETURN
[7:70] -A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd
COMMIT
*nat
:DOCKER - [0:0]
[8:80] -A POSTROUTING -o docker0 -j MASQUERADE
COMMIT
'''


def request(**options: Any) -> Request:
    """A request with the module's defaults."""
    defaults: Dict[str, Any] = {
        'name': 'palisade', 'state': 'present', 'scope': 'chains', 'families': ['ipv4', 'ipv6'], 'rehearsal': 'auto', 'foreign': 'warn',
        'check_mode': False, 'diff_mode': True}
    return Request(**{**defaults, **options})


def run(host: MemoryHost, tables: Optional[Dict[str, Any]] = None, **options: Any) -> Dict[str, Any]:
    if 'content' not in options and options.get('state') != 'absent':
        options['tables'] = WEB if tables is None else tables
    return run_ruleset(request(**options), host)


def host_with(text: str = FOREIGN, **options: Any) -> MemoryHost:
    host = MemoryHost(**options)
    host.put('ipv4', text)
    return host


def restores(host: MemoryHost) -> List[str]:
    return [call for call in host.calls if call.startswith('restore')]


def comparable(host: MemoryHost) -> Dict[str, Any]:
    """Everything live as data; a table that is not there holds empty open hooks. Counters of other people's rules only."""
    return {family: {table: {name: (chain.policy, [(counter if not name.startswith('palisade') else '', rule) for counter, rule in chain.rules])
                             for name, chain in kernel.tables.get(table, {}).items()} or {hook: ('ACCEPT', []) for hook in HOOKS[table]}
                     for table in HOOKS}
            for family, kernel in host.kernels.items()}


# The usual way

def test_the_first_apply_puts_everything_where_it_belongs() -> None:
    host = host_with()
    result = run(host)
    assert result['changed']
    assert result['rehearsal'] == 'namespace'
    assert result['exact']
    assert result['backend'] == 'nft'
    assert result['warnings'] == []
    assert host.rules('ipv4', 'filter', 'palisade-INPUT') == [
        '-i lo -j ACCEPT', '-p tcp -m tcp --dport 80 -j palisade-WEB', '-s 10.0.0.0/8 -j ACCEPT']
    assert host.rules('ipv6', 'filter', 'palisade-INPUT') == [
        '-i lo -j ACCEPT', '-p tcp -m tcp --dport 80 -j palisade-WEB', '-s fe80::/10 -j ACCEPT']
    assert host.rules('ipv4', 'filter', 'INPUT') == [
        '-p tcp -m tcp --dport 22 -j f2b-sshd', '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT']
    assert host.rules('ipv4', 'nat', 'POSTROUTING')[0] == '-m comment --comment palisade -j palisade-POSTROUTING'
    assert host.rules('ipv6', 'nat', 'palisade-POSTROUTING') == []
    assert host.kernels['ipv6'].tables['filter']['INPUT'].policy == 'DROP'
    assert not host.interrupted('palisade')


def test_the_second_run_changes_nothing_whatever_the_spelling() -> None:
    host = host_with()
    run(host)
    before = host.saved()
    host.calls.clear()
    result = run(host)
    assert not result['changed']
    assert (result['plan'], result['plan_total'], result['diff']) == ([], 0, [])
    assert host.saved() == before
    assert restores(host) == []


def test_rules_written_as_saved_cost_one_save_for_each_family() -> None:
    host = host_with()
    rules = ['-i lo -j ACCEPT', '-m comment --comment "the web" -j ACCEPT']
    run(host, {'filter': {'INPUT': rules}})
    host.calls.clear()
    result = run(host, {'filter': {'INPUT': rules}})
    assert (result['changed'], result['rehearsal'], result['exact']) == (False, 'none', True)
    assert host.calls == ['save ipv4', 'save ipv6']


def test_check_mode_says_the_same_and_changes_nothing() -> None:
    host, twin = host_with(), host_with()
    before = host.saved()
    checked = run(host, check_mode=True)
    assert host.saved() == before
    assert restores(host) == []
    assert checked == run(twin)


def test_content_and_tables_come_to_the_same() -> None:
    host, twin = host_with(), host_with()
    tables = {**WEB, 'nat': {'POSTROUTING': ['-o wan0 -j MASQUERADE']}}
    content = '\n'.join(['*filter', ':INPUT DROP [0:0]', ':WEB - [0:0]'] + ['-A INPUT %s' % rule for rule in WEB['filter']['INPUT']['rules']] + [
        '-A WEB -m comment --comment "the web" -j ACCEPT', 'COMMIT', '*nat', '-A POSTROUTING -o wan0 -j MASQUERADE', 'COMMIT', ''])
    assert run(host, content=content) == run(twin, tables)
    assert comparable(host) == comparable(twin)


def test_the_diff_is_made_for_who_asks() -> None:
    assert 'diff' not in run(host_with(), diff_mode=False)
    assert [entry['before_header'] for entry in run(host_with())['diff']] == [
        'ipv4 filter (live)', 'ipv4 nat (live)', 'ipv6 filter (live)', 'ipv6 nat (live)']


def test_a_change_keeps_the_counters_of_what_stays() -> None:
    host = host_with()
    run(host)
    chain = host.kernels['ipv4'].tables['filter']['palisade-INPUT']
    chain.rules = [('[%d:9]' % (index + 1), rule) for index, (_counter, rule) in enumerate(chain.rules)]
    changed = {'filter': {**WEB['filter'], 'INPUT': ['-j LOG'] + WEB['filter']['INPUT']['rules']}, 'nat': WEB['nat']}
    result = run(host, changed)
    assert [(operation['family'], operation['action']) for operation in result['plan'] if operation['chain'] == 'palisade-INPUT'] == [
        ('ipv4', 'insert'), ('ipv6', 'insert')]
    assert [counter for counter, _rule in chain_rules(host)] == ['[0:0]', '[1:9]', '[2:9]', '[3:9]']


def chain_rules(host: MemoryHost) -> Any:
    return host.kernels['ipv4'].tables['filter']['palisade-INPUT'].rules


LONG = ['-s %s/32 -j DROP' % '.'.join(str(part) for part in (10, 0, index // 250, index % 250)) for index in range(3000)]
LONG6 = ['-s 2001:db8::%x/128 -j DROP' % (index + 1) for index in range(3000)]


@pytest.mark.parametrize(('backend', 'family', 'rules', 'rewritten'), [
    ('nft', 'ipv4', LONG, True), ('legacy', 'ipv4', LONG, True), ('legacy', 'ipv6', LONG6, True), ('nft', 'ipv6', LONG6, False),
])
def test_a_long_chain_is_only_written_anew_where_restore_takes_its_counters(backend: str, family: str, rules: List[str], rewritten: bool) -> None:
    host = MemoryHost(backend)
    run(host, {'filter': {'INPUT': rules}}, families=[family])
    texts: List[str] = []
    host.after = lambda _number, _family, text: texts.append(text)
    run(host, {'filter': {'INPUT': rules[700:]}}, families=[family])
    assert ('\n-F palisade-INPUT\n' in texts[0]) is rewritten


def test_counters_that_restore_dropped_are_a_warning() -> None:
    host = MemoryHost()
    tables = {'filter': {'INPUT': ['-j LOG', '-j ACCEPT']}}
    run(host, tables, families=['ipv6'])
    chain = host.kernels['ipv6'].tables['filter']['palisade-INPUT']
    chain.rules = [('[5:50]', rule) for _counter, rule in chain.rules]

    def drop(_number: int, _family: str, _text: str) -> None:
        chain = host.kernels['ipv6'].tables['filter']['palisade-INPUT']
        chain.rules = [('[0:0]', rule) for _counter, rule in chain.rules]

    host.after = drop
    assert run(host, {'filter': {'INPUT': ['-j ACCEPT']}}, families=['ipv6'])['warnings'] == [
        'ipv6: the counters of filter palisade-INPUT start from zero: the chain was written anew, and this ip6tables-restore takes no counters']


def test_tables_that_are_no_longer_declared_are_cleaned_too() -> None:
    host = host_with()
    run(host)
    run(host, {'mangle': {'OUTPUT': ['-j ACCEPT']}})
    assert not any(chain.startswith('palisade') for table in ('filter', 'nat') for chain in host.kernels['ipv4'].tables[table])
    assert host.rules('ipv4', 'mangle', 'palisade-OUTPUT') == ['-j ACCEPT']


def test_absent_leaves_the_host_as_it_was() -> None:
    host = host_with()
    before = comparable(host)
    run(host)
    assert run(host, state='absent')['changed']
    assert comparable(host) == before
    assert not run(host, state='absent')['changed']


def test_two_rulesets_live_side_by_side() -> None:
    host = host_with()
    run(host, name='one')
    before = host.rules('ipv4', 'filter', 'one-INPUT')
    result = run(host, {'filter': {'INPUT': ['-j DROP']}}, name='two')
    assert result['warnings'] == []
    assert host.rules('ipv4', 'filter', 'one-INPUT') == before
    run(host, name='one', state='absent')
    assert host.rules('ipv4', 'filter', 'two-INPUT') == ['-j DROP']


def test_a_long_plan_is_counted_whole_and_listed_in_part() -> None:
    rules = ['-s 10.0.%d.%d/32 -j DROP' % (index // 250, index % 250) for index in range(3 * LONGEST_PLAN)]
    result = run(host_with(), {'filter': {'INPUT': rules}})
    assert result['plan_total'] == len(rules) + 2 + 2
    assert len(result['plan']) == LONGEST_PLAN


def test_results_are_data_that_json_can_carry() -> None:
    result = run(host_with())
    rules = [operation for operation in result['plan'] if operation['action'] in ('append', 'insert')]
    chains = [operation for operation in result['plan'] if operation['action'] == 'create_chain']
    assert rules and all(set(operation) == {'family', 'table', 'chain', 'action', 'position', 'rule'} for operation in rules)
    assert chains and all(set(operation) == {'family', 'table', 'chain', 'action'} for operation in chains)


RULE = st.sampled_from(['-j ACCEPT', '-p tcp --dport 80 -j WEB', '-jWEB', '-s 10.0.0.1,10.0.0.2 -j DROP', '--source fe80::1 -j DROP', '-4 -j LOG',
                        '-p all -j ACCEPT', '-m comment --comment "a b" --jump DROP', '-i lo', ''])
TABLES = st.fixed_dictionaries({'filter': st.fixed_dictionaries({
    'INPUT': st.fixed_dictionaries({'policy': st.sampled_from(['ACCEPT', 'DROP']), 'rules': st.lists(RULE, max_size=5)}),
    'WEB': st.lists(st.sampled_from(['-j ACCEPT', '-p tcp --dport 443 -j RETURN']), max_size=2)})})


@given(first=TABLES, then=TABLES, may_unshare=st.booleans())
def test_whatever_is_declared_the_second_run_is_unchanged_and_absent_takes_it_all_back(first: Any, then: Any, may_unshare: bool) -> None:
    host = host_with(may_unshare=may_unshare)
    before = comparable(host)
    for tables in (first, then):
        run(host, tables)
        saved = host.saved()
        assert not run(host, tables)['changed']
        assert host.saved() == saved
    run(host, state='absent')
    assert comparable(host) == before


# Refusals: nothing has changed

@pytest.mark.parametrize(('rule', 'reason'), [
    ('-j ACCEPT --bogus x', 'unknown option "--bogus"'),
    ('-s nowhere.example.org -j ACCEPT', "host/network `nowhere.example.org' not found"),
    ('-j NOWHERE', "Couldn't load target `NOWHERE'"),
    ('-m comment --comment refused-at-commit -j ACCEPT', 'Invalid argument'),
    ('-m comment --comment never-arrives -j ACCEPT', 'iptables took the rule without an error and did not load it'),
])
@pytest.mark.parametrize('may_unshare', [True, False], ids=['namespace', 'scratch'])
@pytest.mark.parametrize('place', [0, 2, 3])
def test_a_bad_rule_is_named_with_iptables_own_words(rule: str, reason: str, may_unshare: bool, place: int) -> None:
    host = host_with(may_unshare=may_unshare)
    before = host.saved()
    rules = ['-i lo -j ACCEPT', '-p tcp --dport 80 -j ACCEPT', '-p udp -j DROP']
    rules.insert(place, rule)
    with pytest.raises(PalisadeError) as caught:
        run(host, {'filter': {'OUTPUT': ['-j LOG', '-j LOG'], 'INPUT': rules, 'FORWARD': ['-j LOG']}}, families=['ipv4'])
    assert str(caught.value).startswith('tables: ipv4, table filter, chain INPUT, rule %d: %s: ' % (place + 1, rule))
    assert reason in str(caught.value)
    assert str(caught.value).endswith('. Nothing has changed')
    assert host.saved() == before


def test_a_bad_rule_in_content_is_named_by_its_line() -> None:
    with pytest.raises(PalisadeError, match=r'content: ipv6, table nat, chain OUTPUT, rule 1 \(line 4\): --bogus: '):
        run(host_with(), content='*filter\nCOMMIT\n*nat\n-A OUTPUT --bogus\nCOMMIT\n', families=['ipv6'])


@pytest.mark.parametrize(('rule', 'refusing', 'hint'), [
    ('-m comment --comment x -j ACCEPT -s six.example.org', 'ipv4', 'ipv6 loads this rule: write -6 in front of it if it is for ipv6 only'),
    ('-m comment --comment x -j ACCEPT -s four.example.org', 'ipv6', 'ipv4 loads this rule: write -4 in front of it if it is for ipv4 only'),
])
def test_a_rule_that_one_family_refuses_comes_with_a_hint(rule: str, refusing: str, hint: str) -> None:
    host = host_with()
    host.names = {'four.example.org': ['192.0.2.1'], 'six.example.org': ['2001:db8::1']}
    before = host.saved()
    with pytest.raises(PalisadeError) as caught:
        run(host, {'filter': {'INPUT': ['-j LOG', rule]}})
    assert str(caught.value).startswith('tables: %s, table filter, chain INPUT, rule 2: ' % refusing)
    assert hint in str(caught.value)
    assert host.saved() == before


@pytest.mark.parametrize('rule', ['-4 --bogus', '-6 --bogus', '--bogus'])
def test_a_rule_that_is_bad_for_all_families_comes_without_a_hint(rule: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        run(host_with(), {'filter': {'INPUT': [rule]}})
    assert str(caught.value).endswith('unknown option "--bogus". Nothing has changed')


def test_a_hook_that_others_use_in_one_family_still_gives_a_plain_error() -> None:
    host = host_with('*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n')
    with pytest.raises(PalisadeError, match='tables: ipv4, table filter, chain FORWARD, rule 1: --bogus'):
        run(host, {'filter': {'FORWARD': {'policy': 'DROP', 'rules': ['--bogus'], 'only_if_unused': True}}})


def test_the_last_tables_error_stops_the_first_ones_change() -> None:
    host = host_with()
    before = host.saved()
    with pytest.raises(PalisadeError, match='table nat, chain POSTROUTING, rule 1'):
        run(host, {**WEB, 'nat': {'POSTROUTING': ['--bogus']}})
    assert host.saved() == before


@pytest.mark.parametrize(('options', 'message'), [
    ({'state': 'absent', 'scope': 'tables'}, 'state: absent needs scope: chains'),
    ({'name': 'f2b'}, 'name: f2b is the prefix of another program'),
    ({'rehearsal': 'namespace'}, 'no network namespace can be made here'),
])
def test_requests_that_cannot_be_met(options: Dict[str, Any], message: str) -> None:
    host = host_with(may_unshare=False)
    before = host.saved()
    with pytest.raises(PalisadeError, match=message):
        run(host, **options)
    assert host.saved() == before


@pytest.mark.parametrize(('backend', 'may_unshare'), [('nft', True), ('nft', False), ('legacy', False)])
def test_a_circle_of_jumps_is_refused_before_anything_changes(backend: str, may_unshare: bool) -> None:
    host = host_with(backend=backend, may_unshare=may_unshare)
    host.put('ipv6', '*filter\nCOMMIT\n')
    before = host.saved()
    with pytest.raises(PalisadeError, match='lead back to it: palisade-A -> palisade-B -> palisade-A'):
        run(host, {'filter': {'INPUT': ['-j A'], 'A': ['-j B'], 'B': ['-j A']}})
    assert host.saved() == before


def test_a_name_too_long_for_our_prefix_is_refused_before_anything_changes() -> None:
    host = host_with()
    before = host.saved()
    with pytest.raises(PalisadeError, match='19 are left for the name'):
        run(host, {'filter': {'INPUT': [], 'N' * 20: []}})
    assert host.saved() == before


def test_another_run_holds_the_lock() -> None:
    host = host_with()
    host.busy = True
    before = host.saved()
    with pytest.raises(PalisadeError, match='another run holds the lock'):
        run(host)
    assert host.saved() == before


# Failures while applying: everything goes back

def fail_at(host: MemoryHost, failing: int, status: int = 4) -> None:
    def before(number: int, _family: str, _text: str) -> Optional[Result]:
        return Result(status, '', 'iptables-restore: line 3 failed\n') if number == failing else None

    host.before = before


@pytest.mark.parametrize('failing', [1, 2])
def test_a_failed_restore_puts_both_families_back(failing: int) -> None:
    host = host_with()
    before = comparable(host)
    fail_at(host, failing)
    with pytest.raises(PalisadeError) as caught:
        run(host)
    assert 'ipv%d: the kernel refused what had been rehearsed: ' % (4 if failing == 1 else 6) in str(caught.value)
    assert str(caught.value).endswith('all tables of all families are back as they were')
    assert comparable(host) == before
    assert not host.interrupted('palisade')


def test_a_table_that_went_through_before_the_failing_one_goes_back_too() -> None:
    host = host_with()
    before = comparable(host)

    def half(number: int, family: str, text: str) -> Optional[Result]:
        if number != 1:
            return None
        host.put(family, text[:text.index('*nat')])
        return Result(2, '', 'iptables-restore: line 12 failed\n')

    host.before = half
    with pytest.raises(PalisadeError, match='all tables of all families are back as they were'):
        run(host)
    assert comparable(host) == before


def test_rules_that_arrive_otherwise_than_sent_are_shown_and_taken_back() -> None:
    host = host_with()
    before = comparable(host)

    def meddle(number: int, family: str, _text: str) -> None:
        if number == 2:
            host.put('ipv4', '*filter\n-A palisade-INPUT -j LOG\nCOMMIT\n')

    host.after = meddle
    with pytest.raises(PalisadeError) as caught:
        run(host)
    assert 'ipv4: what was read back is not what was sent:' in str(caught.value)
    assert '\n--A palisade-INPUT -j LOG\n' in str(caught.value)
    assert comparable(host) == before


def test_if_even_the_way_back_fails_both_are_told_and_the_next_run_repairs() -> None:
    host = host_with()

    def failing(number: int, _family: str, _text: str) -> Optional[Result]:
        return Result(4, '', 'iptables-restore: line 3 failed\n') if number >= 2 else None

    host.before = failing
    with pytest.raises(PalisadeError) as caught:
        run(host)
    assert 'and putting back what was there failed too: ipv4: ' in str(caught.value)
    assert '--N palisade-WEB' in str(caught.value)
    assert host.interrupted('palisade')
    host.before = None
    result = run(host)
    assert 'was killed while it applied' in result['warnings'][0]
    assert not host.interrupted('palisade')
    assert not run(host)['changed']


# Kills

@pytest.mark.parametrize('may_unshare', [True, False], ids=['namespace', 'scratch'])
@pytest.mark.parametrize('when', ['before', 'after'])
@pytest.mark.parametrize('killed', range(1, 9))
def test_killed_at_any_restore_each_table_is_old_or_new_and_the_next_run_makes_them_one(may_unshare: bool, when: str, killed: int) -> None:
    tables = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-m conntrack --ctstate ESTABLISHED -j ACCEPT', '--jump ACCEPT']}},
              'nat': {'OUTPUT': ['-p tcp --dport 80 -j ACCEPT']}}
    untouched, finished, host = (host_with(may_unshare=may_unshare) for _twin in range(3))
    run(finished, tables)

    def kill(number: int, _family: str, _text: str) -> None:
        if number == killed:
            raise KilledError

    if when == 'before':
        host.before = kill
    else:
        host.after = kill
    expected = len(restores(finished))
    if killed > expected:
        assert run(host, tables)['changed']
        assert comparable(host) == comparable(finished)
        return
    with pytest.raises(KilledError):
        run(host, tables)
    for family in ('ipv4', 'ipv6'):
        for table in HOOKS:
            now = without_scratch(comparable(host)[family][table])
            assert now in (comparable(untouched)[family][table], comparable(finished)[family][table])
    was_applying = host.interrupted('palisade')
    host.before = host.after = None
    result = run(host, tables)
    assert comparable(host) == comparable(finished)
    assert any('was killed while it applied' in warning for warning in result['warnings']) is was_applying
    assert not run(host, tables)['changed']
    assert not host.interrupted('palisade')


def without_scratch(chains: Dict[str, Any]) -> Dict[str, Any]:
    return {name: chain for name, chain in chains.items() if not name.startswith('palisade~')}


def test_a_killed_run_is_mentioned_in_check_mode_and_stays_noted() -> None:
    host = host_with()
    host.begin('palisade')
    assert 'a real run makes them one again' in run(host, check_mode=True)['warnings'][0]
    assert host.interrupted('palisade')
    host.begin('other')
    run(host)
    assert host.interrupted('other')


# Connection tracking

STATEFUL = {'filter': {'INPUT': ['-m conntrack --ctstate ESTABLISHED -j ACCEPT']}}


@pytest.mark.parametrize('remote', [True, False])
def test_tracking_is_switched_on_ahead_and_the_connection_passes_once(remote: bool) -> None:
    host = MemoryHost()
    host.is_remote = remote
    run(host, STATEFUL)
    changes = [call for call in host.calls if not call.startswith(('save', 'rehearse'))]
    passing = ['let the connection pass'] if remote else []
    assert changes == ['restore ipv4', 'restore ipv6'] + passing + ['restore ipv4', 'restore ipv6']
    assert not any('~' in name for kernel in host.kernels.values() for table in kernel.tables.values() for name in table)


def test_a_host_that_tracks_already_is_not_primed() -> None:
    host = host_with(FOREIGN + '*filter\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j f2b-sshd\nCOMMIT\n')
    host.put('ipv6', '*raw\n-A OUTPUT -m state --state NEW -j ACCEPT\nCOMMIT\n')
    host.is_remote = True
    run(host, STATEFUL)
    assert [call for call in host.calls if not call.startswith(('save', 'rehearse'))] == ['restore ipv4', 'restore ipv6']


def test_a_left_over_scratch_chain_is_not_in_the_way_of_priming() -> None:
    host = host_with('*filter\n:palisade~0 - [0:0]\n-A palisade~0 -j ACCEPT\nCOMMIT\n')
    run(host, STATEFUL)
    assert host.rules('ipv4', 'filter', 'palisade-INPUT') == STATEFUL['filter']['INPUT']
    assert not any('~' in name for table in host.kernels['ipv4'].tables.values() for name in table)


def test_if_priming_fails_nothing_changes() -> None:
    host = MemoryHost()
    before = comparable(host)
    fail_at(host, 2)
    with pytest.raises(PalisadeError, match='ipv6: connection tracking could not be switched on'):
        run(host, STATEFUL)
    assert comparable(host) == before


# Families

def test_a_family_that_the_kernel_lacks_is_skipped_and_its_rules_do_not_go_to_the_other() -> None:
    host = host_with(families=['ipv4'])
    result = run(host)
    assert result['warnings'] == ['ipv6 is skipped: the kernel of this host does not have it']
    assert {operation['family'] for operation in result['plan']} == {'ipv4'}
    assert not any('fe80' in rule for rule in host.rules('ipv4', 'filter', 'palisade-INPUT'))
    assert host.kernels['ipv6'].tables == {}


def test_a_set_sends_its_rule_to_its_own_family() -> None:
    host = host_with()
    host.sets = {'four': 'ipv4'}
    run(host, {'filter': {'INPUT': ['-m set --match-set four src -j DROP']}})
    assert len(host.rules('ipv4', 'filter', 'palisade-INPUT')) == 1
    assert host.rules('ipv6', 'filter', 'palisade-INPUT') == []
    assert host.prepared == ['create set four']


def test_a_rule_left_out_for_its_family_is_a_warning() -> None:
    result = run(host_with(), {'filter': {'INPUT': ['-6 -j ACCEPT']}}, families=['ipv4'])
    assert 'left out, since it is for ipv6' in result['warnings'][0]


# Scratch chains

def test_without_namespaces_scratch_chains_give_the_same_result() -> None:
    host, twin = host_with(may_unshare=False), host_with()
    result = run(host)
    expected = run(twin)
    assert result == {**expected, 'rehearsal': 'scratch'}
    assert comparable(host) == comparable(twin)
    assert not any('~' in name for kernel in host.kernels.values() for table in kernel.tables.values() for name in table)


def test_check_mode_without_namespaces_compares_text_and_says_so() -> None:
    host = host_with(may_unshare=False)
    before = host.saved()
    result = run(host, check_mode=True)
    assert host.saved() == before
    assert (result['rehearsal'], result['exact'], result['changed']) == ('text', False, True)
    assert 'rules are compared as text' in result['warnings'][0]


def test_check_mode_with_scratch_asked_for_by_name_is_exact_and_locked() -> None:
    host = host_with(may_unshare=False)
    before = comparable(host)
    result = run(host, check_mode=True, rehearsal='scratch')
    assert comparable(host) == before
    assert (result['rehearsal'], result['exact']) == ('scratch', True)
    assert restores(host)
    host.busy = True
    with pytest.raises(PalisadeError, match='another run holds the lock'):
        run(host, check_mode=True, rehearsal='scratch')


def test_check_mode_waits_for_nobody() -> None:
    host = host_with()
    host.busy = True
    assert run(host, check_mode=True)['changed']


def test_scratch_chains_of_a_killed_run_go_with_a_warning() -> None:
    host = host_with(FOREIGN + '*nat\n:palisade~3 - [0:0]\n-A palisade~3 -j ACCEPT\nCOMMIT\n')
    result = run(host)
    assert result['warnings'] == ['ipv4: an earlier run was killed and left scratch chains (palisade~…) behind; they go now']
    assert 'palisade~3' not in host.kernels['ipv4'].tables['nat']


def test_text_alone_is_applied_as_written_and_counted() -> None:
    host = host_with()
    result = run(host, {'filter': {'INPUT': ['--jump WEB', '-j ACCEPT'], 'WEB': []}}, rehearsal='none')
    assert (result['rehearsal'], result['exact']) == ('text', False)
    assert host.rules('ipv4', 'filter', 'palisade-INPUT') == ['-j palisade-WEB', '-j ACCEPT']
    assert 'rehearse ipv4' not in host.calls


def test_text_alone_that_does_not_arrive_is_taken_back() -> None:
    host = host_with()
    before = comparable(host)
    with pytest.raises(PalisadeError, match='ipv4: fewer rules arrived than were sent in filter palisade-INPUT'):
        run(host, {'filter': {'INPUT': ['-m comment --comment never-arrives -j ACCEPT']}}, rehearsal='none')
    assert comparable(host) == before


# Other people

HAND_MADE = FOREIGN + '*filter\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n'


@pytest.mark.parametrize(('foreign', 'warned'), [('warn', True), ('keep', False), ('remove', False)])
def test_hand_made_rules_in_a_declared_hook(foreign: str, warned: bool) -> None:
    result = run(host_with(HAND_MADE), foreign=foreign)
    assert bool(result['warnings']) is warned
    assert not warned or result['warnings'][0].endswith('and stay there: filter: -A INPUT -p tcp -j ACCEPT')


def test_hand_made_rules_may_stop_the_run() -> None:
    host = host_with(HAND_MADE)
    before = host.saved()
    with pytest.raises(PalisadeError, match='filter: -A INPUT -p tcp -j ACCEPT; move them into the declaration'):
        run(host, foreign='refuse')
    assert host.saved() == before


def test_a_long_list_of_hand_made_rules_is_cut() -> None:
    host = host_with('*filter\n%s\nCOMMIT\n' % '\n'.join('-A INPUT -s 192.0.2.%d -j ACCEPT' % number for number in range(13)))
    warning, = run(host, {'filter': {'INPUT': []}})['warnings']
    assert warning.endswith('-A INPUT -s 192.0.2.9/32 -j ACCEPT and 3 more')


def test_rules_behind_our_final_drop_are_a_warning() -> None:
    host = host_with()
    tables = {'filter': {'INPUT': ['-i lo -j ACCEPT', '-j DROP']}}
    run(host, tables)
    host.put('ipv4', '*filter\n-A INPUT -p tcp -j f2b-sshd\nCOMMIT\n')
    assert run(host, tables)['warnings'] == [
        'ipv4: rules of others stand behind our final drop or reject and are never reached: filter: -A INPUT -p tcp -j f2b-sshd']


def test_our_rules_may_jump_to_other_peoples_chains() -> None:
    host = host_with()
    run(host, {'filter': {'INPUT': ['-jf2b-sshd']}}, families=['ipv4'])
    assert host.rules('ipv4', 'filter', 'palisade-INPUT') == ['-j f2b-sshd']


def test_a_hook_that_somebody_uses_is_left_alone_if_asked() -> None:
    host = host_with(FOREIGN + '*filter\n-A FORWARD -i docker0 -j ACCEPT\nCOMMIT\n')
    run(host, {'filter': {'FORWARD': {'policy': 'DROP', 'only_if_unused': True}}})
    assert host.kernels['ipv4'].tables['filter']['FORWARD'].policy == 'ACCEPT'
    assert host.kernels['ipv6'].tables['filter']['FORWARD'].policy == 'DROP'


# Scope tables

def test_a_clean_slate_keeps_nothing_else_in_declared_tables() -> None:
    host = host_with('*filter\n:OLD - [0:0]\n-A INPUT -j ACCEPT\n-A OUTPUT -j OLD\nCOMMIT\n*mangle\n-A INPUT -j ACCEPT\nCOMMIT\n')
    tables = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['--jump=WEB']}, 'WEB': ['-j ACCEPT']}}
    assert run(host, tables, scope='tables')['warnings'] == []
    assert {name: host.rules('ipv4', 'filter', name) for name in host.kernels['ipv4'].tables['filter']} == {
        'INPUT': ['-j WEB'], 'FORWARD': [], 'OUTPUT': [], 'WEB': ['-j ACCEPT']}
    assert host.rules('ipv4', 'mangle', 'INPUT') == ['-j ACCEPT']
    assert not run(host, tables, scope='tables')['changed']


def test_a_clean_slate_stops_at_other_programs_chains_unless_told() -> None:
    host = host_with()
    before = host.saved()
    with pytest.raises(PalisadeError) as caught:
        run(host, {'filter': {'INPUT': []}}, scope='tables')
    assert str(caught.value) == (
        'scope: tables would remove chains of other programs (ipv4): filter f2b-sshd (fail2ban); foreign: remove allows it')
    assert host.saved() == before
    run(host, {'filter': {'INPUT': []}}, scope='tables', foreign='remove')
    assert 'f2b-sshd' not in host.kernels['ipv4'].tables['filter']


def test_a_failed_clean_slate_puts_other_peoples_rules_back_with_their_counters() -> None:
    host = host_with()
    before = comparable(host)
    fail_at(host, 2)
    with pytest.raises(PalisadeError, match='back as they were'):
        run(host, {'filter': {'INPUT': ['-j DROP']}, 'nat': {}}, scope='tables', foreign='remove')
    assert comparable(host) == before


# Global names

def test_a_global_target_is_applied_and_unchanged_the_second_time() -> None:
    host = host_with()
    tables = {'filter': {'INPUT': ['-p tcp --dport 22 -j IDLETIMER --label ssh --timeout 60']}}
    run(host, tables)
    assert host.rules('ipv4', 'filter', 'palisade-INPUT') == ['-p tcp -m tcp --dport 22 -j IDLETIMER --timeout 60 --label ssh']
    assert not run(host, tables)['changed']


# A host that a boot without iptables has closed through nft

def test_what_closed_the_host_goes_with_the_first_run_and_not_in_check_mode() -> None:
    host = host_with()
    host.closed = ['ip', 'ip6']
    foreseen = run(host, check_mode=True)
    assert (host.closed, foreseen['changed']) == (['ip', 'ip6'], True)
    result = run(host)
    assert host.closed == []
    assert [entry['prepared'].count('palisade-closed') for entry in (foreseen['diff'][-1], result['diff'][-1])] == [2, 2]
    assert not run(host)['changed']


def test_only_families_that_are_asked_for_are_opened() -> None:
    host = host_with()
    host.closed = ['ip', 'ip6']
    run(host, {'filter': {'INPUT': ['-i lo -j ACCEPT']}}, families=['ipv6'])
    assert host.closed == ['ip']


def test_a_run_that_fails_leaves_the_host_closed() -> None:
    host = host_with()
    host.closed = ['ip']
    host.before = lambda number, family, text: Result(1, '', 'no') if number == 2 else None
    with pytest.raises(PalisadeError):
        run(host)
    assert host.closed == ['ip']


def test_persisted_rulesets_that_this_run_does_not_load_keep_it_closed() -> None:
    host = host_with()
    host.closed = ['ip']
    host.files['/etc/palisade/lab.rules'] = ''
    result = run(host)
    assert host.closed == ['ip']
    assert any('`palisade-firewall boot` loads them all' in warning for warning in result['warnings'])
    assert 'palisade-closed' not in str(result['diff'])
