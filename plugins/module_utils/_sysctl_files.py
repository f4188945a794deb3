# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sysctl.d as the host reads it at boot: which file and line has the last word on a key. Pure: files come in as text.

Sources: sysctl.d(5), src/sysctl/sysctl.c of systemd, sysctl(8) of procps.
"""
from __future__ import annotations

import re
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Pattern, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import ALL, DEFAULT, conf_of, conf_path, separated, shown

OWN_FILE = '/etc/sysctl.d/99-zz-palisade.conf'
#: A file in the first of these hides those of the same name in the others.
DIRECTORIES = ('/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d', '/lib/sysctl.d')
PROCPS_FILE = '/etc/sysctl.conf'
UFW_SWITCH = '/etc/ufw/ufw.conf'
UFW_DEFAULTS = '/etc/default/ufw'
UFW_FILE = '/etc/ufw/sysctl.conf'
_AS_REGEX = {'*': '[^/]*', '?': '[^/]'}


class Line(NamedTuple):
    """One line that sets something. `key` is a path or a pattern; `value` None only keeps patterns from this key."""

    key: str
    value: Optional[str]
    where: str

    @property
    def is_pattern(self) -> bool:
        return bool(re.search(r'[*?\[]', self.key))


class SysctlFile(NamedTuple):
    """A file of settings, by the path under which it is read."""

    path: str
    text: str


class SysctlFiles(NamedTuple):
    """What is applied at boot in this order, and what others apply later: file and when."""

    boot: Sequence[SysctlFile]
    later: Sequence[Tuple[SysctlFile, str]] = ()


def in_boot_order(paths: Sequence[str]) -> List[str]:
    """The files that count, in the order in which they are applied. `paths` are in the order of DIRECTORIES."""
    first: Dict[str, str] = {}
    for path in paths:
        first.setdefault(path.rpartition('/')[2], path)
    return [first[name] for name in sorted(first) if name.endswith('.conf')]


def parse_lines(file: SysctlFile) -> List[Line]:
    """The lines of a file that set something."""
    found = []
    for number, text in enumerate(file.text.split('\n'), 1):
        text = text.strip()
        if not text or text[0] in '#;':
            continue
        name, sign, value = text.partition('=')
        excluded = name.startswith('-') and not sign
        if sign or excluded:
            found.append(Line(separated(name.lstrip('-')), None if excluded else value.strip(), '%s:%d' % (file.path, number)))
    return found


class BootOrder:
    """What the files come to, as systemd-sysctl applies them.

    A key that is set again with another value takes the later place, one that is set again with the same value keeps its place. A pattern spares
    the keys that have a line of their own anywhere.
    """

    def __init__(self, files: Sequence[SysctlFile]) -> None:
        lines: Dict[str, Line] = {}
        for file in files:
            for line in parse_lines(file):
                known = lines.get(line.key)
                if known is None or known.value != line.value:
                    lines.pop(line.key, None)
                    lines[line.key] = line
        self._exact = {line.key: line for line in lines.values() if not line.is_pattern}
        self._patterns: List[Tuple[Pattern[str], Line]] = [(_compiled(line.key), line) for line in lines.values() if line.is_pattern]

    def exact_keys(self) -> List[str]:
        """The keys that have a line of their own."""
        return list(self._exact)

    def last_word(self, path: str) -> Optional[Line]:
        """The line that sets a key; None where none does."""
        if path in self._exact:
            line = self._exact[path]
            return line if line.value is not None else None
        fitting = [line for pattern, line in self._patterns if pattern.match(path)]
        return fitting[-1] if fitting else None

    def value_at_boot(self, path: str) -> Optional[Line]:
        """The same, where an interface without a line takes what interfaces start with, and forwarding is spread by its one switch."""
        line = self.last_word(path)
        conf = conf_of(path)
        if line is not None or conf is None or conf.member == ALL:
            return line
        if conf.leaf in ('forwarding', 'disable_ipv6'):
            return (self.last_word(conf_path(conf.family, DEFAULT, conf.leaf)) if conf.member != DEFAULT else None) or self.last_word(
                conf_path(conf.family, ALL, conf.leaf))
        return self.last_word(conf_path(conf.family, DEFAULT, conf.leaf)) if conf.member != DEFAULT else None


def with_own(files: Sequence[SysctlFile], text: str) -> List[SysctlFile]:
    """All files in the order in which they are applied, ours in its place."""
    name = OWN_FILE.rpartition('/')[2]
    others = [file for file in files if file.path.rpartition('/')[2] != name]
    return sorted([*others, *([SysctlFile(OWN_FILE, text)] if text else [])], key=lambda file: file.path.rpartition('/')[2])


def _compiled(pattern: str) -> Pattern[str]:
    """A pattern of glob(7): no wildcard matches the separator."""
    parts = re.findall(r'\[!?\]?[^\]]*\]|.', pattern)
    return re.compile(''.join(_AS_REGEX.get(part) or (part.replace('[!', '[^') if len(part) > 1 else re.escape(part)) for part in parts) + r'\Z')


def interfaces_named(order: BootOrder, family: str, leaf: str) -> Iterator[str]:
    """The interfaces for which files set a `conf` key by name."""
    for path in order.exact_keys():
        conf = conf_of(path)
        if conf is not None and conf.group == (family, leaf) and conf.member not in (ALL, DEFAULT):
            yield conf.member


def later_line(files: SysctlFiles, path: str) -> Iterator[Tuple[Line, str]]:
    """What is set for a key by those that come after the boot's own, and when."""
    for file, when in files.later:
        last = None
        for line in parse_lines(file):
            if line.key == path and line.value is not None:
                last = line
        if last is not None:
            yield last, when


def file_text(title: str, sections: Sequence[Tuple[str, Sequence[str]]]) -> str:
    """The text of our own file: a comment and lines for each section; empty where there is nothing to say."""
    if not sections:
        return ''
    head = ['# ' + title,
            '# Written by palisade.netfilter.sysctl_hardening. What is changed here by hand is gone with its next run.',
            '# A dash in front: a kernel without the key is no failure. An asterisk: also interfaces that come later.']
    return '\n'.join(head + [line for comment, lines in sections for line in ['', '# ' + comment, *lines]]) + '\n'


def set_line(path: str, value: str) -> str:
    """A line that sets a key or a pattern, given by its path."""
    return '-%s = %s' % (shown(path), value)


def spare_line(path: str) -> str:
    """A line that keeps patterns from a key."""
    return '-%s' % shown(path)


def ufw_is_on(texts: Mapping[str, str]) -> bool:
    """Whether ufw applies its file of settings: it is enabled, and has not been told another file or none."""
    enabled = re.search(r'^\s*ENABLED\s*=\s*"?yes', texts.get(UFW_SWITCH, ''), re.MULTILINE | re.IGNORECASE)
    chosen = re.search(r'^\s*IPT_SYSCTL\s*=\s*"?([^"\s#]*)', texts.get(UFW_DEFAULTS, ''), re.MULTILINE)
    return bool(enabled) and (chosen is None or chosen.group(1) == UFW_FILE)
