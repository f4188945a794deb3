# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a new connection can be made at all, asked before a change where there is reason to doubt it: where ssh shares a connection that somebody
else has opened, the user's own multiplexer. Ansible's own needs no such question: Ansible has opened it, by itself, a moment ago."""
from __future__ import annotations

import os
import subprocess
import time
import typing as t
from collections.abc import Callable

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import REFUSED, alone, first_line
from ansible_collections.palisade.netfilter.plugins.plugin_utils._transport import kind_of

#: Stands for the path of Ansible's own multiplexer in a command that is only looked at.
_OWN = '/ansibles/own'
#: Seconds before each new attempt: a network may fail for a moment.
_PAUSES = (1, 3)
#: Seconds that ssh has to tell its configuration, which may call programs (Match exec).
_PATIENCE = 20


class Trial(t.NamedTuple):
    """What came of it. state: none (nothing to try), open, refused (the host wants a person) or unreachable."""

    state: str
    path: str = ''
    detail: str = ''


def try_out(action: ActionBase, sleep: Callable[[float], None] = time.sleep) -> Trial:
    """Try a connection of its own where the task's would be shared by a multiplexer of the user's.

    Raises AnsibleConnectionFailure where the shared one does not come through either: then the host is unreachable, as any task would find.
    """
    path = users_multiplexer(action._connection)
    if not path:
        return Trial('none')
    detail = ''
    for pause in (0, *_PAUSES):
        sleep(pause)
        try:
            with alone(action._connection, _PATIENCE, more=_batch(action._connection)):
                action._low_level_execute_command('true', sudoable=False)
            return Trial('open', path)
        except AnsibleAuthenticationFailure as error:
            return Trial('refused', path, str(error))
        except AnsibleConnectionFailure as error:
            detail = first_line(str(error))
            if REFUSED.search(str(error)):
                return Trial('refused', path, detail)
    action._low_level_execute_command('true', sudoable=False)
    return Trial('unreachable', path, detail)


def _batch(connection: t.Any) -> str:
    """Nobody is to be asked for anything; ssh takes a password that Ansible itself has for being asked, too."""
    return '' if connection.get_option('password') or connection._play_context.password else '-o BatchMode=yes'


def users_multiplexer(connection: t.Any) -> str:
    """The path of the multiplexer that ssh would share because of the user's own configuration or arguments, or ''. Connects to nothing."""
    if kind_of(connection) != 'ssh':
        return ''
    command = _command(connection)
    if command is None or (_is_own(command) and not any(word.startswith(b'-S') for word in command)):
        return ''
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return ''
    options = dict(line.partition(' ')[::2] for line in ended.stdout.decode('utf-8', 'replace').splitlines())
    path = options.get('controlpath', 'none').strip('"')
    return '' if path in ('none', _OWN) else path


def _is_own(command: list[bytes]) -> bool:
    return any(_OWN.encode() in word for word in command)


def _command(connection: t.Any) -> list[bytes] | None:
    """What has ssh tell the configuration by which Ansible would call it, with a mark for Ansible's own multiplexer; None if that is not known."""
    before, pipe = connection.get_option('control_path'), getattr(connection, 'sshpass_pipe', None)
    connection.set_option('control_path', _OWN)
    try:
        binary = connection.get_option('ssh_executable')
        host = connection.get_option('host') or connection._play_context.remote_addr
        command = [bytes(word) for word in connection._build_command(binary, 'ssh', '-G', host)]
    except (AnsibleError, AttributeError, KeyError):
        return None
    finally:
        connection.set_option('control_path', before)
        _close_pipe(connection, pipe)
    # With a password it may be sshpass that is called.
    return command[command.index(os.fsencode(binary)):]


def _close_pipe(connection: t.Any, before: t.Any) -> None:
    """Close the pipe by which sshpass would have been told the password."""
    made = getattr(connection, 'sshpass_pipe', None)
    if made and made is not before:
        connection.sshpass_pipe = None
        for descriptor in made:
            os.close(descriptor)
