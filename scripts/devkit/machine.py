# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine under the tests: Debian packages, a Python that is good enough, root. Installs, never configures."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import IO

from .shell import ROOT, SetupError, as_root, environment, output, run

CONTROLLER_PYTHONS = ("3.11", "3.12", "3.13")
"""What ansible-core 2.19 runs on as a controller."""

TARGET_PYTHONS = ("3.8", "3.9", "3.10")
"""What a managed host may have and a controller may not, oldest first."""

_apt = threading.Lock()


def install_packages(names: list[str], log: IO[str]) -> None:
    """Install the Debian packages that are missing."""
    with _apt:
        missing = [name for name in names if not _installed(name)]
        if not missing:
            return
        if output(["apt-get", "--version"]) is None:
            raise SetupError(f"there is no apt-get to install {' '.join(missing)} with")
        env = environment()
        run(as_root(["apt-get", "-q", "update"], env), log, env=env)
        if run(as_root(["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing], env), log, env=env) != 0:
            raise SetupError(f"apt-get install {' '.join(missing)} failed")


def _installed(name: str) -> bool:
    status = output(["dpkg-query", "--show", "--showformat=${db:Status-Status}", name])
    return status is not None and status.startswith("installed")


def controller_python(log: IO[str]) -> str:
    """Return a Python that can hold Ansible and make virtual environments; the one called python3 is asked first."""
    wanted = ["python3", "/usr/bin/python3", *(f"python{version}" for version in CONTROLLER_PYTHONS)]
    found = [python for python in wanted if version_of(python) in CONTROLLER_PYTHONS]
    found += _pyenv_pythons(CONTROLLER_PYTHONS)
    for python in found:
        if _makes_venvs(python):
            return python
    if version_of("/usr/bin/python3") in CONTROLLER_PYTHONS:
        install_packages(["python3-venv"], log)
        return "/usr/bin/python3"
    raise SetupError(f"no Python {', '.join(CONTROLLER_PYTHONS)} was found")


def oldest_target_python() -> tuple[str, str] | None:
    """Return version and path of the oldest Python below the controller's that there is."""
    for version in TARGET_PYTHONS:
        for python in [f"python{version}", *_pyenv_pythons((version,))]:
            if version_of(python) == version and _makes_venvs(python):
                path = output([python, "-c", "import sys; print(sys.executable)"]) or python
                return version, path.strip()
    return None


def version_of(python: str) -> str | None:
    """Return ``X.Y`` of a Python. A pyenv shim of a version that is not switched on answers nothing."""
    answer = output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    return answer.strip() if answer else None


def _makes_venvs(python: str) -> bool:
    return output([python, "-c", "import venv, ensurepip"]) is not None


def _pyenv_pythons(versions: tuple[str, ...]) -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(path) for version in versions for path in sorted(root.glob(f"versions/{version}.*/bin/python{version}"))]


def tree(*suffixes: str) -> list[Path]:
    """Return the checkout's own files with one of these suffixes, hidden folders of tools left out."""
    hidden = re.compile(r"^(\.cache|\.git|\.collections|\.nox|\.venv|\.ansible|\..*_cache|\.hypothesis)$")
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not hidden.match(name))
        found += [Path(folder, name) for name in sorted(files) if Path(name).suffix in suffixes]
    return found
