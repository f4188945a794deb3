# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are in a checkout, and how a command is run: without input, in a known locale, its output in a log."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
HOME = CACHE / "home"

INSTANCE = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
"""Tells the containers of one checkout from those of another."""

QUIET = {
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_NOCOLOR": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PY_COLORS": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


FAILED = "^^^ exit status"
"""What a log has behind a command that failed."""


_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


class SetupError(Exception):
    """Something that the tests need cannot be had here. The message says what, and what to do."""


def environment(**extra: str) -> dict[str, str]:
    """Return the caller's environment, made quiet, with ``extra`` on top."""
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ANSIBLE_CONFIG", "FORCE_COLOR")}
    return {**own, **QUIET, **extra}


def run(argv: Sequence[str], log: IO[str], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> int:
    """Run a command with its output in ``log`` and return its exit status; 127 when there is no such command."""
    log.write("\n$ " + " ".join(shlex.quote(word) for word in argv) + "\n")
    log.flush()
    status = _status(argv, log, env or environment(), cwd)
    if status != 0:
        log.write(f"{FAILED} {status}\n")
    return status


def _status(argv: Sequence[str], log: IO[str], env: Mapping[str, str], cwd: Path) -> int:
    if _stopping.is_set():
        raise SetupError("stopped")
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=cwd, env=env)
    except OSError as error:
        log.write(f"{error}\n")
        return 127
    _running.add(process)
    try:
        return process.wait()
    finally:
        _running.discard(process)


def stop_all() -> None:
    """End the commands that run and refuse any further one."""
    _stopping.set()
    for process in list(_running):
        process.terminate()


def failed_commands(text: str, most: int) -> list[str]:
    """Return the last lines of each command in a log that failed, with the command, and what its caller wrote behind."""
    sections = [part.rstrip().splitlines() for part in re.split(r"^(?=\$ )", text, flags=re.MULTILINE)]
    shown: list[str] = []
    for lines in sections:
        if any(line.startswith(FAILED) for line in lines):
            shown += lines[:1] + lines[max(1, len(lines) - most) :]
    return shown


def output(argv: Sequence[str]) -> str | None:
    """Return what a command prints, or nothing if it fails or does not exist."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), check=False
        )
    except OSError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def as_root(argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
    """Return ``argv`` as a command that runs as root; sudo drops the environment, so ``env`` is set again behind it."""
    if os.geteuid() == 0:
        return list(argv)
    if shutil.which("sudo") is None or output(["sudo", "-n", "true"]) is None:
        raise SetupError("this needs root: run it as root, or with a sudo that asks for no password")
    return ["sudo", "-n", "env", *(f"{key}={value}" for key, value in {**QUIET, **(env or {})}.items()), *argv]


def say(text: str) -> None:
    """Print a line at once, also when the output is a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
