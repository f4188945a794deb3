# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host: with its parts _host_base.py and _host_files.py the only file that runs its commands and touches its files. Decides nothing."""
from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from typing import AbstractSet, List, Mapping, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import over_network
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import BaseHost, Result
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import SYSTEMD_RUNS, UNIT, FileChange, bytes_of, in_words
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse

_PROGRAM = {'ipv4': 'iptables', 'ipv6': 'ip6tables'}
_PROC_TABLES = {'ipv4': '/proc/net/ip_tables_names', 'ipv6': '/proc/net/ip6_tables_names'}
_OTHER = {'nft': 'legacy', 'legacy': 'nft'}
_WHERE = os.pathsep.join((os.environ.get('PATH', ''), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'))
_SET_HEADER = re.compile(r'^create (\S+) (\S+)(?: .*?\bfamily (inet6?))?', re.MULTILINE)
_SET_FAMILIES = {'inet': 'ipv4', 'inet6': 'ipv6'}
_ACCOUNTING = re.compile(r'\} = (.*);$', re.MULTILINE)
_TIMEOUT_POLICY = re.compile(r'^\.(\S+) = \{\s+\.l3proto = (\d+),\s+\.l4proto = (\d+),', re.MULTILINE)
_TIMEOUT_FAMILIES = {'2': 'inet', '10': 'inet6'}
#: A protocol's number → what `nfct timeout add` wants for it; the value does not matter in a rehearsal.
_TIMEOUT_PROTOCOLS = {'1': 'icmp timeout 30', '6': 'tcp close 10', '17': 'udp unreplied 30', '33': 'dccp request 10', '132': 'sctp closed 10',
                      '136': 'udplite unreplied 30'}

#: The table of nftables by which the loader closes a family where a boot finds no iptables, and the note of these families in the run directory.
CLOSED_TABLE, CLOSED_NOTE = 'palisade-closed', 'closed-by-nft'
#: As nft calls the families.
NFT_FAMILIES = {'ipv4': 'ip', 'ipv6': 'ip6'}

#: Seconds given to the connection's packets to pass while conntrack looks on, before rules that ask for its state go live.
ROUND_TRIP = 0.5


class NotPermittedError(PalisadeError):
    """The host does not let us make a network namespace."""


class Host(BaseHost):
    """One backend's commands on this machine.

    backend: 'auto' (what `iptables` resolves to), 'nft' or 'legacy'. lock_timeout: seconds to wait for the xtables lock and for
    another run of the same ruleset. run_directory: where locks lie; it is gone after a reboot, as the rules are.
    directory: where the rules lie that are loaded at boot.
    """

    def __init__(self, backend: str, lock_timeout: int, run_directory: str = '/run/palisade', directory: str = '/etc/palisade') -> None:
        super().__init__(lock_timeout, run_directory)
        self.directory = directory
        self._headers: Optional[str] = None
        self._infix = '' if backend == 'auto' else '-%s' % backend
        self.backend = backend if backend != 'auto' else self._resolve_backend()

    # Commands

    def _path(self, program: str) -> str:
        path = shutil.which(program, path=_WHERE)
        if path is None:
            raise PalisadeError('%s is not on this host: install its package (iptables), or set backend or families to what is there' % program)
        return path

    def command(self, family: str, verb: str) -> str:
        """The path of a family's iptables command: save or restore."""
        return self._command(family, verb)

    def _command(self, family: str, verb: str, infix: Optional[str] = None) -> str:
        return self._path('%s%s-%s' % (_PROGRAM[family], self._infix if infix is None else infix, verb))

    def _resolve_backend(self) -> str:
        path = self._path('iptables-save')
        program = os.path.basename(os.path.realpath(path))
        for backend in ('nft', 'legacy'):
            if backend in program:
                return backend
        version = self._run([path, '--version']).output
        return 'nft' if 'nf_tables' in version else 'legacy'

    # What is there

    @staticmethod
    def has_family(family: str) -> bool:
        """Whether the kernel speaks this family (ipv6.disable=1 takes IPv6 away)."""
        return family == 'ipv4' or os.path.exists('/proc/net/if_inet6')

    def live(self, family: str) -> Tables:
        """The live tables with their counters. Raises PalisadeError for rules in both backends and for tables iptables cannot show."""
        self._refuse_other_backend(family)
        command = self._command(family, 'save')
        result = self._run([command, '-c'])
        who = '%s %s' % (family, os.path.basename(command))
        if result.status != 0:
            raise PalisadeError('%s failed: %s' % (who, result.errors.strip()))
        return parse(result.output, who)

    def _refuse_other_backend(self, family: str) -> None:
        other = _OTHER[self.backend]
        if other == 'legacy' and not _first_line(_PROC_TABLES[family]):
            return
        command = shutil.which('%s-%s-save' % (_PROGRAM[family], other), path=_WHERE)
        if command is None:
            return
        tables = self._run([command])
        used = [line for line in tables.output.split('\n') if line.startswith('-A ') or re.match(r':\S+ DROP', line)]
        if used:
            raise PalisadeError(
                '%s: rules are in both backends at once: this run is for %s, and %s holds, for example: %s. A packet has to pass both. '
                'Move them to one backend first (%s-%s-save shows them)' % (family, self.backend, other, used[0], _PROGRAM[family], other))

    def set_headers(self) -> str:
        """What `ipset save -t` prints: every set's `create` line, no members; empty without ipset. Asked once."""
        if self._headers is None:
            command = shutil.which('ipset', path=_WHERE)
            self._headers = self._run([command, 'save', '-t']).output if command else ''
        return self._headers

    def recreate_sets(self, names: AbstractSet[str]) -> Sequence[str]:
        """Shell commands that make the named sets, empty, in a rehearsal's namespace."""
        wanted = [line for line in self.set_headers().split('\n') if line.startswith('create ') and line.split(' ')[1] in names]
        if not wanted:
            return ()
        return ('printf %%s %s | %s restore' % (shlex.quote('\n'.join(wanted) + '\n'), shlex.quote(self._path('ipset'))),)

    def recreate_accounting(self, names: AbstractSet[str]) -> Sequence[str]:
        """Shell commands that make those of the named nfacct objects that the host has in a rehearsal's namespace."""
        command = shutil.which('nfacct', path=_WHERE)
        there = set(_ACCOUNTING.findall(self._run([command, 'list']).output)) if command else set()
        return ['%s add %s' % (shlex.quote(command or ''), shlex.quote(name)) for name in sorted(there & names)]

    def recreate_timeouts(self, names: AbstractSet[str]) -> Sequence[str]:
        """Shell commands that make the named conntrack timeout policies, of the same protocols, in a rehearsal's namespace."""
        command = shutil.which('nfct', path=_WHERE)
        policies = _TIMEOUT_POLICY.findall(self._run([command, 'timeout', 'list']).output) if command else ()
        return ['%s timeout add %s %s %s' % (shlex.quote(command or ''), shlex.quote(name), _TIMEOUT_FAMILIES.get(family, 'inet'),
                                             _TIMEOUT_PROTOCOLS.get(protocol, 'generic timeout 600'))
                for name, family, protocol in policies if name in names]

    def set_families(self) -> Mapping[str, str]:
        """The family of each ipset that has one."""
        return {name: _SET_FAMILIES[family or 'inet'] for name, kind, family in _SET_HEADER.findall(self.set_headers())
                if family or kind == 'bitmap:ip' or kind == 'bitmap:ip,mac'}

    @staticmethod
    def addresses(name: str, family: str) -> List[str]:
        """The addresses of a host name in one family, empty where it has none. A rehearsal has no network to ask."""
        import socket  # Rules with names are few, and every run would wait for it.

        kind = socket.AF_INET if family == 'ipv4' else socket.AF_INET6
        try:
            return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, kind, socket.SOCK_STREAM)})
        except (socket.gaierror, UnicodeError):
            return []

    @staticmethod
    def over_network() -> bool:
        """Whether this run came in over ssh."""
        return over_network()

    # Changes

    def restore(self, family: str, text: str) -> Result:
        """Carry out a plan's text on the live tables; each table is atomic by itself.

        The command inherits the host's lock: should this process be killed, the next run waits until the command has ended too.
        """
        argv = [self._command(family, 'restore'), '--noflush', '--counters']
        if self.backend == 'legacy' and self.lock_timeout:
            argv.append('--wait=%d' % self.lock_timeout)
        return self._run(argv, text, self._held)

    def rehearse(self, family: str, text: str, preparation: Sequence[str]) -> Result:
        """Load `text` in a network namespace of its own and save it there. `preparation` are shell commands run in it before.

        Raises NotPermittedError where the host does not allow that.
        """
        with in_words('no temporary directory for the rehearsal'), tempfile.TemporaryDirectory(prefix='palisade-') as directory:
            script = ''.join(['%s\n' % line for line in preparation])
            script += '%s && exec %s\n' % (shlex.quote(self._command(family, 'restore')), shlex.quote(self._command(family, 'save')))
            result = self._run([self._path('unshare'), '-n', '/bin/sh', '-c', script], text,
                               XTABLES_LOCKFILE=os.path.join(directory, 'lock'))
        if result.errors.startswith('unshare:'):
            raise NotPermittedError('no network namespace can be made here: %s' % result.errors.strip())
        return result

    def let_connection_pass(self) -> None:
        """Make the running connection send and receive once, so that conntrack has seen both directions of it."""
        sys.stdout.write('\n')
        sys.stdout.flush()
        time.sleep(ROUND_TRIP)

    # What a run leaves behind that is killed

    def _journal(self, name: str) -> str:
        return os.path.join(self.run_directory, '%s.applying' % name)

    def interrupted(self, name: str) -> bool:
        """Whether the last run on this ruleset was killed while it applied."""
        return os.path.exists(self._journal(name))

    def begin(self, name: str) -> None:
        """Note that this ruleset's tables are about to change."""
        with in_words('no note of the run can be left'):
            os.close(os.open(self._journal(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def end(self, name: str) -> None:
        """Note that they are whole again."""
        with in_words('the note of the run cannot be removed'):
            if self.interrupted(name):
                os.unlink(self._journal(name))

    # A host that a boot without iptables has closed

    def closed_by_nft(self) -> List[str]:
        """The families, as nft calls them, that the loader has closed. Without its note nobody asks nft: that would load kernel modules."""
        noted = bytes_of(os.path.join(self.run_directory, CLOSED_NOTE)).decode('ascii', 'replace').split()
        command = shutil.which('nft', path=_WHERE)
        return [NFT_FAMILIES[family] for family in noted if family in NFT_FAMILIES and command is not None
                and self._run([command, 'list', 'table', NFT_FAMILIES[family], CLOSED_TABLE]).status == 0]

    def open(self, families: Sequence[str]) -> str:
        """Take the tables of these families (as nft calls them) away. Returns what stands against it, or ''."""
        result = self._run(['/bin/sh', '-c', opening_script(families, self.run_directory)]) if families else None
        return '' if result is None or result.status == 0 else 'this host stays closed through nft: %s' % result.errors.strip()

    # What outlives a reboot

    def remove_boot_files(self, paths: Sequence[str]) -> None:
        """Take away the unit and the loader. Stopping the unit does not touch a rule."""
        systemd = os.path.isdir(SYSTEMD_RUNS)
        if systemd and any(path.endswith('.service') for path in paths):
            self._systemctl('disable', '--now', UNIT)
        self.commit([FileChange(path, None) for path in paths if os.path.isdir(os.path.dirname(path))])
        if systemd and paths:
            self._systemctl('daemon-reload')

    def _systemctl(self, *words: str) -> None:
        result = self._run([self._path('systemctl'), *words])
        if result.status != 0:
            raise PalisadeError('systemctl %s failed: %s' % (' '.join(words), result.errors.strip()))


def opening_script(families: Sequence[str], run_directory: str) -> str:
    """Shell commands that take away what closes these families (as nft calls them), and its note; once more without harm."""
    if not families:
        return ''
    note = shlex.quote(os.path.join(run_directory, CLOSED_NOTE))
    lines = ['PATH=$PATH:/usr/sbin:/sbin']
    for family in families:
        table = '%s %s' % (family, CLOSED_TABLE)
        lines.append('! nft list table %s >/dev/null 2>&1 || nft delete table %s || exit' % (table, table))
    words = ' '.join(['-e %s' % name for name, family in NFT_FAMILIES.items() if family in families])
    lines.append('others=$(grep -vx %s %s 2>/dev/null) && printf "%%s\\n" "$others" >%s || rm -f %s' % (words, note, note, note))
    return ''.join(['%s\n' % line for line in lines])


def _first_line(path: str) -> str:
    return bytes_of(path).decode('ascii', 'replace').partition('\n')[0]
