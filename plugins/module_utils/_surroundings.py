# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is around the packet filter: the host's interfaces, addresses, routes and settings, as data. Pure, reads nothing by itself."""
from __future__ import annotations

import ipaddress
import json
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

_ANY = {'ipv4': '0.0.0.0/0', 'ipv6': '::/0'}
_LINK_LOCAL6 = ipaddress.ip_network('fe80::/10')
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Interface(NamedTuple):
    """One interface. `addresses` are address, length of its network and the other end of a point-to-point link ('' elsewhere)."""

    name: str
    up: bool = True
    mac: str = ''
    mtu: int = 1500
    addresses: Sequence[Tuple[str, int, str]] = ()


class Route(NamedTuple):
    """One route of the main table."""

    family: str
    destination: str
    interface: str
    gateway: str = ''
    metric: int = 0
    source: str = ''
    kind: str = 'unicast'


class Surroundings(NamedTuple):
    """The host around its packet filter. `settings` are sysctls by their path below /proc/sys/net; `policy_routing`: rules beyond the usual three."""

    interfaces: Mapping[str, Interface]
    routes: Sequence[Route]
    settings: Mapping[str, str]
    policy_routing: bool = False

    def knows(self, interface: str, family: str) -> bool:
        """Whether the host has this interface, up and with an address of the family."""
        found = self.interfaces.get(interface)
        return found is not None and found.up and bool(self.address_on(interface, family))

    def owns(self, address: str) -> bool:
        """Whether the address is the host's own."""
        return ipaddress.ip_address(address).is_loopback or bool(self.interface_of(address))

    def takes(self, address: str) -> bool:
        """Whether packets for the address end here: the host's own, multicast and broadcast."""
        value = ipaddress.ip_address(address)
        return value.is_multicast or self.owns(address) or address == '255.255.255.255' or any(
            value == network.broadcast_address and network.num_addresses > 2 for network in self._networks() if network.version == 4)

    def _networks(self) -> Iterable[Network]:
        for interface in self.interfaces.values():
            for address, length, _peer in interface.addresses:
                yield _network(address, length)

    def interface_of(self, address: str) -> str:
        """The interface that has the address; '' for none."""
        return next((interface.name for interface in self.interfaces.values()
                     if any(own == address for own, _length, _peer in interface.addresses)), '') if address else ''

    def address_on(self, interface: str, family: str) -> str:
        """The first address of the family on an interface, link-local ones last; '' for none."""
        found = self.interfaces.get(interface)
        own = [address for address, _length, _peer in found.addresses if _family(address) == family] if found else []
        return next(iter(sorted(own, key=_is_link_local)), '')

    def any_address(self, family: str) -> str:
        """An address of the host that is not for one link alone; '' for none."""
        for interface in self.interfaces.values():
            address = self.address_on(interface.name, family)
            if address and interface.name != 'lo' and not _is_link_local(address):
                return address
        return ''

    def route_to(self, address: str) -> Optional[Route]:
        """The route that the main table has for an address: the longest, of those the one with the least metric."""
        value = ipaddress.ip_address(address)
        fitting = [(network.prefixlen, -route.metric, index) for index, route in enumerate(self.routes)
                   for network in [ipaddress.ip_network(route.destination)] if network.version == value.version and value in network]
        return self.routes[max(fitting, key=lambda one: (one[0], one[1], -one[2]))[2]] if fitting else None

    def interface_to(self, address: str, _of_family: str = '') -> str:
        """The interface by which packets to an address leave; '' where none does."""
        route = self.route_to(address)
        return route.interface if route else ''

    def default_interface(self, family: str) -> str:
        """Where the default route leads, or the only interface that has an address of the family beside lo."""
        routes = sorted([route for route in self.routes if route.destination == _ANY[family] and route.interface], key=lambda route: route.metric)
        if routes:
            return routes[0].interface
        others = [name for name in self.interfaces if name != 'lo' and self.knows(name, family)]
        return others[0] if len(others) == 1 else ''

    def source_towards(self, destination: str, out: str, family: str) -> str:
        """The address that the host itself would put on a packet; '' where nothing says so."""
        route = self.route_to(destination) if destination else None
        if route and route.source:
            return route.source
        return self.address_on(out, family)

    def neighbour_on(self, interface: str, family: str) -> str:
        """The address of somebody else on the link of an interface that leads nowhere else; '' where any address may be behind it."""
        if any(route.destination == _ANY[family] and route.interface == interface for route in self.routes):
            return ''
        found = self.interfaces.get(interface)
        for address, length, peer in found.addresses if found else ():
            if _family(address) == family and not _is_link_local(address):
                if peer:
                    return peer
                others = [host for host, _number in zip(_network(address, length).hosts(), range(3)) if str(host) != address]
                if others:
                    return str(others[0])
        return ''


def _family(address: str) -> str:
    return 'ipv6' if ':' in address else 'ipv4'


def _network(address: str, length: int) -> Network:
    return ipaddress.ip_network('%s/%d' % (address, length), strict=False)


def _is_link_local(address: str) -> bool:
    return ipaddress.ip_address(address) in _LINK_LOCAL6


# Reading what `ip` prints


def parse_interfaces(text: str) -> Mapping[str, Interface]:
    """Read `ip -j address show`."""
    found = {}
    for link in _json(text, 'ip address'):
        addresses = [(entry['local'], int(entry['prefixlen']), str(entry.get('address', '')))
                     for entry in link.get('addr_info', ()) if 'local' in entry and not entry.get('tentative')]
        mac = str(link.get('address', '')) if link.get('link_type') == 'ether' else ''
        found[link['ifname']] = Interface(link['ifname'], 'UP' in link.get('flags', ()), mac, int(link.get('mtu', 1500)), tuple(addresses))
    return found


def parse_routes(text: str, family: str) -> List[Route]:
    """Read `ip -j -4 route show` or `ip -j -6 route show`. Of a route over several ways, the first counts."""
    routes = []
    for entry in _json(text, 'ip route'):
        way = (entry.get('nexthops') or [entry])[0]
        destination = _ANY[family] if entry['dst'] == 'default' else str(entry['dst'])
        if 'dead' in entry.get('flags', ()) or 'dead' in way.get('flags', ()):
            continue
        gateway = way.get('gateway') or (way.get('via') or {}).get('host', '')
        routes.append(Route(family, destination, str(way.get('dev', '')), str(gateway), int(entry.get('metric', 0)),
                            str(entry.get('prefsrc', '')), str(entry.get('type', 'unicast'))))
    return routes


def has_policy_routing(text: str) -> bool:
    """Read `ip -j rule show`: whether there are more rules than the kernel's own for local, main and default."""
    return any(str(rule.get('table')) not in ('local', 'main', 'default', '255', '254', '253') for rule in _json(text, 'ip rule'))


def _json(text: str, who: str) -> List[Any]:
    try:
        return [entry for entry in json.loads(text or '[]') if entry]
    except ValueError as error:
        raise PalisadeError('%s printed no JSON (iproute2 4.18 or newer is needed): %s' % (who, error)) from None
