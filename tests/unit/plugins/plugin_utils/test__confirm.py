# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of commit by proof, on a connection that says what a test wants: by which way it asks, how often, and what it makes of it."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import (
    PUTTING_BACK,
    Change,
    Confirmer,
    died,
    last_words,
    never_began,
    new_token,
)

OPTIONS = {'ssh_args': '-C -o ControlMaster=auto -o ControlPersist=60s', 'ssh_extra_args': '-S /mine', 'reconnection_retries': 3, 'timeout': 10}
KEPT = 'palisade-commit kept 192.0.2.1 50001 192.0.2.2 22'
TIMEOUT = AnsibleConnectionFailure('Failed to connect to the host via ssh: ssh: connect to host 192.0.2.2 port 22: Connection timed out')
PERSON = AnsibleConnectionFailure('Failed to connect to the host via ssh: me@192.0.2.2: Permission denied (publickey,keyboard-interactive).')
JUMP = AnsibleConnectionFailure(
    'Failed to connect to the host via ssh: me@jump: Permission denied (publickey).\r\nConnection closed by UNKNOWN port 65535')


class Host:
    """Answers one thing after the other, the last one again and again. Each attempt takes `cost` seconds of its clock."""

    def __init__(self, *answers: Any, transport: str = 'ssh', cost: float = 1) -> None:
        self.answers = list(answers)
        self.cost = cost
        self.time = 0.0
        self.asked: list[tuple[str, bool, str]] = []
        self.slept: list[float] = []
        self.options: dict[str, Any] = dict(OPTIONS)
        self.connection = Mock(transport=transport)
        self.connection.get_option.side_effect = self.options.__getitem__
        self.connection.set_option.side_effect = self.options.__setitem__
        self.action = Mock(_connection=self.connection)
        self.action._low_level_execute_command.side_effect = self._execute
        self.confirmer = Confirmer(self.action, 'token', Change('web', 'ruleset web'), clock=lambda: self.time, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def _execute(self, command: str) -> dict[str, Any]:
        self.asked.append((command, 'ControlPath=none' in self.options['ssh_args'], str(self.options['ssh_args'])))
        self.time += self.cost
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, dict) else {'rc': 0, 'stdout': 'Welcome!\r\n%s\r\n' % answer, 'stderr': ''}

    def confirm(self, seconds: int = 60) -> dict[str, Any]:
        waiting = {'state': 'pending', 'command': '/bin/sh /commit', 'seconds': seconds}
        return self.confirmer.confirm({'changed': True, 'plan_total': 3, 'confirm': waiting})

    @property
    def words(self) -> list[str]:
        return [command for command, _alone, _arguments in self.asked]


def test_a_new_connection_confirms_at_once() -> None:
    host = Host(KEPT)
    assert host.confirm() == {
        'changed': True, 'plan_total': 3, 'confirm': {'state': 'proved', 'connection': 'from 192.0.2.1 port 50001 to 192.0.2.2 port 22'}}
    (command, _alone, arguments), = host.asked
    assert command == '/bin/sh /commit confirm token new'
    assert arguments.startswith('-o ControlPath=none -o ControlMaster=no ')
    assert arguments.endswith(' -C -o ControlMaster=auto -o ControlPersist=60s')
    assert host.slept == []


def test_the_connections_own_options_are_back_afterwards_and_nothing_is_tried_twice_within() -> None:
    host = Host(KEPT)
    seen: list[Any] = []

    def execute(command: str) -> dict[str, Any]:
        seen.append(dict(host.options))
        return host._execute(command)

    host.action._low_level_execute_command.side_effect = execute
    host.confirm()
    assert seen[0]['reconnection_retries'] == 0
    assert seen[0]['ssh_extra_args'] == '-S /mine -S none'
    assert host.options == OPTIONS


def test_options_are_back_after_a_connection_that_fails() -> None:
    host = Host(TIMEOUT, KEPT)
    host.confirm()
    assert host.options == OPTIONS


