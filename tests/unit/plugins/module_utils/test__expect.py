# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows in groups: how they are read, and what is said of those that are not as expected."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import (
    complete_groups,
    families_of,
    prove,
    read_expectations,
    read_groups,
    unknown_to_proofs,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings

AROUND = Surroundings({'eth0': Interface('eth0', True, '02:00:00:00:00:10', 1500, (('192.0.2.10', 24, ''), ('2001:db8::10', 64, '')))},
                      (Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1'),), {})
RULES = '*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set friends src -m nfacct --nfacct-name web -j ACCEPT\nCOMMIT\n'
PORT = {'port': 22}
ACCEPTED = {'port': 22, 'verdict': 'accept'}


class FakeHost:
    """Answers that everything is dropped, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    @staticmethod
    def has_family(family: str) -> bool:
        return family == 'ipv4'

    @staticmethod
    def set_contents(names: Any) -> str:
        return 'sets %s' % sorted(names)

    @staticmethod
    def recreate_accounting(names: Any) -> Sequence[str]:
        return ['accounts %s' % sorted(names)]

    def prove(self, jobs: Sequence[Any], copied: Any, _conclude: Any) -> List[List[List[Dict[str, Any]]]]:
        self.asked = [[flow.where for flow in job.flows] for job in jobs] + [copied.sets, copied.commands]
        result: Dict[str, Any] = {'verdict': 'drop', 'rule': None, 'reason': 'fake', 'path': [], 'hook': 'input'}
        return [[[result] * flow.times for flow in job.flows] for job in jobs]

    @staticmethod
    def native_chains() -> List[str]:
        return ['inet mine door']


def test_an_element_is_a_flow_or_a_sequence() -> None:
    groups = read_groups([PORT, [PORT, PORT], PORT], 'flows')
    assert [[flow.where for flow in group] for group in groups] == [['flow 1'], ['flow 2.1', 'flow 2.2'], ['flow 3']]


@pytest.mark.parametrize(('value', 'words'), [
    ('port', "flows: 'port' is not a list of flows"), ({'port': 22}, 'flows: {'), (None, 'flows: None is not a list'),
    (['x'], "flow 1: 'x' is not a"),
    ([PORT, []], 'flows: flow 2: this sequence has no flow'), ([PORT, [PORT, {}]], 'flow 2.2: port: '), ([[[PORT]]], 'flow 1.1: [{'),
    ([PORT, PORT, {'port': 22, 'verdict': 'yes'}], 'flow 3: verdict: '),
])
def test_errors_name_the_flow(value: Any, words: str) -> None:
    with pytest.raises(PalisadeError) as error:
        read_groups(value, 'flows')
    assert str(error.value).startswith(words)


@pytest.mark.parametrize('value', [
    [ACCEPTED], [[PORT, ACCEPTED]], [{'port': 22, 'rewritten_source': '192.0.2.1'}], [[{'port': 22, 'rewritten_destination': '192.0.2.1'}, PORT]], [],
])
def test_expectations(value: Any) -> None:
    assert read_expectations(value, 'expect') == read_groups(value, 'expect')


@pytest.mark.parametrize(('value', 'number'), [([PORT], 1), ([ACCEPTED, PORT], 2), ([ACCEPTED, ACCEPTED, [PORT, PORT]], 3)])
def test_who_expects_nothing_proves_nothing(value: Any, number: int) -> None:
    with pytest.raises(PalisadeError, match=r'^expect: flow %d: nothing is expected of it' % number):
        read_expectations(value, 'expect')


def test_results_are_flat_and_failures_in_their_order() -> None:
    host: Any = FakeHost()
    groups = complete_groups(read_groups([ACCEPTED, [{'port': 1, 'verdict': 'drop'}, ACCEPTED]], 'expect'), AROUND)
    assert families_of(groups) == ['ipv4']
    tables: Tables = parse(RULES, 'ipv4')
    proved = prove(host, groups, {'ipv4': tables}, AROUND)
    assert host.asked == [['flow 1'], ['flow 2.1', 'flow 2.2'], "sets ['friends']", ["accounts ['web']"]]
    assert [result['flow']['port'] for result in proved.results] == [22, 1, 22]
    assert [text.partition(' (')[0] for text in proved.failures] == ['flow 1', 'flow 2.2']
    assert 'verdict accept was expected and drop was found' in proved.failures[0]


@pytest.mark.parametrize('tables', [{}, {'ipv6': {}}])
def test_a_family_that_the_kernel_lacks(tables: Any) -> None:
    host: Any = FakeHost()
    groups = complete_groups(read_groups([{'port': 1, 'destination': '2001:db8::10'}], 'expect'), AROUND)
    with pytest.raises(PalisadeError, match='ipv6: the kernel does not have it'):
        prove(host, groups, tables, AROUND)


def test_what_a_proof_does_not_know() -> None:
    host: Any = FakeHost()
    assert len(unknown_to_proofs(host, AROUND)) == 1
    assert [text.partition(' (')[0] for text in unknown_to_proofs(host, AROUND._replace(policy_routing=True))] == [
        'native nftables chains are on this host', 'this host has policy routing']
