# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of commit by proof: before a change, what puts the old state back by itself; after it, the wait for a word by a new connection.

The other half is on the controller, in plugin_utils/_confirm.py.
"""
from __future__ import annotations

import shlex
from typing import Any, List, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_script import UNDO_RULES
from ansible_collections.palisade.netfilter.plugins.module_utils._connection import connection_value, parse_connection
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, snapshot_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._host import opening_script
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import Armed, ConfirmHost
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import UNIT, FilePlan, staged
from ansible_collections.palisade.netfilter.plugins.module_utils._save import append_line
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Request, Work


class Confirming:
    """Arms the rollback of one run, and tells it when the change is live. token: the controller's word for this run; '' where it will not confirm."""

    def __init__(self, host: ConfirmHost, token: str, seconds: int) -> None:
        self.host = host
        self.token = token
        self.seconds = seconds
        self.result: Mapping[str, Any] = {'state': 'none', 'reason': 'nothing changes'}
        self._armed = Armed('', '')

    def arm(self, request: Request, works: Sequence[Work], files: FilePlan) -> bool:
        """Have the host put back what these works change, unless it is told otherwise in time. False where nobody could tell it.

        Raises PalisadeError, with nothing changed, where the host cannot be made to.
        """
        if not self.seconds:
            self.result = {'state': 'off', 'reason': 'confirm_timeout is 0'}
            return False
        connection = connection_value()
        if not self.token or parse_connection(connection) is None:
            self.result = {'state': 'unproved', 'reason': _why_not(self.token, connection)}
            return False
        texts = {'before.%s' % work.family: snapshot_text(snapshots(request, work)) for work in works}
        texts['undo'] = _undo(self.host, request, works)
        texts['keep'] = keep_script(files, request.state == 'absent', self.host.directory)
        if files.opened:
            texts['keep'] += opening_script(files.opened, self.host.run_directory)
        texts['discard'] = discard_script(files)
        texts['connection'] = connection
        self._armed = self.host.arm(request.name, self.token, self.seconds, texts)
        return True

    def applied(self) -> None:
        """The change is live and as wanted: from now on the time runs, and the word counts."""
        self.host.start_waiting(self._armed, self.seconds)
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


def snapshots(request: Request, work: Work) -> Mapping[str, TableGoal]:
    """What one family's tables held of ours before the run."""
    ownership = Ownership(request.name, request.scope)
    return {table: snapshot_goal(table, work.live.get(table, {}), goal, ownership) for table, goal in work.goals.items()}


def snapshot_text(goals: Mapping[str, TableGoal]) -> str:
    """The same as text, in the words of iptables-save; `#jump HOOK PLACE [COUNTER] RULE` is a jump of ours, without a rule where there was none."""
    lines: List[str] = []
    for table, goal in goals.items():
        lines.append('*%s' % table)
        lines += [':%s %s' % policy for policy in goal.policies.items()]
        lines += [':%s -' % chain for chain in goal.chains]
        for hook, jump in goal.jumps.items():
            words = ['#jump', hook, '0'] if jump is None else ['#jump', hook, str((jump.place or 0) + 1), jump.counter, jump.rule]
            lines.append(' '.join([word for word in words if word]))
        for chain, rules in goal.chains.items():
            counters = goal.counters.get(chain) or [''] * len(rules)
            lines += [append_line(chain, rule, counter) for rule, counter in zip(rules, counters)]
    return ''.join(['%s\n' % line for line in lines])


def _undo(host: ConfirmHost, request: Request, works: Sequence[Work]) -> str:
    """The script that puts the families back."""
    wait = ['--wait=30'] if host.backend == 'legacy' else []
    calls = [['family', work.family, host.command(work.family, 'save'), host.command(work.family, 'restore'), *wait] for work in works]
    functions = 'families() {\n%s}\n' % ''.join(['  %s\n' % _command(call) for call in calls])
    return 'set -u\nname=%s scope=%s\n%s%s' % (request.name, request.scope, functions, UNDO_RULES)


def keep_script(files: FilePlan, absent: bool, directory: str) -> str:
    """What carries out, in the same order and once more without harm, what _host_files.commit and _host.remove_boot_files would."""
    lines = ['set -eu']
    for change in files.changes:
        if change.text is None:
            lines.append(_command(['rm', '-f', change.path]))
        else:
            new = shlex.quote(staged(change.path))
            lines.append('[ ! -e %s ] || mv -f %s %s' % (new, new, shlex.quote(change.path)))
    folders = sorted({change.path.rpartition('/')[0] for change in files.changes})
    if files.boot_files:
        if any(path.endswith('.service') for path in files.boot_files):
            lines.append('[ ! -d /run/systemd/system ] || systemctl disable --now %s' % UNIT)
        lines += [_command(['rm', '-f', *files.boot_files]), '[ ! -d /run/systemd/system ] || systemctl daemon-reload']
    # Those that know no names synchronise everything.
    lines += ['sync %s 2>/dev/null || sync' % shlex.quote(folder) for folder in folders]
    if absent:
        lines.append('rmdir %s 2>/dev/null || :' % shlex.quote(directory))
    return '\n'.join(lines) + '\n'


def discard_script(files: FilePlan) -> str:
    """What takes the files away that wait for the confirmation."""
    return ''.join(['%s\n' % _command(['rm', '-f', staged(change.path)]) for change in files.changes if change.text is not None])


def _command(words: Sequence[str]) -> str:
    return ' '.join([shlex.quote(word) for word in words])
