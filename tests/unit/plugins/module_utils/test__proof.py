# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of proofs: verdict and reason, rewrites, what proves nothing, and what was expected."""
from __future__ import annotations

from typing import Any, Dict, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow, complete, packet_of, read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import Packet
from ansible_collections.palisade.netfilter.plugins.module_utils._proof import Sight, conclude, disagreement, result_of
from ansible_collections.palisade.netfilter.plugins.module_utils._save import parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings

BARE = Surroundings({}, (), {})
ACCEPTED = '*filter\n:INPUT DROP [0:0]\n[1:60] -A INPUT -p tcp -j ACCEPT\nCOMMIT\n'
DROPPED = '*filter\n:INPUT DROP [1:60]\nCOMMIT\n'
FORWARDED = '*filter\n:FORWARD ACCEPT [1:60]\n:INPUT ACCEPT [0:0]\nCOMMIT\n'


def flow(**keys: Any) -> Flow:
    return complete(read_flow({'in_interface': 'wan0', 'port': 22, **keys}, 'flow'), BARE)


def concluded(one: Flow, text: str, arrived: Optional[Packet] = None, interface: str = '', number: int = 0, **more: Any) -> Dict[str, Any]:
    tables = parse(text, 'test')
    return conclude(one, number, {}, Sight(tables, tables, arrived, interface, more.get('kernel', {}), more.get('refused', '')))


def test_an_accepted_packet() -> None:
    one = flow()
    assert concluded(one, ACCEPTED, packet_of(one, 0)) == {
        'verdict': 'accept', 'hook': 'input', 'reason': 'rule 1 of INPUT, table filter: -p tcp -j ACCEPT',
        'rule': {'table': 'filter', 'chain': 'INPUT', 'number': 1, 'rule': '-p tcp -j ACCEPT'},
        'path': [{'table': 'filter', 'chain': 'INPUT', 'number': 1, 'rule': '-p tcp -j ACCEPT'}]}


def test_a_dropped_packet() -> None:
    result = concluded(flow(), DROPPED)
    assert (result['verdict'], result['rule']) == ('drop', {'table': 'filter', 'chain': 'INPUT', 'policy': 'DROP'})


@pytest.mark.parametrize(('kernel', 'words'), [
    ({'IPReversePathFilter': 1}, 'ahead of every rule: the way back to its source is by another interface (rp_filter)'),
    ({'InNoRoutes': 1}, 'there is no route to its destination'), ({'Ip6InAddrErrors': 1}, 'net.ipv6.conf.all.forwarding'), ({}, 'no rule did'),
])
def test_what_the_kernel_dropped_by_itself(kernel: Dict[str, int], words: str) -> None:
    result = concluded(flow(), '*filter\n:INPUT DROP [0:0]\nCOMMIT\n', kernel=kernel)
    assert (result['verdict'], result['rule']) == ('drop', None)
    assert result['reason'].startswith('the kernel dropped it ahead of every rule: ') and words in result['reason']
    sent = concluded(flow(in_interface=None, out_interface='wan0'), '', refused='Network is unreachable')
    assert sent['reason'] == 'the kernel did not send it: Network is unreachable'


@pytest.mark.parametrize(('keys', 'arrived', 'wanted'), [
    ({'hook': 'forward', 'out_interface': 'lan0'}, {'source': '192.0.2.2'}, {'rewritten_source': '192.0.2.2:40002'}),
    ({'hook': 'forward', 'out_interface': 'lan0'}, {'destination': '10.0.0.5', 'port': 80}, {'rewritten_destination': '10.0.0.5:80'}),
    ({'hook': 'forward', 'out_interface': 'lan0'}, {'source_port': 1024}, {'rewritten_source': '198.51.100.7:1024'}),
    ({'hook': 'forward', 'out_interface': 'lan0'}, {}, {}),
    ({'hook': 'forward', 'out_interface': 'lan0', 'source': '2001:db8::7'}, {'source': '2001:db8::9'},
     {'rewritten_source': '[2001:db8::9]:40002'}),
    ({'hook': 'forward', 'out_interface': 'lan0', 'protocol': 'icmp', 'port': None}, {'destination': '10.0.0.5'},
     {'rewritten_destination': '10.0.0.5'}),
])
def test_what_nat_rewrote(keys: Dict[str, Any], arrived: Dict[str, Any], wanted: Dict[str, str]) -> None:
    one = flow(**keys)
    text = FORWARDED.replace('1:60', '1:%d' % (84 if one.protocol == 'icmp' else 80 if one.family == 'ipv6' else 60))
    result = concluded(one, text, packet_of(one, 2)._replace(**arrived), 'lan0', number=2)
    assert {key: value for key, value in result.items() if key.startswith('rewritten')} == wanted
    assert result['out_interface'] == 'lan0'


