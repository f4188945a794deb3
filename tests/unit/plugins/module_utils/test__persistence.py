# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs with persist on a fake host: what is written when, what is repaired, kills and failures at every step."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import read
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Request, run_ruleset
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import KilledError, MemoryHost

OLD: Dict[str, Any] = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT', '-p tcp --dport 22 -j ACCEPT']}}}
NEW: Dict[str, Any] = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT', '-p tcp --dport 443 -j ACCEPT']}}}
ETC = '/etc/palisade/palisade.'
RULES, GOOD, PREVIOUS, CLOSED = [ETC + kind for kind in ('rules', 'good', 'previous', 'closed')]
MODULES = '/etc/modules-load.d/palisade-firewall.conf'


def run(host: MemoryHost, tables: Optional[Dict[str, Any]] = None, **options: Any) -> Dict[str, Any]:
    defaults: Dict[str, Any] = {
        'name': 'palisade', 'state': 'present', 'scope': 'chains', 'families': ['ipv4', 'ipv6'], 'rehearsal': 'auto', 'foreign': 'warn',
        'check_mode': False, 'diff_mode': True, 'persist': True, 'tables': OLD if tables is None else tables}
    return run_ruleset(Request(**{**defaults, **options}), host)


def persisted(**options: Any) -> MemoryHost:
    """Give a host on which OLD is live and persisted."""
    host = MemoryHost(**options)
    run(host)
    return host


def lines(host: MemoryHost, path: str = RULES, family: str = 'ipv4') -> List[str]:
    return list(read(host.files[path], 'palisade').sections[family].lines)


def diff_of(result: Dict[str, Any], path: str) -> str:
    return '\n'.join(entry['prepared'] for entry in result['diff'] if entry['after_header'] == path)


# What is written

def test_nothing_is_written_unless_asked_for() -> None:
    host = MemoryHost()
    result = run(host, persist=False)
    assert host.files == {}
    assert 'boot' not in result


def test_the_first_run_writes_all_but_a_version_before() -> None:
    host = MemoryHost()
    result = run(host)
    assert sorted(host.files) == [CLOSED, GOOD, RULES]
    assert host.files[GOOD] == host.files[RULES]
    assert lines(host) == ['*filter', ':palisade-INPUT - [0:0]', '#hook INPUT last DROP', '-A palisade-INPUT -i lo -j ACCEPT',
                           '-A palisade-INPUT -p tcp -m tcp --dport 22 -j ACCEPT', 'COMMIT']
    assert (result['persisted'], result['boot']) == (RULES, {'unit': 'enabled'})
    assert '2 rules for ipv4, 2 rules for ipv6 (nft)' in diff_of(result, RULES)


def test_the_second_run_leaves_every_byte() -> None:
    host = persisted()
    before = dict(host.files)
    result = run(host)
    assert (result['changed'], result['diff'], host.files) == (False, [], before)


def test_a_changed_rule_changes_live_and_file_and_keeps_the_version_before() -> None:
    host = persisted()
    old = host.files[RULES]
    result = run(host, NEW)
    assert '-p tcp -m tcp --dport 443 -j ACCEPT' in host.rules('ipv4', 'filter', 'palisade-INPUT')
    assert '-A palisade-INPUT -p tcp -m tcp --dport 443 -j ACCEPT' in lines(host)
    assert (host.files[PREVIOUS], host.files[GOOD]) == (old, host.files[RULES])
    assert '\n+-A palisade-INPUT -p tcp -m tcp --dport 443 -j ACCEPT' in diff_of(result, RULES)
    assert 'written' not in diff_of(result, RULES)


def test_check_mode_shows_the_same_and_touches_nothing() -> None:
    host = persisted()
    before = dict(host.files), host.saved()
    foreseen = run(host, NEW, check_mode=True)
    assert (dict(host.files), host.saved()) == before
    assert foreseen['changed']
    assert foreseen['diff'] == run(host, NEW)['diff']


def test_persist_turned_on_later_changes_the_file_alone() -> None:
    host = MemoryHost()
    run(host, persist=False)
    result = run(host)
    assert (result['changed'], result['plan_total']) == (True, 0)
    assert RULES in host.files


def test_a_run_without_persist_warns_where_the_next_boot_brings_other_rules() -> None:
    host = persisted()
    assert run(host, persist=False)['warnings'] == []
    assert 'the next boot loads those' in ' '.join(run(host, NEW, persist=False)['warnings'])


