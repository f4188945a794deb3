# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came out of a group of tests, and how it is told: counts, reasons, one closing line. Pure but for reading JUnit files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class NotRun:
    """Something that should have run and did not. ``excused`` ones are told, but are no failure in CI either."""

    what: str
    why: str
    excused: bool = False


@dataclass(frozen=True)
class Outcome:
    """The count of one tool, one pytest run or one whole group. ``failures`` names what failed."""

    passed: int = 0
    failures: tuple[str, ...] = ()
    not_run: tuple[NotRun, ...] = ()

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.passed + other.passed, self.failures + other.failures, self.not_run + other.not_run)


@dataclass(frozen=True)
class GroupReport:
    """One group's outcome, the minutes that it took, and the log to look into."""

    group: str
    outcome: Outcome
    seconds: float
    log: Path = field(default=Path())

    def line(self) -> str:
        counts = f"{self.outcome.passed} passed, {len(self.outcome.failures)} failed"
        if self.outcome.not_run:
            counts += f", {len(self.outcome.not_run)} NOT RUN"
        return f"{self.group:<10} {self.seconds / 60:5.1f} min   {counts}"


def check(name: str, good: bool) -> Outcome:
    """Return the outcome of one tool that either passes or fails."""
    return Outcome(passed=1) if good else Outcome(failures=(name,))


def from_junit(path: Path, name: str, status: int) -> Outcome:
    """Return what a pytest run wrote. A run that wrote nothing, collected nothing or broke down outside of a test failed."""
    if not path.is_file():
        return Outcome(failures=(f"{name}: pytest ended with {status} and without a report",))
    outcome = Outcome()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        outcome += _from_case(case, name)
    if status != 0 and not outcome.failures:
        outcome += Outcome(failures=(f"{name}: pytest ended with {status}",))
    return outcome


def _from_case(case: ElementTree.Element, name: str) -> Outcome:
    title = f"{name}: {case.get('classname', '')}::{case.get('name', '')}"
    if case.find("failure") is not None or case.find("error") is not None:
        return Outcome(failures=(title,))
    skipped = case.find("skipped")
    if skipped is not None:
        return Outcome(not_run=(NotRun(title, skipped.get("message", "skipped")),))
    return Outcome(passed=1)


def from_sanity(text: str, status: int) -> Outcome:
    """Return what ``ansible-test sanity`` printed: one count for each of its tests."""
    ran = list(dict.fromkeys(re.findall(r'^Running sanity test "([^"]+)"', text, re.MULTILINE)))
    listed = re.search(r"sanity test\(s\) listed below .*? failed\..*?\n((?:.+\n?)*)", text)
    failed = [name for name in (listed.group(1).split() if listed else ()) if name.split(" ")[0] in ran]
    skipped = re.findall(r'Skipping sanity test "([^"]+)"(?: on Python [\d.]+)? because (.*)', text)
    failures = [f"sanity: {name}" for name in failed]
    if not ran or (status != 0 and not failures):
        failures.append(f"sanity: ansible-test ended with {status} after {len(ran)} tests")
    return Outcome(
        passed=max(0, len(ran) - len(failed)),
        failures=tuple(failures),
        not_run=tuple(NotRun(f"sanity: {name}", why) for name, why in skipped),
    )


def summary(reports: list[GroupReport], *, strict: bool) -> tuple[list[str], bool]:
    """Return the closing lines and whether all is well. With ``strict`` (in CI), what did not run has failed."""
    total = Outcome()
    for report in reports:
        total += report.outcome
    counted = [item for item in total.not_run if strict and not item.excused]
    failed = len(total.failures) + len(counted)
    lines = ["", *(report.line() for report in reports)]
    lines += [f"FAILED   {failure}" for failure in total.failures]
    for item in total.not_run:
        lines.append(f"NOT RUN  {item.what}: {item.why}" + (" (counts as failed in CI)" if item in counted else ""))
    if not total.passed and not failed:
        lines.append("FAILED   nothing ran at all")
        failed = 1
    return [*lines, "", f"{total.passed} passed, {failed} failed"], failed == 0
