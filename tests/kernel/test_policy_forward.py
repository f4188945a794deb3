# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server forwards nothing, unless somebody else on the host does: then FORWARD is theirs."""

from __future__ import annotations

from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from .support.host import Host
from .support.save_text import policy_of, rules

SERVER = compile_policy("server", {}).tables
DOCKER = """*filter
:FORWARD ACCEPT [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
COMMIT
"""


def test_where_nobody_forwards_the_policy_is_drop(host: Host) -> None:
    host.apply(tables=SERVER)
    assert [policy_of(host.save(family), "FORWARD") for family in ("ipv4", "ipv6")] == ["DROP", "DROP"]


def test_where_docker_forwards_the_chain_is_left_alone(host: Host) -> None:
    host.restore(DOCKER)
    before = rules(host.save(), chain="FORWARD")
    host.apply(tables=SERVER)
    assert policy_of(host.save(), "FORWARD") == "ACCEPT"
    assert rules(host.save(), chain="FORWARD") == before
    assert policy_of(host.save(), "INPUT") == "DROP"
    assert policy_of(host.save("ipv6"), "FORWARD") == "DROP"
    assert not host.apply(tables=SERVER).changed


def test_where_docker_comes_later_the_policy_goes_back_to_what_it_was(host: Host) -> None:
    host.apply(tables=SERVER)
    host.restore(DOCKER.replace(":FORWARD ACCEPT [0:0]\n", ""), "--noflush")
    host.apply(tables=SERVER)
    assert policy_of(host.save(), "FORWARD") == "ACCEPT"
    assert not host.apply(tables=SERVER).changed


def test_own_rules_there_have_their_place_beside_others_and_leave_the_policy(host: Host) -> None:
    policy = {"rules": {"before": {"filter": {"FORWARD": ["-i tun0 -j ACCEPT"]}}}}
    tables = compile_policy("server", policy).tables
    host.apply(tables=tables)
    assert policy_of(host.save(), "FORWARD") == "DROP"
    host.restore(DOCKER.replace(":FORWARD ACCEPT [0:0]\n", ""), "--noflush")
    host.apply(tables=tables)
    assert policy_of(host.save(), "FORWARD") == "ACCEPT"
    assert sorted(line.split(" -j ")[1] for line in rules(host.save(), chain="FORWARD")) == ["DOCKER-FORWARD", "DOCKER-USER", "palisade-FORWARD"]
    assert rules(host.save(), chain="palisade-FORWARD") == ["-A palisade-FORWARD -i tun0 -j ACCEPT"]
    assert policy_of(host.save("ipv6"), "FORWARD") == "DROP"
    assert not host.apply(tables=tables).changed


def test_a_clean_slate_is_clean_in_one_run(host: Host) -> None:
    host.restore(DOCKER)
    host.apply(tables=SERVER, scope="tables", foreign="remove")
    assert policy_of(host.save(), "FORWARD") == "DROP"
    assert not host.apply(tables=SERVER, scope="tables").changed
