# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""state: previous: back to the version that the host itself has kept, and forward again, on real files and rules."""
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import read

from .support.confirming import start, tell
from .support.host import FAMILIES, Host
from .support.persisted import ETC, boot, install, live, loader

OLD: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": [
            "-i lo -j ACCEPT", "-4 -s 192.0.2.0/24 -j web", '-m comment --comment "to -j web, \\"really\\"" -j web', "-p tcp --dport 22 -j ACCEPT"]},
        "OUTPUT": ["-d 192.0.2.66 -j REJECT"],
        "web": ["-p tcp --dport 80 -j ACCEPT", "-g more"],
        "more": ["-j RETURN"],
    },
    "nat": {"PREROUTING": ["-p tcp --dport 8080 -j REDIRECT --to-ports 80"]},
}
NEW: dict[str, Any] = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 443 -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}, "FORWARD": {"policy": "DROP"}},
    "mangle": {"FORWARD": ["-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu"]},
}
FALLBACK = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-s 192.0.2.9 -p tcp --dport 22 -j ACCEPT"]}}}
ONCE = pytest.mark.parametrize("backend", ["nft"])


def bodies(host: Host) -> dict[str, list[str]]:
    """Return what the host's files say, dates aside."""
    names = host.run("ls", ETC).stdout.split()
    return {name: read(host.run("cat", f"{ETC}/{name}").stdout, "palisade").body() for name in names}


@pytest.fixture
def twice(host: Host) -> Host:
    """A host with two versions, of which NEW is in force."""
    install(host)
    host.apply(tables=OLD, persist=True)
    host.apply(tables=NEW, persist=True, fallback=FALLBACK)
    return host


def test_back_and_forward_again(host: Host) -> None:
    install(host)
    host.apply(tables=OLD, persist=True)
    rules, files = {"old": live(host)}, {"old": bodies(host)["palisade.rules"]}
    host.apply(tables=NEW, persist=True, fallback=FALLBACK)
    rules["new"], files["new"] = live(host), bodies(host)["palisade.rules"]
    closed = host.run("cat", f"{ETC}/palisade.closed").stdout
    for now, before in (("old", "new"), ("new", "old")):
        seen = host.snapshot()
        foreseen = host.module(state="previous", check_mode=True)
        assert (foreseen.changed, host.snapshot()) == (True, seen)
        result = host.apply(state="previous")
        assert (result.diff_text, result.plan) == (foreseen.diff_text, foreseen.plan)
        assert live(host) == rules[now]
        assert bodies(host) | {"palisade.closed": []} == {
            "palisade.rules": files[now], "palisade.good": files[now], "palisade.previous": files[before], "palisade.closed": []}
        assert host.run("cat", f"{ETC}/palisade.closed").stdout == closed
        assert not host.apply(tables=OLD if now == "old" else NEW, persist=True, fallback=FALLBACK).changed
        boot(host)
        assert (live(host), loader(host, "status").returncode) == (rules[now], 0)


@ONCE
def test_it_waits_for_its_confirmation_as_any_change(twice: Host) -> None:
    before, files = live(twice), bodies(twice)
    for word, kept in (("undo", False), ("confirm", True)):
        assert start(twice, 600, state="previous").data["confirm"]["state"] == "pending"
        assert (live(twice) != before, bodies(twice)) == (True, files)
        tell(twice, word, *(["new"] if kept else []))
        assert (live(twice) != before, bodies(twice) != files) == (kept, kept)


@ONCE
@pytest.mark.parametrize(("damage", "message"), [
    ("rm previous", "this host has kept no version of ruleset palisade before the one in force (/etc/palisade/palisade.previous is not there)"),
    ("echo rubbish > previous", "/etc/palisade/palisade.previous does not begin as a file of ours"),
    ("sed -i s/443/444/\\;s/8080/8081/ previous", "/etc/palisade/palisade.previous is damaged: its checksum is wrong"),
    ("chmod 644 previous", "/etc/palisade/palisade.previous has mode 0644"),
])
def test_without_a_whole_version_nothing_changes(twice: Host, damage: str, message: str) -> None:
    twice.run("sh", "-euc", f"cd {ETC}; {damage.replace('previous', 'palisade.previous')}")
    files = twice.run("sh", "-c", f"cat {ETC}/*").stdout
    said = twice.refuse(state="previous")
    assert message in said and said.endswith("Nothing has changed"), said
    assert twice.run("sh", "-c", f"cat {ETC}/*").stdout == files


@ONCE
def test_a_version_that_the_kernel_does_not_take_any_more_changes_nothing(host: Host) -> None:
    install(host)
    host.run("ipset", "create", "friends", "hash:ip")
    host.apply(tables={"filter": {"INPUT": ["-4 -m set --match-set friends src -j ACCEPT"]}}, persist=True)
    host.apply(tables=NEW, persist=True)
    host.run("ipset", "destroy", "friends")
    assert "friends" in host.refuse(state="previous")


@ONCE
def test_a_damaged_set_in_force_is_no_hindrance(twice: Host) -> None:
    twice.run("sh", "-euc", f"echo rubbish > {ETC}/palisade.rules")
    before = bodies_of_previous = twice.run("cat", f"{ETC}/palisade.previous").stdout
    twice.apply(state="previous")
    assert "--dport 8080" in twice.save()
    assert twice.run("cat", f"{ETC}/palisade.previous").stdout == before == bodies_of_previous


def test_families_that_only_one_version_has(host: Host) -> None:
    install(host)
    host.apply(tables=OLD, persist=True, families=["ipv4"])
    one = live(host)
    host.apply(tables=NEW, persist=True)
    both = live(host)
    host.apply(state="previous")
    assert live(host) == one
    host.apply(state="previous")
    assert live(host) == both


def test_whole_tables(host: Host) -> None:
    install(host)
    host.apply(tables={"filter": OLD["filter"]}, persist=True, scope="tables", allow_lockout=True)
    one = live(host)
    host.apply(tables=NEW, persist=True, scope="tables")
    both = live(host)
    host.apply(state="previous")
    # What was in a table before it was ours is not known; it is left as empty as it was made, and with the policy that it has.
    assert live(host)["ipv4"]["filter"][-1:] == one["ipv4"]["filter"][-1:]
    assert [family for family in FAMILIES if live(host)[family].get("mangle")] == []
    host.apply(state="previous")
    assert live(host) == both


@ONCE
def test_another_scope_is_another_declaration(host: Host) -> None:
    install(host)
    host.apply(tables=OLD, persist=True)
    host.apply(tables=NEW, persist=True, scope="tables", foreign="remove")
    assert "the version before is of scope: chains, and the one in force of scope: tables" in host.refuse(state="previous")


@ONCE
def test_it_takes_no_rules(twice: Host) -> None:
    assert "state: previous takes no tables" in twice.refuse(state="previous", tables=NEW)
    assert "the version before is for the nft backend, not for legacy" in twice.refuse(state="previous", backend="legacy")
