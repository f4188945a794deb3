# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator declared, read from `tables` or from iptables-restore text, one set of tables per family. Touches no host."""
from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._family import FAMILIES, PREFIXES, families_of
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import LONGEST_RULE, TEXT_OPTIONS, check_characters, join, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS

POLICIES = ('ACCEPT', 'DROP')
#: Longest name of a chain in iptables (XT_EXTENSION_MAXNAMELEN less its end).
LONGEST_NAME = 28

_CHAIN_NAME = re.compile(r'[A-Za-z0-9_.@+~%/][A-Za-z0-9_.@+~%/:#=-]*\Z')
#: A jump to one of these is a verdict or an extension, never a chain.
_TARGETS = frozenset((
    'ACCEPT', 'DROP', 'RETURN', 'QUEUE', 'LOG', 'REJECT', 'SNAT', 'DNAT', 'MASQUERADE', 'REDIRECT', 'MARK', 'CONNMARK', 'NFLOG', 'NFQUEUE',
    'NOTRACK', 'CT', 'TCPMSS', 'TPROXY', 'TOS', 'DSCP', 'CLASSIFY', 'SET', 'TRACE', 'NETMAP', 'TTL', 'HL', 'AUDIT', 'SECMARK', 'CONNSECMARK',
))
_QUESTIONS = frozenset(('-h', '--help', '-V', '--version'))
#: Cheap test for what _read_special handles: a command, a family prefix, --modprobe. It may say yes too often, never no.
_SPECIAL = r'-(?:[46AIMhV]|[bfnvx][A-Za-z46]|-(?:ip|in|mo|ap|he|ve))'
_SUSPECT = re.compile(r'(?:\A|\s)' + _SPECIAL)
#: Several of getopt's options in one word, the first of them one without a value: -fj ACCEPT.
_CLUSTER = re.compile(r'-[46bfnvx][A-Za-z46]')
_NUMBER = re.compile(r'[0-9]+\Z')
_COMMAND_LINE = re.compile(r'-(?:[46AI]|-(?:ap|ins|ipv))')
#: The same for a whole text of append lines, which have their command at the start.
_SUSPECT_TEXT = re.compile('[ "]' + _SPECIAL)
#: Quotes around whole words only, none of which looks like an option: then a word is where blanks say.
_WHOLE_QUOTES = re.compile(r'[^"]*(?:(?<= )"(?![-\\])(?:[^"\\]|\\.)*"(?= |\Z)[^"]*)*\Z')


class DeclaredRule(NamedTuple):
    """One rule as written, less its `-A CHAIN` and family prefix; `number` counts from 1 in its chain, `line` in `content`."""

    text: str
    number: int
    line: int = 0


class DeclaredChain:
    """A chain as asked for. `policy` is None where none is asked for."""

    __slots__ = ('only_if_unused', 'policy', 'rules')

    def __init__(self, policy: Optional[str] = None, only_if_unused: bool = False) -> None:
        self.policy = policy
        self.only_if_unused = only_if_unused
        self.rules: List[DeclaredRule] = []


class Declared:
    """One family's declaration: table → chain."""

    def __init__(self) -> None:
        self.tables: Dict[str, Dict[str, DeclaredChain]] = {}

    def chain(self, table: str, chain: str) -> DeclaredChain:
        """The chain of that name, made empty where it is not there yet."""
        return self.tables.setdefault(table, {}).setdefault(chain, DeclaredChain())


class _Read(NamedTuple):
    """A rule taken apart as far as it has to be."""

    chain: Optional[str]
    position: Optional[int]
    family: Optional[str]
    tokens: Sequence[str]
    text: str


