# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of kernel_modules: from what is declared and what is there to what has to happen, and what to say of it. Pure."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import ROUNDED_UP
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import Item
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import ConfigLine, Facts, Live

LOAD_FILE = '/etc/modules-load.d/palisade.conf'
MODPROBE_FILE = '/etc/modprobe.d/palisade.conf'
#: Its name counts: modprobe takes the first `softdep` line for a module, and reads the kernel's own as a file called modules.softdep.
SOFTDEP_FILE = '/etc/modprobe.d/00-palisade.conf'
OUR_FILES = (SOFTDEP_FILE, MODPROBE_FILE, LOAD_FILE)

_HEAD = '# Written by palisade.netfilter.kernel_modules, whose next run puts back what is changed here.\n'
_SOFTDEP_HEAD = ('# modprobe passes over the install line of a module that has soft dependencies (modprobe.d(5)), so blocked modules have none.\n'
                 '# This file has to come before modules.softdep in the alphabet.\n')
_REFUSE = '/bin/false'
_BUILT_IN = 'it is built into the kernel, so it cannot be unloaded or blocked'
_COMMAND_LINE = "it is built in: at boot it takes options from the kernel's command line alone (%s)"


class Load(NamedTuple):
    """A module to load; `options` go on modprobe's command line, the last word on a parameter."""

    name: str
    options: Tuple[str, ...] = ()


class Write(NamedTuple):
    """A parameter of a module that is there, to be written."""

    name: str
    parameter: str
    old: str
    new: str


@dataclass
class Report:
    """What the result says of a module."""

    name: str
    asked: str
    wanted: str
    state: str
    before: str
    changed: bool = False
    options: Dict[str, Dict[str, Optional[str]]] = field(default_factory=dict)
    reload_needed: bool = False
    reasons: List[str] = field(default_factory=list)

    def data(self) -> Dict[str, Any]:
        return {'name': self.name, 'asked': self.asked, 'wanted': self.wanted, 'state': self.state, 'before': self.before, 'changed': self.changed,
                'options': self.options, 'reload_needed': self.reload_needed, 'reason': '; '.join(self.reasons)}


@dataclass
class ModulesPlan:
    """What has to happen. files: our files that change, path → text, or None for one that goes. blocked: what must not be loadable then."""

    files: Dict[str, Optional[str]] = field(default_factory=dict)
    loads: List[Load] = field(default_factory=list)
    unloads: List[str] = field(default_factory=list)
    writes: List[Write] = field(default_factory=list)
    blocked: Sequence[str] = ()
    reports: List[Report] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.files or self.loads or self.unloads or self.writes)


def plan_absent(facts: Facts) -> ModulesPlan:
    """Our files go. What is loaded stays so, and what was blocked is not loaded by us."""
    plan = ModulesPlan(files={path: None for path in OUR_FILES if path in facts.own})
    if LOAD_FILE in plan.files:
        plan.warnings.append('state: absent takes the files away and unloads nothing: what was loaded is so until the next boot')
    return plan


def plan_modules(items: Mapping[str, Item], renamed: Mapping[str, str], facts: Facts, *, persist: bool) -> ModulesPlan:
    """Plan for `items` by today's names; `renamed` says why a name is not the one that was asked for.

    Raises PalisadeError for what cannot be: nothing has changed then.
    """
    plan = ModulesPlan()
    _refuse_contradictions(items, facts)
    for name, item in items.items():
        report = Report(name, item.asked, item.state, '', _state_before(name, facts), reasons=[item.reason] if item.reason else [])
        if name in renamed:
            report.reasons.append(renamed[name])
        _plan_state(item, report, plan, facts)
        _plan_options(item, report, plan, facts)
        plan.reports.append(report)
    plan.unloads = _in_order_of_holding(plan.unloads, facts)
    plan.loads = _in_order_of_need(plan.loads, facts)
    if persist:
        _plan_files(items, plan, facts)
    _warn(items, plan, facts)
    return plan


def _refuse_contradictions(items: Mapping[str, Item], facts: Facts) -> None:
    for name, item in items.items():
        for needed in sorted(facts.depends(name)) if item.state == 'loaded' else ():
            other = items.get(needed)
            if other is not None and other.state != 'loaded':
                raise PalisadeError('modules: %s is to be loaded and needs %s, which is to be %s. Nothing has changed' % (
                    item.asked, other.asked, other.state))


