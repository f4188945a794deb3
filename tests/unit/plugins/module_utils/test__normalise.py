# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How rules get to the kernel's spelling: which way is taken when, what a rehearsal brings along, how a bad rule is found."""
from __future__ import annotations

from typing import Any, Dict, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership
from ansible_collections.palisade.netfilter.plugins.module_utils._host import NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._normalise import Normalised, Normaliser
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

SPELLED = ['-p tcp --dport 80 --jump ACCEPT']
SAVED = ['-p tcp -m tcp --dport 80 -j ACCEPT']


def normalise(host: MemoryHost, tables: Dict[str, Any], *, mode: str = 'auto', check_mode: bool = False, scope: str = 'chains') -> Normalised:
    normaliser = Normaliser(host, Ownership('palisade', scope), mode=mode, check_mode=check_mode, option='tables')
    declared = declare_tables(tables, ['ipv4'], {}).declared
    with host.lock():
        return normaliser.normalise('ipv4', declared['ipv4'], host.live('ipv4'), declared)


def rules(normalised: Normalised) -> List[str]:
    return normalised.canonical['filter']['INPUT']


@pytest.mark.parametrize(('mode', 'may_unshare', 'check_mode', 'how', 'found'), [
    ('auto', True, False, 'namespace', SAVED),
    ('auto', True, True, 'namespace', SAVED),
    ('auto', False, False, 'scratch', SAVED),
    ('auto', False, True, 'text', SPELLED),
    ('namespace', True, False, 'namespace', SAVED),
    ('namespace', True, True, 'namespace', SAVED),
    ('scratch', True, False, 'scratch', SAVED),
    ('scratch', False, True, 'scratch', SAVED),
    ('none', True, False, 'text', SPELLED),
    ('none', True, True, 'text', SPELLED),
])
def test_the_way_by_option_and_what_the_host_permits(mode: str, may_unshare: bool, check_mode: bool, how: str, found: List[str]) -> None:
    host = MemoryHost(may_unshare=may_unshare)
    normalised = normalise(host, {'filter': {'INPUT': SPELLED}}, mode=mode, check_mode=check_mode)
    assert normalised.how == how
    assert rules(normalised) == found
    assert bool(normalised.warnings) is (how == 'text' and mode == 'auto')


@pytest.mark.parametrize('check_mode', [True, False])
def test_a_namespace_that_was_asked_for_by_name_is_not_replaced(check_mode: bool) -> None:
    with pytest.raises(NotPermittedError):
        normalise(MemoryHost(may_unshare=False), {'filter': {'INPUT': SPELLED}}, mode='namespace', check_mode=check_mode)


@pytest.mark.parametrize('mode', ['auto', 'namespace', 'scratch', 'none'])
def test_what_is_live_already_is_not_rehearsed(mode: str) -> None:
    host = MemoryHost()
    host.put('ipv4', '*filter\n:palisade-INPUT - [0:0]\n-A palisade-INPUT %s\nCOMMIT\n' % SAVED[0])
    assert normalise(host, {'filter': {'INPUT': SAVED}}, mode=mode).how == 'none'
    assert host.calls == ['save ipv4']


def test_a_scratch_leaves_nothing_behind_and_brings_newer_counters() -> None:
    host = MemoryHost(may_unshare=False)
    host.put('ipv4', '*filter\n[1:2] -A INPUT -j ACCEPT\nCOMMIT\n')

    def packet_comes(_number: int, _family: str, _text: str) -> None:
        host.kernels['ipv4'].tables['filter']['INPUT'].rules[0] = ('[9:18]', '-j ACCEPT')

    host.after = packet_comes
    normalised = normalise(host, {'filter': {'INPUT': SPELLED}})
    assert normalised.live['filter']['INPUT'].counters == ['[9:18]']
    assert list(normalised.live['filter']) == ['INPUT', 'FORWARD', 'OUTPUT']


@pytest.mark.parametrize('rule', ['--bogus', '-m comment --comment refused-at-commit'])
def test_a_scratch_leaves_nothing_behind_when_it_fails_either(rule: str) -> None:
    host = MemoryHost(may_unshare=False)
    before = host.saved()
    with pytest.raises(PalisadeError, match='rule 2'):
        normalise(host, {'nat': {'OUTPUT': ['-j ACCEPT']}, 'filter': {'INPUT': ['-j ACCEPT', rule]}})
    assert not any('~' in chain for table in host.kernels['ipv4'].tables.values() for chain in table)
    host.kernels['ipv4'].tables.clear()
    assert host.saved() == before


