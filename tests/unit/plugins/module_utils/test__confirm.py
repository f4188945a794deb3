# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of commit by proof, less the host: when it is armed, with what, and the text of what was there before."""
from __future__ import annotations

import subprocess
from typing import Any, Dict, List, Mapping, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _confirm_base
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm import Confirming, snapshot_text
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_script import COMMIT, UNDO_RULES
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Jump, TableGoal
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import Armed
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import run_ruleset
from ansible_collections.palisade.netfilter.tests.unit.plugins.module_utils.test__transaction import FOREIGN, WEB, request
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

OVER_SSH = '192.0.2.1 50000 192.0.2.2 22'


class Host(MemoryHost):
    """A fake host that notes when it is armed, told and disarmed, among its other calls."""

    run_directory = '/run/palisade'
    armed: Tuple[Any, ...] = ()
    texts: Mapping[str, str] = {}
    refuses = ''

    def command(self, family: str, verb: str) -> str:
        return '/sbin/%s %s' % (family, verb)

    def arm(self, *what: Any) -> Armed:
        if self.refuses:
            raise PalisadeError(self.refuses)
        self.calls.append('arm')
        self.armed, self.texts = what[:3], what[3]
        return Armed('/run/x', '/bin/sh /run/x/commit')

    def start_waiting(self, armed: Armed, seconds: int, texts: Any = None) -> None:
        self.calls.append('wait %d' % seconds)

    def disarm(self, armed: Armed) -> None:
        self.calls.append('disarm')


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(_confirm_base, 'connection_value', lambda: OVER_SSH)
    made = Host()
    made.put('ipv4', FOREIGN)
    return made


def run(host: Host, token: str = 'token', seconds: int = 60, **options: Any) -> Dict[str, Any]:
    given = options if options.get('state') == 'absent' else {'tables': WEB, **options}
    commit: Any = Confirming(host, token, seconds)  # type: ignore[arg-type]
    return run_ruleset(request(**given), host, None, commit)


def changes(host: Host) -> List[str]:
    return [call for call in host.calls if call.split()[0] in ('arm', 'wait', 'restore', 'disarm')]


def test_it_is_armed_ahead_of_the_first_change_and_told_behind_the_last(host: Host) -> None:
    result = run(host)
    assert result['confirm'] == {'state': 'pending', 'command': '/bin/sh /run/x/commit', 'seconds': 60}
    assert changes(host) == ['arm', 'restore ipv4', 'restore ipv6', 'wait 60']
    assert host.armed == ('palisade', 'token', 60)
    assert set(host.texts) == {'before.ipv4', 'before.ipv6', 'undo', 'keep', 'discard', 'connection'}
    assert host.texts['connection'] == OVER_SSH


def test_what_changes_nothing_waits_for_nothing(host: Host) -> None:
    run(host)
    host.calls.clear()
    assert run(host)['confirm'] == {'state': 'none', 'reason': 'nothing changes'}
    assert changes(host) == []


def test_check_mode_waits_for_nothing_and_says_nothing_of_it(host: Host) -> None:
    assert 'confirm' not in run(host, check_mode=True)
    assert changes(host) == []


@pytest.mark.parametrize(('token', 'seconds', 'connection', 'state', 'reason'), [
    ('token', 0, OVER_SSH, 'off', 'confirm_timeout is 0'),
    ('', 60, OVER_SSH, 'unproved', 'the controller is not going to confirm it'),
    ('token', 60, '', 'unproved', 'this run did not come in over ssh'),
    ('token', 60, 'UNKNOWN 65535 UNKNOWN 65535', 'unproved', 'sshd itself does not know'),
])
def test_where_nobody_could_confirm_nothing_is_armed(
        host: Host, monkeypatch: pytest.MonkeyPatch, token: str, seconds: int, connection: str, state: str, reason: str) -> None:
    monkeypatch.setattr(_confirm_base, 'connection_value', lambda: connection)
    result = run(host, token, seconds, persist=True)
    assert (result['changed'], result['confirm']['state']) == (True, state)
    assert reason in result['confirm']['reason']
    assert changes(host) == ['restore ipv4', 'restore ipv6']
    assert '/etc/palisade/palisade.rules' in host.files


