# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half: files as the kernel and depmod leave them, under a root of our own, and commands that print what kmod 28, 30 and 34 print."""
from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Callable, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _host_modules
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_modules import ModulesHost

RELEASE = '6.1.0-56-cloud-amd64'
#: `modprobe --show-depends --all nf_conntrack xt_LOG sctp`, both first ones blocked, xt_LOG without its third file (kmod 30 and 34).
SHOW_DEPENDS = """\
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko.xz
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko.xz
install /bin/false
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/net/netfilter/x_tables.ko.xz
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/net/netfilter/nf_log_syslog.ko.xz
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/net/netfilter/xt_LOG.ko.xz
builtin ipv6
insmod /lib/modules/6.12.107+deb13-cloud-amd64/kernel/arch/x86/crypto/crc32c-intel.ko.xz
"""
MODINFO = """\
filename:       /lib/modules/6.1.0-50-cloud-amd64/kernel/net/netfilter/nf_conntrack.ko
license:        GPL
alias:          ip_conntrack
depends:        nf_defrag_ipv6,libcrc32c,nf_defrag_ipv4
parm:           tstamp:Enable connection tracking flow timestamping. (bool)
parm:           acct:Enable connection tracking flow accounting. (bool)
parm:           expect_hashsize:uint
parm:           enable_hooks:Always enable conntrack hooks (bool)
"""
NOT_FOUND = 'modprobe: FATAL: Module nosuch not found in directory /lib/modules/6.1.0-56-cloud-amd64'

Put = Callable[[str, str], Path]
Command = Callable[..., Path]


@pytest.fixture
def host(tmp_path: Path) -> ModulesHost:
    made = ModulesHost()
    made.root, made.release = str(tmp_path), RELEASE
    return made


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file below the root."""

    def write(path: str, text: str) -> Path:
        place = tmp_path / path.lstrip('/')
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    return write


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Put a program on the path, and nothing else but cat: it notes how it is called and prints this."""
    (tmp_path / 'bin').mkdir()
    monkeypatch.setattr(_host_modules, '_WHERE', str(tmp_path / 'bin'))

    def make(name: str, output: str = '', errors: str = '', status: int = 0) -> Path:
        log = tmp_path / ('%s.calls' % name)
        for kind, text in (('out', output), ('err', errors)):
            (tmp_path / ('%s.%s' % (name, kind))).write_text(text)
        program = tmp_path / 'bin' / name
        base = tmp_path / name
        program.write_text('#!/bin/sh\necho "$LC_ALL $*" >>%s\ncat %s.out\ncat %s.err >&2\nexit %d\n' % (log, base, base, status))
        program.chmod(0o755)
        return log

    return make


def permitted(put: Put, capabilities: str = '000001ffffffffff', users: str = '         0          0 4294967295\n') -> None:
    put('/proc/modules', 'x_tables 61440 0 - Live 0x0000000000000000\n')
    put('/proc/self/status', 'Name:\tpython3\nCapPrm:\t000001ffffffffff\nCapEff:\t%s\n' % capabilities)
    put('/proc/self/uid_map', users)
    put('/lib/modules/%s/modules.dep' % RELEASE, 'kernel/x_tables.ko:\n')


# Why nothing can be done

def test_nothing_is_in_the_way_of_root_on_a_machine(host: ModulesHost, put: Put, command: Command) -> None:
    permitted(put)
    command('modprobe')
    assert host.obstacle() == ''


def test_a_kernel_without_modules(host: ModulesHost) -> None:
    assert host.obstacle() == 'the kernel has no loadable modules'
    assert host.live() is None
    assert host.tree() is None


@pytest.mark.parametrize(('capabilities', 'users'), [
    # Docker's default, and root of a user namespace, who has every capability in it.
    ('00000000a80425fb', '0 0 4294967295\n'), ('000001ffffffffff', '0 100000 65536\n'),
])
def test_a_container(host: ModulesHost, put: Put, command: Command, capabilities: str, users: str) -> None:
    permitted(put, capabilities, users)
    command('modprobe')
    assert host.obstacle() == 'loading modules is not permitted here (no CAP_SYS_MODULE, as in a container)'
    assert list(host.live() or ()) == ['x_tables']