class Reader:
    """Collects chains and rules for the families asked for. Where only one is asked for, rules are passed as written."""

    def __init__(self, families: Sequence[str], sets: Mapping[str, str], option: str) -> None:
        self.option = option
        self.families = tuple(families)
        self.sets = sets
        self.declared: Dict[str, Declared] = {family: Declared() for family in families}
        self.warnings: List[str] = []
        self._numbers: Dict[tuple, int] = {}

    def add_table(self, table: str) -> None:
        """Declare a table. Raises PalisadeError for one that iptables does not have."""
        if table not in BUILTIN_CHAINS:
            raise PalisadeError('%s: there is no table %s: the tables are %s' % (self.option, ascii(table), ', '.join(BUILTIN_CHAINS)))
        for declared in self.declared.values():
            declared.tables.setdefault(table, {})

    def add_chain(self, table: str, chain: str, policy: Optional[str], only_if_unused: bool = False) -> None:
        """Declare a chain, and a policy for it where it is a hook of its table."""
        where = '%s: table %s, chain %s' % (self.option, table, ascii(chain))
        check_chain_name(chain, where)
        if policy is not None:
            if policy not in POLICIES:
                raise PalisadeError('%s: policy %s: a policy is ACCEPT or DROP' % (where, ascii(policy)))
            if chain not in BUILTIN_CHAINS[table]:
                raise PalisadeError('%s: only a built-in chain has a policy (%s)' % (where, ', '.join(BUILTIN_CHAINS[table])))
        for declared in self.declared.values():
            made = declared.chain(table, chain)
            made.policy = policy if policy is not None else made.policy
            made.only_if_unused = made.only_if_unused or only_if_unused

    def add_rule(self, table: str, chain: Optional[str], written: str, *, line: int = 0) -> None:
        """Read one rule as written, `-A CHAIN` and family prefix included, into the families that it is for."""
        where = '%s: table %s%s' % (self.option, table, ', line %d' % line if line else ', chain %s' % chain)
        if not line:
            where += ', rule %d' % (self._numbers.get((table, chain), 0) + 1)
        read = self._read(written, chain, where)
        chain = read.chain
        if chain is None:
            raise PalisadeError('%s: expected -A CHAIN in front of: %s' % (where, written))
        if line and chain not in BUILTIN_CHAINS[table] and not any(chain in one.tables[table] for one in self.declared.values()):
            raise PalisadeError('%s: chain %s is not declared in table %s (:%s - [0:0] or -N %s): %s' % (
                where, chain, table, chain, chain, written.strip()))
        number = self._numbers[table, chain] = self._numbers.get((table, chain), 0) + 1
        for family in self._families(read, written, where):
            declared = self.declared[family]
            rules = declared.chain(table, chain).rules
            if read.position is not None and read.position > len(rules) + 1:
                raise PalisadeError('%s: there are only %d rules in %s to insert a rule among: %s' % (where, len(rules), chain, written.strip()))
            rules.insert(len(rules) if read.position is None else read.position - 1, DeclaredRule(read.text, number, line))

    def add_plain_rule(self, table: str, line: str, number: int) -> bool:
        """Read an append line of text in which nothing is out of the ordinary (is_plain). False: it has to be read word by word."""
        words = line.split(' ', 2)
        chain = self.declared[self.families[0]].tables[table].get(words[1])
        text = words[2].strip(' ') if len(words) > 2 else ''
        if chain is None or len(line) * 4 >= LONGEST_RULE or ('"' in text and not _WHOLE_QUOTES.match(text)):
            return False
        chain.rules.append(DeclaredRule(text, len(chain.rules) + 1, number))
        self._numbers[table, words[1]] = len(chain.rules)
        return True

    def _families(self, read: _Read, written: str, where: str) -> Iterable[str]:
        if read.family is not None:
            if read.family in self.families:
                return (read.family,)
            self.warnings.append('%s: left out, since it is for %s, which is not in families: %s' % (where, read.family, written.strip()))
            return ()
        if len(self.families) == 1:
            return self.families
        try:
            return [family for family in self.families if family in families_of(read.tokens, self.sets)]
        except PalisadeError as error:
            raise PalisadeError('%s: %s: %s' % (where, error, written.strip())) from error

    def _read(self, written: str, chain: Optional[str], where: str) -> _Read:
        """Take what is no part of the rule itself off it: an append command and a family prefix."""
        check_characters(written, where)
        text = written.strip(' \t')
        if text[:3] == '-A ' and '\t' not in text:
            named, _blank, text = text[3:].lstrip(' ').partition(' ')
            text = text.lstrip(' ')
            chain = self._named_chain(named, chain, written, where)
        plain = '\t' not in text and ('"' not in text or _WHOLE_QUOTES.match(text)) and not _SUSPECT.search(text)
        if plain and len(self.families) == 1:
            return _Read(chain, None, None, (), text)
        tokens = tokenise(text, where)
        read = _Read(chain, None, None, tokens, text)
        # Quotes may stand anywhere in a word (-"M"): where there are such, the words are asked and not the text.
        if not plain and _SUSPECT.search('\n'.join(tokens) if '"' in text else text):
            read = self._read_special(tokens, chain, text, where)
        return read._replace(text=join(read.tokens)) if '\t' in read.text else read

    def _read_special(self, given: List[str], chain: Optional[str], text: str, where: str) -> _Read:
        """The same word by word; refuses --modprobe, which would name a program to run, and calls for help, which load nothing."""
        kept: List[str] = []
        family: Optional[str] = None
        position: Optional[int] = None
        tokens = given
        index = 0
        while index < len(tokens):
            token = tokens[index]
            index += 1
            command, attached = _command(token)
            if token in TEXT_OPTIONS:
                kept.extend(tokens[index - 1:index + 1])
                index += 1
            elif token in PREFIXES:
                family = PREFIXES[token]
            elif _CLUSTER.match(token):
                index -= 1
                tokens = tokens[:index] + [token[:2], '-' + token[2:]] + tokens[index + 1:]
            elif command and not kept:
                chain = self._named_chain(attached or ''.join(tokens[index:index + 1]), chain, text, where)
                index += 0 if attached else 1
                if command == '-I':
                    numbered = index < len(tokens) and _NUMBER.match(tokens[index])
                    position = max(1, int(tokens[index])) if numbered else 1
                    index += 1 if numbered else 0
            elif token.startswith('-M') or (len(token) > 3 and '--modprobe'.startswith(token.partition('=')[0])):
                raise PalisadeError('%s: %s names a program to run, which a rule may not: %s' % (where, token, text))
            elif token in _QUESTIONS:
                raise PalisadeError('%s: %s asks iptables about itself, it is no part of a rule: %s' % (where, token, text))
            else:
                kept.append(token)
        return _Read(chain, position, family, kept, text if kept == given else join(kept))

    @staticmethod
    def _named_chain(named: str, chain: Optional[str], text: str, where: str) -> str:
        if named != chain:
            if chain is not None:
                raise PalisadeError('%s: the rule says -A %s: %s' % (where, named, text))
            check_chain_name(named, where)
        return named