@pytest.mark.parametrize('transport', ['paramiko', 'ansible.netcommon.libssh'])
def test_another_kind_of_connection_is_made_anew(transport: str) -> None:
    host = Host(KEPT, transport=transport)
    assert host.confirm()['confirm']['state'] == 'proved'
    host.connection.reset.assert_called_once_with()
    host.connection.set_option.assert_not_called()


def test_a_network_that_fails_for_a_moment_is_tried_again_with_growing_patience() -> None:
    host = Host(TIMEOUT, TIMEOUT, JUMP, AnsibleConnectionFailure('Connection reset by peer'), TIMEOUT, KEPT)
    assert host.confirm()['confirm']['state'] == 'proved'
    assert host.slept == [1, 2, 4, 8, 8]


def test_a_confirmation_that_was_killed_half_way_is_asked_for_again() -> None:
    host = Host('palisade-commit confirmed', KEPT)
    assert host.confirm()['confirm']['state'] == 'proved'
    assert host.words == ['/bin/sh /commit confirm token new'] * 2


def test_no_attempt_takes_longer_than_there_is_time() -> None:
    host = Host(TIMEOUT, KEPT, cost=55)
    host.confirm()
    assert [arguments.partition('ConnectTimeout=')[2].partition(' ')[0] for _command, _alone, arguments in host.asked] == ['10', '4']


def test_nobody_gets_through_and_the_host_has_put_everything_back() -> None:
    host = Host(*[TIMEOUT] * 5, 'palisade-commit undone good', cost=10)
    result = host.confirm()
    assert (result['failed'], result['changed'], result['plan_total']) == (True, False, 3)
    assert result['msg'].startswith('No new connection confirmed the change within 60 s (')
    assert 'Connection timed out' in result['msg']
    assert result['msg'].endswith('The host has put back what it had before')
    assert result['confirm']['state'] == 'rolled_back'


def test_the_host_is_asked_until_it_has_put_everything_back() -> None:
    host = Host(*[TIMEOUT] * 4, 'palisade-commit armed 2', 'palisade-commit undoing', 'palisade-commit undone good', cost=4)
    result = host.confirm(seconds=8)
    assert result['confirm'] == {'state': 'rolled_back', 'reason': 'The host has put back what it had before'}
    assert [word.split()[2] for word in host.words] == ['confirm', 'confirm', 'status', 'status', 'status', 'status', 'status']


def test_a_host_that_stays_away_is_not_waited_for_for_ever() -> None:
    host = Host(TIMEOUT, cost=2)
    result = host.confirm(seconds=10)
    assert 10 + PUTTING_BACK <= host.time <= 10 + PUTTING_BACK + 12
    assert (result['failed'], result['changed'], result['confirm']['state']) == (True, True, 'unknown')
    assert 'It puts back what it had before by itself, at the latest 10 s after the change' in result['msg']


@pytest.mark.parametrize(('answer', 'changed', 'state', 'words'), [
    ('palisade-commit undone good', False, 'rolled_back', 's. The host has put back what it had before'),
    ('palisade-commit undone ipv4: no such set', True, 'failed', 'The host could not put back everything that it had before: ipv4: no such set'),
    ('palisade-commit unkept mv: Read-only file system', True, 'proved', 'files could not be written: mv: Read-only file system'),
    ({'rc': 2, 'stdout': '', 'stderr': 'sh: 0: cannot open /commit'}, True, 'gone', 'It was restarted meanwhile'),
    ('palisade-commit gone', True, 'gone', 'The host does not know of the change any more'),
])
def test_what_the_host_says_else_is_a_failure_in_words(answer: Any, changed: bool, state: str, words: str) -> None:
    result = Host(answer).confirm()
    assert (result['failed'], result['changed'], result['confirm']['state']) == (True, changed, state), result
    assert words in result['msg']


