# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that bring a ruleset back at boot, as data, as text and back. The loader reads the same format. Pure, no host."""
from __future__ import annotations

import hashlib
import re
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import DeclaredChain
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import TableGoal
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, append_line

_FIRST = '# palisade.netfilter rules 1'
_HEADER = re.compile(_FIRST + r'\n# name (\S+)\n# backend (nft|legacy)\n# asked ([a-z0-9 ]+)\n# written (\S+)\n')
_END = re.compile(r'(?:.*\n)?# end sha256 ([0-9a-f]{64})\n\Z', re.DOTALL)
_FAMILY = re.compile(r'^# family (ipv[46]) (chains|tables)\n', re.MULTILINE)


class Section(NamedTuple):
    """One family: its scope, and the lines of its restore text. Jumps are not in it; `#hook` lines say where one is to be."""

    scope: str
    lines: Sequence[str]


class RuleFile(NamedTuple):
    """A ruleset as it is persisted. `asked` are the families that were asked for, whether or not the kernel had them."""

    name: str
    backend: str
    asked: Sequence[str]
    sections: Mapping[str, Section]

    def body(self) -> List[str]:
        """All that makes one file another than the next: everything but the date and the checksum."""
        lines = ['# backend %s' % self.backend, '# asked %s' % ' '.join(self.asked)]
        for family, section in self.sections.items():
            lines.append('# family %s %s' % (family, section.scope))
            lines.extend(section.lines)
        return lines


def render(rules: RuleFile, written: str) -> str:
    """The file's text. `written` is a UTC time, as 2026-11-21T10:40:35Z."""
    lines = rules.body()
    text = '\n'.join([_FIRST, '# name %s' % rules.name, lines[0], lines[1], '# written %s' % written] + lines[2:]) + '\n'
    return '%s# end sha256 %s\n' % (text, _digest(text))


def read(text: str, name: str) -> RuleFile:
    """The inverse of render. Raises PalisadeError, which says what is wrong with the file, for anything that is not whole."""
    if not text:
        raise PalisadeError('is empty')
    if not text.startswith(_FIRST + '\n'):
        raise PalisadeError('does not begin as a file of ours')
    end = _END.match(text)
    if end is None:
        raise PalisadeError('is cut off: its last line is missing')
    whole = text[:text.rindex('# end sha256 ')]
    if _digest(whole) != end.group(1):
        raise PalisadeError('is damaged: its checksum is wrong')
    header = _HEADER.match(whole)
    if header is None:
        raise PalisadeError('has no complete header')
    if header.group(1) != name:
        raise PalisadeError('is of another ruleset, %s' % header.group(1))
    words = _FAMILY.split(whole[header.end():])
    sections = {family: Section(scope, body.split('\n')[:-1]) for family, scope, body in zip(words[1::3], words[2::3], words[3::3])}
    return RuleFile(name, header.group(2), header.group(3).split(' '), sections)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()


def section_of(scope: str, declared: Mapping[str, Mapping[str, DeclaredChain]], goals: Mapping[str, TableGoal]) -> Section:
    """What a family's goals come to in a file: chains and rules of ours, nothing of others, no jumps."""
    lines: List[str] = []
    for table in BUILTIN_CHAINS:
        if table in declared:
            lines.append('*%s' % table)
            lines.extend(_heads(scope, table, declared[table], goals[table]))
            for chain, rules in goals[table].chains.items():
                lines.extend([append_line(chain, rule) for rule in rules])
            lines.append('COMMIT')
    return Section(scope, lines)


def _heads(scope: str, table: str, declared: Mapping[str, DeclaredChain], goal: TableGoal) -> List[str]:
    hooks = [hook for hook in BUILTIN_CHAINS[table] if hook in declared]
    chains = [':%s - [0:0]' % chain for chain in goal.chains if chain not in BUILTIN_CHAINS[table]]
    if scope == 'tables':
        return [':%s %s [0:0]' % (hook, declared[hook].policy) for hook in hooks if declared[hook].policy] + chains
    return chains + ['#hook %s %s %s' % (hook, _place(goal, hook), declared[hook].policy or '-') for hook in hooks]


def _place(goal: TableGoal, hook: str) -> str:
    jump = goal.jumps[hook]
    return 'first' if jump is not None and jump.place == 0 else 'last'


def tables_in(rules: RuleFile) -> List[Tuple[str, str]]:
    """The tables that a file loads, as (family, table)."""
    return [(family, line[1:]) for family, section in rules.sections.items() for line in section.lines if line.startswith('*')]


def rule_counts(rules: RuleFile) -> Dict[str, int]:
    """How many rules a file has for each family."""
    return {family: sum(1 for line in section.lines if line.startswith('-A ')) for family, section in rules.sections.items()}
