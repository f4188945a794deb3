# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows: what is read, what is refused and how it is named, and what is filled in from a host."""
from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import KEYS, Flow, complete, packet_of, read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import MARK
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings

LO = Interface('lo', True, '', 65536, (('127.0.0.1', 8, ''), ('::1', 128, '')))
ETH0 = Interface('eth0', True, '02:00:00:00:00:10', 1500, (('192.0.2.10', 24, ''), ('fe80::10', 64, ''), ('2001:db8::10', 64, '')))
LAN0 = Interface('lan0', True, '02:00:00:00:00:11', 1500, (('10.1.0.1', 24, ''),))
VPN = Interface('tun0', True, '', 1400, (('10.9.0.1', 32, '10.9.0.2'),))
DOWN = Interface('eth9', False, '02:00:00:00:00:19', 1500, (('10.99.0.1', 24, ''),))
ROUTES = (
    Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1'), Route('ipv4', '192.0.2.0/24', 'eth0', source='192.0.2.10'),
    Route('ipv4', '10.1.0.0/24', 'lan0', source='10.1.0.1'), Route('ipv4', '10.0.0.0/8', 'lan0', '10.1.0.254'),
    Route('ipv4', '10.9.0.2/32', 'tun0'),
    Route('ipv6', '2001:db8::/64', 'eth0'), Route('ipv6', '::/0', 'eth0', '2001:db8::1'),
)
HOST = Surroundings({one.name: one for one in (LO, ETH0, LAN0, VPN, DOWN)}, ROUTES, {})
BARE = Surroundings({'lo': LO}, (), {})


def flow(**keys: Any) -> Flow:
    return read_flow(keys, 'flow')


def filled(around: Surroundings = HOST, **keys: Any) -> Dict[str, Any]:
    data = complete(flow(**keys), around).data()
    return {key: data[key] for key in ('hook', 'in_interface', 'out_interface', 'source', 'destination') if key in data}


@pytest.mark.parametrize(('given', 'key', 'value'), [
    ({'port': '22'}, 'port', 22), ({'port': 22}, 'protocol', 'tcp'), ({'port': 22}, 'flags', 2),
    ({'port': 22, 'flags': 'syn,ACK'}, 'flags', 18), ({'port': 22, 'flags': ['FIN', 'URG']}, 'flags', 33),
    ({'port': 22, 'flags': 'NONE'}, 'flags', 0),
    ({'port': 22, 'state': 'established'}, 'flags', 16), ({'port': 22, 'state': 'established', 'flags': 'RST'}, 'flags', 4),
    ({'protocol': 'icmp'}, 'icmp_type', (8, 0)), ({'protocol': 'ICMPv6'}, 'icmp_type', (128, 0)), ({'protocol': 'icmpv6'}, 'protocol', 'ipv6-icmp'),
    ({'icmp_type': 'time-exceeded'}, 'protocol', 'icmp'), ({'icmp_type': '3/4'}, 'icmp_type', (3, 4)), ({'icmp_type': 13}, 'icmp_type', (13, 0)),
    ({'icmp_type': 'echo-request', 'source': '::1'}, 'protocol', 'ipv6-icmp'), ({'protocol': 'icmp'}, 'family', 'ipv4'),
    ({'port': 1, 'source': '2001:DB8:0::1'}, 'source', '2001:db8::1'), ({'port': 1, 'destination': '10.0.0.1'}, 'family', 'ipv4'),
    ({'port': 1, 'source_mac': '02-AA-00-00-00-01'}, 'source_mac', '02:aa:00:00:00:01'), ({'port': 1, 'count': '7'}, 'times', 7),
    ({'port': 1, 'rewritten_source': '192.0.2.1:40000'}, 'rewritten_source', ('192.0.2.1', 40000)),
    ({'port': 1, 'rewritten_source': '192.0.2.1'}, 'rewritten_source', ('192.0.2.1', 0)),
    ({'port': 1, 'rewritten_destination': '[2001:db8::1]:80'}, 'rewritten_destination', ('2001:db8::1', 80)),
    ({'port': 1, 'rewritten_destination': '[2001:db8::1]'}, 'rewritten_destination', ('2001:db8::1', 0)),
    ({'port': 1, 'rewritten_destination': '2001:db8::1'}, 'family', 'ipv6'),
    ({'port': 1, 'wait': '1.5'}, 'wait', 1.5), ({'port': 1, 'wait': 0}, 'wait', 0.0),
    ({'port': 1, 'source': None}, 'source', ''), ({'port': 1, 'uid': 33}, 'uid', '33'),
])
def test_what_is_read(given: Dict[str, Any], key: str, value: Any) -> None:
    assert getattr(flow(**given), key) == value


