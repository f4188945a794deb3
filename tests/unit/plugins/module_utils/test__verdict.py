# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From counters to a way through the tables: jumps, gotos, returns, policies, and packets that are not ours."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._verdict import Hits, Judgement, is_goto, judge, ours

LENGTH = 60


def tables_of(text: str) -> Tables:
    return parse(text, 'test')


def judged(text: str, way: str = 'input', arrived: bool = False, before: str = '') -> Judgement:
    """Judge from what iptables-save -c printed after the packet, and before it where that was not all zero."""
    tables = tables_of(text)
    return judge(tables, Hits(tables_of(before), tables, 'ipv4', LENGTH), way, arrived)


def said(judgement: Judgement) -> str:
    step = judgement.decided
    return '%s %s' % (judgement.verdict, '%s %s %s' % (step.table, step.chain, step.number or step.rule) if step else None)


def path(judgement: Judgement) -> List[str]:
    return ['%s %s' % (step.chain, step.number or step.rule) for step in judgement.path]


def table(name: str, *lines: str) -> str:
    return '\n'.join(['*%s' % name, *lines, 'COMMIT', ''])


def test_a_rule_decides() -> None:
    text = table('filter', ':INPUT DROP [0:0]', '[0:0] -A INPUT -i lo -j ACCEPT', '[1:60] -A INPUT -p tcp -j ACCEPT', '[0:0] -A INPUT -j DROP')
    assert said(judged(text, arrived=True)) == 'accept filter INPUT 2'
    assert [step.number for step in judged(text, arrived=True).seen] == [1, 2]


@pytest.mark.parametrize(('policy', 'verdict', 'arrived'), [('DROP', 'drop', False), ('ACCEPT', 'accept', True)])
def test_a_policy_decides(policy: str, verdict: str, arrived: bool) -> None:
    text = table('filter', ':INPUT %s [1:60]' % policy, '[0:0] -A INPUT -i lo -j ACCEPT')
    assert said(judged(text, arrived=arrived)) == '%s filter INPUT %s' % (verdict, policy)


def test_a_rule_without_a_verdict_is_on_the_path_and_decides_nothing() -> None:
    text = table('filter', ':INPUT DROP [1:60]', '[1:60] -A INPUT -j LOG', '[1:60] -A INPUT -m comment --comment "-j ACCEPT"')
    assert said(judged(text)) == 'drop filter INPUT DROP'
    assert path(judged(text)) == ['INPUT 1', 'INPUT 2', 'INPUT DROP']


def test_jumps_come_back_and_gotos_do_not() -> None:
    rules = ['[1:60] -A INPUT -j one', '[%d:%d] -A INPUT -p tcp -j ACCEPT', '[1:60] -A one -g two', '[0:0] -A one -j DROP', '[1:60] -A two -p tcp']
    text = table('filter', ':INPUT DROP [0:0]', ':one - [0:0]', ':two - [0:0]', *rules)
    assert said(judged(text % (1, 60), arrived=True)) == 'accept filter INPUT 2'
    gone = table('filter', ':INPUT DROP [1:60]', ':two - [0:0]', '[1:60] -A INPUT -g two', '[0:0] -A INPUT -j ACCEPT', '[1:60] -A two -p tcp')
    assert said(judged(gone)) == 'drop filter INPUT DROP'


def test_return_ends_a_chain() -> None:
    text = table('filter', ':INPUT DROP [0:0]', ':one - [0:0]', '[1:60] -A INPUT -j one', '[1:60] -A INPUT -j ACCEPT',
                 '[1:60] -A one -j RETURN', '[0:0] -A one -j DROP')
    assert said(judged(text, arrived=True)) == 'accept filter INPUT 2'
    builtin = table('filter', ':INPUT DROP [1:60]', '[1:60] -A INPUT -j RETURN', '[0:0] -A INPUT -j ACCEPT')
    assert said(judged(builtin)) == 'drop filter INPUT DROP'


def test_the_answer_of_a_reject_does_not_decide() -> None:
    # The ICMP error (20 + 8 + 60 bytes) went through OUTPUT, and a rule of the shared chain that stands ahead met it there.
    text = table('filter', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':shared - [0:0]',
                 '[1:60] -A INPUT -j shared', '[1:88] -A OUTPUT -j shared', '[1:88] -A shared -p icmp -j DROP', '[1:60] -A shared -j REJECT')
    assert said(judged(text)) == 'reject filter shared 2'
    assert path(judged(text)) == ['INPUT 1', 'shared 2']


def test_each_table_has_its_say_in_netfilters_order() -> None:
    text = (table('filter', ':INPUT ACCEPT [0:0]', '[0:0] -A INPUT -j DROP')
            + table('mangle', ':PREROUTING ACCEPT [1:60]', ':INPUT ACCEPT [0:0]', '[1:60] -A INPUT -j DROP')
            + table('raw', ':PREROUTING ACCEPT [0:0]', '[1:60] -A PREROUTING -j ACCEPT'))
    assert said(judged(text)) == 'drop mangle INPUT 1'
    assert path(judged(text)) == ['PREROUTING 1', 'INPUT 1']


