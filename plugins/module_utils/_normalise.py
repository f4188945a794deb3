# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From rules as written to rules as the kernel spells them: compare, or rehearse where no packet goes. Runs through the host only."""
from __future__ import annotations

import re
from typing import Callable, Dict, FrozenSet, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import Declared
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Canonical, Ownership
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host, NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._rehearsal import (
    Place,
    Rehearsal,
    as_written,
    check_hooks,
    check_timeout_names,
    failed_line,
    is_live,
    may_be_live,
    names_used,
    nth_place,
    only_rule,
    rule_count,
    rule_of_line,
    words,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import possible_targets
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Tables, append_line, parse

_SET_OPTIONS = {'--match-set': 1, '--add-set': 1, '--del-set': 1, '--map-set': 1}
_ACCOUNTING_OPTIONS = {'--nfacct-name': 1}
_TIMEOUT_OPTIONS = {'--timeout': 1}
_HELPER = re.compile(r'-j CT (?:.* )?--helper "?([^" ]+)')
#: Helpers whose modules are not named after them.
_HELPER_MODULES = {'RAS': 'h323', 'Q.931': 'h323', 'snmp_trap': 'snmp'}

#: table → declared chain → name.
Names = Mapping[str, Mapping[str, str]]
#: Loads the first so many rules (all with None) and says how that went.
Attempt = Callable[[Declared, Optional[int]], Tuple[Rehearsal, Result]]


class Normalised(NamedTuple):
    """A declaration in the kernel's spelling. `how`: none, namespace, scratch or text. `live` is newer than before after a scratch."""

    canonical: Canonical
    how: str
    live: Tables
    warnings: Sequence[str] = ()


class Normaliser:
    """One run's way to the kernel's spelling. `option` is what errors call the rules; `mode` is the module's rehearsal option."""

    def __init__(self, host: Host, ownership: Ownership, *, mode: str, check_mode: bool, option: str) -> None:
        self.host = host
        self.ownership = ownership
        self.mode = mode
        self.check_mode = check_mode
        self.option = option

    def normalise(self, family: str, declared: Declared, live: Tables, others: Mapping[str, Declared]) -> Normalised:
        """Spell one family's rules. `others` are the other families' declarations, for a hint when only one refuses a rule.

        Raises PalisadeError for a rule that iptables or the kernel refuses; nothing has changed then.
        """
        names = {table: {chain: self.ownership.chain_name(chain) for chain in chains} for table, chains in declared.tables.items()}
        if may_be_live(declared, live, names):
            written = as_written(declared, live, names)
            if is_live(written, live, names):
                return Normalised(written, 'none', live)
        if self.mode == 'none':
            return Normalised(as_written(declared, live, names), 'text', live)
        if self.mode != 'scratch':
            try:
                canonical = self._in_namespace(family, declared, live, names, others)
                return self._checked(family, declared, Normalised(canonical, 'namespace', live))
            except NotPermittedError as error:
                if self.mode == 'namespace':
                    raise
                if self.check_mode:
                    return Normalised(as_written(declared, live, names), 'text', live, [
                        '%s: %s: rules are compared as text, so the plan may list rules that differ in spelling only '
                        '(rehearsal: scratch would compare them exactly, in chains of the live tables)' % (family, error)])
        return self._checked(family, declared, self._in_scratch(family, declared, names))

    def _in_namespace(self, family: str, declared: Declared, live: Tables, names: Names, others: Mapping[str, Declared]) -> Canonical:
        def attempt(which: str) -> Attempt:
            def run(rules: Declared, limit: Optional[int]) -> Tuple[Rehearsal, Result]:
                rehearsal = Rehearsal(rules, foreign=self._foreign_targets(rules, live), limit=limit)
                text = rehearsal.text
                return rehearsal, self.host.rehearse(which, text, self._preparation(rules, text))
            return run

        rehearsal, result = attempt(family)(declared, None)
        try:
            if result.status != 0:
                raise PalisadeError(words(result.errors))
            return rehearsal.canonical(parse(result.output, 'iptables-restore'), names)
        except PalisadeError as error:
            place = _bad_rule(rehearsal, result, declared, attempt(family))
            self._refuse(family, place, error, _hint(place, family, others, attempt))

    def _checked(self, family: str, declared: Declared, normalised: Normalised) -> Normalised:
        timeouts = names_used(declared, _TIMEOUT_OPTIONS)
        try:
            if timeouts:
                check_timeout_names(normalised.canonical, timeouts)
        except PalisadeError as error:
            self._refuse(family, None, error, '')
        return normalised

    def _preparation(self, declared: Declared, text: str) -> Sequence[str]:
        """What a namespace needs besides rules: the sets, accounting objects and timeout policies that they name."""
        commands: List[str] = []
        if not any(option in text for options in (_SET_OPTIONS, _ACCOUNTING_OPTIONS, _TIMEOUT_OPTIONS) for option in options):
            return commands
        sets = names_used(declared, _SET_OPTIONS)
        if sets:
            commands.extend(self.host.recreate_sets(sets))
        accounts = names_used(declared, _ACCOUNTING_OPTIONS)
        if accounts:
            commands.extend(self.host.recreate_accounting(accounts))
        timeouts = names_used(declared, _TIMEOUT_OPTIONS)
        if timeouts:
            commands.extend(self.host.recreate_timeouts(timeouts))
        return commands

    def _foreign_targets(self, declared: Declared, live: Tables) -> Dict[str, FrozenSet[str]]:
        """Chains of others that declared rules jump to, which a rehearsal needs to exist."""
        if self.ownership.scope == 'tables':
            return {}
        found: Dict[str, FrozenSet[str]] = {}
        for table, chains in declared.tables.items():
            others = {chain for chain in live.get(table, ()) if chain not in BUILTIN_CHAINS[table] and not self.ownership.owns_chain(table, chain)}
            if others:
                found[table] = frozenset(target for data in chains.values() for rule in data.rules
                                         for target in possible_targets(rule.text) if target in others)
        return found

    def _in_scratch(self, family: str, declared: Declared, names: Names) -> Normalised:
        """Load the rules into chains that nothing jumps to, in the live tables, and take them away again."""
        check_hooks(self.option, family, declared)
        chains = sorted({chain for chains in declared.tables.values() for chain in chains})
        numbered = {chain: self.ownership.scratch_name(index) for index, chain in enumerate(chains)}
        scratch = {table: {chain: numbered[chain] for chain in chains} for table, chains in declared.tables.items()}

        def attempt(rules: Declared, limit: Optional[int]) -> Tuple[Rehearsal, Result]:
            rehearsal = Rehearsal(rules, foreign={}, names=scratch, limit=limit)
            return rehearsal, self.host.restore(family, rehearsal.text)

        def counted(rules: Declared, limit: Optional[int]) -> Tuple[Rehearsal, Result]:
            rehearsal, result = attempt(rules, limit)
            return rehearsal, result._replace(output=self._scratch_rules(family))

        try:
            rehearsal, result = attempt(declared, None)
            try:
                if result.status != 0:
                    raise PalisadeError(words(result.errors))
                canonical = rehearsal.canonical(self.host.live(family), names)
            except PalisadeError as error:
                self._refuse(family, _bad_rule(rehearsal, result, declared, counted), error, '')
        finally:
            self._remove_scratch(family)
        return Normalised(canonical, 'scratch', self.host.live(family))

    def _scratch_rules(self, family: str) -> str:
        return '\n'.join([append_line(chain, rule) for chains in self.host.live(family).values() for chain, data in chains.items()
                          if self.ownership.is_scratch(chain) for rule in data.rules])

    def _remove_scratch(self, family: str) -> None:
        lines: List[str] = []
        for table, chains in self.host.live(family).items():
            left = [chain for chain in chains if self.ownership.is_scratch(chain)]
            if left:
                lines += ['*%s' % table] + ['-F %s' % chain for chain in left] + ['-X %s' % chain for chain in left] + ['COMMIT']
        if lines:
            result = self.host.restore(family, '\n'.join(lines) + '\n')
            if result.status != 0:
                raise PalisadeError('%s: the scratch chains could not be removed: %s' % (family, words(result.errors)))

    def _refuse(self, family: str, place: Optional[Place], error: PalisadeError, hint: str) -> NoReturn:
        where = '%s: %s' % (self.option, family) if place is None else rule_of_line(self.option, family, place)
        hint = hint or ('' if place is None else _helper_hint(place.rule.text, family))
        raise PalisadeError('%s: %s%s. Nothing has changed' % (where, str(error).rstrip('.'), hint)) from error


def _bad_rule(rehearsal: Rehearsal, result: Result, declared: Declared, attempt: Attempt) -> Optional[Place]:
    """The rule that an error is about: by the line it names, else by loading fewer of them; None if it is no rule's fault."""
    line = failed_line(result.errors) if result.status != 0 else None
    place = rehearsal.place(line) if line else None
    if place is not None:
        return place
    good, bad = 0, rule_count(declared)
    while good < bad:
        middle = (good + bad) // 2
        if _loads(attempt, declared, middle):
            good = middle + 1
        else:
            bad = middle
    return nth_place(declared, good - 1) if good else None


def _loads(attempt: Attempt, declared: Declared, limit: Optional[int]) -> bool:
    """Whether so many rules load, and arrive where their save can be seen."""
    _rehearsal, result = attempt(declared, limit)
    arrived = sum(1 for line in result.output.split('\n') if line.startswith('-A '))
    return result.status == 0 and arrived >= (rule_count(declared) if limit is None else limit)


def _helper_hint(text: str, family: str) -> str:
    """What to do where the kernel refuses a rule that assigns a helper: its own words never say that the helper is what is missing."""
    found = _HELPER.search(text)
    if found is None:
        return ''
    module = 'nf_conntrack_' + _HELPER_MODULES.get(found.group(1), found.group(1).replace('-', '_'))
    return ('. Does the kernel have the connection tracking helper %s for %s? If not, load it on the machine itself, outside of any '
            'container: modprobe %s' % (found.group(1), family, module))


def _hint(place: Optional[Place], family: str, others: Mapping[str, Declared], attempt: Callable[[str], Attempt]) -> str:
    """What to write in front of a rule that this family refuses and another one loads."""
    for other, declared in others.items():
        alone = only_rule(others[family], place) if place is not None and other != family else None
        single = only_rule(declared, place) if place is not None and other != family else None
        if alone is not None and single is not None and not _loads(attempt(family), alone, None) and _loads(attempt(other), single, None):
            return '. %s loads this rule: write %s in front of it if it is for %s only' % (other, '-4' if other == 'ipv4' else '-6', other)
    return ''