def test_scratch_chains_that_cannot_be_removed_are_an_error() -> None:
    host = MemoryHost(may_unshare=False)
    host.before = lambda number, _family, _text: Result(4, '', 'iptables-restore: line 2 failed\n') if number == 2 else None
    with pytest.raises(PalisadeError, match='ipv4: the scratch chains could not be removed: iptables-restore: '):
        normalise(host, {'filter': {'INPUT': SPELLED}})


def test_interfaces_that_a_hook_does_not_have_are_refused_ahead_of_a_scratch() -> None:
    host = MemoryHost(may_unshare=False)
    with pytest.raises(PalisadeError, match="Can't use -o with INPUT"):
        normalise(host, {'filter': {'INPUT': ['-o eth0 -j DROP']}})
    assert host.kernels['ipv4'].tables == {}


def test_a_rehearsal_brings_along_what_rules_name() -> None:
    host = MemoryHost()
    rules_of_sets = ['-m set --match-set four src -j DROP', '-m nfacct --nfacct-name web']
    normalise(host, {'filter': {'INPUT': rules_of_sets}, 'raw': {'OUTPUT': ['-j ACCEPT --timeout idle']}})
    assert host.prepared == ['create set four', 'create account web', 'create timeout idle']


@pytest.mark.parametrize(('rule', 'saved'), [
    ('-j f2b-sshd', '-j f2b-sshd'), ('-jf2b-sshd', '-j f2b-sshd'), ('--jump=f2b-sshd', '-j f2b-sshd'), ('--goto f2b-sshd', '-g f2b-sshd'),
    ('-j "f2b-sshd"', '-j f2b-sshd'), ('-m comment --comment x --jump f2b-sshd', '-m comment --comment x -j f2b-sshd'),
])
def test_other_peoples_chains_can_be_jumped_to_in_every_spelling(rule: str, saved: str) -> None:
    host = MemoryHost()
    host.put('ipv4', '*filter\n:f2b-sshd - [0:0]\nCOMMIT\n')
    assert rules(normalise(host, {'filter': {'INPUT': [rule]}})) == [saved]


def test_but_not_those_of_another_table_nor_any_in_a_clean_slate() -> None:
    host = MemoryHost()
    host.put('ipv4', '*filter\n:f2b-sshd - [0:0]\nCOMMIT\n')
    with pytest.raises(PalisadeError, match="Couldn't load target `f2b-sshd'"):
        normalise(host, {'nat': {'INPUT': ['-j f2b-sshd']}})
    with pytest.raises(PalisadeError, match="Couldn't load target `f2b-sshd'"):
        normalise(host, {'filter': {'INPUT': ['-j f2b-sshd']}}, scope='tables')


@pytest.mark.parametrize('place', [1, 2, 3, 500, 999, 1000])
def test_a_rule_without_a_line_number_is_found_in_few_attempts(place: int) -> None:
    host = MemoryHost()
    written = ['-p tcp --dport %d -j ACCEPT' % number for number in range(1000)]
    written[place - 1] = '-m comment --comment refused-at-commit -j ACCEPT'
    with pytest.raises(PalisadeError, match='tables: ipv4, table filter, chain INPUT, rule %d: ' % place):
        normalise(host, {'filter': {'INPUT': written}})
    assert len(host.calls) <= 2 + 10 + 1


def test_a_rule_that_iptables_names_by_its_line_is_found_at_once() -> None:
    host = MemoryHost()
    written = ['-p tcp --dport %d -j ACCEPT' % number for number in range(1000)]
    written[700] = '--bogus'
    with pytest.raises(PalisadeError, match='tables: ipv4, table filter, chain INPUT, rule 701: --bogus: '):
        normalise(host, {'filter': {'INPUT': written}})
    assert host.calls == ['save ipv4', 'rehearse ipv4']


def test_an_error_that_is_no_rules_fault_names_none() -> None:
    host = MemoryHost()
    host.cannot_run = 'iptables-restore: Permission denied (you must be root)'
    with pytest.raises(PalisadeError) as caught:
        normalise(host, {'filter': {'INPUT': SPELLED}})
    assert str(caught.value) == 'tables: ipv4: iptables-restore: Permission denied (you must be root). Nothing has changed'
