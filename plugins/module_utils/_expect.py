# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows in groups: read them, prove each group on a rig of its own, and compare with what was expected."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow, complete, read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._host import CLOSED_TABLE
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import Copied, Job, RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._proof import conclude, disagreement, result_of
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import accounts_named, rig_for, sets_named, timeouts_named
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings


class Proved(NamedTuple):
    """What the flows came to, group by group in one flat list. `failures`: one text for each flow that is not as expected."""

    results: List[Dict[str, Any]]
    failures: List[str]


def read_groups(value: Any, option: str) -> List[List[Flow]]:
    """Read a list of flows and of lists of flows, which are sequences. Errors say 'flow 3', or 'flow 3.2' in a sequence."""
    if not isinstance(value, (list, tuple)):
        raise PalisadeError('%s: %s is not a list of flows' % (option, ascii(value)))
    groups = []
    for number, element in enumerate(value, 1):
        if not isinstance(element, (list, tuple)):
            groups.append([read_flow(element, 'flow %d' % number)])
            continue
        if not element:
            raise PalisadeError('%s: flow %d: this sequence has no flow' % (option, number))
        groups.append([read_flow(one, 'flow %d.%d' % (number, place)) for place, one in enumerate(element, 1)])
    return groups


def read_expectations(value: Any, option: str) -> List[List[Flow]]:
    """Read groups of flows each of which must assert something, or it would prove nothing."""
    groups = read_groups(value, option)
    for number, group in enumerate(groups, 1):
        if not any(flow.verdict or flow.rewritten_source[0] or flow.rewritten_destination[0] for flow in group):
            raise PalisadeError('%s: flow %d: nothing is expected of it: give it a verdict, rewritten_source or rewritten_destination'
                                % (option, number))
    return groups


def complete_groups(groups: Sequence[Sequence[Flow]], around: Surroundings) -> List[List[Flow]]:
    """Every flow with what it leaves open filled in from what the host has. `family` of each is known then."""
    return [[complete(flow, around) for flow in group] for group in groups]


def families_of(groups: Sequence[Sequence[Flow]]) -> List[str]:
    """The families of complete flows, whose tables a proof needs."""
    return sorted({flow.family for group in groups for flow in group})


def prove(host: RigHost, groups: Sequence[Sequence[Flow]], tables: Mapping[str, Tables], around: Surroundings) -> Proved:
    """Send complete flows through copies of the tables, each group in order through a fresh one.

    Raises NotPermittedError where the host does not let us make namespaces, and PalisadeError for what cannot be proved.
    """
    flows = [flow for group in groups for flow in group]
    for family in families_of(groups):
        if not host.has_family(family) or family not in tables:
            raise PalisadeError('%s: the kernel does not have it' % family)
    jobs = [Job(rig_for(around, group), group) for group in groups]
    proved = host.prove(jobs, copied(host, tables), conclude)
    results = [result_of(flow, packets, job.rig.assumed) for job, done in zip(jobs, proved) for flow, packets in zip(job.flows, done)]
    return Proved(results, [text for text in map(disagreement, flows, results) if text])


def copied(host: RigHost, tables: Mapping[str, Tables]) -> Copied:
    """The tables with what their rules name, as every rig gets them."""
    named = [frozenset(name for one in tables.values() for name in names_in(one)) for names_in in (sets_named, accounts_named, timeouts_named)]
    sets = host.set_contents(named[0])
    commands = [*(host.recreate_accounting(named[1]) if named[1] else ()), *(host.recreate_timeouts(named[2]) if named[2] else ())]
    return Copied(tables, sets, commands)


def unknown_to_proofs(host: RigHost, around: Surroundings) -> List[str]:
    """Warnings of what packets meet on this host and no proof knows."""
    warnings = []
    found = host.native_chains()
    closed = sorted({chain.rpartition(' ')[0] for chain in found if chain.split(' ')[1] == CLOSED_TABLE})
    if closed:
        warnings.append('this host is closed through nft (%s), as a boot without iptables has left it: packets meet that too, and the proof does '
                        'not know it. It goes when the rules are in force' % ', '.join(closed))
    native = [chain for chain in found if chain.rpartition(' ')[0] not in closed]
    if native:
        warnings.append('native nftables chains are on this host (%s): packets meet them too, and the proof does not know them' % ', '.join(native))
    if around.policy_routing:
        warnings.append('this host has policy routing (ip rule): the proof knows the main table alone')
    return warnings
