# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container engine for the tests: the machine's own if one answers, else a dockerd of ours, ended when we end."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Iterator

from . import machine
from .shell import CACHE, INSTANCE, LOGS, SetupError, as_root, output

PID_FILE = CACHE / "dockerd.pid"

_lock = threading.Lock()
_children: list[subprocess.Popen[bytes]] = []


def docker(*arguments: str) -> list[str]:
    """Return a docker command, as root: the engine's socket is root's."""
    return as_root(["docker", *arguments])


def ensure(log: IO[str]) -> None:
    """Make sure that a container engine answers."""
    with _lock:
        if _answers():
            return
        machine.install_packages(["docker.io", "iptables"], log)
        if _wait(5):
            return
        _start()
        if not _wait(60):
            raise SetupError(f"dockerd did not start, see {LOGS / 'dockerd.log'}")


@contextlib.contextmanager
def ended_afterwards() -> Iterator[None]:
    """End the dockerd that was started inside, unless somebody's containers still run in it."""
    try:
        yield
    finally:
        _stop()


def _answers() -> bool:
    return output(docker("version", "--format", "{{.Server.Version}}")) is not None


def _wait(seconds: int) -> bool:
    end = time.monotonic() + seconds
    while not _answers():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def _start() -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    start = 'echo $$ > "$0"; exec dockerd --host unix:///var/run/docker.sock'
    with (LOGS / "dockerd.log").open("w") as log:
        argv = as_root(["sh", "-c", start, str(PID_FILE)])
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    _children.append(child)


def _stop() -> None:
    pid = _our_pid()
    if pid is None:
        return
    names = (output(docker("ps", "--format", "{{.Names}}")) or "").split()
    if any(not name.endswith(f"-{INSTANCE}") for name in names):
        return
    output(as_root(["kill", str(pid)]))
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        for child in _children:
            child.poll()
        time.sleep(0.2)
    output(as_root(["rm", "-f", str(PID_FILE)]))


def _our_pid() -> int | None:
    try:
        pid = int(PID_FILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" else None