@pytest.mark.parametrize('problem', ['is empty', 'is not there', 'has mode 0644', 'damaged'])
@pytest.mark.parametrize('path', [RULES, GOOD, CLOSED])
def test_damage_is_repaired(path: str, problem: str) -> None:
    host = persisted()
    run(host, NEW)
    before = dict(host.files)
    if problem == 'damaged':
        host.files[path] = host.files[path].replace('lo', 'eth0')
    elif problem == 'is not there':
        del host.files[path]
    else:
        host.distrusted[path] = problem
    result = run(host, NEW)
    assert (result['changed'], result['plan_total']) == (True, 0)
    assert diff_of(result, path)
    assert host.distrusted == {}
    assert read(host.files[path], 'palisade').body() == read(before[path], 'palisade').body()
    assert host.files[GOOD] == host.files[RULES]
    assert host.files[PREVIOUS] == before[PREVIOUS], 'what is damaged is no version before'
    assert not run(host, NEW)['changed']


def test_families_that_are_not_asked_for_now_stay_in_the_file() -> None:
    host = persisted()
    before = lines(host, family='ipv6')
    run(host, NEW, families=['ipv4'])
    assert lines(host, family='ipv6') == before
    assert '-A palisade-INPUT -p tcp -m tcp --dport 443 -j ACCEPT' in lines(host)
    assert read(host.files[RULES], 'palisade').asked == ['ipv4', 'ipv6']
    assert not run(host, NEW, families=['ipv4'])['changed']


def test_a_family_that_the_kernel_lacks_was_asked_for_all_the_same() -> None:
    host = persisted(families=('ipv4',))
    file = read(host.files[RULES], 'palisade')
    assert (file.asked, list(file.sections)) == (['ipv4', 'ipv6'], ['ipv4'])


def test_another_backend_is_another_file() -> None:
    host = persisted()
    host.backend = 'legacy'
    assert run(host)['changed']
    assert read(host.files[RULES], 'palisade').backend == 'legacy'
    assert read(host.files[CLOSED], 'palisade').backend == 'legacy'


def test_legacy_needs_its_modules_named_where_they_are_modules() -> None:
    host = MemoryHost('legacy')
    host.modules = {'ip_tables', 'ip6_tables', 'iptable_filter', 'iptable_nat', 'ip6table_filter'}
    assert '+iptable_filter' in diff_of(run(host), MODULES)
    assert host.files[MODULES].split() == ['ip6_tables', 'ip6table_filter', 'ip_tables', 'iptable_filter']
    assert not run(host)['changed']
    run(host, {'nat': {'POSTROUTING': []}})
    assert host.files[MODULES].split()[-1] == 'iptable_nat'
    run(host, state='absent')
    assert host.files == {}


def test_nft_needs_none() -> None:
    host = MemoryHost()
    host.modules = {'ip_tables', 'iptable_filter'}
    run(host)
    assert MODULES not in host.files


def test_whole_tables_are_closed_as_whole_tables() -> None:
    host = MemoryHost()
    run(host, scope='tables')
    assert lines(host) == ['*filter', ':INPUT DROP [0:0]', '-A INPUT -i lo -j ACCEPT', '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT', 'COMMIT']
    assert {section.scope for section in read(host.files[CLOSED], 'palisade').sections.values()} == {'tables'}
    assert not run(host, scope='tables')['changed']


# The closed fallback

def test_nobody_new_is_let_in_unless_said() -> None:
    host = persisted()
    for family in ('ipv4', 'ipv6'):
        rules = [line for line in lines(host, CLOSED, family) if line.startswith('-A')]
        assert not any('tcp' in rule or rule.endswith('INPUT -j ACCEPT') for rule in rules)
        assert '#hook INPUT last DROP' in lines(host, CLOSED, family)
        assert '#hook FORWARD last DROP' in lines(host, CLOSED, family)
    assert [line.split('--icmpv6-type ')[1][:3] for line in lines(host, CLOSED, 'ipv6') if 'icmpv6-type' in line] == ['134', '135', '136']


def test_the_operator_says_who_is() -> None:
    host = MemoryHost()
    fallback = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT']}}}
    run(host, fallback=fallback)
    assert '-A palisade-INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT' in lines(host, CLOSED)
    assert [line for line in lines(host, CLOSED, 'ipv6') if line.startswith('-A')] == []
    assert not run(host, fallback=fallback)['changed']


def test_a_fallback_that_does_not_load_is_refused_before_anything_changes() -> None:
    host = MemoryHost()
    fallback = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['--unknown']}}}
    with pytest.raises(PalisadeError, match=r'^fallback: ipv4, table filter, chain INPUT, rule 1: --unknown: .*Nothing has changed'):
        run(host, fallback=fallback)
    assert (host.files, [call for call in host.calls if call.startswith('restore')]) == ({}, [])


# What would not load at boot

