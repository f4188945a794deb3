# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of iptables_ruleset proves before anything changes: what is expected of packets, and that the running connection comes back in."""
from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection, over_network, running_connection
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError, UnprovedError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import (
    complete_groups,
    families_of,
    prove,
    read_expectations,
    unknown_to_proofs,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._guard import Guarded, guard
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


class Prover:
    """Proves a run's expectations and its way back in. Raises PalisadeError at once for expectations that cannot be read."""

    def __init__(self, host: RigHost, expect: Optional[Sequence[Any]], allow_lockout: bool) -> None:
        self.host = host
        self.groups = read_expectations(expect or [], 'expect')
        self.allow_lockout = allow_lockout

    def prove(self, request: Request, works: Sequence[Work]) -> Proof:
        """Prove both on the predicted live state. Raises UnprovedError if one came out otherwise than it must, with all that was found."""
        prospect = Prospect(self.host, works)
        guarded = _guard(prospect)
        flows = self._flows(prospect, request.rehearsal) if self.groups else _Flows()
        refused = guarded.state == 'refused'
        if refused and self.allow_lockout:
            guarded = guarded._replace(state='overridden')
            refused = False
        warnings = list(flows.warnings)
        if guarded.state in ('unproved', 'overridden'):
            warnings.append(_WARNINGS[guarded.state] % guarded.reason)
        if prospect.was_read and (flows.results is not None or guarded.state in ('proved', 'refused', 'overridden')):
            warnings += unknown_to_proofs(self.host, prospect.around)
        result: Dict[str, Any] = {'guard': {key: value for key, value in guarded._asdict().items() if value}}
        if flows.results is not None:
            result['flows'] = flows.results
        failures = ([guarded.reason] if refused else []) + ['expect: %s' % text for text in flows.failures]
        if failures:
            raise UnprovedError('\n'.join([*failures, 'Nothing has changed']), result, warnings)
        return Proof(result, warnings)

    def _flows(self, prospect: Prospect, rehearsal: str) -> _Flows:
        try:
            groups = complete_groups(self.groups, prospect.around)
            proved = prove(self.host, groups, prospect.predicted(families_of(groups)), prospect.around)
        except NotPermittedError as error:
            return _not_permitted(self.groups, rehearsal, error)
        except PalisadeError as error:
            raise PalisadeError('expect: %s. Nothing has changed' % str(error).rstrip('.')) from error
        return _Flows(proved.results, proved.failures)