def test_what_else_may_be_in_the_way(host: ModulesHost, put: Put, command: Command) -> None:
    permitted(put)
    assert host.obstacle() == 'there is no modprobe here (package kmod)'
    command('modprobe')
    locked = put('/proc/sys/kernel/modules_disabled', '1\n')
    assert host.obstacle() == 'loading and unloading is locked until the next boot (kernel.modules_disabled)'
    locked.write_text('0\n')
    assert host.obstacle() == ''
    host.release = '6.1.0-57-cloud-amd64'
    assert host.obstacle() == '/lib/modules/6.1.0-57-cloud-amd64 has no modules of the running kernel'


# What is there

def test_built_in_is_what_sys_module_has_without_a_state(host: ModulesHost, put: Put) -> None:
    put('/sys/module/nf_conntrack/parameters/acct', 'N\n')
    put('/sys/module/xt_LOG/initstate', 'live\n')
    assert host.built_in(['nf_conntrack', 'xt_LOG', 'nosuch']) == {'nf_conntrack'}


@pytest.mark.parametrize('packed', [True, False])
def test_the_kernels_configuration_packed_or_in_boot(host: ModulesHost, put: Put, packed: bool) -> None:
    text = 'CONFIG_NETFILTER_XT_TARGET_LOG=y\n# CONFIG_IP_SCTP is not set\n'
    if packed:
        put('/proc/config.gz', '').write_bytes(gzip.compress(text.encode()))
    else:
        put('/boot/config-' + RELEASE, text)
    assert host.configured({'xt_LOG', 'sctp', 'xt_state'}) == ({'xt_LOG'}, {'sctp'})


def test_without_a_configuration_nothing_is_known(host: ModulesHost) -> None:
    assert host.configured({'xt_LOG'}) == (set(), set())


def test_the_tree_of_the_running_kernel(host: ModulesHost, put: Put) -> None:
    put('/lib/modules/%s/modules.dep' % RELEASE, 'kernel/a.ko.xz: kernel/b-c.ko.xz\nkernel/b-c.ko.xz:\n')
    put('/lib/modules/%s/modules.builtin' % RELEASE, 'kernel/net/ipv6/ipv6.ko\n')
    tree = host.tree()
    assert tree is not None
    assert (tree.depends, tree.built_in) == ({'a': frozenset({'b_c'}), 'b_c': frozenset()}, frozenset({'ipv6'}))


def test_the_configuration_of_others(host: ModulesHost, put: Put) -> None:
    put('/etc/modprobe.d/palisade.conf', 'install sctp /bin/false\n')
    put('/etc/modprobe.d/z.conf', 'blacklist a\n')
    put('/run/modprobe.d/b.conf', 'blacklist b\n')
    put('/usr/lib/modprobe.d/z.conf', 'blacklist hidden\n')
    put('/lib/modprobe.d/y.conf', 'blacklist c\n')
    put('/etc/modprobe.d/z.conf.bak', 'blacklist no\n')
    assert [(line.path, line.pattern) for line in host.config(['/etc/modprobe.d/palisade.conf'])] == [
        ('/run/modprobe.d/b.conf', 'b'), ('/lib/modprobe.d/y.conf', 'c'), ('/etc/modprobe.d/z.conf', 'a')]


def test_what_others_load_at_boot(host: ModulesHost, put: Put) -> None:
    put('/etc/modules', '# /etc/modules\nloop\n')
    put('/etc/modules-load.d/palisade.conf', 'xt_LOG\n')
    put('/usr/lib/modules-load.d/fwupd.conf', 'mtd\n')
    assert host.at_boot(['/etc/modules-load.d/palisade.conf']) == {'loop': '/etc/modules', 'mtd': '/usr/lib/modules-load.d/fwupd.conf'}


def test_parameters_and_those_that_can_be_written(host: ModulesHost, put: Put) -> None:
    put('/sys/module/nf_conntrack/parameters/acct', 'N\n').chmod(0o444)
    put('/sys/module/nf_conntrack/parameters/hashsize', '65536\n').chmod(0o600)
    put('/sys/module/nf_conntrack/parameters/secret', '').chmod(0o200)
    shown, writable = host.parameters('nf_conntrack')
    assert shown == {'acct': 'N', 'hashsize': '65536'}
    assert writable == {'hashsize', 'secret'}
    assert host.parameters('nosuch') == ({}, frozenset())


def test_a_parameter_is_written_as_it_is(host: ModulesHost, put: Put) -> None:
    place = put('/sys/module/nf_conntrack/parameters/hashsize', '65536\n')
    host.write_parameter('nf_conntrack', 'hashsize', '7')
    assert place.read_text() == '7'
    with pytest.raises(PalisadeError, match='the parameter nosuch/x of nf_conntrack cannot be set to 7: '):
        host.write_parameter('nf_conntrack', 'nosuch/x', '7')


