# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of one rule: how iptables-restore splits it, what may be in it, and where its jump is. Pure text, no tables."""
from __future__ import annotations

import re
from typing import Container, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

#: iptables-restore reads lines into a buffer of 10,240 bytes: the tail of a longer one would be read as a second command.
LONGEST_RULE = 10_000

_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_BLANKS = re.compile(r'[ \t]+')
_PIECE = re.compile(r'[^ \t"]+|"(?:[^"\\]|\\.)*"|[ \t]+')
_ESCAPED = re.compile(r'\\(.)')
_PLAIN_WORD = r'[A-Za-z0-9_./:,!@%+=~*^#\[\]{}()<>|$&;?-]+'
_PLAIN = re.compile(_PLAIN_WORD + r'\Z')
_QUOTED_PLAIN = re.compile(r'(?<= )"(%s)"(?= |\Z)' % _PLAIN_WORD)
_SAVED_JUMP = re.compile(r'(?:\A|(?<= ))-([jg]) ([^ "-][^ "]*)')

#: Any way of writing a jump, as far as it can be told without reading the whole rule.
_WRITTEN_JUMP = re.compile(r'(?:\A|[ "])(?:-[jg] *|--j[ump]*[ =]|--g[oto]*[ =])"?([^ "]+)')
_CLOSED = re.compile(r'[^"]*(?:"(?:[^"\\]|\\.)*"[^"]*)*\Z')

#: Options whose value is free text, so that a value spelled like an option is not taken for one.
TEXT_OPTIONS = frozenset((
    '--comment', '--log-prefix', '--nflog-prefix', '--ulog-prefix', '--string', '--hex-string', '--name', '--helper',
    '--label', '--led-trigger-id', '--nfacct-name', '--timeout', '--zone', '-i', '-o', '--in-interface', '--out-interface',
    '--hashlimit-name', '--rateest-name', '--to-ports', '--bytecode', '--object-pinned', '--path', '--cgroup', '--selctx',
))


class Jump(NamedTuple):
    """Where a rule's target stands: token number `place` is `lead` (empty, '-j', '--jump=') followed by `target`."""

    place: int
    lead: str
    target: str


def check_characters(text: str, where: str) -> None:
    """Raise PalisadeError if `text` holds a control character (a tab between words is fine) or is too long for one line."""
    if len(text) * 4 >= LONGEST_RULE and len(text.encode('utf-8', 'surrogateescape')) >= LONGEST_RULE:
        raise PalisadeError('%s: the rule is longer than %d bytes, which iptables-restore would split in two' % (where, LONGEST_RULE))
    if text.isascii() and text.isprintable():
        return
    found = _CONTROL.search(text.replace('\t', ' ')) or ('\t' in text and re.search(r'\t', _outside_quotes_removed(text)))
    if found:
        raise PalisadeError(
            '%s: control character %s in %s: a rule is one line of printable text' % (where, ascii(found.group()), ascii(text)))


def _outside_quotes_removed(text: str) -> str:
    return ''.join(re.findall(r'"(?:[^"\\]|\\.)*"?', text))


def tokenise(text: str, where: str = 'rule') -> List[str]:
    """Split `text` into arguments as iptables-restore does: blanks separate, double quotes group, a backslash in quotes escapes.

    A closing quote ends the argument: `"a"b` is two. Single quotes are ordinary characters there.
    Raises PalisadeError on a quote that is never closed, since iptables-restore would drop that argument without a word.
    """
    if '"' not in text:
        return text.split() if text.isascii() else [piece for piece in _BLANKS.split(text) if piece]
    check_quotes(text, where)
    tokens: List[str] = []
    current: Optional[str] = None
    for piece in _PIECE.findall(text):
        if piece[0] in ' \t':
            if current is not None:
                tokens.append(current)
            current = None
        elif piece[0] == '"':
            tokens.append((current or '') + _ESCAPED.sub(r'\1', piece[1:-1]))
            current = None
        else:
            current = piece
    if current is not None:
        tokens.append(current)
    return tokens


def check_quotes(text: str, where: str) -> None:
    """Raise PalisadeError on a quote that is never closed."""
    if '"' in text and not _CLOSED.match(text):
        raise PalisadeError('%s: a double quote is opened and never closed in: %s' % (where, text))


def quote(token: str) -> str:
    """One argument in iptables-restore's quoting; the inverse of tokenise for one token."""
    if _PLAIN.match(token):
        return token
    return '"%s"' % token.replace('\\', '\\\\').replace('"', '\\"')


