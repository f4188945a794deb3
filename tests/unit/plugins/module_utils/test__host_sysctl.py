# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a host: folders that stand for /proc/sys and sysctl.d. What only a kernel can show is in tests/kernel/test_sysctl_hosts.py."""
from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _host_sysctl
from ansible_collections.palisade.netfilter.plugins.module_utils._host_sysctl import SysctlHost


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SysctlHost:
    """A host whose /proc/sys, sysctl.d, /etc/sysctl.conf, ufw and routes are in a folder."""
    for name in ('net/ipv4/conf/all', 'net/ipv4/conf/default', 'net/ipv4/conf/eth0.100', 'net/ipv4/neigh'):
        (tmp_path / 'proc' / name).mkdir(parents=True)
    put(tmp_path, {'proc/net/ipv4/tcp_wmem': '4096\t16384\t4194304\n', 'proc/net/ipv4/conf/eth0.100/rp_filter': '1\n'})
    monkeypatch.setattr(_host_sysctl, 'DIRECTORIES', [str(tmp_path / name) for name in ('etc', 'run', 'lib')])
    for name in ('PROCPS_FILE', 'UFW_FILE', 'UFW_SWITCH', 'UFW_DEFAULTS', 'OWN_FILE', '_ROUTES6', '_STATUS'):
        monkeypatch.setattr(_host_sysctl, name, str(tmp_path / name))
    made = SysctlHost()
    made.root = '%s/' % (tmp_path / 'proc')
    return made


def put(folder: Path, files: Dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding='utf-8')


def test_interfaces_are_those_of_the_families_that_are_there(host: SysctlHost) -> None:
    assert host.interfaces() == {'ipv4': ['eth0.100']}


def test_keys_are_read_with_what_is_wrong_with_them(host: SysctlHost) -> None:
    gone = ['net/ipv4/gone', 'net/ipv4/tcp_wmem/x']
    values, faults = host.read_all(['net/ipv4/tcp_wmem', 'net/ipv4/conf/eth0.100/rp_filter', 'net/ipv4/neigh', *gone])
    assert values == {'net/ipv4/tcp_wmem': '4096 16384 4194304', 'net/ipv4/conf/eth0.100/rp_filter': '1'}
    assert faults == {'net/ipv4/neigh': 'folder'}


def test_an_interface_that_has_gone_is_no_error(host: SysctlHost) -> None:
    host.write('net/ipv4/conf/ppp0/rp_filter', '1')
    host.write('net/ipv4/conf/eth0.100/rp_filter', '2')
    assert host.read('net/ipv4/conf/eth0.100/rp_filter') == '2'


@pytest.mark.parametrize(('status', 'fault'), [('CapEff:\t0000000000001000\n', {}), ('CapEff:\t0000000000000fff\n', 'readonly'), ('', {})])
def test_forwarding_takes_a_capability(host: SysctlHost, tmp_path: Path, status: str, fault: object) -> None:
    path = 'net/ipv4/conf/all/forwarding'
    put(tmp_path, {'proc/' + path: '0\n', '_STATUS': status})
    assert host.read_all([path])[1] == ({path: fault} if fault else {})


def test_files_are_found_in_the_order_of_a_boot(host: SysctlHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host_sysctl, 'ufw_is_on', lambda texts: 'ENABLED=yes' in ''.join(texts.values()))
    put(tmp_path, {'etc/50-mine.conf': 'mine', 'lib/50-mine.conf': 'hidden', 'lib/10-first.conf': 'first', 'lib/README': 'no',
                   'lib/60-off.conf': 'off', 'run/99-zz.conf': 'last', 'PROCPS_FILE': 'late', 'UFW_FILE': 'ufw'})
    (tmp_path / 'etc' / '60-off.conf').symlink_to('/dev/null')
    files = host.sysctl_files()
    assert [file.text for file in files.boot] == ['first', 'mine', 'last']
    assert [file.text for file, _when in files.later] == ['late']
    put(tmp_path, {'UFW_SWITCH': 'ENABLED=yes\n'})
    assert [(file.text, when) for file, when in host.sysctl_files().later][1:] == [('ufw', 'when ufw starts')]


def test_routes_that_were_learned(host: SysctlHost, tmp_path: Path) -> None:
    line = '%032x 00 %032x 00 %032x 00000400 00000001 00000000 %s %s\n'
    routes = (('00450003', 'wan0'), ('00000003', 'eth0'), ('00450003', 'lo'))
    put(tmp_path, {'_ROUTES6': ''.join(line % (0, 0, 1, *route) for route in routes)})
    assert host.advertised() == {'wan0'}


def test_a_host_without_ipv6_has_no_such_routes(host: SysctlHost) -> None:
    assert host.advertised() == frozenset()


def test_our_file_is_sound_only_as_we_write_it(host: SysctlHost, tmp_path: Path) -> None:
    own = tmp_path / 'OWN_FILE'
    assert (host.own_text(), host.own_is_sound()) == (None, True)
    own.write_text('text', encoding='utf-8')
    own.chmod(0o644)
    assert (host.own_text(), host.own_is_sound()) == ('text', True)
    own.chmod(0o664)
    assert not host.own_is_sound()
    own.rename(tmp_path / 'elsewhere')
    own.symlink_to(tmp_path / 'elsewhere')
    assert (host.own_text(), host.own_is_sound()) == ('text', False)