# What a module is, and is to be

def _state_before(name: str, facts: Facts) -> str:
    state = facts.state(name)
    if state == 'unloaded' and _is_blocked(name, facts):
        return 'blocked'
    return 'unmanageable' if state == 'unknown' else state


def _is_blocked(name: str, facts: Facts) -> bool:
    line = facts.install_line(name)
    ours = (install_of(name) + '\n') in facts.own.get(MODPROBE_FILE, '')
    return line.refuses() if line is not None and (not ours or _is_ahead(line)) else ours


def _is_ahead(line: ConfigLine) -> bool:
    """Whether modprobe reads a line ahead of ours. Of install lines it takes the first, of options the last."""
    return line.path.rpartition('/')[2] < MODPROBE_FILE.rpartition('/')[2]


def _plan_state(item: Item, report: Report, plan: ModulesPlan, facts: Facts) -> None:
    report.state = report.before
    if report.before == 'missing':
        _plan_missing(item, report, facts)
    elif report.before == 'unmanageable':
        report.reasons.append('nothing tells whether the kernel has it: %s' % facts.obstacle)
    elif item.state == 'loaded':
        _plan_loaded(item, report, plan, facts)
    elif report.before == 'built_in':
        report.reasons.append(_BUILT_IN)
    else:
        _plan_gone(item, report, plan, facts)


def _plan_missing(item: Item, report: Report, facts: Facts) -> None:
    if item.state == 'loaded' and item.required and facts.tree is not None:
        name = item.asked if item.asked == report.name else '%s, as %s is called today' % (report.name, item.asked)
        raise PalisadeError('modules: this kernel has no module %s%s. Nothing has changed' % (name, similar(report.name, facts)))
    report.reasons.append('this kernel does not have it')


def similar(name: str, facts: Facts) -> str:
    """A hint at a module that the kernel has and that is called nearly so, or ''."""
    from difflib import get_close_matches  # Names are wrong seldom, and every run would wait for it.

    found = get_close_matches(name, facts.tree.depends, 1, 0.85) if facts.tree else []
    return '. Is %s meant?' % found[0] if found else ''


def _plan_loaded(item: Item, report: Report, plan: ModulesPlan, facts: Facts) -> None:
    if report.before in ('loaded', 'built_in'):
        return
    if facts.obstacle:
        report.state = 'unmanageable'
        report.reasons.append('it cannot be loaded: %s' % facts.obstacle)
        return
    for name in (report.name, *sorted(facts.depends(report.name))):
        line = facts.install_line(name)
        if line is not None and line.refuses() and facts.state(name) == 'unloaded':
            raise PalisadeError('modules: %s cannot be loaded: %s. Nothing has changed' % (item.asked, line))
    report.state, report.changed = 'loaded', True
    plan.loads.append(Load(report.name, tuple(_assignments(item.options))))


def _plan_gone(item: Item, report: Report, plan: ModulesPlan, facts: Facts) -> None:
    """Unloaded or blocked. A file of ours binds nobody where we may not load either: in a container it is not the one that the kernel asks."""
    if facts.obstacle and (report.before == 'loaded' or item.state == 'blocked'):
        report.state = 'unmanageable'
        report.reasons.append('it cannot be unloaded: %s' % facts.obstacle if report.before == 'loaded' else facts.obstacle)
        return
    if item.state == 'blocked':
        line = facts.install_line(report.name)
        if line is not None and not line.refuses() and _is_ahead(line):
            raise PalisadeError('modules: %s cannot be blocked: %s, which comes before %s. Nothing has changed' % (item.asked, line, MODPROBE_FILE))
    if report.before == 'loaded':
        report.changed = True
        plan.unloads.append(report.name)
    report.state = item.state


# Options

def _assignments(options: Mapping[str, str]) -> List[str]:
    return ['%s="%s"' % (key, value) if ' ' in value else '%s=%s' % (key, value) for key, value in sorted(options.items())]


