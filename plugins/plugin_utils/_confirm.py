# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of commit by proof: a connection that is truly new, over which a change is confirmed, or what became of it is asked.

For action plugins. The host's half is in module_utils/_confirm.py; the command that both speak of in _confirm_script.py.
"""
from __future__ import annotations

import re
import secrets
import time
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

#: First in the command, and ssh takes an option's first value: neither Ansible's multiplexer nor one of the user's own, and no waiting for ever.
ALONE = '-o ControlPath=none -o ControlMaster=no -o ServerAliveInterval=3 -o ServerAliveCountMax=2 -o ConnectTimeout=%d'
#: Seconds that an attempt may take to connect when hardly any are left.
SHORTEST_ATTEMPT = 3
#: The option -S beats the above, wherever it stands, and the last one counts.
ALONE_TOO = '-S none'
#: Seconds between two attempts to reach the host: first and longest. They grow, or a rate limit would take them for an attack.
PAUSES = (1.0, 8.0)
#: Seconds that a host may need to put everything back once its time is over, before nobody waits for it any more.
PUTTING_BACK = 30.0
#: Where the host's half keeps what waits, by the name of what changes.
COMMAND = '/bin/sh /run/palisade/%s.commit/commit'
_ANSWER = re.compile(r'^palisade-commit ([a-z]+)(?: ([^\r\n]*))?', re.MULTILINE)
#: The last that ssh says where the host itself is reached and wants a person. A jump host that refuses is not the last to speak.
REFUSED = re.compile(r'(?:Permission denied \(|Too many authentication failures|No more authentication methods)[^\n]*\s*\Z')
#: What ssh says of a connection that never came to be: no module has run.
_NEVER = re.compile(
    r'ssh: connect to host|Could not resolve|Permission denied|Host key verification failed|Connection refused|kex_exchange_identification')
Result = t.Dict[str, t.Any]


class Answer(t.NamedTuple):
    """What the host said. state: as the files of _confirm_script.py are called (half: undone, and not all of it), or same, unapplied, unkept,
    gone; or of a connection that was not made, unreachable or refused."""

    state: str
    detail: str = ''


class Change(t.NamedTuple):
    """What changes: by the name under which the host keeps what waits, and in words."""

    name: str
    words: str


def new_token() -> str:
    """A word for one run, so that nobody confirms another's."""
    return secrets.token_hex(8)


