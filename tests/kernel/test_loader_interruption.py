# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader is killed at each of its commands, or meets another run: it, or what comes next, makes a complete set of what is there."""
from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .support.faults import DIRECTORY, ORPHAN_DELAY, log, watch
from .support.host import PID_FILE, SHIMS, Host
from .support.persisted import CLOSED, LOADER, PREVIOUS, RUN, SECTIONS, boot, install, last_load, live, loaded_alone, loader, persisted, put
from .test_locking import HOLD

NewHost = Callable[[], Host]
FOREIGN = "*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n-A f2b-sshd -j RETURN\nCOMMIT\n"

INVOCATION = "e64b3feab7e34f34b1d6c6a3d05bd2c3"
KILLED_AWK = f"""
cat > {SHIMS}/awk <<'END'
#!/bin/sh
case "$*" in *mode=restore*)
  echo composing >> /run/composed
  [ "$(wc -l < /run/composed)" != 2 ] || kill -9 $$
  ;;
esac
PATH=/usr/bin:/bin
exec awk "$@"
END
chmod 755 {SHIMS}/awk
"""
"""An awk that is killed as it composes: the second time, the first being for what is only said."""


def prepared(host: Host) -> Host:
    """Return a host with an old set loaded, a new one persisted, and wrappers around the commands."""
    host.restore(FOREIGN)
    install(host)
    put(host, "rules", persisted(PREVIOUS, backend=host.backend))
    boot(host)
    put(host, "rules", persisted(SECTIONS, backend=host.backend))
    put(host, "closed", persisted(CLOSED, backend=host.backend))
    watch(host)
    return host


def run(host: Host, moment: str = "never", number: int = 0) -> subprocess.CompletedProcess[str]:
    """Load with a fault at one of the commands, counted from 1."""
    host.run("sh", "-euc", f"echo {moment} {number} > {DIRECTORY}/order; : > {DIRECTORY}/log")
    path = f"{DIRECTORY}/bin:{SHIMS}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = host.run("env", f"PATH={path}", f"INVOCATION_ID={INVOCATION}", "sh", "-c", f"echo $$ > {PID_FILE}; exec {LOADER} boot", check=False)
    host.run("sh", "-euc", f"echo never 0 > {DIRECTORY}/order")
    return done


def commands(host: Host) -> list[str]:
    return [" ".join(words[1:]) for words in log(host)]


def restores(host: Host) -> list[int]:
    """Return which of the commands of the last run changed the live tables."""
    return [number for number, command in enumerate(commands(host), 1) if "-restore --noflush" in command]


@pytest.fixture
def new(new_host: NewHost) -> dict[str, dict[str, list[str]]]:
    """What a host looks like once the new set is loaded."""
    host = prepared(new_host())
    assert run(host).returncode == 0
    return live(host)


@pytest.fixture
def every(new_host: NewHost) -> list[str]:
    """The commands of a load that nobody disturbs."""
    host = prepared(new_host())
    run(host)
    assert len(restores(host)) == 2, commands(host)
    return commands(host)


def moments(every: list[str]) -> list[tuple[str, int]]:
    """Return when the loader may be killed: after each of its commands, and before those that change something."""
    changing = [number for number, command in enumerate(every, 1) if "-restore --noflush" in command]
    return [("after", number) for number in range(1, len(every) + 1)] + [("before", number) for number in changing]


def test_a_loader_whose_work_is_killed_does_it_again(new_host: NewHost, new: dict[str, dict[str, list[str]]], every: list[str]) -> None:
    for moment, number in [*moments(every), ("orphan", next(number for moment, number in moments(every) if moment == "before"))]:
        host = prepared(new_host())
        where = f"killed {moment} command {number}, {every[number - 1]}"
        done = run(host, f"{moment}-child", number)
        assert done.returncode == 0, f"{where}: {done.stderr}"
        assert "was killed (signal 9) and begins anew" in done.stderr, where
        assert live(host) == new, where
        assert last_load(host)["result"] == "good", where


def test_a_load_whose_supervisor_is_killed_goes_on(new_host: NewHost, new: dict[str, dict[str, list[str]]], every: list[str]) -> None:
    """What the unit calls next waits for it, and has nothing to do."""
    for number in (1, *[number for moment, number in moments(every) if moment == "before"], len(every)):
        host = prepared(new_host())
        where = f"killed after command {number}, {every[number - 1]}"
        assert run(host, "after", number).returncode == -9, where
        done = finish_boot(host)
        assert (done.returncode, live(host)) == (0, new), f"{where}: {done.stderr}"
        assert last_load(host)["result"] == "good", where


def finish_boot(host: Host) -> subprocess.CompletedProcess[str]:
    """Run what the unit calls behind the load, as in the same start of the unit."""
    return host.run("env", f"INVOCATION_ID={INVOCATION}", LOADER, "finish", "boot", check=False)


def test_a_load_that_is_killed_altogether_leaves_each_table_old_or_new_and_the_units_next_command_makes_it_whole(
    new_host: NewHost, new: dict[str, dict[str, list[str]]], every: list[str]
) -> None:
    old = live(prepared(new_host()))
    half_way = noted = 0
    for moment, number in moments(every):
        host = prepared(new_host())
        where = f"killed {moment} command {number}, {every[number - 1]}"
        assert run(host, f"{moment}-both", number).returncode == -9, where
        between = live(host)
        for family, tables in between.items():
            for table, lines in tables.items():
                assert lines in (old[family].get(table, []), new[family].get(table, [])), f"{where}: {family} {table}"
        half_way += between not in (old, new)
        noted += "a run was killed while it changed the live rules" in loader(host, "status").stdout
        done = finish_boot(host)
        assert (done.returncode, live(host)) == (0, new), f"{where}: {done.stderr}"
        assert "killed" not in loader(host, "status").stdout, where
    assert half_way, "no kill was ever half way"
    assert noted >= half_way


