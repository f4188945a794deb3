# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's and modprobe's own files say of modules, as data. Pure: from their texts, which _host_modules.py reads."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

#: Programs that an `install` line names to keep a module from being loaded.
_REFUSERS = ('/bin/false', '/usr/bin/false', '/bin/true', '/usr/bin/true')
_SUFFIX = re.compile(r'\.ko(?:\.\w+)?\Z')
_OWN_SYMBOLS = {'ip_tables': 'IP_NF_IPTABLES', 'ip6_tables': 'IP6_NF_IPTABLES', 'x_tables': 'NETFILTER_XTABLES', 'nfnetlink': 'NETFILTER_NETLINK',
           'br_netfilter': 'BRIDGE_NETFILTER', 'dccp': 'IP_DCCP', 'sctp': 'IP_SCTP'}
_SYMBOLS = (
    (re.compile(r'ip(6?)table_(\w+)'), ('IP{0}_NF_{1}',)),
    (re.compile(r'ip(6?)t_(\w+)'), ('IP{0}_NF_TARGET_{1}', 'IP{0}_NF_MATCH_{1}')),
    (re.compile(r'(nf)netlink_(\w+)'), ('NETFILTER_NETLINK_{1}',)),
    (re.compile(r'(xt)_([A-Z0-9_]+)'), ('NETFILTER_XT_TARGET_{1}', 'NETFILTER_XT_{1}')),
    (re.compile(r'(xt)_(\w+)'), ('NETFILTER_XT_MATCH_{1}', 'NETFILTER_XT_{1}')),
    (re.compile(r'()(\w+)'), ('{1}',)),
)


class Live(NamedTuple):
    """A line of /proc/modules. `uses` counts everybody, also what is no module; `holders` are the modules among them."""

    uses: int
    holders: Tuple[str, ...]
    permanent: bool


@dataclass(frozen=True)
class ConfigLine:
    """A line of modprobe's configuration: `install PATTERN COMMAND`, `options PATTERN TEXT` and the like."""

    path: str
    command: str
    pattern: str
    text: str

    def is_about(self, name: str) -> bool:
        return fnmatchcase(name, self.pattern)

    def refuses(self) -> bool:
        """Whether it is an install line that keeps its module from being loaded."""
        return self.command == 'install' and self.text.split(' ')[0] in _REFUSERS

    def __str__(self) -> str:
        return "%s has '%s'" % (self.path, ' '.join(part for part in (self.command, self.pattern, self.text) if part))


@dataclass(frozen=True)
class Tree:
    """What depmod has written of the running kernel's modules: each one's dependencies, all the way down; and those that are built in."""

    depends: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    built_in: FrozenSet[str] = frozenset()

    def knows(self, name: str) -> bool:
        return name in self.depends or name in self.built_in


@dataclass(frozen=True)
class Facts:
    """One host's modules.

    live: what is loaded, None on a kernel without modules. tree: None without files for the running kernel. built_in, absent: names that
    /sys/module or the kernel's configuration tell of, where there is no tree. obstacle: why nothing can be loaded or unloaded by us,
    in words, or ''. config: modprobe's, without our own files, in the order in which it is read. at_boot: modules that somebody else's file
    loads at boot → that file. own: our files' texts. parameters: those of modules that have options declared, by module, as the kernel shows
    them; writable: those that can be written. accepted: every parameter of a module, where it had to be asked.
    """

    live: Optional[Mapping[str, Live]] = None
    tree: Optional[Tree] = None
    built_in: FrozenSet[str] = frozenset()
    absent: FrozenSet[str] = frozenset()
    obstacle: str = ''
    config: Sequence[ConfigLine] = ()
    at_boot: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    writable: FrozenSet[Tuple[str, str]] = frozenset()
    accepted: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    page_size: int = 4096

    def state(self, name: str) -> str:
        """loaded, built_in, unloaded, missing, or unknown where nothing tells."""
        if self.live is not None and name in self.live:
            return 'loaded'
        if name in self.built_in or (self.tree and name in self.tree.built_in):
            return 'built_in'
        if self.tree is not None:
            return 'unloaded' if name in self.tree.depends else 'missing'
        return 'missing' if name in self.absent else 'unknown'

    def depends(self, name: str) -> FrozenSet[str]:
        """All modules that this one needs."""
        return self.tree.depends.get(name, frozenset()) if self.tree else frozenset()

    def install_line(self, name: str) -> Optional[ConfigLine]:
        """The line that modprobe would run in the place of loading the module: the first one, unless soft dependencies make it pass over."""
        return next((line for line in self.config if line.command == 'install' and line.is_about(name)), None)


