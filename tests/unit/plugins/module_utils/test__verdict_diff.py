# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worth asking about a plan, and what two answers come to. tests/kernel asks a kernel."""
from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.palisade.netfilter.plugins.module_utils._edits import edit_script
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import FLAGS
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import ChainChange, FamilyPlan, TablePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings
from ansible_collections.palisade.netfilter.plugins.module_utils._verdict_diff import (
    FEWEST_FLOWS,
    MOST_FLOWS,
    Question,
    changes,
    flows_of,
    lanes,
    questions,
)

AROUND = Surroundings(
    {'lo': Interface('lo', addresses=(('127.0.0.1', 8, ''),)), 'wan0': Interface('wan0', addresses=(('192.0.2.10', 24, ''),)),
     'lan0': Interface('lan0', addresses=(('10.1.0.1', 24, ''),))},
    [Route('ipv4', '0.0.0.0/0', 'wan0', '192.0.2.1'), Route('ipv4', '192.0.2.0/24', 'wan0'), Route('ipv4', '10.1.0.0/24', 'lan0')], {})
SSH = '-p tcp -m tcp --dport 22 -j ACCEPT'


def tables(policy: str, rules: List[str], chains: Dict[str, List[str]]) -> Tables:
    text = ['*filter', ':INPUT %s [0:0]' % policy, *(':%s - [0:0]' % chain for chain in chains)]
    text += ['-A INPUT %s' % rule for rule in rules]
    text += ['-A %s %s' % (chain, rule) for chain, own in chains.items() for rule in own]
    return parse('\n'.join([*text, 'COMMIT']), 'test')


def plan(live: Tables, predicted: Tables) -> FamilyPlan:
    changed = []
    for chain in dict.fromkeys([*live['filter'], *predicted['filter']]):
        old, new = live['filter'].get(chain), predicted['filter'].get(chain)
        before, after = old.rules if old else [], new.rules if new else []
        policies = (old.policy, new.policy) if old and new and old.policy != new.policy else (None, None)
        changed.append(ChainChange(chain, before if old else None, after if new else None, edit_script(before, after), policies))
    return FamilyPlan('ipv4', [TablePlan('filter', [], [], changed)])


def asked(live: Tables, predicted: Tables) -> List[str]:
    return [question.words for question in questions([plan(live, predicted)], {'ipv4': live}, {'ipv4': predicted}, AROUND)]


def test_a_rule_that_comes_is_asked_about_on_every_interface() -> None:
    live = tables('DROP', ['-j palisade-INPUT'], {'palisade-INPUT': [SSH]})
    predicted = tables('DROP', ['-j palisade-INPUT'], {'palisade-INPUT': [SSH, '-p tcp -m multiport --dports 80,443 -j ACCEPT']})
    assert asked(live, predicted) == ['tcp 80 from any on wan0', 'tcp 80 from any on lan0', 'tcp 443 from any on wan0', 'tcp 443 from any on lan0']


def test_a_rule_that_goes_is_asked_about_too_and_one_that_stays_is_not() -> None:
    live = tables('DROP', [SSH, '-i lan0 -p udp -m udp --dport 53 -j ACCEPT'], {})
    assert asked(live, tables('DROP', [SSH], {})) == ['udp 53 from any on lan0']


def test_conditions_of_the_jump_and_of_the_rule_behind_it_come_together() -> None:
    jump = '-p tcp -m tcp --dport 3306 -j palisade-from-mysql'
    live = tables('DROP', [jump], {'palisade-from-mysql': ['-s 10.0.0.5/32 -j ACCEPT']})
    predicted = tables('DROP', [jump], {'palisade-from-mysql': ['-s 10.0.0.5/32 -j ACCEPT', '-s 10.1.0.0/24 -j ACCEPT']})
    assert asked(live, predicted) == ['tcp 3306 from 10.1.0.1', 'tcp 3306 from any on wan0', 'tcp 3306 from any on lan0']


def test_behind_a_new_jump_every_rule_is_new() -> None:
    chains = {'palisade-INPUT': [SSH]}
    assert asked(tables('ACCEPT', [], chains), tables('ACCEPT', ['-j palisade-INPUT'], chains)) == [
        'tcp 22 from any on wan0', 'tcp 22 from any on lan0']


def test_a_policy_stands_for_all_that_no_rule_names() -> None:
    words = asked(tables('ACCEPT', [], {}), tables('DROP', [], {}))
    assert words == ['%s to any other port from any on %s' % (protocol, name) for protocol in ('tcp', 'udp') for name in ('wan0', 'lan0')]


def test_rules_that_no_packet_meets_together_are_not_asked_about() -> None:
    jump = '-s 10.0.0.0/8 -p tcp -j palisade-a'
    live = tables('DROP', [jump], {'palisade-a': []})
    assert asked(live, tables('DROP', [jump], {'palisade-a': ['-s 192.0.2.0/24 -j ACCEPT', '-p udp -j ACCEPT']})) == []


