# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run proves and when, on which tables, and what it says where it cannot. The packets themselves are in tests/kernel."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _prover
from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError, UnprovedError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import Proved
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._guard import Guarded
from ansible_collections.palisade.netfilter.plugins.module_utils._host import NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._prover import Prospect, Prover
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Proof, Request, run_ruleset
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

FLOW = {'in_interface': 'eth0', 'source': '203.0.113.7', 'port': 22, 'verdict': 'accept'}
FLOW6 = {'in_interface': 'eth0', 'source': '2001:db8::7', 'port': 22, 'verdict': 'accept'}
TABLES = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT']}}}
CONNECTION = Connection('203.0.113.7', 40022, '192.0.2.1', 22)
CONNECTION6 = Connection('2001:db8::7', 40022, '2001:db8::1', 22)


class RigMemory(MemoryHost):
    """A fake host that also says what is around it. The proofs themselves are replaced."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.native: List[str] = []

    def surroundings(self) -> Surroundings:
        self.calls.append('surroundings')
        return Surroundings({}, [], {})

    def native_chains(self) -> List[str]:
        return self.native


class Bench:
    """Stands for the packets: what was proved on which tables, and what comes of it."""

    def __init__(self) -> None:
        self.groups: List[Any] = []
        self.tables: Dict[str, Tables] = {}
        self.guarded: List[Any] = []
        self.guard_tables: Mapping[str, Tables] = {}
        self.found = Guarded('proved', 'it is let in')
        self.failures: List[str] = []
        self.errors: List[PalisadeError] = []

    def prove(self, _host: Any, groups: Sequence[Sequence[Flow]], tables: Mapping[str, Tables], _around: Surroundings) -> Proved:
        for error in self.errors:
            raise error
        self.groups, self.tables = list(groups), dict(tables)
        return Proved([{'verdict': 'accept'} for group in groups for _flow in group], self.failures)

    def guard(self, _host: Any, connection: Connection, tables: Mapping[str, Tables], _around: Surroundings) -> Guarded:
        self.guarded.append(connection)
        self.guard_tables = tables
        return self.found


@pytest.fixture
def host() -> RigMemory:
    return RigMemory()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(_prover, 'prove', bench.prove)
    monkeypatch.setattr(_prover, 'guard', bench.guard)
    return bench


@pytest.fixture
def came_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say by which connection the run came in; sshd need not know its ends."""
    def set_connection(connection: Optional[Connection], over_ssh: bool = False) -> None:
        monkeypatch.setattr(_prover, 'running_connection', lambda: connection)
        monkeypatch.setattr(_prover, 'over_network', lambda: over_ssh or connection is not None)

    set_connection(None)
    return set_connection


@pytest.fixture(autouse=True)
def _no_connection(came_by: Any, bench: Bench) -> None:
    """Neither the connection of whoever runs the tests nor a real packet."""


def request_for(**options: Any) -> Request:
    given: Dict[str, Any] = {'name': 'palisade', 'state': 'present', 'scope': 'chains', 'families': ['ipv4', 'ipv6'], 'rehearsal': 'auto',
                             'foreign': 'warn', 'check_mode': False, 'diff_mode': False, 'tables': TABLES}
    return Request(**{**given, **options})


def run(host: RigMemory, expect: Optional[Sequence[Any]] = None, allow_lockout: bool = False, **options: Any) -> Dict[str, Any]:
    return run_ruleset(request_for(**options), host, Prover(host, expect, allow_lockout))  # type: ignore[arg-type]


def rules(tables: Tables) -> Dict[str, List[str]]:
    return {chain: data.rules for chain, data in tables['filter'].items() if data.rules}


# What is proved, and on which tables

def test_flows_meet_the_tables_as_they_will_be(host: RigMemory, bench: Bench) -> None:
    host.put('ipv4', '*filter\n-A INPUT -s 198.51.100.0/24 -j DROP\nCOMMIT\n')
    result = run(host, [FLOW], check_mode=True)
    assert result['flows'] == [{'verdict': 'accept'}]
    assert set(bench.tables) == {'ipv4'}
    assert bench.tables['ipv4']['filter']['INPUT'].policy == 'DROP'
    assert rules(bench.tables['ipv4']) == {
        'INPUT': ['-s 198.51.100.0/24 -j DROP', '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT'],
        'palisade-INPUT': ['-i lo -j ACCEPT']}
    assert [flow.destination for group in bench.groups for flow in group] == ['192.0.2.1']


def test_a_family_that_the_run_leaves_alone_is_proved_as_it_is(host: RigMemory, bench: Bench) -> None:
    host.put('ipv6', '*filter\n-A INPUT -i eth0 -j DROP\nCOMMIT\n')
    run(host, [FLOW, FLOW6], families=['ipv4'])
    assert set(bench.tables) == {'ipv4', 'ipv6'}
    assert rules(bench.tables['ipv6']) == {'INPUT': ['-i eth0 -j DROP']}


