# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the random kills of docs/testing.md, beside the role's own ruleset: as many as fit the time."""

from __future__ import annotations

import shutil

from devkit import kills, vm

from .declared import State, state

SEED = "sample 1021"
"""Its first kills: the module while it applies, and then the rollback; the script that confirms."""
KILLS = 4
SECONDS = 60
"""After which no other kill begins, once one has hit."""


def test_whatever_is_killed_all_tables_are_of_one_generation_and_the_next_boot_loads_it(machine: vm.Machine, before: State) -> None:
    ansible = shutil.which("ansible")
    assert ansible is not None
    with kills.Subject(machine, ansible).prepared() as subject:
        tally = kills.campaign(subject, f"{SEED} {machine.release}", KILLS, seconds=SECONDS)
    assert not tally.failures, "\n".join(tally.failures)
    assert tally.hits, tally
    assert state(machine).rules == before.rules
