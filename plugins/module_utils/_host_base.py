# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every change of a managed host needs: to be the only one, and to know of another that waits for its confirmation. Decides nothing."""
from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import time
from contextlib import contextmanager
from glob import glob
from typing import Iterator, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import HostFiles, bytes_of, in_words

#: Seconds between two attempts at the host's lock.
_LOCK_PAUSE = 0.1
#: Seconds after which a rollback that was armed and has not ended will not end any more.
_LONGEST_ROLLBACK = 120
#: What the kernel's settings are called among the changes that wait. No ruleset can have this name.
SETTINGS = 'kernel-settings'


class Result(NamedTuple):
    """How a command ended. Its streams are never merged: warnings on one would read as rules on the other."""

    status: int
    output: str
    errors: str


class BaseHost(HostFiles):
    """This machine, for one kind of change.

    lock_timeout: seconds to wait for another run. run_directory: where locks lie, and what waits; it is gone after a reboot, as live changes are.
    """

    def __init__(self, lock_timeout: int = 30, run_directory: str = '/run/palisade') -> None:
        self.lock_timeout = lock_timeout
        self.run_directory = run_directory
        self._held: Sequence[int] = ()

    def _run(self, argv: Sequence[str], text: str = '', keep: Sequence[int] = (), **environment: str) -> Result:
        variables = dict(os.environ, LC_ALL='C', **environment)
        with in_words('cannot run %s' % argv[0]):
            ended = subprocess.run(argv, input=text.encode('utf-8', 'surrogateescape'), capture_output=True,
                                   env=variables, check=False, pass_fds=keep)
        return Result(ended.returncode, ended.stdout.decode('utf-8', 'surrogateescape'), ended.stderr.decode('utf-8', 'replace'))

    # One run at a time

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the host's one lock. Raises PalisadeError when another run keeps it longer than lock_timeout seconds."""
        path = os.path.join(self.run_directory, 'lock')
        with in_words('the lock cannot be taken (a change takes root, become: true)'):
            os.makedirs(self.run_directory, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _wait_for(descriptor, path, time.monotonic() + self.lock_timeout, self.lock_timeout)
            self._held = (descriptor,)
            yield
        finally:
            self._held = ()
            os.close(descriptor)

    # Changes that wait for a confirmation

    def pending(self) -> str:
        """What waits for its confirmation on this host, or is put back just now, in words; '' for nothing.

        With the lock held, what was confirmed is carried out first, where that was killed: nobody else is at it.
        """
        for path in glob(os.path.join(self.run_directory, '*.commit', 'confirmed')) if self._held else ():
            # If the files cannot be written still, this run will say so where it wants to write some.
            if self._run(['/bin/sh', '-c', 'cd "$0" && exec sh ./keep', os.path.dirname(path)]).status == 0:
                with in_words('%s cannot be renamed' % path):
                    os.replace(path, os.path.join(os.path.dirname(path), 'kept'))
        for state in ('armed', 'undoing'):
            for path in glob(os.path.join(self.run_directory, '*.commit', state)):
                folder = os.path.dirname(path)
                left = int(bytes_of(os.path.join(folder, 'deadline')) or 0) - uptime()
                what = _in_words(os.path.basename(folder).partition('.')[0])
                if left > -_LONGEST_ROLLBACK:
                    return 'a change of %s %s' % (what, 'waits for its confirmation; if none comes, this host puts back what was there before, '
                                                  'in %d s' % max(0, left) if state == 'armed' else 'is being taken back just now')
                # Whoever was to put it back is gone. A rename decides, should it still come.
                with in_words('the rollback that was armed for %s cannot be called off' % what):
                    os.replace(path, os.path.join(folder, 'disarmed'))
        return ''


def _in_words(name: str) -> str:
    return 'the kernel settings' if name == SETTINGS else 'ruleset %s' % name


def _wait_for(descriptor: int, path: str, deadline: float, seconds: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            raise PalisadeError('another run holds %s, and lock_timeout (%d s) is over: nothing has changed' % (path, seconds))
        time.sleep(_LOCK_PAUSE)


def uptime() -> int:
    """Seconds since the machine started, asleep or not. No clock that somebody sets."""
    return int(bytes_of('/proc/uptime').partition(b'.')[0] or 0)
