# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's kernel settings in memory, which behave as the kernel's: forwarding spreads and resets, IPv4's defaults are copied."""
from __future__ import annotations

from contextlib import contextmanager
from typing import AbstractSet, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange
from ansible_collections.palisade.netfilter.plugins.module_utils._host_sysctl import SysctlHost
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import OWN_FILE, SysctlFile, SysctlFiles
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import ROWS
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_of, conf_path, parse_key

PLAIN = {
    'net/ipv4/tcp_ecn': '2', 'net/ipv4/ip_dynaddr': '0', 'net/ipv4/tcp_wmem': '4096 16384 4194304', 'net/ipv4/tcp_congestion_control': 'cubic',
    'net/ipv4/ip_local_reserved_ports': '',
}


class MemorySysctl(SysctlHost):
    """The host. `log` is what was done to it, in order."""

    def __init__(self, interfaces: Sequence[str] = ('lo', 'eth0', 'eth0.100'), families: Sequence[str] = ('ipv4', 'ipv6')) -> None:
        super().__init__()
        self.names = list(interfaces)
        self.families = list(families)
        self.values: Dict[str, str] = dict(PLAIN)
        self.faults: Dict[str, str] = {}
        #: Keys that the kernel refuses: after how many writes to them.
        self.refusing: Dict[str, int] = {}
        #: Keys that take what is written and forget it.
        self.deaf: Set[str] = set()
        self.set_by_hand: Set[str] = set()
        self.log: List[str] = []
        self.text: Optional[str] = None
        self.boot: List[SysctlFile] = []
        self.later: List[Tuple[SysctlFile, str]] = []
        self.marks: Set[str] = set()
        self.learned: FrozenSet[str] = frozenset()
        self.root_user = True
        self.disk_full = False
        self.sound = True
        #: What waits for its confirmation, in words.
        self.waits = ''
        for row in ROWS:
            path = parse_key(row.key)
            conf = conf_of(path)
            if conf is None:
                self.values[path] = row.kernel[0]
            elif conf.family in families:
                for member in ('all', 'default', *interfaces):
                    self.values[conf_path(conf.family, member, conf.leaf)] = row.kernel[0 if member == 'all' else 1]

    def value(self, key: str) -> str:
        return self.values[parse_key(key)]

    def is_root(self) -> bool:
        return self.root_user

    def interfaces(self) -> Dict[str, List[str]]:
        return {family: sorted(self.names) for family in self.families}

    def read(self, path: str) -> Optional[str]:
        return self.values.get(path)

    def read_all(self, paths: Iterable[str]) -> Tuple[Dict[str, str], Dict[str, str]]:
        listed = list(paths)
        return ({path: self.values[path] for path in listed if path in self.values},
                {path: self.faults.get(path) or self.faults[''] for path in listed
                 if path in self.faults or (path in self.values and '' in self.faults)})

    def write(self, path: str, value: str) -> None:
        if path not in self.values:
            return
        if path in self.refusing:
            if self.refusing[path] == 0:
                raise PalisadeError('%s: the kernel refuses %s: Invalid argument' % (path, value))
            self.refusing[path] -= 1
        self.log.append('%s=%s' % (path, value))
        if path not in self.deaf:
            self._set(path, value)

    def _set(self, path: str, value: str) -> None:
        before, self.values[path] = self.values[path], value
        self.set_by_hand.add(path)
        conf = conf_of(path)
        if conf is None:
            return
        if conf.leaf == 'forwarding' and conf.member == 'all' and before != value:
            for name in ('default', *self.names):
                self.values[conf_path(conf.family, name, conf.leaf)] = value
            if conf.family == 'ipv4':
                self.values[conf_path('ipv4', 'all', 'accept_redirects')] = '0' if value == '1' else '1'
        elif conf.family == 'ipv4' and conf.member == 'default':
            for name in self.names:
                other = conf_path('ipv4', name, conf.leaf)
                if other not in self.set_by_hand:
                    self.values[other] = value

    def forwarding_marks(self) -> Set[str]:
        return self.marks

    def advertised(self) -> FrozenSet[str]:  # type: ignore[override]
        return self.learned

    def own_text(self) -> Optional[str]:
        return self.text

    def own_is_sound(self) -> bool:
        return self.sound

    def sysctl_files(self) -> SysctlFiles:
        return SysctlFiles(self.boot, self.later)

    def check_writable(self, paths: Sequence[str]) -> None:
        if self.disk_full:
            raise PalisadeError('%s cannot be written' % paths[0])

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.log.append('lock')
        yield

    def pending(self) -> str:
        return self.waits

    def stage(self, changes: Sequence[FileChange]) -> None:
        self.log += ['stage %s' % change.path for change in changes]

    def commit(self, changes: Sequence[FileChange]) -> None:
        for change in changes:
            assert change.path == OWN_FILE
            self.text, self.sound = change.text, True
            self.log.append('commit')

    def discard(self, changes: Sequence[FileChange]) -> None:  # type: ignore[override]
        self.log += ['discard' for _change in changes]

    def file(self, path: str, text: str) -> None:
        """Add a file that is read at boot."""
        self.boot = sorted([*self.boot, SysctlFile(path, text)], key=lambda file: file.path.rpartition('/')[2])


def written(log: Sequence[str]) -> List[str]:
    """The keys that were written, in order."""
    return [line.partition('=')[0] for line in log if '=' in line]


def members(names: AbstractSet[str], family: str, leaf: str) -> Set[str]:
    return {conf_path(family, name, leaf) for name in {'all', 'default', *names}}
