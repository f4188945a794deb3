# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on a fake host: its documentation is true, its errors are in words, its results are small."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.palisade.netfilter.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.palisade.netfilter.plugins.doc_fragments.confirmation import ModuleDocFragment as Confirmation
from ansible_collections.palisade.netfilter.plugins.doc_fragments.iptables_ruleset import ModuleDocFragment as Options
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declare_content, declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import UnprovedError
from ansible_collections.palisade.netfilter.plugins.module_utils._options import LONGEST_ECHO, argument_spec
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Proof, Request, Work
from ansible_collections.palisade.netfilter.plugins.modules import iptables_ruleset, iptables_ruleset_unproved
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

OPTIONS: Dict[str, Any] = {
    name: option for fragment in (Options, Confirmation) for name, option in yaml.safe_load(fragment.DOCUMENTATION)['options'].items()}
RETURN: Dict[str, Any] = yaml.safe_load(iptables_ruleset.RETURN)
EXAMPLES: List[Dict[str, Any]] = yaml.safe_load(iptables_ruleset.EXAMPLES)
NAME = 'palisade.netfilter.iptables_ruleset'
#: What every module may return.
COMMON = {'changed', 'diff', 'invocation', 'warnings'}


class Ended:
    """How the module ended: its result, and what it asked the host for."""

    def __init__(self, result: Dict[str, Any], text: str, status: int) -> None:
        self.result = result
        self.text = text
        self.status = status


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


class FakeProver:
    """A prover that notes what it is asked to prove, and says what it is told to."""

    def __init__(self) -> None:
        self.proofs: List[Any] = []
        self.options: Any = None
        self.errors: List[UnprovedError] = []

    def prove(self, request: Request, works: Sequence[Work]) -> Proof:
        self.proofs.append((request, [len(work.plan.operations) for work in works]))
        for error in self.errors:
            raise error
        flows = {'flows': [{'verdict': 'accept'}]} if self.options['expect'] else {}
        told: Dict[str, Any] = {'verdict_diff': []} if self.options['verdict_diff'] else {}
        return Proof({'guard': {'state': 'none'}, **flows, **told}, ['be warned'])


class FakeCommit:
    """Never waits; says in the result what it was made with."""

    def __init__(self, token: str, seconds: int) -> None:
        self.result = {'state': 'off', 'reason': '%s %d' % (token, seconds)}

    def arm(self, *_run: Any) -> bool:
        return False


@pytest.fixture
def prover() -> FakeProver:
    return FakeProver()