def test_established_traffic_and_other_protocols_are_not_asked_about() -> None:
    live = tables('DROP', [], {})
    assert asked(live, tables('DROP', ['-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', '-p esp -j ACCEPT'], {})) == []


def test_icmp_interfaces_with_a_plus_and_ranges() -> None:
    live = tables('DROP', [], {})
    predicted = tables('DROP', ['-i wlan+ -p icmp -m icmp --icmp-type 8 -j ACCEPT', '-p udp -m udp --dport 60000:61000 -j ACCEPT',
                                '-p tcp -m tcp --dport 25 -m iprange --src-range 10.1.0.7-10.1.0.9 -j ACCEPT'], {})
    words = asked(live, predicted)
    assert words[0] == 'icmp echo-request from any on wlan0'
    assert 'udp 60000 from any on wan0' in words
    assert 'tcp 25 from 10.1.0.7' in words


def test_the_number_of_questions_is_bounded() -> None:
    many = ['-p tcp -m tcp --dport %d -j ACCEPT' % port for port in range(1, 2000)]
    assert len(asked(tables('DROP', [], {}), tables('DROP', many[:200], {}))) == MOST_FLOWS
    live, predicted = tables('DROP', many * 20, {}), tables('DROP', many * 20 + many[:50], {})
    assert len(asked(live, predicted)) == FEWEST_FLOWS


def test_questions_become_flows_of_their_own_ports() -> None:
    live = tables('DROP', [], {})
    predicted = tables('DROP', ['-i wlan+ -p tcp -m tcp --dport 22 -j ACCEPT', SSH, '-p tcp -m tcp --sport 20 --dport 1024:65535 -j ACCEPT'], {})
    pairs = flows_of(questions([plan(live, predicted)], {'ipv4': live}, {'ipv4': predicted}, AROUND), AROUND)
    flows = [flow for _question, flow in pairs]
    assert {flow.in_interface for flow in flows} == {'wlan0', 'wan0', 'lan0'}
    assert {flow.port: flow.source_port for flow in flows}[1024] == 20
    assert len({(flow.source_port, flow.in_interface) for flow in flows}) == len(flows)
    assert all(flow.flags == FLAGS['SYN'] and flow.destination for flow in flows)
    for lane in lanes(flows):
        assert len({flows[number].port for number in lane}) == len(lane)
    assert sorted(number for lane in lanes(flows) for number in lane) == list(range(len(flows)))


def test_what_changes_is_said_once_for_both_families() -> None:
    asked_of = [Question({'family': family}, words) for words in ('tcp 443 from any on eth0', 'tcp 22 from any on eth0', 'udp 1 from any on eth0')
                for family in ('ipv4', 'ipv6')]
    rule = {'table': 'filter', 'chain': 'palisade-INPUT', 'number': 7, 'rule': '-j ACCEPT'}
    dropped: Dict[str, Any] = {'verdict': 'drop', 'rule': {'table': 'filter', 'chain': 'INPUT', 'policy': 'DROP'}}
    accepted: Dict[str, Any] = {'verdict': 'accept', 'rule': rule}
    unknown: Dict[str, Any] = {'reason': 'cannot be proved'}
    found = changes(asked_of, [dropped, dropped, accepted, dropped, dropped, dropped], [accepted, accepted, dropped, dropped, unknown, dropped])
    assert [change.text() for change in found] == [
        'tcp 443 from any on eth0: drop → accept, by palisade-INPUT 7',
        'tcp 22 from any on eth0 (ipv4): accept → drop, by the policy of INPUT']
    assert found[0].data() == {'traffic': 'tcp 443 from any on eth0', 'families': ['ipv4', 'ipv6'], 'before': 'drop', 'after': 'accept',
                               'by': ['palisade-INPUT 7']}


def test_another_rewriting_is_another_fate() -> None:
    asked_of = [Question({'family': 'ipv4'}, 'tcp 80')]
    before = {'verdict': 'accept', 'rule': None, 'reason': 'nobody', 'rewritten_destination': '10.1.0.2:80'}
    after = {'verdict': 'accept', 'rule': None, 'reason': 'nobody', 'rewritten_destination': '10.1.0.3:80'}
    assert [change.text() for change in changes(asked_of, [before], [after])] == [
        'tcp 80 (ipv4): accept (to 10.1.0.2:80) → accept (to 10.1.0.3:80), by nobody']


def test_who_is_meant_by_any_is_said_as_it_is_sent() -> None:
    live = tables('DROP', [], {})
    predicted = tables('DROP', [SSH], {})
    pairs = flows_of(questions([plan(live, predicted)], {'ipv4': live}, {'ipv4': predicted}, AROUND), AROUND)
    assert [(question.words, flow.source) for question, flow in pairs] == [
        ('tcp 22 from any on wan0', '198.51.100.7'), ('tcp 22 from a neighbour on lan0', '10.1.0.2')]
