# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of kernel_modules: look, plan, apply, look again, and put everything back where something is not as planned."""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange
from ansible_collections.palisade.netfilter.plugins.module_utils._host_modules import ModulesHost
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import GONE, OLD_NAMES
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import Item, declare, merged
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import Facts, same_name
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_plan import (
    LOAD_FILE,
    MODPROBE_FILE,
    OUR_FILES,
    ModulesPlan,
    Report,
    means_the_same,
    no_such_parameter,
    options_of,
    plan_absent,
    plan_modules,
)

_MODE = 0o644
_AS_BEFORE = 'Nothing has changed'
_LIVE = 'kernel modules (live)'


@dataclass(frozen=True)
class Request:
    """What is asked of a run, in the options' words."""

    modules: Sequence[Any] = ()
    state: str = 'present'
    profile: Optional[str] = None
    tables: Sequence[str] = ()
    families: Sequence[str] = ('ipv4', 'ipv6')
    helpers: Sequence[str] = ()
    backend: str = 'auto'
    persist: bool = True
    check_mode: bool = False


def run_modules(request: Request, host: ModulesHost) -> Dict[str, Any]:
    """Do what is asked and return what there is to say. Raises PalisadeError for what cannot be; nothing has changed then."""
    if request.state == 'absent':
        facts = Facts(own=host.own(OUR_FILES))
        plan = plan_absent(facts)
    else:
        facts, plan = _planned(request, host)
    if plan.files:
        host.check_writable(list(plan.files))
    if plan.changed and not request.check_mode:
        _apply(plan, facts, host)
    return {
        'changed': plan.changed, 'diff': _diff(plan, facts), 'files': sorted(plan.files), 'modules': [report.data() for report in plan.reports],
        'warnings': plan.warnings,
    }


def _planned(request: Request, host: ModulesHost) -> Tuple[Facts, ModulesPlan]:
    backend = host.backend() if request.backend == 'auto' and request.tables else request.backend
    items = declare(request.modules, profile=request.profile, tables=request.tables, families=request.families, helpers=request.helpers,
                    backend=backend, persist=request.persist)
    facts = _facts(items, host)
    renamed: Dict[str, str] = {}
    named: List[Tuple[str, Item]] = []
    for item in items:
        for name, reason in _todays_names(item, facts, host):
            named.append((name, item))
            if reason:
                renamed[name] = reason
    wanted = merged(named)
    facts = _with_parameters(facts, wanted, host)
    return facts, plan_modules(wanted, renamed, facts, persist=request.persist)


# Looking

def _facts(items: Sequence[Item], host: ModulesHost) -> Facts:
    tree = host.tree()
    asked = {same_name(item.asked) for item in items}
    names = asked | {OLD_NAMES[name][0] for name in asked if name in OLD_NAMES}
    built_in = host.built_in(names)
    configured, absent = (set(), set()) if tree else host.configured(names - built_in)
    return Facts(live=host.live(), tree=tree, built_in=frozenset(built_in | configured), absent=frozenset(absent), obstacle=host.obstacle(),
                 config=host.config(OUR_FILES), at_boot=host.at_boot(OUR_FILES), own=host.own(OUR_FILES), page_size=host.page_size)


def _todays_names(item: Item, facts: Facts, host: ModulesHost) -> List[Tuple[str, str]]:
    """What an item's name is called on this host, and why. The host's own modules come first, then the table, then modprobe's aliases."""
    name = same_name(item.asked)
    if facts.state(name) in ('loaded', 'built_in', 'unloaded'):
        return [(name, '')]
    if name in OLD_NAMES:
        today, reason = OLD_NAMES[name]
        return [(today, '%s is %s today: %s' % (item.asked, today, reason))]
    if name in GONE and item.state == 'loaded':
        raise PalisadeError('modules: there is no %s any more: %s. Nothing has changed' % (item.asked, GONE[name]))
    found = host.resolve(item.asked) if facts.tree else []
    return [(today, '%s is an alias of %s' % (item.asked, today)) for today in found] or [(name, '')]


def _with_parameters(facts: Facts, items: Mapping[str, Item], host: ModulesHost) -> Facts:
    """The facts with what is needed to compare options.

    modinfo is asked only where something is declared anew that /sys does not show of a module that is there. It does not know all parameters
    (hashsize of nf_conntrack), so nothing can be said of a module that is not: see _verify.
    """
    parameters: Dict[str, Mapping[str, str]] = {}
    writable: Set[Tuple[str, str]] = set()
    accepted: Dict[str, FrozenSet[str]] = {}
    for name, item in items.items():
        if not item.options:
            continue
        parameters[name], free = host.parameters(name)
        writable |= {(name, parameter) for parameter in free}
        is_new = options_of(name, item.options) not in facts.own.get(MODPROBE_FILE, '').split('\n')
        if is_new and facts.state(name) in ('loaded', 'built_in') and set(item.options) - set(parameters[name]):
            found = host.accepted(name)
            accepted.update({} if found is None else {name: found})
    return replace(facts, parameters=parameters, writable=frozenset(writable), accepted=accepted)


# Applying

def _apply(plan: ModulesPlan, facts: Facts, host: ModulesHost) -> None:
    """Carry the plan out and look whether it came true. The files that modprobe reads come first, what is loaded at boot last."""
    changes = [FileChange(path, text, _MODE) for path, text in plan.files.items()]
    try:
        host.stage(changes)
    except PalisadeError:
        host.discard(changes)
        raise
    try:
        host.commit([change for change in changes if change.path != LOAD_FILE])
        _apply_live(plan, host)
        _verify(plan, facts, host)
        host.commit([change for change in changes if change.path == LOAD_FILE])
    except PalisadeError as error:
        trouble = _put_back(plan, facts, changes, host)
        raise PalisadeError('%s. %s' % (str(error).rstrip('.'), trouble or _AS_BEFORE)) from error


