# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lockout guard makes of what a proof said. That the proofs are right is for tests/kernel/test_guard_packets.py."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._guard import Guarded, guard, solicited_node
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings

ETH0 = Interface('eth0', True, '02:00:00:00:00:10', 1500, (('192.0.2.10', 24, ''), ('2001:db8::10', 64, ''), ('fe80::10', 64, '')))
AROUND = Surroundings({'eth0': ETH0, 'tun0': Interface('tun0', True, '', 1400, (('2001:db8:7::1', 64, ''),))}, (
    Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1'), Route('ipv6', '::/0', 'eth0', 'fe80::1'), Route('ipv6', '2001:db8::/64', 'eth0'),
    Route('ipv6', '2001:db8:7::/64', 'tun0')), {})
IPV4 = Connection('203.0.113.5', 40001, '192.0.2.10', 22)
PASSED: Dict[str, Any] = {'verdict': 'accept', 'rule': None, 'reason': '', 'path': [], 'hook': ''}
TO_NAT = {'table': 'nat', 'chain': 'PREROUTING', 'number': 3, 'rule': '-p tcp -j DNAT --to-destination 10.0.0.1'}


class FakeHost:
    """Lets every packet pass but one, of which it says `answer`."""

    def __init__(self, number: int = -1, **answer: Any) -> None:
        self.number = number
        self.answer = answer
        self.flows: List[Flow] = []
        self.back: Any = None

    def prove(self, jobs: Sequence[Any], _copied: Any, _conclude: Any) -> List[List[List[Dict[str, Any]]]]:
        self.flows = [flow for job in jobs for flow in job.flows]
        if 'error' in self.answer:
            raise PalisadeError(self.answer['error'])
        numbers = iter(range(len(self.flows)))
        return [[[{**PASSED, 'hook': flow.hook, **(self.answer if next(numbers) == self.number else {})}] for flow in job.flows] for job in jobs]

    @staticmethod
    def has_family(_family: str) -> bool:
        return True

    @staticmethod
    def live(_family: str) -> Dict[str, Any]:
        return {}

    @staticmethod
    def set_contents(_names: Any) -> str:
        return ''

    def route_back(self, _client: str, _server: str) -> Any:
        return self.back


def ask(host: Any, connection: Connection = IPV4, around: Surroundings = AROUND) -> Guarded:
    return guard(host, connection, {connection.family: {}}, around)


def test_the_packets_of_a_handshake() -> None:
    host = FakeHost()
    assert ask(host).state == 'proved'
    assert [(flow.hook, flow.in_interface, flow.out_interface, flow.source, flow.source_port, flow.destination, flow.port, flow.flags)
            for flow in host.flows] == [
        ('input', 'eth0', '', '203.0.113.5', 40002, '192.0.2.10', 22, 2), ('output', '', 'eth0', '192.0.2.10', 22, '203.0.113.5', 40002, 18),
        ('input', 'eth0', '', '203.0.113.5', 40002, '192.0.2.10', 22, 16)]


@pytest.mark.parametrize(('client', 'server', 'hop', 'own'), [
    ('2001:db8:ff::5', '2001:db8::10', 'fe80::1', '2001:db8::10'), ('2001:db8::5', '2001:db8::10', '2001:db8::5', '2001:db8::10'),
    # To an address of another link, whatever asks from its own.
    ('2001:db8::5', '2001:db8:7::1', '2001:db8::5', '2001:db8::10'),
])
def test_the_packets_of_neighbour_discovery(client: str, server: str, hop: str, own: str) -> None:
    host = FakeHost()
    assert ask(host, Connection(client, 65535, server, 22)).state == 'proved'
    assert [(flow.hook, flow.source, flow.destination, flow.icmp_type[0]) for flow in host.flows[:4]] == [
        ('input', hop, solicited_node(own), 135), ('output', own, hop, 136), ('output', own, solicited_node(hop), 135), ('input', hop, own, 136)]
    assert host.flows[4].source_port == 40000


@pytest.mark.parametrize('connection', [Connection('::1', 5, '::1', 22), Connection('2001:db8:7::9', 5, '2001:db8:7::1', 22)])
def test_no_discovery_where_there_are_no_ethernet_addresses(connection: Connection) -> None:
    host = FakeHost()
    assert ask(host, connection).state == 'proved'
    assert {flow.protocol for flow in host.flows} == {'tcp'}


def test_a_link_local_connection_stays_on_its_link() -> None:
    host = FakeHost()
    assert ask(host, Connection('fe80::7', 5, 'fe80::10', 22, 'eth0')).state == 'proved'
    assert {(flow.hook, flow.in_interface or flow.out_interface) for flow in host.flows} == {('input', 'eth0'), ('output', 'eth0')}
    assert host.flows[0].source == 'fe80::7'


@pytest.mark.parametrize(('number', 'answer', 'state', 'words'), [
    (0, {'verdict': 'drop', 'rule': {}, 'reason': 'rule 1'}, 'refused', 'the first packet (SYN, in by eth0)'),
    (1, {'verdict': 'reject', 'rule': {}, 'reason': 'rule 1'}, 'refused', "this host's answer (SYN/ACK, from port 22)"),
    (2, {'verdict': 'drop', 'rule': {}, 'reason': 'rule 1'}, 'refused', 'the third packet (ACK, in by eth0)'),
    (0, {'verdict': 'drop', 'reason': 'the kernel'}, 'unproved', 'does not pass in the proof: the kernel'),
    (0, {'rewritten_destination': '10.0.0.1:22', 'path': [TO_NAT]}, 'refused', 'would be sent elsewhere by rule 3 of PREROUTING, table nat'),
    (0, {'verdict': 'drop', 'path': [TO_NAT]}, 'refused', 'would be sent elsewhere by rule 3 of PREROUTING'),
    (0, {'path': [{**TO_NAT, 'rule': '-p tcp -j ACCEPT'}]}, 'proved', 'would be let in'),
    (0, {'rewritten_source': '10.0.0.1:22', 'path': [{**TO_NAT, 'chain': 'INPUT', 'rule': '-j SNAT'}]}, 'proved', 'would be let in'),
    (0, {'error': 'no network namespace'}, 'unproved', 'no network namespace'),
])
def test_what_is_refused(number: int, answer: Dict[str, Any], state: str, words: str) -> None:
    found = ask(FakeHost(number, **answer))
    assert (found.state, words in found.reason) == (state, True), found
    assert ('firewall_allow_lockout' in found.remedy) == (state == 'refused')


def test_the_way_of_policy_routing_counts() -> None:
    host = FakeHost()
    host.back = Route('ipv4', '203.0.113.5/32', 'tun0')
    assert ask(host, around=AROUND._replace(policy_routing=True)).state == 'proved'
    assert host.flows[0].in_interface == 'tun0'
    assert host.flows[1].out_interface == 'tun0'


def test_no_route_and_no_such_address() -> None:
    assert ask(FakeHost(), Connection('203.0.113.5', 1, '192.0.2.11', 22)).state == 'none'
    nowhere = AROUND._replace(routes=(), interfaces={'lo': Interface('lo', True, '', 65536, (('192.0.2.10', 32, ''),))})
    assert ask(FakeHost(), around=nowhere).state == 'unproved'
    assert ask(FakeHost(), Connection('fe80::7', 5, 'fe80::10', 22, '2')).state == 'unproved'


@pytest.mark.parametrize(('address', 'group'), [('2001:db8::1:2:3', 'ff02::1:ff02:3'), ('fe80::ff:fe00:10', 'ff02::1:ff00:10')])
def test_solicited_node_groups(address: str, group: str) -> None:
    assert solicited_node(address) == group
