# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host's kernel modules: what kernel_modules runs and touches, with the files' half in _host_files.py. Decides nothing."""
from __future__ import annotations

import os
import shutil
import subprocess
from glob import glob
from typing import AbstractSet, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import HostFiles, bytes_of, in_words
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import (
    ConfigLine,
    Live,
    Tree,
    in_reading_order,
    read_config,
    read_configured,
    read_live,
    read_names,
    read_tree,
    same_name,
)

_WHERE = os.pathsep.join((os.environ.get('PATH', ''), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'))
#: Folders in the order of their say: a file hides its namesakes in those behind. /lib is /usr/lib nearly everywhere.
_FOLDERS = ('/etc', '/run', '/usr/local/lib', '/usr/lib', '/lib')
_SYS_MODULE = 16
_ALL_USERS = '4294967295'


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    errors: str


class ModulesHost(HostFiles):
    """This machine. root: what stands in front of every path, for tests."""

    root = ''

    def __init__(self) -> None:
        self.release = os.uname().release
        self.page_size = os.sysconf('SC_PAGE_SIZE')

    # What is there

    def live(self) -> Optional[Dict[str, Live]]:
        """What is loaded, None on a kernel without modules."""
        path = self.root + '/proc/modules'
        return read_live(self.text_of(path)) if os.path.exists(path) else None

    def tree(self) -> Optional[Tree]:
        """What there is to load for the running kernel, None without its files."""
        folder = '%s/lib/modules/%s' % (self.root, self.release)
        dep = self.text_of(folder + '/modules.dep')
        return read_tree(dep, self.text_of(folder + '/modules.builtin')) if dep else None

    def obstacle(self) -> str:
        """Why nothing can be loaded or unloaded here by us, in words, or ''."""
        if not os.path.exists(self.root + '/proc/modules'):
            return 'the kernel has no loadable modules'
        if not self._may_load():
            return 'loading modules is not permitted here (no CAP_SYS_MODULE, as in a container)'
        if self.text_of(self.root + '/proc/sys/kernel/modules_disabled').strip() == '1':
            return 'loading and unloading is locked until the next boot (kernel.modules_disabled)'
        folder = '/lib/modules/%s' % self.release
        if not os.path.exists('%s%s/modules.dep' % (self.root, folder)):
            return '%s has no modules of the running kernel' % folder
        return '' if shutil.which('modprobe', path=_WHERE) else 'there is no modprobe here (package kmod)'

    def _may_load(self) -> bool:
        """The capability counts in the first user namespace alone."""
        users = self.text_of(self.root + '/proc/self/uid_map').split()
        if users and users != ['0', '0', _ALL_USERS]:
            return False
        lines = self.text_of(self.root + '/proc/self/status').split('\n')
        effective = [line.split()[1] for line in lines if line.startswith('CapEff:')]
        return bool(effective) and bool(int(effective[0], 16) >> _SYS_MODULE & 1)

    def built_in(self, names: Iterable[str]) -> Set[str]:
        """Those of which /sys/module shows that they are built in. Most built-in ones are not there."""
        folders = {name: '%s/sys/module/%s' % (self.root, name) for name in names}
        return {name for name, folder in folders.items() if os.path.isdir(folder) and not os.path.exists(folder + '/initstate')}

    def configured(self, names: AbstractSet[str]) -> Tuple[Set[str], Set[str]]:
        """Those that the running kernel's configuration has built in, and those that it has not at all."""
        return read_configured(names, self._configuration()) if names else (set(), set())

    def _configuration(self) -> str:
        packed = bytes_of(self.root + '/proc/config.gz')
        if packed:
            import gzip  # Only hosts without files of modules get here.

            return gzip.decompress(packed).decode('ascii', 'replace')
        return self.text_of('%s/boot/config-%s' % (self.root, self.release))

    def config(self, own: Sequence[str]) -> List[ConfigLine]:
        """modprobe's configuration, without our own files."""
        return read_config((path, self.text_of(self.root + path)) for path in self._files('modprobe.d') if path not in own)

    def at_boot(self, own: Sequence[str]) -> Dict[str, str]:
        """Modules that somebody else's file loads at boot, and that file."""
        files = [path for path in self._files('modules-load.d') if path not in own]
        return {name: path for path in ['/etc/modules', *files] for name in read_names(self.text_of(self.root + path))}

    def _files(self, folder: str) -> List[str]:
        found = [path for place in _FOLDERS for path in sorted(glob('%s%s/%s/*.conf' % (self.root, place, folder)))]
        return in_reading_order([path[len(self.root):] for path in found])

    def own(self, paths: Sequence[str]) -> Dict[str, str]:
        """Our files' texts, those that are there."""
        return {path: self.text_of(path) for path in paths if os.path.lexists(path)}

    def parameters(self, name: str) -> Tuple[Dict[str, str], FrozenSet[str]]:
        """The parameters that a module shows, and those of them that can be written."""
        paths = {os.path.basename(path): path for path in glob('%s/sys/module/%s/parameters/*' % (self.root, name))}
        # What may not be read has not even an end of line.
        texts = {parameter: self.text_of(path) for parameter, path in paths.items()}
        writable = frozenset(parameter for parameter, path in paths.items() if _is_writable(path))
        return {parameter: text.strip() for parameter, text in texts.items() if text}, writable

    # Commands

    def resolve(self, alias: str) -> List[str]:
        """The modules that modprobe would load for an alias; none for one that it does not know."""
        return [same_name(name) for name in self._run(['modprobe', '-R', alias]).output.split()]

    def accepted(self, name: str) -> Optional[FrozenSet[str]]:
        """The parameters that a module's file lists, None where that cannot be told. (With -F parm, those without a description would lack.)"""
        result = self._run(['modinfo', name])
        listed = [line.split(':')[1].strip() for line in result.output.split('\n') if line.startswith('parm:')]
        return frozenset(listed) if result.status == 0 else None

    def not_blocked(self, names: Sequence[str]) -> List[str]:
        """Those that modprobe would load all the same, by the files as they are now."""
        listed = self._run(['modprobe', '--show-depends', '--all', *names]).output.split('\n')
        loaded = {same_name(os.path.basename(line.split()[1]).partition('.ko')[0]) for line in listed if line.startswith('insmod ')}
        return [name for name in names if name in loaded]

    def load(self, names: Sequence[str], options: Sequence[str] = ()) -> None:
        """Load modules with what they need; options are for a single one. Raises PalisadeError with what modprobe said."""
        self._must(['modprobe', '--all', *names] if len(names) > 1 else ['modprobe', *names, *options])

    def unload(self, names: Sequence[str]) -> None:
        """Unload exactly these, in this order. (modprobe -r would take along what they needed.)"""
        self._must(['rmmod', *names])

    def write_parameter(self, name: str, parameter: str, value: str) -> None:
        path = '%s/sys/module/%s/parameters/%s' % (self.root, name, parameter)
        with in_words('the parameter %s of %s cannot be set to %s' % (parameter, name, value)), open(path, 'wb', buffering=0) as stream:
            stream.write(value.encode())

    def _must(self, argv: Sequence[str]) -> None:
        result = self._run(argv)
        if result.status != 0:
            raise PalisadeError('%s failed: %s' % (' '.join(argv), ' '.join(result.errors.split()) or 'it ended with %d' % result.status))

    def _run(self, argv: Sequence[str]) -> Ended:
        path = shutil.which(argv[0], path=_WHERE)
        if path is None:
            return Ended(127, '', 'there is no %s here (package kmod)' % argv[0])
        with in_words('cannot run %s' % argv[0]):
            ended = subprocess.run([path, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, env=dict(os.environ, LC_ALL='C'), check=False)
        return Ended(ended.returncode, ended.stdout.decode('utf-8', 'replace'), ended.stderr.decode('utf-8', 'replace'))

    def backend(self) -> str:
        """The backend of the iptables that is installed: nft, legacy, or '' without one."""
        path = shutil.which('iptables-save', path=_WHERE)
        if path is None:
            return ''
        program = os.path.basename(os.path.realpath(path))
        if 'nft' in program or 'legacy' in program:
            return 'nft' if 'nft' in program else 'legacy'
        return 'nft' if 'nf_tables' in self._run([path, '--version']).output else 'legacy'


def _is_writable(path: str) -> bool:
    # Root may write where the mode says that the kernel does not take it.
    return bool(os.stat(path).st_mode & 0o222) and os.access(path, os.W_OK)
