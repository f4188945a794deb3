# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the live tables shall look like where they are ours: own chains, the jumps that lead there, policies. Pure, no host."""
from __future__ import annotations

import re
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import LONGEST_NAME, DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._known import RESERVED_NAMES, owner_of_chain, owner_of_rule
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import jump_among, saved_target
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Chain, Table, Tables

#: nftables refuses a ruleset with more nested jumps than this (NFT_JUMP_STACK_SIZE in the kernel's nf_tables.h).
DEEPEST_JUMPS = 16

_RULESET_NAME = re.compile(r'[a-z][a-z0-9_]{0,11}\Z')

#: table → declared chain → rules in iptables-save's spelling, with jumps to the live names of chains.
Canonical = Dict[str, Dict[str, List[str]]]


class Jump(NamedTuple):
    """The jump that a hook shall hold, and what it had counted. `place` (from 0) is where it goes if it is missing; None is the end."""

    rule: str
    place: Optional[int]
    counter: str = ''


class TableGoal:
    """One table's wanted state. `chains` hold exactly these rules, every other chain of ours goes; a jump of None goes too."""

    __slots__ = ('chains', 'counters', 'jumps', 'policies')

    def __init__(self) -> None:
        self.chains: Dict[str, List[str]] = {}
        self.counters: Dict[str, List[str]] = {}
        self.jumps: Dict[str, Optional[Jump]] = {}
        self.policies: Dict[str, str] = {}


class Ownership:
    """Decides by names alone which chains and jumps belong to a ruleset. No state file has a say in it."""

    def __init__(self, name: str, scope: str) -> None:
        if not _RULESET_NAME.match(name):
            raise PalisadeError(
                'name: %s: a ruleset is named by a lower-case letter and up to 11 more of a-z, 0-9 and _' % ascii(name))
        if name in RESERVED_NAMES:
            raise PalisadeError('name: %s is the prefix of another program, whose chains would be taken for ours' % name)
        self.name = name
        self.scope = scope
        self._prefixes = (name + '-', name + '~')
        self._jump = re.compile(r'(?:-m comment --comment "?%s(?:: policy was (ACCEPT|DROP))?"? )?-j %s-([A-Z]+)\Z' % (name, name))

    def chain_name(self, chain: str) -> str:
        """The live name of a declared chain."""
        return chain if self.scope == 'tables' else '%s-%s' % (self.name, chain)

    def scratch_name(self, index: int) -> str:
        """The name of a chain that lives only while something is tried out. Such a chain found later was left by a killed run."""
        return '%s~%d' % (self.name, index)

    def owns_chain(self, table: str, chain: str) -> bool:
        """Whether a live chain is ours to change or remove (built-in chains are, in scope tables)."""
        if self.scope == 'tables':
            return True
        return chain.startswith(self._prefixes)

    def is_scratch(self, chain: str) -> bool:
        """Whether a chain is a left-over of a killed run."""
        return chain.startswith(self.name + '~')

    def is_jump(self, hook: str, rule: str) -> bool:
        """Whether a rule of a hook is the jump that a run of ours put there."""
        found = self._jump.match(rule)
        return found is not None and found.group(2) == hook

    def policy_found(self, rule: str) -> Optional[str]:
        """The policy that a jump's comment says was there before us."""
        found = self._jump.match(rule)
        return found.group(1) if found else None

    def jump_rule(self, hook: str, policy_found: Optional[str]) -> str:
        """The jump's text, in iptables-save's spelling."""
        comment = '"%s: policy was %s"' % (self.name, policy_found) if policy_found else self.name
        return '-m comment --comment %s -j %s-%s' % (comment, self.name, hook)

    def check_names(self, table: str, chains: Sequence[str]) -> None:
        """Raise PalisadeError for a chain whose name is too long once it carries the ruleset's name."""
        for chain in chains:
            live = self.chain_name(chain)
            if len(live) > LONGEST_NAME:
                raise PalisadeError('table %s, chain %s: stored as %s it has %d characters, iptables allows %d: %d are left for the name' % (
                    table, chain, live, len(live), LONGEST_NAME, LONGEST_NAME - len(self.name) - 1))