def _command(token: str) -> Tuple[str, str]:
    """-A or -I, and the chain where it is attached (-AINPUT, --append=INPUT), for these two in any of getopt's spellings; else empty."""
    if token[:2] in ('-A', '-I'):
        return token[:2], token[2:]
    option, _equals, value = token.partition('=')
    if len(option) >= 4 and '--append'.startswith(option):
        return '-A', value
    return ('-I', value) if len(option) >= 5 and '--insert'.startswith(option) else ('', '')


def check_chain_name(chain: Any, where: str) -> None:
    """Raise PalisadeError for what cannot be the name of a chain."""
    if not isinstance(chain, str) or not _CHAIN_NAME.match(chain):
        raise PalisadeError('%s: not a name for a chain: letters, digits and _ . @ + ~ %% / : # = - and no blank or control character' % where)
    if len(chain) > LONGEST_NAME:
        raise PalisadeError('%s: the name is %d characters long, iptables allows %d' % (where, len(chain), LONGEST_NAME))
    if chain in _TARGETS:
        raise PalisadeError('%s: %s is a target of iptables, a jump to a chain of that name would never reach it' % (where, chain))


def declare_tables(tables: Mapping[str, Any], families: Sequence[str], sets: Mapping[str, str]) -> Reader:
    """Read the module's `tables` option: table → chain → list of rules, or {policy, rules, only_if_unused}."""
    reader = Reader(families, sets, 'tables')
    for table, chains in tables.items():
        reader.add_table(table)
        if not isinstance(chains, Mapping):
            raise PalisadeError('tables: %s: expected a dictionary of chains, got %s' % (table, type(chains).__name__))
        for chain, data in chains.items():
            _declare_chain(reader, table, chain, data)
    return reader


