# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file has the last word at boot: systemd's rules on made-up folders, by table."""
from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import (
    OWN_FILE,
    UFW_DEFAULTS,
    UFW_SWITCH,
    BootOrder,
    SysctlFile,
    SysctlFiles,
    file_text,
    in_boot_order,
    interfaces_named,
    later_line,
    parse_lines,
    set_line,
    spare_line,
    ufw_is_on,
    with_own,
)

ETH0 = 'net/ipv4/conf/eth0/rp_filter'
VLAN = 'net/ipv4/conf/eth0.100/rp_filter'


def order(*texts: str) -> BootOrder:
    return BootOrder([SysctlFile('/etc/sysctl.d/%02d.conf' % number, text) for number, text in enumerate(texts)])


def said(boot: BootOrder, path: str) -> Optional[str]:
    line = boot.last_word(path)
    return None if line is None else line.value


def test_lines_as_people_write_them() -> None:
    text = '\n'.join(['# comment', '; comment', '', ' net.ipv4.tcp_ecn=0 ', '-net/ipv4/conf/eth0.100/rp_filter = 2',
    'net.ipv4.conf.eth0/100.log_martians = 1',
                      'net.ipv4.tcp_wmem = 1\t2 3', '-net.ipv4.conf.all.rp_filter', 'nonsense', 'net.ipv4.ip_forward = 1',
                      'kernel.core_pattern = a=b'])
    assert [(line.key, line.value, line.where) for line in parse_lines(SysctlFile('/f', text))] == [
        ('net/ipv4/tcp_ecn', '0', '/f:4'), (VLAN, '2', '/f:5'), ('net/ipv4/conf/eth0.100/log_martians', '1', '/f:6'),
        ('net/ipv4/tcp_wmem', '1\t2 3', '/f:7'),
        ('net/ipv4/conf/all/rp_filter', None, '/f:8'), ('net/ipv4/conf/all/forwarding', '1', '/f:10'), ('kernel/core_pattern', 'a=b', '/f:11')]


def test_a_name_counts_once_and_names_make_the_order() -> None:
    assert in_boot_order(['/etc/sysctl.d/99-zz-palisade.conf', '/etc/sysctl.d/10.conf', '/run/sysctl.d/50.conf', '/usr/lib/sysctl.d/10.conf',
                          '/usr/lib/sysctl.d/60.conf', '/usr/lib/sysctl.d/README']) == [
        '/etc/sysctl.d/10.conf', '/run/sysctl.d/50.conf', '/usr/lib/sysctl.d/60.conf', '/etc/sysctl.d/99-zz-palisade.conf']


def test_ours_stands_behind_what_distributions_bring() -> None:
    files = [SysctlFile('/usr/lib/sysctl.d/50-default.conf', ''), SysctlFile('/etc/sysctl.d/99-sysctl.conf',
    ''), SysctlFile('/etc/sysctl.d/99-zzz.conf', '')]
    assert [file.path for file in with_own(files, 'text')] == [
        '/usr/lib/sysctl.d/50-default.conf', '/etc/sysctl.d/99-sysctl.conf', OWN_FILE, '/etc/sysctl.d/99-zzz.conf']
    assert with_own(files, '') == files
    assert with_own([SysctlFile('/usr/lib/sysctl.d/99-zz-palisade.conf', 'masked')], 'text') == [SysctlFile(OWN_FILE, 'text')]


@pytest.mark.parametrize(('texts', 'path', 'value'), [
    (['net.ipv4.tcp_ecn=0', 'net.ipv4.tcp_ecn=1'], 'net/ipv4/tcp_ecn', '1'),
    (['net.ipv4.tcp_ecn=1\nnet.ipv4.tcp_ecn=0'], 'net/ipv4/tcp_ecn', '0'),
    (['net.ipv4.ip_forward=1', 'net.ipv4.conf.all.forwarding=0'], 'net/ipv4/conf/all/forwarding', '0'),
    (['net.ipv4.conf.*.rp_filter=2'], ETH0, '2'),
    (['net.ipv4.conf.*.rp_filter=2'], VLAN, '2'),
    (['net.ipv4.conf.*.rp_filter=2'], 'net/ipv4/conf/all/rp_filter', '2'),
    (['net.ipv4.conf.*.rp_filter=2'], 'net/ipv6/conf/eth0/rp_filter', None),
    (['net.*.rp_filter=2'], ETH0, None),
    (['net.ipv4.conf.eth?.rp_filter=2'], ETH0, '2'),
    (['net.ipv4.conf.eth[0-3].rp_filter=2'], ETH0, '2'),
    (['net.ipv4.conf.eth[!0-3].rp_filter=2'], ETH0, None),
    (['net.ipv4.conf.eth[1-3].rp_filter=2'], ETH0, None),
    # What has a line of its own is spared by patterns, wherever the line is; a line without a value does only that.
    (['net.ipv4.conf.eth0.rp_filter=1', 'net.ipv4.conf.*.rp_filter=2'], ETH0, '1'),
    (['-net.ipv4.conf.eth0.rp_filter', 'net.ipv4.conf.*.rp_filter=2'], ETH0, None),
    (['net.ipv4.conf.*.rp_filter=2', '-net.ipv4.conf.eth0.rp_filter'], ETH0, None),
    # As Debian 13 has it.
    (['net.ipv4.conf.default.rp_filter=2\nnet.ipv4.conf.*.rp_filter=2\n-net.ipv4.conf.all.rp_filter'], 'net/ipv4/conf/all/rp_filter', None),
    (['net.ipv4.conf.*.rp_filter=2', 'net.ipv4.conf.*.rp_filter=1'], ETH0, '1'),
    # Two patterns: the later one. One that is said again unchanged keeps its early place, which is systemd's trap.
    (['net.ipv4.conf.*.rp_filter=1', 'net.ipv4.conf.eth*.rp_filter=0'], ETH0, '0'),
    (['net.ipv4.conf.*.rp_filter=1', 'net.ipv4.conf.eth*.rp_filter=0', 'net.ipv4.conf.*.rp_filter=1'], ETH0, '0'),
    (['net.ipv4.conf.*.rp_filter=2', 'net.ipv4.conf.eth*.rp_filter=0', 'net.ipv4.conf.*.rp_filter=1'], ETH0, '1'),
])
def test_the_last_word(texts: List[str], path: str, value: Optional[str]) -> None:
    assert said(order(*texts), path) == value


