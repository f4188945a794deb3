# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on a fake host that sends nothing: its documentation is true and its results are what it says."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import read_groups
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import KEYS
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings
from ansible_collections.palisade.netfilter.plugins.modules import packet_probe

DOCUMENTATION: Dict[str, Any] = yaml.safe_load(packet_probe.DOCUMENTATION)
RETURN: Dict[str, Any] = yaml.safe_load(packet_probe.RETURN)
EXAMPLES: List[Dict[str, Any]] = yaml.safe_load(packet_probe.EXAMPLES)
NAME = 'palisade.netfilter.packet_probe'
RULES = '*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set friends src -j ACCEPT\nCOMMIT\n'


class FakeHost:
    """A host with one interface. It notes what it is asked to prove and answers that everything is dropped."""

    def __init__(self) -> None:
        self.asked: List[Any] = []
        self.native: List[str] = []
        self.backend = ''

    def surroundings(self) -> Surroundings:
        eth0 = Interface('eth0', True, '02:00:00:00:00:10', 1500, (('192.0.2.10', 24, ''),))
        return Surroundings({'eth0': eth0}, (Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1'),), {}, bool(self.native))

    @staticmethod
    def has_family(family: str) -> bool:
        return family == 'ipv4'

    @staticmethod
    def live(family: str) -> Tables:
        return parse(RULES, family)

    @staticmethod
    def set_contents(names: Any) -> str:
        return ' '.join(sorted(names))

    def native_chains(self) -> List[str]:
        return self.native

    def prove(self, jobs: Sequence[Any], copied: Any, conclude: Any) -> List[List[List[Dict[str, Any]]]]:
        self.asked += [(sorted(job.rig.links), [flow.port for flow in job.flows], sorted(copied.tables), copied.sets) for job in jobs]
        result: Dict[str, Any] = {'verdict': 'drop', 'rule': None, 'reason': 'fake', 'path': [], 'hook': 'input'}
        return [[[result] * flow.times for flow in job.flows] for job in jobs]


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def run(host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def runner(**options: Any) -> Dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit):
            packet_probe.main()
        return dict(json.loads(capsys.readouterr().out))

    def fake(backend: str, lock_timeout: int) -> FakeHost:
        host.backend = backend
        return host

    monkeypatch.setattr(packet_probe, 'RigHost', fake)
    return runner


def test_the_documentation_and_the_argument_spec_are_the_same() -> None:
    spec = packet_probe.argument_spec()
    assert set(DOCUMENTATION['options']) == set(spec)
    for name, option in DOCUMENTATION['options'].items():
        assert {key: option.get(key) for key in ('type', 'choices', 'default', 'elements')} == {
            key: spec[name].get(key) for key in ('type', 'choices', 'default', 'elements')}, name
    assert set(KEYS) == set(spec) - {'flows', 'backend'}


def test_the_examples_are_accepted() -> None:
    validator = ArgumentSpecValidator(packet_probe.argument_spec())
    for example in EXAMPLES:
        options = example[NAME]
        assert not validator.validate(options).error_messages, example['name']
        assert read_groups(options.get('flows', [options]), example['name'])


def test_one_flow(run: Any, host: FakeHost) -> None:
    result = run(port=22, _ansible_check_mode=True, backend='legacy')
    assert (result['changed'], result['verdict'], result['flow']['in_interface']) == (False, 'drop', 'eth0')
    assert host.asked == [(['eth0'], [22], ['ipv4'], 'friends')]
    assert host.backend == 'legacy'
    # Ansible keeps warnings of this process for whoever asks next, those of other tests among them.
    assert set(result) - {'changed', 'invocation', 'warnings'} <= set(RETURN)


def test_several_flows_each_on_a_rig_of_its_own_or_in_sequence(run: Any, host: FakeHost) -> None:
    flows = [{'port': 1}, {'port': '2', 'count': 2}]
    assert [one['verdict'] for one in run(flows=flows)['flows']] == ['drop', 'drop']
    assert run(flows=[flows])['flows'][1]['verdicts'] == ['drop', 'drop']
    assert [ports for _links, ports, _tables, _sets in host.asked] == [[1], [2], [1, 2]]


def test_what_was_not_expected_fails_with_all_the_results(run: Any) -> None:
    result = run(flows=[{'port': 1, 'verdict': 'drop'}, {'port': 2, 'verdict': 'accept'}])
    assert result['failed'] and result['changed'] is False
    assert result['msg'].startswith('flow 2 (tcp to port 2 in by eth0')
    assert len(result['flows']) == 2


@pytest.mark.parametrize(('options', 'words'), [
    ({}, 'flow: port: a packet of tcp goes to one'), ({'flows': [{'port': 1}, {}]}, 'flow 2: port: '), ({'flows': []}, 'flows: there is none'),
    ({'flows': [[{'port': 1}], [{'port': 1}, {}]]}, 'flow 2.2: port: '), ({'flows': [[]]}, 'flows: flow 1: this sequence has no flow'),
    ({'port': 1, 'source': '::1'}, 'ipv6: the kernel does not have it'), ({'port': 1, 'flows': []}, 'parameters are mutually exclusive'),
])
def test_bad_options(run: Any, options: Dict[str, Any], words: str) -> None:
    result = run(**options)
    assert result['failed'] and words in result['msg']


def test_what_the_proof_does_not_know_is_warned_of(run: Any, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(AnsibleModule, 'warn', lambda _module, warning: warnings.append(warning))
    run(port=1)
    assert warnings == []
    host.native = ['inet mine door']
    run(port=1)
    assert len(warnings) == 2 and 'inet mine door' in warnings[0] and 'policy routing' in warnings[1]
