# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The predicted live state: one family's tables with a plan carried out, everybody else's rules included. Pure, changes nothing."""
from __future__ import annotations

from typing import List, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._plan import ChainChange, FamilyPlan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Chain, Table, Tables


def predicted(live: Tables, plan: FamilyPlan) -> Tables:
    """The tables as they will be behind the plan. Chains that it leaves alone are those of `live`; the others have no counters."""
    tables = dict(live)
    for changed in plan.tables:
        if changed.operations:
            tables[changed.table] = _table(changed.table, live.get(changed.table, {}), changed.changes)
    return tables


def _table(name: str, live: Table, changes: Sequence[ChainChange]) -> Table:
    # A table that was not there comes with all its hooks.
    table: Table = {hook: Chain('ACCEPT') for hook in BUILTIN_CHAINS[name] if hook not in live}
    table.update(live)
    for change in changes:
        if change.new is None:
            del table[change.chain]
            continue
        before = table.get(change.chain)
        table[change.chain] = _chain(change.policies[1] or (before.policy if before else None), list(change.new))
    return table


def _chain(policy: Optional[str], rules: List[str]) -> Chain:
    chain = Chain(policy)
    chain.rules = rules
    chain.counters = [''] * len(rules)
    return chain
