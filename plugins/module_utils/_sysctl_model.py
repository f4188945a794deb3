# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan of kernel settings is made of: the host as data, what is asked for, and the order in which keys are written. Pure."""
from __future__ import annotations

from typing import AbstractSet, Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import Declaration, Item
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import SysctlFiles
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import ALL, DEFAULT, Targets, conf_of, conf_path

#: What the kernel spreads to all interfaces by itself: one line says it, and programs may set an interface of their own otherwise.
SPREAD = ('forwarding', 'disable_ipv6')
FORWARDS = ('ipv4', 'forwarding')
_EARLY, _FIRST, _LATER = range(3)


class Facts(NamedTuple):
    """A host. `values` are the keys that could be read; `faults` says of keys why they cannot be read or written: readonly (the host's /proc/sys
    is), fixed (the kernel only shows it), trigger (it can only be written), folder or unreadable."""

    values: Mapping[str, str]
    faults: Mapping[str, str]
    interfaces: Mapping[str, Sequence[str]]
    files: SysctlFiles
    own: Optional[str] = None
    forwarders: Sequence[str] = ()
    advertised: AbstractSet[str] = frozenset()

    def has(self, path: str) -> bool:
        return path in self.values or path in self.faults

    def members(self, family: str) -> Sequence[str]:
        return self.interfaces.get(family, ())


class Wish(NamedTuple):
    """What is asked for beside the declaration itself."""

    present: bool = True
    persist: bool = True
    runtime: bool = True
    on_missing: Optional[str] = None
    title: str = 'Kernel settings'


class Target(NamedTuple):
    """A key and the text that it is to have, in the order in which they are written."""

    path: str
    value: str


class Group(NamedTuple):
    """The declared items of one `conf` leaf of a family."""

    family: str
    leaf: str
    items: Mapping[str, Item]
    left: AbstractSet[str]

    @property
    def key(self) -> Tuple[str, str]:
        return self.family, self.leaf

    @property
    def targets(self) -> Targets:
        values = {member: item.value for member, item in self.items.items()}
        everywhere, default = values.pop(ALL, None), values.pop(DEFAULT, None)
        return Targets(everywhere, default, values)


def place_of(path: str) -> Tuple[Any, ...]:
    """Where in the order of writing a key has its place."""
    conf = conf_of(path)
    if conf is None:
        return (_LATER, '', '', 0, path)
    phase = _FIRST if conf.leaf == 'forwarding' else _LATER
    if conf.group == ('ipv6', 'accept_ra'):
        phase = _EARLY
    # The kernel copies what is written to IPv4's default to interfaces that nobody has set yet: these go behind it.
    member = 0 if conf.member == ALL else 1 if conf.member == DEFAULT else 2
    return (phase, conf.family, conf.leaf, member, conf.member)


def in_writing_order(paths: Iterable[str]) -> List[str]:
    """Keys in the order in which what is written stays."""
    return sorted(paths, key=place_of)


def touched_by(paths: Iterable[str], facts: Facts) -> List[str]:
    """The keys that change when these are written, themselves included: the kernel spreads forwarding and IPv4's defaults over the interfaces."""
    found: Dict[str, None] = {}
    for path in paths:
        found[path] = None
        conf = conf_of(path)
        if conf is not None and conf.member in (ALL, DEFAULT):
            for member in (ALL, DEFAULT, *facts.members(conf.family)):
                found[conf_path(conf.family, member, conf.leaf)] = None
        if conf is not None and conf.group == FORWARDS:
            found[conf_path('ipv4', ALL, 'accept_redirects')] = None
    return in_writing_order(found)


def groups_of(wanted: Declaration) -> List[Group]:
    """The `conf` items by family and leaf."""
    found: Dict[Tuple[str, str], Dict[str, Item]] = {}
    for path, item in wanted.items.items():
        conf = conf_of(path)
        if conf is not None:
            found.setdefault(conf.group, {})[conf.member] = item
    left = [conf for conf in map(conf_of, wanted.left) if conf is not None]
    return [Group(key[0], key[1], items, {conf.member for conf in left if conf.group == key}) for key, items in found.items()]
