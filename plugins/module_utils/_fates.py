# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the rig what a plan changes for traffic: the same packets through a copy of the live state and through a copy of the predicted one."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import complete_groups, copied
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import Job, RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import FamilyPlan
from ansible_collections.palisade.netfilter.plugins.module_utils._proof import Sight, conclude
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import rig_for
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings
from ansible_collections.palisade.netfilter.plugins.module_utils._verdict_diff import Change, Question, changes, flows_of, lanes, questions

_BEFORE, _AFTER = 'traffic (live)', 'traffic (wanted)'


class Fates(NamedTuple):
    """What changes for traffic, out of so many packets that were asked about. `problem` says why nothing could be told."""

    changes: Sequence[Change] = ()
    asked: int = 0
    problem: str = ''

    def diff(self) -> Dict[str, str]:
        """An entry for Ansible's diff."""
        if self.problem:
            lines = ['# what changes for traffic cannot be told: %s' % self.problem]
        else:
            lines = ['# what changes for traffic, of %d packets sent through copies of both' % self.asked]
            lines += ['! %s' % change.text() for change in self.changes] or ['# nothing does']
        return {'before_header': _BEFORE, 'after_header': _AFTER, 'prepared': '\n'.join(['--- %s' % _BEFORE, '+++ %s' % _AFTER, *lines]) + '\n'}


def fates(host: RigHost, plans: Sequence[FamilyPlan], live: Mapping[str, Tables], predicted: Mapping[str, Tables], around: Surroundings,
          expected: Sequence[Sequence[Flow]]) -> Fates:
    """Ask what is worth asking about these plans, and what is expected, on the tables by family as they are and as they will be."""
    pairs = flows_of(questions(plans, live, predicted, around), around)
    # A sequence has no fate of its own: what its packets meet depends on the ones before.
    singles = [flow for group in complete_groups([group for group in expected if len(group) == 1], around) for flow in group]
    pairs += [(Question(flow.data(), flow.text()), flow) for flow in singles if flow.family in predicted]
    if not pairs:
        return Fates()
    flows = [flow for _question, flow in pairs]
    before, after = (_answers(host, flows, tables, around) for tables in (live, predicted))
    return Fates(changes([question for question, _flow in pairs], before, after), len(pairs))


def _answers(host: RigHost, flows: Sequence[Flow], tables: Mapping[str, Tables], around: Surroundings) -> List[Mapping[str, Any]]:
    """What became of each flow's last packet; without a verdict where that could not be proved."""
    groups = lanes(flows)
    jobs = [Job(rig_for(around, [flows[number] for number in group]), [flows[number] for number in group]) for group in groups]
    proved = host.prove(jobs, copied(host, tables), _concluded)
    answers: Dict[int, Mapping[str, Any]] = {}
    for group, done in zip(groups, proved):
        answers.update(zip(group, [packets[-1] for packets in done]))
    return [answers[number] for number in range(len(flows))]


def _concluded(flow: Flow, number: int, before: Tables, sight: Sight) -> Mapping[str, Any]:
    """One packet that nothing can be said of shall not take the others' answers with it."""
    try:
        answer = conclude(flow, number, before, sight)
    except PalisadeError as error:
        return {'reason': str(error)}
    # Each question has a source port of its own, which says nothing where nat kept it.
    kept = ':%d' % flow.source_port
    if str(answer.get('rewritten_source', '')).endswith(kept):
        answer['rewritten_source'] = answer['rewritten_source'][:-len(kept)]
    return answer