def _plan_options(item: Item, report: Report, plan: ModulesPlan, facts: Facts) -> None:
    there = report.before in ('loaded', 'built_in') and item.state == 'loaded'
    shown = facts.parameters.get(report.name, {})
    _refuse_unknown(item, report.name, shown, facts)
    for parameter, value in sorted(item.options.items()):
        now = shown.get(parameter) if there else None
        report.options[parameter] = {'before': now, 'after': value}
        if not there:
            continue
        if now is None:
            report.options[parameter]['after'] = None
            report.reasons.append('%s cannot be read back, so it holds from the next time that it is loaded' % parameter)
        elif means_the_same(report.name, parameter, now, value, facts.page_size):
            report.options[parameter]['after'] = now
        elif (report.name, parameter) in facts.writable:
            report.changed = True
            plan.writes.append(Write(report.name, parameter, now, value))
        else:
            report.options[parameter]['after'] = now
            report.reload_needed = True
            report.reasons.append('%s is %s and cannot be written while it is loaded' % (parameter, now))
    if there and report.before == 'built_in' and item.options:
        report.reasons.append(_COMMAND_LINE % ' '.join('%s.%s' % (report.name, part) for part in _assignments(item.options)))


def _refuse_unknown(item: Item, name: str, shown: Mapping[str, str], facts: Facts) -> None:
    accepted = facts.accepted.get(name)
    unknown = sorted(set(item.options) - set(shown) - accepted) if accepted is not None else []
    if unknown:
        raise PalisadeError('%s. Nothing has changed' % no_such_parameter(item.asked, unknown[0], {*shown, *(accepted or ())}))


def no_such_parameter(asked: str, parameter: str, known: Iterable[str]) -> str:
    return 'modules: %s has no parameter %s (it has: %s)' % (asked, parameter, ', '.join(sorted(known)) or 'none')


def means_the_same(name: str, parameter: str, now: str, value: str, page_size: int) -> bool:
    """Whether a value that the kernel shows is the declared one, in whatever spelling."""
    shown, given = now.split(','), value.split(',')
    per_page = page_size // ROUNDED_UP.get((name, parameter), page_size)
    return len(shown) == len(given) and all(_one_means_the_same(one.strip(), other.strip(), per_page) for one, other in zip(shown, given))


