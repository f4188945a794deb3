# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of files that wait for a confirmation, and times that may be waited. More: test__confirm.py, test__sysctl_confirm.py."""
from __future__ import annotations

import subprocess
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_base import discard_script, keep_script
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_seconds import check_seconds
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange, FilePlan


def test_what_is_kept_and_what_is_thrown_away(tmp_path: Any) -> None:
    """Twice: a controller that lost the answer asks again."""
    folder = tmp_path / 'et c'
    folder.mkdir()
    for name, text in (('.rules.new', 'new'), ('rules', 'old'), ('gone', 'x')):
        (folder / name).write_text(text, encoding='ascii')
    plan = FilePlan([FileChange(str(folder / 'rules'), 'new'), FileChange(str(folder / 'gone'), None)])
    for _time in range(2):
        subprocess.run(['sh', '-c', keep_script(plan, False, str(folder))], check=True)
        assert {path.name: path.read_text(encoding='ascii') for path in folder.iterdir()} == {'rules': 'new'}
    (folder / '.rules.new').write_text('newer', encoding='ascii')
    subprocess.run(['sh', '-c', discard_script(plan)], check=True)
    assert {path.name: path.read_text(encoding='ascii') for path in folder.iterdir()} == {'rules': 'new'}


def test_with_the_last_ruleset_its_folder_goes_too(tmp_path: Any) -> None:
    folder = tmp_path / 'palisade'
    folder.mkdir()
    (folder / 'rules').touch()
    plan = FilePlan([FileChange(str(folder / 'rules'), None)], (), [str(tmp_path / 'loader')])
    (tmp_path / 'loader').touch()
    subprocess.run(['sh', '-c', keep_script(plan, True, str(folder))], check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('seconds', [0, 5, 60, 3600])
def test_times_that_may_be_waited(seconds: int) -> None:
    check_seconds(seconds)


@pytest.mark.parametrize('seconds', [-1, 1, 4, 3601])
def test_times_that_nobody_can_mean(seconds: int) -> None:
    with pytest.raises(PalisadeError, match='confirm_timeout: %d: from 5 to 3600 seconds, or 0 for no rollback' % seconds):
        check_seconds(seconds)
