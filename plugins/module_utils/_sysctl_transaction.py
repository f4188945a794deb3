# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of sysctl_hardening: read the host, plan, write, read back, keep; or put back. Sees the host only through SysctlHost."""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange
from ansible_collections.palisade.netfilter.plugins.module_utils._host_sysctl import MODE, SysctlHost
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import Declaration, declare, forwarders_of, title_of
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import OWN_FILE
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_model import Facts, Target, Wish, in_writing_order, touched_by
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_plan import SysctlPlan, keys_to_read, make_plan
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import same_value, shown

#: Lines of the diff of live settings; the rest is counted.
LONGEST_DIFF = 1_000


class Request(NamedTuple):
    """A task's options."""

    profile: Optional[str] = None
    compliance: str = 'none'
    settings: Mapping[Any, Any] = {}
    interfaces: Mapping[Any, Any] = {}
    state: str = 'present'
    persist: bool = True
    runtime: bool = True
    on_missing: Optional[str] = None
    check_mode: bool = False


class RejectedError(PalisadeError):
    """The kernel did not take a value. `result` is what the module returns of it beside the message."""

    def __init__(self, message: str, path: str, value: str, found: Optional[str]) -> None:
        super().__init__(message)
        self.result = {'keys': [{'key': shown(path), 'wanted': value, 'state': 'rejected', 'changed': False, 'before': found, 'after': found}]}


class Commit(Protocol):
    """Has the host put everything back by itself unless the change is confirmed."""

    @property
    def result(self) -> Mapping[str, Any]:
        """What became of it, for the module's result."""

    def arm(self, before: Mapping[str, str], changes: Sequence[FileChange]) -> bool:
        """Before the change: whether it will wait for a confirmation, which then also puts the files in their places."""

    def applied(self, after: Mapping[str, str]) -> None:
        """The change is live and as wanted; `after` are the values then of all keys of `before`."""

    def put_back(self) -> None:
        """The run has put back all there was."""


def run_sysctl(request: Request, host: SysctlHost, commit: Optional[Commit] = None) -> Dict[str, Any]:
    """Bring the host's settings into the declared state and return the module's result. Raises PalisadeError; nothing has changed then."""
    warnings = _check_pending(request, host)
    declaration = Declaration({}, {})
    if request.state == 'present':
        declaration = declare(request.profile, request.compliance, request.settings, request.interfaces)
        if not declaration.items and not declaration.left:
            raise PalisadeError('state: present needs one of profile, compliance, settings or interfaces')
    facts, plan = _look(request, declaration, host)
    if plan.changed and not request.check_mode:
        with host.lock():
            # Whoever held it may have changed what we have seen.
            _check_pending(request, host)
            facts, plan = _look(request, declaration, host)
            if plan.changed:
                _apply(plan, facts, host, commit)
    more = {'confirm': commit.result} if commit is not None and not request.check_mode else {}
    keys = [report.as_dict() for report in plan.reports]
    return {**more, 'changed': plan.changed, 'diff': _diff(plan, facts), 'keys': keys, 'warnings': [*warnings, *plan.warnings]}


def _check_pending(request: Request, host: SysctlHost) -> List[str]:
    """Refuse to change what somebody else may take back in a moment; in check mode, warn."""
    pending = host.pending()
    if pending and not request.check_mode:
        raise PalisadeError('%s. Run again then. Nothing has changed' % pending)
    return ['%s: what this run would change is told by what is live now' % pending] if pending else []


def _look(request: Request, declaration: Declaration, host: SysctlHost) -> Tuple[Facts, SysctlPlan]:
    """Read the host and plan. Raises PalisadeError where the plan could not be carried out."""
    facts = read_facts(declaration, host)
    title = title_of(request.profile, request.compliance)
    plan = make_plan(declaration, facts, Wish(request.state == 'present', request.persist, request.runtime, request.on_missing, title))
    if plan.changed and not host.is_root():
        raise PalisadeError('kernel settings can be written by root only: use become. Nothing has changed')
    if plan.file_changes:
        host.check_writable([OWN_FILE])
    return facts, plan


