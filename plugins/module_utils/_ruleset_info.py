# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live rules as plain data, each with its counters and with its owner as far as names tell. Reads and changes nothing."""
from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declared_families
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._known import PROGRAMS, owner_of_chain, owner_of_rule
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import jump_among
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Chain, Table, Tables

#: How owner_of_rule names a ruleset of this collection.
_RULESET = 'palisade ruleset %s'
#: All that tells a program by the rule itself. Of 50,000 rules most match nothing of it, and need not be held against each program.
_SIGNS = re.compile('|'.join([program.rules for program in PROGRAMS if program.rules is not None]))

Entry = Dict[str, Any]


class Question(NamedTuple):
    """What was asked for, as the module's options name it. No tables or chains means all of them."""

    name: str
    families: Sequence[str]
    tables: Optional[Sequence[str]] = None
    chains: Optional[Sequence[str]] = None


def ruleset_info(question: Question, host: Host) -> Dict[str, Any]:
    """Read a host and return the module's result. Raises PalisadeError as the engine does: what cannot be shown whole is not shown."""
    ownership = Ownership(question.name, 'chains')
    chains: List[Entry] = []
    rules: List[Entry] = []
    warnings: List[str] = []
    for family in declared_families(question.families):
        if not host.has_family(family):
            warnings.append('%s is skipped: the kernel of this host does not have it' % family)
            continue
        found = family_info(family, host.live(family), ownership, question)
        chains.extend(found[0])
        rules.extend(found[1])
    return {'backend': host.backend, 'chains': chains, 'rules': rules, 'warnings': warnings}


def family_info(family: str, live: Tables, ownership: Ownership, question: Question) -> Tuple[List[Entry], List[Entry]]:
    """The chains and the rules of one family, both in the order of the tables, the chains in them, and the rules in those."""
    chains: List[Entry] = []
    rules: List[Entry] = []
    others = other_rulesets(live, ownership)
    for table in sorted(live, key=(*BUILTIN_CHAINS, *live).index):
        if question.tables and table not in question.tables:
            continue
        owners = Owners(ownership, others, live[table])
        for chain, data in live[table].items():
            if not question.chains or chain in question.chains:
                place = {'family': family, 'table': table, 'chain': chain}
                chains.append({**place, **_of_policy(data), 'owner': owners.of_chain(chain), 'rule_count': len(data.rules)})
                rules.extend(_rules(place, data, owners.of_rules(chain)))
    return chains, rules


def _of_policy(data: Chain) -> Entry:
    """A policy and what came as far as it. User chains have none, and what iptables-save prints there is always zero."""
    if data.policy is None:
        return {'policy': None, 'packets': None, 'bytes': None}
    packets, octets = _counted(data.packets)
    return {'policy': data.policy, 'packets': packets, 'bytes': octets}


def _rules(place: Entry, data: Chain, owners: Iterator[Optional[str]]) -> Iterator[Entry]:
    for index, (rule, counter, owner) in enumerate(zip(data.rules, data.counters, owners)):
        packets, octets = _counted(counter)
        yield {**place, 'number': index + 1, 'rule': rule, 'packets': packets, 'bytes': octets, 'owner': owner}


def _counted(counter: str) -> Tuple[int, int]:
    packets, _colon, octets = counter[1:-1].partition(':')
    return int(packets), int(octets)


class Owners:
    """Tells whose the chains and rules of one table are: the ruleset's name, a known program's, or None where no name tells."""

    def __init__(self, ownership: Ownership, others: Sequence[str], table: Table) -> None:
        self._ownership = ownership
        self._others = others
        self._table = table
        self._chains = {chain: self._owner_by_name(chain) for chain, data in table.items() if data.policy is None}
        self._telling = {chain for chain, owner in self._chains.items() if owner is not None}

    def of_chain(self, chain: str) -> Optional[str]:
        """Whose a chain is. Built-in chains are nobody's."""
        return self._chains.get(chain)

    def _owner_by_name(self, chain: str) -> Optional[str]:
        if self._ownership.owns_chain('', chain):
            return self._ownership.name
        for name in self._others:
            if chain.startswith((name + '-', name + '~')):
                return _RULESET % name
        return owner_of_chain(chain)

    def of_rules(self, chain: str) -> Iterator[Optional[str]]:
        """Whose each rule of a chain is: the chain's owner's, else the one's that the rule itself tells."""
        owner = self.of_chain(chain)
        for rule in self._table[chain].rules:
            yield owner or self._of_rule(chain, rule)

    def _of_rule(self, chain: str, rule: str) -> Optional[str]:
        if jump_among(rule, self._telling) is None and not _SIGNS.search(rule):
            return None
        if chain not in self._chains and self._ownership.is_jump(chain, rule):
            return self._ownership.name
        owner = owner_of_rule(rule)
        # Our own jump's text in a place where no run of ours puts it is somebody's copy.
        return owner if owner != _RULESET % self._ownership.name else None


def other_rulesets(live: Tables, ownership: Ownership) -> List[str]:
    """The names of other rulesets of this collection, by the jumps that lead from a hook to their chains."""
    names: List[str] = []
    for hook, data in [item for table in live.values() for item in table.items() if item[1].policy is not None]:
        end = '-' + hook
        for rule in data.rules:
            if rule.endswith(end):
                name = rule.rpartition(' ')[2][:-len(end)]
                if name not in (*names, ownership.name) and owner_of_rule(rule) == _RULESET % name:
                    names.append(name)
    return names
