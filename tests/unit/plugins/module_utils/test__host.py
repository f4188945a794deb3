# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's commands, with shell scripts in the place of iptables: what is asked of them, and what is made of their answers."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _host
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host, NotPermittedError

SAVED = '*filter\n:INPUT ACCEPT [1:2]\n[3:4] -A INPUT -m comment --comment "é" -j ACCEPT\nCOMMIT\n'


class Machine:
    """A folder of programs, the only ones besides the shell's own that a Host finds. Each call of one is logged with its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / 'log'
        self.run_directory = folder / 'run'

    def program(self, name: str, script: str = '') -> Path:
        path = self.folder / name
        call = 'printf "%%s %%s\\n" %s "$(printf %%s "$*" | tr "\\n" "~")" >>%s' % (name, shlex.quote(str(self.log)))
        path.write_text('#!/bin/sh\n%s\n%s\n' % (call, script), encoding='utf-8')
        path.chmod(0o755)
        return path

    def calls(self) -> List[str]:
        return self.log.read_text(encoding='utf-8').splitlines() if self.log.exists() else []

    def host(self, backend: str = 'nft', lock_timeout: int = 7) -> Host:
        return Host(backend, lock_timeout, str(self.run_directory))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(_host, '_WHERE', str(tmp_path))
    monkeypatch.setattr(_host, '_PROC_TABLES', {'ipv4': str(tmp_path / 'names4'), 'ipv6': str(tmp_path / 'names6')})
    return Machine(tmp_path)


def printing(text: str) -> str:
    return 'printf %%s %s' % shlex.quote(text)


# The backend

@pytest.mark.parametrize('backend', ['nft', 'legacy'])
def test_auto_is_what_iptables_is_a_link_to(machine: Machine, backend: str) -> None:
    real = machine.program('xtables-%s-multi' % backend)
    (machine.folder / 'iptables-save').symlink_to(real)
    assert machine.host('auto').backend == backend
    assert machine.calls() == []


@pytest.mark.parametrize(('version', 'backend'), [
    ('iptables-save v1.8.9 (nf_tables)', 'nft'), ('iptables-save v1.8.9 (legacy)', 'legacy'), ('iptables-save v1.6.1', 'legacy'),
])
def test_or_what_it_says_of_itself(machine: Machine, version: str, backend: str) -> None:
    machine.program('iptables-save', printing(version))
    assert machine.host('auto').backend == backend


def test_a_host_without_iptables_is_told_what_to_install(machine: Machine) -> None:
    with pytest.raises(PalisadeError, match='iptables-save is not on this host: install its package'):
        machine.host('auto')
    with pytest.raises(PalisadeError, match='ip6tables-legacy-save is not on this host'):
        machine.host('legacy').live('ipv6')


# Reading

@pytest.mark.parametrize(('backend', 'family', 'program'), [
    ('nft', 'ipv4', 'iptables-nft-save'), ('nft', 'ipv6', 'ip6tables-nft-save'), ('legacy', 'ipv4', 'iptables-legacy-save'),
    ('legacy', 'ipv6', 'ip6tables-legacy-save'),
])
def test_the_backends_own_program_is_asked_with_counters(machine: Machine, backend: str, family: str, program: str) -> None:
    machine.program(program, printing(SAVED))
    live = machine.host(backend).live(family)
    assert live['filter']['INPUT'].rules == ['-m comment --comment "é" -j ACCEPT']
    assert live['filter']['INPUT'].counters == ['[3:4]']
    assert machine.calls() == ['%s -c' % program]


def test_auto_asks_the_program_without_a_backend_in_its_name(machine: Machine) -> None:
    machine.program('iptables-save', printing('v1.8.9 (nf_tables)'))
    host = machine.host('auto')
    machine.program('iptables-save', printing(SAVED))
    assert list(host.live('ipv4')) == ['filter']


def test_warnings_on_stderr_are_no_rules_and_the_locale_is_fixed(machine: Machine) -> None:
    machine.program('iptables-nft-save', 'echo "# Warning: iptables-legacy tables present" >&2; echo "*nat"; echo "-A" >&2; echo ":$LC_ALL ACCEPT"')
    assert list(machine.host().live('ipv4')['nat']) == ['C']


def test_bytes_that_are_no_utf_8_survive(machine: Machine) -> None:
    machine.program('iptables-nft-save', "printf '*filter\\n:INPUT ACCEPT\\n-A INPUT -m comment --comment \"\\351\"\\n'")
    machine.program('iptables-nft-restore', 'cat >%s' % shlex.quote(str(machine.folder / 'given')))
    host = machine.host()
    host.restore('ipv4', host.live('ipv4')['filter']['INPUT'].rules[0])
    assert (machine.folder / 'given').read_bytes() == b'-m comment --comment "\xe9"'


def test_a_save_that_fails_is_quoted(machine: Machine) -> None:
    machine.program('iptables-nft-save', 'echo "Permission denied (you must be root)" >&2; exit 4')
    with pytest.raises(PalisadeError, match=r'ipv4 iptables-nft-save failed: Permission denied \(you must be root\)'):
        machine.host().live('ipv4')


def test_a_native_table_is_refused_by_name(machine: Machine) -> None:
    machine.program('iptables-nft-save', printing("# Table `filter' is incompatible, use 'nft' tool.\n"))
    with pytest.raises(PalisadeError, match='ipv4 iptables-nft-save: table filter holds native nftables rules'):
        machine.host().live('ipv4')


@pytest.mark.parametrize('line', ['-A INPUT -j ACCEPT', ':INPUT DROP [0:0]'])
@pytest.mark.parametrize(('backend', 'other'), [('nft', 'legacy'), ('legacy', 'nft')])
def test_rules_in_the_other_backend_are_refused_with_an_example(machine: Machine, backend: str, other: str, line: str) -> None:
    machine.program('iptables-%s-save' % backend, printing(SAVED))
    machine.program('iptables-%s-save' % other, printing('*filter\n%s\nCOMMIT\n' % line))
    (machine.folder / 'names4').write_text('filter\n', encoding='ascii')
    with pytest.raises(PalisadeError) as caught:
        machine.host(backend).live('ipv4')
    assert str(caught.value).startswith(
        'ipv4: rules are in both backends at once: this run is for %s, and %s holds, for example: %s' % (backend, other, line))


def test_empty_tables_in_the_other_backend_are_not(machine: Machine) -> None:
    machine.program('iptables-nft-save', printing(SAVED))
    machine.program('iptables-legacy-save', printing('*filter\n:INPUT ACCEPT [5:6]\nCOMMIT\n'))
    (machine.folder / 'names4').write_text('filter\n', encoding='ascii')
    assert list(machine.host().live('ipv4')) == ['filter']


def test_legacy_tables_that_the_kernel_does_not_have_are_not_asked_for_which_would_make_them(machine: Machine) -> None:
    machine.program('iptables-nft-save', printing(SAVED))
    machine.program('iptables-legacy-save', printing('*filter\n-A INPUT -j DROP\nCOMMIT\n'))
    machine.host().live('ipv4')
    assert machine.calls() == ['iptables-nft-save -c']


# Sets and other named objects

SETS = """create four hash:ip family inet hashsize 1024 maxelem 65536
create six hash:net family inet6 hashsize 1024
create ports bitmap:port range 1-1024
create range bitmap:ip range 10.0.0.0-10.0.0.255
create macs hash:mac hashsize 1024
create lists list:set size 8
create it's hash:ip family inet
"""


def test_sets_have_families(machine: Machine) -> None:
    machine.program('ipset', printing(SETS))
    host = machine.host()
    assert host.set_families() == {'four': 'ipv4', 'six': 'ipv6', 'range': 'ipv4', "it's": 'ipv4'}
    assert host.set_families()
    assert machine.calls() == ['ipset save -t']


def test_without_ipset_there_are_no_sets(machine: Machine) -> None:
    assert machine.host().set_families() == {}
    assert machine.host().recreate_sets({'four'}) == ()


@pytest.mark.parametrize(('names', 'lines'), [
    ({'four'}, ['create four hash:ip family inet hashsize 1024 maxelem 65536']),
    ({'six', "it's", 'unknown'}, ['create six hash:net family inet6 hashsize 1024', "create it's hash:ip family inet"]),
    ({'unknown'}, []),
])
def test_named_sets_are_made_again_by_shell_commands_that_survive_any_name(machine: Machine, names: set, lines: List[str]) -> None:
    machine.program('ipset', printing(SETS))
    commands = machine.host().recreate_sets(names)
    machine.program('ipset', 'cat >%s' % shlex.quote(str(machine.folder / 'given')))
    for command in commands:
        subprocess.run(['/bin/sh', '-c', command], check=True)
    given = machine.folder / 'given'
    assert (given.read_text(encoding='utf-8').splitlines() if given.exists() else []) == lines


def test_accounting_objects_and_timeout_policies_are_made_again(machine: Machine) -> None:
    machine.program('nfacct', printing(''.join('{ pkts = 00, bytes = 00 } = %s;\n' % name for name in ('a', 'b; reboot', 'c'))))
    machine.program('nfct', printing('.slow = {\n\t.l3proto = 2,\n\t.l4proto = 6,\n};\n.other = {\n\t.l3proto = 10,\n\t.l4proto = 17,\n};\n'))
    host = machine.host()
    commands = [*host.recreate_accounting({'b; reboot', 'a', 'missing'}), *host.recreate_timeouts({'slow', 'unknown'})]
    for command in commands:
        subprocess.run(['/bin/sh', '-c', command], check=True)
    assert machine.calls() == ['nfacct list', 'nfct timeout list', 'nfacct add a', 'nfacct add b; reboot', 'nfct timeout add slow inet tcp close 10']


# Changing

@pytest.mark.parametrize(('backend', 'lock_timeout', 'arguments'), [
    ('nft', 7, '--noflush --counters'), ('legacy', 7, '--noflush --counters --wait=7'), ('legacy', 0, '--noflush --counters'),
])
def test_a_restore_flushes_nothing_keeps_counters_and_waits_on_legacy(machine: Machine, backend: str, lock_timeout: int, arguments: str) -> None:
    machine.program('iptables-%s-restore' % backend, 'cat; echo said >&2; exit 3')
    result = machine.host(backend, lock_timeout).restore('ipv4', '*filter\nCOMMIT\n')
    assert result == (3, '*filter\nCOMMIT\n', 'said\n')
    assert machine.calls() == ['iptables-%s-restore %s' % (backend, arguments)]


def test_a_rehearsal_restores_and_saves_in_one_namespace_with_its_own_lock_file(machine: Machine) -> None:
    machine.program('unshare', 'shift; exec "$@"')
    machine.program('ip6tables-nft-restore', 'cat >%s' % shlex.quote(str(machine.folder / 'given')))
    machine.program('ip6tables-nft-save', 'cat %s; echo "$XTABLES_LOCKFILE" >&2' % shlex.quote(str(machine.folder / 'given')))
    machine.program('prepare')
    result = machine.host().rehearse('ipv6', '*nat\nCOMMIT\n', ['%s one' % (machine.folder / 'prepare')])
    assert (result.status, result.output) == (0, '*nat\nCOMMIT\n')
    assert [call.split()[0] for call in machine.calls()] == ['unshare', 'prepare', 'ip6tables-nft-restore', 'ip6tables-nft-save']
    assert machine.calls()[0].startswith('unshare -n ')
    assert 'run/xtables.lock' not in result.errors
    assert not Path(result.errors.strip()).parent.exists()


def test_what_a_failed_rehearsal_saved_is_not_looked_at(machine: Machine) -> None:
    machine.program('unshare', 'shift; exec "$@"')
    machine.program('iptables-nft-restore', 'echo "iptables-restore: line 3 failed" >&2; exit 1')
    machine.program('iptables-nft-save', printing(SAVED))
    assert machine.host().rehearse('ipv4', '*filter\nCOMMIT\n', []) == (1, '', 'iptables-restore: line 3 failed\n')


def test_a_host_that_permits_no_namespace_says_so(machine: Machine) -> None:
    machine.program('unshare', 'echo "unshare: unshare failed: Operation not permitted" >&2; exit 1')
    machine.program('iptables-nft-restore')
    machine.program('iptables-nft-save')
    with pytest.raises(NotPermittedError, match='no network namespace can be made here: unshare: unshare failed: Operation not permitted'):
        machine.host().rehearse('ipv4', '*filter\nCOMMIT\n', [])


# One run at a time

def test_a_second_run_waits_until_the_first_has_ended(machine: Machine) -> None:
    order: List[str] = []
    held = threading.Event()

    def first() -> None:
        with machine.host().lock():
            held.set()
            time.sleep(0.3)
            order.append('first')

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(5)
    with machine.host().lock():
        order.append('second')
    thread.join()
    assert order == ['first', 'second']


def test_a_second_run_fails_in_words_after_its_time(machine: Machine) -> None:
    with machine.host().lock(), pytest.raises(PalisadeError) as caught, machine.host(lock_timeout=0).lock():
        pass
    assert str(caught.value) == 'another run holds %s/lock, and lock_timeout (0 s) is over: nothing has changed' % machine.run_directory


def test_the_lock_is_free_again_after_an_error(machine: Machine) -> None:
    def failing() -> None:
        with machine.host().lock():
            raise PalisadeError('x')

    with pytest.raises(PalisadeError, match='x'):
        failing()
    with machine.host(lock_timeout=0).lock():
        assert (machine.run_directory / 'lock').stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize('locked', [True, False])
def test_a_restore_that_outlives_its_run_keeps_the_lock(machine: Machine, locked: bool) -> None:
    machine.program('iptables-nft-restore', 'readlink /proc/$$/fd/* | grep -c "/run/lock$"; true')
    host = machine.host()
    if locked:
        with host.lock():
            assert host.restore('ipv4', '').output == '1\n'
    assert host.restore('ipv4', '').output == '0\n'


def test_a_lock_that_cannot_be_made_is_an_error_in_words(machine: Machine) -> None:
    machine.run_directory.write_text('a file', encoding='ascii')
    with pytest.raises(PalisadeError, match='the lock cannot be taken'), machine.host().lock():
        pass


def test_a_run_that_was_killed_is_noted_by_ruleset(machine: Machine) -> None:
    host = machine.host()
    with host.lock():
        assert not host.interrupted('web')
        host.begin('web')
        host.begin('web')
    assert machine.host().interrupted('web')
    assert not machine.host().interrupted('palisade')
    host.end('web')
    host.end('web')
    assert not machine.host().interrupted('web')


# Where we are

def test_a_connection_is_known_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SSH_CONNECTION', '192.0.2.1 1 192.0.2.2 22')
    assert Host.over_network()


def test_or_by_that_of_a_parent_since_sudo_drops_it() -> None:
    program = 'from %s import Host; print(Host.over_network())' % _host.__name__
    script = 'env -u SSH_CONNECTION %s -c %s; true' % (shlex.quote(sys.executable), shlex.quote(program))
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(path for path in sys.path if path), 'SSH_CONNECTION': 'x'}
    asked = subprocess.run(['/bin/sh', '-c', script], env=environment, stdout=subprocess.PIPE, check=True)
    assert asked.stdout == b'True\n'


@pytest.mark.parametrize(('name', 'family', 'addresses'), [
    ('127.0.0.1', 'ipv4', ['127.0.0.1']), ('::1', 'ipv6', ['::1']), ('127.0.0.1', 'ipv6', []), ('no such name', 'ipv4', []),
    ('x' * 70 + '.example', 'ipv4', []),
])
def test_addresses_of_names(name: str, family: str, addresses: List[str]) -> None:
    assert Host.addresses(name, family) == addresses
