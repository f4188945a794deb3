# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of sysctl_hardening: what it hands on, and when it says that nothing was proved."""
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible_collections.palisade.netfilter.plugins.action.sysctl_hardening import MODULE, ActionModule
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import SETTINGS
from ansible_collections.palisade.netfilter.plugins.plugin_utils import _confirmed, _transport
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import Change
from ansible_collections.palisade.netfilter.plugins.plugin_utils._trial import Trial


class Action(ActionModule):
    """The action with a module that only notes what it is called with."""

    handed: dict[str, Any]
    token = ''
    answer: dict[str, Any]

    def _execute_module(self, module_name: str = '', module_args: Any = None, task_vars: Any = None, **_others: Any) -> dict[str, Any]:
        assert (module_name, task_vars) == (MODULE, {'a': 1})
        self.handed = dict(module_args)
        self.token = self.handed.pop('confirm_id', '')
        return dict(getattr(self, 'answer', {'changed': False}))


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_confirmed, 'try_out', lambda _action: Trial('none'))
    monkeypatch.setattr(_transport, 'over_network', lambda: False)


def make(transport: str = 'ssh', **arguments: Any) -> Action:
    loader = DataLoader()
    task = Task()
    task.set_loader(loader)
    task.args = arguments
    return Action(task=task, connection=Mock(transport=transport), play_context=Mock(), loader=loader, templar=Mock(), shared_loader_obj=Mock())


def test_options_are_handed_on_and_the_word_is_the_actions_own() -> None:
    action = make(profile='server', settings={'net.ipv4.tcp_ecn': 0}, confirm_id='mine')
    assert action.run(task_vars={'a': 1}) == {'changed': False}
    assert action.handed == {'profile': 'server', 'settings': {'net.ipv4.tcp_ecn': 0}}
    assert len(action.token) == 16


def test_what_waits_is_confirmed_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    confirmer = Mock()
    confirmer.return_value.confirm.return_value = {'changed': True, 'confirm': {'state': 'proved'}}
    monkeypatch.setattr(_confirmed, 'Confirmer', confirmer)
    action = make(profile='server')
    action.answer = {'changed': True, 'confirm': {'state': 'pending'}}
    assert action.run(task_vars={'a': 1})['confirm'] == {'state': 'proved'}
    assert confirmer.call_args.args[1:] == (action.token, Change(SETTINGS, 'the kernel settings'))


@pytest.mark.parametrize(('state', 'reason'), [
    ('unproved', 'a connection of type docker has no network path that a kernel setting could cut'), ('none', 'nothing changes'),
])
def test_over_a_connection_that_nothing_cuts_the_reason_is_that_where_live_settings_change(state: str, reason: str) -> None:
    action = make('community.docker.docker', profile='server')
    action.answer = {'changed': True, 'confirm': {'state': state, 'reason': 'nothing changes'}}
    assert action.run(task_vars={'a': 1})['confirm'] == {'state': state, 'reason': reason}


def test_check_and_diff_mode_are_supported() -> None:
    assert ActionModule._supports_check_mode
    assert ActionModule._supports_diff