@pytest.mark.parametrize(('given', 'words'), [
    ({}, 'port: a packet of tcp goes to one'), ({'protocol': 'udp'}, 'port: a packet of udp goes to one'),
    ({'dport': 22}, "there is no 'dport'; a flow has hook, in_interface"), ({'port': 0}, 'port: 0 is no number from 1 to 65535'),
    ({'port': 65536}, 'port: 65536 is no number'), ({'port': True}, 'port: True is no number'), ({'port': 22.0}, 'port: 22.0 is no number'),
    ({'port': '²'}, 'port: '), ({'port': 1, 'source': '10.0.0.0/8'}, "source: '10.0.0.0/8' is not an address of one host"),
    ({'port': 1, 'source': 'www.example.org'}, 'source: '), ({'port': 1, 'source': 'a b'}, 'source: '),
    ({'port': 1, 'hook': 'prerouting'}, "hook: 'prerouting' is none of input, forward, output"),
    ({'port': 1, 'in_interface': 'a' * 16}, 'in_interface: aaaaaaaaaaaaaaaa is no name'), ({'port': 1, 'in_interface': 'a/b'}, 'in_interface: '),
    ({'port': 1, 'in_interface': 'eth+'}, 'in_interface: eth+ stands for many interfaces'), ({'port': 1, 'in_interface': ''}, 'in_interface: '),
    ({'port': 1, 'source_mac': '1:2:3'}, 'source_mac: '), ({'port': 1, 'flags': 'SIN'}, "flags: 'SIN' is none of NONE, FIN"),
    ({'port': 1, 'state': 'related'}, 'state: '), ({'port': 1, 'count': 0}, 'count: '), ({'port': 1, 'count': 1001}, 'count: '),
    ({'port': 1, 'wait': 601}, 'wait: 601 is no number of seconds from 0 to 600'), ({'port': 1, 'wait': -1}, 'wait: '),
    ({'port': 1, 'wait': True}, 'wait: '), ({'port': 1, 'wait': 'nan'}, 'wait: '), ({'port': 1, 'wait': 'soon'}, 'wait: '),
    ({'port': 1, 'wait': []}, 'wait: '), ({'port': 1, 'verdict': 'ACCEPTED'}, 'verdict: '), ({'protocol': 'sctp', 'port': 1}, 'protocol: '),
    ({'protocol': 'icmp', 'port': 1}, 'port: icmp has none'), ({'protocol': 'udp', 'port': 1, 'flags': 'SYN'}, 'flags: udp has none'),
    ({'port': 1, 'protocol': 'tcp', 'icmp_type': 'ping'}, 'icmp_type: tcp has none'), ({'icmp_type': 'pang'}, "icmp_type: 'pang' is no type"),
    ({'icmp_type': '300'}, 'icmp_type: '), ({'protocol': 'icmp', 'source': '::1'}, 'one packet is of one family'),
    ({'port': 1, 'source': '::1', 'destination': '127.0.0.1'}, 'one packet is of one family: destination: 127.0.0.1 is ipv4, source: ::1 is ipv6'),
    ({'port': 1, 'hook': 'input', 'uid': 'root'}, 'uid: a packet of hook input has none'),
    ({'port': 1, 'hook': 'output', 'in_interface': 'eth0'}, 'in_interface: a packet of hook output has none'),
    ({'port': 1, 'hook': 'input', 'out_interface': 'eth0'}, 'out_interface: '), ({'port': 1, 'uid': 'x', 'in_interface': 'eth0'}, 'uid: only what'),
    ({'icmp_type': 'echo-reply', 'state': 'established'}, 'state: of ICMP, only echo-request'),
    ({'port': 1, 'rewritten_source': '1.2.3.4:x'}, 'rewritten_source: '), ({'port': 1, 'rewritten_source': '1.2.3.4:99999'}, 'rewritten_source: '),
])
def test_what_is_refused_names_the_flow_and_the_key(given: Dict[str, Any], words: str) -> None:
    with pytest.raises(PalisadeError) as error:
        read_flow(given, 'flow 2')
    assert str(error.value).startswith('flow 2: ' + words)