def hook_in_use(hook: str, chain: Optional[Chain], ownership: Ownership) -> bool:
    """Whether somebody else has rules in a hook."""
    return chain is not None and any(not ownership.is_jump(hook, rule) for rule in chain.rules)


def table_goal(table: str, declared: Mapping[str, DeclaredChain], canonical: Mapping[str, List[str]], live: Table,
               ownership: Ownership) -> TableGoal:
    """The wanted state of one table. `declared` is empty for a table in which nothing of ours shall remain."""
    goal = TableGoal()
    if ownership.scope == 'tables':
        goal.chains = {chain: [] for chain in BUILTIN_CHAINS[table]}
        goal.chains.update({chain: canonical.get(chain, []) for chain in declared})
        goal.policies = {chain: data.policy for chain, data in declared.items() if data.policy}
        return goal
    ownership.check_names(table, list(declared))
    for chain in declared:
        goal.chains[ownership.chain_name(chain)] = canonical.get(chain, [])
    for hook in BUILTIN_CHAINS[table]:
        _hook_goal(goal, table, hook, declared.get(hook), live, ownership)
    return goal


def _hook_goal(goal: TableGoal, table: str, hook: str, declared: Optional[DeclaredChain], live: Table, ownership: Ownership) -> None:
    chain = live.get(hook)
    jumps = [rule for rule in chain.rules if ownership.is_jump(hook, rule)] if chain else []
    found = ownership.policy_found(jumps[0]) if jumps else None
    policy = chain.policy or 'ACCEPT' if chain else 'ACCEPT'
    if declared is None or declared.policy is None:
        if found is not None and policy != found:
            goal.policies[hook] = found
        goal.jumps[hook] = None if declared is None else Jump(ownership.jump_rule(hook, None), _place(table))
        return
    goal.policies[hook] = declared.policy
    if found is None:
        # A hook chain of ours without its jump: somebody flushed the hook, and the policy standing there is our own.
        flushed = not jumps and ownership.chain_name(hook) in live
        before = 'ACCEPT' if flushed else policy
        found = before if before != declared.policy else None
    goal.jumps[hook] = Jump(ownership.jump_rule(hook, found), _place(table))


def _place(table: str) -> Optional[int]:
    """In nat the jump goes first, elsewhere last: a ban or a VPN's rule must meet the packet before us."""
    return 0 if table == 'nat' else None


def snapshot_goal(table: str, before: Table, goal: TableGoal, ownership: Ownership) -> TableGoal:
    """The goal that puts back, with its counters, what a table held of ours (and the policies that `goal` touches)."""
    back = TableGoal()
    for chain, data in before.items():
        if ownership.owns_chain(table, chain):
            back.chains[chain] = data.rules
            back.counters[chain] = data.counters
    if ownership.scope == 'tables':
        for hook in BUILTIN_CHAINS[table]:
            back.chains.setdefault(hook, [])
    for hook in goal.policies:
        back.policies[hook] = before[hook].policy or 'ACCEPT' if hook in before else 'ACCEPT'
    for hook in goal.jumps:
        places = [(index, rule) for index, rule in enumerate(before[hook].rules) if ownership.is_jump(hook, rule)] if hook in before else []
        back.jumps[hook] = Jump(places[0][1], places[0][0], before[hook].counters[places[0][0]]) if places else None
    return back


def check_jumps(family: str, goals: Mapping[str, TableGoal], deepest: Optional[int] = None) -> None:
    """Raise PalisadeError for jumps in a circle, or nested as deep as `deepest` with the one into our own chain.

    A rehearsal in a namespace finds the first, but a scratch chain is in no hook, and there nobody looks.
    """
    for table, goal in goals.items():
        depths: Dict[str, int] = {}
        targets = {hook: saved_target(jump.rule) for hook, jump in goal.jumps.items() if jump is not None}
        for hook, target in targets.items():
            if target is None or target not in goal.chains:
                continue
            where = '%s, table %s, chain %s' % (family, table, hook)
            depth = 1 + _depth(target, goal.chains, depths, where)
            if deepest is not None and depth >= deepest:
                raise PalisadeError('%s: its jumps nest %d deep with the one that leads to %s; nftables allows %d' % (
                    where, depth, target, deepest - 1))


