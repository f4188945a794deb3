# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one module of the collection as its own process, as AnsiballZ would, without packing it. No test logic here.

Arguments: the directory that holds ansible_collections/, the module's name, a file for the process id.
Standard input: the module's arguments as JSON.
"""
from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from ansible.module_utils import basic


def main() -> None:
    collections, module, pid_file = sys.argv[1:]
    Path(pid_file).write_text(str(os.getpid()), encoding="ascii")
    sys.path.insert(0, collections)
    sys.argv = [module]
    basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
    basic._ANSIBLE_PROFILE = "legacy"
    runpy.run_module(f"ansible_collections.palisade.netfilter.plugins.modules.{module}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
