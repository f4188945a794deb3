# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the benchmarks: which cases, how often, where the results go."""
from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from .cases import BOTH_BACKENDS, CASES
from .report import Result, machine, markdown_table, progress, text_table
from .tasks import Bench, TaskError


def main() -> int:
    """Measure, print the table, write what was asked for. The status is 1 if a target was missed, 2 if a task failed."""
    arguments = _arguments()
    if os.geteuid() != 0:
        sys.stderr.write("benchmarks: they make network namespaces, which needs root\n")
        return 2
    outline = machine()
    progress(outline)
    results: list[Result] = []
    broken = False
    with tempfile.TemporaryDirectory(prefix="palisade-benchmarks-") as folder:
        bench = Bench(Path(folder))
        for case in arguments.cases or CASES:
            for backend in _backends(case, arguments.backend):
                progress(f"{case}, {backend}")
                try:
                    results += CASES[case](bench, backend, arguments.rounds)
                except TaskError as failure:
                    sys.stderr.write(f"benchmarks: {failure}\n")
                    broken = True
    print(f"{outline}\n\n{text_table(results)}")
    if arguments.markdown:
        arguments.markdown.write_text(f"{outline}\n\n{markdown_table(results)}\n", encoding="utf-8")
    if arguments.json:
        data = {"machine": outline, "results": [result.as_dict() for result in results]}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    if broken:
        return 2
    return 1 if any(result.met is False for result in results) else 0


def _backends(case: str, asked: list[str] | None) -> list[str]:
    if asked:
        return asked
    return ["nft", "legacy"] if case in BOTH_BACKENDS else ["nft"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/benchmarks/run", description="Measure iptables_ruleset against what a user would pick instead.")
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[[], *CASES], help=f"{', '.join(CASES)}; all of them if none is named")
    parser.add_argument("--rounds", type=int, default=5, help="how often each pair is run (default: %(default)s)")
    parser.add_argument("--backend", action="append", choices=["nft", "legacy"], help="only this backend (nft; growth, memory, proofs: both)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement as JSON, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