def test_our_own_files(host: ModulesHost, tmp_path: Path) -> None:
    path = str(tmp_path / 'palisade.conf')
    assert host.own([path]) == {}
    Path(path).write_text('x\n')
    assert host.own([path]) == {path: 'x\n'}


@pytest.mark.parametrize(('program', 'version', 'backend'), [
    ('xtables-nft-multi', '', 'nft'), ('xtables-legacy-multi', '', 'legacy'),
    ('iptables-save', 'iptables-save v1.8.4 (nf_tables)', 'nft'), ('iptables-save', 'iptables-save v1.6.1', 'legacy'),
])
def test_the_backend_that_is_installed(host: ModulesHost, command: Command, tmp_path: Path, program: str, version: str, backend: str) -> None:
    command(program, version + '\n')
    if program != 'iptables-save':
        os.symlink(program, str(tmp_path / 'bin' / 'iptables-save'))
    assert host.backend() == backend


def test_no_backend(host: ModulesHost, command: Command) -> None:
    assert host.backend() == ''


def test_changing_takes_root(host: ModulesHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.check_writable([str(tmp_path / 'a')])
    monkeypatch.setattr(_host_modules.os, 'geteuid', lambda: 1000)
    with pytest.raises(PalisadeError, match=r'takes root \(become: true\)'):
        host.check_writable([str(tmp_path / 'a')])


# Commands

def calls(log: Path) -> List[str]:
    return log.read_text().splitlines()


def test_an_alias_is_resolved(host: ModulesHost, command: Command) -> None:
    log = command('modprobe', 'nf_conntrack_ftp\nnf-conntrack-pptp\n')
    assert host.resolve('nfct-helper-x') == ['nf_conntrack_ftp', 'nf_conntrack_pptp']
    assert calls(log) == ['C -R nfct-helper-x']
    command('modprobe', '', NOT_FOUND, 1)
    assert host.resolve('nosuch') == []


def test_what_is_not_blocked_is_what_would_be_inserted(host: ModulesHost, command: Command) -> None:
    log = command('modprobe', SHOW_DEPENDS)
    assert host.not_blocked(['nf_conntrack', 'xt_LOG', 'sctp', 'crc32c_intel']) == ['xt_LOG', 'crc32c_intel']
    assert calls(log) == ['C --show-depends --all nf_conntrack xt_LOG sctp crc32c_intel']


def test_parameters_that_a_file_lists(host: ModulesHost, command: Command) -> None:
    log = command('modinfo', MODINFO)
    assert host.accepted('nf_conntrack') == frozenset({'tstamp', 'acct', 'expect_hashsize', 'enable_hooks'})
    assert calls(log) == ['C nf_conntrack']
    command('modinfo', '', 'modinfo: ERROR: Module nosuch not found.', 1)
    assert host.accepted('nosuch') is None


def test_many_modules_are_loaded_by_one_process_and_one_with_options_alone(host: ModulesHost, command: Command) -> None:
    log = command('modprobe')
    host.load(['a', 'b'])
    host.load(['c'], ['d=1', 'e="f g"'])
    host.load(['c'])
    assert calls(log) == ['C --all a b', 'C c d=1 e="f g"', 'C c']


def test_modules_are_unloaded_by_one_process(host: ModulesHost, command: Command) -> None:
    log = command('rmmod')
    host.unload(['a', 'b'])
    assert calls(log) == ['C a b']


def test_a_failure_has_the_commands_own_words(host: ModulesHost, command: Command) -> None:
    command('modprobe', '', "modprobe: ERROR: could not insert 'sctp': Operation not permitted\n", 1)
    with pytest.raises(PalisadeError) as caught:
        host.load(['sctp'])
    assert str(caught.value) == "modprobe sctp failed: modprobe: ERROR: could not insert 'sctp': Operation not permitted"
    command('modprobe', status=3)
    with pytest.raises(PalisadeError, match='modprobe sctp failed: it ended with 3'):
        host.load(['sctp'])


def test_a_program_that_is_not_there(host: ModulesHost, command: Command) -> None:
    with pytest.raises(PalisadeError, match=r'rmmod a failed: there is no rmmod here \(package kmod\)'):
        host.unload(['a'])
    assert host.resolve('a') == []
    assert host.accepted('a') is None
