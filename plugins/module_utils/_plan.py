# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From live tables to wanted ones: the operations, as data, and the one iptables-restore text that carries them out. Pure."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._edits import Edits, edit_script, edits_around
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Jump, Ownership, TableGoal
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import jump_among
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Chain, Table, Tables, append_line

#: Edits walk the chain on nft: above this product of operations and rules, one rewrite of the chain is faster (measured).
REBUILD_ABOVE = 2_000_000
#: The same where restore takes no counters (ip6tables-nft-restore 1.8.9 leaves them out): there edits may cost seconds, to keep them.
REBUILD_ABOVE_WITHOUT_COUNTERS = 50_000_000


class Operation(NamedTuple):
    """One step. `action`: insert, append, delete, policy, create_chain, flush_chain, delete_chain; `position` counts from 1.

    `rule` is the rule's text, or the policy. Positions of deletes count in the chain as it was, of inserts as it will be.
    """

    family: str
    table: str
    chain: str
    action: str
    position: Optional[int] = None
    rule: Optional[str] = None

    def as_dict(self) -> Dict[str, Any]:
        """The operation as the module returns it: without what it does not have."""
        return {key: value for key, value in self._asdict().items() if value is not None}


class ChainChange(NamedTuple):
    """What happens to one chain, kept for the diff. `old` is None for a chain that is new, `new` for one that goes."""

    chain: str
    old: Optional[Sequence[str]]
    new: Optional[Sequence[str]]
    edits: Edits
    policies: Tuple[Optional[str], Optional[str]] = (None, None)


class TablePlan(NamedTuple):
    """All that happens to one table. Nothing, if there are no operations."""

    table: str
    operations: List[Operation]
    lines: List[str]
    changes: List[ChainChange]


class FamilyPlan(NamedTuple):
    """All that happens to one family: one restore, one COMMIT per table."""

    family: str
    tables: List[TablePlan]

    @property
    def operations(self) -> List[Operation]:
        """The operations of all tables, in order."""
        return [operation for table in self.tables for operation in table.operations]

    @property
    def text(self) -> str:
        """What `iptables-restore --noflush --counters` is to read; empty if there is nothing to do."""
        return ''.join(['*%s\n%s\nCOMMIT\n' % (plan.table, '\n'.join(plan.lines)) for plan in self.tables if plan.operations])


def make_plan(family: str, live: Tables, goals: Mapping[str, TableGoal], ownership: Ownership, rebuild_above: int = REBUILD_ABOVE) -> FamilyPlan:
    """The shortest way from `live` to `goals`. A plan without operations says that live is as wanted.

    A chain is written anew where operations times rules are more than `rebuild_above`.

    Raises PalisadeError if a rule of somebody else jumps to a chain of ours that would go.
    """
    return FamilyPlan(family, [_Planner(family, table, live.get(table, {}), goals[table], ownership, rebuild_above).plan()
                               for table in BUILTIN_CHAINS if table in goals])


def _counting_on(edits: Edits, live: Sequence[str], wanted: Sequence[str]) -> Edits:
    """Of equal rules that changed places, only those stay whose counters have not started anew; the others come back with theirs."""
    kept = [pair for pair in edits.kept if _packets(live[pair[0]]) >= _packets(wanted[pair[1]])]
    return edits_around(kept, len(live), len(wanted))


def _packets(counter: str) -> int:
    return int(counter[1:].partition(':')[0] or 0)


def lost_counters(plan: FamilyPlan, before: Tables, after: Tables) -> List[Tuple[str, str]]:
    """Chains, as (table, chain), in which a rule that stayed has counted before and stands at zero after the plan was carried out."""
    lost = []
    for table in plan.tables:
        for change in table.changes:
            old, new = before.get(table.table, {}).get(change.chain), after.get(table.table, {}).get(change.chain)
            if old is None or new is None or len(new.counters) != len(change.new or ()):
                continue
            if any(new.counters[after_index] == '[0:0]' != old.counters[before_index] for before_index, after_index in change.edits.kept):
                lost.append((table.table, change.chain))
    return lost