def _declare_chain(reader: Reader, table: str, chain: str, data: Any) -> None:
    where = 'tables: table %s, chain %s' % (table, ascii(chain))
    if isinstance(data, (list, tuple)):
        data = {'rules': data}
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise PalisadeError('%s: expected a list of rules or a dictionary with policy and rules, got %s' % (where, type(data).__name__))
    unknown = set(data) - {'policy', 'rules', 'only_if_unused'}
    if unknown:
        raise PalisadeError('%s: unknown key %s: a chain has policy and rules' % (where, ', '.join(sorted(map(ascii, unknown)))))
    reader.add_chain(table, chain, data.get('policy'), bool(data.get('only_if_unused', False)))
    rules = data.get('rules')
    if not isinstance(rules, (list, tuple, type(None))):
        raise PalisadeError('%s: rules: expected a list of rule strings, got %s' % (where, type(rules).__name__))
    for number, rule in enumerate(rules or (), 1):
        if not isinstance(rule, str):
            raise PalisadeError('%s, rule %d: expected a string, got %s' % (where, number, type(rule).__name__))
        reader.add_rule(table, chain, rule)


def is_plain(content: str) -> bool:
    """Whether no line can hold a control character, or anything in its rule that is not the rule's own (see _SUSPECT). One look for all."""
    joined = content.replace('\n', '')
    return joined.isascii() and joined.isprintable() and not _SUSPECT_TEXT.search(content)


def declare_content(content: str, families: Sequence[str], sets: Mapping[str, str]) -> Reader:
    """Read iptables-restore text: `*table`, `:CHAIN POLICY`, `-N`, `-P`, `-A`, `COMMIT`, comments; counters are put aside."""
    reader = Reader(families, sets, 'content')
    table: Optional[str] = None
    plain = len(reader.families) == 1 and is_plain(content)
    for number, raw in enumerate(content.split('\n'), 1):
        if plain and table is not None and raw[:3] == '-A ' and reader.add_plain_rule(table, raw, number):
            continue
        where = 'content: line %d' % number
        line = raw.strip(' \t')
        if not line or line[0] == '#':
            continue
        if line[0] == '*':
            check_characters(line, where)
            table = line[1:]
            reader.add_table(table)
        elif line == 'COMMIT':
            table = None
        elif table is None:
            raise PalisadeError('%s: expected *TABLE first, got: %s' % (where, ascii(line)))
        else:
            _declare_line(reader, table, line, number, where)
    if table is not None:
        raise PalisadeError('content: table %s has no COMMIT' % table)
    return reader


def _declare_line(reader: Reader, table: str, line: str, number: int, where: str) -> None:
    counted = line.partition(']')[2].lstrip(' \t') if line[0] == '[' else line
    line = counted or line
    if _COMMAND_LINE.match(line):
        reader.add_rule(table, None, line, line=number)
        return
    check_characters(line, where)
    words = line.split() or ['']
    if line[0] == ':' and len(words) >= 2:
        reader.add_chain(table, words[0][1:], None if words[1] == '-' else words[1])
    elif words[0] in ('-N', '--new-chain') and len(words) == 2:
        reader.add_chain(table, words[1], None)
    elif words[0] in ('-P', '--policy') and len(words) == 3:
        reader.add_chain(table, words[1], words[2])
    else:
        raise PalisadeError('%s: a declaration has *TABLE, :CHAIN POLICY, -N, -P, -A and COMMIT lines, not: %s' % (where, ascii(line)))


def declared_families(option: Iterable[str]) -> Sequence[str]:
    """The families asked for, in their fixed order, each once."""
    asked: FrozenSet[str] = frozenset(option)
    return [family for family in FAMILIES if family in asked]
