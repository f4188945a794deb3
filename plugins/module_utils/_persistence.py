# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run changes of the files that outlive a reboot, and what an operator should know of them. Asks the host, changes nothing."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import Declared, declare_tables
from ansible_collections.palisade.netfilter.plugins.module_utils._diff import diff_of_lines
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._family import FAMILIES
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership, TableGoal, table_goal
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange, FilePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._normalise import Normaliser
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import jump_among
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import (
    RuleFile,
    Section,
    read,
    render,
    rule_counts,
    section_of,
    tables_in,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Tables, parse

#: What is let in when no persisted rules can be loaded, unless the operator or a policy says more: nobody new.
CLOSED: Mapping[str, Any] = {'filter': {
    'INPUT': {'policy': 'DROP', 'rules': [
        '-i lo -j ACCEPT',
        '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        *['-6 -p ipv6-icmp -m icmp6 --icmpv6-type %d -m hl --hl-eq 255 -j ACCEPT' % kind for kind in (134, 135, 136)],
        '-4 -p udp -m udp --sport 67 --dport 68 -j ACCEPT',
        '-6 -d fe80::/10 -p udp -m udp --dport 546 -j ACCEPT']},
    'FORWARD': {'policy': 'DROP', 'rules': []},
}}
#: The kernel's modules that iptables-legacy needs before it can load a rule; the unit that loads rules may not load modules.
_MODULES_FILE = '/etc/modules-load.d/palisade-firewall.conf'
_MODULES = {'ipv4': ('ip_tables', 'iptable_%s'), 'ipv6': ('ip6_tables', 'ip6table_%s')}
_SETS = re.compile(r'--(?:match|add|del|map)-set (\S+)')


class Persistence:
    """One run's look at the files of its ruleset."""

    def __init__(self, host: Host, ownership: Ownership, families: Sequence[str], warnings: List[str]) -> None:
        self.host = host
        self.ownership = ownership
        self.name = ownership.name
        self.families = families
        self.warnings = warnings

    def absent(self) -> FilePlan:
        """All files of this ruleset go; with the last ruleset's, what loads them goes too."""
        paths = self.host.rule_files(self.name)
        boot_files: Sequence[str] = ()
        if not set(self.host.persisted_names()) - {self.name}:
            boot_files = self.host.boot_files()
            paths += [_MODULES_FILE] if self.host.text_of(_MODULES_FILE) else []
        self.host.check_writable([*paths, *boot_files])
        return FilePlan([FileChange(path, None) for path in paths],
                        [_note(path, '- this file') for path in [*paths, *boot_files]], boot_files)

    def unwanted(self, declared: Mapping[str, Declared], goals: Mapping[str, Mapping[str, TableGoal]]) -> None:
        """Warn where a boot would bring back other rules than those that are live after this run."""
        old, _text, _problem = self._read('rules')
        if old and any(old.sections[family] != self._section(family, declared, goals) for family in declared if family in old.sections):
            self.warnings.append('%s holds other rules than the live ones, and the next boot loads those: persist: true would change them too' % (
                self.host.rule_path(self.name, 'rules')))

    def present(self, declared: Mapping[str, Declared], goals: Mapping[str, Mapping[str, TableGoal]], live: Mapping[str, Tables],
                closed: Mapping[str, Section]) -> FilePlan:
        """The files as the declaration has them. Raises PalisadeError for rules that could not be loaded at boot."""
        old, old_text, problem = self._read('rules')
        wanted = self._merged({family: self._section(family, declared, goals) for family in declared}, old)
        changes: List[FileChange] = []
        diff: List[Dict[str, str]] = []
        text = old_text
        if old is None or old.body() != wanted.body():
            self._check_loadable(goals, live)
            self._warn_of_sets(wanted)
            text = render(wanted, self.host.now())
            changes += [FileChange(self._path('previous'), old_text)] if old else []
            diff.append(self._rules_diff(old, problem, wanted))
        if text != self.host.rule_file(self.name, 'good')[0]:
            changes.append(FileChange(self._path('good'), text))
            diff += [] if text is not old_text else [_note(self._path('good'), '+ the copy of %s anew' % self._path('rules'))]
        self._plan_closed(closed, changes, diff)
        self._plan_modules(wanted, changes, diff)
        # Last: with the rules' own file a version is in force.
        changes += [FileChange(self._path('rules'), text)] if text is not old_text else []
        self.host.check_writable([change.path for change in changes])
        return FilePlan(changes, diff)

    def closed_sections(self, fallback: Optional[Mapping[str, Any]], declared: Mapping[str, Declared], mode: str, check_mode: bool,
                        live: Mapping[str, Tables]) -> Dict[str, Section]:
        """The closed fallback of every family that is there. Raises PalisadeError for a rule that iptables or the kernel refuses."""
        normaliser = Normaliser(self.host, self.ownership, mode=mode, check_mode=check_mode, option='fallback')
        reader = declare_tables(CLOSED if fallback is None else fallback, self.families, {})
        old = self._read('closed')[0]
        sections = {}
        for family in declared:
            there = parse(_text_of(old.sections.get(family) if old else None), 'the closed fallback')
            # What the file holds stands for the live rules: where it says the same already, nothing is rehearsed.
            canonical = normaliser.normalise(family, reader.declared[family], there or live[family], reader.declared).canonical
            tables = reader.declared[family].tables
            goals = {table: table_goal(table, tables[table], canonical.get(table, {}), {}, self.ownership) for table in tables}
            sections[family] = section_of(self.ownership.scope, tables, goals)
        return sections

    def kept_closed(self) -> Optional[Mapping[str, Section]]:
        """The closed fallback as it is persisted; None where it cannot be read. It has no version before: whoever may come in at the worst is as the
        latest declaration has it."""
        old = self._read('closed')[0]
        return old.sections if old else None

    # One file after the other

    def _path(self, kind: str) -> str:
        return self.host.rule_path(self.name, kind)

    def _read(self, kind: str) -> Tuple[Optional[RuleFile], str, str]:
        """A file, its text, and why it is none."""
        text, problem = self.host.rule_file(self.name, kind)
        try:
            return (None, text, problem) if problem else (read(text, self.name), text, '')
        except PalisadeError as error:
            return None, text, str(error)

    def _section(self, family: str, declared: Mapping[str, Declared], goals: Mapping[str, Mapping[str, TableGoal]]) -> Section:
        return section_of(self.ownership.scope, declared[family].tables, goals[family])

    def _merged(self, sections: Mapping[str, Section], old: Optional[RuleFile]) -> RuleFile:
        """These sections, and those of families that were not asked for now: their live rules have not changed either."""
        kept = {family: section for family, section in old.sections.items() if family not in self.families} if old else {}
        asked = [family for family in FAMILIES if family in self.families or family in kept]
        return RuleFile(self.name, self.host.backend, asked, {
            family: sections[family] if family in sections else kept[family] for family in FAMILIES if family in sections or family in kept})

    def _rules_diff(self, old: Optional[RuleFile], problem: str, wanted: RuleFile) -> Dict[str, str]:
        path = self._path('rules')
        if old:
            return diff_of_lines(path, old.body(), wanted.body())
        counts = ', '.join('%d rules for %s' % (number, family) for family, number in rule_counts(wanted).items())
        damaged = '' if problem == 'is not there' else '- a file that %s\n' % problem
        return _note(path, '%s+ the wanted rules: %s (%s)' % (damaged, counts, wanted.backend))

    def _plan_closed(self, sections: Mapping[str, Section], changes: List[FileChange], diff: List[Dict[str, str]]) -> None:
        old = self._read('closed')[0]
        wanted = self._merged(sections, old)
        if old is None or old.body() != wanted.body():
            changes.append(FileChange(self._path('closed'), render(wanted, self.host.now())))
            diff.append(diff_of_lines(self._path('closed'), old.body() if old else [], wanted.body()))

    def _plan_modules(self, wanted: RuleFile, changes: List[FileChange], diff: List[Dict[str, str]]) -> None:
        if self.host.backend != 'legacy':
            return
        names: Set[str] = set()
        for family, table in tables_in(wanted):
            names |= {_MODULES[family][0], _MODULES[family][1] % table}
        there = self.host.text_of(_MODULES_FILE).split()
        missing = sorted(self.host.loadable_modules(names) - set(there))
        if missing:
            lines = there + missing
            changes.append(FileChange(_MODULES_FILE, '\n'.join(lines) + '\n', 0o644))
            diff.append(diff_of_lines(_MODULES_FILE, there, lines))

    # What would not load

    def _check_loadable(self, goals: Mapping[str, Mapping[str, TableGoal]], live: Mapping[str, Tables]) -> None:
        if self.ownership.scope == 'tables':
            return
        for family, tables in goals.items():
            for table, goal in tables.items():
                others = {chain for chain in live[family].get(table, ())
                          if chain not in BUILTIN_CHAINS[table] and not self.ownership.owns_chain(table, chain)}
                for chain, rules in goal.chains.items() if others else ():
                    for rule in rules:
                        target = jump_among(rule, others)
                        if target:
                            raise PalisadeError(
                                "persist: %s, table %s, chain %s: the rule '%s' leads to %s, another program's chain, which is not there yet at "
                                'boot: nothing would load. Nothing has changed' % (family, table, chain, rule, target))

    def _warn_of_sets(self, wanted: RuleFile) -> None:
        sets = sorted({name for section in wanted.sections.values() for line in section.lines for name in _SETS.findall(line)})
        if sets:
            self.warnings.append('ipsets are not persisted: unless something restores %s before %s is loaded at boot, the rules from before, or the '
                                 'closed fallback, take their place' % (', '.join(sets), self._path('rules')))


def _text_of(section: Optional[Section]) -> str:
    return '\n'.join(section.lines) if section else ''


def _note(path: str, text: str) -> Dict[str, str]:
    return {'before_header': path, 'after_header': path, 'prepared': '--- %s\n+++ %s\n%s\n' % (path, path, text)}