def same_name(name: str) -> str:
    """A module's name as the kernel has it: modprobe takes - for _."""
    return name.replace('-', '_')


def read_live(text: str) -> Dict[str, Live]:
    """The text of /proc/modules."""
    found: Dict[str, Live] = {}
    for line in text.split('\n'):
        words = line.split()
        if len(words) < 5:
            continue
        holders = [word for word in words[3].split(',') if word not in ('', '-')]
        uses = int(words[2]) if words[2].lstrip('-').isdigit() else 0
        found[words[0]] = Live(uses, tuple(word for word in holders if word != '[permanent]'), '[permanent]' in holders)
    return found


def read_tree(dep: str, builtin: str) -> Tree:
    """The texts of modules.dep and modules.builtin."""
    depends: Dict[str, FrozenSet[str]] = {}
    for line in dep.split('\n'):
        path, colon, needed = line.partition(':')
        if colon:
            depends[_name_of(path)] = frozenset(_name_of(word) for word in needed.split())
    return Tree(depends, frozenset(_name_of(line) for line in builtin.split('\n') if line))


def _name_of(path: str) -> str:
    return same_name(_SUFFIX.sub('', path.rpartition('/')[2]))


def read_config(files: Iterable[Tuple[str, str]]) -> List[ConfigLine]:
    """The lines of modprobe's configuration; `files` are path and text, in the order in which modprobe reads them."""
    found: List[ConfigLine] = []
    for path, text in files:
        for line in text.replace('\\\n', ' ').split('\n'):
            words = line.split(None, 2)
            if len(words) > 1 and not line.lstrip().startswith('#'):
                found.append(ConfigLine(path, words[0], same_name(words[1]), ' '.join(words[2].split()) if len(words) > 2 else ''))
    return found


def in_reading_order(paths: Sequence[str]) -> List[str]:
    """Files of several *.d folders as modprobe and systemd take them: by their last names; one in an earlier folder hides its namesake."""
    first: Dict[str, str] = {}
    for path in paths:
        first.setdefault(path.rpartition('/')[2], path)
    return [first[name] for name in sorted(first)]


def read_names(text: str) -> List[str]:
    """The modules that a file of modules-load.d names. (A line of /etc/modules may have options too.)"""
    lines = (line.split() for line in text.split('\n') if not line.lstrip().startswith(('#', ';')))
    return [same_name(words[0]) for words in lines if words]


def symbols_of(name: str) -> Tuple[str, ...]:
    """What the kernel's configuration may call a netfilter module, without CONFIG_. Others bear their own name."""
    if name in _OWN_SYMBOLS:
        return (_OWN_SYMBOLS[name],)
    for pattern, symbols in _SYMBOLS:
        match = pattern.fullmatch(name)
        if match:
            return tuple(symbol.format(match.group(1), match.group(2).upper()) for symbol in symbols)
    return ()


def read_configured(names: Iterable[str], text: str) -> Tuple[Set[str], Set[str]]:
    """Those of the modules that a kernel's configuration has built in, and those that it has not at all."""
    built_in: Set[str] = set()
    absent: Set[str] = set()
    for name in names:
        for symbol in symbols_of(name):
            if re.search('^CONFIG_%s=y$' % symbol, text, re.MULTILINE):
                built_in.add(name)
                break
            if re.search('^# CONFIG_%s is not set$' % symbol, text, re.MULTILINE):
                absent.add(name)
    return built_in, absent - built_in
