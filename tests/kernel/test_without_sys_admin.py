# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that gives NET_ADMIN and nothing more: no namespace can be made, so rules are tried in scratch chains, with the same results.

That none of them stays after a kill is told by test_interruption.py.
"""
from __future__ import annotations

from collections.abc import Callable

import pytest

from .support.host import FAMILIES, IN_CONTAINER, Host
from .support.save_text import without_empty_tables
from .support.spellings import SETS, spellings, tables

RULES = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-m state --state ESTABLISHED -j ACCEPT", "-j web"]}, "web": ["-j ACCEPT"]},
    "nat": {"POSTROUTING": ["-o eth0 -j MASQUERADE"]},
}


def state(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return what a packet can meet."""
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


def test_a_namespace_is_really_refused(host: Host) -> None:
    assert host.run(*IN_CONTAINER, "unshare", "--net", "true", check=False).returncode != 0
    assert host.run(*IN_CONTAINER, f"iptables-{host.backend}-save").returncode == 0


def test_the_result_says_which_way_was_taken(new_host: Callable[[], Host]) -> None:
    assert new_host().apply(tables=RULES).data["rehearsal"] == "namespace"
    result = new_host().apply(through=IN_CONTAINER, tables=RULES)
    assert result.data["rehearsal"] == "scratch"
    assert result.data["exact"]


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_every_spelling_ends_as_it_does_by_namespace(new_host: Callable[[], Host], scope: str) -> None:
    hosts = {"namespace": new_host(), "scratch": new_host()}
    options = {"tables": tables(spellings("any", *FAMILIES)), "scope": scope}
    for host in hosts.values():
        host.run("ipset", "restore", text=SETS)
    assert hosts["namespace"].apply(**options).changed
    assert hosts["scratch"].apply(through=IN_CONTAINER, **options).changed
    assert state(hosts["scratch"]) == state(hosts["namespace"])
    again = hosts["scratch"].apply(through=IN_CONTAINER, **options)
    assert not again.changed, again.plan
    assert "~" not in "".join(hosts["scratch"].snapshot().values())


def test_check_mode_compares_text_and_says_so(host: Host) -> None:
    before = host.snapshot()
    result = host.module(through=IN_CONTAINER, check_mode=True, tables=RULES)
    assert result.changed
    assert not result.failed
    assert result.data["exact"] is False
    assert result.data["rehearsal"] == "text"
    assert result.warnings
    assert host.snapshot() == before


def test_check_mode_by_scratch_when_asked_for(host: Host) -> None:
    before = state(host)
    result = host.module(through=IN_CONTAINER, check_mode=True, tables=RULES, rehearsal="scratch")
    assert result.changed
    assert result.data["exact"]
    assert result.data["rehearsal"] == "scratch"
    assert state(host) == before


def test_a_namespace_asked_for_by_name_is_refused(host: Host) -> None:
    before = host.snapshot()
    result = host.module(through=IN_CONTAINER, tables=RULES, rehearsal="namespace")
    assert result.failed
    assert "namespace" in result.message
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("chain", "rule"), [("INPUT", "-o eth0 -j DROP"), ("OUTPUT", "-i eth0 -j DROP"), ("INPUT", "-p tcp --dport 99999 -j DROP")]
)
def test_a_bad_rule_leaves_no_scratch(host: Host, chain: str, rule: str) -> None:
    host.apply(through=IN_CONTAINER, tables=RULES)
    before = state(host)
    result = host.module(through=IN_CONTAINER, tables={"filter": {chain: ["-j web", rule], "web": ["-j ACCEPT"]}})
    assert result.failed, result.data
    assert rule in result.message
    assert chain in result.message
    assert state(host) == before
