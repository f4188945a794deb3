# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arming a rollback on a host of files and fake commands: who watches over the time."""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _host_confirm
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import NEEDED, ConfirmHost

#: A rollback that says that it was one, and where its words went.
TEXTS = {'undo': 'echo undone >> done\n', 'keep': 'echo kept >> done\n', 'discard': ':\n', 'connection': '192.0.2.1 50000 192.0.2.2 22',
         'before.ipv4': '*filter\n'}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfirmHost:
    """A host without systemd, all of whose files are below tmp_path."""
    monkeypatch.setattr(_host_confirm, 'SYSTEMD_RUNS', str(tmp_path / 'systemd'))
    (tmp_path / 'run').mkdir()
    return ConfirmHost(5, str(tmp_path / 'run'))


def states(host: ConfirmHost) -> List[str]:
    names = set(os.listdir(os.path.join(host.run_directory, 'web.commit')))
    return sorted(names & {'armed', 'confirmed', 'kept', 'undoing', 'undone', 'disarmed'})


def wait_for(host: ConfirmHost, state: str) -> None:
    end = time.monotonic() + 20
    while states(host) != [state]:
        assert time.monotonic() < end, states(host)
        time.sleep(0.1)


def test_without_systemd_a_process_of_its_own_puts_everything_back(host: ConfirmHost) -> None:
    armed = host.arm('web', 'token', 1, TEXTS)
    assert states(host) == ['armed']
    assert armed.command == '/bin/sh %s/web.commit/commit' % host.run_directory
    wait_for(host, 'undone')
    assert Path(armed.folder, 'done').read_text(encoding='ascii') == 'undone\n'
    assert Path(armed.folder, 'undone').read_text(encoding='ascii') == 'good\n'
    assert not Path(armed.folder, 'before.ipv4').exists()


def test_the_time_begins_anew_when_the_change_is_live(host: ConfirmHost) -> None:
    armed = host.arm('web', 'token', 1, TEXTS)
    host.start_waiting(armed, 60)
    time.sleep(2.5)
    assert states(host) == ['armed']
    host.disarm(armed)
    assert states(host) == ['disarmed']


def test_nobody_else_may_look(host: ConfirmHost) -> None:
    armed = host.arm('web', 'token', 60, TEXTS)
    host.disarm(armed)
    assert os.stat(armed.folder).st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(armed.folder).iterdir()} == {0o600}


def test_what_an_older_run_has_left_goes(host: ConfirmHost) -> None:
    host.disarm(host.arm('web', 'token', 60, {**TEXTS, 'before.ipv6': 'old'}))
    armed = host.arm('web', 'another', 60, TEXTS)
    assert states(host) == ['armed']
    assert not Path(armed.folder, 'before.ipv6').exists()
    host.disarm(armed)


def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> Path:
    """Have a systemd run whose systemd-run and systemctl note what they are called with."""
    (tmp_path / 'systemd').mkdir()
    (tmp_path / 'bin').mkdir()
    for name in ('systemd-run', 'systemctl'):
        program = tmp_path / 'bin' / name
        program.write_text('#!/bin/sh\necho "${0##*/} $*" >> %s/called\nexit %d\n' % (tmp_path, status), encoding='ascii')
        program.chmod(0o755)
    monkeypatch.setenv('PATH', '%s:%s' % (tmp_path / 'bin', os.environ['PATH']))
    return tmp_path / 'called'


def test_systemd_watches_where_it_runs_and_is_told_when_it_need_not(
        host: ConfirmHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = systemd(tmp_path, monkeypatch, 0)
    armed = host.arm('web', 'token', 1, TEXTS)
    line, = called.read_text(encoding='ascii').splitlines()
    for words in ('systemd-run --quiet --collect --unit palisade-rollback-web-token ', ' --on-active=1 --timer-property=AccuracySec=100ms ',
                  ' --property=Restart=on-failure ', ' /bin/sh %s/commit watch token' % armed.folder):
        assert words in line
    time.sleep(2.5)
    assert states(host) == ['armed'], 'somebody else watches too'
    host.disarm(armed)
    assert called.read_text(encoding='ascii').splitlines()[1:] == ['systemctl stop palisade-rollback-web-token.timer']


def test_where_systemd_does_not_take_it_a_process_does(host: ConfirmHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemd(tmp_path, monkeypatch, 1)
    host.arm('web', 'token', 1, TEXTS)
    wait_for(host, 'undone')


@pytest.mark.parametrize('missing', NEEDED)
def test_a_host_that_lacks_what_the_rollback_needs_is_not_armed(host: ConfirmHost, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    which = _host_confirm.shutil.which
    monkeypatch.setattr(_host_confirm.shutil, 'which', lambda name, **options: None if name == missing else which(name, **options))
    with pytest.raises(PalisadeError, match='this host has no %s, which the rollback needs.*Nothing has changed' % missing):
        host.arm('web', 'token', 60, TEXTS)
    assert os.listdir(host.run_directory) == []


def test_a_host_that_cannot_be_written_to_is_not_armed(host: ConfirmHost, tmp_path: Path) -> None:
    (tmp_path / 'run').rmdir()
    (tmp_path / 'run').write_text('a file', encoding='ascii')
    with pytest.raises(PalisadeError, match=r'the rollback cannot be prepared\. Nothing has changed'):
        host.arm('web', 'token', 60, TEXTS)


def test_if_nobody_can_be_made_to_watch_nothing_is_left_armed(host: ConfirmHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(*_words: Any, **_options: Any) -> None:
        raise OSError('no more processes')

    monkeypatch.setattr(_host_confirm.subprocess, 'Popen', popen)
    with pytest.raises(PalisadeError, match=r'the rollback cannot be armed\. Nothing has changed: no more processes'):
        host.arm('web', 'token', 60, TEXTS)
    assert host.pending() == ''