@pytest.fixture
def run(host: MemoryHost, prover: FakeProver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module with some options, on the fake host."""
    asked: List[Any] = []

    def fake(backend: str, lock_timeout: int) -> MemoryHost:
        asked.append((backend, lock_timeout))
        return host

    def runner(**options: Any) -> Ended:
        with patch_module_args(options), pytest.raises(SystemExit) as caught:
            runner.module.main()  # type: ignore[attr-defined]
        text = capsys.readouterr().out
        return Ended(json.loads(text), text, int(caught.value.code or 0))

    def fake_prover(_host: Any, *options: Any) -> FakeProver:
        prover.options = dict(zip(('expect', 'allow_lockout', 'verdict_diff'), options))
        return prover

    monkeypatch.setattr(iptables_ruleset, 'SafeHost', fake)
    monkeypatch.setattr(iptables_ruleset, 'Confirming', lambda _host, token, seconds: FakeCommit(token, seconds))
    monkeypatch.setattr(iptables_ruleset, 'Prover', fake_prover)
    monkeypatch.setattr(iptables_ruleset_unproved, 'Host', fake)
    runner.module = iptables_ruleset  # type: ignore[attr-defined]
    runner.asked = asked  # type: ignore[attr-defined]
    return runner


FLOW = {'in_interface': 'eth0', 'port': 22, 'verdict': 'accept'}


# Documentation

@pytest.mark.parametrize('option', sorted(set(OPTIONS) | set(argument_spec())))
def test_every_option_is_documented_as_it_is(option: str) -> None:
    documented = {key: value for key, value in OPTIONS[option].items() if key != 'description'}
    assert documented == argument_spec()[option]
    assert OPTIONS[option]['description']


def test_the_name_is_the_files() -> None:
    for module in (iptables_ruleset, iptables_ruleset_unproved):
        documentation = yaml.safe_load(module.DOCUMENTATION)
        assert documentation['module'] == module.__name__.rpartition('.')[2]
        assert documentation['extends_documentation_fragment'] == [
            'palisade.netfilter.attributes', 'palisade.netfilter.confirmation', 'palisade.netfilter.iptables_ruleset']
        assert 'options' not in documentation
    attributes = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)['attributes']
    assert {name: attribute['support'] for name, attribute in attributes.items()} == {
        'check_mode': 'full', 'diff_mode': 'full', 'idempotent': 'full', 'platform': 'full'}


@pytest.mark.parametrize('example', EXAMPLES, ids=[example['name'] for example in EXAMPLES])
def test_every_example_is_valid(example: Dict[str, Any]) -> None:
    assert set(example) == {'name', NAME}
    validated = ArgumentSpecValidator(
        argument_spec(), mutually_exclusive=[('tables', 'content', 'src', 'profile')]).validate(example[NAME])
    assert validated.error_messages == []
    options = validated.validated_parameters
    if options['tables'] is not None:
        assert declare_tables(options['tables'], options['families'], {}).warnings == []
    elif options['content'] is not None:
        assert declare_content(options['content'], options['families'], {}).warnings == []
    else:
        assert options['src'] or options['profile'] or options['state'] in ('absent', 'previous')


def test_everything_returned_is_documented_and_the_other_way_round(run: Any) -> None:
    result = run(tables={'filter': {'INPUT': ['-i lo -j ACCEPT']}}, persist=True, expect=[FLOW], verdict_diff=True, _ansible_diff=True).result
    assert set(result) - COMMON == set(RETURN)
    operation, = [operation for operation in result['plan'] if (operation['family'], operation['action']) == ('ipv4', 'append') and
                  operation['chain'] == 'palisade-INPUT']
    assert set(operation) == set(RETURN['plan']['contains'])
    assert operation == {**RETURN['plan']['sample'][0], 'action': 'append'}


# Running

TABLES = {'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT']}}}


def test_a_run_a_second_one_and_absent(run: Any, host: MemoryHost) -> None:
    first = run(tables=TABLES)
    assert (first.status, first.result['changed']) == (0, True)
    assert host.rules('ipv6', 'filter', 'palisade-INPUT') == ['-i lo -j ACCEPT']
    assert not run(tables=TABLES).result['changed']
    assert run(state='absent').result['changed']
    assert list(host.kernels['ipv4'].tables['filter']) == ['INPUT', 'FORWARD', 'OUTPUT']


def test_check_and_diff_mode(run: Any, host: MemoryHost) -> None:
    before = host.saved()
    result = run(tables=TABLES, _ansible_check_mode=True, _ansible_diff=True).result
    assert result['changed']
    assert host.saved() == before
    assert '+-A palisade-INPUT -i lo -j ACCEPT' in result['diff'][0]['prepared']
    assert 'diff' not in run(tables=TABLES, _ansible_check_mode=True).result


def test_options_reach_the_host(run: Any) -> None:
    run(tables=TABLES)
    run(tables=TABLES, backend='legacy', lock_timeout=5)
    assert run.asked == [('auto', 30), ('legacy', 5)]


def test_warnings_are_ansibles(run: Any, host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(AnsibleModule, 'warn', lambda _module, warning: warnings.append(warning))
    host.put('ipv4', '*filter\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n')
    result = run(tables=TABLES).result
    assert [warning.partition(',')[0] for warning in warnings] == [
        'ipv4: rules that no known program explains stand in hooks that this ruleset uses', 'be warned']
    assert 'filter: -A INPUT -p tcp -j ACCEPT' not in str(result)


# Proofs

@pytest.mark.parametrize('options', [{}, {'_ansible_check_mode': True}, {'state': 'absent', 'tables': None}, {'rehearsal': 'scratch'}])
def test_every_run_is_proved_once_before_it_changes_anything(run: Any, host: MemoryHost, prover: FakeProver, options: Dict[str, Any]) -> None:
    before = host.saved()
    prover.errors = [UnprovedError('flow 1: no', {'flows': [{'verdict': 'drop'}], 'guard': {'state': 'proved'}}, ['mind'])]
    ended = run(**{'tables': TABLES, 'persist': True, **options})
    assert (ended.status, ended.result['msg'], ended.result['changed']) == (1, 'flow 1: no', False)
    assert ended.result['flows'] == [{'verdict': 'drop'}]
    assert ended.result['guard'] == {'state': 'proved'}
    assert len(prover.proofs) == 1
    assert (host.saved(), host.files) == (before, {}) if options.get('rehearsal') != 'scratch' else (host.saved(), {})
    assert 'palisade-' not in ''.join(host.saved().values())


def test_a_run_that_changes_nothing_is_proved_too(run: Any, prover: FakeProver) -> None:
    run(tables=TABLES)
    assert not run(tables=TABLES, expect=[FLOW]).result['changed']
    assert [changes for _request, changes in prover.proofs] == [[4, 4], [0, 0]]
    assert prover.options == {'expect': [FLOW], 'allow_lockout': False, 'verdict_diff': False}


def test_the_smaller_module_is_the_same_without_proofs(run: Any, prover: FakeProver) -> None:
    run.module = iptables_ruleset_unproved
    first = run(tables=TABLES, persist=True, allow_lockout=True)
    assert first.result['changed']
    assert not {'guard', 'flows'} & set(first.result)
    assert prover.proofs == []
    assert not run(tables=TABLES).result['changed']
    refused = run(tables=TABLES, expect=[FLOW])
    assert refused.result['msg'] == 'expect: iptables_ruleset_unproved has nothing to prove it with: call palisade.netfilter.iptables_ruleset'


# Bad input

@pytest.mark.parametrize(('options', 'message'), [
    ({}, 'state: present needs one of tables, content, src or profile'),
    ({'src': 'web.rules'}, 'state: present needs one of tables, content, src or profile'),
    ({'tables': TABLES, 'content': ''}, 'parameters are mutually exclusive: tables|content|src|profile'),
    ({'tables': TABLES, 'profile': 'server'}, 'parameters are mutually exclusive: tables|content|src|profile'),
    ({'tables': TABLES, 'policy': {}}, "missing parameter(s) required by 'policy': profile"),
    ({'profile': 'wizard'}, 'value of profile must be one of: nat_router, server, workstation, got: wizard'),
    ({'tables': TABLES, 'state': 'gone'}, 'value of state must be one of: present, absent, previous, got: gone'),
    ({'tables': TABLES, 'families': ['ipv5']}, 'value of families must be one or more of: ipv4, ipv6. Got no match for: ipv5'),
    ({'tables': TABLES, 'scope': 'all'}, 'value of scope must be one of: chains, tables, got: all'),
    ({'tables': TABLES, 'lock_timeout': 'long'}, "argument 'lock_timeout' is of type str and we were unable to convert to int"),
    ({'tables': 'filter'}, "argument 'tables' is of type str and we were unable to convert to dict"),
    ({'tables': TABLES, 'expected': 1}, 'Unsupported parameters for'),
    ({'tables': TABLES, 'name': 'Web'}, "name: 'Web': a ruleset is named by a lower-case letter"),
    ({'state': 'absent', 'scope': 'tables'}, 'state: absent needs scope: chains'),
    ({'tables': {'filter': {'INPUT': ['--bogus']}}}, 'tables: ipv4, table filter, chain INPUT, rule 1: --bogus: iptables-restore: unknown option'),
    ({'content': '*filter\n'}, 'content: table filter has no COMMIT'),
])
def test_bad_options_fail_in_words_and_change_nothing(run: Any, host: MemoryHost, options: Dict[str, Any], message: str) -> None:
    before = host.saved()
    ended = run(**options)
    assert ended.status == 1
    assert ended.result['failed']
    assert message in ended.result['msg']
    assert 'Traceback' not in ended.text
    assert host.saved() == before


# Sizes

def content_of(length: int) -> str:
    head, tail = '*filter\n', 'COMMIT\n'
    return head + '#' * (length - len(head) - len(tail) - 1) + '\n' + tail


@pytest.mark.parametrize(('length', 'echoed'), [
    (100, True), (LONGEST_ECHO, True), (LONGEST_ECHO + 1, False), (1_000_000, False),
])
def test_a_long_content_is_not_repeated_in_the_result(run: Any, length: int, echoed: bool) -> None:
    content = content_of(length)
    assert len(content) == length
    ended = run(content=content)
    assert ended.status == 0
    assert ('content' in ended.result['invocation']['module_args']) is echoed
    assert (content[10:90] in ended.text) is echoed
    assert len(ended.text) < 2_500


def test_nor_when_it_fails(run: Any) -> None:
    ended = run(content='*filter\n%s\n' % ('#' * 5000))
    assert ended.status == 1
    assert '#' * 100 not in ended.text


@pytest.mark.parametrize('tables', [TABLES, {'filter': {'INPUT': {'rules': ['--bogus']}}}])
def test_tables_are_never_repeated(run: Any, tables: Dict[str, Any]) -> None:
    arguments = run(tables=tables).result['invocation']['module_args']
    assert 'tables' not in arguments
    assert arguments['name'] == 'palisade'


def test_a_plan_of_many_rules_is_cut(run: Any) -> None:
    rules = ['-s 10.0.%d.%d -j DROP' % (number // 250, number % 250) for number in range(5000)]
    ended = run(tables={'filter': {'INPUT': rules}}, families=['ipv4'])
    assert ended.result['plan_total'] == 5000 + 2
    assert len(ended.result['plan']) == 200
    assert len(ended.text) < 40_000