def test_filter_is_what_decided_of_a_packet_that_all_tables_accept() -> None:
    text = (table('security', ':INPUT ACCEPT [1:60]') + table('filter', ':INPUT ACCEPT [0:0]', '[1:60] -A INPUT -j ACCEPT')
            + table('nat', ':PREROUTING ACCEPT [1:60]', ':INPUT ACCEPT [1:60]') + table('mangle', ':INPUT ACCEPT [1:60]'))
    assert said(judged(text, arrived=True)) == 'accept filter INPUT 1'


def test_nat_is_passed_by_what_belongs_to_a_connection() -> None:
    text = (table('nat', ':PREROUTING ACCEPT [0:0]', ':POSTROUTING ACCEPT [0:0]', '[0:0] -A POSTROUTING -j MASQUERADE')
            + table('filter', ':FORWARD DROP [0:0]', '[1:60] -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT'))
    assert said(judged(text, 'forward', arrived=True)) == 'accept filter FORWARD 1'


def test_the_kernels_own_drop_is_nobodys() -> None:
    text = table('mangle', ':PREROUTING ACCEPT [1:60]', ':FORWARD ACCEPT [0:0]') + table('filter', ':FORWARD DROP [0:0]')
    judgement = judged(text, 'forward')
    assert (said(judgement), judgement.after) == ('drop None', 'PREROUTING of table mangle')
    behind = judged(table('filter', ':INPUT ACCEPT [1:60]'))
    assert (said(behind), behind.after) == ('drop None', 'INPUT of table filter')


@pytest.mark.parametrize(('text', 'arrived', 'words'), [
    (table('filter', ':INPUT DROP [0:0]', '[1:60] -A INPUT -j DROP'), True, 'and yet the packet came out'),
    (table('filter', ':INPUT DROP [0:0]', '[0:0] -A INPUT -j ACCEPT'), True, 'the counters do not show its way behind its start'),
])
def test_counters_and_what_was_seen_must_agree(text: str, arrived: bool, words: str) -> None:
    with pytest.raises(PalisadeError, match=words):
        judged(text, arrived=arrived)


def test_only_what_was_counted_since_is_looked_at() -> None:
    before = table('filter', ':INPUT DROP [4:240]', '[7:420] -A INPUT -p tcp -j ACCEPT')
    after = table('filter', ':INPUT DROP [5:300]', '[7:420] -A INPUT -p tcp -j ACCEPT')
    assert said(judged(after, before=before)) == 'drop filter INPUT DROP'


def test_a_chain_that_is_met_twice() -> None:
    # PREROUTING and FORWARD share a chain; only behind the routing decision does -o match, and RETURN is taken only there.
    text = table('mangle', ':PREROUTING ACCEPT [0:0]', ':FORWARD ACCEPT [1:60]', ':both - [0:0]', '[1:60] -A PREROUTING -j both',
                 '[1:60] -A FORWARD -j both', '[1:60] -A both -o lan0 -j RETURN', '[1:60] -A both -j ACCEPT')
    judgement = judged(text, 'forward', arrived=True)
    assert path(judgement) == ['PREROUTING 1', 'both 2', 'FORWARD 1', 'both 1', 'FORWARD ACCEPT']


@pytest.mark.parametrize(('packets', 'octets', 'wanted'), [
    (0, 0, 0), (1, 60, 1), (1, 40, 0), (1, 88, 0), (1, 1500, 0), (2, 120, 2), (2, 60 + 88, 1), (2, 60 + 40, 1), (2, 88 + 88, 0), (2, 88 + 40, 0),
    (3, 120 + 88, 2), (3, 60 + 40 + 88, 1), (50, 49 * 60 + 40, 49), (100, 100 * 40, 0), (1000, 60000, 1000),
])
def test_whose_packets_a_counter_saw(packets: int, octets: int, wanted: int) -> None:
    assert ours(packets, octets, 'ipv4', LENGTH) == wanted


def test_what_ipv6_says_by_itself_is_not_ours() -> None:
    assert [ours(*one, 'ipv6', 80) for one in ((1, 76), (2, 76 + 96), (2, 80 + 76), (3, 80 + 128 + 96), (2, 160))] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(('rule', 'wanted'), [
    ('-p tcp -g one', True), ('-g one', True), ('-p tcp -j one', False), ('-m comment --comment "a -g b" -j one', False), ('', False),
])
def test_what_a_goto_is(rule: str, wanted: bool) -> None:
    assert is_goto(rule) is wanted


@pytest.mark.parametrize(('target', 'verdict'), [
    ('DROP', 'drop'), ('REJECT --reject-with tcp-reset', 'reject'), ('NFQUEUE --queue-num 1', 'queue'),
])
def test_targets_that_end_a_packets_way(target: str, verdict: str) -> None:
    assert said(judged(table('filter', ':INPUT ACCEPT [0:0]', '[1:60] -A INPUT -j %s' % target))) == '%s filter INPUT 1' % verdict


def test_a_step_as_data_and_in_words() -> None:
    judgement = judged(table('filter', ':INPUT DROP [1:60]', '[1:60] -A INPUT -p tcp'))
    shown: Sequence[Dict[str, Any]] = [step.data() for step in judgement.path]
    assert shown == [{'table': 'filter', 'chain': 'INPUT', 'number': 1, 'rule': '-p tcp'}, {'table': 'filter', 'chain': 'INPUT', 'policy': 'DROP'}]
    assert [step.text() for step in judgement.path] == ['rule 1 of INPUT, table filter: -p tcp', 'the policy DROP of INPUT, table filter']
