# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a rig is made from: links, addresses, routes, the copy of the rules, and what such a copy cannot have."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow, complete, read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import (
    Rig,
    accounts_named,
    after_handshake,
    handshake_rules,
    loadable,
    rewritten_ports,
    rig_for,
    router_batch,
    sets_named,
    sets_to_copy,
    timeouts_named,
    unprovable,
    wire_batch,
    without_reaching,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings

LO = Interface('lo', True, '', 65536, (('127.0.0.1', 8, ''), ('10.255.0.1', 32, '')))
HOST = Surroundings(
    {'lo': LO, 'eth0': Interface('eth0', True, '02:00:00:00:00:10', 1500, (('192.0.2.10', 24, ''), ('2001:db8::10', 64, ''))),
     'veth1': Interface('veth1', True, '02:00:00:00:00:11', 1500, (('fe80::11', 64, ''),)), 'tun0': Interface('tun0', True, '', 1400, (
         ('10.9.0.1', 32, '10.9.0.2'),))},
    (Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1', 100), Route('ipv4', '192.0.2.0/24', 'eth0', source='192.0.2.10'),
     Route('ipv6', 'fe80::/64', 'veth1'), Route('ipv4', '10.6.0.0/16', '', kind='blackhole')),
    {'ipv4/ip_forward': '1', 'ipv4/conf/eth0/rp_filter': '2', 'ipv4/conf/veth1/rp_filter': '1'})
BARE = Surroundings({'lo': LO}, (), {})


def flows(around: Surroundings, *given: Dict[str, Any]) -> List[Flow]:
    return [complete(read_flow(one, 'flow'), around) for one in given]


def rig(around: Surroundings, *given: Dict[str, Any]) -> Rig:
    return rig_for(around, flows(around, *given))


def lines(text: str, word: str) -> Sequence[str]:
    return [line for line in text.split('\n') if line.startswith(word)]


def test_a_host_as_it_is() -> None:
    made = rig(HOST, {'in_interface': 'eth0', 'port': 22})
    assert made.assumed == []
    assert wire_batch(made, '/proc/7/fd/9').split('\n') == [
        'link add w0 mtu 1500 type veth peer name eth0 address 02:00:00:00:00:10 mtu 1500 netns /proc/7/fd/9', 'link set dev w0 up',
        'link add w1 mtu 1400 type veth peer name tun0 address 02:00:00:00:01:01 mtu 1400 netns /proc/7/fd/9', 'link set dev w1 up', '']
    assert router_batch(made).split('\n') == [
        'link set dev lo up', 'link set dev eth0 arp off up', 'link set dev tun0 arp off up',
        'address add 192.0.2.10/24 dev eth0', 'address add 2001:db8::10/64 dev eth0 nodad',
        'route replace local 2001:db8::10/128 dev eth0 table local', 'address add 10.9.0.1 peer 10.9.0.2/32 dev tun0',
        'address add 10.255.0.1/32 dev lo', 'route replace 192.0.2.0/24 dev eth0 src 192.0.2.10', 'route replace blackhole 10.6.0.0/16',
        'route replace 0.0.0.0/0 via 192.0.2.1 dev eth0 onlink metric 100', '']
    assert made.settings == [('ipv4/ip_forward', '1'), ('ipv4/conf/eth0/rp_filter', '2')]


def test_an_interface_that_is_not_there_gets_what_the_flow_needs() -> None:
    made = rig(BARE, {'in_interface': 'wan0', 'out_interface': 'lan0', 'source': '203.0.113.9', 'destination': '10.1.0.5', 'port': 22})
    batch = router_batch(made)
    assert made.assumed == ['wan0 is there, up and with IPv4', 'lan0 is there, up and with IPv4', 'lan0 has the address 192.0.2.2']
    assert lines(batch, 'address') == ['address add 10.255.0.1/32 dev lo', 'address add 192.0.2.2/32 dev lan0']
    assert lines(batch, 'route') == [
        'route replace 203.0.113.9/32 dev wan0', 'route replace 10.1.0.5/32 dev lan0', 'route replace 0.0.0.0/0 dev lan0 metric 9999']


def test_an_address_that_a_flow_wants_is_there() -> None:
    made = rig(BARE, {'hook': 'input', 'in_interface': 'wan0', 'destination': '2001:db8::80', 'port': 22})
    assert made.assumed == ['wan0 is there, up and with IPv6', 'wan0 has the address 2001:db8::80']
    sent = rig(BARE, {'out_interface': 'wan0', 'source': '192.0.2.80', 'port': 22})
    assert sent.assumed == ['wan0 is there, up and with IPv4', 'wan0 has the address 192.0.2.80']
    assert lines(router_batch(sent), 'route') == ['route replace 203.0.113.7/32 dev wan0', 'route replace 0.0.0.0/0 dev wan0 metric 9999']


RULES = """\
*filter
:INPUT DROP [5:300]
:mine - [0:0]
[5:300] -A INPUT -m set --match-set "two words" src -j mine
[7:420] -A INPUT -m set ! --match-set others dst -j SET --add-set third src
[0:0] -A mine -p tcp -m comment --comment "it's mine" -j IDLETIMER --timeout 60 --label "a b"
[0:0] -A mine -m comment --comment "-j LED" -j DROP
COMMIT
"""


def test_the_copy_has_every_rule_in_its_place_without_counters() -> None:
    assert loadable(parse(RULES, 'test')) == """\
*filter
:INPUT DROP [0:0]
:mine - [0:0]
-A INPUT -m set --match-set "two words" src -j mine
-A INPUT -m set ! --match-set others dst -j SET --add-set third src
-A mine -p tcp -m comment --comment "it's mine"
-A mine -m comment --comment "-j LED" -j DROP
COMMIT
"""


