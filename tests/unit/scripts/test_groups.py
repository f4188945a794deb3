# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of test machines: each release is built, and one that fails is named with what its build said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, List, Mapping, Sequence

import pytest
from devkit import groups
from devkit.shell import SetupError


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[List[str]]:
    """Give the list of the builds' arguments, in no certain order. The one of buster fails."""
    calls: List[List[str]] = []

    def run(argv: Sequence[str], log: IO[str], *, env: Mapping[str, str]) -> int:
        calls.append(list(argv[-2:]))
        log.write(f"{argv[-2]} said this\n")
        return 1 if "buster" in argv else 0

    monkeypatch.setattr(groups, "LOGS", tmp_path)
    monkeypatch.setattr(groups, "as_root", lambda argv, env: argv)
    monkeypatch.setattr(groups, "run", run)
    return calls


def test_each_release_is_built(built: List[List[str]]) -> None:
    names = groups.test_images(groups.SUITES, io.StringIO())
    assert names == ["palisade-test:bullseye", "palisade-test:bookworm", "palisade-test:trixie"]
    assert sorted(built) == sorted([suite, name] for suite, name in zip(groups.SUITES, names))


@pytest.mark.usefixtures("built")
def test_a_failed_build_is_named_and_its_words_are_in_the_log_of_the_group() -> None:
    log = io.StringIO()
    with pytest.raises(SetupError, match=r"palisade-test:buster could not be built, see .*image-buster\.log"):
        groups.test_images(["bookworm", "buster"], log)
    assert log.getvalue() == "buster said this\n"
