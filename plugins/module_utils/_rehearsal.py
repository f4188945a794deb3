# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a rehearsal and what its outcome says: which rule failed, and how the kernel spells the rest. Pure, runs nothing."""
from __future__ import annotations

import re
from typing import Callable, Container, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import Declared, DeclaredChain, DeclaredRule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Canonical
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import (
    join,
    option_values,
    plain_quotes,
    retarget,
    retarget_any,
    retarget_written,
    tokenise,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Tables

#: Targets whose names are global to the kernel: rehearsing one would touch the live object. Option → number of values.
GLOBAL_TARGETS: Mapping[str, Mapping[str, int]] = {
    'IDLETIMER': {'--timeout': 1, '--label': 1, '--alarm': 0},
    'LED': {'--led-trigger-id': 1, '--led-delay': 1, '--led-always-blink': 0},
}
_STAND_IN = re.compile(r'(\A| )-m comment --comment "?palisade-text-(\d+)"?\Z')
_ADDRESS_OPTIONS = frozenset(('-s', '--source', '--src', '-d', '--destination', '--dst'))
#: A value that is no address: it has a letter beyond hexadecimal ones, or a letter and no colon.
_NAME = re.compile(r'(?=[^:]*[A-Za-z])[A-Za-z0-9_.-]+\Z')
_HOST_NAME = re.compile(r'(?:-[sd]|--(?:source|src|destination|dst))[ =] *(?:! *)?"?[0-9.,/-]*[A-Za-z][A-Za-z0-9_.-]*(?![A-Za-z0-9_.:-])')
_OUT = {'-o': 1, '--out-interface': 1}
_IN = {'-i': 1, '--in-interface': 1}
_CT_TIMEOUT = re.compile(r'-j CT (?:.* )?--timeout "?([^" ]+)')
_LINE = re.compile(r'line:? (\d+)')
_OWN_LINE = re.compile(r'line \d+: ')
_NOISE = re.compile(r'Try `|Error occurred at line|# ')
_SPEAKER = re.compile(r'(ip6?tables[a-z-]*)(?: v[\d.]+ \([a-z_]+\))?: ?')
_COMMIT_FAILED = re.compile(r'line \d+ failed\Z')


class Place(NamedTuple):
    """Where a line of the rehearsal's text comes from."""

    table: str
    chain: str
    rule: DeclaredRule


class Rehearsal:
    """One family's declaration as iptables-restore text. `names` (table → chain → name) renames chains and jumps, for a scratch.

    `foreign` are chains of others that rules jump to, declared empty; `limit` takes only that many rules, to find a bad one.
    """

    def __init__(self, declared: Declared, *, foreign: Mapping[str, FrozenSet[str]], names: Optional[Mapping[str, Mapping[str, str]]] = None,
                 limit: Optional[int] = None) -> None:
        self.declared = declared
        self.names = names
        self.stand_ins: List[str] = []
        self._lines: List[str] = []
        self._starts: List[Tuple[int, str, str]] = []
        left = rule_count(declared) if limit is None else limit
        for table, chains in declared.tables.items():
            renamed = names[table] if names is not None else {}
            self._lines.append('*%s' % table)
            for chain in list(chains) + sorted(foreign.get(table, frozenset()) - set(chains)):
                builtin = names is None and chain in BUILTIN_CHAINS[table]
                self._lines.append(':%s %s [0:0]' % (renamed.get(chain, chain), 'ACCEPT' if builtin else '-'))
            for chain, data in chains.items():
                self._starts.append((len(self._lines) + 1, table, chain))
                name = renamed.get(chain, chain)
                self._lines.extend(['-A %s %s' % (name, self._written(rule.text, renamed)) for rule in data.rules[:left]])
                left -= min(left, len(data.rules))
            self._lines.append('COMMIT')

    @property
    def text(self) -> str:
        """What iptables-restore is to read."""
        return '\n'.join(self._lines) + '\n' if self._lines else ''

    def _written(self, text: str, renamed: Mapping[str, str]) -> str:
        if renamed:
            text = retarget_written(text, renamed)
        return self._stand_in(text) if names_global_target(text) else text

    def _stand_in(self, text: str) -> str:
        """Take a global-name target out of a rule, leaving a comment in its place that finds it again."""
        tokens = tokenise(text)
        kept, target = split_global_target(tokens)
        if target is None:
            return text
        self.stand_ins.append(target)
        return join(kept + ['-m', 'comment', '--comment', 'palisade-text-%d' % (len(self.stand_ins) - 1)])

    def place(self, line: int) -> Optional[Place]:
        """The rule that a line of the text holds; None for a line that is no rule."""
        for start, table, chain in reversed(self._starts):
            if line >= start:
                rules = self.declared.tables[table][chain].rules
                return Place(table, chain, rules[line - start]) if line - start < len(rules) else None
        return None

    def canonical(self, saved: Tables, live_names: Mapping[str, Mapping[str, str]]) -> Canonical:
        """The declared rules as the kernel spells them, with jumps renamed to `live_names` (table → declared chain → live name).

        Raises ShortCountError if fewer rules arrived than were given.
        """
        result: Canonical = {}
        for table, chains in self.declared.tables.items():
            scratch = self.names[table] if self.names is not None else {}
            renamed = _renamed_jumps(table, live_names[table], scratch)
            result[table] = {}
            for chain, data in chains.items():
                found = saved.get(table, {}).get(scratch.get(chain, chain))
                rules = found.rules if found is not None else []
                if len(rules) < len(data.rules):
                    raise ShortCountError(table, chain)
                if renamed:
                    rules = [retarget(rule, renamed) for rule in rules]
                result[table][chain] = [self._real(rule) for rule in rules] if self.stand_ins else rules
        return result

    def _real(self, rule: str) -> str:
        found = _STAND_IN.search(rule)
        return rule[:found.start()] + found.group(1) + self.stand_ins[int(found.group(2))] if found else rule


class ShortCountError(PalisadeError):
    """iptables-restore said yes, and fewer rules are there than were given."""

    def __init__(self, table: str, chain: str) -> None:
        super().__init__('iptables took the rule without an error and did not load it (table %s, chain %s)' % (table, chain))


def rule_count(declared: Declared) -> int:
    """How many rules a family's declaration has."""
    return sum(len(chain.rules) for chains in declared.tables.values() for chain in chains.values())


def names_global_target(text: str) -> bool:
    """Whether a rule may have such a target."""
    return 'IDLETIMER' in text or 'LED' in text


def split_global_target(tokens: List[str]) -> Tuple[List[str], Optional[str]]:
    """A rule without its IDLETIMER or LED target, and that target as text with its options in iptables-save's order."""
    for index in range(len(tokens) - 1):
        options = GLOBAL_TARGETS.get(tokens[index + 1])
        if tokens[index] not in ('-j', '--jump') or options is None:
            continue
        kept, values, rest = tokens[:index], {}, tokens[index + 2:]
        while rest:
            option = rest.pop(0)
            if option in options and len(rest) >= options[option]:
                values[option] = ' '.join(['"%s"' % rest.pop(0) if option == '--led-trigger-id' else rest.pop(0)] if options[option] else [])
            else:
                kept.append(option)
        words = ['-j', tokens[index + 1]]
        for option in options:
            if option in values:
                words += [option] + ([values[option]] if values[option] else [])
        return kept, ' '.join(words)
    return tokens, None


def as_written(declared: Declared, live: Tables, live_names: Mapping[str, Mapping[str, str]]) -> Canonical:
    """The declared rules taken by their text alone; a live rule that differs in quotes around plain words only is the same rule."""
    result: Canonical = {}
    for table, chains in declared.tables.items():
        names = live_names[table]
        jumps = _renamed_jumps(table, names, {})
        result[table] = {}
        for chain, data in chains.items():
            found = live.get(table, {}).get(names[chain])
            rules = [_plain_text(rule.text) for rule in data.rules]
            if jumps:
                rules = [retarget_any(rule, jumps) for rule in rules]
            if found is not None and found.rules == rules:
                result[table][chain] = found.rules
                continue
            spelled = {plain_quotes(rule): rule for rule in found.rules} if found else {}
            result[table][chain] = [spelled.get(plain_quotes(rule), rule) for rule in rules]
    return result


def _renamed_jumps(table: str, names: Mapping[str, str], scratch: Mapping[str, str]) -> Mapping[str, str]:
    """What a jump says now (a declared chain's name, or its scratch's) → what it shall say, where that differs. No jump leads to a hook."""
    return {scratch.get(chain, chain): name for chain, name in names.items()
            if chain not in BUILTIN_CHAINS[table] and scratch.get(chain, chain) != name}


def may_be_live(declared: Declared, live: Tables, live_names: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether every declared chain is there with as many rules as are declared: only then is it worth comparing them."""
    for table, chains in declared.tables.items():
        for chain, data in chains.items():
            found = live.get(table, {}).get(live_names[table][chain])
            if found is None or len(found.rules) != len(data.rules):
                return False
    return True


def is_live(canonical: Canonical, live: Tables, live_names: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether every declared chain holds just these rules already."""
    for table, chains in canonical.items():
        for chain, rules in chains.items():
            found = live.get(table, {}).get(live_names[table][chain])
            if (found.rules if found else None) != rules:
                return False
    return True


def _plain_text(text: str) -> str:
    if not names_global_target(text):
        return text
    kept, target = split_global_target(tokenise(text))
    return text if target is None else ' '.join(([join(kept)] if kept else []) + [target])


def words(stderr: str) -> str:
    """What iptables said, less its version, the line numbers of a text that nobody sees, and the advice to call it with -h."""
    said, speaker = [], ''
    for line in stderr.split('\n'):
        found = _SPEAKER.match(line)
        if found:
            speaker, line = found.group(1) + ': ', line[found.end():]
        line = _OWN_LINE.sub('', line).strip()
        if _COMMIT_FAILED.match(line):
            line = 'the kernel refuses the rule (on the legacy backend it gives no reason)'
        if line and not _NOISE.match(line):
            said.append(line)
    return speaker + ('; '.join(said) or 'refused without a reason')


def failed_line(stderr: str) -> Optional[int]:
    """The first line number in an error of iptables-restore; None if it names none."""
    found = _LINE.search(stderr)
    return int(found.group(1)) if found else None


def rule_of_line(option: str, family: str, place: Place) -> str:
    """Where a rule stands, for an error: option, family, table, chain, number and the rule as written."""
    line = ' (line %d)' % place.rule.line if place.rule.line else ''
    return '%s: %s, table %s, chain %s, rule %d%s: %s' % (option, family, place.table, place.chain, place.rule.number, line, place.rule.text)


def names_used(declared: Declared, options: Mapping[str, int]) -> FrozenSet[str]:
    """The values of some options (ipset names, accounting objects) in all rules of a family."""
    found = set()
    for chains in declared.tables.values():
        for data in chains.values():
            for rule in data.rules:
                if any(option in rule.text for option in options):
                    for values in option_values(tokenise(rule.text), options).values():
                        found.update(values)
    return frozenset(found)


def with_addresses(declared: Declared, addresses: Callable[[str], Sequence[str]]) -> None:
    """Put addresses in the place of host names in -s and -d, as iptables would when it loads the rule; unknown names stay."""
    for chains in declared.tables.values():
        for data in chains.values():
            for index, rule in enumerate(data.rules):
                if _HOST_NAME.search(rule.text):
                    data.rules[index] = rule._replace(text=_resolved(rule.text, addresses))


def _resolved(text: str, addresses: Callable[[str], Sequence[str]]) -> str:
    tokens = tokenise(text)
    for index, token in enumerate(tokens):
        option, equals, value = token.partition('=')
        if option not in _ADDRESS_OPTIONS:
            continue
        if not equals and index + 1 < len(tokens):
            place = index + 2 if tokens[index + 1] == '!' and index + 2 < len(tokens) else index + 1
            tokens[place] = _resolved_list(tokens[place], addresses)
        elif equals:
            tokens[index] = '%s=%s' % (option, _resolved_list(value, addresses))
    return join(tokens)


def _resolved_list(value: str, addresses: Callable[[str], Sequence[str]]) -> str:
    parts: List[str] = []
    for part in value.split(','):
        name, slash, mask = part.partition('/')
        known = addresses(name) if _NAME.match(name) else ()
        parts.extend(['%s%s%s' % (address, slash, mask) for address in known] or [part])
    return ','.join(parts)


def check_timeout_names(canonical: Canonical, written: Container[str]) -> None:
    """Refuse a conntrack timeout policy whose name iptables-save cuts (1.8.9 prints four characters): its text would name another policy."""
    for chains in canonical.values():
        for rules in chains.values():
            for rule in rules:
                found = _CT_TIMEOUT.search(rule) if '--timeout' in rule else None
                if found and found.group(1) not in written:
                    raise PalisadeError('iptables-save prints the name of the timeout policy in `%s` cut short: give that policy a name of four '
                                        'characters' % rule)


def nth_place(declared: Declared, index: int) -> Optional[Place]:
    """The rule of that index (from 0) in the order in which a rehearsal loads them."""
    for table, chains in declared.tables.items():
        for chain, data in chains.items():
            if index < len(data.rules):
                return Place(table, chain, data.rules[index])
            index -= len(data.rules)
    return None


def only_rule(declared: Declared, place: Place) -> Optional[Declared]:
    """The same chains with just the one rule in them; None if this family does not have it. Host names make its text differ by family."""
    rules = declared.tables.get(place.table, {}).get(place.chain, DeclaredChain()).rules
    same = [rule for rule in rules if (rule.number, rule.line) == (place.rule.number, place.rule.line)]
    if not same:
        return None
    single = Declared()
    for table, chains in declared.tables.items():
        for chain in chains:
            single.chain(table, chain)
    single.chain(place.table, place.chain).rules.extend(same)
    return single


def check_hooks(option: str, family: str, declared: Declared) -> None:
    """Refuse what iptables refuses by the name of a built-in chain, which a scratch chain does not have: -o in INPUT and the like."""
    for table, chains in declared.tables.items():
        for chain, data in chains.items():
            refused = _OUT if chain in ('INPUT', 'PREROUTING') else _IN if chain in ('OUTPUT', 'POSTROUTING') else {}
            for rule in data.rules if refused else ():
                if option_values(tokenise(rule.text), refused):
                    raise PalisadeError("%s: Can't use %s with %s. Nothing has changed" % (
                        rule_of_line(option, family, Place(table, chain, rule)), next(iter(refused)), chain))