def read_facts(declaration: Declaration, host: SysctlHost) -> Facts:
    """All that a plan has to know of the host."""
    interfaces = host.interfaces()
    own = host.own_text()
    values, faults = host.read_all(keys_to_read(declaration, own, interfaces))
    names = sorted({name for members in interfaces.values() for name in members})
    return Facts(values, faults, interfaces, host.sysctl_files(), own, host.own_is_sound(),
                 forwarders_of(names, host.forwarding_marks()), host.advertised())


def _apply(plan: SysctlPlan, facts: Facts, host: SysctlHost, commit: Optional[Commit]) -> None:
    """Write the settings, then the file, or have it wait for the confirmation of the settings. On any failure all is as it was."""
    changes = [FileChange(OWN_FILE, plan.new_text or None, MODE)] if plan.file_changes else []
    before = undo_of(plan, facts, host)
    waiting = False
    host.stage(changes)
    try:
        waiting = commit is not None and bool(plan.writes) and commit.arm(before, changes)
        _write(plan.targets, facts, host)
        if commit is not None and waiting:
            commit.applied(values_of(before, host))
        else:
            host.commit(changes)
    except PalisadeError as error:
        failed = put_back(before, host)
        host.discard(changes)
        # What could not be put back is tried once more by the rollback, when its time has come.
        if commit is not None and waiting and not failed:
            commit.put_back()
        what = 'Nothing has changed' if not failed else 'Not put back: %s' % '; '.join(failed)
        error.args = ('%s. %s' % (error, what),)
        raise


def undo_of(plan: SysctlPlan, facts: Facts, host: SysctlHost) -> Dict[str, str]:
    """What put_back needs: the present values of all that the writes may move, the kernel's own consequences included."""
    found: Dict[str, str] = {}
    for path in touched_by([target.path for target in plan.writes], facts):
        value = facts.values.get(path) if path in facts.values else host.read(path)
        if value is not None:
            found[path] = value
    return found


def values_of(paths: Iterable[str], host: SysctlHost) -> Dict[str, str]:
    """The present values of those keys that are there."""
    return host.read_all(paths)[0]


def put_back(before: Mapping[str, str], host: SysctlHost) -> List[str]:
    """Give keys their values again, in the order in which they stay; return what could not be, in words."""
    failed = []
    for path in in_writing_order(before):
        try:
            if not same_value(path, host.read(path), before[path]):
                host.write(path, before[path])
        except (PalisadeError, OSError) as error:
            failed.append(str(error))
    return failed


def _write(targets: Sequence[Target], facts: Facts, host: SysctlHost) -> None:
    """Write what is not as it should be, and read all of it back. What a later write has moved is written once more."""
    mine = [target for target in targets if target.path in facts.values and target.path not in facts.faults]
    for again in (True, True, False):
        wrong = []
        for target in mine:
            found = host.read(target.path)
            if found is None or same_value(target.path, found, target.value):
                continue
            wrong.append((target, found))
            if again:
                try:
                    host.write(target.path, target.value)
                except PalisadeError as error:
                    raise RejectedError(str(error), target.path, target.value, found) from error
        if not wrong:
            return
    target, found = wrong[0]
    raise RejectedError('%s: %s was written, and the kernel has %s' % (shown(target.path), target.value, found), target.path, target.value, found)


def _diff(plan: SysctlPlan, facts: Facts) -> List[Dict[str, str]]:
    """Ansible's `diff`: the settings that change, and our file."""
    found = []
    if plan.writes:
        listed = plan.writes[:LONGEST_DIFF]
        more = '... %d more\n' % (len(plan.writes) - len(listed)) if len(plan.writes) > len(listed) else ''
        found.append({'before_header': '/proc/sys (live)', 'after_header': '/proc/sys (wanted)',
                      'before': ''.join('%s = %s\n' % (shown(target.path), facts.values[target.path]) for target in listed),
                      'after': ''.join('%s = %s\n' % (shown(target.path), target.value) for target in listed) + more})
    if plan.file_changes:
        mode = ' (mode %04o, root)' % MODE if plan.mended else ''
        found.append({'before_header': OWN_FILE, 'after_header': OWN_FILE + mode, 'before': plan.old_text, 'after': plan.new_text})
    return found
