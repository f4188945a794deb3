# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake host of kernel modules: the interface of _host_modules.ModulesHost over a kernel in memory. It runs no command and touches no file."""
from __future__ import annotations

from pathlib import Path
from typing import AbstractSet, Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange
from ansible_collections.palisade.netfilter.plugins.module_utils._host_modules import ModulesHost
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import (
    ConfigLine,
    Live,
    Tree,
    in_reading_order,
    read_config,
    read_names,
    read_tree,
    same_name,
)

DATA = Path(__file__).parents[1] / 'data' / 'modules'
NO_MODULES = 'the kernel has no loadable modules'
NOT_PERMITTED = 'loading modules is not permitted here (no CAP_SYS_MODULE, as in a container)'


def debian(release: str) -> Tree:
    """The netfilter modules of a Debian kernel, as depmod lists them."""
    return read_tree(*[(DATA / ('%s.%s' % (release, kind))).read_text() for kind in ('dep', 'builtin')])


class MemoryModules(ModulesHost):
    """A Debian 12 machine with nothing loaded.

    uses: what holds a module beside other modules. shown: parameters as /sys has them once it is there; free: those that can be written;
    known: those that its file lists. made: what the kernel makes of a written value. files: every *.conf by path, ours too. soft: modules
    that have soft dependencies. refused: what modprobe fails for. silent: what modprobe passes over with success. calls: every command.
    """

    def __init__(self, tree: Optional[Tree] = None) -> None:
        self.page_size = 4096
        self.the_tree: Optional[Tree] = tree or debian('debian12')
        self.loaded: Optional[Dict[str, Set[str]]] = {}
        self.uses: Dict[str, int] = {}
        self.permanent: Set[str] = set()
        self.in_sys: Set[str] = set()
        self.in_configuration: Tuple[Set[str], Set[str]] = (set(), set())
        self.the_obstacle = ''
        self.aliases: Dict[str, List[str]] = {}
        self.shown: Dict[str, Dict[str, str]] = {}
        self.free: Set[Tuple[str, str]] = set()
        self.known: Dict[str, Set[str]] = {}
        self.made: Callable[[str], str] = lambda value: value
        self.files: Dict[str, str] = {}
        self.soft: Set[str] = set()
        self.refused: Set[str] = set()
        self.silent: Set[str] = set()
        self.read_only = ''
        self.at_commit: Optional[Callable[[str], None]] = None
        self.the_backend = 'nft'
        self.calls: List[str] = []

    @classmethod
    def without_modules(cls) -> MemoryModules:
        """A kernel that cannot load any, as this project's own test machine."""
        host = cls()
        host.the_tree, host.loaded, host.the_obstacle = None, None, NO_MODULES
        return host

    def put(self, *names: str) -> MemoryModules:
        """Load modules as somebody else would, with what they need."""
        assert self.the_tree is not None
        for name in names:
            needed = self.depends_of(name) - self.the_tree.built_in
            for one in (*needed, name):
                self._insert(one)
        return self

    def _insert(self, name: str) -> None:
        assert self.the_tree is not None and self.loaded is not None
        if name in self.loaded or name in self.the_tree.built_in:
            return
        self.loaded[name] = set()
        for needed in self.depends_of(name):
            self.loaded.setdefault(needed, set()).add(name)

    # What is there

    def live(self) -> Optional[Dict[str, Live]]:
        if self.loaded is None:
            return None
        return {name: Live(len(holders) + self.uses.get(name, 0), tuple(sorted(holders)), name in self.permanent)
                for name, holders in self.loaded.items()}

    def tree(self) -> Optional[Tree]:
        return self.the_tree

    def obstacle(self) -> str:
        return self.the_obstacle

    def built_in(self, names: Iterable[str]) -> Set[str]:
        return set(names) & self.in_sys

    def configured(self, names: AbstractSet[str]) -> Tuple[Set[str], Set[str]]:
        return set(names) & self.in_configuration[0], set(names) & self.in_configuration[1]

    def _lines(self) -> List[ConfigLine]:
        paths = in_reading_order([path for path in self.files if '/modprobe.d/' in path and '/.' not in path])
        return read_config((path, self.files[path]) for path in paths)

    def config(self, own: Sequence[str]) -> List[ConfigLine]:
        return [line for line in self._lines() if line.path not in own]

    def at_boot(self, own: Sequence[str]) -> Dict[str, str]:
        return {name: path for path, text in self.files.items() if '/modules-load.d/' in path and path not in own for name in read_names(text)}

    def own(self, paths: Sequence[str]) -> Dict[str, str]:
        return {path: self.files[path] for path in paths if path in self.files}

    def parameters(self, name: str) -> Tuple[Dict[str, str], FrozenSet[str]]:
        there = name in self.in_sys or name in (self.loaded or ()) or (self.the_tree is not None and name in self.the_tree.built_in)
        free = frozenset(parameter for module, parameter in self.free if module == name and there)
        return dict(self.shown.get(name, {})) if there else {}, free

    def backend(self) -> str:
        return self.the_backend

    # Commands

    def resolve(self, alias: str) -> List[str]:
        self.calls.append('modprobe -R %s' % alias)
        return self.aliases.get(same_name(alias), [])

    def accepted(self, name: str) -> Optional[FrozenSet[str]]:
        self.calls.append('modinfo %s' % name)
        return frozenset(self.known[name]) if name in self.known else None

    def _install(self, name: str) -> Optional[ConfigLine]:
        """The install line that modprobe heeds: none for a module with soft dependencies."""
        first = [line for line in self._lines() if line.path.rpartition('/')[2] < 'modules.softdep']
        emptied = any(line.command == 'softdep' and line.is_about(name) for line in first)
        if name in self.soft and not emptied:
            return None
        return next((line for line in self._lines() if line.command == 'install' and line.is_about(name)), None)

    def not_blocked(self, names: Sequence[str]) -> List[str]:
        self.calls.append('modprobe -D %s' % ' '.join(names))
        return [name for name in names if self._install(name) is None]

    def load(self, names: Sequence[str], options: Sequence[str] = ()) -> None:
        self.calls.append(' '.join(['modprobe', *names, *options]))
        assert self.the_tree is not None and self.loaded is not None
        for name in names:
            for one in (*sorted(self.depends_of(name), key=lambda needed: len(self.depends_of(needed))), name):
                if one in self.loaded:
                    continue
                if one in self.refused or self._install(one):
                    raise PalisadeError('modprobe %s failed: no' % name)
                if one not in self.silent:
                    self._insert(one)
            for option in options:
                key, _equals, value = option.partition('=')
                if key in self.shown.get(name, {}):
                    self.shown[name][key] = self.made(value)

    def depends_of(self, name: str) -> FrozenSet[str]:
        assert self.the_tree is not None
        return self.the_tree.depends.get(name, frozenset())

    def unload(self, names: Sequence[str]) -> None:
        self.calls.append('rmmod %s' % ' '.join(names))
        assert self.loaded is not None
        for name in names:
            if self.loaded[name] or self.uses.get(name) or name in self.refused:
                raise PalisadeError('rmmod failed: Module %s is in use' % name)
            del self.loaded[name]
            for holders in self.loaded.values():
                holders.discard(name)

    def write_parameter(self, name: str, parameter: str, value: str) -> None:
        self.calls.append('write %s %s=%s' % (name, parameter, value))
        self.shown[name][parameter] = self.made(value)

    # Files

    def check_writable(self, paths: Sequence[str]) -> None:
        for path in paths:
            if self.read_only and path.startswith(self.read_only):
                raise PalisadeError('%s cannot be written: %s is read-only. Nothing has changed' % (path, self.read_only))

    def stage(self, changes: Sequence[FileChange]) -> None:
        for change in changes:
            assert change.mode == 0o644
            if change.text is not None:
                self.files['?' + change.path] = change.text

    def commit(self, changes: Sequence[FileChange]) -> None:
        for change in changes:
            if self.at_commit:
                self.at_commit(change.path)
            if change.text is None:
                self.files.pop(change.path, None)
            else:
                self.files[change.path] = self.files.pop('?' + change.path)

    @staticmethod
    def discard(changes: Sequence[FileChange]) -> None:
        """Nothing lies about in memory that anybody reads."""
