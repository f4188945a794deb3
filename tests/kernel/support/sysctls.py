# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings of a throwaway host: read and written as a person would, and by our module. It holds no test logic."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .host import COLLECTIONS, PID_FILE, Host, ModuleResult, finish

OWN_FILE = "/etc/sysctl.d/99-zz-palisade.conf"
READ = """
import json, sys
found = {}
for path in json.load(sys.stdin):
    try:
        found[path] = open("/proc/sys/" + path).read().strip()
    except FileNotFoundError:
        pass
print(json.dumps(found))
"""


def harden(
    host: Host, *, check_mode: bool = False, through: Sequence[str] = (), runner: str = "module_process.py",
    environment: Mapping[str, str] | None = None, **options: Any,
) -> ModuleResult:
    """Run sysctl_hardening on the host as its own process; `through` is a command that starts it, and `runner` a file beside this one."""
    arguments = {**options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
    program = str(Path(__file__).with_name(runner))
    process = host.start(*through, sys.executable, program, str(COLLECTIONS), "sysctl_hardening", PID_FILE, environment=environment)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return finish(process)


def hardened(host: Host, **options: Any) -> ModuleResult:
    """Run the module and insist that it succeeds, and that a second run changes nothing."""
    first = harden(host, **options)
    assert (first.failed, first.returncode) == (False, 0), first.message or first.stderr
    second = harden(host, **options)
    assert (second.failed, second.changed, second.data["diff"]) == (False, False, []), second.data
    return first


def refused(host: Host, paths: Iterable[str], **options: Any) -> str:
    """Run the module and insist that it fails in words and changes neither these settings nor our file."""
    before = read(host, paths), own_file(host)
    result = harden(host, **options)
    assert result.failed, result.data
    assert "Traceback" not in result.message + result.stderr, result.stderr
    assert (read(host, before[0]), own_file(host)) == before
    return result.message


def read(host: Host, paths: Iterable[str]) -> dict[str, str]:
    """Read keys, given by their paths below /proc/sys; those that are not there are left out."""
    return dict(json.loads(host.run("python3", "-c", READ, text=json.dumps(list(paths))).stdout))


def write(host: Host, settings: Mapping[str, object]) -> None:
    """Write keys as a person would."""
    host.run("sh", "-euc", "".join(f"echo '{value}' > /proc/sys/{path}\n" for path, value in settings.items()))


def own_file(host: Host) -> str | None:
    """Our file's text."""
    done = host.run("cat", OWN_FILE, check=False)
    return done.stdout if done.returncode == 0 else None


def by_key(result: ModuleResult) -> dict[str, dict[str, Any]]:
    """What the module tells of each key."""
    return {entry["key"]: entry for entry in result.data["keys"]}
