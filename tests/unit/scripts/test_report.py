# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The counts and closing lines of scripts/test: nothing that failed or did not run may look like a pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from devkit.report import GroupReport, NotRun, Outcome, from_junit, from_sanity, summary

JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="no"/></testcase>
<testcase classname="a" name="broken"><error message="no"/></testcase>
<testcase classname="a" name="left"><skipped message="no kernel"/></testcase>
</testsuite></testsuites>"""

SANITY = """Running sanity test "compile" on Python 3.11
Running sanity test "pep8"
WARNING: Skipping sanity test "pslint" because pwsh is missing
Running sanity test "pylint"
FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.
compile --python 3.11
pep8
"""


def closing(*outcomes: Outcome, strict: bool = False) -> tuple[str, bool]:
    lines, good = summary([GroupReport("group", outcome, 60.0) for outcome in outcomes], strict=strict)
    return lines[-1], good


def test_junit_counts_each_test_once(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    outcome = from_junit(path, "unit", 1)
    assert outcome.passed == 1
    assert outcome.failures == ("unit: a::bad", "unit: a::broken")
    assert outcome.not_run == (NotRun("unit: a::left", "no kernel"),)


@pytest.mark.parametrize("text", [None, "<testsuites><testsuite/></testsuites>"])
def test_pytest_that_ended_badly_failed_whatever_it_wrote(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "junit.xml"
    if text is not None:
        path.write_text(text)
    assert len(from_junit(path, "unit", 2).failures) == 1


def test_sanity_counts_each_of_its_tests() -> None:
    outcome = from_sanity(SANITY, 1)
    assert outcome.passed == 1
    assert len(outcome.failures) == 2
    assert outcome.not_run == (NotRun("sanity: pslint", "pwsh is missing"),)


@pytest.mark.parametrize(("text", "status"), [("", 0), ("All targets skipped.", 0), ('Running sanity test "pep8"\n', 1)])
def test_sanity_that_ran_nothing_or_broke_down_failed(text: str, status: int) -> None:
    assert len(from_sanity(text, status).failures) == 1


def test_the_last_line_has_the_counts() -> None:
    assert closing(Outcome(passed=3), Outcome(passed=2, failures=("x",))) == ("5 passed, 1 failed", False)
    assert closing(Outcome(passed=3)) == ("3 passed, 0 failed", True)


def test_what_did_not_run_fails_in_ci_only_and_is_always_named() -> None:
    outcome = Outcome(passed=1, not_run=(NotRun("kernel", "no root"),))
    assert closing(outcome) == ("1 passed, 0 failed", True)
    assert closing(outcome, strict=True) == ("1 passed, 1 failed", False)
    assert any("kernel: no root" in line for line in summary([GroupReport("g", outcome, 1.0)], strict=False)[0])


def test_an_excused_one_is_named_and_no_failure() -> None:
    outcome = Outcome(passed=1, not_run=(NotRun("unit on Python 3.8", "none found", excused=True),))
    assert closing(outcome, strict=True) == ("1 passed, 0 failed", True)


def test_nothing_at_all_is_a_failure() -> None:
    assert closing(Outcome()) == ("0 passed, 1 failed", False)