def test_rules_compared_as_text_are_proved_in_the_kernels_spelling(host: RigMemory, bench: Bench) -> None:
    tables = {'filter': {'INPUT': ['-s 192.0.2.1,192.0.2.2 -j ACCEPT']}}
    run(host, [FLOW], families=['ipv4'], rehearsal='none', tables=tables)
    assert host.calls.count('rehearse ipv4') == 2
    assert len(rules(bench.tables['ipv4'])['palisade-INPUT']) == 2


@pytest.mark.parametrize('options', [{}, {'check_mode': True}, {'state': 'absent', 'tables': None}])
def test_it_is_asked_at_every_run(host: RigMemory, bench: Bench, options: Dict[str, Any]) -> None:
    run(host)
    bench.failures = ['flow 1: no']
    for _time in range(2):
        with pytest.raises(UnprovedError) as caught:
            run(host, [FLOW], **options)
        assert str(caught.value) == 'expect: flow 1: no. Nothing has changed'
        assert caught.value.result['flows'] == [{'verdict': 'accept'}]


def test_a_wrong_verdict_changes_nothing_and_every_one_is_named(host: RigMemory, bench: Bench) -> None:
    before = host.saved()
    bench.failures = ['flow 1: no', 'flow 2.1: neither']
    with pytest.raises(UnprovedError) as caught:
        run(host, [FLOW, [FLOW]], persist=True)
    assert str(caught.value) == 'expect: flow 1: no\nexpect: flow 2.1: neither. Nothing has changed'
    assert (host.saved(), host.files) == (before, {})
    assert not any(call.startswith('restore') for call in host.calls)


