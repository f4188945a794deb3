# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be written to bring a host's kernel settings into the declared state, and what our file says. Pure: a host comes in as data.

Forwarding goes first, since a change of it makes the kernel reset all.accept_redirects; only accept_ra 2 goes ahead of it, since a host that
begins to forward drops the routes it has learned from routers on interfaces without it.
"""
from __future__ import annotations

from difflib import get_close_matches
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import Declaration, Item, adapted, kernel_default, reason_of
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import (
    OWN_FILE,
    BootOrder,
    SysctlFile,
    file_text,
    interfaces_named,
    parse_lines,
    set_line,
    spare_line,
    with_own,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_model import (
    FORWARDS,
    SPREAD,
    Facts,
    Group,
    Target,
    Wish,
    groups_of,
    place_of,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_report import Report, Reports, warnings_of
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import (
    ALIASES,
    ALL,
    DEFAULT,
    FAMILIES,
    check_kind,
    conf_of,
    conf_path,
    counts_all,
    effective,
    is_known,
    known_keys,
    parse_value,
    same_value,
    settle,
    shown,
)


class SysctlPlan(NamedTuple):
    """`targets`: all that has to have a value, in order; `writes`: those of them that do not have it yet."""

    targets: Sequence[Target]
    writes: Sequence[Target]
    reports: Sequence[Report]
    old_text: str
    new_text: str
    warnings: Sequence[str]

    @property
    def file_changes(self) -> bool:
        return self.old_text != self.new_text

    @property
    def changed(self) -> bool:
        return bool(self.writes) or self.file_changes


def keys_to_read(declaration: Declaration, own: Optional[str], interfaces: Mapping[str, Sequence[str]]) -> List[str]:
    """What a plan has to know of a host: declared keys and those of our file, of `conf` keys on every interface."""
    found: Dict[str, None] = {}
    paths = list(declaration.items) + [line.key for line in parse_lines(SysctlFile(OWN_FILE, own or ''))]
    for path in [*paths, *(conf_path(family, ALL, 'forwarding') for family in FAMILIES)]:
        conf = conf_of(path)
        members = [conf.member, ALL, DEFAULT, *interfaces.get(conf.family, ())] if conf and conf.family in interfaces else []
        for one in [conf_path(conf.family, member, conf.leaf) for member in members if member != '*'] if conf else [path]:
            found[one] = None
    return list(found)


def make_plan(declaration: Declaration, facts: Facts, wish: Wish) -> SysctlPlan:
    """The plan. Raises PalisadeError where what is declared cannot be, before anything has changed."""
    wanted = adapted(declaration, facts.forwarders, facts.advertised, facts.values)
    _check(wanted, facts, wish)
    raw = _raw_values(wanted, facts)
    new_text = _own_text(wanted, raw, facts, wish) if wish.persist else facts.own or ''
    old_text = facts.own or ''
    order = BootOrder(with_own(facts.files.boot, new_text))
    released = _released(wanted, raw, facts, wish)
    given_back = {path: value for path, (value, _why) in released.items() if value is not None}
    values = {**given_back, **raw, **_held(wanted, facts)} if wish.runtime else {}
    targets = [Target(path, values[path]) for path in sorted(values, key=place_of) if facts.has(path)]
    writes = [target for target in targets if target.path in facts.values and target.path not in facts.faults
              and not same_value(target.path, facts.values[target.path], target.value)]
    after = {**facts.values, **{target.path: target.value for target in writes}}
    maker = Reports(wanted, facts, wish, raw, after, {target.path for target in writes}, order)
    reports = [*maker.of_items(), *maker.of_left(), *maker.of_released(released)]
    return SysctlPlan(targets, writes, reports, old_text, new_text, warnings_of(reports, facts))


def _check(wanted: Declaration, facts: Facts, wish: Wish) -> None:
    """Refuse what cannot be, ahead of any change."""
    for path, item in wanted.items.items():
        fault = facts.faults.get(path)
        if fault == 'folder':
            raise PalisadeError('settings: %s is a folder of keys, not a key' % shown(path))
        if fault == 'trigger':
            raise PalisadeError('settings: %s can only be written, so it has no state that could be declared' % shown(path))
        if fault == 'fixed' and not same_value(path, facts.values.get(path), item.value):
            raise PalisadeError('settings: %s cannot be set: the kernel only shows it, and it is %s' % (shown(path), facts.values.get(path)))
        if item.origin == 'settings' and path in facts.values:
            check_kind(path, item.value, facts.values[path])
        if not facts.has(path):
            _check_missing(path, item, facts, wish)


def _check_missing(path: str, item: Item, facts: Facts, wish: Wish) -> None:
    conf = conf_of(path)
    general = conf_path(conf.family, DEFAULT, conf.leaf) if conf else path
    if facts.has(general) or wish.on_missing == 'skip':
        return
    if wish.on_missing == 'fail':
        raise PalisadeError('%s: this kernel has no such key' % shown(path))
    if item.origin != 'settings' or is_known(path) or (conf is not None and conf.family not in facts.interfaces):
        return
    near = get_close_matches(conf_path(conf.family, ALL, conf.leaf) if conf else path, known_keys() + list(facts.values), 1, 0.85)
    hint = '. Is %s meant?' % shown(near[0]) if near else ''
    raise PalisadeError('settings: %s: this kernel has no such key, and none is known by that name%s (on_missing: skip takes it all the same)'
                        % (shown(path), hint))


def _raw_values(wanted: Declaration, facts: Facts) -> Dict[str, str]:
    """The value of each single key, so that the effective ones are as declared."""
    raw = {path: item.value for path, item in wanted.items.items() if conf_of(path) is None}
    groups = sorted(groups_of(wanted), key=lambda group: group.key != FORWARDS)
    for group in groups:
        members = [name for name in facts.members(group.family) if name not in group.left]
        forwards = _forwarding(raw, facts, [*members, *group.items, DEFAULT])
        for member, value in settle(group.key, group.targets, members, forwards).items():
            raw[conf_path(group.family, member, group.leaf)] = value
        if group.targets.everywhere is None:
            _check_alone(group, forwards, facts)
    return raw


def _held(wanted: Declaration, facts: Facts) -> Dict[str, str]:
    """Interfaces that are left alone keep their value, also where the kernel would copy a new default to them."""
    paths = [conf_path(group.family, name, group.leaf) for group in groups_of(wanted) for name in sorted(group.left - {ALL, DEFAULT})]
    return {path: facts.values[path] for path in paths if path in facts.values}


def _forwarding(raw: Mapping[str, str], facts: Facts, members: Sequence[str]) -> Dict[str, bool]:
    """Which interfaces forward IPv4 once all is written."""
    def value(member: str) -> Optional[str]:
        path = conf_path('ipv4', member, 'forwarding')
        return raw.get(path, facts.values.get(path))

    general = raw.get(conf_path('ipv4', ALL, 'forwarding'))
    return {member: (value(member) or general or value(DEFAULT)) == '1' for member in members}


def _check_alone(group: Group, forwards: Mapping[str, bool], facts: Facts) -> None:
    """An interface's value where nothing is declared for all of them: what is in `all` now may be stronger."""
    in_all = facts.values.get(conf_path(group.family, ALL, group.leaf))
    if in_all is None or not counts_all(group.key) or conf_path(group.family, ALL, group.leaf) in facts.faults:
        return
    for member, item in group.items.items():
        found = effective(group.key, in_all, item.value, forwards.get(member, False))
        if member != DEFAULT and found != item.value:
            general = shown(conf_path(group.family, ALL, group.leaf))
            raise PalisadeError('%s: %s is not in effect on %s while %s is %s: declare that one as well' % (
                shown(item.path), item.value, member, general, in_all))


