# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of iptables_ruleset proves before anything changes: what is expected of packets, and that the running connection comes back in."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import over_network, running_connection
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError, UnprovedError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import (
    complete_groups,
    families_of,
    prove,
    read_expectations,
    unknown_to_proofs,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._fates import Fates, fates
from ansible_collections.palisade.netfilter.plugins.module_utils._guard import guard
from ansible_collections.palisade.netfilter.plugins.module_utils._host import NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._prediction import predicted
from ansible_collections.palisade.netfilter.plugins.module_utils._rehearsal import words
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import accounts_named, loadable, sets_named, timeouts_named
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Proof, Request, Work

#: Values of the option rehearsal that say: go on, though the host permits no network namespace.
_WITHOUT_NAMESPACE = ('scratch', 'none')


class Prospect:
    """A host's packet filter as it is and as it will be, and what is around it. Each part is read when it is first asked for, and once."""

    def __init__(self, host: RigHost, works: Sequence[Work]) -> None:
        self.host = host
        self._works = {work.family: work for work in works}
        self._around: Optional[Surroundings] = None
        self._live: Dict[str, Tables] = {}
        self._predicted: Dict[str, Tables] = {}

    @property
    def changing(self) -> bool:
        """Whether anything live is about to change."""
        return any(work.plan.operations for work in self._works.values())

    @property
    def around(self) -> Surroundings:
        """The host's interfaces, addresses, routes and settings."""
        if self._around is None:
            self._around = self.host.surroundings()
        return self._around

    @property
    def was_read(self) -> bool:
        """Whether anybody has asked for what is around, as every proof does."""
        return self._around is not None

    def live(self, families: Sequence[str]) -> Mapping[str, Tables]:
        """The tables as they are. A family that the kernel does not have is left out."""
        for family in families:
            if family not in self._live and self.host.has_family(family):
                self._live[family] = self._works[family].live if family in self._works else self.host.live(family)
        return {family: self._live[family] for family in families if family in self._live}

    def predicted(self, families: Sequence[str]) -> Mapping[str, Tables]:
        """The tables as they will be, in the kernel's spelling. Those that the run does not touch stay as they are."""
        for family, tables in self.live(families).items():
            if family not in self._predicted:
                work = self._works.get(family)
                self._predicted[family] = self._behind(work) if work is not None else tables
        return {family: self._predicted[family] for family in families if family in self._predicted}

    def _behind(self, work: Work) -> Tables:
        tables = predicted(work.live, work.plan)
        # Without a rehearsal the rules are as they were written. A proof goes by their numbers, and -s a,b is two rules.
        return _spelled(self.host, work.family, tables) if work.rehearsal == 'text' else tables


def _spelled(host: RigHost, family: str, tables: Tables) -> Tables:
    """Tables as the kernel spells them. Raises NotPermittedError where there is no namespace to ask it in."""
    preparation: List[str] = []
    for named, recreate in ((sets_named, host.recreate_sets), (accounts_named, host.recreate_accounting), (timeouts_named, host.recreate_timeouts)):
        names = named(tables)
        if names:
            preparation.extend(recreate(names))
    ended = host.rehearse(family, loadable(tables), preparation)
    if ended.status != 0:
        raise PalisadeError('%s: the rules cannot be loaded for the proof: %s' % (family, words(ended.errors)))
    return parse(ended.output, '%s iptables-restore' % family)


class Guarding(NamedTuple):
    """What the guard came to, as the module returns it. state: proved, refused, overridden, unproved or none."""

    state: str
    reason: str
    connection: str = ''


class _Flows(NamedTuple):
    """What was expected and what it came to. `results` is None where nothing was proved."""

    results: Optional[List[Dict[str, Any]]] = None
    failures: Sequence[str] = ()
    warnings: Sequence[str] = ()


class Prover:
    """Proves a run's expectations and its way back in. Raises PalisadeError at once for expectations that cannot be read."""

    def __init__(self, host: RigHost, expect: Optional[Sequence[Any]], allow_lockout: bool, verdict_diff: bool = False) -> None:
        self.host = host
        self.verdict_diff = verdict_diff
        self.groups = read_expectations(expect or [], 'expect')
        self.allow_lockout = allow_lockout

    def prove(self, request: Request, works: Sequence[Work]) -> Proof:
        """Prove both on the predicted live state. Raises UnprovedError, with all that was found, if one came out otherwise than it must."""
        prospect = Prospect(self.host, works)
        guarded = self._guarded(prospect)
        flows = self._expected(prospect, request.rehearsal) if self.groups else _Flows()
        result: Dict[str, Any] = {'guard': {key: value for key, value in guarded._asdict().items() if value}}
        if flows.results is not None:
            result['flows'] = flows.results
        warnings = [*_guard_warnings(guarded), *flows.warnings]
        if flows.results is not None or guarded.state in ('proved', 'refused', 'overridden'):
            warnings += unknown_to_proofs(self.host, prospect.around)
        failures = ['expect: %s' % text for text in flows.failures]
        if guarded.state == 'refused':
            failures.insert(0, 'this would lock Ansible out: %s' % guarded.reason)
        if failures:
            raise UnprovedError('%s. Nothing has changed' % '\n'.join(failures).rstrip('.'), result, warnings)
        told = self._told(prospect, works) if self.verdict_diff and request.diff_mode and prospect.changing else None
        if told is None:
            return Proof(result, warnings)
        return Proof({**result, 'verdict_diff': [change.data() for change in told.changes]}, warnings, [told.diff()])

    def _told(self, prospect: Prospect, works: Sequence[Work]) -> Fates:
        """What the run changes for traffic. That is for a person to read: where it cannot be told, that is said there, and nothing fails."""
        families = [work.family for work in works]
        try:
            live, future = prospect.live(families), prospect.predicted(families)
            return fates(self.host, [work.plan for work in works], live, future, prospect.around, self.groups)
        except PalisadeError as error:
            return Fates(problem=str(error))

    def _guarded(self, prospect: Prospect) -> Guarding:
        if not prospect.changing:
            return Guarding('none', 'nothing changes')
        connection = running_connection()
        if connection is None and over_network():
            return Guarding('unproved', 'sshd itself does not know the two ends of the connection that this run came in by')
        if connection is None:
            return Guarding('none', 'this run did not come in over ssh')
        try:
            tables = prospect.predicted([connection.family])
            found = guard(self.host, connection, tables, prospect.around)
        except PalisadeError as error:
            return Guarding('unproved', str(error), connection.text())
        state = 'overridden' if found.state == 'refused' and self.allow_lockout else found.state
        return Guarding(state, '. To let it pass: '.join([text.rstrip('.') for text in (found.reason, found.remedy) if text]), connection.text())

    def _expected(self, prospect: Prospect, rehearsal: str) -> _Flows:
        try:
            if rehearsal in _WITHOUT_NAMESPACE:
                # Asked first: where there is no namespace, often there is no iproute2 either.
                self.host.rehearse('ipv4', '', ())
            groups = complete_groups(self.groups, prospect.around)
            proved = prove(self.host, groups, prospect.predicted(families_of(groups)), prospect.around)
        except NotPermittedError as error:
            return self._not_permitted(rehearsal, error)
        except PalisadeError as error:
            raise PalisadeError('expect: %s. Nothing has changed' % str(error).rstrip('.')) from error
        return _Flows(proved.results, proved.failures)

    def _not_permitted(self, rehearsal: str, error: NotPermittedError) -> _Flows:
        count = sum(map(len, self.groups))
        flows = '%d flow%s' % (count, '' if count == 1 else 's')
        if rehearsal in _WITHOUT_NAMESPACE:
            return _Flows(warnings=['expect: %s not proved, which rehearsal: %s allows: %s' % (
                flows + (' was' if count == 1 else ' were'), rehearsal, error)])
        raise PalisadeError('expect: %s cannot be proved: %s; rehearsal: scratch (or none; in the roles firewall_rehearsal) allows to go on without '
                            'that proof. Nothing has changed' % (flows, str(error).rstrip('.')))


def _guard_warnings(guarded: Guarding) -> List[str]:
    if guarded.state == 'unproved':
        return ['whether the connection %s will be let in again could not be proved: %s' % (guarded.connection or 'of this run', guarded.reason)]
    return ['allow_lockout: this may lock Ansible out: %s' % guarded.reason] if guarded.state == 'overridden' else []