def _one_means_the_same(shown: str, given: str, step: int) -> bool:
    if shown == given:
        return True
    if shown in ('Y', 'N'):
        return given.lower() in (('y', '1', 'on') if shown == 'Y' else ('n', '0', 'off'))
    there, wanted = _number(shown), _number(given)
    return there is not None and wanted is not None and there == -(-wanted // step) * step


def _number(text: str) -> Optional[int]:
    """As the kernel reads it: 0x is hexadecimal, a leading 0 octal."""
    digits = text.lstrip('+-')
    try:
        return int(text, 8) if digits.startswith('0') and digits[1:].isdigit() else int(text, 0)
    except ValueError:
        return None


# In which order

def _in_order_of_holding(names: Sequence[str], facts: Facts) -> List[str]:
    """Each behind those that hold it. Raises PalisadeError for one that somebody else holds, or something that is no module."""
    live = facts.live or {}
    left, order = set(names), []  # type: Set[str], List[str]
    while left:
        free = sorted(name for name in left if not set(live[name].holders) & left)
        if not free:
            raise PalisadeError('modules: %s hold each other and cannot be unloaded. Nothing has changed' % ', '.join(sorted(left)))
        for name in free:
            _refuse_in_use(name, live[name], set(order))
        order += free
        left -= set(free)
    return order


def _refuse_in_use(name: str, live: Live, gone: Set[str]) -> None:
    others = live.uses - len(live.holders)
    holders = [holder for holder in live.holders if holder not in gone]
    if live.permanent:
        raise PalisadeError('modules: %s cannot be unloaded: the kernel keeps it until the next boot (permanent). Nothing has changed' % name)
    if not holders and others <= 0:
        return
    by = holders + (['%d other%s (rules, sockets or interfaces)' % (others, '' if others == 1 else 's')] if others > 0 else [])
    raise PalisadeError('modules: %s cannot be unloaded: it is in use by %s. Nothing has changed' % (name, ', '.join(by)))


def _in_order_of_need(loads: Sequence[Load], facts: Facts) -> List[Load]:
    """Each behind what it needs, so that nothing is pulled in without its options. What a module needs needs less itself."""
    return sorted(loads, key=lambda load: (len(facts.depends(load.name)), load.name))


# Files

def install_of(name: str) -> str:
    """The line that blocks a module: by its name, by any alias and as what another one needs. (`blacklist` stops aliases alone.)"""
    return 'install %s %s' % (name, _REFUSE)


def options_of(name: str, options: Mapping[str, str]) -> str:
    """The line that gives a module its options whenever it is loaded."""
    return 'options %s %s' % (name, ' '.join(_assignments(options)))


def wanted_files(items: Mapping[str, Item]) -> Dict[str, Optional[str]]:
    """Our files' texts, None for one that there is nothing to write into."""
    kept = {name: item for name, item in sorted(items.items()) if item.persist}
    loaded = [name for name, item in kept.items() if item.state == 'loaded']
    blocked = [name for name, item in kept.items() if item.state == 'blocked']
    options = [options_of(name, item.options) for name, item in kept.items() if item.options]
    return {
        SOFTDEP_FILE: _text(_HEAD + _SOFTDEP_HEAD, ['softdep %s pre:' % name for name in blocked]),
        MODPROBE_FILE: _text(_HEAD, options + [install_of(name) for name in blocked]),
        LOAD_FILE: _text(_HEAD, loaded),
    }


def _text(head: str, lines: Sequence[str]) -> Optional[str]:
    return head + ''.join('%s\n' % line for line in lines) if lines else None


def _plan_files(items: Mapping[str, Item], plan: ModulesPlan, facts: Facts) -> None:
    # At boot a name that nothing bears is a failure of systemd-modules-load: of what nobody has asked for by name there is to be none.
    void = {report.name for report in plan.reports if report.state == 'missing' and not items[report.name].required}
    wanted = wanted_files({name: item for name, item in items.items() if name not in void})
    plan.files = {path: text for path, text in wanted.items() if text != facts.own.get(path)}
    plan.blocked = [report.name for report in plan.reports if report.state == 'blocked' and not {SOFTDEP_FILE, MODPROBE_FILE}.isdisjoint(plan.files)]
    changed = {line for path in plan.files for line in _changed_lines(facts.own.get(path), wanted[path])}
    for report in plan.reports:
        report.changed = report.changed or any(report.name in line.split(' ')[:2] for line in changed)


def _changed_lines(old: Optional[str], new: Optional[str]) -> Set[str]:
    return set((old or '').split('\n')) ^ set((new or '').split('\n'))


# What to say

def _warn(items: Mapping[str, Item], plan: ModulesPlan, facts: Facts) -> None:
    by_state: Dict[str, List[Report]] = {}
    for report in plan.reports:
        by_state.setdefault(report.state, []).append(report)
    named = [report.asked for report in by_state.get('unmanageable', ()) if items[report.name].required]
    if named:
        plan.warnings.append('%s cannot be managed on this host: %s' % (', '.join(named), facts.obstacle))
    stuck = [report.asked for report in by_state.get('built_in', ()) if report.wanted != 'loaded']
    if stuck:
        plan.warnings.append('%s cannot be unloaded or blocked: built into the kernel' % ', '.join(stuck))
    for report in by_state.get('missing', ()):
        hint = similar(report.name, facts) if items[report.name].required else ''
        if hint or (report.wanted == 'loaded' and items[report.name].required):
            plan.warnings.append('this kernel has no module %s%s' % (report.asked, hint))
    for name, item in items.items():
        if item.state != 'loaded' and name in facts.at_boot:
            plan.warnings.append('%s is to be %s, and %s asks for it at boot' % (item.asked, item.state, facts.at_boot[name]))
        plan.warnings += _config_warnings(name, item, facts)


def _config_warnings(name: str, item: Item, facts: Facts) -> List[str]:
    """What in somebody else's modprobe configuration takes effect from us."""
    found: List[str] = []
    for line in facts.config:
        if not line.is_about(name):
            continue
        if line.command == 'blacklist' and item.state == 'loaded' and item.persist:
            found.append('%s will not be loaded at boot: %s' % (item.asked, line))
        given = {same.partition('=')[0] for same in line.text.split()} & set(item.options)
        if line.command == 'options' and given and not _is_ahead(line):
            found.append('%s of %s is set behind us: %s' % (', '.join(sorted(given)), item.asked, line))
    return found
