# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module is killed at each of its external commands: every table is old or new, and the next run makes them one."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from .support.faults import ORPHAN_DELAY, log, run_watched, run_with_fault, watch
from .support.host import FAMILIES, IN_CONTAINER, Host, ModuleResult
from .support.save_text import without_empty_tables

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
LEFT_OVER = re.compile(r"^.*palisade~.*\n", re.MULTILINE)
OVER_SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}

Tables = dict[str, list[str]]
NewHost = Callable[[], Host]


def state(host: Host) -> dict[str, Tables]:
    """Return what a packet can meet, by family and table, what a killed run may leave for the next one put aside."""
    return {family: without_empty_tables(LEFT_OVER.sub("", host.save(family))) for family in FAMILIES}


def scratch(host: Host) -> list[str]:
    """Return the lines that name a scratch or priming chain."""
    return [line for family in FAMILIES for line in host.save(family).splitlines() if "palisade~" in line]


def traces(host: Host) -> tuple[dict[str, str], str]:
    """Return all that the next run can see: the live text with its counters, and what is in files of ours."""
    return host.snapshot(), host.run("sh", "-c", "cat /run/palisade/* 2> /dev/null", check=False).stdout


def is_live_restore(command: str) -> bool:
    """Tell whether a command changes the live tables, and not a rehearsal's."""
    return "-restore --" in command


def killed_before(result: ModuleResult) -> list[str]:
    """Return the warnings that say that an earlier run was killed."""
    return [warning for warning in result.warnings if "killed" in warning or "interrupted" in warning]


class Story:
    """A change from one state of a host to another, told again and again with a kill somewhere in it."""

    def __init__(self, new_host: NewHost, *, applied: dict[str, Any] | None, then: dict[str, Any]) -> None:
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

    def kill_and_go_on(self, moment: str, number: int, where: str) -> bool:
        """Kill a run at a command, and run again. Tell whether the kill was half way."""
        host = self.before()
        untouched = traces(host)
        assert run_with_fault(host, moment, number, environment=OVER_SSH, **self.then).returncode == -9, where
        self.check_tables(host, where)
        if traces(host) == untouched:
            return False
        half_way = bool(scratch(host)) or not self.unmixed(host)
        after = host.apply(**self.then)
        assert state(host) == self.new, where
        assert not scratch(host), where
        assert killed_before(after) or not half_way, f"{where}: {after.warnings}"
        if half_way:
            again = host.apply(**self.then)
            assert not again.changed, where
            assert not killed_before(again), where
        return half_way


STORIES: dict[str, Any] = {
    "first apply": {"applied": None, "then": {"tables": NEW}},
    "change": {"applied": {"tables": OLD}, "then": {"tables": NEW}},
    "change by scratch chain": {"applied": {"tables": OLD}, "then": {"tables": NEW, "through": IN_CONTAINER}},
    "change of whole tables": {
        "applied": {"tables": OLD, "scope": "tables", "foreign": "remove"},
        "then": {"tables": NEW, "scope": "tables", "foreign": "remove"},
    },
    "absent": {"applied": {"tables": OLD}, "then": {"state": "absent"}},
}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest, new_host: NewHost) -> Story:
    return Story(new_host, **STORIES[request.param])


def moments(command: str) -> list[str]:
    """Return when to kill a run. Ahead of a command that only reads, a run is as it was after the one before."""
    return ["before", "after"] if is_live_restore(command) else ["after"]


def test_each_table_is_old_or_new_and_the_next_run_makes_them_one(story: Story) -> None:
    assert story.old != story.new
    assert sum(map(is_live_restore, story.commands)) >= 2, story.commands
    met = 0
    for number, command in enumerate(story.commands, 1):
        for moment in moments(command):
            met += story.kill_and_go_on(moment, number, f"killed {moment} command {number}, {command}")
    assert met >= 2, "no kill of this story was ever half way"


def test_a_restore_that_outlives_the_module_does_not_meet_the_next_run(new_host: NewHost) -> None:
    """The module dies as it starts a restore, which is slow: the next run waits for it instead of racing it."""
    old: Tables = {"INPUT": ["-p tcp --dport 22 -j ACCEPT"]}
    new: Tables = {"INPUT": ["-i lo -j ACCEPT", *old["INPUT"]]}
    story = Story(new_host, applied={"tables": {"filter": old}}, then={"tables": {"filter": new}})
    restores = [n for n, command in enumerate(story.commands, 1) if is_live_restore(command)]
    assert restores
    for number in restores:
        host = story.before()
        run_with_fault(host, "orphan", number, **story.then)
        host.apply(**story.then)
        host.run("sleep", str(ORPHAN_DELAY + 0.5))
        assert state(host) == story.new
        assert not host.apply(**story.then).changed


def test_check_mode_says_that_a_run_was_interrupted_and_changes_nothing(new_host: NewHost) -> None:
    story = Story(new_host, applied={"tables": OLD}, then={"tables": NEW})
    host = story.before()
    live = [n for n, command in enumerate(story.commands, 1) if is_live_restore(command)]
    run_with_fault(host, "after", live[-1], environment=OVER_SSH, **story.then)
    before = host.snapshot()
    result = host.module(check_mode=True, **story.then)
    assert killed_before(result), result.data
    assert host.snapshot() == before
