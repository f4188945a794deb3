# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed host: the only file that runs its commands, and with its half _host_files.py the only one that touches its files. Decides nothing."""
from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from glob import glob
from typing import AbstractSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import over_network
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import SYSTEMD_RUNS, UNIT, FileChange, HostFiles, bytes_of, in_words
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

#: Seconds between two attempts at the ruleset's lock.
_LOCK_PAUSE = 0.1
#: Seconds after which a rollback that was armed and has not ended will not end any more.
_LONGEST_ROLLBACK = 120
#: Seconds given to the connection's packets to pass while conntrack looks on, before rules that ask for its state go live.
ROUND_TRIP = 0.5


class Result(NamedTuple):
    """How a command ended. Its streams are never merged: warnings on one would read as rules on the other."""

    status: int
    output: str
    errors: str


class NotPermittedError(PalisadeError):
    """The host does not let us make a network namespace."""


class Host(HostFiles):
    """One backend's commands on this machine.

    backend: 'auto' (what `iptables` resolves to), 'nft' or 'legacy'. lock_timeout: seconds to wait for the xtables lock and for
    another run of the same ruleset. run_directory: where locks lie; it is gone after a reboot, as the rules are.
    directory: where the rules lie that are loaded at boot.
    """

    def __init__(self, backend: str, lock_timeout: int, run_directory: str = '/run/palisade', directory: str = '/etc/palisade') -> None:
        self.lock_timeout = lock_timeout
        self.run_directory = run_directory
        self.directory = directory
        self._headers: Optional[str] = None
        self._held: Sequence[int] = ()
        self._infix = '' if backend == 'auto' else '-%s' % backend
        self.backend = backend if backend != 'auto' else self._resolve_backend()

    # Commands

    def _path(self, program: str) -> str:
        path = shutil.which(program, path=_WHERE)
        if path is None:
            raise PalisadeError('%s is not on this host: install its package (iptables), or set backend or families to what is there' % program)
        return path

    def _run(self, argv: Sequence[str], text: str = '', keep: Sequence[int] = (), **environment: str) -> Result:
        variables = dict(os.environ, LC_ALL='C', **environment)
        with in_words('cannot run %s' % argv[0]):
            ended = subprocess.run(argv, input=text.encode('utf-8', 'surrogateescape'), capture_output=True,
                                   env=variables, check=False, pass_fds=keep)
        return Result(ended.returncode, ended.stdout.decode('utf-8', 'surrogateescape'), ended.stderr.decode('utf-8', 'replace'))

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

    # One run at a time

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the host's one lock. Raises PalisadeError when another run keeps it longer than lock_timeout seconds."""
        path = os.path.join(self.run_directory, 'lock')
        with in_words('the lock cannot be taken (changing the packet filter takes root, become: true)'):
            os.makedirs(self.run_directory, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _wait_for(descriptor, path, time.monotonic() + self.lock_timeout, self.lock_timeout)
            self._held = (descriptor,)
            yield
        finally:
            self._held = ()
            os.close(descriptor)

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
                name = os.path.basename(folder).partition('.')[0]
                if left > -_LONGEST_ROLLBACK:
                    return 'a change of ruleset %s %s' % (name, 'waits for its confirmation; if none comes, this host puts back what was there '
                                                          'before, in %d s' % max(0, left) if state == 'armed' else 'is being taken back just now')
                # Whoever was to put it back is gone. A rename decides, should it still come.
                with in_words('the rollback that was armed for ruleset %s cannot be called off' % name):
                    os.replace(path, os.path.join(folder, 'disarmed'))
        return ''

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


def _first_line(path: str) -> str:
    return bytes_of(path).decode('ascii', 'replace').partition('\n')[0]
