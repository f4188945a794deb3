# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions have in common whose modules change what could cut Ansible off: they run the module, and confirm what it has changed."""
from __future__ import annotations

import gc
import typing as t
from abc import abstractmethod

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import UNPROVED, Change, Confirmer, died, last_words, never_began, new_token
from ansible_collections.palisade.netfilter.plugins.plugin_utils._transport import WITHOUT_NETWORK, kind_of, may_be_cut
from ansible_collections.palisade.netfilter.plugins.plugin_utils._trial import try_out

NOT_CUT = 'a connection of type %s has no network path that %s could cut'
NO_OTHER = 'this is a connection of type %s, and a new one of that type would not come in by the network'
NO_NEW = 'no new connection to this host can be made now (%s); only the one that your own ssh shares (%s) comes through. '
TAKEN_BACK = 'Unless the change is what lets new ones in again, it would be taken back. '
#: The default of confirm_timeout, in seconds.
CONFIRM_TIMEOUT = 60
Arguments = t.Dict[str, t.Any]
Result = t.Dict[str, t.Any]


class ConfirmedAction(ActionBase):
    """An action whose module waits for a confirmation."""

    _supports_check_mode = True
    _supports_diff = True
    #: What may cut a connection, and what changes then, in words.
    _cuts = ''
    _changing = ''
    #: What to say where no new connection can be made.
    _way_out = 'confirm_timeout: 0 changes it without a confirmation'

    def _run_confirmed(self, module: str, change: Change, arguments: Arguments, task_vars: dict[str, t.Any] | None) -> Result:
        """Run the module, and confirm what it has changed as well as the connection allows."""
        kind = kind_of(self._connection)
        if kind in WITHOUT_NETWORK:
            return self._unconfirmed(module, kind, arguments, task_vars)
        return self._confirmed(module, change, arguments, task_vars)

    @abstractmethod
    def _is_live(self, result: Result) -> bool:
        """Whether a run has changed what could cut a connection."""

    def _why_unproved(self, kind: str) -> str:
        return NO_OTHER % kind if may_be_cut(kind) else NOT_CUT % (kind, self._cuts)

    def _unconfirmed(self, module: str, kind: str, arguments: Arguments, task_vars: dict[str, t.Any] | None) -> Result:
        """Run the module where no new connection could prove anything."""
        reason = self._why_unproved(kind)
        say = self._display.warning if may_be_cut(kind) else self._display.v
        waits = self._seconds(arguments) and not self._task.check_mode
        if waits:
            say('if %s change, that will not be confirmed by a new connection: %s' % (self._changing, reason))
        result = self._without_collector(module, arguments, task_vars)
        if waits and self._is_live(result):
            result['confirm'] = {'state': 'unproved', 'reason': reason}
        return result

    def _confirmed(self, module: str, change: Change, arguments: Arguments, task_vars: dict[str, t.Any] | None) -> Result:
        """Run the module and confirm what it has changed, or find out what became of it."""
        seconds = self._seconds(arguments)
        if not seconds or self._task.check_mode:
            return self._without_collector(module, arguments, task_vars)
        self._try_out(arguments)
        token = new_token()
        confirmer = Confirmer(self, token, change)
        try:
            result = self._without_collector(module, {**arguments, 'confirm_id': token}, task_vars)
        except AnsibleConnectionFailure as error:
            if never_began(error):
                raise
            return confirmer.find_out(seconds, str(error))
        if died(result):
            return {**result, **confirmer.find_out(seconds, last_words(result))}
        return confirmer.confirm(result) if result.get('confirm', {}).get('state') == 'pending' else result

    def _try_out(self, arguments: Arguments) -> None:
        """Say before the change what a new connection could not confirm, and change nothing where it could only be taken back."""
        trial = try_out(self)
        if trial.state == 'refused':
            self._display.warning('if %s change, that will not be confirmed by a new connection: %s' % (
                self._changing, UNPROVED['refused'] % trial.detail))
        elif trial.state == 'unreachable' and self._allows_lockout(arguments):
            self._display.warning(NO_NEW % (trial.detail, trial.path) + TAKEN_BACK)
        elif trial.state == 'unreachable':
            raise AnsibleActionFail('%sNothing has changed. %s' % (NO_NEW % (trial.detail, trial.path) + TAKEN_BACK, self._way_out))

    def _allows_lockout(self, arguments: Arguments) -> bool:
        """Whether the task says that it knows better than what is found before the change."""
        return False

    @staticmethod
    def _seconds(arguments: Arguments) -> int:
        """How long a change waits for its confirmation. What is no number is for the module to refuse."""
        value = arguments.get('confirm_timeout')
        try:
            return CONFIRM_TIMEOUT if value is None else int(value)
        except (TypeError, ValueError):
            return 0

    def _without_collector(self, module: str, arguments: Arguments, task_vars: dict[str, t.Any] | None) -> Result:
        """Run the module.

        To pack it, Ansible reads our code as syntax trees, and while it makes those Python's collector walks all of Ansible's own objects again
        and again: a third of the packing's time. Trees have no cycles, and this process is forked for this one task.
        """
        gc.disable()
        try:
            result: Result = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
            return result
        finally:
            gc.enable()
