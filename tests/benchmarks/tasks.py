# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible tasks on throwaway hosts, with a stopwatch. Knows how to run, not what to compare."""
from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.palisade.netfilter.tests.kernel.support.host import Host

OURS = "palisade.netfilter.iptables_ruleset"
PEER = "community.general.iptables_state"
COLLECTIONS = Path(__file__).resolve().parents[2] / ".collections"
PYTHON = "/usr/bin/python3"
SHIM = f"""\
#!/bin/sh
PYTHONPATH={Path(__file__).parent / "peak_memory"} exec {PYTHON} "$@"
"""


class Seconds(NamedTuple):
    """What a task took: by the clock, and of the processors (its own and all its children's), which a busy machine blurs less."""

    wall: float
    processor: float


class TaskError(Exception):
    """A task that was to be measured did not do what it should."""


class Bench:
    """A folder for rule files and playbooks, and hosts to run them on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shim = self.write("python-with-peak", SHIM)
        self.shim.chmod(0o755)
        self._environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(self.write("ansible.cfg", "[defaults]\n")),
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "HOME": str(folder),
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder and return its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    @contextmanager
    def hosts(self, backend: str, count: int) -> Iterator[list[Host]]:
        """Make throwaway hosts without a single rule."""
        with ExitStack() as stack:
            yield [stack.enter_context(Host(backend, environment=dict(self._environment))) for number in range(count)]

    def module(self, host: Host, module: str, arguments: Mapping[str, Any] | None = None, *, changed: bool | None = None,
               python: str = PYTHON) -> Seconds:
        """Run one module by `ansible` and return what it took. Raises TaskError unless it says `changed` as expected."""
        argv = ["ansible", "localhost", "-c", "local", "-e", f"ansible_python_interpreter={python}", "-m", module]
        seconds, done = self._timed(host, [*argv, "-a", json.dumps(arguments)] if arguments else argv)
        said = done.stdout.partition(" ")[2].partition(" =>")[0].strip("| ")
        if done.returncode != 0 or (changed is not None and said != ("CHANGED" if changed else "SUCCESS")):
            raise TaskError(f"{module} {arguments}: expected changed={changed}, got {said}:\n{done.stdout[:2_000]}\n{done.stderr[:2_000]}")
        return seconds

    def playbook(self, host: Host, path: Path, *, changed: int) -> Seconds:
        """Run a playbook and return what it took. Raises TaskError unless it ends with changed=`changed`."""
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={PYTHON}", str(path)]
        seconds, done = self._timed(host, argv)
        if done.returncode != 0 or f"changed={changed} " not in done.stdout:
            raise TaskError(f"{path.name}: expected changed={changed}:\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}")
        return seconds

    def apply(self, host: Host, source: Path, *, changed: bool = True, python: str = PYTHON) -> Seconds:
        """Put the rules of a file in place with our module."""
        return self.module(host, OURS, {"src": str(source), "families": ["ipv4"]}, changed=changed, python=python)

    def proofs(self, host: Host, text: str, flows: list[tuple[dict[str, object], str, int | None]]) -> dict[str, float]:
        """Prove flows on a host with these rules and return the seconds of each job. Raises TaskError for one wrong answer."""
        given = json.dumps({"text": text, "flows": [flow for flow, _verdict, _number in flows]})
        said = json.loads(host.run(PYTHON, str(Path(__file__).with_name("proofs.py")), str(COLLECTIONS), host.backend, text=given).stdout)
        for job, answers in said["answers"].items():
            wrong = [(*wanted, answer) for wanted, answer in zip(flows, answers) if answer != list(wanted[1:])]
            if wrong:
                raise TaskError(f"{job}: {len(wrong)} of {len(flows)} answers are wrong: {wrong[0]}")
        return dict(said["seconds"])

    def restore(self, host: Host, source: Path, *, changed: bool = True) -> Seconds:
        """Put the rules of a file in place with community.general.iptables_state."""
        return self.module(host, PEER, {"state": "restored", "path": str(source)}, changed=changed)

    def peak_memory(self, host: Host, source: Path, *, changed: bool) -> float:
        """Return the peak memory in MiB of our module's own process while it puts a file's rules in place."""
        note = self.folder / "peak"
        note.unlink(missing_ok=True)
        host.environment["PALISADE_PEAK_MEMORY"] = str(note)
        self.apply(host, source, changed=changed, python=str(self.shim))
        return max(int(line) for line in note.read_text(encoding="ascii").split()) / 1024

    def _timed(self, host: Host, argv: list[str]) -> tuple[Seconds, subprocess.CompletedProcess[str]]:
        program = str(Path(sys.executable).with_name(argv[0]))
        begin, processor = time.monotonic(), processor_seconds()
        done = host.run(program, *argv[1:], check=False)
        return Seconds(time.monotonic() - begin, processor_seconds() - processor), done


def processor_seconds() -> float:
    """Return the processor time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
