# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change means for traffic, told in the diff: the same packets through copies of what is and of what will be."""
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from .support.host import Host, ModuleResult
from .test_packets_host import with_interface

FIRST: dict[str, Any] = {"services": {"https": {}, "mysql": {"from": ["10.0.0.5", "10.1.0.0/24"]}}}
SECOND: dict[str, Any] = {"services": {"http": {}, "mysql": {"from": ["10.0.0.5"]}, "ssh": {"from": ["10.1.0.0/24", "2001:db8::/64"]}}}


@pytest.fixture
def networked(host: Host) -> Host:
    """A host with a way out and a network behind it."""
    with_interface(host, "eth0", "192.0.2.10/24", "2001:db8::10/64")
    with_interface(host, "lan0", "10.1.0.1/24")
    host.run("ip", "route", "add", "default", "via", "192.0.2.1")
    host.run("ip", "route", "add", "default", "via", "2001:db8::1")
    return host


def tables(policy: dict[str, Any]) -> Any:
    return compile_policy("server", policy).tables


def told(result: ModuleResult) -> list[str]:
    """The lines about traffic that a person reads."""
    texts = [entry["prepared"] for entry in result.data["diff"] if entry["before_header"] == "traffic (live)"]
    assert len(texts) == 1
    return [line[2:] for line in texts[0].splitlines() if line.startswith("! ")]


def test_a_first_apply_tells_what_is_closed(networked: Host) -> None:
    result = networked.apply(tables=tables(FIRST), verdict_diff=True)
    lines = told(result)
    assert "tcp to any other port from any on eth0: accept → drop, by the policy of INPUT" in lines
    assert "udp to any other port from a neighbour on lan0 (ipv4): accept → drop, by the policy of INPUT" in lines
    assert not [line for line in lines if line.startswith(("tcp 443", "tcp 22 ", "icmp echo-request"))]
    assert [entry["traffic"] for entry in result.data["verdict_diff"]] == [line.partition(":")[0].partition(" (ipv")[0] for line in lines]


def test_a_change_tells_whose_fate_changes_by_which_rule(networked: Host) -> None:
    networked.apply(tables=tables(FIRST))
    before = networked.save()
    checked = told(networked.module(check_mode=True, tables=tables(SECOND), verdict_diff=True))
    assert networked.save() == before
    lines = told(networked.apply(tables=tables(SECOND), verdict_diff=True))
    assert lines == checked
    assert set(lines) == {
        "tcp 80 from any on eth0: drop → accept, by palisade-INPUT 6",
        "tcp 80 from a neighbour on lan0 (ipv4): drop → accept, by palisade-INPUT 6",
        "tcp 3306 from a neighbour on lan0 (ipv4): accept → drop, by the policy of INPUT",
        "tcp 22 from any on eth0: accept → drop, by the policy of INPUT",
        "tcp 443 from any on eth0: accept → drop, by the policy of INPUT",
        "tcp 443 from a neighbour on lan0 (ipv4): accept → drop, by the policy of INPUT",
    }


def test_what_is_expected_is_asked_about_too(networked: Host) -> None:
    networked.apply(tables=tables(FIRST))
    flow = {"in_interface": "eth0", "source": "203.0.113.66", "port": 80, "verdict": "accept"}
    lines = told(networked.apply(tables=tables(SECOND), verdict_diff=True, expect=[flow]))
    assert any("from 203.0.113.66" in line and line.endswith("drop → accept, by palisade-INPUT 6") for line in lines)


def test_a_rewriting_that_changes_is_told(networked: Host) -> None:
    networked.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    wanted = {"nat": {"PREROUTING": ["-i eth0 -p tcp --dport 8080 -j DNAT --to-destination {}:80"]}}
    for address, expected in (("10.1.0.2", "accept → accept (to 10.1.0.2:80)"), ("10.1.0.3", "accept (to 10.1.0.2:80) → accept (to 10.1.0.3:80)")):
        rules = {table: {chain: [rule.format(address) for rule in texts] for chain, texts in chains.items()} for table, chains in wanted.items()}
        lines = told(networked.apply(tables=rules, families=["ipv4"], verdict_diff=True))
        assert any(line.startswith(f"tcp 8080 from any on eth0 (ipv4): {expected}, by ") for line in lines), lines