def test_files_wait_for_the_confirmation_too(host: Host) -> None:
    run(host, persist=True)
    assert sorted(host.files) == ['?/etc/palisade/palisade.%s' % kind for kind in ('closed', 'good', 'rules')]
    moved = [line.split()[-1] for line in host.texts['keep'].splitlines() if 'mv -f' in line]
    assert moved == ['/etc/palisade/palisade.%s' % kind for kind in ('good', 'closed', 'rules')]


def test_files_alone_need_no_confirmation(host: Host) -> None:
    run(host, seconds=0)
    host.calls.clear()
    assert run(host, persist=True)['confirm']['state'] == 'none'
    assert '/etc/palisade/palisade.rules' in host.files


def test_a_host_that_cannot_be_armed_is_not_changed(host: Host) -> None:
    host.refuses = 'this host has no awk'
    before = host.saved()
    with pytest.raises(PalisadeError, match='this host has no awk'):
        run(host, persist=True)
    assert (host.saved(), host.files, host.interrupted('palisade')) == (before, {}, False)


def test_a_run_that_puts_everything_back_is_disarmed(host: Host) -> None:
    host.before = lambda number, _family, _text: Result(1, '', 'no') if number == 2 else None
    with pytest.raises(PalisadeError, match='back as they were'):
        run(host)
    assert changes(host)[-1] == 'disarm'


def test_a_run_that_cannot_put_everything_back_stays_armed(host: Host) -> None:
    host.before = lambda number, _family, _text: Result(1, '', 'no') if number >= 2 else None
    with pytest.raises(PalisadeError, match='putting back what was there failed too'):
        run(host)
    assert 'disarm' not in host.calls


def test_while_one_waits_the_next_is_refused_and_check_mode_warns(host: Host) -> None:
    host.waiting_for = 'a change of ruleset web waits'
    with pytest.raises(PalisadeError, match=r'a change of ruleset web waits\. Run again then\. Nothing has changed'):
        run(host)
    assert changes(host) == []
    assert any('a change of ruleset web waits' in warning for warning in run(host, check_mode=True)['warnings'])


def test_what_was_there_before_as_text(host: Host) -> None:
    run(host, seconds=0, tables={'filter': {'INPUT': {'policy': 'DROP', 'rules': ['-i lo -j ACCEPT']}}})
    run(host)
    assert host.texts['before.ipv4'].split('*nat')[0] == '''*filter
:INPUT DROP
:palisade-INPUT -
#jump INPUT 2 [0:0] -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT
#jump FORWARD 0
#jump OUTPUT 0
[0:0] -A palisade-INPUT -i lo -j ACCEPT
'''
    assert 'name=palisade scope=chains\n' in host.texts['undo']
    assert "  family ipv4 '/sbin/ipv4 save' '/sbin/ipv4 restore'\n  family ipv6 " in host.texts['undo']


def test_a_table_with_everything_as_text() -> None:
    goal = TableGoal()
    goal.chains = {'web-A': ['-j RETURN', ''], 'web-B': []}
    goal.counters = {'web-A': ['[1:2]', '[3:4]']}
    goal.policies = {'FORWARD': 'DROP'}
    goal.jumps = {'INPUT': Jump('-j web-INPUT', 3, '[5:6]'), 'OUTPUT': None}
    assert snapshot_text({'filter': goal}) == (
        '*filter\n:FORWARD DROP\n:web-A -\n:web-B -\n#jump INPUT 4 [5:6] -j web-INPUT\n#jump OUTPUT 0\n[1:2] -A web-A -j RETURN\n[3:4] -A web-A\n')


@pytest.mark.parametrize('script', [COMMIT, UNDO_RULES])
@pytest.mark.parametrize('shell', ['sh', 'bash', 'busybox sh'])
def test_the_scripts_are_good_for_any_shell(script: str, shell: str) -> None:
    if subprocess.run(['sh', '-c', 'command -v %s' % shell.split()[0]], capture_output=True, check=False).returncode:
        pytest.skip('no %s here' % shell)
    assert subprocess.run([*shell.split(), '-n'], input=script.encode(), capture_output=True, check=True).stderr == b''