@pytest.mark.parametrize(('expect', 'message'), [
    ([{'port': 22}], 'flow 1: nothing is expected of it'), ([[{'port': 22}, {'port': 23}]], 'flow 1: nothing is expected of it'),
    ([FLOW, {'prot': 22}], "flow 2: there is no 'prot'"), ([FLOW, [FLOW, 'x']], "flow 2.2: 'x' is not a dictionary"), ([FLOW, []], 'flow 2'),
])
def test_what_cannot_be_read_is_an_error_before_the_host_is_asked(host: RigMemory, expect: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        run(host, expect)
    assert message in str(caught.value)
    assert host.calls == []


def test_what_cannot_be_proved_is_an_error(host: RigMemory, bench: Bench) -> None:
    before = host.saved()
    bench.errors = [PalisadeError('flow 1: it meets a rule with NFQUEUE')]
    with pytest.raises(PalisadeError) as caught:
        run(host, [FLOW])
    assert str(caught.value) == 'expect: flow 1: it meets a rule with NFQUEUE. Nothing has changed'
    assert host.saved() == before


# No namespace

@pytest.mark.parametrize('rehearsal', ['auto', 'scratch', 'none'])
@pytest.mark.parametrize('check_mode', [False, True])
def test_without_a_namespace_flows_are_left_out_only_if_that_is_said(host: RigMemory, bench: Bench, rehearsal: str, check_mode: bool) -> None:
    host.may_unshare = False
    bench.errors = [NotPermittedError('no network namespace can be made here')]
    if rehearsal == 'auto':
        before = host.saved()
        with pytest.raises(PalisadeError) as caught:
            run(host, [FLOW, [FLOW, FLOW]], rehearsal=rehearsal, check_mode=check_mode)
        assert 'expect: 3 flows cannot be proved: no network namespace can be made here' in str(caught.value)
        assert 'rehearsal: scratch (or none; in the roles firewall_rehearsal) allows to go on' in str(caught.value)
        assert 'palisade-' not in ''.join(host.saved().values())
        assert check_mode is False or host.saved() == before
    else:
        result = run(host, [FLOW, [FLOW, FLOW]], rehearsal=rehearsal, check_mode=check_mode)
        assert 'flows' not in result
        warning, = [text for text in result['warnings'] if text.startswith('expect: ')]
        assert warning.startswith('expect: 3 flows were not proved, which rehearsal: %s allows: no network namespace' % rehearsal)
        assert 'surroundings' not in host.calls


# The way back in

def test_the_running_connection_is_proved_where_something_changes(host: RigMemory, bench: Bench, came_by: Any) -> None:
    came_by(CONNECTION)
    result = run(host)
    assert result['guard'] == {'state': 'proved', 'connection': CONNECTION.text(), 'reason': 'it is let in'}
    assert bench.guarded == [CONNECTION]
    assert rules(bench.guard_tables['ipv4'])['palisade-INPUT'] == ['-i lo -j ACCEPT']
    assert run(host)['guard'] == {'state': 'none', 'reason': 'nothing changes'}
    assert len(bench.guarded) == 1


def test_a_connection_by_a_family_that_the_run_leaves_alone(host: RigMemory, bench: Bench, came_by: Any) -> None:
    came_by(CONNECTION6)
    run(host, families=['ipv4'])
    assert set(bench.guard_tables) == {'ipv6'}


@pytest.mark.parametrize('check_mode', [False, True])
def test_a_lockout_is_refused_or_said(host: RigMemory, bench: Bench, came_by: Any, check_mode: bool) -> None:
    came_by(CONNECTION)
    bench.found = Guarded('refused', 'the SYN is dropped by rule 1', 'accept port 22')
    before = host.saved()
    with pytest.raises(UnprovedError) as caught:
        run(host, [FLOW], check_mode=check_mode)
    assert str(caught.value) == ('this would lock Ansible out: the SYN is dropped by rule 1. To let it pass: accept port 22. Nothing has changed')
    assert caught.value.result['guard'] == {'state': 'refused', 'connection': CONNECTION.text(),
                                            'reason': 'the SYN is dropped by rule 1. To let it pass: accept port 22'}
    assert caught.value.result['flows'] == [{'verdict': 'accept'}]
    assert host.saved() == before
    result = run(host, allow_lockout=True, check_mode=check_mode)
    assert result['guard']['state'] == 'overridden'
    assert result['changed']
    assert [text for text in result['warnings'] if 'the SYN is dropped by rule 1' in text]
    assert (host.saved() == before) is check_mode


def test_both_are_told_at_once(host: RigMemory, bench: Bench, came_by: Any) -> None:
    came_by(CONNECTION)
    bench.found = Guarded('refused', 'no')
    bench.failures = ['flow 1: no']
    with pytest.raises(UnprovedError) as caught:
        run(host, [FLOW])
    assert str(caught.value) == 'this would lock Ansible out: no\nexpect: flow 1: no. Nothing has changed'


def test_what_the_guard_cannot_prove_is_a_warning(host: RigMemory, bench: Bench, came_by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    came_by(CONNECTION)
    bench.found = Guarded('unproved', 'no namespace')
    result = run(host, check_mode=True)
    assert result['guard'] == {'state': 'unproved', 'connection': CONNECTION.text(), 'reason': 'no namespace'}
    assert [text for text in result['warnings'] if text.endswith('could not be proved: no namespace')]
    monkeypatch.setattr(RigMemory, 'surroundings', lambda _host: _fail('ip is not on this host'))
    assert run(host, check_mode=True)['guard']['reason'] == 'ip is not on this host'
    came_by(None, over_ssh=True)
    assert run(host)['guard']['state'] == 'unproved'


def _fail(text: str) -> None:
    raise PalisadeError(text)


def test_without_ssh_nothing_is_proved_nor_looked_at(host: RigMemory, bench: Bench) -> None:
    assert run(host)['guard'] == {'state': 'none', 'reason': 'this run did not come in over ssh'}
    assert bench.guarded == []
    assert 'surroundings' not in host.calls


@pytest.mark.parametrize(('state', 'warned'), [('proved', True), ('none', False), ('unproved', False)])
def test_what_no_proof_knows_is_warned_of_where_there_was_a_proof(host: RigMemory, bench: Bench, came_by: Any, state: str, warned: bool) -> None:
    came_by(CONNECTION)
    bench.found = Guarded(state, 'why')
    host.native = ['inet mine input']
    said = [text for text in run(host)['warnings'] if 'native nftables chains' in text]
    assert bool(said) is warned


# For whoever asks more of both states

def test_a_prospect_has_both_states_and_reads_each_once(host: RigMemory) -> None:
    host.put('ipv6', '*filter\n-A INPUT -i eth0 -j DROP\nCOMMIT\n')
    seen: List[Prospect] = []

    class Asking:
        def prove(self, _request: Request, works: Any) -> Proof:
            host.calls.clear()
            prospect = Prospect(host, works)  # type: ignore[arg-type]
            for _time in range(2):
                assert rules(prospect.predicted(['ipv4', 'ipv6'])['ipv4'])['palisade-INPUT'] == ['-i lo -j ACCEPT']
                assert prospect.live(['ipv6'])['ipv6'] is prospect.predicted(['ipv6'])['ipv6']
                assert prospect.live(['ipv4'])['ipv4'] == {}
                assert prospect.around.interfaces == {}
            assert host.calls == ['save ipv6', 'surroundings']
            seen.append(prospect)
            return Proof({}, [])

    run_ruleset(request_for(families=['ipv4']), host, Asking())
    assert seen[0].changing


def test_a_family_that_the_kernel_lacks_is_in_neither(host: RigMemory) -> None:
    host.families = ['ipv4']
    assert Prospect(host, []).predicted(['ipv4', 'ipv6']) == {'ipv4': {}}  # type: ignore[arg-type]
