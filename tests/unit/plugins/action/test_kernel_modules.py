# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action: what a policy's rules need reaches the module, and all else as it is."""
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible_collections.palisade.netfilter.plugins.action.kernel_modules import MODULE, ActionModule

ROUTER: dict[str, Any] = {
    'wan': {'internet': {'interfaces': ['eth0']}},
    'lan': {'home': {'interfaces': ['eth1'], 'networks': ['192.0.2.0/24']}},
}


class Action(ActionModule):
    """The action with a module that only notes what it is called with."""

    handed: dict[str, Any]

    def _execute_module(self, module_name: str = '', module_args: Any = None, task_vars: Any = None, **_others: Any) -> dict[str, Any]:
        assert module_name == MODULE
        self.handed = module_args
        return {'changed': True, 'variables': task_vars}


def handed(**arguments: Any) -> dict[str, Any]:
    loader = DataLoader()
    task = Task()
    task.set_loader(loader)
    task.args = arguments
    action = Action(task=task, connection=Mock(), play_context=Mock(), loader=loader, templar=Mock(), shared_loader_obj=Mock())
    given = dict(arguments)
    assert action.run(task_vars={'a': 1}) == {'changed': True, 'variables': {'a': 1}}
    assert task.args == given
    return action.handed


@pytest.mark.parametrize('arguments', [{}, {'modules': ['a'], 'tables': ['nat']}, {'profile': 'server', 'state': 'absent'}, {'policy': {}}])
def test_without_rules_the_arguments_are_handed_on_as_they_are(arguments: dict[str, Any]) -> None:
    assert handed(**arguments) == arguments


def test_a_profile_tells_its_tables_and_families() -> None:
    assert handed(profile='server', modules=['xt_LOG']) == {
        'profile': 'server', 'modules': ['xt_LOG'], 'tables': ['filter'], 'families': ['ipv4', 'ipv6'], 'helpers': []}


def test_a_policy_tells_its_helpers_and_tables() -> None:
    policy = {**ROUTER, 'helpers': ['ftp'], 'services': {'sip': {'helper': True}}}
    found = handed(profile='nat_router', policy=policy)
    assert found['helpers'] == ['ftp', 'sip']
    assert {'filter', 'nat', 'raw'} <= set(found['tables'])
    assert 'policy' not in found


def test_a_helper_in_raw_rules_counts_and_one_of_user_space_does_not() -> None:
    rules = {'raw': {'PREROUTING': ['-p udp --dport 69 -j CT --helper tftp', '-p udp --dport 70 -j CT --helper mine']}}
    assert handed(profile='server', policy={'rules': {'before': rules}})['helpers'] == ['tftp']


def test_helpers_with_two_names_are_both() -> None:
    assert handed(profile='server', policy={'helpers': ['h323']})['helpers'] == ['Q.931', 'RAS']


@pytest.mark.parametrize('families', [['ipv4'], 'ipv4'])
def test_families_reach_the_policy_and_come_back(families: Any) -> None:
    assert handed(profile='server', families=families)['families'] == ['ipv4']
    assert handed(profile='server', policy={'families': ['ipv6']})['families'] == ['ipv6']


def test_what_the_task_says_itself_stays() -> None:
    found = handed(profile='server', tables=['mangle'], helpers=['ftp'])
    assert (found['tables'], found['helpers']) == (['mangle'], ['ftp'])


def test_a_policy_may_be_the_text_of_a_dictionary_as_ad_hoc_calls_have_it() -> None:
    assert handed(profile='server', policy='{"helpers": ["ftp"]}')['helpers'] == ['ftp']


@pytest.mark.parametrize(('policy', 'named'), [({'servces': {}}, 'servces'), ('no dictionary', 'policy: '), (['ssh'], 'policy: ')])
def test_a_policy_that_cannot_be_compiled_is_an_error_of_that_option(policy: Any, named: str) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        handed(profile='server', policy=policy)
    assert str(caught.value).startswith('policy: ')
    assert named in str(caught.value)


def test_check_and_diff_mode_are_supported() -> None:
    assert ActionModule._supports_check_mode
    assert ActionModule._supports_diff
