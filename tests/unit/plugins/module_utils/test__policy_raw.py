# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own rules: where they stand, and what is refused before a host is touched."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy


def tables(before: Any = None, after: Any = None, **policy: Any) -> dict[str, Any]:
    return dict(compile_policy("server", {"rules": {"before": before, "after": after}, **policy}).tables)


def test_they_stand_ahead_of_ours_and_behind_them_but_ahead_of_the_log() -> None:
    rules = tables({"filter": {"INPUT": ["-j LOG"]}}, {"filter": {"INPUT": "-p 89 -j ACCEPT"}}, final="drop")["filter"]["INPUT"]["rules"]
    assert rules[0] == "-j LOG"
    assert rules[-3] == "-p 89 -j ACCEPT"
    assert "firewall_logging" in rules[-2] and "firewall_final" in rules[-1]


def test_a_family_in_front_is_kept_and_left_out_with_its_family() -> None:
    found = tables({"raw": {"OUTPUT": ["-4 -j ACCEPT", "-6 -s ::1 -j ACCEPT", " -p udp -j ACCEPT "]}})
    assert found["raw"] == {"OUTPUT": {"rules": ["-4 -j ACCEPT", "-6 -s ::1 -j ACCEPT", "-p udp -j ACCEPT"]}}


def test_every_table_and_hook_takes_them() -> None:
    hooks = {
        "raw": ["PREROUTING", "OUTPUT"],
        "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        "security": ["INPUT", "FORWARD", "OUTPUT"],
        "filter": ["INPUT", "FORWARD"],
    }
    for place in ("before", "after"):
        found = tables(**{place: {table: {chain: ["-j ACCEPT"] for chain in chains} for table, chains in hooks.items()}})
        for table, chains in hooks.items():
            assert [chain for chain in chains if "-j ACCEPT" not in found[table][chain]["rules"]] == []
            assert table == "filter" or all(set(content) == {"rules"} for content in found[table].values())


def test_in_forward_of_a_host_that_is_no_router_they_leave_the_policy_to_others() -> None:
    assert tables({"filter": {"FORWARD": ["-i a -j ACCEPT"]}})["filter"]["FORWARD"] == {
        "policy": "DROP",
        "rules": ["-i a -j ACCEPT"],
        "only_if_unused": True,
    }


BAD: list[tuple[Any, str]] = [
    ({"INPUT": ["-j DROP"]}, "firewall_rules.before: 'INPUT' is none of filter, nat, mangle, raw, security"),
    ({"filtr": {}}, "firewall_rules.before: 'filtr' is none of filter, nat, mangle, raw, security; did you mean 'filter'?"),
    ({"filter": {"input": []}}, "firewall_rules.before.filter: 'input' is none of INPUT, FORWARD, OUTPUT"),
    ({"filter": {"PREROUTING": []}}, "firewall_rules.before.filter: 'PREROUTING' is none of"),
    ({"filter": {"my-chain": ["-j DROP"]}}, "firewall_rules.before.filter: 'my-chain' is none of"),
    ({"filter": ["-j DROP"]}, "firewall_rules.before.filter: a dictionary is needed, not a list"),
    ({"filter": {"INPUT": {}}}, "firewall_rules.before.filter.INPUT: a list is needed, not a dictionary"),
    ({"filter": {"INPUT": ["-j DROP", 5]}}, "firewall_rules.before.filter.INPUT, rule 2: a text is needed, not a number"),
    ({"filter": {"INPUT": ["  "]}}, "firewall_rules.before.filter.INPUT, rule 1: the rule is empty"),
    ({"filter": {"INPUT": ["-6 "]}}, "firewall_rules.before.filter.INPUT, rule 1: the rule is empty"),
    ({"filter": {"INPUT": ["-j DROP\n-j ACCEPT"]}}, "firewall_rules.before.filter.INPUT, rule 1: '-j DROP\\n-j ACCEPT' has a control character"),
    ({"filter": {"INPUT": ['-m comment --comment "x -j DROP']}}, "firewall_rules.before.filter.INPUT, rule 1: a double quote is opened"),
    ({"filter": {"INPUT": ["-A INPUT -j DROP"]}}, "firewall_rules.before.filter.INPUT, rule 1: '-A' is no part of a rule"),
    ({"filter": {"INPUT": ["--append INPUT -j DROP"]}}, "firewall_rules.before.filter.INPUT, rule 1: '--append' is no part of a rule"),
    ({"filter": {"INPUT": ["-t nat -j DROP"]}}, "firewall_rules.before.filter.INPUT, rule 1: '-t' is no part of a rule"),
    ({"filter": {"INPUT": ["iptables -A INPUT -j DROP"]}}, "firewall_rules.before.filter.INPUT, rule 1: write the rule alone"),
    ({"filter": {"INPUT": ["/sbin/iptables -A INPUT -j DROP"]}}, "firewall_rules.before.filter.INPUT, rule 1: write the rule alone"),
    ({"filter": {"INPUT": ["COMMIT"]}}, "firewall_rules.before.filter.INPUT, rule 1: 'COMMIT' is no part of a rule"),
    ({"filter": {"INPUT": ["*nat"]}}, "firewall_rules.before.filter.INPUT, rule 1: '*nat' is no part of a rule"),
]


@pytest.mark.parametrize(("before", "message"), BAD)
def test_what_is_wrong_is_named(before: Any, message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        tables(before)


def test_other_places_and_other_families() -> None:
    with pytest.raises(PalisadeError, match=r"^firewall_rules.ahead: unknown key \(known: after, before\)"):
        compile_policy("server", {"rules": {"ahead": {}}})
    with pytest.raises(PalisadeError, match=r"^firewall_rules.before.filter.INPUT, rule 1: it is for IPv6, and firewall_families"):
        tables({"filter": {"INPUT": ["-6 -j DROP"]}}, families="ipv4")
