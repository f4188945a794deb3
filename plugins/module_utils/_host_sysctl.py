# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host's kernel settings: /proc/sys is read and written directly, sysctl.d is read. Decides nothing."""
from __future__ import annotations

import errno
import os
import stat
from glob import glob
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import ConfirmHost
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import SYSTEMD_RUNS, bytes_of
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import (
    DIRECTORIES,
    OWN_FILE,
    PROCPS_FILE,
    UFW_DEFAULTS,
    UFW_FILE,
    UFW_SWITCH,
    SysctlFile,
    SysctlFiles,
    in_boot_order,
    ufw_is_on,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import FORWARDERS
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import ALL, DEFAULT, FAMILIES, PREFIX, shown

_STATUS = '/proc/self/status'
_NET_ADMIN = 1 << 12
_ROUTES6 = '/proc/net/ipv6_route'
#: RTF_ADDRCONF: the route was learned from a router's advertisement.
_LEARNED = 0x00040000
#: Of our file: for other programs to read, as everything in sysctl.d.
MODE = 0o644
#: /dev/null in the place of a file hides those of its name elsewhere.
_NULL = '/dev/null'


class SysctlHost(ConfirmHost):
    """A host's settings. `root` is where the kernel shows them."""

    root = PREFIX

    def is_root(self) -> bool:
        """Whether the settings may be written at all."""
        return os.geteuid() == 0

    def interfaces(self) -> Dict[str, List[str]]:
        """The interfaces that have settings of their own, by family; a family that the kernel does not have is left out."""
        found = {}
        for family in FAMILIES:
            folder = os.path.join(self.root, 'net', family, 'conf')
            if os.path.isdir(folder):
                found[family] = sorted(set(os.listdir(folder)) - {ALL, DEFAULT})
        return found

    def read(self, path: str) -> Optional[str]:
        """A key's value, blanks around it and tabs in it made single blanks; None if it is not there (any more). Raises OSError."""
        try:
            with open(self.root + path, 'rb') as stream:
                return stream.read().decode('utf-8', 'replace').replace('\t', ' ').strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_all(self, paths: Iterable[str]) -> Tuple[Dict[str, str], Dict[str, str]]:
        """The values of those keys that can be read, and what is wrong with keys that are there, as in Facts."""
        values: Dict[str, str] = {}
        faults: Dict[str, str] = {}
        administers = self._administers_the_network()
        for path in paths:
            try:
                value = self.read(path)
            except OSError as error:
                faults[path] = self._fault_of_reading(path, error)
                continue
            if value is None:
                continue
            values[path] = value
            if not os.access(self.root + path, os.W_OK):
                faults[path] = 'readonly' if self._mode(path) & 0o222 else 'fixed'
            elif not administers and path.startswith('net/ipv4/conf/') and path.endswith('/forwarding'):
                faults[path] = 'readonly'
        return values, faults

    @staticmethod
    def _administers_the_network() -> bool:
        """Whether this process has CAP_NET_ADMIN, without which IPv4's forwarding looks writable and is not."""
        for line in bytes_of(_STATUS).splitlines():
            if line.startswith(b'CapEff:'):
                return bool(int(line.split()[1], 16) & _NET_ADMIN)
        return True

    def _fault_of_reading(self, path: str, error: OSError) -> str:
        if error.errno == errno.EISDIR:
            return 'folder'
        return 'unreadable' if self._mode(path) & 0o444 else 'trigger'

    def _mode(self, path: str) -> int:
        try:
            return stat.S_IMODE(os.stat(self.root + path).st_mode)
        except OSError:
            return 0o644

    def write(self, path: str, value: str) -> None:
        """Write one key; an interface that has gone in the meantime is no error. Raises PalisadeError with what the kernel says."""
        try:
            descriptor = os.open(self.root + path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, value.encode('utf-8') + b'\n')
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise PalisadeError('%s: the kernel refuses %s: %s' % (shown(path), value, error.strerror)) from error

    def forwarding_marks(self) -> Set[str]:
        """The files that programs which need forwarding leave where they run."""
        return {path for _name, _pattern, marks in FORWARDERS for path in marks if os.path.exists(path)}

    @staticmethod
    def advertised() -> FrozenSet[str]:
        """The interfaces on which the kernel has learned IPv6 routes from a router's advertisements."""
        found = set()
        try:
            with open(_ROUTES6, encoding='ascii') as stream:
                for line in stream:
                    fields = line.split()
                    if len(fields) == 10 and int(fields[8], 16) & _LEARNED and fields[9] != 'lo':
                        found.add(fields[9])
        except OSError:
            pass
        return frozenset(found)

    def own_text(self) -> Optional[str]:
        """Our file's text; None if there is none."""
        return self.text_of(OWN_FILE) if os.path.exists(OWN_FILE) else None

    def own_is_sound(self) -> bool:
        """Whether our file is a file, root's, and as writable as we write it; true also if there is none."""
        try:
            found = os.lstat(OWN_FILE)
        except OSError:
            return True
        return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == MODE

    def sysctl_files(self) -> SysctlFiles:
        """The files that are applied at boot, ours left out, and those that others apply later."""
        listed = [path for folder in _folders() for path in sorted(glob(os.path.join(folder, '*.conf')))]
        boot = [SysctlFile(path, self.text_of(path)) for path in in_boot_order(listed)
                if path != OWN_FILE and os.path.realpath(path) != _NULL]
        later: List[Tuple[SysctlFile, str]] = []
        if os.path.exists(PROCPS_FILE):
            when = 'when sysctl --system runs' if os.path.isdir(SYSTEMD_RUNS) else 'at boot'
            later.append((SysctlFile(PROCPS_FILE, self.text_of(PROCPS_FILE)), when))
        if os.path.exists(UFW_FILE) and ufw_is_on(self._texts((UFW_SWITCH, UFW_DEFAULTS))):
            later.append((SysctlFile(UFW_FILE, self.text_of(UFW_FILE)), 'when ufw starts'))
        return SysctlFiles(boot, later)

    def _texts(self, paths: Sequence[str]) -> Mapping[str, str]:
        return {path: self.text_of(path) for path in paths}


def _folders() -> List[str]:
    """The folders of sysctl.d that are not the same by another name."""
    found: Dict[str, str] = {}
    for folder in DIRECTORIES:
        found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())
