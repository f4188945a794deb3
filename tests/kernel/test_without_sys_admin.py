# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that gives NET_ADMIN and nothing more: no namespace can be made, so rules are tried in scratch chains, with the same results."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from .support.faults import MOMENTS, killed_at, log, run_watched, watch
from .support.host import FAMILIES, Host, ModuleResult
from .support.save_text import without_empty_tables
from .support.spellings import SETS, spellings, tables

# What Docker gives a container, and NET_ADMIN.
HELD = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap net_admin"
CONTAINER = ("setpriv", "--inh-caps=-all", "--bounding-set=-all," + ",".join(f"+{name}" for name in HELD.split()))
RULES = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-m state --state ESTABLISHED -j ACCEPT", "-j web"]}, "web": ["-j ACCEPT"]},
    "nat": {"POSTROUTING": ["-o eth0 -j MASQUERADE"]},
}


def contained(host: Host, **options: Any) -> ModuleResult:
    """Run the module as in a container with NET_ADMIN, and insist that it succeeds."""
    result = host.module(through=CONTAINER, **options)
    assert not result.failed and result.returncode == 0, result.message or result.stderr
    return result


def state(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return what a packet can meet."""
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


def test_a_namespace_is_really_refused(host: Host) -> None:
    assert host.run(*CONTAINER, "unshare", "--net", "true", check=False).returncode != 0
    assert host.run(*CONTAINER, f"iptables-{host.backend}-save").returncode == 0


def test_the_result_says_which_way_was_taken(new_host: Callable[[], Host]) -> None:
    assert new_host().apply(tables=RULES).data["rehearsal"] == "namespace"
    result = contained(new_host(), tables=RULES)
    assert result.data["rehearsal"] == "scratch" and result.data["exact"]


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_every_spelling_ends_as_it_does_by_namespace(new_host: Callable[[], Host], scope: str) -> None:
    hosts = {"namespace": new_host(), "scratch": new_host()}
    options = {"tables": tables(spellings("any", *FAMILIES)), "scope": scope}
    for host in hosts.values():
        host.run("ipset", "restore", text=SETS)
    assert hosts["namespace"].apply(**options).changed
    assert contained(hosts["scratch"], **options).changed
    assert state(hosts["scratch"]) == state(hosts["namespace"])
    again = contained(hosts["scratch"], **options)
    assert not again.changed, again.plan
    assert "~" not in "".join(hosts["scratch"].snapshot().values())


def test_check_mode_compares_text_and_says_so(host: Host) -> None:
    before = host.snapshot()
    result = host.module(through=CONTAINER, check_mode=True, tables=RULES)
    assert result.changed and not result.failed
    assert result.data["exact"] is False and result.data["rehearsal"] == "text"
    assert result.warnings
    assert host.snapshot() == before


def test_check_mode_by_scratch_when_asked_for(host: Host) -> None:
    before = state(host)
    result = host.module(through=CONTAINER, check_mode=True, tables=RULES, rehearsal="scratch")
    assert result.changed and result.data["exact"] and result.data["rehearsal"] == "scratch"
    assert state(host) == before


def test_a_namespace_asked_for_by_name_is_refused(host: Host) -> None:
    before = host.snapshot()
    result = host.module(through=CONTAINER, tables=RULES, rehearsal="namespace")
    assert result.failed and "namespace" in result.message
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("chain", "rule"), [("INPUT", "-o eth0 -j DROP"), ("OUTPUT", "-i eth0 -j DROP"), ("INPUT", "-p tcp --dport 99999 -j DROP")]
)
def test_a_bad_rule_leaves_no_scratch(host: Host, chain: str, rule: str) -> None:
    contained(host, tables=RULES)
    before = state(host)
    result = host.module(through=CONTAINER, tables={"filter": {chain: ["-j web", rule], "web": ["-j ACCEPT"]}})
    assert result.failed and rule in result.message and chain in result.message, result.data
    assert state(host) == before


def test_no_scratch_stays_after_a_kill_and_the_next_run(new_host: Callable[[], Host]) -> None:
    wanted = new_host()
    watch(wanted)
    run_watched(wanted, through=CONTAINER, tables=RULES)
    commands = log(wanted)
    left_behind = 0
    for number, command in enumerate(commands, 1):
        for moment in MOMENTS:
            host = new_host()
            watch(host)
            assert killed_at(host, moment, number, through=CONTAINER, tables=RULES).returncode == -9
            left = "palisade~" in "".join(host.snapshot().values())
            left_behind += left
            after = contained(host, tables=RULES)
            assert state(host) == state(wanted), command
            assert "palisade~" not in "".join(host.snapshot().values()), command
            assert not left or any("scratch" in warning for warning in after.warnings), after.warnings
    assert left_behind >= 2, "no kill ever left a scratch chain: this test saw nothing"
