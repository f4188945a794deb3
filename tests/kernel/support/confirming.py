# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that waits for its confirmation on a throwaway host, without Ansible's controller: the module, and the command that is left there."""
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .faults import start_watched
from .forked import Process
from .host import Host, ModuleResult, finish

TOKEN = "a" * 16
FOLDER = "/run/palisade/palisade.commit"
OLD_CONNECTION = "192.0.2.1 50000 192.0.2.2 22"
NEW_CONNECTION = "192.0.2.1 50001 192.0.2.2 22"


def waiting_options(seconds: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run that the controller is going to confirm."""
    return {"allow_lockout": True, "confirm_timeout": seconds, "confirm_id": TOKEN, **options}


def start(host: Host, seconds: int = 600, *, check_mode: bool = False, **options: Any) -> ModuleResult:
    """Run the module as over ssh, and leave what it has changed waiting."""
    through = ["env", f"SSH_CONNECTION={OLD_CONNECTION}"]
    return finish(host.start_module(waiting_options(seconds, options), through=through, check_mode=check_mode))


def start_with_wrappers(host: Host, seconds: int = 600, **options: Any) -> ModuleResult:
    """Do the same on a host that is watched (see faults.py)."""
    return finish(start_watched(host, environment={"SSH_CONNECTION": OLD_CONNECTION}, **waiting_options(seconds, options)))


def tell(host: Host, *words: str, connection: str = NEW_CONNECTION, token: str = TOKEN, folder: str = FOLDER) -> str:
    """Call the command that is left on the host, by a connection, and return what it says."""
    done = host.run("env", f"SSH_CONNECTION={connection}", "sh", f"{folder}/commit", words[0], token, *words[1:])
    return done.stdout.removeprefix("palisade-commit ").strip()


def begin_to_tell(host: Host, *words: str, connection: str = NEW_CONNECTION) -> Process:
    """Do the same and do not wait."""
    return host.start("env", f"SSH_CONNECTION={connection}", "sh", f"{FOLDER}/commit", words[0], TOKEN, *words[1:])


def state(host: Host, folder: str = FOLDER) -> str:
    """Return what has become of the change."""
    names = ("armed", "confirmed", "kept", "undoing", "undone", "disarmed")
    there = host.run("ls", folder, check=False).stdout.split()
    return " ".join(name for name in names if name in there)


def until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so, and tell whether it came to be."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def watchers(host: Host) -> list[str]:
    """Return the processes of this host, by their numbers, that watch over a time."""
    mine = host.run("readlink", "/proc/self/ns/net").stdout.strip()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/net") == mine and b"commit\0watch" in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:  # it has ended
            continue
    return found