def _targets(chain: str, chains: Mapping[str, Sequence[str]]) -> List[str]:
    """The chains that a chain's rules jump to, each once, in order."""
    return list(dict.fromkeys([target for target in [jump_among(rule, chains) for rule in chains[chain]] if target is not None]))


def _depth(start: str, chains: Mapping[str, Sequence[str]], depths: Dict[str, int], where: str) -> int:
    """The longest path of jumps from a chain. Every rule is looked at once; iterative, since chains may be many."""
    path = {start: iter(_targets(start, chains))}
    longest = {start: 0}
    while path:
        chain = next(reversed(path))
        target = next(path[chain], None)
        if target is None:
            depths[chain] = longest[chain]
            del path[chain]
            if path:
                caller = next(reversed(path))
                longest[caller] = max(longest[caller], depths[chain] + 1)
        elif target in path:
            circle = list(path)[list(path).index(target):] + [target]
            raise PalisadeError('%s: the jumps of chain %s lead back to it: %s' % (where, target, ' -> '.join(circle)))
        elif target in depths:
            longest[chain] = max(longest[chain], depths[target] + 1)
        else:
            path[target] = iter(_targets(target, chains))
            longest[target] = 0
    return depths[start]


def other_programs_chains(live: Tables, goals: Mapping[str, TableGoal], where: Callable[[str, str], str]) -> List[str]:
    """In scope tables: the chains of known programs that would go, as text."""
    return [
        '%s (%s)' % (where(table, chain), owner_of_chain(chain))
        for table, goal in goals.items() for chain in live.get(table, ())
        if chain not in goal.chains and owner_of_chain(chain)
    ]


def unexplained_rules(live: Tables, goals: Mapping[str, TableGoal], ownership: Ownership) -> List[str]:
    """Foreign rules in hooks that we use which no known program explains, as `table: -A HOOK rule`."""
    return [
        '%s: -A %s %s' % (table, hook, rule)
        for table, goal in goals.items() for hook, jump in goal.jumps.items() if jump is not None and hook in live.get(table, {})
        for rule in live[table][hook].rules
        if not ownership.is_jump(hook, rule) and owner_of_rule(rule) is None
    ]


def unreached_chains(table: str, declared: Iterable[str], live: Table, goal: TableGoal, ownership: Ownership) -> List[str]:
    """Declared chains that no rule leads to, ours or another's: a hook's name with a slip in it becomes one."""
    names = {ownership.chain_name(chain): chain for chain in declared if chain not in BUILTIN_CHAINS[table]}
    for rules in goal.chains.values():
        for rule in rules if names else ():
            names.pop(jump_among(rule, names) or '', None)
    for chain, data in live.items() if names else ():
        for rule in data.rules if not ownership.owns_chain(table, chain) else ():
            names.pop(jump_among(rule, names) or '', None)
    return ['%s %s' % (table, chain) for chain in names.values()]


def unreachable_rules(live: Tables, goals: Mapping[str, TableGoal], ownership: Ownership) -> List[str]:
    """Rules that others appended behind our jump where our chain ends in a drop or reject of everything."""
    found = []
    for table, goal in goals.items():
        for hook, jump in goal.jumps.items():
            rules = goal.chains.get(ownership.chain_name(hook)) if jump is not None else None
            if not rules or not re.match(r'(?:-m comment --comment (?:"[^"]*"|\S+) )?-j (?:DROP|REJECT)\b', rules[-1]):
                continue
            after = False
            for rule in live.get(table, {})[hook].rules if hook in live.get(table, {}) else ():
                if after:
                    found.append('%s: -A %s %s' % (table, hook, rule))
                after = after or ownership.is_jump(hook, rule)
    return found
