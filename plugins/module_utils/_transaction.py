# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: read the host, rehearse, plan, apply, read back, and put everything back if that is not what was wanted."""
from __future__ import annotations

import re
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Protocol, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._declared import (
    Declared,
    Reader,
    declare_content,
    declare_tables,
    declared_families,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._diff import diff_of
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import (
    DEEPEST_JUMPS,
    Ownership,
    TableGoal,
    check_jumps,
    hook_in_use,
    other_programs_chains,
    snapshot_goal,
    table_goal,
    unexplained_rules,
    unreachable_rules,
    unreached_chains,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._host import CLOSED_TABLE, NFT_FAMILIES, Host
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import Result
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FilePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._normalise import Normaliser
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import (
    REBUILD_ABOVE,
    REBUILD_ABOVE_WITHOUT_COUNTERS,
    FamilyPlan,
    lost_counters,
    make_plan,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._rehearsal import with_addresses, words
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Table, Tables

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._previous import Version

#: Operations returned; the rest is counted.
LONGEST_PLAN = 200

_TRACKING = re.compile(
    r'-m (?:conntrack|state|connlimit|connbytes|connmark|connlabel|helper|cluster)\b'
    r'|-j (?:CONNMARK|CONNSECMARK|CT|SNAT|DNAT|MASQUERADE|REDIRECT|NETMAP|SYNPROXY)\b')


class Request(NamedTuple):
    """What was asked for, as the module's options name it. `tables` or `content` is None, or both with state absent. With a `version`, which the
    host itself has kept, both are None too."""

    name: str
    state: str
    scope: str
    families: Sequence[str]
    rehearsal: str
    foreign: str
    check_mode: bool
    diff_mode: bool
    tables: Optional[Mapping[str, Any]] = None
    content: Optional[str] = None
    persist: bool = False
    fallback: Optional[Mapping[str, Any]] = None
    version: Optional[Version] = None


class Work(NamedTuple):
    """One family, ready to apply."""

    family: str
    live: Tables
    goals: Dict[str, TableGoal]
    plan: FamilyPlan
    rehearsal: str


class Proof(NamedTuple):
    """What a proof came to: its part of the module's result, warnings, and entries for the diff."""

    result: Mapping[str, Any]
    warnings: Sequence[str]
    diff: Sequence[Mapping[str, str]] = ()


class Prover(Protocol):
    """Proves with packets what a run is about to do. Its code is large: this file does not import it, the module that wants it hands it in."""

    def prove(self, request: Request, works: Sequence[Work]) -> Proof:
        """Look at what is planned, before anything changes. Raises PalisadeError where it must not go live."""


class Commit(Protocol):
    """Has the host put everything back by itself unless the change is confirmed. Handed in like a Prover."""

    @property
    def result(self) -> Mapping[str, Any]:
        """What became of it, for the module's result."""

    def arm(self, request: Request, works: Sequence[Work], files: FilePlan) -> bool:
        """Before the change: whether it will wait for a confirmation, which then also carries out what files do."""

    def applied(self) -> None:
        """The change is live and as wanted."""

    def put_back(self) -> None:
        """The run has put back all there was."""


def run_ruleset(request: Request, host: Host, prover: Optional[Prover] = None, commit: Optional[Commit] = None) -> Dict[str, Any]:
    """Carry a request out and return the module's result. Raises PalisadeError with nothing changed, or with all put back."""
    return _Run(request, host, prover, commit).carry_out()


class _Run:

    def __init__(self, request: Request, host: Host, prover: Optional[Prover], commit: Optional[Commit] = None) -> None:
        self.request = request
        self.host = host
        self.prover = prover
        self.commit = commit
        self.waiting = False
        self.proof = Proof({}, ())
        self.ownership = Ownership(request.name, request.scope)
        self.warnings: List[str] = []
        self.normaliser = Normaliser(
            host, self.ownership, mode=request.rehearsal, check_mode=request.check_mode,
            option='previous' if request.version is not None else 'content' if request.content is not None else 'tables')

    def carry_out(self) -> Dict[str, Any]:
        if self.request.state == 'absent' and self.request.scope == 'tables':
            raise PalisadeError('state: absent needs scope: chains: whole tables have no state to go back to')
        declared = self._declared()
        if self.request.check_mode and self.request.rehearsal != 'scratch':
            self._check_pending()
            works = self._prepared(declared)
            files = self._opened(self._files(declared, works))
            self._prove(works)
            return self._result(works, files)
        with self.host.lock():
            self._check_pending()
            works = self._prepared(declared)
            files = self._opened(self._files(declared, works))
            self._prove(works)
            if not self.request.check_mode:
                self._make_real([work for work in works if work.plan.operations], files)
            return self._result(works, files)

    def _check_pending(self) -> None:
        pending = self.host.pending()
        if pending and not self.request.check_mode:
            raise PalisadeError('%s. Run again then. Nothing has changed' % pending)
        if pending:
            self.warnings.append('%s: what this run would change is told by what is live now' % pending)

    def _prepared(self, declared: Mapping[str, Declared]) -> List[Work]:
        self._note_interruption()
        return [self._prepare(family, declared[family], declared) for family in declared]

    def _prove(self, works: Sequence[Work]) -> None:
        if self.prover is not None:
            self.proof = self.prover.prove(self.request, works)
            self.warnings.extend(self.proof.warnings)

    def _make_real(self, changing: Sequence[Work], files: FilePlan) -> None:
        try:
            self.host.stage(files.changes)
            if changing:
                self._apply(changing, files)
            else:
                self.host.commit(files.changes)
                self._open(files)
                self.host.end(self.request.name)
        except PalisadeError:
            self.host.discard(files.changes)
            raise
        if self.request.state == 'absent' and not self.waiting:
            self.host.remove_boot_files(files.boot_files)
            self.host.remove_directory()

    def _open(self, files: FilePlan) -> None:
        problem = self.host.open(files.opened)
        self.warnings += [problem] if problem else []

    def _note_interruption(self) -> None:
        if self.host.interrupted(self.request.name):
            self.warnings.append('an earlier run on ruleset %s was killed while it applied: its tables may have been part old, part new; %s' % (
                self.request.name, 'a real run makes them one again' if self.request.check_mode else 'this run makes them one again'))

    def _declared(self) -> Dict[str, Declared]:
        """What is declared for each family that is asked for and there. Rules for one that is not there do not go to the other."""
        reader = self._read(declared_families(self.request.families))
        self.warnings.extend(reader.warnings)
        for family in reader.declared:
            if not self.host.has_family(family):
                self.warnings.append('%s is skipped: the kernel of this host does not have it' % family)
        found = {family: declared for family, declared in reader.declared.items() if self.host.has_family(family)}
        for family, declared in found.items():
            with_addresses(declared, partial(self.host.addresses, family=family))
        return found

    def _read(self, families: Sequence[str]) -> Reader:
        if self.request.state == 'absent':
            return Reader(families, {}, 'state')
        if self.request.version is not None:
            # Imported here: hardly any run needs it.
            from ansible_collections.palisade.netfilter.plugins.module_utils._previous import declare_version

            return declare_version(self.request.version, families)
        written = self.request.content if self.request.content is not None else repr(self.request.tables)
        sets = self.host.set_families() if len(families) > 1 and '-set' in written else {}
        if self.request.content is not None:
            return declare_content(self.request.content, families, sets)
        return declare_tables(self.request.tables or {}, families, sets)

    # One family: what is there, what is wanted, what to do

    def _prepare(self, family: str, declared: Declared, others: Mapping[str, Declared]) -> Work:
        live = self.host.live(family)
        if any(self.ownership.is_scratch(chain) for table in live.values() for chain in table):
            self.warnings.append('%s: an earlier run was killed and left scratch chains (%s~…) behind; they go now' % (family, self.request.name))
        self._leave_used_hooks(declared, live)
        normalised = self.normaliser.normalise(family, declared, live, others)
        self.warnings.extend(normalised.warnings)
        live, canonical = normalised.live, normalised.canonical
        goals = {table: table_goal(table, declared.tables.get(table, {}), canonical.get(table, {}), live.get(table, {}), self.ownership)
                 for table in BUILTIN_CHAINS if table in declared.tables or self._ours(table, live.get(table, {}))}
        if self.host.backend == 'nft' and normalised.how != 'none':
            check_jumps(family, goals, DEEPEST_JUMPS)
        elif normalised.how == 'scratch':
            check_jumps(family, goals)
        self._check_others(family, live, goals)
        self._check_reach(family, declared, live, goals)
        return Work(family, live, goals, self._plan(family, live, goals), normalised.how)

    def _plan(self, family: str, live: Tables, goals: Mapping[str, TableGoal]) -> FamilyPlan:
        takes_counters = self.host.backend == 'legacy' or family == 'ipv4'
        return make_plan(family, live, goals, self.ownership, REBUILD_ABOVE if takes_counters else REBUILD_ABOVE_WITHOUT_COUNTERS)

    def _ours(self, table: str, live: Table) -> bool:
        if self.request.scope == 'tables':
            return False
        return any(self.ownership.owns_chain(table, chain) or any(self.ownership.is_jump(chain, rule) for rule in data.rules)
                   for chain, data in live.items())

    def _leave_used_hooks(self, declared: Declared, live: Tables) -> None:
        if self.request.scope == 'tables':  # nobody else's rules stay, so no hook is in use
            return
        for table, chains in declared.tables.items():
            for chain in [chain for chain, data in chains.items() if data.only_if_unused]:
                if not hook_in_use(chain, live.get(table, {}).get(chain), self.ownership):
                    continue
                if chains[chain].rules:
                    chains[chain].policy = None  # rules that somebody wants there have their place beside others', a policy is for everybody
                else:
                    del chains[chain]

    def _check_others(self, family: str, live: Tables, goals: Mapping[str, TableGoal]) -> None:
        if self.request.scope == 'tables':
            going = other_programs_chains(live, goals, lambda table, chain: '%s %s' % (table, chain))
            if going and self.request.foreign != 'remove':
                raise PalisadeError('scope: tables would remove chains of other programs (%s): %s; foreign: remove allows it' % (
                    family, ', '.join(going)))
            return
        unexplained = unexplained_rules(live, goals, self.ownership)
        if unexplained and self.request.foreign in ('warn', 'refuse'):
            text = '%s: rules that no known program explains stand in hooks that this ruleset uses, and stay there: %s' % (
                family, _shown(unexplained))
            if self.request.foreign == 'refuse':
                raise PalisadeError(text + '; move them into the declaration, or allow them by foreign: keep, or take the tables over '
                                           'by scope: tables (in the roles: firewall_foreign and firewall_scope)')
            self.warnings.append(text)
        dead = unreachable_rules(live, goals, self.ownership)
        if dead:
            self.warnings.append('%s: rules of others stand behind our final drop or reject and are never reached: %s' % (family, _shown(dead)))

    def _check_reach(self, family: str, declared: Declared, live: Tables, goals: Mapping[str, TableGoal]) -> None:
        lost = [chain for table, chains in declared.tables.items()
                for chain in unreached_chains(table, chains, live.get(table, {}), goals[table], self.ownership)]
        if lost:
            self.warnings.append('%s: no rule leads to %s: no packet meets the rules there' % (family, ', '.join(lost)))

    # What outlives a reboot

    def _files(self, declared: Mapping[str, Declared], works: Sequence[Work]) -> FilePlan:
        request = self.request
        if not request.persist and request.state == 'present' and not self.host.rule_files(request.name):
            return FilePlan()
        # Imported here: a run that has nothing to do with files shall not wait for it.
        from ansible_collections.palisade.netfilter.plugins.module_utils._persistence import Persistence

        persistence = Persistence(self.host, self.ownership, declared_families(request.families), self.warnings)
        if request.state == 'absent':
            return persistence.absent()
        goals = {work.family: work.goals for work in works}
        if not request.persist:
            persistence.unwanted(declared, goals)
            return FilePlan()
        live = {work.family: work.live for work in works}
        closed = persistence.kept_closed() if request.version is not None else None
        if closed is None:
            closed = persistence.closed_sections(request.fallback, declared, request.rehearsal, request.check_mode, live)
        if request.version is not None and self.host.rule_file(request.name, 'previous')[0] != request.version.text:
            raise PalisadeError('another run has persisted a version meanwhile. Nothing has changed')
        return persistence.present(declared, goals, live, closed)

    def _opened(self, files: FilePlan) -> FilePlan:
        """The same, and what a boot without iptables has closed the host by goes once the rules are in force: at the very end, with the files."""
        closed = [name for name in self.host.closed_by_nft() if name in [NFT_FAMILIES[family] for family in self.request.families]]
        tables = ', '.join(['%s %s' % (name, CLOSED_TABLE) for name in closed])
        others = sorted(set(self.host.persisted_names()) - {self.request.name}) if closed else []
        if others:
            self.warnings.append(
                'this host stays closed through nft (%s), as a boot without iptables has left it: other rulesets are persisted (%s), and '
                '`palisade-firewall boot` loads them all and takes that away' % (tables, ', '.join(others)))
        if others or not closed:
            return files
        note = {'before_header': 'nft', 'after_header': 'nft', 'prepared': '--- nft\n+++ nft\n%s' % ''.join(
            ['- table %s %s, by which a boot without iptables has closed this host\n' % (name, CLOSED_TABLE) for name in closed])}
        return files._replace(opened=closed, diff=[*files.diff, note])

    # Going live

    def _apply(self, works: Sequence[Work], files: FilePlan) -> None:
        self.waiting = self.commit is not None and self.commit.arm(self.request, works, files)
        self.host.begin(self.request.name)
        texts = self._prime(works)
        try:
            for work in works:
                result = self.host.restore(work.family, texts[work.family])
                if result.status != 0:
                    raise PalisadeError('%s: the kernel refused what had been rehearsed: %s' % (work.family, words(result.errors)))
            for work in works:
                self._check_arrival(work)
            if self.commit is not None and self.waiting:
                self.commit.applied()
            else:
                self.host.commit(files.changes)
                self._open(files)
        except PalisadeError as error:
            self._put_back(works, error)
        self.host.end(self.request.name)

    def _prime(self, works: Sequence[Work]) -> Dict[str, str]:
        """Switch connection tracking on a moment early, so that rules asking for state do not cut the connection we came in by.

        Returns the texts to apply; they take the priming chain away in the same commit.
        """
        texts = {work.family: work.plan.text for work in works}
        primed = False
        for work in works:
            if not _asks_for_state(work.plan) or _tracks(work.live):
                continue
            table = next(plan.table for plan in work.plan.tables if plan.operations)
            taken = work.live.get(table, {})
            chain = next(name for name in map(self.ownership.scratch_name, count()) if name not in taken)
            result = self.host.restore(work.family, '*%s\n:%s - [0:0]\n-A %s -m conntrack --ctstate ESTABLISHED\nCOMMIT\n' % (table, chain, chain))
            if result.status != 0:
                self._put_back(works, PalisadeError('%s: connection tracking could not be switched on: %s' % (work.family, words(result.errors))))
            texts[work.family] = texts[work.family].replace('*%s\n' % table, '*%s\n-F %s\n-X %s\n' % (table, chain, chain), 1)
            primed = True
        if primed and self.host.over_network():
            self.host.let_connection_pass()
        return texts

    def _check_arrival(self, work: Work) -> None:
        live = self.host.live(work.family)
        if work.rehearsal == 'text':
            missing = ['%s %s' % (table, chain) for table, goal in work.goals.items() for chain, rules in goal.chains.items()
                       if len(live.get(table, {})[chain].rules if chain in live.get(table, {}) else ()) < len(rules)]
            if missing:
                raise PalisadeError('%s: fewer rules arrived than were sent in %s' % (work.family, ', '.join(missing)))
            return
        left = self._plan(work.family, live, work.goals)
        if left.operations:
            raise PalisadeError('%s: what was read back is not what was sent:\n%s' % (
                work.family, ''.join(entry['prepared'] for entry in diff_of(left))))
        for table, chain in lost_counters(work.plan, work.live, live):
            self.warnings.append('%s: the counters of %s %s start from zero: the chain was written anew, and this %s-restore takes no counters' % (
                work.family, table, chain, 'ip6tables' if work.family == 'ipv6' else 'iptables'))

    def _put_back(self, works: Sequence[Work], error: PalisadeError) -> None:
        """Put every family back as it was before, counters included, and raise."""
        failures = []
        for work in works:
            goals = {table: snapshot_goal(table, work.live.get(table, {}), goal, self.ownership) for table, goal in work.goals.items()}
            plan = self._plan(work.family, self.host.live(work.family), goals)
            result = self.host.restore(work.family, plan.text) if plan.operations else Result(0, '', '')
            left = self._plan(work.family, self.host.live(work.family), goals)
            if left.operations:
                failures.append('%s: %s\n%s' % (work.family, words(result.errors), ''.join(entry['prepared'] for entry in diff_of(left))))
        if failures:
            raise PalisadeError('%s\nand putting back what was there failed too: %s' % (error, '\n'.join(failures))) from error
        self.host.end(self.request.name)
        if self.commit is not None and self.waiting:
            self.commit.put_back()
        raise PalisadeError('%s\nall tables of all families are back as they were' % error) from error

    # What is told

    def _result(self, works: Sequence[Work], files: FilePlan) -> Dict[str, Any]:
        operations = [operation for work in works for operation in work.plan.operations]
        modes = {work.rehearsal for work in works}
        more: Dict[str, Any] = {}
        if self.request.diff_mode:
            more['diff'] = [entry for work in works for entry in diff_of(work.plan)] + list(files.diff) + list(self.proof.diff)
        if self.request.persist and self.request.state == 'present':
            more['persisted'] = self.host.rule_path(self.request.name, 'rules')
            more['boot'] = {'unit': self.host.boot_unit()}
        return {
            **more,
            **self.proof.result,
            **({'confirm': self.commit.result} if self.commit is not None and not self.request.check_mode else {}),
            'changed': bool(operations) or files.changed,
            'plan': [operation.as_dict() for operation in operations[:LONGEST_PLAN]],
            'plan_total': len(operations),
            'rehearsal': next((mode for mode in ('text', 'scratch', 'namespace') if mode in modes), 'none'),
            'exact': 'text' not in modes,
            'backend': self.host.backend,
            'warnings': self.warnings,
        }


def _asks_for_state(plan: FamilyPlan) -> bool:
    return any(operation.rule and _TRACKING.search(operation.rule) for operation in plan.operations)


def _tracks(live: Tables) -> bool:
    return any(_TRACKING.search(rule) for table in live.values() for chain in table.values() for rule in chain.rules)


def _shown(rules: Sequence[str], most: int = 10) -> str:
    more = ' and %d more' % (len(rules) - most) if len(rules) > most else ''
    return '; '.join(rules[:most]) + more
