# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the kernel, depmod and modprobe, as they really are, read into data."""
from __future__ import annotations

from typing import List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import (
    ConfigLine,
    Facts,
    Live,
    in_reading_order,
    read_config,
    read_configured,
    read_live,
    read_names,
    read_tree,
    same_name,
)
from ansible_collections.palisade.netfilter.tests.unit.support.memory_modules import debian

#: Of a Debian 12 with rules; the last lines are of kernels without CONFIG_MODULE_UNLOAD and of a module that stays.
PROC_MODULES = """\
nf_conntrack_ftp 24576 0 - Live 0xffffffffc0a1b000
xt_state 16384 0 - Live 0x0000000000000000
nft_compat 20480 4 - Live 0xffffffffc0a0e000
nf_tables 303104 41 nft_compat, Live 0xffffffffc0986000
nfnetlink 20480 2 nft_compat,nf_tables, Live 0xffffffffc097c000
nf_conntrack 188416 3 nf_conntrack_ftp,xt_state,xt_conntrack, Live 0xffffffffc0934000
libcrc32c 16384 2 nf_tables,nf_conntrack, Live 0xffffffffc092b000
wireguard 94208 0 - Loading 0xffffffffc0b00000 (OE+)
old 16384 - - Live 0x00000000
sctp 430080 4 [permanent], Live 0xffffffffc0800000
x_tables 61440 3 ip_tables,xt_LOG,[permanent], Live 0xffffffffc0600000
"""


def test_proc_modules() -> None:
    live = read_live(PROC_MODULES)
    assert live['nf_conntrack'] == Live(3, ('nf_conntrack_ftp', 'xt_state', 'xt_conntrack'), False)
    assert live['nf_tables'] == Live(41, ('nft_compat',), False)
    assert live['nf_conntrack_ftp'] == Live(0, (), False)
    assert live['old'] == Live(0, (), False)
    assert live['sctp'] == Live(4, (), True)
    assert live['x_tables'] == Live(3, ('ip_tables', 'xt_LOG'), True)
    assert len(live) == 11
    assert read_live('') == {}


@pytest.mark.parametrize('release', ['debian12', 'debian13'])
def test_modules_dep_of_real_kernels(release: str) -> None:
    """Packed modules (Debian 13) and plain ones."""
    tree = debian(release)
    assert tree.depends['nf_nat_ftp'] >= {'nf_conntrack_ftp', 'nf_nat', 'nf_conntrack', 'nf_defrag_ipv4'}
    assert tree.depends['xt_LOG'] == {'x_tables'}
    assert tree.depends['x_tables'] == frozenset()
    assert 'crc32c_intel' in tree.depends, 'a file crc32c-intel.ko is the module crc32c_intel'
    assert 'crc64_rocksoft' in tree.built_in or 'crc_ccitt' in tree.built_in
    assert len(tree.depends) > 150


def test_a_tree_that_is_not_there() -> None:
    assert read_tree('', '').depends == {}


def test_names_are_the_kernels() -> None:
    assert same_name('nf-conntrack-ftp') == 'nf_conntrack_ftp'


CONFIG = """\
# a comment
  # another one
install  nf-conntrack   /bin/true
blacklist xt_LOG
options nf_conntrack hashsize=1024 \\
   acct=1
alias net-pf-10 off

softdep xt_LOG pre: nf_log_syslog
lonely
"""


def test_modprobes_configuration() -> None:
    install, blacklist, options, alias, softdep = read_config([('/etc/modprobe.d/a.conf', CONFIG)])
    assert (install.command, install.pattern, install.text, install.refuses()) == ('install', 'nf_conntrack', '/bin/true', True)
    assert (blacklist.pattern, blacklist.text) == ('xt_LOG', '')
    assert str(options) == "/etc/modprobe.d/a.conf has 'options nf_conntrack hashsize=1024 acct=1'"
    assert (alias.pattern, alias.text) == ('net_pf_10', 'off')
    assert softdep.text == 'pre: nf_log_syslog'
    assert str(blacklist) == "/etc/modprobe.d/a.conf has 'blacklist xt_LOG'"


