# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module is killed at each of its external commands: every table is old or new, and the next run makes them one."""
from __future__ import annotations

from collections.abc import Callable

import pytest
from kernel_support.faults import MOMENTS, ORPHAN_DELAY, killed_at, log, run_watched, watch
from kernel_support.host import FAMILIES, Host
from kernel_support.save_text import without_empty_tables

OLD = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT", "-j web"]},
        "web": ["-p tcp --dport 80 -j ACCEPT"],
    },
    "mangle": {"PREROUTING": ["-p tcp --dport 22 -j MARK --set-mark 1"]},
    "nat": {"POSTROUTING": ["-o eth0 -j MASQUERADE"]},
}
NEW = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": ["-i lo -j ACCEPT", "-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-p tcp --dport ssh -j ACCEPT"],
        },
        "OUTPUT": ["-m owner --uid-owner root -j ACCEPT"],
    },
    "mangle": {"PREROUTING": ["-p tcp --dport 2222 -j MARK --set-mark 2"], "FORWARD": ["-j RETURN"]},
    "raw": {"PREROUTING": ["-p udp --dport 53 -j CT --notrack"]},
}
FOREIGN = "*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n-A f2b-sshd -j RETURN\nCOMMIT\n"
OVER_SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}

Tables = dict[str, list[str]]
NewHost = Callable[[], Host]


def state(host: Host) -> dict[str, Tables]:
    """Return what a packet can meet, by family and table, what a killed run may leave for the next one put aside."""
    live = {family: without_empty_tables(host.save(family)) for family in FAMILIES}
    return {
        family: {table: kept for table, lines in tables.items() if (kept := [x for x in lines if "palisade~" not in x])}
        for family, tables in live.items()
    }


def scratch(host: Host) -> list[str]:
    """Return the lines that name a scratch or priming chain."""
    return [line for family in FAMILIES for line in host.save(family).splitlines() if "palisade~" in line]


class Story:
    """A change from one state of a host to another, told again and again with a kill somewhere in it."""

    def __init__(self, new_host: NewHost, *, applied: dict[str, object] | None, then: dict[str, object]) -> None:
        self._new_host = new_host
        self.then = then
        first = new_host()
        first.restore(FOREIGN)
        if applied is not None:
            first.apply(**applied)
        self._texts = {family: first.save(family, counters=True) for family in FAMILIES}
        self.old = state(first)
        watch(first)
        run_watched(first, environment=OVER_SSH, **then)
        self.new = state(first)
        self.commands = [" ".join(words[1:]) for words in log(first)]

    def before(self) -> Host:
        """Return a host that is as the story begins."""
        host = self._new_host()
        for family, text in self._texts.items():
            host.restore(text, "--counters", family=family)
        watch(host)
        return host

    def unmixed(self, host: Host) -> bool:
        """Tell whether all tables of both families are old, or all are new."""
        return state(host) in (self.old, self.new)

    def check_tables(self, host: Host, where: str) -> None:
        """Insist that no table is anything but old or new."""
        live = state(host)
        for family in FAMILIES:
            for table in {*live[family], *self.old[family], *self.new[family]}:
                either = [self.old[family].get(table, []), self.new[family].get(table, [])]
                assert live[family].get(table, []) in either, f"{where}: {family} {table}"


STORIES = {
    "first apply": {"applied": None, "then": {"tables": NEW}},
    "change": {"applied": {"tables": OLD}, "then": {"tables": NEW}},
    "change by scratch chain": {"applied": {"tables": OLD}, "then": {"tables": NEW, "rehearsal": "scratch"}},
    "change of whole tables": {
        "applied": {"tables": OLD, "scope": "tables", "foreign": "remove"},
        "then": {"tables": NEW, "scope": "tables", "foreign": "remove"},
    },
    "absent": {"applied": {"tables": OLD}, "then": {"state": "absent"}},
}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest, new_host: NewHost) -> Story:
    return Story(new_host, **STORIES[request.param])


@pytest.mark.parametrize("moment", MOMENTS)
def test_each_table_is_old_or_new_and_the_next_run_makes_them_one(story: Story, moment: str) -> None:
    assert story.old != story.new
    assert sum("-restore" in command for command in story.commands) >= 2, story.commands
    told = 0
    for number, command in enumerate(story.commands, 1):
        where = f"killed {moment} command {number}, {command}"
        host = story.before()
        assert killed_at(host, moment, number, environment=OVER_SSH, **story.then).returncode == -9, where
        story.check_tables(host, where)
        half_done = bool(scratch(host)) or not story.unmixed(host)
        after = host.apply(**story.then)
        assert state(host) == story.new, where
        assert not scratch(host), where
        interrupted = [warning for warning in after.warnings if "interrupted" in warning or "killed" in warning]
        assert interrupted or not half_done, f"{where}: {after.warnings}"
        told += bool(interrupted)
        assert not host.apply(**story.then).changed, where
        assert not any("interrupted" in warning for warning in host.apply(**story.then).warnings), where
    assert told, "no kill of this story was ever half way, or none was told"


def test_a_restore_that_outlives_the_module_does_not_meet_the_next_run(new_host: NewHost) -> None:
    """The module dies as it starts a restore, which is slow: the next run waits for it instead of racing it."""
    story = Story(new_host, applied={"tables": OLD}, then={"tables": NEW})
    restores = [n for n, command in enumerate(story.commands, 1) if "-restore --" in command]
    assert restores
    for number in restores:
        host = story.before()
        killed_at(host, "orphan", number, environment=OVER_SSH, **story.then)
        host.apply(**story.then)
        host.run("sleep", str(ORPHAN_DELAY + 0.5))
        assert state(host) == story.new
        assert not host.apply(**story.then).changed


def test_check_mode_says_that_a_run_was_interrupted_and_changes_nothing(new_host: NewHost) -> None:
    story = Story(new_host, applied={"tables": OLD}, then={"tables": NEW})
    host = story.before()
    live = [n for n, command in enumerate(story.commands, 1) if "-restore --" in command]
    killed_at(host, "after", live[-1], environment=OVER_SSH, **story.then)
    before = host.snapshot()
    result = host.module(check_mode=True, **story.then)
    assert any("interrupted" in warning or "killed" in warning for warning in result.warnings), result.data
    assert host.snapshot() == before
