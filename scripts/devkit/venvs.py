# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments in .cache, made again only when their requirements or their Python change."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from pathlib import Path
from typing import IO

from . import machine
from .shell import CACHE, ROOT, SetupError, run

REQUIREMENTS = ROOT / "tests" / "requirements"

_lock = threading.Lock()


def tools(log: IO[str]) -> Path:
    """Return the virtual environment with Ansible and every tool that the tests use."""
    with _lock:
        return _environment("venv", machine.controller_python(log), REQUIREMENTS / "tools.txt", log)


def ansible(log: IO[str]) -> Path:
    """Return a virtual environment with Ansible: the one of the tools if it is there, else a small one."""
    with _lock:
        python = machine.controller_python(log)
        if _is_current(CACHE / "venv", python, REQUIREMENTS / "tools.txt"):
            return CACHE / "venv"
        return _environment("venv-ansible", python, REQUIREMENTS / "ansible-core.txt", log)


def oldest(python: str, log: IO[str]) -> Path:
    """Return a virtual environment of an old Python with pytest alone."""
    version = machine.version_of(python)
    with _lock:
        return _environment(f"venv-{version}", python, REQUIREMENTS / "oldest-python.txt", log)


def _environment(name: str, python: str, requirements: Path, log: IO[str]) -> Path:
    path = CACHE / name
    if _is_current(path, python, requirements):
        return path
    shutil.rmtree(path, ignore_errors=True)
    if run([python, "-m", "venv", str(path)], log) != 0:
        raise SetupError(f"{python} made no virtual environment")
    pip = [str(path / "bin" / "python"), "-m", "pip", "--quiet", "install", "--requirement", str(requirements)]
    if run(pip, log) != 0:
        raise SetupError(f"pip could not install {requirements.relative_to(ROOT)}")
    (path / "stamp").write_text(_stamp(path, python, requirements))
    return path


def _is_current(path: Path, python: str, requirements: Path) -> bool:
    stamp = path / "stamp"
    if not stamp.is_file() or stamp.read_text() != _stamp(path, python, requirements):
        return False
    return machine.version_of(str(path / "bin" / "python")) is not None


def _stamp(path: Path, python: str, requirements: Path) -> str:
    """What an environment was made of."""
    wanted = requirements.read_text()
    for name in re.findall(r"^-r +(\S+)", wanted, re.MULTILINE):
        wanted += (REQUIREMENTS / name).read_text()
    return hashlib.sha256(f"{path} {machine.version_of(python)}\n{wanted}".encode()).hexdigest()