def _own_text(wanted: Declaration, raw: Mapping[str, str], facts: Facts, wish: Wish) -> str:
    """Our file."""
    if not wish.present:
        return ''
    others = BootOrder(with_own(facts.files.boot, ''))
    groups = {group.key: group for group in groups_of(wanted)}
    sections: List[Tuple[str, List[str]]] = []
    for path, item in wanted.items.items():
        conf = conf_of(path)
        group = groups.pop(conf.group, None) if conf else None
        if conf is None:
            sections.append((reason_of(item), [set_line(path, raw[path])]))
        elif group is not None:
            sections.append((reason_of(item), list(_group_lines(group, raw, others))))
    return file_text(wish.title, sections)


def _group_lines(group: Group, raw: Mapping[str, str], others: BootOrder) -> Iterator[str]:
    def path(member: str) -> str:
        return conf_path(group.family, member, group.leaf)

    named = {member: item.value for member, item in group.items.items() if member not in (ALL, DEFAULT)}
    everywhere = group.targets.everywhere
    if everywhere is not None:
        yield set_line(path(ALL), raw[path(ALL)])
        if path(ALL) in ALIASES.values():
            # The other name of it, which to sysctl.d is another key: an earlier file may have used it.
            yield '-%s = %s' % (path(ALL).replace('/', '.'), raw[path(ALL)])
        if group.leaf not in SPREAD:
            yield set_line(path(DEFAULT), raw[path(DEFAULT)])
            yield set_line(path('*'), everywhere)
            # A pattern spares an interface that another file names, so it gets a line of its own here.
            named = {**{name: everywhere for name in interfaces_named(others, group.family, group.leaf) if name not in group.left}, **named}
    elif DEFAULT in group.items:
        yield set_line(path(DEFAULT), raw[path(DEFAULT)])
    if everywhere is not None and group.leaf in SPREAD and DEFAULT in group.items:
        yield set_line(path(DEFAULT), raw[path(DEFAULT)])
    for name in sorted(named):
        yield set_line(path(name), named[name])
    for name in sorted(group.left - {ALL, DEFAULT}) if everywhere is not None else ():
        yield spare_line(path(name))