@pytest.mark.parametrize(('first', 'reason'), [
    ('palisade-commit same 192.0.2.1 50000 192.0.2.2 22', 'no new connection could be made: .* came in by the old one again'),
    (PERSON, 'a new connection reached the host, which refused to let it log in by itself: .*Permission denied'),
    (AnsibleAuthenticationFailure('Invalid/incorrect password'), 'which refused to let it log in by itself: .*Invalid'),
])
def test_what_cannot_be_proved_is_confirmed_by_the_old_connection_and_said(first: Any, reason: str) -> None:
    host = Host(first, KEPT)
    result = host.confirm()
    assert result['confirm']['state'] == 'unproved'
    assert not result.get('failed')
    assert re.search(reason, result['confirm']['reason'])
    assert [(command.split()[-1], alone) for command, alone, _arguments in host.asked] == [('new', True), ('any', False)]
    said, = [call.args[0] for call in host.action._display.warning.call_args_list]
    assert said.startswith('the change of ruleset web is confirmed, though not as it should be: ')


def test_if_the_old_connection_has_gone_too_that_is_a_failure() -> None:
    host = Host(PERSON, TIMEOUT, 'palisade-commit undone good')
    assert host.confirm()['confirm']['state'] == 'rolled_back'
    assert [command.split()[2] for command in host.words] == ['confirm', 'confirm', 'status']


@pytest.mark.parametrize(('answer', 'state', 'words'), [
    ('palisade-commit undone good', 'rolled_back', 'The host has put back what it had before'),
    ('palisade-commit gone', 'gone', 'the run did not get as far as a change'),
    ('palisade-commit disarmed', 'rolled_back', 'The run had put back all there was before'),
])
def test_after_a_module_that_did_not_answer_the_host_is_told_to_put_everything_back(answer: str, state: str, words: str) -> None:
    host = Host(TIMEOUT, answer)
    result = host.confirmer.find_out(60, 'Shared connection to 192.0.2.2 closed.')
    assert result['msg'].startswith('The module did not come to its end: Shared connection to 192.0.2.2 closed. ')
    assert words in result['msg']
    assert (result['failed'], result['confirm']['state']) == (True, state)
    assert set(host.words) == {'/bin/sh /run/palisade/web.commit/commit undo token'}
    assert all(alone for _command, alone, _arguments in host.asked)


@pytest.mark.parametrize(('text', 'never'), [
    (str(TIMEOUT), True), ('Could not resolve hostname x', True), (str(PERSON), True), ('Host key verification failed.', True),
    ('Shared connection to 192.0.2.2 closed.', False), ('Timeout, server 192.0.2.2 not responding.', False), ('Broken pipe', False),
])
def test_a_host_that_was_never_reached_is_unreachable_and_nothing_else(text: str, never: bool) -> None:
    assert never_began(AnsibleConnectionFailure(text)) is never


@pytest.mark.parametrize(('result', 'dead'), [
    ({'failed': True, 'module_stderr': 'Killed', 'rc': 137}, True), ({'failed': True, 'msg': 'no'}, False), ({'changed': True}, False),
])
def test_a_module_that_died_is_known_by_its_result(result: dict[str, Any], dead: bool) -> None:
    assert died(result) is dead


@pytest.mark.parametrize(('result', 'words'), [
    ({'msg': 'No start of json char found.', 'module_stderr': 'Traceback\n  File\nOSError: [Errno 28] No space left on device\n\n'},
     'No start of json char found (OSError: [Errno 28] No space left on device)'),
    ({'msg': 'MODULE FAILURE', 'module_stderr': ''}, 'MODULE FAILURE'),
])
def test_a_module_that_died_is_quoted(result: dict[str, Any], words: str) -> None:
    assert last_words(result) == words


def test_no_two_runs_have_the_same_word() -> None:
    words: Callable[[], str] = new_token
    assert len({words() for _number in range(100)}) == 100