@pytest.mark.parametrize(('rule', 'wanted'), [
    ('-p tcp -j IDLETIMER --timeout 60 --label x', '-p tcp'), ('-j LED --led-trigger-id x --led-always-blink', ''),
    ('-j LED --led-trigger-id "a b" --led-delay 5', ''), ('-p tcp -j AUDIT --type accept', '-p tcp'), ('-j LEDGER', '-j LEDGER'),
    ('-m comment --comment "say \\"AUDIT\\"" -j AUDIT --type drop', '-m comment --comment "say \\"AUDIT\\""'),
])
def test_nothing_reaches_out_of_a_namespace(rule: str, wanted: str) -> None:
    assert without_reaching(rule) == wanted


def test_the_rules_of_a_handshake_are_gone_behind_it() -> None:
    tables = parse('*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n*mangle\n:INPUT ACCEPT [0:0]\nCOMMIT\n', 'test')
    assert sorted(parse(handshake_rules(tables, 'ipv4'), 'test')) == ['mangle', 'nat', 'raw']
    assert parse(handshake_rules(tables, 'ipv6'), 'test')['nat']['PREROUTING'].rules == ['-j ACCEPT']
    assert after_handshake(tables) == '*raw\nCOMMIT\n'
    assert after_handshake({}) == '*raw\nCOMMIT\n*mangle\nCOMMIT\n'


def test_sets_come_with_the_sets_in_them_and_no_others() -> None:
    assert sets_named(parse(RULES.replace('"two words"', 'outer'), 'test')) == {'outer', 'others', 'third'}
    saved = ('create outer list:set size 8\nadd outer inner\ncreate inner hash:ip family inet\nadd inner 192.0.2.1\n'
             'create strange hash:ip family inet\nadd strange 192.0.2.2\n')
    assert sets_to_copy(saved, frozenset({'outer'})) == (
        'create outer list:set size 8\ncreate inner hash:ip family inet\nadd inner 192.0.2.1\nadd outer inner\n')
    assert sets_to_copy(saved, frozenset({'third'})) == ''


@pytest.mark.parametrize(('rule', 'words'), [
    ('-m physdev --physdev-in a -j ACCEPT', 'match physdev'), ('-m statistic --mode nth --every 2 -j DROP', 'match statistic'),
    ('-p tcp -j NFQUEUE --queue-num 0', 'target NFQUEUE'), ('-m policy --dir out --pol ipsec -j ACCEPT', 'match policy'),
    ('-m policy --dir in --pol none -j ACCEPT', ''), ('-m comment --comment "-m physdev" -j DROP', ''), ('-p tcp -j ACCEPT', ''),
    ('-m limit --limit 1/sec -j ACCEPT', ''),
])
def test_what_cannot_be_proved(rule: str, words: str) -> None:
    assert unprovable(rule).startswith(words)
    assert bool(unprovable(rule)) is bool(words)


def test_the_ports_that_nat_sends_packets_to() -> None:
    text = ('*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j REDIRECT --to-ports 3128\n-A PREROUTING -p tcp -j REDIRECT --to-ports 81-83\n'
            '-A PREROUTING -j DNAT --to-destination 10.0.0.5:80\n-A PREROUTING -j DNAT --to-destination [fd01::5]:88\n'
            '-A PREROUTING -j DNAT --to-destination 10.0.0.6\n-A PREROUTING -j DNAT --to-destination fd01::80\nCOMMIT\n')
    assert rewritten_ports(parse(text, 'test')) == {3128, 81, 80, 88}
    assert rewritten_ports({}) == frozenset()


def test_of_a_very_long_routing_table_only_what_the_flows_need() -> None:
    many = [Route('ipv4', '10.%d.%d.0/24' % (number // 250, number % 250), 'eth0', '192.0.2.1') for number in range(5000)]
    made = rig(HOST._replace(routes=[*HOST.routes, *many]), {'in_interface': 'eth0', 'source': '10.1.7.9', 'port': 22})
    assert lines(router_batch(made), 'route') == [
        'route replace local 2001:db8::10/128 dev eth0 table local', 'route replace 192.0.2.0/24 dev eth0 src 192.0.2.10',
        'route replace blackhole 10.6.0.0/16', 'route replace 0.0.0.0/0 via 192.0.2.1 dev eth0 onlink metric 100',
        'route replace 10.1.7.0/24 via 192.0.2.1 dev eth0 onlink']
    assert made.assumed == ['of 5003 routes, only those to the addresses of the flow and those without a gateway are there']


@pytest.mark.parametrize(('mtu', 'wanted'), [(1500, 1500), (576, 1280), (65536, 65535)])
def test_a_link_has_a_size_that_it_can_have(mtu: int, wanted: int) -> None:
    here = Surroundings({'x0': Interface('x0', True, '', mtu, (('192.0.2.1', 24, ''),))}, (), {})
    assert ' mtu %d type veth' % wanted in wire_batch(rig(here, {'in_interface': 'x0', 'port': 1}), 'x')


def test_other_objects_that_rules_name() -> None:
    text = ('*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j CT --zone 3 --timeout slow\n-A PREROUTING -m nfacct --nfacct-name  web\n'
            '-A PREROUTING -j IDLETIMER --timeout 60 --label x\nCOMMIT\n')
    assert accounts_named(parse(text, 'test')) == {'web'}
    assert timeouts_named(parse(text, 'test')) == {'slow'}
