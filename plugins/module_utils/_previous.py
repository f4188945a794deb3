# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""state: previous. The persisted version before the one in force as a declaration, so that going back is a run like any other. Changes nothing."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import Reader, declare_content
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._family import FAMILIES
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import HostFiles
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import retarget
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import RuleFile, Section, read, tables_in

#: What a version brings along, so that a task cannot say it too.
_BROUGHT = ('tables', 'content', 'policy', 'fallback')


class Version(NamedTuple):
    """A persisted version, with the text of its file, and the tables (family, table) that go empty since the version in force has them alone."""

    rules: RuleFile
    text: str
    emptied: Sequence[Any] = ()


def options_of_previous(options: Dict[str, Any], files: HostFiles) -> Dict[str, Any]:
    """The module's options as they are for going back to the version before: those of a run that declares and persists it.

    Raises PalisadeError where there is none, where it is damaged, and where it cannot take the place of the one in force.
    """
    given = [option for option in _BROUGHT if options[option] is not None]
    if given:
        raise PalisadeError('state: previous takes no %s: the rules are those that this host has kept. Nothing has changed' % ', '.join(given))
    name = options['name']
    version = _version(files, name)
    backend, scope = version.rules.backend, _scope(version.rules)
    if options['backend'] not in ('auto', backend):
        raise PalisadeError('state: previous: the version before is for the %s backend, not for %s. Nothing has changed' % (
            backend, options['backend']))
    return {**options, 'backend': backend, 'scope': scope, 'families': list(version.rules.asked), 'persist': True, 'version': version}


def _version(files: HostFiles, name: str) -> Version:
    text, problem = files.rule_file(name, 'previous')
    path = files.rule_path(name, 'previous')
    if problem == 'is not there':
        raise PalisadeError('state: previous: this host has kept no version of ruleset %s before the one in force (%s %s). Nothing has changed' % (
            name, path, problem))
    try:
        if problem:
            raise PalisadeError(problem)
        rules = read(text, name)
    except PalisadeError as error:
        raise PalisadeError('state: previous: %s %s: there is no version to go back to. Nothing has changed' % (path, error)) from error
    return _instead_of(rules, text, _in_force(files, name))


def _in_force(files: HostFiles, name: str) -> RuleFile:
    """What the version before takes the place of; without any section where that cannot be read, and its live rules then tell what goes."""
    text, problem = files.rule_file(name, 'rules')
    try:
        return RuleFile(name, '', (), {}) if problem else read(text, name)
    except PalisadeError:
        return RuleFile(name, '', (), {})


def _instead_of(rules: RuleFile, text: str, now: RuleFile) -> Version:
    """The version with the families and tables that only the one in force has; those go."""
    scope = _scope(rules)
    if now.sections and _scope(now) != scope:
        raise PalisadeError('state: previous: the version before is of scope: %s, and the one in force of scope: %s, which does not say what '
                            'was in the tables before it. Apply the declaration that you want. Nothing has changed' % (scope, _scope(now)))
    asked = [family for family in FAMILIES if family in rules.asked or family in now.asked]
    emptied = sorted(set(tables_in(now)) - set(tables_in(rules))) if scope == 'tables' else ()
    return Version(rules._replace(asked=asked), text, emptied)


def _scope(rules: RuleFile) -> str:
    return next((section.scope for section in rules.sections.values()), 'chains')


def declare_version(version: Version, families: Sequence[str]) -> Reader:
    """The version as the families' declarations."""
    whole = Reader(families, {}, 'previous')
    for family in families:
        section = version.rules.sections.get(family)
        text = declaration(version.rules.name, section) if section else ''
        text += ''.join(['*%s\nCOMMIT\n' % table for of_family, table in version.emptied if of_family == family])
        whole.declared[family] = declare_content(text, [family], {}).declared[family]
    return whole


def declaration(name: str, section: Section) -> str:
    """A section as iptables-restore text with the names of chains that were declared; the inverse of _rulefile.section_of."""
    if section.scope == 'tables':
        return ''.join(['%s\n' % line for line in section.lines])
    prefix = name + '-'
    chains = {line.split(' ')[0][1:] for line in section.lines if line.startswith(':')}
    names = {chain: chain[len(prefix):] for chain in chains}
    lines: List[str] = []
    for line in section.lines:
        words = line.split(' ')
        if words[0] == '#hook':
            lines.append(':%s %s [0:0]' % (words[1], words[3]))
        elif line.startswith(':'):
            lines.append(':%s - [0:0]' % names[words[0][1:]])
        elif words[0] == '-A':
            rule = retarget(' '.join(words[2:]), names)
            lines.append(('-A %s %s' % (names[words[1]], rule)).rstrip(' '))
        else:
            lines.append(line)
    return ''.join(['%s\n' % line for line in lines])