class Confirmer:
    """Confirms a change of one host. clock and sleep are the machine's, and a test's."""

    def __init__(
            self, action: ActionBase, token: str, change: Change,
            clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._action = action
        self._token = token
        self._change = change
        self._clock = clock
        self._sleep = sleep

    def confirm(self, result: Result) -> Result:
        """Confirm what a module's result says is waiting, and return the result with what came of it."""
        waiting = result['confirm']
        began = self._clock()
        answer = self._ask(waiting['command'], 'confirm %s new' % self._token, began + waiting['seconds'], ('armed', 'unreachable', 'confirmed'))
        if answer.state == 'kept':
            result['confirm'] = {'state': 'proved', 'connection': _in_words(answer.detail)}
            return result
        if answer.state in ('same', 'refused'):
            reason = UNPROVED[answer.state] % answer.detail
            answer = self._once(waiting['command'], 'confirm %s any' % self._token, fresh=False)
            if answer.state == 'kept':
                self._action._display.warning('the change of %s is confirmed, though not as it should be: %s' % (self._change.words, reason))
                result['confirm'] = {'state': 'unproved', 'reason': reason}
                return result
        return self._failed(result, waiting, answer, self._clock() - began)

    def find_out(self, seconds: int, why: str) -> Result:
        """After a module that has not answered: have the host put back what was done, and return a failure that says what became of it."""
        answer = self._ask(COMMAND % self._change.name, 'undo %s' % self._token, self._clock() + seconds + PUTTING_BACK, ('unreachable', 'undoing'))
        words = _state_in_words(answer, seconds)
        return {'failed': True, 'changed': False, 'msg': 'The module did not come to its end: %s. %s' % (why.rstrip('. '), words),
                'confirm': {'state': _OUTCOMES.get(answer.state, 'unknown'), 'reason': words}}

    def _failed(self, result: Result, waiting: Result, answer: Answer, spent: float) -> Result:
        """The change is not confirmed: wait until the host has put everything back, and fail with what it says of that."""
        first = answer
        if answer.state in ('unreachable', 'armed', 'undoing'):
            left = waiting['seconds'] - spent + PUTTING_BACK
            answer = self._ask(waiting['command'], 'status %s' % self._token, self._clock() + left, ('unreachable', 'armed', 'undoing'))
        words = _state_in_words(answer, waiting['seconds'])
        cause = _CAUSES.get(first.state, '') or 'No new connection confirmed the change within %(seconds)d s (%(detail)s). '
        state = _OUTCOMES.get(answer.state, 'unknown')
        return {
            **result, 'failed': True, 'changed': state != 'rolled_back',
            'msg': (cause % {'seconds': waiting['seconds'], 'detail': first.detail or 'no answer'} + words).strip(),
            'confirm': {'state': state, 'reason': words},
        }

    def _ask(self, command: str, words: str, until: float, again: t.Collection[str]) -> Answer:
        """Call the host's half over new connections until it answers something else than `again`, or time is over."""
        pause, longest = PAUSES
        while True:
            answer = self._once(command, words, patience=until - self._clock())
            left = until - self._clock()
            if answer.state not in again or left <= 0:
                return answer
            self._sleep(min(pause, left))
            pause = min(2 * pause, longest)

    def _once(self, command: str, words: str, fresh: bool = True, patience: float = 0) -> Answer:
        try:
            with alone(self._action._connection, patience) if fresh else _as_it_is():
                ended = self._action._low_level_execute_command('%s %s' % (command, words))
        except AnsibleAuthenticationFailure as error:
            return Answer('refused', str(error))
        except AnsibleError as error:
            return Answer('refused' if REFUSED.search(str(error)) else 'unreachable', first_line(str(error)))
        found = _ANSWER.search(ended['stdout'])
        if found is not None:
            state, detail = found.group(1), found.group(2) or ''
            return Answer('half' if state == 'undone' and detail != 'good' else state, detail)
        # With /run empty after a restart there is no such file any more, and the shell says so.
        return Answer('gone' if ended['rc'] in (2, 126, 127) else 'unreachable', first_line(ended['stderr'] or ended['stdout']))


UNPROVED = {
    'same': 'no new connection could be made: this kind of connection came in by the old one again (%s)',
    'refused': 'a new connection reached the host, which refused to let it log in by itself: %s',
}
#: Why a change was not confirmed, by the first answer that told.
_CAUSES = {
    'undone': 'No new connection confirmed the change within %(seconds)d s. ',
    'half': 'No new connection confirmed the change within %(seconds)d s. ',
    'gone': 'The host does not know of the change any more. ',
    'unkept': 'The change is live and confirmed, but its files could not be written: %(detail)s. ',
    'disarmed': ' ',
}
#: The state that the host is in, in words.
_STATES = {
    'undone': 'The host has put back what it had before',
    'half': 'The host could not put back everything that it had before: %(detail)s',
    'kept': 'The change is live and stays: it was confirmed (from %(detail)s)',
    'unkept': 'The host tries again when the time is over, the next run and `palisade-firewall reload` do so at once',
    'gone': 'It was restarted meanwhile, or the run did not get as far as a change: what was there before is in force, unless the power went in the '
            'moment of the confirmation: then it may be the change, which is whole and persisted',
    'disarmed': 'The run had put back all there was before',
    'unreachable': 'The host could not be reached to say what became of it (%(detail)s). It puts back what it had before by itself, at the latest '
                   '%(seconds)d s after the change',
    'armed': 'The host has not put back what it had before, though its time is over',
    'undoing': 'The host is still putting back what it had before',
}
_OUTCOMES = {'undone': 'rolled_back', 'half': 'failed', 'unkept': 'proved', 'kept': 'proved', 'gone': 'gone', 'disarmed': 'rolled_back'}


def _state_in_words(answer: Answer, seconds: int) -> str:
    return _STATES.get(answer.state, 'The host says: %(state)s %(detail)s').strip() % {
        'state': answer.state, 'detail': answer.detail or 'no answer', 'seconds': seconds}


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def alone(connection: t.Any, patience: float, more: str = '') -> Iterator[None]:
    """Have the connection's next command go by a connection of its own, to be made within so many seconds or Ansible's own timeout.

    more: further arguments for ssh.
    """
    if str(connection.transport).rpartition('.')[2] != 'ssh':
        # Each of these is one connection in this process; a new one takes its place.
        connection.reset()
        yield
        return
    before = {name: connection.get_option(name) for name in ('ssh_args', 'ssh_extra_args', 'reconnection_retries')}
    timeout = min(int(connection.get_option('timeout')), max(SHORTEST_ATTEMPT, int(patience)))
    connection.set_option('ssh_args', ' '.join([word for word in (ALONE % timeout, more, before['ssh_args'] or '') if word]))
    connection.set_option('ssh_extra_args', '%s %s' % (before['ssh_extra_args'] or '', ALONE_TOO))
    connection.set_option('reconnection_retries', 0)
    try:
        yield
    finally:
        for name, value in before.items():
            connection.set_option(name, value)


def died(result: Result) -> bool:
    """Whether a module's result is none, since its process went without a word."""
    return bool(result.get('failed')) and 'module_stderr' in result


def last_words(result: Result) -> str:
    """Why there is no result, as far as anybody said so: on a full disk it is the last line of what Python says, and Ansible speaks of JSON."""
    lines = [line.strip() for line in str(result.get('module_stderr', '')).splitlines() if line.strip()]
    message = str(result.get('msg', '')).rstrip('. ')
    return '%s (%s)' % (message, lines[-1][:400]) if lines else message


def never_began(error: AnsibleConnectionFailure) -> bool:
    """Whether a connection failed before anything can have run on the host."""
    return _NEVER.search(str(error)) is not None


def _in_words(value: str) -> str:
    words = value.split()
    return 'from %s port %s to %s port %s' % tuple(words) if len(words) == 4 else value


def first_line(text: str) -> str:
    """What a connection says of its failure, as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and 'Warning: Permanently added' not in line]
    return ' '.join(lines[-2:])[:400]
