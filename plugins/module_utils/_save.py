# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that iptables-save prints, as data and back. Knows the format and nothing of what rules mean."""
from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

#: The hooks of each table, in the order in which iptables-save prints them.
BUILTIN_CHAINS: Dict[str, tuple] = {
    'filter': ('INPUT', 'FORWARD', 'OUTPUT'),
    'nat': ('PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'),
    'mangle': ('PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'),
    'raw': ('PREROUTING', 'OUTPUT'),
    'security': ('INPUT', 'FORWARD', 'OUTPUT'),
}

_INCOMPATIBLE = re.compile(r"^# Table [`'](\S+?)' is incompatible", re.MULTILINE)


class Chain:
    """A chain as it stands: policy (None for a user chain), its own counters, rules and each rule's counters, in order.

    Not a dataclass of rules but two lists of text: 50,000 rules have to fit beside Ansible.
    """

    __slots__ = ('counters', 'packets', 'policy', 'rules')

    def __init__(self, policy: Optional[str], packets: str = '[0:0]') -> None:
        self.policy = policy
        self.packets = packets
        self.rules: List[str] = []
        self.counters: List[str] = []


Table = Dict[str, Chain]
Tables = Dict[str, Table]


def parse(text: str, who: str) -> Tables:
    """Read what iptables-save (with or without -c) printed; `who` names it in errors, for example 'ipv4 iptables-nft-save'.

    Raises PalisadeError for a table that iptables cannot represent, since what it then prints leaves rules out, and for
    text that is no such output. Tables that are not there are not in the result.
    """
    found = _INCOMPATIBLE.search(text)
    if found:
        raise PalisadeError(
            "%s: table %s holds native nftables rules that iptables cannot represent ('is incompatible, use nft tool'); "
            'applying iptables rules there would delete them: move those rules to a table of their own' % (who, found.group(1)))
    tables: Tables = {}
    table: Optional[Table] = None
    for line in text.split('\n'):
        first = line[:1]
        if first == '-' or first == '[':
            _parse_rule(line, table, who)
        elif first == ':':
            _parse_chain(line, table, who)
        elif first == '*':
            table = tables.setdefault(line[1:].strip(), {})
        elif first == 'C' and line.strip() == 'COMMIT':
            table = None
        elif first not in ('', '#'):
            raise PalisadeError('%s printed a line that is no rule: %s' % (who, ascii(line)))
    return tables


def _parse_chain(line: str, table: Optional[Table], who: str) -> None:
    words = line[1:].split()
    if table is None or len(words) < 2:
        raise PalisadeError('%s printed a chain outside a table: %s' % (who, ascii(line)))
    table[words[0]] = Chain(None if words[1] == '-' else words[1], words[2] if len(words) > 2 else '[0:0]')


def _parse_rule(line: str, table: Optional[Table], who: str) -> None:
    words = line.split(' ', 3) if line[0] == '[' else ['', *line.split(' ', 2)]
    chain = table.get(words[2]) if table is not None and len(words) > 2 and words[1] == '-A' else None
    if chain is None:
        raise PalisadeError('%s printed a rule of an unknown chain: %s' % (who, ascii(line)))
    chain.rules.append(words[3].rstrip(' ') if len(words) > 3 else '')
    chain.counters.append(words[0])


def render(tables: Tables) -> str:
    """The inverse of parse: iptables-restore text, with counters where the tables have them."""
    lines: List[str] = []
    for name, table in tables.items():
        lines.append('*%s' % name)
        lines.extend([':%s %s %s' % (chain, data.policy or '-', data.packets) for chain, data in table.items()])
        for chain, data in table.items():
            lines.extend(rule_lines(chain, data.rules, data.counters))
        lines.append('COMMIT')
    return '\n'.join(lines) + '\n' if lines else ''


def rule_lines(chain: str, rules: Iterable[str], counters: Iterable[str]) -> List[str]:
    """Append commands for the rules of one chain, each with its counters where it has any."""
    return [append_line(chain, rule, counter) for rule, counter in zip(rules, counters)]


def append_line(chain: str, rule: str, counter: str = '') -> str:
    """One append command; a rule may be empty (it matches all and does nothing)."""
    line = '-A %s %s' % (chain, rule) if rule else '-A %s' % chain
    return '%s %s' % (counter, line) if counter else line
