# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's half of commit by proof: what it takes for a confirmation, and what it puts back where none comes, whatever has been killed."""
from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .support.confirming import (
    FOLDER,
    OLD_CONNECTION,
    begin_to_tell,
    start,
    start_with_wrappers,
    state,
    tell,
    until,
    waiting_options,
    watchers,
)
from .support.faults import log, run_with_fault, watch
from .support.host import FAMILIES, Host
from .support.save_text import without_empty_tables
from .support.traffic import send
from .test_interruption import FOREIGN, NEW, OLD, STORIES, Story, is_live_restore

NewHost = Callable[[], Host]
LOADER = Path(__file__).resolve().parents[2] / "roles/firewall/files/palisade-firewall"
FILES = "cat /etc/palisade/* 2> /dev/null; ls -A /etc/palisade 2> /dev/null; :"


def rules(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return what a packet can meet; tables that came to be, empty and accepting, cannot be taken away again."""
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


def files(host: Host) -> str:
    return host.run("sh", "-c", FILES).stdout


@pytest.fixture
def old_host(host: Host) -> Host:
    """A host with rules of others, on which OLD is live, persisted and has counted packets."""
    host.restore(FOREIGN)
    host.apply(tables=OLD, persist=True)
    send(host, 22, 3)
    return host


def test_nobody_confirms_and_the_host_puts_back_what_it_had_with_its_counters(old_host: Host) -> None:
    before, on_disk = old_host.effect(), files(old_host)
    result = start(old_host, 5, tables=NEW, persist=True)
    assert (result.changed, result.data["confirm"]["state"]) == (True, "pending"), result.message
    assert "owner --uid-owner 0" in old_host.save()
    assert state(old_host) == "armed"
    assert until(lambda: state(old_host) == "undone", 15)
    after = old_host.effect()
    assert after["ipv4"] == before["ipv4"]
    assert rules(old_host)["ipv6"] == {table: lines for table, lines in rules(old_host)["ipv6"].items() if lines}
    assert files(old_host) == on_disk
    assert old_host.run("ls", "-A", "/run/palisade").stdout.split() == ["lock", "palisade.commit"]
    assert tell(old_host, "confirm", "new") == "undone good"
    assert old_host.apply(tables=NEW).changed


def test_what_others_have_changed_meanwhile_survives(old_host: Host) -> None:
    command = f"iptables-{old_host.backend}"
    before = old_host.save()
    start(old_host, tables=NEW)
    meanwhile = [
        "-I INPUT -s 192.0.2.66 -j DROP", "-N DOCKER", "-A DOCKER -d 172.17.0.2/32 -j ACCEPT", "-A FORWARD -j DOCKER", "-D f2b-sshd 1",
        "-A f2b-sshd -s 192.0.2.77 -j DROP", "-t nat -N DOCKER", "-t nat -A PREROUTING -j DOCKER", "-A palisade-INPUT -s 192.0.2.88 -j DROP",
    ]
    old_host.run("sh", "-euc", "".join(f"{command} {words}\n" for words in meanwhile))
    assert tell(old_host, "undo") == "undone good"
    after = old_host.save()
    for line in ("-A INPUT -s 192.0.2.66/32 -j DROP", "-A DOCKER -d 172.17.0.2/32 -j ACCEPT", "-A FORWARD -j DOCKER", "-A PREROUTING -j DOCKER",
                 "-A f2b-sshd -s 192.0.2.77/32 -j DROP"):
        assert line in after.splitlines(), line
    ours = [line for line in after.splitlines() if "palisade" in line]
    assert ours == [line for line in before.splitlines() if "palisade" in line]
    hook = [line for line in after.splitlines() if line.startswith("-A INPUT")]
    assert [("66" in line, "f2b" in line, "palisade" in line) for line in hook] == [
        (True, False, False), (False, True, False), (False, False, True)]


def test_a_chain_that_somebody_leads_to_by_now_is_emptied_and_holds_up_nothing(old_host: Host) -> None:
    before = old_host.save()
    start(old_host, tables={"filter": {"INPUT": ["-j ACCEPT"], "extra": ["-j DROP"]}})
    old_host.iptables("-A", "FORWARD", "-j", "palisade-extra")
    assert tell(old_host, "undo") == "undone good"
    after = [line for line in old_host.save().splitlines() if "palisade-extra" not in line]
    assert after == before.splitlines()
    assert "-A palisade-extra" not in old_host.save()


@pytest.mark.parametrize("story", [story for story in STORIES if "scratch" not in story])
def test_whatever_was_killed_when_all_is_old_again(new_host: NewHost, story: str) -> None:
    """The module dies at its commands that change something, by turns before, after and with the command running on; then the time is over."""
    told = Story(new_host, **STORIES[story])
    restores = [number for number, command in enumerate(told.commands, 1) if is_live_restore(command)]
    steps = [(moment, number) for number in restores for moment in ("before", "after", "orphan")]
    assert len(steps) >= 6
    met = 0
    for moment, number in random.Random(story).sample(steps, 5):
        host = told.before()
        result = run_with_fault(host, moment, number, environment={"SSH_CONNECTION": OLD_CONNECTION}, **waiting_options(600, told.then))
        where = f"killed {moment} command {number} of {told.commands}"
        met += result.returncode == -9
        assert tell(host, "confirm", "new") == "unapplied", where
        assert tell(host, "undo") == "undone good", where
        assert rules(host) == told.old, where
        assert not host.run("ls", "/run/palisade/palisade.applying", check=False).stdout, where
    assert met == 5


@pytest.mark.parametrize("fault", ["fail", "half"])
def test_a_restore_that_dies_in_the_rollback_is_tried_again(old_host: Host, fault: str) -> None:
    before = rules(old_host)
    watch(old_host)
    start_with_wrappers(old_host, tables=NEW)
    old_host.run("sh", "-c", f": > /run/faults/log; echo {fault} 2 > /run/faults/order")
    assert tell(old_host, "undo") == "undone good"
    assert [words[1].endswith("-restore") for words in log(old_host)[:2]] == [False, True]
    assert rules(old_host) == before


def test_what_puts_everything_back_is_killed_and_done_again(old_host: Host) -> None:
    """What it had started goes on, and is waited for."""
    before = rules(old_host)
    start(old_host, tables=NEW)
    dies = '[ -e killed ] || { : > killed; (sleep 1; printf "%s\\n" "$text" | $restore; : > ended) & kill -9 $$; }'
    old_host.run("sh", "-euc", f"sed -i 's/^ *\\[ -n \"$why\" \\] || refused=/{dies.replace('&', chr(92) + '&')}; &/' {FOLDER}/undo")
    assert tell(old_host, "undo") == "undone good"
    assert old_host.run("ls", f"{FOLDER}/killed", f"{FOLDER}/ended").returncode == 0
    assert rules(old_host) == before
    assert not old_host.run("ls", "/run/palisade/palisade.applying", check=False).stdout


def test_who_was_to_watch_is_killed_in_the_rollback_and_somebody_else_goes_on(old_host: Host) -> None:
    """The state says that the rollback has begun, and nobody is at it."""
    before = rules(old_host)
    start(old_host, tables=NEW)
    old_host.run("mv", f"{FOLDER}/armed", f"{FOLDER}/undoing")
    assert tell(old_host, "confirm", "new") == "undoing"
    assert tell(old_host, "undo") == "undone good"
    assert rules(old_host) == before


def test_a_confirmation_killed_before_the_files_is_carried_out_when_its_time_is_over(old_host: Host) -> None:
    """Nobody asks again: the controller is gone, too."""
    start(old_host, 5, tables=NEW, persist=True)
    live = rules(old_host)
    old_host.run("mv", f"{FOLDER}/armed", f"{FOLDER}/confirmed")
    assert until(lambda: state(old_host) == "kept", 15)
    assert rules(old_host) == live
    assert "uid-owner" in old_host.run("cat", "/etc/palisade/palisade.rules").stdout
    assert not old_host.apply(tables=NEW, persist=True).changed


def test_a_confirmation_killed_before_the_files_is_carried_out_by_the_next_run(old_host: Host) -> None:
    """Of whatever ruleset; a run in check mode leaves it."""
    start(old_host, tables=NEW, persist=True)
    old_host.run("mv", f"{FOLDER}/armed", f"{FOLDER}/confirmed")
    old_host.module(tables={}, name="other", check_mode=True)
    assert state(old_host) == "confirmed"
    assert not old_host.apply(tables={}, name="other").changed
    assert state(old_host) == "kept"
    assert "uid-owner" in old_host.run("cat", "/etc/palisade/palisade.rules").stdout


def test_what_writes_the_files_is_killed_and_done_again(old_host: Host) -> None:
    start(old_host, tables=NEW, persist=True)
    old_host.run("sh", "-euc", f"sed -i '/mv -f/{{n;s/^/[ -e killed ] || {{ : > killed; kill -9 $$; }}; /}}' {FOLDER}/keep")
    assert tell(old_host, "confirm", "new").startswith("kept")
    assert old_host.run("ls", f"{FOLDER}/killed").returncode == 0
    assert old_host.run("sh", "-c", "ls -A /etc/palisade | grep new", check=False).stdout == ""
    assert not old_host.apply(tables=NEW, persist=True).changed


def test_only_a_new_connection_confirms(old_host: Host) -> None:
    start(old_host, tables=NEW, persist=True)
    on_disk, live = files(old_host), rules(old_host)
    assert tell(old_host, "confirm", "new", connection=OLD_CONNECTION) == f"same {OLD_CONNECTION}"
    assert tell(old_host, "confirm", "new", token="b" * 16) == "gone"
    assert tell(old_host, "status").startswith("armed ")
    assert (state(old_host), files(old_host)) == ("armed", on_disk)
    assert tell(old_host, "confirm", "new") == "kept 192.0.2.1 50001 192.0.2.2 22"
    assert tell(old_host, "confirm", "new") == "kept 192.0.2.1 50001 192.0.2.2 22"
    assert tell(old_host, "undo").startswith("kept")
    assert rules(old_host) == live
    assert files(old_host) != on_disk
    assert "uid-owner" in old_host.run("cat", "/etc/palisade/palisade.rules").stdout
    assert old_host.run("cat", "/etc/palisade/palisade.rules").stdout == old_host.run("cat", "/etc/palisade/palisade.good").stdout
    assert "web" in old_host.run("cat", "/etc/palisade/palisade.previous").stdout
    assert not old_host.apply(tables=NEW, persist=True).changed
    assert until(lambda: not watchers(old_host), 5)


def test_sudo_drops_the_variable_and_the_parents_still_have_it(old_host: Host) -> None:
    start(old_host, tables=NEW)
    by_sudo = f'SSH_CONNECTION="$1" sh -c "env -u SSH_CONNECTION sh {FOLDER}/commit confirm {"a" * 16} new; :"; :'
    for connection, answer in ((OLD_CONNECTION, "same"), ("192.0.2.1 50002 192.0.2.2 22", "kept")):
        said = old_host.run("env", f"SSH_CONNECTION={connection}", "sh", "-c", by_sudo, "sh", connection).stdout
        assert said.strip() == f"palisade-commit {answer} {connection}"


def test_while_one_waits_another_is_refused_and_says_how_long(old_host: Host) -> None:
    start(old_host, tables=NEW)
    message = old_host.refuse(tables=OLD)
    assert message.startswith("a change of ruleset palisade waits for its confirmation; if none comes, this host puts back what was there before, ")
    assert message.endswith(" s. Run again then. Nothing has changed")
    assert "waits for its confirmation" in old_host.refuse(tables=OLD, name="other")
    looked = old_host.module(tables=OLD, check_mode=True)
    assert any("waits for its confirmation" in warning for warning in looked.warnings), looked.data
    tell(old_host, "confirm", "new")
    assert old_host.apply(tables=OLD).changed


def test_one_that_nobody_watches_any_more_holds_nothing_up(old_host: Host) -> None:
    start(old_host, tables=NEW)
    watcher, = watchers(old_host)
    old_host.run("sh", "-c", f"kill -9 {watcher}; echo 1 > {FOLDER}/deadline")
    assert old_host.apply(tables=OLD).changed
    assert state(old_host) == "disarmed"


def test_confirmation_and_rollback_at_once_one_of_them_and_all_of_it(old_host: Host) -> None:
    """Neither both nor none, over and over: the files and the rules are both old or both new."""
    chance, outcomes = random.Random(7), set()
    for number in range(5):
        new = {"filter": {"INPUT": [f"-p tcp --dport {1000 + number} -j ACCEPT"]}, "nat": {"OUTPUT": [f"-d 192.0.2.{number} -j ACCEPT"]}}
        before = (rules(old_host), files(old_host))
        start(old_host, tables=new, persist=True)
        live = rules(old_host)
        racers = [("undo",), ("confirm", "new"), ("confirm", "new")]
        if number:
            chance.shuffle(racers)
        if number == 1:
            racers.sort()
        running = []
        for words in racers:
            running.append(begin_to_tell(old_host, *words))
            time.sleep(chance.choice([0, 0, 0.01, 0.03, 0.1]))
            if number < 2:  # One round for each, whatever the machine is busy with.
                running[-1].wait()
        said = [process.communicate(timeout=60)[0].split()[1] for process in running]
        outcome = state(old_host)
        outcomes.add(outcome)
        assert outcome in ("kept", "undone"), said
        # Who comes too early may see it under way.
        assert set(said) <= {outcome, "confirmed" if outcome == "kept" else "undoing"}, said
        if outcome == "undone":
            assert (rules(old_host), files(old_host)) == before
        else:
            assert rules(old_host) == live
            assert f"--dport {1000 + number}" in old_host.run("cat", "/etc/palisade/palisade.rules").stdout
    assert outcomes == {"kept", "undone"}


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_ruleset_that_goes_takes_its_files_along_when_it_is_confirmed(old_host: Host, confirmed: bool) -> None:
    before, on_disk = rules(old_host), files(old_host)
    start(old_host, state="absent")
    assert "palisade" not in old_host.save()
    assert files(old_host) == on_disk
    if confirmed:
        assert tell(old_host, "confirm", "new").startswith("kept")
        assert old_host.run("ls", "/etc/palisade", check=False).returncode != 0
    else:
        assert tell(old_host, "undo") == "undone good"
        assert (rules(old_host), files(old_host)) == (before, on_disk)


def test_whole_tables_come_back_whole(old_host: Host) -> None:
    before = old_host.effect()
    start(old_host, tables=NEW, scope="tables", foreign="remove")
    assert "f2b-sshd" not in old_host.save()
    assert tell(old_host, "undo") == "undone good"
    assert old_host.effect()["ipv4"] == before["ipv4"]


def test_what_the_kernel_refuses_by_now_is_said_and_the_other_tables_come_back(host: Host) -> None:
    """A set that an old rule names has gone meanwhile."""
    host.run("ipset", "create", "office", "hash:ip")
    host.apply(tables={"filter": {"INPUT": ["-m set --match-set office src -j ACCEPT"]}, "mangle": {"FORWARD": ["-j RETURN"]}}, families=["ipv4"])
    start(host, tables={"filter": {"INPUT": ["-j DROP"]}, "mangle": {"FORWARD": ["-j DROP"]}}, families=["ipv4"])
    host.run("ipset", "destroy", "office")
    said = tell(host, "undo")
    assert said.startswith("undone ipv4: "), said
    assert "office" in said
    assert "-A palisade-FORWARD -j RETURN" in host.save()
    assert host.run("ls", "/run/palisade/palisade.applying").returncode == 0
    assert any("killed" in warning for warning in host.apply(state="absent").warnings)


def test_a_change_that_takes_longer_than_it_may_wait_is_not_taken_back_for_that(old_host: Host) -> None:
    """The time is over while the run is still at the rules: it begins anew when they are live."""
    watch(old_host)
    start_with_wrappers(old_host, tables=NEW)
    number = next(n for n, words in enumerate(log(old_host), 1) if is_live_restore(" ".join(words)))
    tell(old_host, "undo")
    began = time.monotonic()
    result = run_with_fault(old_host, "meddle", number, meddle="sleep 7", environment={"SSH_CONNECTION": OLD_CONNECTION},
                            **waiting_options(5, {"tables": NEW}))
    assert (result.changed, result.data["confirm"]["state"]) == (True, "pending"), result.message
    assert time.monotonic() - began > 7
    time.sleep(2)
    assert tell(old_host, "confirm", "new").startswith("kept")


@pytest.mark.parametrize("awk", ["mawk", "gawk", "busybox awk", "original-awk"])
def test_any_awk_will_do(old_host: Host, awk: str) -> None:
    before = old_host.effect()
    old_host.run("sh", "-euc", f"command -v {awk.split()[0]}; cd /usr/local/bin; printf '#!/bin/sh\nexec {awk} \"$@\"\n' > awk; chmod +x awk")
    start(old_host, tables=NEW)
    old_host.run("sh", "-c", f"sed -i 's|^PATH=.*|PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|' {FOLDER}/commit")
    assert tell(old_host, "undo") == "undone good"
    assert old_host.effect()["ipv4"] == before["ipv4"]


def test_a_run_that_fails_leaves_nothing_waiting(old_host: Host) -> None:
    before = rules(old_host)
    watch(old_host)
    start_with_wrappers(old_host, tables=NEW)
    commands = [" ".join(words[1:]) for words in log(old_host)]
    tell(old_host, "undo")
    number = next(n for n, command in enumerate(commands, 1) if command.startswith("ip6tables") and is_live_restore(command))
    result = run_with_fault(old_host, "fail", number, environment={"SSH_CONNECTION": OLD_CONNECTION}, **waiting_options(600, {"tables": NEW}))
    assert "back as they were" in result.message
    assert (state(old_host), rules(old_host)) == ("disarmed", before)
    assert tell(old_host, "confirm", "new") == "disarmed"
    assert until(lambda: not watchers(old_host), 5)


def test_the_hosts_python_is_not_needed_any_more(old_host: Host) -> None:
    before = rules(old_host)
    start(old_host, 5, tables=NEW)
    pythons = {str(path.resolve()) for path in [Path(sys.executable), *Path("/usr/bin").glob("python3*")] if path.exists()}
    old_host.run("sh", "-euc", 'for python; do mount --bind /dev/null "$python"; done', "sh", *pythons)
    assert old_host.run("/usr/bin/python3", "-c", "", check=False).returncode != 0
    assert until(lambda: state(old_host) == "undone", 15)
    assert rules(old_host) == before


def test_a_full_run_folder_does_not_stop_the_rollback(old_host: Host) -> None:
    before = rules(old_host)
    start(old_host, tables=NEW)
    old_host.run("mount", "-o", "remount,size=8m", "/run")
    assert "No space left" in old_host.run("sh", "-c", "cat /dev/zero > /run/full", check=False).stderr
    assert tell(old_host, "undo").startswith("undone")
    assert rules(old_host) == before


def test_without_what_the_rollback_needs_nothing_changes(old_host: Host, tmp_path: Path) -> None:
    for name in ("sh", "sed", "tr", "cat", "mv", "rm", "sleep", "env", "unshare", "ip", "ipset"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=False).stdout.strip()
        if found:
            (tmp_path / name).symlink_to(found)
    before = old_host.snapshot()
    through = ["env", f"SSH_CONNECTION={OLD_CONNECTION}", f"PATH={tmp_path}"]
    result = old_host.module(through=through, **waiting_options(60, {"tables": NEW}))
    assert "confirm_timeout: this host has no awk, which the rollback needs" in result.message
    assert old_host.snapshot() == before


def test_a_restart_while_it_waits_brings_back_the_rules_from_before(old_host: Host) -> None:
    before, on_disk = rules(old_host), files(old_host)
    start(old_host, tables=NEW, persist=True)
    watcher, = watchers(old_host)
    old_host.run("sh", "-c", f"kill -9 {watcher}; rm -r /run/palisade")
    for family in FAMILIES:
        for table in ("filter", "nat", "mangle", "raw"):
            for option in ("-F", "-X", "-P INPUT ACCEPT" if table == "filter" else "-Z"):
                old_host.iptables("-t", table, *option.split(), family=family)
    old_host.restore(FOREIGN)
    old_host.run("sh", str(LOADER), "boot")
    assert rules(old_host) == before
    assert files(old_host).splitlines()[:-1] == on_disk.splitlines()[:-1] or "new" in files(old_host)
    assert not old_host.apply(tables=OLD, persist=True).changed


@pytest.mark.parametrize("seconds", [-1, 1, 4, 3601])
def test_a_time_that_nobody_can_mean_is_refused(host: Host, seconds: int) -> None:
    assert "from 5 to 3600 seconds, or 0 for no rollback" in host.refuse(tables=NEW, confirm_timeout=seconds)