def test_what_nat_sent_elsewhere_went_another_way() -> None:
    one = flow()
    text = '*nat\n:PREROUTING ACCEPT [0:0]\n[1:60] -A PREROUTING -j DNAT --to-destination 10.0.0.5\nCOMMIT\n' + FORWARDED
    result = concluded(one, text, packet_of(one, 0)._replace(destination='10.0.0.5'), 'lan0')
    assert (result['verdict'], result['hook'], result['out_interface']) == ('accept', 'forward', 'lan0')
    dropped = concluded(one, text.replace('FORWARD ACCEPT', 'FORWARD DROP'))
    assert (dropped['verdict'], dropped['hook']) == ('drop', 'forward')


@pytest.mark.parametrize(('keys', 'text', 'interface', 'words'), [
    ({}, FORWARDED, 'lan0', 'hook: the packet did not go through input but through forward'),
    ({'hook': 'forward', 'out_interface': 'lan0'}, FORWARDED, 'wan1', 'out_interface: the host routes the packet by wan1 and not by lan0'),
    ({}, DROPPED, '', 'its verdict cannot be proved: the counters say that the policy DROP of INPUT, table filter decided, and yet'),
    ({}, ACCEPTED.replace('-p tcp', '-m physdev --physdev-in a'), '', 'its verdict cannot be proved: it meets rule 1 of INPUT'),
])
def test_what_proves_nothing_is_an_error_that_names_the_flow(keys: Dict[str, Any], text: str, interface: str, words: str) -> None:
    one = flow(**keys)
    with pytest.raises(PalisadeError) as error:
        concluded(one, text, packet_of(one, 0), interface)
    assert str(error.value).startswith('flow (tcp to port 22 in by wan0') and words in str(error.value)


def test_a_rule_that_cannot_be_proved_and_changes_nothing_is_no_matter() -> None:
    text = '*filter\n:INPUT DROP [1:60]\n[0:0] -A INPUT -m statistic --mode nth --every 2 -j LOG\nCOMMIT\n'
    assert concluded(flow(), text)['verdict'] == 'drop'


RESULT = {'verdict': 'accept', 'reason': 'rule 1', 'rewritten_source': '192.0.2.2:40000', 'rewritten_destination': '[2001:db8::5]:80'}


@pytest.mark.parametrize(('keys', 'words'), [
    ({}, ''), ({'verdict': 'accept'}, ''), ({'verdict': 'drop'}, 'verdict drop was expected and accept was found; it was decided by rule 1'),
    ({'rewritten_source': '192.0.2.2'}, ''), ({'rewritten_source': '192.0.2.2:40000'}, ''),
    ({'rewritten_source': '192.0.2.2:1'}, 'rewritten_source 192.0.2.2:1 was expected and 192.0.2.2:40000 was found'),
    ({'source': '::9', 'rewritten_destination': '2001:db8::5'}, ''), ({'source': '::9', 'rewritten_destination': '[2001:db8::5]:80'}, ''),
    ({'source': '::9', 'rewritten_destination': '2001:db8::6'}, 'rewritten_destination 2001:db8::6 was expected and [2001:db8::5]:80'),
])
def test_what_was_expected(keys: Dict[str, Any], words: str) -> None:
    said = disagreement(flow(**keys), RESULT)
    assert words in said and bool(said) is bool(words)
    assert not words or said.startswith('flow (tcp to port 22 in by wan0 from ')


def test_a_rewrite_that_did_not_happen() -> None:
    said = disagreement(flow(rewritten_source='192.0.2.2'), {'verdict': 'accept', 'reason': 'rule 1'})
    assert 'rewritten_source 192.0.2.2 was expected and none was found' in said


def test_the_last_packet_of_a_count_is_the_flows() -> None:
    packets = [{'verdict': 'accept', 'reason': 'a'}, {'verdict': 'drop', 'reason': 'b'}]
    result = result_of(flow(count=2), packets, ['x'])
    assert (result['verdict'], result['reason'], result['verdicts'], result['assumed']) == ('drop', 'b', ['accept', 'drop'], ['x'])
    assert result['flow'] == {
        'hook': 'input', 'family': 'ipv4', 'in_interface': 'wan0', 'source': '198.51.100.7', 'source_port': 40000, 'destination': '192.0.2.1',
        'protocol': 'tcp', 'port': 22, 'flags': 'SYN', 'state': 'new', 'count': 2}
    assert 'verdicts' not in result_of(flow(), packets[:1], [])
