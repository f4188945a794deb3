# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of packet_probe: read the host once, prove each flow on a rig of its own, compare with what was expected."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow, complete, read_flow, read_flows
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import Copied, Job, RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._proof import conclude, disagreement, result_of
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import accounts_named, rig_for, sets_named, timeouts_named
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings


class Outcome(NamedTuple):
    """What the flows came to. `failure` is empty if all was as expected."""

    results: Sequence[Dict[str, Any]]
    failure: str
    warnings: Sequence[str]


def probe(host: RigHost, one: Mapping[str, Any], several: Any, sequence: bool) -> Outcome:
    """Prove one flow or several against the live rules. Nothing of the host changes."""
    flows = read_flows(several) if several is not None else [read_flow(one, 'flow')]
    if not flows:
        raise PalisadeError('flows: there is none')
    around = host.surroundings()
    flows = [complete(flow, around) for flow in flows]
    tables = {}
    for family in sorted({flow.family for flow in flows}):
        if not host.has_family(family):
            raise PalisadeError('%s: the kernel does not have it' % family)
        tables[family] = host.live(family)
    results = prove(host, flows, tables, around, sequence)
    wrong = [text for text in map(disagreement, flows, results) if text]
    return Outcome(results, '\n'.join(wrong), _warnings(host, around))


def prove(host: RigHost, flows: Sequence[Flow], tables: Mapping[str, Tables], around: Surroundings, sequence: bool) -> List[Dict[str, Any]]:
    """Send complete flows through copies of the tables, each on a fresh rig or, in sequence, all on one: their results, in order."""
    named = [frozenset(name for one in tables.values() for name in names_in(one)) for names_in in (sets_named, accounts_named, timeouts_named)]
    sets = host.set_contents(named[0])
    commands = [*(host.recreate_accounting(named[1]) if named[1] else ()), *(host.recreate_timeouts(named[2]) if named[2] else ())]
    groups = [list(flows)] if sequence else [[flow] for flow in flows]
    jobs = [Job(rig_for(around, group), group) for group in groups]
    proved = host.prove(jobs, Copied(tables, sets, commands), conclude)
    return [result_of(flow, packets, job.rig.assumed) for job, done in zip(jobs, proved) for flow, packets in zip(job.flows, done)]


def _warnings(host: RigHost, around: Surroundings) -> List[str]:
    warnings = []
    native = host.native_chains()
    if native:
        warnings.append('native nftables chains are on this host (%s): packets meet them too, and the proof does not know them' % ', '.join(native))
    if around.policy_routing:
        warnings.append('this host has policy routing (ip rule): the proof knows the main table alone')
    return warnings