def _apply_live(plan: ModulesPlan, host: ModulesHost) -> None:
    if plan.unloads:
        host.unload(plan.unloads)
    for load in plan.loads:
        if load.options:
            host.load([load.name], load.options)
    plain = [load.name for load in plan.loads if not load.options]
    if plain:
        host.load(plain)
    for write in plan.writes:
        host.write_parameter(write.name, write.parameter, write.new)


def _verify(plan: ModulesPlan, facts: Facts, host: ModulesHost) -> None:
    """modprobe ends well, too, where it has done nothing, and the kernel may make something else of a value."""
    live = host.live() or {}
    for load in plan.loads:
        if load.name not in live:
            raise PalisadeError('modprobe says that it has loaded %s, and the kernel does not have it%s' % (
                load.name, ''.join('. %s' % line for line in facts.config if line.is_about(load.name))))
    for name in plan.unloads:
        if name in live:
            raise PalisadeError('%s was unloaded, and something has loaded it again at once' % name)
    for name in host.not_blocked(plan.blocked) if plan.blocked else ():
        raise PalisadeError('modprobe would load %s in spite of its block in %s' % (name, MODPROBE_FILE))
    for write in plan.writes:
        now = host.parameters(write.name)[0].get(write.parameter, '')
        if not means_the_same(write.name, write.parameter, now, write.new, facts.page_size):
            raise PalisadeError('of %s=%s for %s the kernel has made %s: declare that' % (write.parameter, write.new, write.name, now or 'nothing'))
    loaded = {load.name for load in plan.loads if load.options}
    for report in plan.reports:
        if report.name in loaded:
            _verify_options(report, plan, facts, host)


def _verify_options(report: Report, plan: ModulesPlan, facts: Facts, host: ModulesHost) -> None:
    """Of a module that was just loaded: the kernel passes over parameters that it does not have, with a line in its log alone."""
    shown = host.parameters(report.name)[0]
    hidden = sorted(set(report.options) - set(shown))
    accepted = host.accepted(report.name) if hidden else None
    for parameter in hidden if accepted is not None else ():
        if parameter not in (accepted or ()):
            raise PalisadeError(no_such_parameter(report.asked, parameter, {*shown, *(accepted or ())}))
    for parameter, values in report.options.items():
        now = shown.get(parameter)
        if now is not None and not means_the_same(report.name, parameter, now, values['after'] or '', facts.page_size):
            plan.warnings.append('%s was loaded with %s=%s, and the kernel shows %s' % (report.name, parameter, values['after'], now))
            values['after'] = now


# Putting back

def _put_back(plan: ModulesPlan, facts: Facts, changes: Sequence[FileChange], host: ModulesHost) -> str:
    """Undo what was done of a plan. Returns what could not be undone, in words, or ''."""
    trouble: List[str] = []
    old = [FileChange(change.path, facts.own.get(change.path), _MODE) for change in changes]
    steps: List[Callable[[], None]] = [lambda: host.discard(changes), lambda: host.stage(old), lambda: host.commit(old)]
    steps += [partial(host.write_parameter, write.name, write.parameter, write.old) for write in reversed(plan.writes)]
    steps += [lambda: _unload_new(plan, facts, host), lambda: _load_again(plan, host)]
    for step in steps:
        try:
            step()
        except PalisadeError as error:
            trouble.append(str(error))
    return 'Not everything could be put back: %s' % '; '.join(trouble) if trouble else ''


def _unload_new(plan: ModulesPlan, facts: Facts, host: ModulesHost) -> None:
    """Unload what we have loaded, and what came along with it."""
    ours = {load.name for load in plan.loads}.union(*[facts.depends(load.name) for load in plan.loads]) - set(facts.live or ())
    while True:
        live = host.live() or {}
        free = [name for name in sorted(ours) if name in live and not live[name].uses]
        if not free:
            break
        host.unload(free)
        ours -= set(free)
    left = sorted(ours.intersection(live))
    if left:
        raise PalisadeError('%s cannot be unloaded again' % ', '.join(left))


def _load_again(plan: ModulesPlan, host: ModulesHost) -> None:
    live = host.live() or {}
    gone = [name for name in reversed(plan.unloads) if name not in live]
    if gone:
        host.load(gone)


# Telling

def _diff(plan: ModulesPlan, facts: Facts) -> List[Dict[str, str]]:
    """Ansible's `diff`: our files, and what is loaded."""
    diff = [{'before_header': path, 'after_header': path, 'before': facts.own.get(path, ''), 'after': text or ''}
            for path, text in plan.files.items()]
    lines = [('%s: unloaded' % load.name, ' '.join(['%s: loaded' % load.name, *load.options])) for load in plan.loads]
    lines += [('%s: loaded' % name, '%s: unloaded' % name) for name in plan.unloads]
    lines += [('%s: %s=%s' % (write.name, write.parameter, write.old), '%s: %s=%s' % (write.name, write.parameter, write.new))
              for write in plan.writes]
    if lines:
        before, after = ('\n'.join(part) + '\n' for part in zip(*sorted(lines)))
        diff.append({'before_header': _LIVE, 'after_header': _LIVE, 'before': before, 'after': after})
    return diff
