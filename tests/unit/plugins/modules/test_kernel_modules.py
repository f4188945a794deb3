# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on a fake host: its documentation is true, its errors are in words, check mode changes nothing."""
from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import HELPERS, PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import STATES, declare
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_plan import OUR_FILES
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS
from ansible_collections.palisade.netfilter.plugins.modules import iptables_ruleset, kernel_modules
from ansible_collections.palisade.netfilter.tests.unit.support.memory_modules import MemoryModules

DOCUMENTATION: Dict[str, Any] = yaml.safe_load(kernel_modules.DOCUMENTATION)
RETURN: Dict[str, Any] = yaml.safe_load(kernel_modules.RETURN)
EXAMPLES: List[Dict[str, Any]] = yaml.safe_load(kernel_modules.EXAMPLES)
NAME = 'palisade.netfilter.kernel_modules'
#: What every module may return.
COMMON = {'changed', 'diff', 'invocation', 'warnings'}


class Ended:
    """How the module ended: its result and its exit status."""

    def __init__(self, result: Dict[str, Any], text: str, status: int) -> None:
        self.result = result
        self.text = text
        self.status = status


@pytest.fixture
def host() -> MemoryModules:
    return MemoryModules()


@pytest.fixture
def run(host: MemoryModules, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module with some options, on the fake host."""

    def runner(**options: Any) -> Ended:
        with patch_module_args(options), pytest.raises(SystemExit) as caught:
            kernel_modules.main()
        text = capsys.readouterr().out
        return Ended(json.loads(text), text, int(caught.value.code or 0))

    monkeypatch.setattr(kernel_modules, 'ModulesHost', lambda: host)
    return runner


# Documentation

@pytest.mark.parametrize('option', sorted(set(DOCUMENTATION['options']) | set(kernel_modules.argument_spec())))
def test_every_option_is_documented_as_it_is(option: str) -> None:
    documented = {key: value for key, value in DOCUMENTATION['options'][option].items() if key != 'description'}
    assert documented == kernel_modules.argument_spec()[option]
    assert DOCUMENTATION['options'][option]['description']


def test_the_name_is_the_files_and_check_mode_is_full() -> None:
    assert DOCUMENTATION['module'] == 'kernel_modules'
    assert 'palisade.netfilter.attributes' in DOCUMENTATION['extends_documentation_fragment']


def test_choices_are_what_there_is() -> None:
    spec = kernel_modules.argument_spec()
    assert set(spec['helpers']['choices']) == set(HELPERS)
    assert spec['tables']['choices'] == list(BUILTIN_CHAINS)
    assert set(spec['profile']['choices']) == set(PROFILES)
    assert all('V(%s)' % state in ''.join(DOCUMENTATION['options']['modules']['description']) for state in STATES)
    assert all(path in ''.join(DOCUMENTATION['notes']) for path in OUR_FILES)


@pytest.mark.parametrize('option', ['profile', 'policy', 'tables', 'families', 'backend', 'state'])
def test_options_are_those_of_iptables_ruleset(option: str) -> None:
    from ansible_collections.palisade.netfilter.plugins.module_utils._options import argument_spec

    assert iptables_ruleset.DOCUMENTATION
    ours, theirs = kernel_modules.argument_spec()[option], argument_spec()[option]
    if option == 'state':
        # Modules have no version that one could go back to.
        theirs = {**theirs, 'choices': [choice for choice in theirs['choices'] if choice != 'previous']}
    assert option == 'tables' or ours == theirs


@pytest.mark.parametrize('options', [example[NAME] or {} for example in EXAMPLES if NAME in example])
def test_every_example_is_valid(options: Dict[str, Any]) -> None:
    assert ArgumentSpecValidator(kernel_modules.argument_spec()).validate(options).error_messages == []
    declare(options.get('modules', []), profile=options.get('profile'), tables=[], families=[], helpers=[], backend='nft', persist=True)


def test_everything_returned_is_documented_and_the_other_way_round(run: Any, host: MemoryModules) -> None:
    host.shown = {'nf_conntrack': {'hashsize': '512'}}
    result = run(modules=[{'name': 'ip_conntrack', 'options': 'hashsize=65536'}]).result
    assert set(result) - COMMON == set(RETURN)
    assert result['modules'] == RETURN['modules']['sample']
    assert set(result['modules'][0]) == set(RETURN['modules']['contains'])


# Running

def test_a_run_loads_and_the_second_one_changes_nothing(run: Any, host: MemoryModules) -> None:
    ended = run(modules=['xt_LOG'])
    assert (ended.status, ended.result['changed'], 'xt_LOG' in (host.loaded or ())) == (0, True, True)
    assert not run(modules=['xt_LOG']).result['changed']


def test_check_mode_says_the_same_and_changes_nothing(run: Any, host: MemoryModules) -> None:
    ended = run(modules=['xt_LOG'], _ansible_check_mode=True)
    assert (ended.result['changed'], host.files, host.loaded, host.calls) == (True, {}, {}, [])
    done = run(modules=['xt_LOG'])
    assert done.result['modules'] == ended.result['modules']


def test_a_list_may_be_written_with_commas(run: Any) -> None:
    """As in `ansible -m kernel_modules -a 'modules=ip_conntrack,ipt_LOG'`."""
    assert [one['name'] for one in run(modules='ip_conntrack,ipt_LOG').result['modules']] == ['nf_conntrack', 'xt_LOG']


def test_warnings_are_ansibles(run: Any, host: MemoryModules, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(AnsibleModule, 'warn', lambda _module, warning: warnings.append(warning))
    host.files['/etc/modprobe.d/a.conf'] = 'blacklist xt_LOG\n'
    assert run(modules=['xt_LOG']).status == 0
    assert warnings == ["xt_LOG will not be loaded at boot: /etc/modprobe.d/a.conf has 'blacklist xt_LOG'"]


# Bad input

@pytest.mark.parametrize(('options', 'message'), [
    ({'profile': 'router'}, 'value of profile must be one of: nat_router, server, workstation, got: router'),
    ({'policy': {}}, "missing parameter(s) required by 'policy': profile"),
    ({'helpers': ['http']}, 'value of helpers must be one or more of'),
    ({'modules': [{'state': 'loaded'}]}, 'modules[0]: None is no name of a module'),
    ({'modules': ['a', {'name': 'b', 'state': 'present'}]}, "modules[1] (b): state is one of loaded, unloaded, blocked, not 'present'"),
    ({'modules': ['nosuch']}, 'modules: this kernel has no module nosuch. Nothing has changed'),
    ({'module': ['a']}, 'Unsupported parameters for'),
])
def test_bad_options_fail_in_words(run: Any, host: MemoryModules, options: Dict[str, Any], message: str) -> None:
    ended = run(**options)
    assert ended.status == 1
    assert ended.result['failed']
    assert message in ended.result['msg']
    assert 'Traceback' not in ended.text
    assert (host.files, host.loaded) == ({}, {})
