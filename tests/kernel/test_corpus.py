# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Round trip of iptables' own extension tests: every rule that the kernel takes is applied, stays, and reads as it would alone.

LED and IDLETIMER have names that are global to the kernel; the module compares their text, so they take part as they are
spelled in the corpus, which is how they are saved.
"""
from __future__ import annotations

from collections.abc import Callable

import pytest

from .support.extension_tests import Candidate, candidates
from .support.host import FAMILIES, Host
from .support.save_text import HOOKS, is_empty, renamed, rules, sections
from .support.truth import accepted_batches, by_table, restore_text, saved_alone

AT_LEAST = 1200  # rules a family; fewer means that the corpus or the kernel is not what this test is about


def declared(batch: list[Candidate]) -> dict[str, dict[str, list[str]]]:
    """Write a batch as the module's `tables`."""
    tables: dict[str, dict[str, list[str]]] = {}
    for table, members in by_table(batch).items():
        for candidate in members:
            tables.setdefault(table, {}).setdefault(candidate.chain, []).append(candidate.rule)
    return tables


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def known() -> dict[tuple[str, str], list[list[Candidate]]]:
    """What iptables-restore alone accepts, by backend and family: asked once."""
    return {}


@pytest.fixture
def accepted(
    host: Host, family: str, known: dict[tuple[str, str], list[list[Candidate]]]
) -> list[list[Candidate]]:
    """The corpus in batches that load together."""
    key = (host.backend, family)
    if key not in known:
        known[key] = accepted_batches(host, family, candidates(family))
    assert sum(map(len, known[key])) >= AT_LEAST
    return known[key]


def owned(text: str, table: str) -> dict[str, list[str]]:
    """Return the rules of the ruleset's own chain for each hook of a table."""
    return {hook: rules(text, table, f"palisade-{hook}") for hook in HOOKS}


def test_every_accepted_rule_lives_in_chains_of_our_own_and_stays(
    host: Host, new_host: Callable[[], Host], family: str, accepted: list[list[Candidate]]
) -> None:
    for batch in accepted:
        alone = saved_alone(host, family, restore_text(batch))
        target, options = new_host(), {"tables": declared(batch), "families": [family]}
        assert target.apply(**options).changed
        live = target.save(family)
        for table in by_table(batch):
            wanted = {hook: [renamed(rule, "palisade", set()) for rule in rules(alone, table, hook)] for hook in HOOKS}
            assert owned(live, table) == wanted
        again = target.apply(**options)
        assert not again.changed, again.plan
        assert target.save(family) == live


def test_every_accepted_rule_lives_in_whole_tables_and_stays(
    host: Host, new_host: Callable[[], Host], family: str, accepted: list[list[Candidate]]
) -> None:
    for batch in accepted:
        alone = saved_alone(host, family, restore_text(batch))
        target, options = new_host(), {"tables": declared(batch), "families": [family], "scope": "tables"}
        assert target.apply(**options).changed
        live = sections(target.save(family))
        assert {table: lines for table, lines in live.items() if not is_empty(lines)} == sections(alone)
        again = target.apply(**options)
        assert not again.changed, again.plan
        assert sections(target.save(family)) == live
