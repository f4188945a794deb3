# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on a fake host: its documentation is true, its errors are in words, it changes nothing."""
from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.palisade.netfilter.plugins.doc_fragments.attributes import ModuleDocFragment
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS
from ansible_collections.palisade.netfilter.plugins.modules import iptables_ruleset_info
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

DOCUMENTATION: Dict[str, Any] = yaml.safe_load(iptables_ruleset_info.DOCUMENTATION)
RETURN: Dict[str, Any] = yaml.safe_load(iptables_ruleset_info.RETURN)
EXAMPLES: List[Dict[str, Any]] = yaml.safe_load(iptables_ruleset_info.EXAMPLES)
NAME = 'palisade.netfilter.iptables_ruleset_info'
#: What every module may return.
COMMON = {'changed', 'invocation', 'warnings'}


class Ended:
    """How the module ended: its result and its exit status."""

    def __init__(self, result: Dict[str, Any], text: str, status: int) -> None:
        self.result = result
        self.text = text
        self.status = status


@pytest.fixture
def host() -> MemoryHost:
    """A host as the samples in the documentation have it."""
    made = MemoryHost()
    made.put('ipv4', '*filter\n:INPUT DROP [12:720]\n:f2b-sshd - [0:0]\nCOMMIT\n')
    made.kernels['ipv4'].tables['filter']['INPUT'].rules.append(('[77:4620]', '-p tcp -m multiport --dports 22 -j f2b-sshd'))
    made.put('ipv6', '*filter\nCOMMIT\n')
    return made


@pytest.fixture
def run(host: MemoryHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module with some options, on the fake host."""
    asked: List[Any] = []

    def fake(backend: str, lock_timeout: int) -> MemoryHost:
        asked.append((backend, lock_timeout))
        return host

    def runner(**options: Any) -> Ended:
        with patch_module_args(options), pytest.raises(SystemExit) as caught:
            iptables_ruleset_info.main()
        text = capsys.readouterr().out
        return Ended(json.loads(text), text, int(caught.value.code or 0))

    monkeypatch.setattr(iptables_ruleset_info, 'Host', fake)
    runner.asked = asked  # type: ignore[attr-defined]
    return runner


# Documentation

@pytest.mark.parametrize('option', sorted(set(DOCUMENTATION['options']) | set(iptables_ruleset_info.argument_spec())))
def test_every_option_is_documented_as_it_is(option: str) -> None:
    documented = {key: value for key, value in DOCUMENTATION['options'][option].items() if key != 'description'}
    assert documented == iptables_ruleset_info.argument_spec()[option]
    assert DOCUMENTATION['options'][option]['description']


def test_the_name_is_the_files_and_check_mode_is_full() -> None:
    assert DOCUMENTATION['module'] == 'iptables_ruleset_info'
    assert 'palisade.netfilter.attributes' in DOCUMENTATION['extends_documentation_fragment']
    attributes = {**yaml.safe_load(ModuleDocFragment.DOCUMENTATION)['attributes'], **DOCUMENTATION['attributes']}
    assert {name: attribute['support'] for name, attribute in attributes.items()} == {
        'check_mode': 'full', 'diff_mode': 'N/A', 'idempotent': 'full', 'platform': 'full'}


def test_every_table_can_be_asked_for() -> None:
    assert tuple(DOCUMENTATION['options']['tables']['choices']) == tuple(BUILTIN_CHAINS)


@pytest.mark.parametrize('options', [example[NAME] or {} for example in EXAMPLES if NAME in example])
def test_every_example_is_valid(options: Dict[str, Any]) -> None:
    assert ArgumentSpecValidator(iptables_ruleset_info.argument_spec()).validate(options).error_messages == []


def test_everything_returned_is_documented_and_the_other_way_round(run: Any) -> None:
    result = run(families=['ipv4'], tables=['filter'], chains=['INPUT']).result
    assert set(result) - COMMON == set(RETURN)
    for key in ('rules', 'chains'):
        assert result[key] == RETURN[key]['sample']
        assert set(result[key][0]) == set(RETURN[key]['contains'])
    assert result['backend'] == RETURN['backend']['sample']


# Running

@pytest.mark.parametrize('check_mode', [False, True])
def test_a_run_changes_nothing_and_does_the_same_in_check_mode(run: Any, host: MemoryHost, check_mode: bool) -> None:
    before = host.saved()
    ended = run(_ansible_check_mode=check_mode)
    assert (ended.status, ended.result['changed']) == (0, False)
    assert [rule['owner'] for rule in ended.result['rules']] == ['fail2ban']
    assert {chain['family'] for chain in ended.result['chains']} == {'ipv4', 'ipv6'}
    assert host.saved() == before
    assert host.calls == ['save ipv4', 'save ipv6']


def test_lists_may_be_written_with_commas(run: Any) -> None:
    """As in `ansible -m iptables_ruleset_info -a 'chains=INPUT,f2b-sshd'`."""
    found = run(families='ipv4', tables='filter', chains='INPUT,f2b-sshd').result['chains']
    assert [chain['chain'] for chain in found] == ['INPUT', 'f2b-sshd']


def test_options_reach_the_host(run: Any) -> None:
    run()
    run(backend='legacy')
    assert run.asked == [('auto', 0), ('legacy', 0)]


def test_the_name_says_what_is_ours(run: Any, host: MemoryHost) -> None:
    host.put('ipv4', '*filter\n:web-INPUT - [0:0]\n-A INPUT -j web-INPUT\nCOMMIT\n')
    assert [rule['owner'] for rule in run(name='web').result['rules']] == ['fail2ban', 'web']
    assert [rule['owner'] for rule in run().result['rules']] == ['fail2ban', None]


def test_warnings_are_ansibles(run: Any, host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(AnsibleModule, 'warn', lambda _module, warning: warnings.append(warning))
    host.families = ['ipv4']
    assert run().status == 0
    assert warnings == ['ipv6 is skipped: the kernel of this host does not have it']


# Bad input

@pytest.mark.parametrize(('options', 'message'), [
    ({'families': ['ipv5']}, 'value of families must be one or more of: ipv4, ipv6. Got no match for: ipv5'),
    ({'tables': ['filters']}, 'value of tables must be one or more of: filter, nat, mangle, raw, security. Got no match for: filters'),
    ({'backend': 'nftables'}, 'value of backend must be one of: auto, nft, legacy, got: nftables'),
    ({'name': 'Web'}, "name: 'Web': a ruleset is named by a lower-case letter"),
    ({'table': 'filter'}, 'Unsupported parameters for'),
])
def test_bad_options_fail_in_words(run: Any, options: Dict[str, Any], message: str) -> None:
    ended = run(**options)
    assert ended.status == 1
    assert ended.result['failed']
    assert message in ended.result['msg']
    assert 'Traceback' not in ended.text
