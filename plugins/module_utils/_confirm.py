# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof of rules, on the host: before a change of them, what puts the old ones back by itself."""
from __future__ import annotations

from typing import List, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_base import Waiting, discard_script, keep_script, shell
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_script import UNDO_RULES
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, snapshot_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host, opening_script
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import ConfirmHost
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FilePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import append_line
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Request, Work


class RulesHost(Host, ConfirmHost):
    """A host whose rules may wait for a confirmation."""


class Confirming(Waiting):
    """A change of rules that waits for its word."""

    host: RulesHost

    def arm(self, request: Request, works: Sequence[Work], files: FilePlan) -> bool:
        """Have the host put back what these works change, unless it is told otherwise in time. False where nobody could tell it.

        Raises PalisadeError, with nothing changed, where the host cannot be made to.
        """
        def texts() -> Mapping[str, str]:
            return {
                **{'before.%s' % work.family: snapshot_text(snapshots(request, work)) for work in works},
                'undo': _undo(self.host, request, works),
                'keep': keep_script(files, request.state == 'absent', self.host.directory)
                + (opening_script(files.opened, self.host.run_directory) if files.opened else ''),
                'discard': discard_script(files),
            }

        return self._arm(request.name, texts)

    def applied(self) -> None:
        """The change is live and as wanted: from now on the time runs, and the word counts."""
        self._start()


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


def _undo(host: RulesHost, request: Request, works: Sequence[Work]) -> str:
    """The script that puts the families back."""
    wait = ['--wait=30'] if host.backend == 'legacy' else []
    calls = [['family', work.family, host.command(work.family, 'save'), host.command(work.family, 'restore'), *wait] for work in works]
    functions = 'families() {\n%s}\n' % ''.join(['  %s\n' % shell(call) for call in calls])
    return 'set -u\nname=%s scope=%s\n%s%s' % (request.name, request.scope, functions, UNDO_RULES)