class _Planner:
    """Plans one table. Lines come in the order that restore needs: chains, rules, policies, jumps, then what goes."""

    def __init__(self, family: str, table: str, live: Table, goal: TableGoal, ownership: Ownership, rebuild_above: int) -> None:
        self.rebuild_above = rebuild_above
        self.family = family
        self.table = table
        self.live = live
        self.goal = goal
        self.ownership = ownership
        self.operations: List[Operation] = []
        self.lines: List[str] = []
        self.changes: List[ChainChange] = []
        self.policies: Dict[str, Tuple[Optional[str], Optional[str]]] = {}

    def plan(self) -> TablePlan:
        stale = self._stale_chains()
        self._create_chains()
        self._set_policies()
        for chain, rules in self.goal.chains.items():
            self._edit_chain(chain, rules)
        for hook, jump in self.goal.jumps.items():
            self._place_jump(hook, jump)
        self._delete_chains(stale)
        return TablePlan(self.table, self.operations, self.lines, self.changes)

    def _add(self, chain: str, action: str, position: Optional[int] = None, rule: Optional[str] = None) -> None:
        self.operations.append(Operation(self.family, self.table, chain, action, position, rule))

    def _stale_chains(self) -> List[str]:
        hooks = BUILTIN_CHAINS[self.table]
        stale = [chain for chain in self.live
                 if chain not in hooks and chain not in self.goal.chains and self.ownership.owns_chain(self.table, chain)]
        if stale:
            self._check_references(frozenset(stale))
        return stale

    def _check_references(self, stale: frozenset) -> None:
        for chain, data in self.live.items():
            if self.ownership.owns_chain(self.table, chain):
                continue
            for number, rule in enumerate(data.rules, 1):
                ours = chain in BUILTIN_CHAINS[self.table] and self.ownership.is_jump(chain, rule)
                if jump_among(rule, stale) and not ours:
                    raise PalisadeError(
                        '%s, table %s: chain %s is no longer declared, but rule %d of %s, which is not ours, still leads there: -A %s %s' % (
                            self.family, self.table, jump_among(rule, stale), number, chain, chain, rule))

    def _create_chains(self) -> None:
        for chain in self.goal.chains:
            if chain not in self.live and chain not in BUILTIN_CHAINS[self.table]:
                self.lines.append(':%s - [0:0]' % chain)
                self._add(chain, 'create_chain')

    def _set_policies(self) -> None:
        for hook, policy in self.goal.policies.items():
            chain = self.live.get(hook, Chain('ACCEPT'))
            if chain.policy != policy:
                self.lines.append(':%s %s %s' % (hook, policy, chain.packets))
                self.policies[hook] = (chain.policy, policy)
                self._add(hook, 'policy', None, policy)

    def _edit_chain(self, chain: str, rules: Sequence[str]) -> None:
        live = self.live.get(chain)
        old = live.rules if live else []
        policies = self.policies.get(chain, (None, None))
        created = live is None and chain not in BUILTIN_CHAINS[self.table]
        if old == rules:
            if created or policies[1]:
                self.changes.append(ChainChange(chain, None if created else old, rules, edit_script(old, rules), policies))
            return
        edits = edit_script(old, rules)
        counters = self.goal.counters.get(chain)
        if counters and live:
            edits = _counting_on(edits, live.counters, counters)
        self.changes.append(ChainChange(chain, None if created else old, rules, edits, policies))
        self._list_edits(chain, old, rules, edits)
        if edits.cost * max(len(old), len(rules)) > self.rebuild_above and old:
            self._rebuild(chain, rules, edits, counters)
        else:
            self._edit(chain, len(old), rules, edits, counters)

    def _list_edits(self, chain: str, old: Sequence[str], rules: Sequence[str], edits: Edits) -> None:
        if old and not rules:
            self._add(chain, 'flush_chain')
            return
        for index in reversed(edits.deletes):
            self._add(chain, 'delete', index + 1, old[index])
        length = len(edits.kept)
        for index in edits.inserts:
            self._add(chain, 'append' if index == length else 'insert', index + 1, rules[index])
            length += 1

    def _edit(self, chain: str, length: int, rules: Sequence[str], edits: Edits, counters: Optional[Sequence[str]]) -> None:
        if not rules:
            self.lines.append('-F %s' % chain)
            return
        self.lines.extend(['-D %s %d' % (chain, index + 1) for index in reversed(edits.deletes)])
        length -= len(edits.deletes)
        for index in edits.inserts:
            counter = counters[index] if counters else ''
            if index == length:
                self.lines.append(append_line(chain, rules[index], counter))
            else:
                line = ('-I %s %d %s' % (chain, index + 1, rules[index])).rstrip(' ')
                self.lines.append('%s %s' % (counter, line) if counter else line)
            length += 1

    def _rebuild(self, chain: str, rules: Sequence[str], edits: Edits, counters: Optional[Sequence[str]]) -> None:
        """Write the chain anew; rules that stay keep their counters."""
        kept = list(counters) if counters else [''] * len(rules)
        for old, new in edits.kept:
            kept[new] = self.live[chain].counters[old]
        self.lines.append('-F %s' % chain)
        self.lines.extend([append_line(chain, rule, counter) for rule, counter in zip(rules, kept)])

    def _place_jump(self, hook: str, jump: Optional[Jump]) -> None:
        """Jumps stand among other people's rules, whose numbers may move any moment: they are removed by text, never by number."""
        chain = self.live.get(hook)
        old = chain.rules if chain else []
        places = [index for index, rule in enumerate(old) if self.ownership.is_jump(hook, rule)]
        policies = self.policies.get(hook, (None, None))
        if (jump is not None and [old[index] for index in places] == [jump.rule]) or (jump is None and not places):
            if policies[1]:
                self.changes.append(ChainChange(hook, old, old, edit_script(old, old), policies))
            return
        new = [rule for index, rule in enumerate(old) if index not in places]
        self.lines.extend(['-D %s %s' % (hook, old[index]) for index in places])
        for index in reversed(places):
            self._add(hook, 'delete', index + 1, old[index])
        if jump is not None:
            index = places[0] if places else len(new) if jump.place is None else min(jump.place, len(new))
            counter = jump.counter or (chain.counters[places[0]] if chain and places else '')
            self._insert_jump(hook, jump.rule, index, len(new), counter)
            new.insert(index, jump.rule)
        self.changes.append(ChainChange(hook, old, new, edit_script(old, new), policies))

    def _insert_jump(self, hook: str, rule: str, index: int, length: int, counter: str) -> None:
        line = append_line(hook, rule) if index >= length else '-I %s %d %s' % (hook, index + 1, rule)
        self.lines.append('%s %s' % (counter, line) if counter else line)
        self._add(hook, 'append' if index >= length else 'insert', index + 1, rule)

    def _delete_chains(self, stale: Sequence[str]) -> None:
        self.lines.extend(['-F %s' % chain for chain in stale])
        self.lines.extend(['-X %s' % chain for chain in stale])
        for chain in stale:
            self._add(chain, 'delete_chain')
            self.changes.append(ChainChange(chain, self.live[chain].rules, None, edit_script(self.live[chain].rules, [])))
