# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that outlive a reboot, on the managed host: read with distrust, written whole or not at all. Runs no command, decides nothing."""
from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager
from glob import glob
from typing import AbstractSet, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

_KINDS = ('rules', 'good', 'previous', 'closed')
UNIT = 'palisade-firewall.service'
_LOADER = '/usr/local/sbin/palisade-firewall'
_SYSTEMD = '/etc/systemd/system'
SYSTEMD_RUNS = '/run/systemd/system'


class FileChange(NamedTuple):
    """A file that gets another content, or that goes (text None). `mode` are its permission bits."""

    path: str
    text: Optional[str]
    mode: int = 0o600


class FilePlan(NamedTuple):
    """What changes, in the order in which it has to; `boot_files` are the unit and the loader, where they go; `opened` the families (as nft calls
    them) that a boot without iptables has closed, and that are closed no longer."""

    changes: Sequence[FileChange] = ()
    diff: Sequence[Dict[str, str]] = ()
    boot_files: Sequence[str] = ()
    opened: Sequence[str] = ()

    @property
    def changed(self) -> bool:
        return bool(self.changes or self.boot_files or self.opened)


class HostFiles:
    """The half of Host that knows files. directory: where the rules lie that are loaded at boot."""

    directory = '/etc/palisade'

    def rule_path(self, name: str, kind: str) -> str:
        """Where a ruleset's file lies. `kind`: rules, good (a copy), previous (the version before) or closed (the fallback)."""
        return os.path.join(self.directory, '%s.%s' % (name, kind))

    def rule_file(self, name: str, kind: str) -> Tuple[str, str]:
        """A file's text and '', or '' and why the loader would not read it: it trusts root alone."""
        try:
            problem = _untrusted(self.directory, stat.S_ISDIR, 0o022) or _untrusted(self.rule_path(name, kind), stat.S_ISREG, 0o077)
            return ('', problem) if problem else (bytes_of(self.rule_path(name, kind)).decode('utf-8', 'surrogateescape'), '')
        except FileNotFoundError:
            return '', 'is not there'
        except OSError as error:
            return '', 'cannot be read: %s' % error

    def rule_files(self, name: str) -> List[str]:
        """The files of a ruleset that are there, readable or not, those that a killed run has left too."""
        paths = [self.rule_path(name, kind) for kind in _KINDS]
        return [path for path in paths + [staged(path) for path in paths] if os.path.lexists(path)]

    def persisted_names(self) -> List[str]:
        """The rulesets that have a file."""
        return sorted({os.path.basename(path).rpartition('.')[0] for kind in _KINDS for path in glob(self.rule_path('*', kind))})

    @staticmethod
    def now() -> str:
        """The time, in UTC."""
        return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())

    @staticmethod
    def text_of(path: str) -> str:
        """A file's text, empty if there is none."""
        return bytes_of(path).decode('utf-8', 'surrogateescape')

    @staticmethod
    def loadable_modules(names: AbstractSet[str]) -> AbstractSet[str]:
        """Those of the named kernel modules that are files, which modprobe could load; a built-in one is none."""
        listed = bytes_of('/lib/modules/%s/modules.dep' % os.uname().release).decode('utf-8', 'replace')
        return {name for name in names if '/%s.ko' % name in listed}

    @staticmethod
    def boot_unit() -> str:
        """What would load persisted rules at boot: a unit that is enabled, disabled or missing, or 'no systemd'."""
        if glob('%s/*.wants/%s' % (_SYSTEMD, UNIT)):
            return 'enabled'
        if os.path.exists('%s/%s' % (_SYSTEMD, UNIT)):
            return 'disabled'
        return 'missing' if os.path.isdir(SYSTEMD_RUNS) else 'no systemd'

    @staticmethod
    def boot_files() -> List[str]:
        """What the roles have installed to load persisted rules, as far as it is there."""
        links = glob('%s/*.wants/%s' % (_SYSTEMD, UNIT))
        return [path for path in [*links, '%s/%s' % (_SYSTEMD, UNIT), _LOADER] if os.path.lexists(path)]

    def check_writable(self, paths: Sequence[str]) -> None:
        """Raise PalisadeError where a file could not be changed, as on a read-only file system. Touches nothing."""
        for path in paths:
            folder = os.path.dirname(path)
            while not os.path.lexists(folder):
                folder = os.path.dirname(folder)
            if not os.access(folder, os.W_OK):
                raise PalisadeError('%s cannot be written: %s is read-only. Nothing has changed' % (path, folder))

    def stage(self, changes: Sequence[FileChange]) -> None:
        """Write new files beside the old ones, so that a full disk is met while nothing has changed. See discard and commit."""
        for change in changes:
            if change.text is not None:
                with in_words('%s cannot be written, nothing has changed' % change.path):
                    self._own_directory(os.path.dirname(change.path))
                    _write(staged(change.path), change.text, change.mode)

    def _own_directory(self, folder: str) -> None:
        if folder != self.directory:
            os.makedirs(folder, exist_ok=True)
            return
        if not os.path.lexists(folder):
            os.makedirs(folder, mode=0o700)
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise PalisadeError('%s is not a directory. Nothing has changed' % folder)
        if _untrusted(folder, stat.S_ISDIR, 0o022):
            os.chown(folder, os.geteuid(), os.getegid())
            os.chmod(folder, 0o700)

    def commit(self, changes: Sequence[FileChange]) -> None:
        """Put staged files in the place of the old ones, each at once, in this order; take away those that go."""
        for change in changes:
            with in_words('%s cannot be changed' % change.path):
                if change.text is not None:
                    os.replace(staged(change.path), change.path)
                elif os.path.lexists(change.path):
                    os.unlink(change.path)
        for folder in sorted({os.path.dirname(change.path) for change in changes}):
            with in_words('%s cannot be written' % folder):
                _sync(folder)

    @staticmethod
    def discard(changes: Sequence[FileChange]) -> None:
        """Remove what was staged."""
        for change in changes:
            if change.text is not None and os.path.lexists(staged(change.path)):
                with in_words('%s cannot be removed' % staged(change.path)):
                    os.unlink(staged(change.path))

    def remove_directory(self) -> None:
        """Remove the directory of rules, if nothing is left in it."""
        if os.path.isdir(self.directory) and not os.listdir(self.directory):
            with in_words('%s cannot be removed' % self.directory):
                os.rmdir(self.directory)


