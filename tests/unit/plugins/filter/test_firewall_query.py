# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about live rules: jmespath answers them on what Ansible hands over, and errors are in its words."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible")

import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.palisade.netfilter.plugins.filter import firewall_query as file
from ansible_collections.palisade.netfilter.plugins.filter.firewall_query import NAMED, FilterModule, firewall_query
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS


def rule(chain: str, number: int, text: str, owner: str | None, packets: int = 0) -> dict[str, Any]:
    return {
        "family": "ipv4",
        "table": "filter",
        "chain": chain,
        "number": number,
        "rule": text,
        "packets": packets,
        "bytes": 60 * packets,
        "owner": owner,
    }


def chain(name: str, policy: str | None, packets: int | None, owner: str | None, rule_count: int) -> dict[str, Any]:
    return {
        "family": "ipv4",
        "table": "filter",
        "chain": name,
        "policy": policy,
        "packets": packets,
        "bytes": packets and 60 * packets,
        "owner": owner,
        "rule_count": rule_count,
    }


LIVE = {
    "backend": "nft",
    "changed": False,
    "rules": [
        rule("INPUT", 1, "-p tcp -j f2b-sshd", "fail2ban", 9),
        rule("INPUT", 2, "-p tcp -m tcp --dport 3306 -j ACCEPT", None, 3),
        rule("FORWARD", 1, "-j HAND-MADE", None),
        rule("HAND-MADE", 1, "-j DROP", None),
        rule("f2b-sshd", 1, "-s 192.0.2.9/32 -j DROP", "fail2ban", 2),
    ],
    "chains": [
        chain("INPUT", "ACCEPT", 5, None, 2),
        chain("f2b-sshd", None, None, "fail2ban", 1),
    ],
}


@pytest.mark.filterwarnings("ignore:deprecated string literal syntax")  # and in every other example on the web
@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("rules[?chain==`INPUT`].rule", ["-p tcp -j f2b-sshd", "-p tcp -m tcp --dport 3306 -j ACCEPT"]),
        ("rules[?chain=='INPUT'].number", [1, 2]),
        ("rules[?owner==`null`].chain", ["INPUT", "FORWARD", "HAND-MADE"]),
        ("rules[?packets==`0`].[chain, number]", [["FORWARD", 1], ["HAND-MADE", 1]]),
        ("rules[?owner=='fail2ban' && contains(rule, '-s ')].rule", ["-s 192.0.2.9/32 -j DROP"]),
        ("rules[?starts_with(rule, '-s')].rule | [0]", "-s 192.0.2.9/32 -j DROP"),
        ("reverse(sort_by(rules, &packets))[:2].packets", [9, 3]),
        ("sum(rules[].packets)", 14),
        ("chains[?policy && policy!='DROP'].chain", ["INPUT"]),
        ("join(', ', keys(chains[0]))", "family, table, chain, policy, packets, bytes, owner, rule_count"),
        ("changed", False),
        ("nothing", None),
        ("rules[?chain=='nothing']", []),
    ],
)
def test_expressions(expression: str, found: Any) -> None:
    assert firewall_query(LIVE, expression) == found


def test_what_nobody_explains_is_found_by_name() -> None:
    assert [(one["chain"], one["number"]) for one in firewall_query(LIVE, "unexplained")] == [("INPUT", 2), ("FORWARD", 1)]


@pytest.mark.parametrize("hook", sorted({hook for hooks in BUILTIN_CHAINS.values() for hook in hooks}))
def test_in_every_hook(hook: str) -> None:
    assert firewall_query({"rules": [rule(hook, 1, "-j ACCEPT", None)]}, "unexplained")


def test_ansibles_own_kinds_of_text_and_number() -> None:
    """What comes out of a YAML file or a registered result is tagged, and of types that jmespath's functions do not know."""
    tagged = DataLoader().load("rules: [{rule: -s 1, number: 3, share: 0.5, live: true, owner: null}]")
    assert {type(one) for one in tagged["rules"][0].values()}.isdisjoint({str, int, float}), "or this test says nothing"
    found = firewall_query(tagged, "rules[?starts_with(rule, '-s') && sum([number, share]) > `3`] | [0]")
    assert found == {"rule": "-s 1", "number": 3, "share": 0.5, "live": True, "owner": None}
    assert {type(one) for one in [*found, *found.values()]} == {str, int, float, bool, type(None)}


def test_any_data_will_do() -> None:
    assert firewall_query([{"a": 1.5}, {"a": True}], "[].a") == [1.5, True]
    assert firewall_query(({"a": number} for number in range(2)), "[].a") == [0, 1]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("rules[?chain==", "Incomplete expression"),
        ("rules]", "Unexpected token: ]"),
        ("rules[?chain=='INPUT'", "Incomplete expression"),
        ("rules[?chain#'INPUT']", "Unknown token"),
        ("", "cannot be empty"),
        ("length(backend, rules)", "Expected 1 argument"),
        ("size(rules)", "Unknown function: size"),
        ("sum(rules[].rule)", "invalid type"),
        ("rules[::0]", "slice step cannot be zero"),
    ],
)
def test_a_wrong_expression_is_named_with_jmespaths_words(expression: str, words: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        firewall_query(LIVE, expression)
    assert str(caught.value).startswith(f"wrong expression {expression!r}: jmespath says: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("expression", [None, 7, ["rules"]])
def test_an_expression_is_a_text(expression: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(f"the expression is a text, not {expression!r}")):
        firewall_query(LIVE, expression)


def test_a_controller_without_jmespath_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jmespath", None)
    there = runpy.run_path(str(file.__file__))
    with pytest.raises(AnsibleFilterError, match="needs the Python package jmespath on the controller"):
        there["firewall_query"](LIVE, "rules")


def test_the_documentation_is_true() -> None:
    documented = yaml.safe_load(Path(file.__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    assert FilterModule().filters() == {documented["DOCUMENTATION"]["name"]: firewall_query}
    described = " ".join(documented["DOCUMENTATION"]["options"]["expression"]["description"])
    assert [name for name in NAMED if f"V({name})" not in described] == []
    asked = [double or single for text in strings(yaml.safe_load(documented["EXAMPLES"])) for double, single in ASKED.findall(text)]
    assert len(asked) == 4
    for expression in asked:
        firewall_query(LIVE, expression)


ASKED = re.compile(r"firewall_query\((?:\"([^\"]+)\"|'([^']+)')\)")


def strings(data: Any) -> list[str]:
    """All texts in nested data."""
    if isinstance(data, dict):
        return [text for value in data.values() for text in strings(value)]
    if isinstance(data, list):
        return [text for value in data for text in strings(value)]
    return [data] if isinstance(data, str) else []
