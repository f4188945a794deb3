# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""module_process with a real SIGKILL right before the process' own n-th change of a file below one folder. No test logic here.

n is in the environment as DIE_AT, the folder as DIE_BELOW (/etc/ if it is not). What the module has done so far is on the disk as it is; nothing
is cleaned up.
"""
from __future__ import annotations

import os
import runpy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("open", "fchmod", "fsync", "replace", "unlink", "rmdir", "mkdir")


def main() -> None:
    left = int(os.environ["DIE_AT"])
    folder = os.environ.get("DIE_BELOW", "/etc/")
    descriptors: set[int] = set()

    def dying(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def change(place: Any, *rest: Any, **options: Any) -> Any:
            nonlocal left
            if place in descriptors or str(place).startswith(folder):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            result = real(place, *rest, **options)
            if name == "open" and str(place).startswith(folder):
                descriptors.add(result)
            return result
        return change

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name), name))
    runpy.run_path(str(Path(__file__).with_name("module_process.py")), run_name="__main__")


if __name__ == "__main__":
    main()