def staged(path: str) -> str:
    """Where a file's new content waits."""
    return os.path.join(os.path.dirname(path), '.%s.new' % os.path.basename(path))


def _untrusted(path: str, is_kind: Callable[[int], bool], forbidden: int) -> str:
    """Why a file or directory cannot be trusted, in words, or ''."""
    found = os.lstat(path)
    if not is_kind(found.st_mode):
        return 'is not a regular file' if is_kind is stat.S_ISREG else 'is in %s, which is not a directory' % path
    where = '' if is_kind is stat.S_ISREG else 'is in a directory that '
    if found.st_uid != os.geteuid():
        return '%sbelongs to user %d' % (where, found.st_uid)
    return '%shas mode %04o' % (where, stat.S_IMODE(found.st_mode)) if found.st_mode & forbidden else ''


def _write(path: str, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, 'wb') as stream:
        os.fchmod(descriptor, mode)
        stream.write(text.encode('utf-8', 'surrogateescape'))
        stream.flush()
        os.fsync(descriptor)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Turn what the operating system refuses into the one exception, so that it is told, and put back where something has changed."""
    try:
        yield
    except OSError as error:
        raise PalisadeError('%s: %s' % (what, error)) from error


def bytes_of(path: str) -> bytes:
    try:
        with open(path, 'rb') as stream:
            return stream.read()
    except OSError:
        return b''
