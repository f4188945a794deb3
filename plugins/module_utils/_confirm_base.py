# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of commit by proof, whatever it is that changes: whether a change can wait for a word, and what happens to its files then.

The other half is on the controller, in plugin_utils/_confirm.py.
"""
from __future__ import annotations

import shlex
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import connection_value, parse_connection
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import Armed, ConfirmHost
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import UNIT, FilePlan, staged


class Waiting:
    """Arms the rollback of one run, and tells it when the change is live. token: the controller's word for this run; '' where it will not confirm."""

    def __init__(self, host: ConfirmHost, token: str, seconds: int) -> None:
        self.host = host
        self.token = token
        self.seconds = seconds
        self.result: Mapping[str, Any] = {'state': 'none', 'reason': 'nothing changes'}
        self._armed = Armed('', '')

    def _arm(self, name: str, make_texts: Callable[[], Mapping[str, str]]) -> bool:
        """Have the host call the scripts among these texts, unless it is told otherwise in time. False where nobody could tell it.

        Raises PalisadeError, with nothing changed, where the host cannot be made to.
        """
        if not self.seconds:
            self.result = {'state': 'off', 'reason': 'confirm_timeout is 0'}
            return False
        connection = connection_value()
        if not self.token or parse_connection(connection) is None:
            self.result = {'state': 'unproved', 'reason': _why_not(self.token, connection)}
            return False
        self._armed = self.host.arm(name, self.token, self.seconds, {**make_texts(), 'connection': connection})
        return True

    def _start(self, texts: Optional[Mapping[str, str]] = None) -> None:
        """The change is live and as wanted: from now on the time runs, and the word counts."""
        self.host.start_waiting(self._armed, self.seconds, texts)
        self.result = {'state': 'pending', 'command': self._armed.command, 'seconds': self.seconds}

    def put_back(self) -> None:
        """The run has put everything back itself."""
        self.host.disarm(self._armed)


def _why_not(token: str, connection: str) -> str:
    if not connection:
        return 'this run did not come in over ssh'
    if not token:
        return 'the controller is not going to confirm it'
    return 'sshd itself does not know the two ends of the connection that this run came in by'


def keep_script(files: FilePlan, absent: bool, directory: str) -> str:
    """What carries out, in the same order and once more without harm, what _host_files.commit and _host.remove_boot_files would."""
    lines = ['set -eu']
    for change in files.changes:
        if change.text is None:
            lines.append(shell(['rm', '-f', change.path]))
        else:
            new = shlex.quote(staged(change.path))
            lines.append('[ ! -e %s ] || mv -f %s %s' % (new, new, shlex.quote(change.path)))
    folders = sorted({change.path.rpartition('/')[0] for change in files.changes})
    if files.boot_files:
        if any(path.endswith('.service') for path in files.boot_files):
            lines.append('[ ! -d /run/systemd/system ] || systemctl disable --now %s' % UNIT)
        lines += [shell(['rm', '-f', *files.boot_files]), '[ ! -d /run/systemd/system ] || systemctl daemon-reload']
    # Those that know no names synchronise everything.
    lines += ['sync %s 2>/dev/null || sync' % shlex.quote(folder) for folder in folders]
    if absent:
        lines.append('rmdir %s 2>/dev/null || :' % shlex.quote(directory))
    return '\n'.join(lines) + '\n'


def discard_script(files: FilePlan) -> str:
    """What takes the files away that wait for the confirmation."""
    return ''.join(['%s\n' % shell(['rm', '-f', staged(change.path)]) for change in files.changes if change.text is not None])


def shell(words: Sequence[str]) -> str:
    """Words as a line for sh."""
    return ' '.join([shlex.quote(word) for word in words])