@pytest.mark.parametrize('value', [None, 'tcp', ['port', 1], 3])
def test_a_flow_is_a_dictionary(value: Any) -> None:
    with pytest.raises(PalisadeError, match='is not a dictionary such as'):
        read_flow(value, 'flow')


def test_every_key_of_the_documentation_is_read() -> None:
    assert len(KEYS) == 18


@pytest.mark.parametrize(('given', 'wanted'), [
    ({}, {'hook': 'input', 'in_interface': 'eth0', 'source': '198.51.100.7', 'destination': '192.0.2.10'}),
    ({'source': '10.1.0.9'}, {'hook': 'input', 'in_interface': 'lan0', 'source': '10.1.0.9', 'destination': '10.1.0.1'}),
    ({'source': '10.2.0.9'}, {'hook': 'input', 'in_interface': 'lan0', 'source': '10.2.0.9', 'destination': '10.1.0.1'}),
    ({'in_interface': 'lan0'}, {'hook': 'input', 'in_interface': 'lan0', 'source': '10.1.0.2', 'destination': '10.1.0.1'}),
    ({'in_interface': 'tun0'}, {'hook': 'input', 'in_interface': 'tun0', 'source': '10.9.0.2', 'destination': '10.9.0.1'}),
    ({'in_interface': 'lo'}, {'hook': 'input', 'in_interface': 'lo', 'source': '127.0.0.1', 'destination': '127.0.0.1'}),
    ({'source': '127.0.0.1'}, {'hook': 'input', 'in_interface': 'lo', 'source': '127.0.0.1', 'destination': '127.0.0.1'}),
    ({'destination': '10.1.0.1'}, {'hook': 'input', 'in_interface': 'lan0', 'source': '10.1.0.2', 'destination': '10.1.0.1'}),
    ({'destination': '2001:db8::10'}, {'hook': 'input', 'in_interface': 'eth0', 'source': '2001:db8:51::7', 'destination': '2001:db8::10'}),
    ({'in_interface': 'eth0', 'destination': '255.255.255.255'},
     {'hook': 'input', 'in_interface': 'eth0', 'source': '198.51.100.7', 'destination': '255.255.255.255'}),
    ({'destination': '203.0.113.9'}, {'hook': 'output', 'out_interface': 'eth0', 'source': '192.0.2.10', 'destination': '203.0.113.9'}),
    ({'out_interface': 'lan0'}, {'hook': 'output', 'out_interface': 'lan0', 'source': '10.1.0.1', 'destination': '10.1.0.2'}),
    ({'hook': 'output'}, {'hook': 'output', 'out_interface': 'eth0', 'source': '192.0.2.10', 'destination': '203.0.113.7'}),
    ({'uid': '33'}, {'hook': 'output', 'out_interface': 'eth0', 'source': '192.0.2.10', 'destination': '203.0.113.7'}),
    ({'out_interface': 'lo'}, {'hook': 'output', 'out_interface': 'lo', 'source': '127.0.0.1', 'destination': '127.0.0.1'}),
    ({'hook': 'output', 'destination': '127.0.0.1'}, {'hook': 'output', 'out_interface': 'lo', 'source': '127.0.0.1', 'destination': '127.0.0.1'}),
    ({'source': '10.1.0.9', 'destination': '203.0.113.9'},
     {'hook': 'forward', 'in_interface': 'lan0', 'out_interface': 'eth0', 'source': '10.1.0.9', 'destination': '203.0.113.9'}),
    ({'in_interface': 'lan0', 'out_interface': 'eth0'},
     {'hook': 'forward', 'in_interface': 'lan0', 'out_interface': 'eth0', 'source': '10.1.0.2', 'destination': '203.0.113.7'}),
    ({'in_interface': 'eth0', 'destination': '10.1.0.80'},
     {'hook': 'forward', 'in_interface': 'eth0', 'out_interface': 'lan0', 'source': '198.51.100.7', 'destination': '10.1.0.80'}),
    ({'hook': 'forward', 'in_interface': 'eth0', 'destination': '192.0.2.10'},
     {'hook': 'forward', 'in_interface': 'eth0', 'source': '198.51.100.7', 'destination': '192.0.2.10'}),
])
def test_what_a_host_fills_in(given: Dict[str, Any], wanted: Dict[str, Any]) -> None:
    assert filled(port=22, **given) == wanted


