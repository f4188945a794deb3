# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode shows all that would change, and changes nothing that a packet could meet."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .support.host import FAMILIES, Host
from .support.save_text import without_empty_tables
from .support.traffic import talk

COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"
STATEFUL = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": [
                "-i lo -j ACCEPT",
                "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                "-p tcp --dport ssh -m conntrack --ctstate NEW -j ACCEPT",
                "-4 -p icmp --icmp-type echo-request -j ACCEPT",
            ],
        },
        "OUTPUT": ["-m conntrack --ctstate INVALID -j DROP"],
    },
    "nat": {"POSTROUTING": ["-o eth0 -j MASQUERADE"]},
}


def etc() -> dict[str, str]:
    """Return a digest of every file below /etc."""
    files = sorted(path for path in Path("/etc").rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def tracked(host: Host) -> int:
    """Return how many connections the host's connection tracking knows of."""
    return int(host.run("cat", COUNT).stdout)


@pytest.fixture
def talking_host(host: Host) -> Iterator[Host]:
    """A host on whose loopback packets never cease: tracking, switched on for a moment, would leave entries behind."""
    talker = talk(host, 9)
    yield host
    talker.kill()
    talker.communicate()


def test_the_full_diff_and_plan_of_a_first_apply(host: Host) -> None:
    result = host.module(check_mode=True, tables=STATEFUL)
    assert result.changed
    assert not result.failed
    real = host.apply(tables=STATEFUL)
    assert result.plan == real.plan
    assert result.data["plan_total"] == len(real.plan) == real.data["plan_total"]
    assert result.diff_text == real.diff_text
    added = [line for line in result.diff_text.splitlines() if line.startswith("+")]
    for family in FAMILIES:
        for line in host.save(family).splitlines():
            if "palisade" in line and line.startswith("-A"):
                rule = line.split(" ", 2)[2]
                assert [shown for shown in added if rule in shown], f"{family}: {line} is in no diff"


def test_the_diff_of_a_change_shows_the_rules_that_go_and_come(host: Host) -> None:
    host.apply(tables={"filter": {"INPUT": ["-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 80 -j ACCEPT"]}}, families=["ipv4"])
    wanted = {"filter": {"INPUT": ["-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 443 -j ACCEPT"]}}
    result = host.module(check_mode=True, tables=wanted, families=["ipv4"])
    shown = [line for line in result.diff_text.splitlines() if line.startswith(("+", "-")) and "--dport" in line]
    assert [(line[0], line.split("--dport ")[1]) for line in shown] == [("-", "80 -j ACCEPT"), ("+", "443 -j ACCEPT")]
    host.apply(tables=wanted, families=["ipv4"])
    unchanged = host.module(check_mode=True, tables=wanted, families=["ipv4"])
    assert not unchanged.changed
    assert not unchanged.diff_text
    assert not unchanged.plan


@pytest.mark.parametrize("state", ["present", "absent"])
def test_nothing_is_changed(new_host: Callable[[], Host], state: str) -> None:
    for prepared in (False, True):
        host = new_host()
        if prepared:
            host.apply(tables={"filter": {"INPUT": ["-j RETURN"]}})
        rules, files = host.snapshot(), etc()
        run = host.run("find", "/run", "-type", "f").stdout
        options = {"state": "absent"} if state == "absent" else {"tables": STATEFUL}
        assert host.module(check_mode=True, **options).changed == (prepared or state == "present")
        assert host.snapshot() == rules
        assert etc() == files
        assert set(host.run("find", "/run", "-type", "f").stdout.split()) - set(run.split()) <= {"/run/module.pid"}


def test_a_bad_rule_is_found_in_check_mode_too(host: Host) -> None:
    before = host.snapshot()
    result = host.module(check_mode=True, tables={"filter": {"INPUT": ["-p tcp --dport 99999 -j ACCEPT"]}})
    assert result.failed
    assert "99999" in result.message
    assert host.snapshot() == before


def test_connection_tracking_is_not_switched_on(talking_host: Host) -> None:
    assert talking_host.module(check_mode=True, tables=STATEFUL).changed
    assert tracked(talking_host) == 0
    talking_host.apply(tables=STATEFUL)
    assert tracked(talking_host) > 0, "this test could not have seen tracking"


def test_tracking_for_a_moment_would_have_been_seen(talking_host: Host) -> None:
    """A scratch rehearsal, asked for by name, does switch tracking on until its chain goes: the same look finds it."""
    assert talking_host.module(check_mode=True, tables=STATEFUL, rehearsal="scratch").changed
    assert tracked(talking_host) > 0
    assert all(not without_empty_tables(talking_host.save(family)) for family in FAMILIES)
