# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run makes of a change that it finds waiting. The lock is tested with the rest of the host, in test__host.py."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import SETTINGS, BaseHost, uptime


@pytest.fixture
def host(tmp_path: Path) -> BaseHost:
    return BaseHost(5, str(tmp_path))


def made(host: BaseHost, name: str, state: str, left: int) -> Path:
    folder = Path(host.run_directory, '%s.commit' % name)
    folder.mkdir()
    (folder / state).touch()
    (folder / 'deadline').write_text('%d\n' % (uptime() + left), encoding='ascii')
    return folder


def test_nothing_waits_where_nothing_was_armed(host: BaseHost) -> None:
    assert host.pending() == ''


@pytest.mark.parametrize('state', ['kept', 'undone', 'disarmed', 'confirmed'])
def test_what_has_come_to_its_end_waits_no_more(host: BaseHost, state: str) -> None:
    made(host, 'web', state, 40)
    assert host.pending() == ''


@pytest.mark.parametrize(('state', 'left', 'words'), [
    ('armed', 40, r'a change of ruleset web waits for its confirmation; if none comes, .* in (39|40) s\Z'),
    ('armed', -10, r'in 0 s\Z'), ('undoing', -10, r'a change of ruleset web is being taken back just now\Z'),
])
def test_what_waits_is_said(host: BaseHost, state: str, left: int, words: str) -> None:
    made(host, 'other', 'kept', 40)
    made(host, 'web', state, left)
    assert re.search(words, host.pending())


@pytest.mark.parametrize('state', ['armed', 'undoing'])
def test_what_nobody_will_put_back_any_more_is_called_off(host: BaseHost, state: str) -> None:
    folder = made(host, 'web', state, -1000)
    assert host.pending() == ''
    assert sorted(path.name for path in folder.iterdir()) == ['deadline', 'disarmed']


def test_settings_wait_under_a_name_that_no_ruleset_can_have(host: BaseHost) -> None:
    made(host, SETTINGS, 'armed', 40)
    assert host.pending().startswith('a change of the kernel settings waits for its confirmation; ')
    assert '-' in SETTINGS
