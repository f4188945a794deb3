# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on a real file system: whole or not at all, trusted or not, and what a full or read-only one does."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _host_files
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange, HostFiles


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    host = HostFiles()
    host.directory = str(tmp_path / 'palisade')
    return host


def put(files: HostFiles, kind: str, text: str) -> Path:
    """Write a file as the module does."""
    changes = [FileChange(files.rule_path('web', kind), text)]
    files.stage(changes)
    files.commit(changes)
    return Path(files.rule_path('web', kind))


def names(files: HostFiles) -> List[str]:
    return sorted(os.listdir(files.directory))


def test_a_file_is_private_and_so_is_its_directory(files: HostFiles) -> None:
    path = put(files, 'rules', 'a\udce4\n')
    assert path.read_bytes() == b'a\xe4\n'
    assert [oct(place.stat().st_mode & 0o7777) for place in (path, path.parent)] == ['0o600', '0o700']
    assert files.rule_file('web', 'rules') == ('a\udce4\n', '')
    assert names(files) == ['web.rules']


def test_another_mode_where_one_is_asked_for(files: HostFiles, tmp_path: Path) -> None:
    changes = [FileChange(str(tmp_path / 'load.d' / 'a.conf'), 'x', 0o644)]
    files.stage(changes)
    files.commit(changes)
    assert (tmp_path / 'load.d' / 'a.conf').stat().st_mode & 0o7777 == 0o644


def test_what_is_staged_is_not_in_force(files: HostFiles) -> None:
    path = put(files, 'rules', 'old')
    changes = [FileChange(str(path), 'new')]
    files.stage(changes)
    assert path.read_text() == 'old'
    assert len(files.rule_files('web')) == 2
    files.discard(changes)
    assert names(files) == ['web.rules']
    files.discard(changes)


def test_a_file_can_go(files: HostFiles) -> None:
    path = put(files, 'rules', 'old')
    for _again in range(2):
        files.commit([FileChange(str(path), None)])
        assert names(files) == []
    files.remove_directory()
    assert not os.path.exists(files.directory)
    files.remove_directory()


def test_a_directory_with_something_in_it_stays(files: HostFiles) -> None:
    path = put(files, 'rules', 'old')
    files.remove_directory()
    assert path.exists()


def test_rulesets_are_known_by_their_files(files: HostFiles) -> None:
    assert files.persisted_names() == []
    put(files, 'closed', 'x')
    put(files, 'rules', 'x')
    assert files.persisted_names() == ['web']
    assert files.rule_files('we') == []


def test_what_is_not_roots_alone_is_not_read(files: HostFiles) -> None:
    assert files.rule_file('web', 'rules') == ('', 'is not there')
    path = put(files, 'rules', 'x')
    path.chmod(0o640)
    assert files.rule_file('web', 'rules') == ('', 'has mode 0640')
    path.chmod(0o600)
    path.parent.chmod(0o770)
    assert files.rule_file('web', 'rules') == ('', 'is in a directory that has mode 0770')
    put(files, 'good', 'x')
    assert path.parent.stat().st_mode & 0o777 == 0o700, 'the next run repairs the directory'
    path.unlink()
    path.symlink_to(files.rule_path('web', 'good'))
    assert files.rule_file('web', 'rules') == ('', 'is not a regular file')
    put(files, 'rules', 'y')
    assert (path.is_symlink(), files.rule_file('web', 'rules'), files.rule_file('web', 'good')) == (False, ('y', ''), ('x', ''))


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_what_is_somebody_elses_is_not_read(files: HostFiles) -> None:
    path = put(files, 'rules', 'x')
    os.chown(path, 1000, 1000)
    assert files.rule_file('web', 'rules') == ('', 'belongs to user 1000')
    put(files, 'rules', 'y')
    assert path.stat().st_uid == 0
    os.chown(path.parent, 1000, 1000)
    assert files.rule_file('web', 'rules') == ('', 'is in a directory that belongs to user 1000')
    put(files, 'rules', 'y')
    assert path.parent.stat().st_uid == 0


def test_a_link_in_the_place_of_a_staged_file_is_not_followed(files: HostFiles, tmp_path: Path) -> None:
    put(files, 'rules', 'old')
    victim = tmp_path / 'victim'
    victim.write_text('mine')
    Path(files.directory, '.web.rules.new').symlink_to(victim)
    with pytest.raises(PalisadeError, match='cannot be written, nothing has changed'):
        put(files, 'rules', 'new')
    files.discard([FileChange(files.rule_path('web', 'rules'), '')])
    assert victim.read_text() == 'mine'
    put(files, 'rules', 'new')
    assert files.rule_file('web', 'rules') == ('new', '')


def test_something_else_in_the_place_of_the_directory(files: HostFiles) -> None:
    Path(files.directory).write_text('')
    with pytest.raises(PalisadeError, match=r'palisade(?: is not a directory|/web.rules cannot)'):
        put(files, 'rules', 'x')
    assert files.rule_file('web', 'rules')[1]


def test_a_read_only_place_is_told(files: HostFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.check_writable([files.rule_path('web', 'rules')])
    monkeypatch.setattr(_host_files.os, 'access', lambda path, mode: path != os.path.dirname(files.directory))
    with pytest.raises(PalisadeError, match='is read-only'):
        files.check_writable([files.rule_path('web', 'rules')])
    assert not os.path.exists(files.directory)


def test_modules_that_are_files(files: HostFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = b'kernel/net/ip_tables.ko: kernel/x.ko\nkernel/net/ip6_tables.ko.xz:\n'
    monkeypatch.setattr(_host_files, 'bytes_of', lambda path: listed if path == '/lib/modules/%s/modules.dep' % os.uname().release else b'')
    assert files.loadable_modules({'ip_tables', 'ip6_tables', 'iptable_nat', 'tables'}) == {'ip_tables', 'ip6_tables'}


@pytest.mark.parametrize(('there', 'state'), [
    ((), 'no systemd'), (('run',), 'missing'), (('run', 'unit'), 'disabled'), (('unit',), 'disabled'), (('run', 'unit', 'link'), 'enabled')])
def test_the_unit_that_loads_at_boot(there: List[str], state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host_files, '_SYSTEMD', str(tmp_path / 'etc'))
    monkeypatch.setattr(_host_files, 'SYSTEMD_RUNS', str(tmp_path / 'run'))
    monkeypatch.setattr(_host_files, '_LOADER', str(tmp_path / 'loader'))
    for name, path in (('run', 'run'), ('unit', 'etc'), ('link', 'etc/sysinit.target.wants')):
        if name in there:
            (tmp_path / path).mkdir()
            (tmp_path / path / 'palisade-firewall.service').touch()
    assert HostFiles.boot_unit() == state
    assert len(HostFiles.boot_files()) == len(set(there) - {'run'})


def test_a_file_reaches_the_disk_before_its_name_does(files: HostFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: List[str] = []

    def noted(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*words: Any) -> Any:
            steps.append(name)
            return real(*words)
        return call

    for name in ('fsync', 'replace'):
        monkeypatch.setattr(_host_files.os, name, noted(name))
    put(files, 'rules', 'x')
    assert steps == ['fsync', 'replace', 'fsync']