def join(tokens: Sequence[str]) -> str:
    """Arguments as one line; tokenise(join(tokens)) == tokens."""
    return ' '.join([quote(token) for token in tokens])


def find_jump(tokens: Sequence[str]) -> Optional[Jump]:
    """The target of a rule as written, in any of getopt's spellings (-j X, -jX, --jump X, --jum=X, -g X); None without one."""
    index, end = 0, len(tokens)
    while index < end:
        token = tokens[index]
        if token in TEXT_OPTIONS:
            index += 2
            continue
        lead = _jump_lead(token)
        if lead is not None:
            if lead == '':
                return Jump(index + 1, '', tokens[index + 1]) if index + 1 < end else None
            return Jump(index, lead, token[len(lead):])
        index += 1
    return None


def _jump_lead(token: str) -> Optional[str]:
    """None: not a jump option. Empty: the target is the next token. Else: what stands before the target in this one."""
    if token in ('-j', '-g'):
        return ''
    if not token.startswith('--'):
        return token[:2] if token[:2] in ('-j', '-g') else None
    option, equals, _value = token.partition('=')
    if len(option) > 2 and ('--jump'.startswith(option) or '--goto'.startswith(option)):
        return option + equals if equals else ''
    return None


def saved_target(rule: str) -> Optional[str]:
    """The target of a rule as iptables-save prints it (one spelling only); None without one."""
    found = _saved_jump(rule)
    return found.group(2) if found else None


def _saved_jump(rule: str) -> Optional[re.Match[str]]:
    """The jump in saved text. Free text such as a comment may hold ' -j ' too: then the rule is read word by word."""
    candidates = list(_SAVED_JUMP.finditer(rule))
    if not candidates:
        return None
    if len(candidates) == 1 and '"' not in rule and '--comment -' not in rule:
        return candidates[0]
    jump = find_jump(tokenise(rule))
    for found in candidates if jump is not None else ():
        before = rule[:found.start()]
        if jump is not None and _balanced(before) and len(tokenise(before)) == jump.place - 1:
            return found
    return None


def _balanced(text: str) -> bool:
    return re.sub(r'\\.', '', text).count('"') % 2 == 0


def retarget(rule: str, names: Mapping[str, str]) -> str:
    """A saved rule with its jump renamed where `names` has the target, and everything else as it was."""
    if jump_among(rule, names) is None:
        return rule
    found = _saved_jump(rule)
    if found is None or found.group(2) not in names:
        return rule
    return '%s%s%s' % (rule[:found.start(2)], names[found.group(2)], rule[found.end(2):])


def jump_among(rule: str, names: Container[str]) -> Optional[str]:
    """The target of a saved rule if it is one of `names`. Rules are only read word by word where that can be."""
    for candidate in _SAVED_JUMP.finditer(rule):
        if candidate.group(2) in names:
            target = saved_target(rule)
            return target if target is not None and target in names else None
    return None


def possible_targets(text: str) -> List[str]:
    """Everything in a rule as written that may be the target of its jump, in any spelling; perhaps more than that."""
    return _WRITTEN_JUMP.findall(text)


def retarget_written(text: str, names: Mapping[str, str]) -> str:
    """The same for a rule as a person wrote it."""
    tokens = tokenise(text)
    jump = find_jump(tokens)
    if jump is None or jump.target not in names:
        return text
    tokens[jump.place] = jump.lead + names[jump.target]
    return join(tokens)


def retarget_any(text: str, names: Mapping[str, str]) -> str:
    """The same for a rule as written, which keeps its text but for the target where it is in save's spelling already."""
    if _SAVED_JUMP.search(text):
        return retarget(text, names)
    return retarget_written(text, names) if any(target in names for target in possible_targets(text)) else text


def plain_quotes(rule: str) -> str:
    """A rule with the quotes around plain words put aside, as join writes it (iptables-save quotes some of them, such as a.b)."""
    return _QUOTED_PLAIN.sub(r'\1', rule) if '"' in rule else rule


def option_values(tokens: Sequence[str], options: Mapping[str, object]) -> Dict[str, List[str]]:
    """The values behind the given options in a rule, attached spellings (-s10.0.0.1, --source=10.0.0.1) included."""
    found: Dict[str, List[str]] = {}
    words = iter(tokens)
    for token in words:
        if token in options or token in TEXT_OPTIONS:
            value = next(words, None)
            if token in options and value is not None:
                found.setdefault(token, []).append(value)
        elif token[:1] == '-' and len(token) > 2:
            option, equals, value = token.partition('=') if token[1] == '-' else (token[:2], '=', token[2:])
            if equals and option in options:
                found.setdefault(option, []).append(value)
    return found
