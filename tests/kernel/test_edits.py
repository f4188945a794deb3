# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Minimal edits: what stays keeps its packet and byte counters, the order is exact, and the plan says just what changes."""
from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from .support.host import FAMILIES, Host, ModuleResult
from .support.save_text import rules
from .support.traffic import DATAGRAM, send, send_from

COUNTED = re.compile(r"^\[(\d+):(\d+)\] -A palisade-INPUT (.*)$", re.MULTILINE)
SOURCES = {"ipv4": "192.0.{0}.{1}", "ipv6": "2001:db8::{0}:{1}"}
LENGTHS = {"ipv4": 32, "ipv6": 128}


def sources(count: int, family: str) -> list[str]:
    return [SOURCES[family].format(n // 250 + 1, n % 250 + 1) for n in range(count)]


def numbered(count: int, family: str = "ipv4") -> list[str]:
    """Return rules that differ, in iptables-save's spelling."""
    return [f"-s {source}/{LENGTHS[family]} -j DROP" for source in sources(count, family)]


def apply(host: Host, *wanted: str, family: str = "ipv4") -> ModuleResult:
    """Make these the rules of our INPUT chain."""
    return host.apply(tables={"filter": {"INPUT": list(wanted)}}, families=[family])


def with_counters(host: Host, count: int, family: str = "ipv4") -> dict[str, tuple[int, int]]:
    """Put so many rules in place, let each drop some packets, and return the counters by rule."""
    wanted = numbered(count, family)
    apply(host, *wanted, family=family)
    packets = {source: n % 3 + 1 for n, source in enumerate(sources(count, family))}
    send_from(host, family, packets)
    counters = {rule: (sent, sent * DATAGRAM[family]) for rule, sent in zip(wanted, packets.values(), strict=True)}
    assert counted(host, family) == counters
    return counters


def counted(host: Host, family: str = "ipv4") -> dict[str, tuple[int, int]]:
    """Return packets and bytes by rule of our INPUT chain."""
    found = COUNTED.findall(host.save(family, counters=True))
    return {rule: (int(packets), int(octets)) for packets, octets, rule in found}


def live(host: Host, family: str = "ipv4") -> list[str]:
    """Return our INPUT chain's rules in their order."""
    return [rule.removeprefix("-A palisade-INPUT ") for rule in rules(host.save(family), "filter", "palisade-INPUT")]


def actions(result: ModuleResult) -> list[tuple[str, int, str]]:
    return [(op["action"], op["position"], op["rule"]) for op in result.plan]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_rule_at_the_top_of_a_thousand(host: Host, family: str) -> None:
    wanted = numbered(999, family)
    before = with_counters(host, 999, family)
    top = "-i lo -j ACCEPT"
    result = apply(host, top, *wanted, family=family)
    assert actions(result) == [("insert", 1, top)]
    assert result.data["plan_total"] == 1
    assert live(host, family) == [top, *wanted]
    assert counted(host, family) == {top: (0, 0), **before}


def test_a_rule_goes_on_counting_after_an_edit(host: Host) -> None:
    seen = "-p udp -m udp --dport 9 -j DROP"
    apply(host, seen)
    send(host, 9, 25)
    packets, octets = counted(host)[seen]
    assert packets == 25
    assert octets > packets
    apply(host, "-p udp -m udp --dport 7 -j DROP", seen, "-p udp -m udp --dport 8 -j DROP")
    assert counted(host)[seen] == (packets, octets)
    send(host, 9, 1)
    assert counted(host)[seen][0] == packets + 1


@pytest.mark.parametrize(
    ("change", "operations"),
    [
        (lambda r: [*r, "-j RETURN"], [("append", 101, "-j RETURN")]),
        (lambda r: r[1:], [("delete", 1, numbered(1)[0])]),
        (lambda r: r[:-1], [("delete", 100, numbered(100)[-1])]),
        (lambda r: [*r[:50], "-j RETURN", *r[50:]], [("insert", 51, "-j RETURN")]),
        (lambda r: [*r[:10], "-j RETURN", *r[11:]], [("delete", 11, numbered(11)[-1]), ("insert", 11, "-j RETURN")]),
        (lambda r: [*r[1:], r[0]], [("delete", 1, numbered(1)[0]), ("append", 100, numbered(1)[0])]),
    ],
)
def test_the_plan_is_the_shortest_way(
    host: Host, change: Callable[[list[str]], list[str]], operations: list[tuple[str, int, str]]
) -> None:
    wanted = numbered(100)
    before = with_counters(host, len(wanted))
    changed = change(wanted)
    result = apply(host, *changed)
    assert actions(result) == operations
    assert live(host) == changed
    moved = {operation[2] for operation in operations}
    after = counted(host)
    assert all(after[rule] == before[rule] for rule in changed if rule not in moved)


def longest_kept(old: list[str], new: list[str]) -> int:
    """Return how many rules can stay when `old` becomes `new`: the longest common subsequence, the plain way."""
    row = [0] * (len(new) + 1)
    for rule in old:
        above = row[:]
        for n, other in enumerate(new, 1):
            row[n] = above[n - 1] + 1 if rule == other else max(above[n], row[n - 1])
    return row[-1]


@pytest.mark.parametrize("seed", range(4))
def test_any_rearrangement_ends_in_the_right_order_with_as_many_counters_as_can_be_kept(host: Host, seed: int) -> None:
    chance = random.Random(seed)
    old = numbered(120)
    before = with_counters(host, len(old))
    new = old[::-1] if seed == 0 else chance.sample([*old, *(f"-p tcp -m tcp --dport {n} -j DROP" for n in range(1, 60))], 130)
    apply(host, *new)
    assert live(host) == new
    after = counted(host)
    kept = [rule for rule in new if rule in before and after[rule] == before[rule]]
    assert len(kept) == longest_kept(old, new)


def test_rules_that_are_there_twice_are_there_twice(host: Host) -> None:
    twice = ["-j LOG", "-p tcp -j DROP", "-j LOG", "-j LOG", "-p udp -j DROP", "-j LOG"]
    apply(host, *twice)
    assert live(host) == twice
    apply(host, *twice[1:], "-p tcp -j DROP")
    assert live(host) == [*twice[1:], "-p tcp -j DROP"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rewrite_keeps_the_counters_of_the_rules_that_stay(host: Host, family: str) -> None:
    """So many edits of so long a chain are written anew in one piece, which must not show."""
    old = numbered(2000, family)
    before = with_counters(host, len(old), family)
    between = [f"-p tcp -m tcp --dport {n} -j DROP" for n in range(1, 2001)]
    new = [rule for pair in zip(old, between, strict=True) for rule in pair]
    result = apply(host, *new, family=family)
    assert result.data["plan_total"] == 2000
    assert len(result.plan) == 200
    assert live(host, family) == new
    after = counted(host, family)
    assert {rule: after[rule] for rule in old} == before


def test_a_shuffle_of_thousands_is_in_order(host: Host) -> None:
    old = numbered(3000)
    apply(host, *old)
    new = random.Random(5).sample(old, len(old))
    apply(host, *new)
    assert live(host) == new
    assert not apply(host, *new).changed


def test_chains_that_are_no_longer_declared_go(host: Host) -> None:
    host.apply(tables={"filter": {"INPUT": ["-j one"], "one": ["-j two"], "two": ["-j DROP"]}, "nat": {"PREROUTING": ["-j RETURN"]}})
    result = host.apply(tables={"filter": {"INPUT": ["-j two"], "two": ["-j DROP"]}})
    assert ("delete_chain", "palisade-one") in [(op["action"], op["chain"]) for op in result.plan]
    text = host.save()
    assert "palisade-one" not in text
    assert "palisade-two" in text
    assert not [line for line in text.splitlines() if "PREROUTING" in line and "palisade" in line]


def test_an_edit_made_by_hand_in_a_chain_of_ours_is_put_right(host: Host) -> None:
    wanted = numbered(5)
    apply(host, *wanted)
    host.iptables("-I", "palisade-INPUT", "2", "-j", "ACCEPT")
    host.iptables("-D", "palisade-INPUT", "5")
    host.iptables("-D", "INPUT", "1")
    assert apply(host, *wanted).changed
    assert live(host) == wanted
    assert rules(host.save(), "filter", "INPUT")[-1].endswith("-j palisade-INPUT")
