# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the confirming actions have in common: what is said before the module runs, by which word it runs, and what becomes of its result."""
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.palisade.netfilter.plugins.plugin_utils import _confirmed, _transport
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import Change
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirmed import ConfirmedAction
from ansible_collections.palisade.netfilter.plugins.plugin_utils._trial import Trial

PENDING = {'changed': True, 'confirm': {'state': 'pending', 'command': '/bin/sh /commit', 'seconds': 60}}
DIED = {'failed': True, 'msg': 'MODULE FAILURE', 'module_stderr': 'Killed', 'rc': 137}


class Action(ConfirmedAction):
    """An action whose module answers as a test wants. What a Confirmer is asked is noted in the place of a host."""

    _cuts = 'a word'
    _changing = 'words'
    lockout = False

    def __init__(self, answer: Any, transport: str = 'ssh') -> None:
        self._connection = Mock(transport=transport)
        self._task = Mock(check_mode=False)
        self._display = Mock()
        self.answer = answer
        self.handed: list[dict[str, Any]] = []

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        raise NotImplementedError

    def _execute_module(self, module_name: str = '', module_args: Any = None, task_vars: Any = None, **_others: Any) -> dict[str, Any]:
        assert module_name == 'a.b.words'
        self.handed.append(module_args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)

    def _is_live(self, result: dict[str, Any]) -> bool:
        return bool(result.get('changed'))

    def _allows_lockout(self, arguments: dict[str, Any]) -> bool:
        return self.lockout

    def act(self, **arguments: Any) -> dict[str, Any]:
        return self._run_confirmed('a.b.words', Change('words', 'the words'), arguments, {})

    @property
    def warned(self) -> list[str]:
        return [call.args[0] for call in self._display.warning.call_args_list]


@pytest.fixture
def confirmer(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Mock()
    made.return_value.confirm.side_effect = lambda result: {**result, 'confirm': {'state': 'proved'}}
    made.return_value.find_out.return_value = {'failed': True, 'confirm': {'state': 'rolled_back'}}
    monkeypatch.setattr(_confirmed, 'Confirmer', made)
    return made


@pytest.fixture(autouse=True)
def trial(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Mock(return_value=Trial('none'))
    monkeypatch.setattr(_confirmed, 'try_out', made)
    monkeypatch.setattr(_transport, 'over_network', lambda: False)
    return made


def test_what_waits_is_confirmed_by_the_word_that_the_module_was_given(confirmer: Any) -> None:
    action = Action(PENDING)
    assert action.act(a=1)['confirm'] == {'state': 'proved'}
    given, token, change = confirmer.call_args.args
    assert (given, change) == (action, Change('words', 'the words'))
    assert action.handed == [{'a': 1, 'confirm_id': token}]
    assert action.warned == []


def test_what_does_not_wait_is_as_the_module_says(confirmer: Any) -> None:
    result = {'changed': False, 'confirm': {'state': 'none', 'reason': 'nothing changes'}}
    assert Action(result).act() == result
    confirmer.return_value.confirm.assert_not_called()


@pytest.mark.parametrize('answer', [DIED, AnsibleConnectionFailure('Shared connection to 192.0.2.2 closed.')])
def test_a_module_that_died_is_asked_after(confirmer: Any, answer: Any) -> None:
    result = Action(answer).act()
    assert (result['failed'], result['confirm']) == (True, {'state': 'rolled_back'})
    assert confirmer.return_value.find_out.call_args.args[0] == 60


def test_a_host_that_was_never_reached_is_unreachable(confirmer: Any) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        Action(AnsibleConnectionFailure('ssh: connect to host x port 22: Connection timed out')).act()
    confirmer.return_value.find_out.assert_not_called()


@pytest.mark.parametrize(('arguments', 'check_mode'), [({'confirm_timeout': 0}, False), ({'confirm_timeout': 'soon'}, False), ({}, True)])
def test_what_is_not_to_be_confirmed_is_neither_tried_nor_given_a_word(trial: Any, arguments: dict[str, Any], check_mode: bool) -> None:
    action = Action({'changed': True})
    action._task.check_mode = check_mode
    assert action.act(**arguments) == {'changed': True}
    assert action.handed == [arguments]
    trial.assert_not_called()


# Where nothing could prove anything

@pytest.mark.parametrize(('transport', 'network', 'reason', 'warns'), [
    ('local', False, 'a connection of type local has no network path that a word could cut', False),
    ('community.docker.docker', True, 'a connection of type docker has no network path that a word could cut', False),
    ('local', True, 'this is a connection of type local, and a new one of that type would not come in by the network', True),
])
def test_without_a_network_it_is_said_before_and_in_the_result(
        monkeypatch: pytest.MonkeyPatch, transport: str, network: bool, reason: str, warns: bool) -> None:
    monkeypatch.setattr(_transport, 'over_network', lambda: network)
    action = Action({'changed': True}, transport)
    assert action.act()['confirm'] == {'state': 'unproved', 'reason': reason}
    said = 'if words change, that will not be confirmed by a new connection: ' + reason
    assert action.warned == ([said] if warns else [])
    assert action._display.v.called is not warns
    assert 'confirm_id' not in action.handed[0]
    assert 'confirm' not in Action({'changed': False}, transport).act()


# The trial

def test_a_host_that_wants_a_person_is_changed_and_it_is_said_before(confirmer: Any, trial: Any) -> None:
    trial.return_value = Trial('refused', '/mine', 'me@192.0.2.2: Permission denied (publickey).')
    action = Action(PENDING)
    action.act()
    assert action.warned == ['if words change, that will not be confirmed by a new connection: a new connection reached the host, '
                             'which refused to let it log in by itself: me@192.0.2.2: Permission denied (publickey).']
    assert len(action.handed) == 1


def test_where_no_new_connection_can_be_made_nothing_changes(trial: Any) -> None:
    trial.return_value = Trial('unreachable', '/mine', 'Connection timed out')
    action = Action(PENDING)
    with pytest.raises(AnsibleActionFail) as caught:
        action.act()
    assert str(caught.value) == (
        'no new connection to this host can be made now (Connection timed out); only the one that your own ssh shares (/mine) comes through. Unless '
        'the change is what lets new ones in again, it would be taken back. '
        'Nothing has changed. confirm_timeout: 0 changes it without a confirmation')
    assert action.handed == []


def test_who_knows_better_tries_it_and_is_warned(confirmer: Any, trial: Any) -> None:
    trial.return_value = Trial('unreachable', '/mine', 'Connection timed out')
    action = Action(PENDING)
    action.lockout = True
    assert action.act()['confirm'] == {'state': 'proved'}
    assert action.warned[0].startswith('no new connection to this host can be made now')
