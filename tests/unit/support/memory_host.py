# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake host: the interface of _host.Host over fake kernels. It runs no command and touches no file; anything else would fail loudly."""
from __future__ import annotations

from contextlib import contextmanager
from typing import AbstractSet, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host, NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.tests.unit.support.memory_kernel import MemoryKernel


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the engine may catch it."""


class MemoryHost(Host):
    """Two families in memory. `calls` lists what was asked for, such as 'restore ipv4'; changes outside of the lock are refused.

    may_unshare: whether a rehearsal in a namespace is permitted. cannot_run: what every rehearsal fails with. before and after:
    called around every restore with its number (from 1), family and text; they may raise KilledError, and `before` may return a
    Result that stands for a failure. files: path → text, with '?' in front of the path for one that is staged; distrusted: path → why it
    is not read. at_file: called before every step of a change of files, as ('stage', path) or ('commit', path); it may raise.
    """

    def __init__(self, backend: str = 'nft', *, may_unshare: bool = True, families: Sequence[str] = ('ipv4', 'ipv6')) -> None:
        self.backend = backend
        self.may_unshare = may_unshare
        self.families = families
        self.kernels: Dict[str, MemoryKernel] = {family: MemoryKernel(family) for family in ('ipv4', 'ipv6')}
        self.calls: List[str] = []
        self.before: Optional[Callable[[int, str, str], Optional[Result]]] = None
        self.after: Optional[Callable[[int, str, str], None]] = None
        self.sets: Mapping[str, str] = {}
        self.names: Mapping[str, Sequence[str]] = {}
        self.prepared: List[str] = []
        self.cannot_run = ''
        self.is_remote = False
        self.busy = False
        self.waiting_for = ''
        self.closed: List[str] = []
        self.files: Dict[str, str] = {}
        self.distrusted: Dict[str, str] = {}
        self.at_file: Optional[Callable[[str, str], None]] = None
        self.read_only = ''
        self.modules: Set[str] = set()
        self.unit = 'enabled'
        self.time = 0
        self._locked = False
        self._journals: Set[str] = set()
        self._restores = 0

    def put(self, family: str, text: str) -> None:
        """Load rules as another program would."""
        ended = self.kernels[family].restore(text)
        assert ended.status == 0, ended.errors

    def saved(self) -> Dict[str, str]:
        """All live rules with their counters, as text."""
        return {family: kernel.save() for family, kernel in self.kernels.items()}

    def rules(self, family: str, table: str, chain: str) -> List[str]:
        """The rules of one chain."""
        return [rule for _counter, rule in self.kernels[family].tables[table][chain].rules]

    def has_family(self, family: str) -> bool:  # type: ignore[override]
        return family in self.families

    def live(self, family: str) -> Tables:
        self.calls.append('save %s' % family)
        return parse(self.kernels[family].save(), '%s fake-save' % family)

    def set_families(self) -> Mapping[str, str]:
        return self.sets

    def recreate_sets(self, names: AbstractSet[str]) -> Sequence[str]:
        return ['create set %s' % name for name in sorted(names)]

    def recreate_accounting(self, names: AbstractSet[str]) -> Sequence[str]:
        return ['create account %s' % name for name in sorted(names)]

    def recreate_timeouts(self, names: AbstractSet[str]) -> Sequence[str]:
        return ['create timeout %s' % name for name in sorted(names)]

    def addresses(self, name: str, family: str) -> List[str]:  # type: ignore[override]
        return [address for address in self.names.get(name, ()) if (':' in address) == (family == 'ipv6')]

    def over_network(self) -> bool:  # type: ignore[override]
        return self.is_remote

    def restore(self, family: str, text: str) -> Result:
        assert self._locked, 'a change outside of the lock'
        self.calls.append('restore %s' % family)
        self._restores += 1
        number = self._restores
        failure = self.before(number, family, text) if self.before else None
        if failure is not None:
            return failure
        ended = self.kernels[family].restore(text)
        if self.after:
            self.after(number, family, text)
        return Result(ended.status, '', ended.errors)

    def rehearse(self, family: str, text: str, preparation: Sequence[str]) -> Result:
        self.calls.append('rehearse %s' % family)
        if not self.may_unshare:
            raise NotPermittedError('no network namespace can be made here: unshare: Operation not permitted')
        self.prepared.extend(preparation)
        if self.cannot_run:
            return Result(1, '', self.cannot_run)
        kernel = MemoryKernel(family)
        ended = kernel.restore(text)
        return Result(ended.status, kernel.save(counters=False) if ended.status == 0 else '', ended.errors)

    def let_connection_pass(self) -> None:
        self.calls.append('let the connection pass')

    @contextmanager
    def lock(self) -> Iterator[None]:
        if self.busy:
            raise PalisadeError('another run holds the lock')
        self._locked = True
        try:
            yield
        finally:
            self._locked = False

    def interrupted(self, name: str) -> bool:
        return name in self._journals

    def begin(self, name: str) -> None:
        self._journals.add(name)

    def end(self, name: str) -> None:
        self._journals.discard(name)

    def pending(self) -> str:
        return self.waiting_for

    def closed_by_nft(self) -> List[str]:
        return list(self.closed)

    def open(self, families: Sequence[str]) -> str:
        assert self._locked or not families, 'a change outside of the lock'
        self.closed = [family for family in self.closed if family not in families]
        return ''

    def rule_file(self, name: str, kind: str) -> Tuple[str, str]:
        path = self.rule_path(name, kind)
        problem = self.distrusted.get(path, '' if path in self.files else 'is not there')
        return ('', problem) if problem else (self.files[path], '')

    def rule_files(self, name: str) -> List[str]:
        return [path for path in self.files if path.startswith('%s/%s.' % (self.directory, name))]

    def persisted_names(self) -> List[str]:
        return sorted({path.rpartition('/')[2].rpartition('.')[0] for path in self.files if path.startswith(self.directory)})

    def now(self) -> str:  # type: ignore[override]
        self.time += 1
        return '2026-01-01T00:00:%02dZ' % self.time

    def text_of(self, path: str) -> str:  # type: ignore[override]
        return self.files.get(path, '')

    def loadable_modules(self, names: AbstractSet[str]) -> AbstractSet[str]:  # type: ignore[override]
        return self.modules & names

    def boot_unit(self) -> str:  # type: ignore[override]
        return self.unit

    def boot_files(self) -> List[str]:  # type: ignore[override]
        return ['/the/unit', '/the/loader'] if self.unit == 'enabled' else []

    def check_writable(self, paths: Sequence[str]) -> None:
        if self.read_only and any(path.startswith(self.read_only) for path in paths):
            raise PalisadeError('%s is read-only' % self.read_only)

    def stage(self, changes: Sequence[FileChange]) -> None:
        assert self._locked, 'a change outside of the lock'
        for change in changes:
            self._step('stage', change.path)
            if change.text is not None:
                self.files['?' + change.path] = change.text

    def commit(self, changes: Sequence[FileChange]) -> None:
        assert self._locked, 'a change outside of the lock'
        for change in changes:
            self._step('commit', change.path)
            self.distrusted.pop(change.path, None)
            if change.text is None:
                self.files.pop(change.path, None)
            else:
                self.files[change.path] = self.files.pop('?' + change.path)

    def discard(self, changes: Sequence[FileChange]) -> None:  # type: ignore[override]
        for change in changes:
            self.files.pop('?' + change.path, None)

    def remove_boot_files(self, paths: Sequence[str]) -> None:
        self.unit = 'missing' if paths else self.unit

    def remove_directory(self) -> None:
        self.calls.append('remove the directory')

    def _step(self, what: str, path: str) -> None:
        if self.at_file:
            self.at_file(what, path)

    def _run(self, argv: Sequence[str], text: str = '', keep: Sequence[int] = (), **environment: str) -> Result:
        raise AssertionError('the fake host was asked to run %s' % ' '.join(argv))
