# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch the external commands of a module run, and let something happen at one of them. It judges nothing.

Every command stands behind a wrapper of the same name, first in the run's PATH. The wrapper numbers and logs itself and,
when its number has come, kills the module: before the command (which then never runs), after it, or before it with the
command running on a second later, as an orphan does. Or it lets the command fail, or die with the first of its tables
done, or somebody else meddle after it. Of the loader, which works in a child, it may kill that one (`after-child`) or both (`after-both`).
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .forked import Process
from .host import COMMANDS, PID_FILE, SHIMS, Host, ModuleResult, finish

DIRECTORY = "/run/faults"
ORPHAN_DELAY = 1
NAMES = ["unshare", "ipset", "nft", "conntrack"] + [
    f"{command}{backend}{suffix}"
    for command in COMMANDS.values()
    for backend in ("", "-nft", "-legacy")
    for suffix in ("", "-save", "-restore")
]
WRAPPER = f"""#!/bin/sh
name=${{0##*/}}
exec 9>>{DIRECTORY}/turn
flock 9
number=$(( $(wc -l < {DIRECTORY}/log) + 1 ))
read -r module < {PID_FILE}
printf '%s %s %s' "$PPID" "$name" "$*" | tr '\\n' ' ' >> {DIRECTORY}/log
echo >> {DIRECTORY}/log
exec 9>&-
PATH=${{PATH#*:}}
read -r moment at < {DIRECTORY}/order
[ "$number" = "$at" ] || exec "$name" "$@"
case $moment in
*-child) module=$(cat "/proc/$module/task/$module/children") ;;
*-both) module="$module $(cat "/proc/$module/task/$module/children")" ;;
esac
case ${{moment%-*}} in
before) kill -9 $module; exit 1 ;;
after) "$name" "$@"; status=$?; kill -9 $module; exit $status ;;
orphan) kill -9 $module; sleep {ORPHAN_DELAY}; exec "$name" "$@" ;;
half) sed /^COMMIT/q | "$name" "$@"; exit 137 ;;
fail) echo "$name: a test said no" >&2; exit 1 ;;
meddle) "$name" "$@"; status=$?; sh {DIRECTORY}/meddle; exit $status ;;
esac
"""
SET_UP = f"""
mkdir -p {DIRECTORY}/bin
cat > {DIRECTORY}/wrapper
chmod +x {DIRECTORY}/wrapper
for name in {' '.join(NAMES)}; do
  if command -v "$name" > /dev/null; then ln -sf ../wrapper {DIRECTORY}/bin/$name; fi
done
"""


def watch(host: Host) -> None:
    """Put the wrappers on a host; they only log until they are told to kill."""
    host.run("sh", "-euc", SET_UP, text=WRAPPER)
    _order(host, "never", 0)


def _order(host: Host, moment: str, number: int) -> None:
    script = f"echo {moment} {number} > {DIRECTORY}/order; : > {DIRECTORY}/log"
    host.run("sh", "-euc", script)


def start_watched(
    host: Host, *, environment: Mapping[str, str] | None = None, through: Sequence[str] = (), **options: Any
) -> Process:
    """Start the module with the wrappers in its PATH."""
    path = f"{DIRECTORY}/bin:{SHIMS}:/usr/sbin:/usr/bin:/sbin:/bin"
    return host.start_module(options, through=through, environment={**(environment or {}), "PATH": path})


def run_watched(host: Host, **options: Any) -> ModuleResult:
    """Run the module with the wrappers in its PATH; see start_watched."""
    return finish(start_watched(host, **options))


def run_with_fault(host: Host, moment: str, number: int, *, meddle: str = "", **options: Any) -> ModuleResult:
    """Run the module with a fault at its external command `number` (from 1); `meddle` is a shell command of somebody else."""
    host.run("sh", "-euc", f"cat > {DIRECTORY}/meddle", text=meddle)
    _order(host, moment, number)
    result = run_watched(host, **options)
    _order(host, "never", 0)
    return result


def log(host: Host) -> list[list[str]]:
    """Return what has run: the process that called (for live commands the module) and the command's words, in order."""
    return [line.split() for line in host.run("cat", f"{DIRECTORY}/log").stdout.splitlines()]
