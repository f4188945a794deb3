# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of each key: its state, what is in effect on which interface, and who else has a say. Pure."""
from __future__ import annotations

from typing import AbstractSet, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import Declaration, Item, in_table_order
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import BootOrder, Line, later_line
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_model import Facts, Wish, groups_of
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import (
    ALL,
    DEFAULT,
    Conf,
    conf_of,
    conf_path,
    effective,
    same_value,
    shown,
)

#: Of more interfaces than these, only those are listed that are not as declared.
LONGEST_LIST = 50


#: Keys that are no longer declared: the value that they get back, and who says so. None: it stays.
Released = Mapping[str, Tuple[Optional[str], str]]


class Report(NamedTuple):
    """What becomes of one declared key. `written` are the keys that have to be written for it."""

    path: str
    wanted: Optional[str]
    state: str
    before: Optional[str]
    after: Optional[str]
    reason: str
    source: str = ''
    effective: Mapping[str, str] = {}
    shadowed_by: Sequence[str] = ()
    written: Sequence[str] = ()

    def as_dict(self) -> Dict[str, Any]:
        """As the module returns it."""
        found: Dict[str, Any] = {'key': shown(self.path), 'wanted': self.wanted, 'state': self.state, 'changed': bool(self.written),
                                 'before': self.before, 'after': self.after, 'reason': self.reason, 'source': self.source}
        if self.effective:
            short = len(self.effective) <= LONGEST_LIST
            listed = {name: value for name, value in self.effective.items() if short or value != self.wanted or name == DEFAULT}
            found['effective'] = listed
            if len(listed) < len(self.effective):
                found['effective_elsewhere'] = {'interfaces': len(self.effective) - len(listed), 'value': self.wanted}
        if self.shadowed_by:
            found['shadowed_by'] = list(self.shadowed_by)
        return found


class Reports:
    """Makes what is told of each key."""

    def __init__(self, wanted: Declaration, facts: Facts, wish: Wish, raw: Mapping[str, str], after: Mapping[str, str],
                 written: AbstractSet[str], order: BootOrder) -> None:
        self.wanted, self.facts, self.wish, self.raw = wanted, facts, wish, raw
        self.after, self.written, self.order = after, written, order
        self.groups = {group.key: group for group in groups_of(wanted)}

    def of_items(self) -> List[Report]:
        return [self._item(item) for item in in_table_order(self.wanted.items).values()]

    def _item(self, item: Item) -> Report:
        paths = self._paths(item)
        there = [path for path in paths if self.facts.has(path)]
        shadows = self._shadows(item, paths)
        written = [path for path in there if path in self.written]
        readonly = self.wish.runtime and any(
            path in self.facts.faults and not same_value(path, self.facts.values.get(path), self.raw[path]) for path in there)
        if item.path not in there:
            state = 'missing'
        elif readonly:
            state = 'readonly'
        elif shadows:
            state = 'shadowed'
        else:
            state = 'changed' if written else 'ok'
        return Report(item.path, item.value, state, self.facts.values.get(item.path), self.after.get(item.path), item.reason, item.source,
                      self._effective(item, there), shadows, written)

    def _paths(self, item: Item) -> List[str]:
        """The single keys that an item is about."""
        conf = conf_of(item.path)
        if conf is None or conf.member != ALL:
            return [item.path]
        group = self.groups[conf.group]
        members = [ALL, DEFAULT, *self.facts.members(conf.family)]
        apart = (set(group.items) | group.left) - {ALL}
        return [conf_path(conf.family, member, conf.leaf) for member in members if member not in apart]

    def _effective(self, item: Item, there: Sequence[str]) -> Dict[str, str]:
        """What is in effect on each interface that an item is about."""
        found: Dict[str, str] = {}
        for path in there:
            conf = conf_of(path)
            own, in_all = self.after.get(path), self.after.get(conf_path(conf.family, ALL, conf.leaf)) if conf else None
            if conf is None or conf.member == ALL or own is None:
                continue
            forwards = self.after.get(conf_path('ipv4', conf.member, 'forwarding')) == '1'
            found[conf.member] = effective(conf.group, in_all, own, forwards) if in_all is not None else own
        return found

    def _shadows(self, item: Item, paths: Sequence[str]) -> List[str]:
        """What gives a key another value than the declared one: another file at boot or later, or the value of `all` now."""
        found: Dict[str, None] = {}
        for path in paths:
            line = self.order.last_word(path)
            if line is not None and line.value is not None and not same_value(path, line.value, self.raw[path]):
                found[_said(line, path, 'at boot')] = None
            for late, when in later_line(self.facts.files, path):
                if not same_value(path, late.value, self.raw[path]):
                    found[_said(late, path, when)] = None
        conf = conf_of(item.path)
        if conf is not None and conf.member == DEFAULT and self.wish.runtime:
            now = self._effective(item, [item.path] if self.facts.has(item.path) else []).get(DEFAULT, item.value)
            if now != item.value and item.path not in self.facts.faults:
                general = conf_path(conf.family, ALL, conf.leaf)
                found['%s = %s, which counts on every interface' % (shown(general), self.after.get(general))] = None
        return list(found)

    def of_left(self) -> List[Report]:
        return [Report(path, None, 'kept', self.facts.values.get(path), self.facts.values.get(path), reason)
                for path, reason in self.wanted.left.items()]

    def of_released(self, released: Released) -> List[Report]:
        """One report for each key that our file named; interfaces that it meant by a pattern go with `all`."""
        reports = []
        for path, (value, reason) in released.items():
            conf = conf_of(path)
            general = conf_path(conf.family, ALL, conf.leaf) if conf else path
            if conf is not None and conf.member not in (ALL, DEFAULT) and general in released:
                continue
            family = [one for one in released if path == general and conf is not None and _is_interface(conf_of(one), conf)] if conf else []
            written = [one for one in [path, *family] if one in self.written]
            state = 'kept' if value is None else 'readonly' if path in self.facts.faults else 'restored' if written else 'ok'
            reports.append(Report(path, None, state, self.facts.values.get(path), self.after.get(path), reason, written=written))
        return reports


def _is_interface(one: Optional[Conf], general: Conf) -> bool:
    return one is not None and one.group == general.group and one.member not in (ALL, DEFAULT)


def _said(line: Line, path: str, when: str) -> str:
    return '%s: %s = %s (%s)' % (line.where, shown(line.key if line.is_pattern else path), line.value, when)


def warnings_of(reports: Sequence[Report], facts: Facts) -> List[str]:
    """What a person should know even without looking into the result."""
    found = []
    readonly = [shown(report.path) for report in reports if report.state == 'readonly']
    if readonly:
        found.append('/proc/sys cannot be written on this host (a container?), so %s stay as they are: %s' % (
            'these settings' if len(readonly) > 1 else 'this setting', _listed(readonly)))
    shadowed = [report for report in reports if report.shadowed_by]
    if shadowed:
        said = ['%s by %s' % (shown(report.path), ', '.join(report.shadowed_by[:3])) for report in shadowed[:10]]
        found.append('Other values are set for: %s' % '; '.join(said))
    missing = [shown(report.path) for report in reports if report.state == 'missing' and report.wanted is not None and report.reason == 'declared'
               and not _of_absent_interface(report.path, facts)]
    if missing:
        found.append('This kernel does not have: %s' % _listed(missing))
    return found


def _of_absent_interface(path: str, facts: Facts) -> bool:
    conf = conf_of(path)
    return conf is not None and facts.has(conf_path(conf.family, ALL, conf.leaf))


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:10]) + (' and %d more' % (len(names) - 10) if len(names) > 10 else '')
