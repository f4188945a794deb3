# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the managed host that waits for a confirmation: its files below /run and what watches over the time. Decides nothing."""
from __future__ import annotations

import os
import shutil
import subprocess
from typing import Mapping, NamedTuple, Optional

from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_script import COMMIT
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import BaseHost, uptime
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import SYSTEMD_RUNS, in_words

#: What the scripts call; a host that lacks one could not put anything back.
NEEDED = ('awk', 'sed', 'tr', 'cat', 'mv', 'rm', 'sleep')


class Armed(NamedTuple):
    """A rollback that waits. `command` is what the controller calls, with a verb and the token."""

    folder: str
    command: str


class ConfirmHost(BaseHost):
    """A host whose changes wait for a confirmation."""

    def arm(self, name: str, token: str, seconds: int, texts: Mapping[str, str]) -> Armed:
        """Have everything of a change put back `seconds` from now, whatever becomes of this process and its connection.

        Raises PalisadeError where that cannot be. name: the ruleset's, or _host_base.SETTINGS. `texts` are the files that the scripts read (see
        _confirm_script.py).
        """
        missing = [program for program in NEEDED if shutil.which(program) is None]
        if missing:
            raise PalisadeError('confirm_timeout: this host has no %s, which the rollback needs: nothing could be put back by itself. '
                                'Nothing has changed' % ', '.join(missing))
        folder = os.path.join(self.run_directory, '%s.commit' % name)
        script = os.path.join(folder, 'commit')
        unit = 'palisade-rollback-%s-%s' % (name, token)
        stop = 'systemctl stop %s.timer\n' % unit
        with in_words('confirm_timeout: the rollback cannot be prepared. Nothing has changed'):
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder, 0o700)
            for file, text in {**texts, 'commit': COMMIT, 'token': token, 'stop': stop, 'deadline': _in(seconds)}.items():
                _write(os.path.join(folder, file), text)
            _write(os.path.join(folder, 'armed'), '')
        if not self._by_systemd(unit, script, token, seconds):
            try:
                # A session of its own, and nothing of ours open: it outlives this process and its connection.
                subprocess.Popen(['/bin/sh', script, 'watch', token], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True, cwd='/')
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise PalisadeError('confirm_timeout: the rollback cannot be armed. Nothing has changed: %s' % error) from error
        return Armed(folder, '/bin/sh %s' % script)

    def _by_systemd(self, unit: str, script: str, token: str, seconds: int) -> bool:
        """Whether systemd has taken it: a process in the session could end with it."""
        program = shutil.which('systemd-run') if os.path.isdir(SYSTEMD_RUNS) else None
        if program is None:
            return False
        return self._run([
            program, '--quiet', '--collect', '--unit', unit, '--description', 'Rollback of a change that nobody has confirmed',
            '--on-active=%d' % seconds, '--timer-property=AccuracySec=100ms', '--property=Restart=on-failure', '--property=RestartSec=1',
            '/bin/sh', script, 'watch', token]).status == 0

    def start_waiting(self, armed: Armed, seconds: int, texts: Optional[Mapping[str, str]] = None) -> None:
        """The change is live: its time begins now. `texts` are files that the rollback reads of it."""
        with in_words('the rollback cannot be told of the change'):
            for file, text in (texts or {}).items():
                _write(os.path.join(armed.folder, file), text)
            new = os.path.join(armed.folder, 'deadline.new')
            _write(new, _in(seconds))
            os.replace(new, os.path.join(armed.folder, 'deadline'))
            _write(os.path.join(armed.folder, 'applied'), '')

    def disarm(self, armed: Armed) -> None:
        """Nothing is left to put back."""
        with in_words('the rollback cannot be called off'):
            os.replace(os.path.join(armed.folder, 'armed'), os.path.join(armed.folder, 'disarmed'))
        self._run(['/bin/sh', os.path.join(armed.folder, 'stop')])


def _in(seconds: int) -> str:
    return '%d\n' % (uptime() + seconds)


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), 'wb') as stream:
        stream.write(text.encode('utf-8', 'surrogateescape'))
