# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ip` prints, as data, and what follows from it."""
from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import (
    Interface,
    Route,
    Surroundings,
    has_policy_routing,
    parse_interfaces,
    parse_routes,
)

#: As iproute2 6.1 prints it, shortened.
ADDRESSES: List[Dict[str, Any]] = [
    {'ifname': 'lo', 'flags': ['LOOPBACK', 'UP'], 'mtu': 65536, 'link_type': 'loopback', 'address': '00:00:00:00:00:00',
     'addr_info': [{'family': 'inet', 'local': '127.0.0.1', 'prefixlen': 8}]},
    {'ifname': 'eth0', 'flags': ['BROADCAST', 'UP'], 'mtu': 1500, 'link_type': 'ether', 'address': '02:00:00:00:00:10',
     'addr_info': [{'family': 'inet6', 'local': 'fe80::10', 'prefixlen': 64}, {'family': 'inet', 'local': '192.0.2.10', 'prefixlen': 24},
                   {'family': 'inet6', 'local': '2001:db8::10', 'prefixlen': 64}, {'family': 'inet6', 'local': '2001:db8::11', 'tentative': True}]},
    {},
    {'ifname': 'tun0', 'flags': ['POINTOPOINT'], 'mtu': 1400, 'link_type': 'none',
     'addr_info': [{'family': 'inet', 'local': '10.9.0.1', 'address': '10.9.0.2', 'prefixlen': 32}]},
]
ROUTES: List[Dict[str, Any]] = [
    {'dst': 'default', 'gateway': '192.0.2.1', 'dev': 'eth0', 'metric': 100, 'flags': []},
    {'dst': '192.0.2.0/24', 'dev': 'eth0', 'prefsrc': '192.0.2.10', 'flags': []},
    {'dst': '10.8.0.0/16', 'nexthops': [{'gateway': '192.0.2.7', 'dev': 'eth0', 'flags': []}, {'gateway': '192.0.2.8', 'dev': 'eth0'}]},
    {'dst': '10.7.0.0/16', 'dev': 'eth7', 'flags': ['dead', 'linkdown']},
    {'dst': '10.4.0.0/16', 'dev': 'docker0', 'flags': ['linkdown']},
    {'type': 'blackhole', 'dst': '10.6.0.0/16', 'flags': []},
    {'dst': '10.5.0.0/16', 'via': {'family': 'inet6', 'host': 'fe80::1'}, 'dev': 'eth0', 'flags': []},
]


def around() -> Surroundings:
    return Surroundings(parse_interfaces(json.dumps(ADDRESSES)), parse_routes(json.dumps(ROUTES), 'ipv4'), {})


def test_interfaces_as_ip_prints_them() -> None:
    assert list(parse_interfaces(json.dumps(ADDRESSES)).values()) == [
        Interface('lo', True, '', 65536, (('127.0.0.1', 8, ''),)),
        Interface('eth0', True, '02:00:00:00:00:10', 1500, (('fe80::10', 64, ''), ('192.0.2.10', 24, ''), ('2001:db8::10', 64, ''))),
        Interface('tun0', False, '', 1400, (('10.9.0.1', 32, '10.9.0.2'),)),
    ]


def test_routes_as_ip_prints_them() -> None:
    assert parse_routes(json.dumps(ROUTES), 'ipv4') == [
        Route('ipv4', '0.0.0.0/0', 'eth0', '192.0.2.1', 100), Route('ipv4', '192.0.2.0/24', 'eth0', source='192.0.2.10'),
        Route('ipv4', '10.8.0.0/16', 'eth0', '192.0.2.7'), Route('ipv4', '10.4.0.0/16', 'docker0'),
        Route('ipv4', '10.6.0.0/16', '', kind='blackhole'),
        Route('ipv4', '10.5.0.0/16', 'eth0', 'fe80::1')]
    assert parse_routes('[{"dst":"default","gateway":"fe80::1","dev":"eth0"}]', 'ipv6') == [Route('ipv6', '::/0', 'eth0', 'fe80::1')]
    assert parse_routes('', 'ipv6') == []


def test_an_ip_that_knows_no_json_is_named() -> None:
    with pytest.raises(PalisadeError, match='ip address printed no JSON'):
        parse_interfaces('1: lo: <LOOPBACK>')


@pytest.mark.parametrize(('tables', 'wanted'), [(['local', 'main', 'default'], False), (['255', '254'], False), (['main', '77'], True)])
def test_whether_there_is_policy_routing(tables: List[str], wanted: bool) -> None:
    assert has_policy_routing(json.dumps([{'priority': 0, 'src': 'all', 'table': name} for name in tables])) is wanted


@pytest.mark.parametrize(('address', 'wanted'), [
    ('192.0.2.10', True), ('127.9.9.9', True), ('192.0.2.255', True), ('255.255.255.255', True), ('224.0.0.1', True), ('ff02::1', True),
    ('2001:db8::10', True), ('::1', True), ('192.0.2.11', False), ('203.0.113.1', False), ('2001:db8::12', False),
])
def test_which_packets_end_here(address: str, wanted: bool) -> None:
    assert around().takes(address) is wanted


@pytest.mark.parametrize(('address', 'wanted'), [
    ('203.0.113.1', 'eth0 192.0.2.1'), ('192.0.2.77', 'eth0 '), ('10.8.1.1', 'eth0 192.0.2.7'), ('10.6.1.1', ' ')])
def test_the_longest_route_counts(address: str, wanted: str) -> None:
    route = around().route_to(address)
    assert route is not None and '%s %s' % (route.interface, route.gateway) == wanted


def test_of_equal_routes_the_one_with_the_least_metric_counts() -> None:
    routes = [Route('ipv4', '10.0.0.0/8', name, metric=metric) for name, metric in (('a', 200), ('b', 100), ('c', 100))]
    assert Surroundings({}, routes, {}).interface_to('10.1.1.1') == 'b'
    assert Surroundings({}, routes, {}).route_to('11.1.1.1') is None


def test_addresses_of_interfaces() -> None:
    here = around()
    assert here.address_on('eth0', 'ipv6') == '2001:db8::10'
    assert here.address_on('eth1', 'ipv6') == ''
    assert here.any_address('ipv4') == '192.0.2.10'
    assert here.knows('eth0', 'ipv4')
    assert not any(here.knows(*one) for one in (('lo', 'ipv6'), ('tun0', 'ipv4'), ('eth1', 'ipv4')))
    neighbours = [here.neighbour_on(*one) for one in (('eth0', 'ipv4'), ('eth0', 'ipv6'), ('tun0', 'ipv4'))]
    assert neighbours == ['', '2001:db8::1', '10.9.0.2']