def test_the_units_second_command_says_what_the_first_came_to(ready: Host) -> None:
    ready.run("env", f"INVOCATION_ID={INVOCATION}", LOADER, "boot")
    loaded = last_load(ready)
    told = finish_boot(ready)
    assert (told.returncode, told.stderr, last_load(ready)) == (0, "", loaded)
    put(ready, "rules", "damaged")
    first = ready.run("env", f"INVOCATION_ID={INVOCATION}", LOADER, "boot", check=False)
    loaded = last_load(ready)
    assert (first.returncode, finish_boot(ready).returncode) == (1, 1)
    assert last_load(ready) == loaded
    again = finish_boot(ready)
    assert "did not come to its end" in again.stderr, "what has been told once stands for no other start"
    other = ready.run("env", "INVOCATION_ID=0123", LOADER, "boot", check=False)
    assert (other.returncode, "did not come to its end" in finish_boot(ready).stderr) == (1, True), "of another start"


def test_a_kill_of_what_composes_the_rules_is_no_reason_for_another_set(new_host: NewHost, new: dict[str, dict[str, list[str]]]) -> None:
    host = prepared(new_host())
    host.run("sh", "-euc", KILLED_AWK)
    done = host.run("env", f"PATH={SHIMS}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", LOADER, "boot", check=False)
    assert done.returncode == 0, done.stderr
    assert len(host.run("cat", "/run/composed").stdout.split()) > 4, "nothing was done again"
    assert live(host) == new


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_restore_is_tried_again(new_host: NewHost, new: dict[str, dict[str, list[str]]], which: int) -> None:
    """As by the kernel, out of memory: the first table is there, the second is not."""
    first = prepared(new_host())
    run(first)
    host = prepared(new_host())
    done = run(host, "half", restores(first)[which])
    assert done.returncode == 0, done.stderr
    assert len(restores(host)) == 3
    assert live(host) == new


@pytest.mark.parametrize("which", [0, 1])
def test_a_restore_that_fails_for_no_reason_of_the_file_leads_to_the_next_set(new_host: NewHost, which: int) -> None:
    first = prepared(new_host())
    run(first)
    host = prepared(new_host())
    done = run(host, "fail", restores(first)[which])
    assert done.returncode == 1
    assert "a test said no" in done.stderr
    assert last_load(host)["from"] == "closed"
    closed = new_host()
    closed.restore(FOREIGN)
    assert live(host) == loaded_alone(closed, CLOSED)


def test_a_restore_that_outlives_the_loader_does_not_meet_the_next(new_host: NewHost, new: dict[str, dict[str, list[str]]]) -> None:
    first = prepared(new_host())
    run(first)
    host = prepared(new_host())
    run(host, "orphan", restores(first)[0])
    put(host, "rules", persisted(PREVIOUS, backend=host.backend))
    boot(host)
    host.run("sleep", str(ORPHAN_DELAY + 0.3))
    assert "1003" in host.save()
    assert "palisade-web" not in host.save()


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


@pytest.fixture
def ready(host: Host) -> Host:
    install(host)
    put(host, "rules", persisted(SECTIONS, backend=host.backend))
    host.run("mkdir", "-p", "-m", "700", RUN)
    return host


@pytest.mark.parametrize("how", ["boot", "reload", "flush"])
def test_another_run_is_waited_for(ready: Host, how: str) -> None:
    with held(ready, f"{RUN}/lock", 1.2):
        start = time.monotonic()
        assert loader(ready, how).returncode == 0
        assert time.monotonic() - start >= 1


def test_a_run_that_takes_too_long_is_named(ready: Host) -> None:
    ready.run("ln", "-s", "/bin/true", f"{SHIMS}/sleep")
    before = ready.snapshot()
    with held(ready, f"{RUN}/lock", 60):
        done = loader(ready, "boot")
    assert done.returncode == 1
    assert f"another run holds {RUN}/lock" in done.stderr
    assert ready.snapshot() == before


def test_a_host_without_flock_is_loaded_all_the_same(ready: Host) -> None:
    ready.run("sh", "-euc", f"printf '#!/bin/sh\\nexit 127\\n' > {SHIMS}/flock; chmod 755 {SHIMS}/flock")
    boot(ready)
    assert "palisade-web" in ready.save()


def test_status_does_not_wait(ready: Host) -> None:
    boot(ready)
    with held(ready, f"{RUN}/lock", 60):
        start = time.monotonic()
        assert loader(ready, "status").returncode == 0
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("backend", ["legacy"])
def test_the_lock_of_iptables_itself_is_waited_for(ready: Host) -> None:
    with held(ready, "/run/xtables.lock", 1.2):
        start = time.monotonic()
        boot(ready)
        assert time.monotonic() - start >= 1


def test_the_module_waits_for_the_loader(ready: Host) -> None:
    """Both take the same lock."""
    with held(ready, f"{RUN}/lock", 60):
        result = ready.module(tables={"filter": {"INPUT": ["-j RETURN"]}}, lock_timeout=1)
    assert result.failed
    assert "another run holds" in result.message


def test_two_loads_at_once_end_in_one_set(new_host: NewHost, ready: Host) -> None:
    runs = [ready.start(LOADER, "boot") for _number in range(4)]
    assert [(process.communicate()[0], process.returncode) for process in runs] == [("", 0)] * 4
    assert live(ready) == loaded_alone(new_host(), SECTIONS)
