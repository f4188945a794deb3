# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of the benchmarks as data, and as a table for people. Measures nothing."""
from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from .tasks import Seconds

HEADINGS = ("", "this", "compared with", "ratio", "of CPU", "target", "")


@dataclass(frozen=True)
class Result:
    """One comparison. `at_most` and `at_least` bound the ratio of medians; without a peer, `at_most` bounds the median itself.

    `processor` is the ratio of processor time, which other work on the machine blurs less.
    """

    title: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    processor: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float:
        """Ours to theirs; where more is better (`at_least`), theirs to ours."""
        if not self.theirs:
            return median(self.ours)
        quotient = median(self.ours) / median(self.theirs)
        return 1 / quotient if self.at_least is not None else quotient

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.ratio <= self.at_most
        return None if self.at_least is None else self.ratio >= self.at_least

    def cells(self) -> tuple[str, ...]:
        """The result as the cells of a table's row."""
        target = f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}" if self.at_least is not None else ""
        peer = f"{self.peer} {_amount(self.theirs, self.unit)}" if self.theirs else ""
        processor = f"{self.processor:.2f}" if self.processor is not None else ""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return self.title, _amount(self.ours, self.unit), peer, f"{self.ratio:.2f}" if self.theirs else "", processor, target, verdict

    def as_dict(self) -> dict[str, Any]:
        """The result with every single measurement."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def timed(title: str, ours: Sequence[Seconds], peer: str, theirs: Sequence[Seconds], *, at_most: float | None = None,
          at_least: float | None = None) -> Result:
    """A comparison of two tasks."""
    quotient = median([seconds.processor for seconds in ours]) / median([seconds.processor for seconds in theirs])
    return Result(title, "s", [seconds.wall for seconds in ours], peer, [seconds.wall for seconds in theirs],
                  1 / quotient if at_least is not None else quotient, at_most, at_least)


def _amount(samples: Sequence[float], unit: str) -> str:
    middle = median(samples)
    if unit == "s" and middle < 0.1:
        return f"{1000 * middle:.1f} ms"
    return f"{middle:.0f} {unit}" if middle >= 100 else f"{middle:.2f} {unit}"


def machine() -> str:
    """The machine's outline, in one line."""
    iptables = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return ", ".join([
        f"{os.cpu_count()} cores", f"Linux {platform.release().partition('-')[0]}", f"iptables {iptables.lstrip('v')}",
        f"ansible-core {version('ansible-core')}", f"community.general of ansible {version('ansible')}",
        f"Python {platform.python_version()} on the controller, {_target_python()} on the host (connection local)",
    ])


def _target_python() -> str:
    return subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def text_table(results: Iterable[Result]) -> str:
    """The results as aligned text."""
    rows = [HEADINGS, *(result.cells() for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(results: Iterable[Result]) -> str:
    """The results as a table in Markdown."""
    rows = [("task", *HEADINGS[1:-1], "result"), ("---",) * len(HEADINGS), *(result.cells() for result in results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def progress(words: str) -> None:
    """Say on standard error what is being measured."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
