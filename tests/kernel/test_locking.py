# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once, and a lock that somebody else holds: the second waits, or says clearly why it did not run."""
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .support.faults import log, start_watched, watch
from .support.host import FAMILIES, Host, finish
from .support.save_text import without_empty_tables

XTABLES_LOCK = "/run/xtables.lock"
HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def ruleset(mark: int, length: int = 200) -> dict[str, dict[str, list[str]]]:
    """Return a ruleset over several tables in which every rule carries the mark."""
    return {
        "filter": {"INPUT": [f"-p tcp --dport {port} -m mark --mark {mark} -j ACCEPT" for port in range(1, length)]},
        "mangle": {"PREROUTING": [f"-m mark --mark {mark} -j RETURN"]},
        "nat": {"POSTROUTING": [f"-m mark --mark {mark} -j RETURN"]},
    }


def state(host: Host) -> dict[str, dict[str, list[str]]]:
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


@contextmanager
def held(host: Host, path: str, seconds: float) -> Iterator[None]:
    """Hold a lock file on the host as another program would, for so long at most."""
    holder = host.start(sys.executable, "-c", HOLD, path, str(seconds))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        holder.kill()
        holder.communicate()


def our_lock(host: Host) -> str:
    """Return the lock file that a run leaves behind."""
    host.apply(tables={"filter": {"INPUT": ["-j RETURN"]}})
    (path,) = [name for name in host.run("sh", "-c", "echo /run/palisade/*lock*").stdout.split() if name.endswith("lock")]
    return path


@pytest.mark.parametrize("backend", ["legacy"])
def test_a_held_xtables_lock_is_waited_for(host: Host) -> None:
    with held(host, XTABLES_LOCK, 1.5):
        start = time.monotonic()
        assert host.apply(tables=ruleset(1), lock_timeout=30).changed
        assert time.monotonic() - start >= 1


@pytest.mark.parametrize("backend", ["legacy"])
def test_a_held_xtables_lock_ends_in_a_clear_error(host: Host) -> None:
    before = host.snapshot()
    with held(host, XTABLES_LOCK, 60):
        start = time.monotonic()
        result = host.module(tables=ruleset(1), lock_timeout=1)
        assert time.monotonic() - start < 20
    assert result.failed, result.data
    assert "lock" in result.message
    assert host.snapshot() == before
    assert host.apply(tables=ruleset(1)).changed


def test_another_run_of_ours_is_waited_for(host: Host) -> None:
    with held(host, our_lock(host), 1.5):
        start = time.monotonic()
        assert host.apply(tables=ruleset(1), lock_timeout=30).changed
        assert time.monotonic() - start >= 1


def test_another_run_of_ours_that_does_not_end_is_a_clear_error(host: Host) -> None:
    path = our_lock(host)
    before = host.snapshot()
    with held(host, path, 60):
        result = host.module(tables=ruleset(1), lock_timeout=1)
    assert result.failed, result.data
    assert path in result.message
    assert "lock_timeout" in result.message
    assert host.snapshot() == before


def test_check_mode_does_not_wait(host: Host) -> None:
    with held(host, our_lock(host), 60):
        start = time.monotonic()
        assert host.module(check_mode=True, tables=ruleset(1), lock_timeout=30).changed
        assert time.monotonic() - start < 15


@pytest.mark.parametrize("names", [("palisade", "palisade"), ("alpha", "beta")])
def test_two_runs_at_once_never_interleave(host: Host, names: tuple[str, str]) -> None:
    watch(host)
    alone = []
    for mark, name in enumerate(names, 1):
        host.apply(name=name, tables=ruleset(mark))
        alone.append([line for lines in state(host)["ipv4"].values() for line in lines if f"--mark 0x{mark}" in line])
    for _time in range(4):
        runs = [start_watched(host, name=name, tables=ruleset(mark)) for mark, name in enumerate(names, 1)]
        for result in map(finish, runs):
            assert not result.failed, result.data
        live = [line for lines in state(host)["ipv4"].values() for line in lines if "--mark" in line]
        marks = {line.split("--mark ")[1].split()[0] for line in live}
        assert len(marks) == len(set(names)), "the two rulesets are mixed"
        assert live in (alone[0], alone[1]) or len(live) == len(alone[0]) + len(alone[1])
        for name in set(names):
            host.apply(name=name, state="absent")
    order = [module for module, name, *words in log(host) if name.endswith("-restore") and "--noflush" in words]
    runs_seen = [module for n, module in enumerate(order) if n == 0 or order[n - 1] != module]
    assert len(order) >= 8
    assert len(runs_seen) == len(set(runs_seen)), "one run's changes lie between another's"