def test_a_jump_to_a_chain_that_is_not_there_yet_at_boot_is_refused() -> None:
    host = MemoryHost()
    host.put('ipv4', '*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n')
    tables = {'filter': {'FORWARD': ['-j DOCKER-USER']}}
    with pytest.raises(PalisadeError, match=r"chain palisade-FORWARD: the rule '-j DOCKER-USER' leads to DOCKER-USER, another program's chain"):
        run(host, tables, families=['ipv4'])
    assert host.files == {}
    assert run(host, tables, families=['ipv4'], persist=False)['changed']


def test_sets_are_warned_of() -> None:
    host = MemoryHost()
    tables = {'filter': {'INPUT': ['-m set --match-set office src -j ACCEPT']}}
    assert 'ipsets are not persisted: unless something restores office' in ' '.join(run(host, tables)['warnings'])


# Failures and kills

def test_a_read_only_place_is_an_error_before_anything_changes() -> None:
    host = persisted()
    before = dict(host.files), host.saved()
    host.read_only = '/etc'
    for options in ({'tables': NEW}, {'tables': NEW, 'check_mode': True}, {'state': 'absent'}):
        with pytest.raises(PalisadeError, match='is read-only'):
            run(host, **options)
        assert (dict(host.files), host.saved()) == before
    assert not run(host)['changed'], 'nothing to write, nothing to refuse'


class At:
    """Raises at one of the steps, counted from 1."""

    def __init__(self, number: int, error: BaseException) -> None:
        self.left = number
        self.error = error

    def __call__(self, what: str, path: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


STEPS = range(1, 7)


def test_a_change_has_so_many_steps() -> None:
    host = persisted()
    steps: List[str] = []
    host.at_file = lambda what, path: steps.append('%s %s' % (what, path[len(ETC):]))
    run(host, NEW)
    assert steps == ['stage previous', 'stage good', 'stage rules', 'commit previous', 'commit good', 'commit rules']
    assert len(steps) == len(STEPS)


@pytest.mark.parametrize('number', STEPS)
def test_killed_at_any_step_the_rules_are_of_one_version_and_the_next_run_ends_it(number: int) -> None:
    host = persisted()
    old = host.files[RULES]
    host.at_file = At(number, KilledError())
    with pytest.raises(KilledError):
        run(host, NEW)
    assert host.files[RULES] == old
    for path in (GOOD, PREVIOUS):
        assert path not in host.files or read(host.files[path], 'palisade')
    host.at_file = None
    host._locked = False
    result = run(host, NEW)
    assert result['changed']
    assert '-A palisade-INPUT -p tcp -m tcp --dport 443 -j ACCEPT' in lines(host)
    assert (host.files[GOOD], host.files[PREVIOUS]) == (host.files[RULES], old)
    assert not run(host, NEW)['changed']


@pytest.mark.parametrize('number', STEPS)
def test_a_failure_at_any_step_leaves_live_and_file_as_they_were(number: int) -> None:
    host = persisted()
    live, old = host.saved(), host.files[RULES]
    host.at_file = At(number, PalisadeError('no space'))
    with pytest.raises(PalisadeError, match='no space'):
        run(host, NEW)
    assert (host.saved(), host.files[RULES]) == (live, old)
    assert not [path for path in host.files if path.startswith('?')]


def test_rules_that_are_refused_live_are_not_persisted() -> None:
    host = persisted()
    before = dict(host.files)
    host.before = lambda number, family, text: Result(1, '', 'no') if family == 'ipv6' else None
    with pytest.raises(PalisadeError):
        run(host, NEW)
    assert host.files == before


# Away with it

def test_absent_takes_files_unit_and_loader_away() -> None:
    host = persisted()
    run(host, NEW)
    foreseen = run(host, state='absent', check_mode=True)
    assert (host.unit, len(host.files)) == ('enabled', 4)
    result = run(host, state='absent')
    assert (host.unit, host.files) == ('missing', {})
    assert result['diff'] == foreseen['diff']
    assert {entry['after_header'] for entry in result['diff']} >= {RULES, GOOD, PREVIOUS, CLOSED, '/the/unit', '/the/loader'}
    assert not run(host, state='absent')['changed']


def test_another_ruleset_keeps_unit_and_loader() -> None:
    host = persisted()
    run(host, name='web')
    run(host, state='absent')
    assert host.unit == 'enabled'
    assert {path.rpartition('/')[2].partition('.')[0] for path in host.files} == {'web'}
    run(host, name='web', state='absent')
    assert (host.unit, host.files) == ('missing', {})


def test_a_unit_that_was_left_behind_goes_too() -> None:
    host = MemoryHost()
    assert run(host, state='absent')['changed']
    assert host.unit == 'missing'