@pytest.mark.parametrize(('text', 'path', 'value'), [
    ('net.ipv4.conf.default.rp_filter=2', ETH0, '2'), ('net.ipv4.conf.all.rp_filter=2', ETH0, None),
    ('net.ipv4.ip_forward=1', 'net/ipv4/conf/eth0/forwarding', '1'),
    ('net.ipv4.ip_forward=1', 'net/ipv4/conf/default/forwarding', '1'), ('net.ipv4.conf.default.rp_filter=2\nnet.ipv4.conf.*.rp_filter=1', ETH0, '1'),
    ('', ETH0, None), ('', 'net/ipv4/tcp_ecn', None),
])
def test_what_an_interface_comes_up_with(text: str, path: str, value: Optional[str]) -> None:
    line = order(text).value_at_boot(path)
    assert (line.value if line else None) == value


def test_interfaces_that_files_name() -> None:
    boot = order('net.ipv4.conf.eth0.rp_filter=1\nnet/ipv4/conf/eth0.100/rp_filter=1\nnet.ipv4.conf.all.rp_filter=1\nnet.ipv6.conf.eth1.accept_ra=0')
    assert sorted(interfaces_named(boot, 'ipv4', 'rp_filter')) == ['eth0', 'eth0.100']


def test_those_that_come_later() -> None:
    ufw = SysctlFile('/etc/ufw/sysctl.conf', 'net/ipv4/conf/all/accept_redirects=1\nnet/ipv4/conf/all/accept_redirects=0\n')
    files = SysctlFiles([], [(ufw, 'when ufw starts')])
    assert [(line.value, line.where, when) for line, when in later_line(files, 'net/ipv4/conf/all/accept_redirects')] == [
        ('0', '/etc/ufw/sysctl.conf:2', 'when ufw starts')]
    assert list(later_line(files, 'net/ipv4/tcp_ecn')) == []


@pytest.mark.parametrize(('switch', 'defaults', 'on'), [
    ('ENABLED=yes', 'IPT_SYSCTL=/etc/ufw/sysctl.conf', True), ('ENABLED=no', 'IPT_SYSCTL=/etc/ufw/sysctl.conf', False), ('', '', False),
    ('ENABLED="yes"', '# IPT_SYSCTL=', True), ('ENABLED=yes', 'IPT_SYSCTL=', False), ('ENABLED=yes', 'IPT_SYSCTL="/etc/sysctl.conf"', False),
])
def test_whether_ufw_applies_its_file(switch: str, defaults: str, on: bool) -> None:
    assert ufw_is_on({UFW_SWITCH: switch, UFW_DEFAULTS: defaults}) is on


LINES: List[Tuple[str, str]] = [(ETH0, '1'), (VLAN, '2'), ('net/ipv4/conf/*/log_martians', '1'), ('net/ipv4/tcp_wmem', '1 2 3'),
('net/ipv4/conf/all/forwarding', '1')]


def test_what_is_written_is_read_back() -> None:
    text = file_text('A server', [('why', [set_line(path, value) for path, value in LINES]),
    ('spared', [spare_line(VLAN.replace('rp_filter', 'tag'))])])
    assert [(line.key, line.value) for line in parse_lines(SysctlFile(OWN_FILE, text))] == [*LINES, ('net/ipv4/conf/eth0.100/tag', None)]
    assert '-net/ipv4/conf/eth0.100/rp_filter = 2\n' in text
    assert file_text('Nothing', []) == ''
