# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes the peak memory of a Python process in the file that PALISADE_PEAK_MEMORY names. Loaded by Python itself, at start.

VmHWM and not ru_maxrss: the kernel carries the latter over from the process that started this one.
"""
from __future__ import annotations

import atexit
import os
import re


def _note() -> None:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        found = re.search(r"^VmHWM:\s*(\d+) kB", status.read(), re.MULTILINE)
    if found:
        with open(os.environ["PALISADE_PEAK_MEMORY"], "a", encoding="ascii") as file:
            file.write(found.group(1) + "\n")


if "PALISADE_PEAK_MEMORY" in os.environ:
    atexit.register(_note)