def test_what_is_filled_in_for_interfaces_that_the_host_does_not_have() -> None:
    assert filled(BARE, port=22, in_interface='wan0') == {
        'hook': 'input', 'in_interface': 'wan0', 'source': '198.51.100.7', 'destination': '192.0.2.1'}
    assert filled(BARE, port=22, in_interface='wan0', out_interface='lan0', source='2001:db8::5') == {
        'hook': 'forward', 'in_interface': 'wan0', 'out_interface': 'lan0', 'source': '2001:db8::5', 'destination': '2001:db8:113::7'}
    assert filled(BARE, port=22, out_interface='wan0') == {
        'hook': 'output', 'out_interface': 'wan0', 'source': '192.0.2.1', 'destination': '203.0.113.7'}
    assert filled(HOST, port=22, in_interface='eth9')['destination'] == '10.99.0.1'


@pytest.mark.parametrize(('around', 'given', 'words'), [
    (BARE, {}, 'flow (tcp to port 22): in_interface: the host has no route that says which one'),
    (BARE, {'hook': 'output'}, 'flow (tcp to port 22): out_interface: the host has no route'),
    (HOST, {'hook': 'input', 'in_interface': 'eth0', 'destination': '203.0.113.9'}, 'destination: 203.0.113.9 is not an address of this host'),
    (HOST, {'hook': 'output', 'source': '203.0.113.9'}, 'source: 203.0.113.9 is not an address of this host'),
])
def test_what_cannot_be_filled_in(around: Surroundings, given: Dict[str, Any], words: str) -> None:
    with pytest.raises(PalisadeError) as error:
        complete(flow(port=22, **given), around)
    assert words in str(error.value)


def test_each_packet_of_a_count_opens_a_connection_of_its_own() -> None:
    free, fixed = (complete(flow(port=22, in_interface='eth0', **more), HOST) for more in ({}, {'source_port': 999}))
    assert [packet_of(free, number).source_port for number in range(3)] == [40000, 40001, 40002]
    assert [packet_of(fixed, number).source_port for number in range(3)] == [999, 999, 999]
    ping = complete(flow(protocol='icmp', in_interface='eth0'), HOST)
    assert [packet_of(ping, number).source_port for number in range(2)] == [1, 2]


@pytest.mark.parametrize(('flags', 'sequence', 'acknowledge'), [
    ('SYN', 0, None), ('SYN,ACK', 0, 1), ('ACK', 1, 1), ('FIN,ACK', 1, 1), ('RST', 1, None),
])
def test_packets_of_both_directions_fit_each_other(flags: str, sequence: int, acknowledge: int) -> None:
    packet = packet_of(complete(flow(port=22, in_interface='eth0', flags=flags), HOST), 0)
    assert packet.sequence == MARK + sequence
    assert packet.acknowledge == (0 if acknowledge is None else MARK + acknowledge)