@pytest.mark.parametrize(('text', 'refuses'), [
    ('/bin/false', True), ('/bin/true', True), ('/usr/bin/true', True), ('/bin/false # CIS', True), ('/sbin/modprobe -i x', False), ('', False),
])
def test_an_install_line_that_keeps_a_module_out(text: str, refuses: bool) -> None:
    assert ConfigLine('a', 'install', 'x', text).refuses() == refuses
    assert not ConfigLine('a', 'options', 'x', text).refuses()


def test_patterns_are_the_shells_and_the_first_install_line_counts() -> None:
    facts = Facts(config=read_config([('a', 'install nf_* /bin/one\ninstall nf_nat /bin/two\n')]))
    line = facts.install_line('nf_nat')
    assert line is not None and line.text == '/bin/one'
    assert facts.install_line('xt_nat') is None


def test_files_are_read_by_their_last_names_and_hide_their_namesakes() -> None:
    paths = ['/etc/modprobe.d/z.conf', '/etc/modprobe.d/m.conf', '/run/modprobe.d/a.conf', '/usr/lib/modprobe.d/m.conf', '/lib/modprobe.d/m.conf']
    assert in_reading_order(paths) == ['/run/modprobe.d/a.conf', '/etc/modprobe.d/m.conf', '/etc/modprobe.d/z.conf']


def test_names_to_load_at_boot() -> None:
    assert read_names('# x\n; y\nnf-conntrack\n\nloop max_loop=8\n') == ['nf_conntrack', 'loop']


CONFIGURATION = """\
CONFIG_NETFILTER_XT_TARGET_LOG=y
CONFIG_NETFILTER_XT_MATCH_STATE=m
# CONFIG_NETFILTER_XT_MATCH_OWNER is not set
CONFIG_NETFILTER_XT_MARK=y
# CONFIG_NETFILTER_XT_MATCH_MARK is not set
CONFIG_IP_NF_IPTABLES=y
CONFIG_IP6_NF_NAT=y
CONFIG_IP_NF_TARGET_REJECT=y
CONFIG_NF_CONNTRACK_FTP=y
CONFIG_NETFILTER_NETLINK_LOG=y
# CONFIG_IP_SCTP is not set
"""


def test_a_kernels_configuration() -> None:
    names: List[str] = ['xt_LOG', 'xt_state', 'xt_owner', 'xt_mark', 'ip_tables', 'ip6table_nat', 'ipt_REJECT', 'nf_conntrack_ftp', 'nfnetlink_log',
                        'sctp', 'unheard_of']
    built_in, absent = read_configured(names, CONFIGURATION)
    assert built_in == {'xt_LOG', 'xt_mark', 'ip_tables', 'ip6table_nat', 'ipt_REJECT', 'nf_conntrack_ftp', 'nfnetlink_log'}
    assert absent == {'xt_owner', 'sctp'}


@pytest.mark.parametrize(('name', 'state'), [
    ('nf_conntrack', 'loaded'), ('ipv6', 'built_in'), ('nf_nat', 'unloaded'), ('nosuch', 'missing'), ('fuse', 'built_in'),
])
def test_states_with_a_tree(name: str, state: str) -> None:
    tree = read_tree('kernel/nf_nat.ko: kernel/nf_conntrack.ko\nkernel/nf_conntrack.ko:\n', 'kernel/net/ipv6/ipv6.ko\n')
    assert Facts(live=read_live(PROC_MODULES), tree=tree, built_in=frozenset({'fuse'})).state(name) == state


def test_states_without_one() -> None:
    facts = Facts(live=read_live(PROC_MODULES), built_in=frozenset({'fuse'}), absent=frozenset({'rds'}))
    assert [facts.state(name) for name in ('nf_conntrack', 'fuse', 'rds', 'nf_nat')] == ['loaded', 'built_in', 'missing', 'unknown']
    assert facts.depends('nf_conntrack') == frozenset()
