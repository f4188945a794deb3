# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as people write them: accepted when iptables accepts them, read as iptables alone would make them, and unchanged
the second time, whatever the spelling."""
from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from .support.host import FAMILIES, Host
from .support.save_text import is_empty, renamed, rules, sections
from .support.spellings import SETS, Spelling, restore_text, spellings, tables, user_chains
from .support.truth import loads

AT_LEAST = 300


@pytest.fixture
def with_sets(new_host: Callable[[], Host]) -> Callable[[], Host]:
    """Make hosts that have the ipsets which the rules name."""

    def make() -> Host:
        made = new_host()
        made.run("ipset", "restore", text=SETS)
        return made

    return make


def alone(plain: Host, family: str, members: Iterable[Spelling]) -> str:
    """Return what iptables-restore alone makes of the rules."""
    plain.restore(restore_text(members), family=family)
    return plain.save(family)


def in_own_chains(text: str, members: list[Spelling]) -> dict[tuple[str, str], list[str]]:
    """Return, for each table and chain, the saved rules as they stand in chains of the ruleset's own."""
    names = {(member.table, member.chain) for member in members}
    users = {table: user_chains(m for m in members if m.table == table) for table, chain in names}
    return {
        (table, chain): [renamed(rule, "palisade", users[table]) for rule in rules(text, table, chain)]
        for table, chain in names
    }


def live_in_own_chains(text: str, members: list[Spelling]) -> dict[tuple[str, str], list[str]]:
    return {(m.table, m.chain): rules(text, m.table, f"palisade-{m.chain}") for m in members}


def check_own_chains(live: str, plain: str, members: list[Spelling]) -> None:
    """Insist, chain by chain, that the live rules are those that iptables-restore alone made, in chains of our own."""
    wanted, found = in_own_chains(plain, members), live_in_own_chains(live, members)
    for chain, rules_wanted in wanted.items():
        assert found[chain] == rules_wanted, chain


def effective(text: str) -> dict[str, list[str]]:
    """Return the tables that hold something, their chains in no order: that is the backend's affair."""
    held = {table: lines for table, lines in sections(text).items() if not is_empty(lines)}
    return {table: sorted(filter(is_head, lines)) + [x for x in lines if not is_head(x)] for table, lines in held.items()}


def is_head(line: str) -> bool:
    return line.startswith(":")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_spelling_lives_in_own_chains_and_stays(with_sets: Callable[[], Host], family: str) -> None:
    members = spellings("any", family)
    assert len(members) >= AT_LEAST
    plain = alone(with_sets(), family, members)
    target, options = with_sets(), {"tables": tables(members), "families": [family]}
    assert target.apply(**options).changed
    check_own_chains(target.save(family), plain, members)
    again = target.apply(**options)
    assert not again.changed, again.plan


@pytest.mark.parametrize("family", FAMILIES)
def test_each_spelling_lives_in_whole_tables_and_stays(with_sets: Callable[[], Host], family: str) -> None:
    members = spellings("any", family)
    target, options = with_sets(), {"tables": tables(members), "families": [family], "scope": "tables"}
    assert target.apply(**options).changed
    assert effective(target.save(family)) == effective(alone(with_sets(), family, members))
    again = target.apply(**options)
    assert not again.changed, again.plan


def test_each_rule_goes_to_the_family_it_plainly_belongs_to(with_sets: Callable[[], Host]) -> None:
    everything = spellings("any", *FAMILIES)
    target, options = with_sets(), {"tables": tables(everything)}
    assert target.apply(**options).changed
    for family in FAMILIES:
        members = spellings("any", family)
        check_own_chains(target.save(family), alone(with_sets(), family, members), members)
    again = target.apply(**options)
    assert not again.changed, again.plan


@pytest.mark.parametrize("scope", ["chains", "tables"])
@pytest.mark.parametrize("family", FAMILIES)
def test_restore_text_means_what_iptables_restore_makes_of_it(
    with_sets: Callable[[], Host], family: str, scope: str
) -> None:
    members = spellings("any", family)
    inserted = "*filter\n-A OUTPUT -j ACCEPT\n-I OUTPUT -o eth0 -j DROP\n-I OUTPUT 2 -o eth1 -j DROP\nCOMMIT\n"
    content = "# written by hand\n\n" + inserted + restore_text(members).replace("\nCOMMIT", "\n# the end\nCOMMIT")
    plain, target = with_sets(), with_sets()
    plain.restore(content, "--noflush", family=family)
    options = {"content": content, "families": [family], "scope": scope}
    assert target.apply(**options).changed
    if scope == "tables":
        assert effective(target.save(family)) == effective(plain.save(family))
    else:
        check_own_chains(target.save(family), plain.save(family), members)
    again = target.apply(**options)
    assert not again.changed, again.plan


@pytest.mark.parametrize("family", FAMILIES)
def test_a_spelling_that_only_some_versions_take_is_taken_exactly_where_iptables_takes_it(
    with_sets: Callable[[], Host], family: str
) -> None:
    web = [Spelling("any", "filter", "web", "-j RETURN")]
    doubtful = spellings("any?", f"{family}?")
    plain, target = with_sets(), with_sets()
    taken = [one for one in doubtful if loads(plain, family, restore_text([*web, one]))]
    refused = [one for one in doubtful if one not in taken]
    assert taken
    assert refused
    target.apply(tables=tables([*web, *taken]), families=[family])
    for one in refused:
        assert one.rule in target.refuse(tables=tables([*web, *taken, one]), families=[family])
