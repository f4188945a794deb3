# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial before a change: whose multiplexer ssh would share, by Ansible's own connection plugin and a real `ssh -G`, and what an attempt says."""
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible_collections.palisade.netfilter.plugins.plugin_utils import _trial
from ansible_collections.palisade.netfilter.plugins.plugin_utils._trial import Trial, try_out, users_multiplexer
from ansible_collections.palisade.netfilter.tests.unit.plugins.plugin_utils.test__confirm import JUMP, PERSON, TIMEOUT

PERSISTING = '-o ControlMaster=auto -o ControlPersist=60s'


def ssh(config: Path, **options: Any) -> Any:
    """Return Ansible's own ssh plugin for a host, as a task would have it."""
    if shutil.which('ssh') is None:
        pytest.skip('no ssh here')
    context = PlayContext()
    context.remote_addr = '192.0.2.2'
    connection = connection_loader.get('ssh', context, os.devnull)
    given = {'ssh_args': PERSISTING, 'host': '192.0.2.2', 'control_path_dir': str(config.parent / 'cp'), **options}
    connection.set_options(direct=given)
    connection.set_option('ssh_common_args', '-F %s' % config)
    return connection


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / 'config').write_text('Host *\nControlMaster auto\nControlPath /mine\n', encoding='ascii')
    return tmp_path / 'config'


@pytest.mark.parametrize(('options', 'path'), [
    ({}, ''), ({'ssh_args': ''}, '/mine'), ({'ssh_args': '-o ControlPath=none'}, ''), ({'ssh_extra_args': '-o ControlPath=/given'}, '/given'),
    ({'ssh_extra_args': '-S /given'}, '/given'), ({'ssh_extra_args': '-S none'}, ''), ({'ssh_args': PERSISTING + ' -oControlPath=/given'}, '/given'),
    ({'ssh_args': '', 'password': 'secret', 'password_mechanism': 'ssh_askpass'}, '/mine'), ({'ssh_args': '-vvv'}, '/mine'),
    ({'ssh_args': '', 'ssh_executable': '/no/such/ssh'}, ''), ({'ssh_args': '', 'ssh_executable': '/bin/false'}, ''),
])
def test_whose_multiplexer_it_is(config: Path, options: dict[str, Any], path: str) -> None:
    connection = ssh(config, **options)
    before = connection.get_option('control_path')
    assert users_multiplexer(connection) == path
    assert connection.get_option('control_path') == before


def test_without_a_multiplexer_of_the_users_ssh_is_not_even_asked(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trial.subprocess, 'run', Mock(side_effect=AssertionError))
    assert users_multiplexer(ssh(config)) == ''
    assert users_multiplexer(Mock(transport='community.docker.docker')) == ''


def test_no_pipe_of_a_password_is_left_open(config: Path) -> None:
    connection = ssh(config, ssh_args='', password='secret', password_mechanism='sshpass')
    connection._sshpass_available = lambda: True
    descriptors = os.listdir('/proc/self/fd')
    assert users_multiplexer(connection) == '/mine'
    assert (len(os.listdir('/proc/self/fd')), connection.sshpass_pipe) == (len(descriptors), None)


def test_a_plugin_that_is_otherwise_made_is_not_asked(config: Path) -> None:
    connection = ssh(config)
    connection._build_command = Mock(side_effect=AnsibleError('no sshpass'))
    assert users_multiplexer(connection) == ''


class Host:
    """Answers one attempt after the other."""

    def __init__(self, *answers: Any, password: str | None = None) -> None:
        self.answers = list(answers)
        self.options: dict[str, Any] = {
            'ssh_args': PERSISTING, 'ssh_extra_args': None, 'reconnection_retries': 3, 'timeout': 10, 'password': password}
        self.asked: list[str] = []
        self.slept: list[float] = []
        connection = Mock(transport='ssh', _play_context=Mock(password=None))
        connection.get_option.side_effect = self.options.__getitem__
        connection.set_option.side_effect = self.options.__setitem__
        self.action: Any = Mock(_connection=connection)
        self.action._low_level_execute_command.side_effect = self._execute

    def _execute(self, command: str, sudoable: bool) -> dict[str, Any]:
        assert (command, sudoable) == ('true', False)
        self.asked.append(str(self.options['ssh_args']))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {'rc': 0, 'stdout': '', 'stderr': ''}

    def try_out(self) -> Trial:
        return try_out(self.action, self.slept.append)


@pytest.fixture(autouse=True)
def _mine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the user share a connection, in the tests below."""
    if 'config' not in request.fixturenames:
        monkeypatch.setattr(_trial, 'users_multiplexer', lambda _connection: '/mine')


def test_a_new_connection_by_itself_and_nobody_is_asked_for_anything() -> None:
    host = Host('yes')
    assert host.try_out() == Trial('open', '/mine')
    assert 'ControlPath=none' in host.asked[0] and '-o BatchMode=yes' in host.asked[0]
    assert host.options['ssh_args'] == PERSISTING


def test_with_a_password_of_ansibles_ssh_may_ask_for_it() -> None:
    host = Host('yes', password='secret')
    host.try_out()
    assert 'BatchMode' not in host.asked[0]


@pytest.mark.parametrize('answer', [PERSON, AnsibleAuthenticationFailure('Invalid/incorrect password')])
def test_a_host_that_wants_a_person_is_asked_once(answer: Exception) -> None:
    host = Host(answer)
    assert host.try_out().state == 'refused'
    assert len(host.asked) == 1


def test_a_network_that_fails_for_a_moment_is_tried_again() -> None:
    host = Host(TIMEOUT, JUMP, 'yes')
    assert host.try_out() == Trial('open', '/mine')
    assert host.slept == [0, 1, 3]


def test_nothing_comes_in_anew_and_the_shared_connection_does() -> None:
    host = Host(TIMEOUT, TIMEOUT, TIMEOUT, 'yes')
    trial = host.try_out()
    assert (trial.state, 'Connection timed out' in trial.detail) == ('unreachable', True)
    assert host.asked[-1] == PERSISTING


def test_a_host_that_is_not_there_at_all_is_unreachable_as_for_any_task() -> None:
    host = Host(TIMEOUT, TIMEOUT, TIMEOUT, AnsibleConnectionFailure('gone'))
    with pytest.raises(AnsibleConnectionFailure, match='gone'):
        host.try_out()