def test_nothing_is_told_where_nothing_changes_or_nobody_asked(networked: Host) -> None:
    assert "verdict_diff" not in networked.apply(tables=tables(FIRST)).data
    unchanged = networked.apply(tables=tables(FIRST), verdict_diff=True)
    assert not unchanged.changed
    assert "verdict_diff" not in unchanged.data


def test_where_it_cannot_be_told_the_diff_says_so(networked: Host) -> None:
    result = networked.module(
        check_mode=True, through=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"), tables=tables(FIRST), verdict_diff=True)
    assert not result.failed, result.message
    text, = [entry["prepared"] for entry in result.data["diff"] if entry["before_header"] == "traffic (live)"]
    assert "# what changes for traffic cannot be told: no network namespace can be made here" in text
    assert result.data["verdict_diff"] == []


def test_many_rules_cost_a_bounded_number_of_packets(networked: Host) -> None:
    rules = [f"-s 10.{index // 250}.{index % 250}.0/24 -p tcp -m tcp --dport {1000 + index} -j ACCEPT" for index in range(3000)]
    result = networked.apply(tables={"filter": {"INPUT": rules}}, families=["ipv4"], verdict_diff=True)
    text, = [entry["prepared"] for entry in result.data["diff"] if entry["before_header"] == "traffic (live)"]
    asked = int(text.split(" of ")[1].split()[0])
    assert 16 <= asked <= 120


ROUTER: dict[str, Any] = {
    "services": {"https": {}}, "lan": {"home": {"interfaces": ["lan0"], "networks": ["10.1.0.0/24"]}}, "wan": {"line": {"interfaces": ["eth0"]}},
    "forwards": {"web": {"port": 8080, "to": "10.1.0.9", "to_port": 80}},
}


def test_a_move_between_profiles_tells_what_their_difference_is(networked: Host) -> None:
    """Server, workstation, router and back with the same variables: ssh, forwarding and nat are what the profiles differ in."""
    networked.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    steps = {}
    networked.apply(tables=compile_policy("server", ROUTER).tables, families=["ipv4"])
    for profile in ("workstation", "nat_router", "server"):
        steps[profile] = told(networked.apply(tables=compile_policy(profile, ROUTER).tables, families=["ipv4"], verdict_diff=True))
    assert set(steps["workstation"]) == {
        "tcp 22 from any on eth0 (ipv4): accept → drop, by the policy of INPUT",
        "tcp 22 from a neighbour on lan0 (ipv4): accept → drop, by the policy of INPUT",
    }
    opened = steps["nat_router"]
    assert not any(line.startswith("tcp 22 from any on eth0") for line in opened)
    assert any(line.startswith("tcp 22 from a neighbour on lan0 (ipv4): drop → accept, by ") for line in opened)
    out = "tcp to any other port from a neighbour on lan0 out by eth0 (ipv4)"
    assert any(line.startswith(f"{out}: drop → accept (from 192.0.2.10), by palisade-FORWARD ") for line in opened)
    assert any(line.startswith("tcp 8080 from any on eth0 (ipv4): drop → accept (to 10.1.0.9:80), by ") for line in opened), opened
    closed = steps["server"]
    assert any(line.startswith("tcp 22 from any on eth0 (ipv4): drop → accept, by palisade-INPUT ") for line in closed)
    assert f"{out}: accept (from 192.0.2.10) → drop, by the policy of FORWARD" in closed
    assert any(line.startswith("tcp 8080 from any on eth0 (ipv4): accept (to 10.1.0.9:80) → drop") for line in closed), closed