def _released(wanted: Declaration, raw: Mapping[str, str], facts: Facts, wish: Wish) -> Dict[str, Tuple[Optional[str], str]]:
    """Keys of our old file that are ours no longer: the value that they get back, and who says so. None: it stays."""
    if not wish.persist:
        return {}
    others = BootOrder(with_own(facts.files.boot, ''))
    found: Dict[str, Tuple[Optional[str], str]] = {}
    for path in _paths_of_old(facts):
        if path in raw or path in wanted.left or not facts.has(path):
            continue
        conf = conf_of(path)
        if conf is not None and conf_path(conf.family, ALL, conf.leaf) in wanted.left:
            continue
        found[path] = _given_back(path, others, facts)
    return found


def _paths_of_old(facts: Facts) -> List[str]:
    """The keys that our file sets, patterns and what is spread resolved to the interfaces there are."""
    found: Dict[str, None] = {}
    for line in parse_lines(SysctlFile(OWN_FILE, facts.own or '')):
        conf = conf_of(line.key)
        if line.value is None:
            continue
        if not line.is_pattern:
            found[line.key] = None
        if conf is not None and (conf.member == '*' or (conf.member == ALL and conf.leaf in SPREAD)):
            for name in ([DEFAULT] if conf.leaf in SPREAD else []) + list(facts.members(conf.family)):
                found[conf_path(conf.family, name, conf.leaf)] = None
    return list(found)


def _given_back(path: str, others: BootOrder, facts: Facts) -> Tuple[Optional[str], str]:
    conf = conf_of(path)
    if conf is not None and conf.leaf == 'forwarding' and facts.forwarders:
        return None, 'needed by %s' % ' and '.join(facts.forwarders)
    line = others.value_at_boot(path)
    if line is not None and line.value is not None:
        try:
            return parse_value(path, line.value, line.where), 'as %s says' % line.where
        except PalisadeError:
            return None, '%s has %s, which the kernel would not take' % (line.where, line.value)
    default = kernel_default(path)
    return (default, 'as the kernel starts with') if default is not None else (None, 'no file says what it was; it stays until the next boot')
