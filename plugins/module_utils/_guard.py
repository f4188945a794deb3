# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lockout guard: would the connection that this run came in by be let in again, as a new one? Proved with its packets, on rules to come."""
from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import complete_groups, prove
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import FIRST_PORT, FLAGS, Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import saved_target
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings

_OVERRIDE = 'allow_lockout: true (firewall_allow_lockout in the roles) applies all the same'
_DISCOVERY = 'accept neighbour discovery both ways (icmpv6 types 135 and 136)'
#: Targets that write another destination.
_MOVING = ('DNAT', 'REDIRECT', 'NETMAP')
_SOLICITATION, _ADVERTISEMENT = (135, 0), (136, 0)
#: How each address's group begins that asks for its neighbour (RFC 4291, 2.7.1).
_SOLICITED_NODE = int(ipaddress.ip_address('ff02::1:ff00:0'))


class Guarded(NamedTuple):
    """What the guard found. state: proved, refused, unproved (the proof could not be made) or none (there is nothing to prove); reason in words.
    remedy: of what is refused, how to let it in."""

    state: str
    reason: str
    remedy: str = ''


class _Asked(NamedTuple):
    """A packet of the proof, what it is called, and what lets it pass."""

    flow: Flow
    name: str
    remedy: str


def guard(host: RigHost, connection: Connection, tables: Mapping[str, Tables], around: Surroundings) -> Guarded:
    """Send a new connection's handshake, and IPv6's neighbour discovery, through a copy of the tables to come.

    Raises nothing for what cannot be proved: that is the state unproved.
    """
    if not around.owns(connection.server):
        return Guarded('none', "the connection's own address, %s, is not on this host or not in this network namespace" % connection.server)
    family = connection.family
    try:
        needed = {family: tables[family] if family in tables else host.live(family)}
        back = host.route_back(connection.client, connection.server) if around.policy_routing and not connection.interface else None
        if back is not None:
            around = around._replace(routes=[back, *around.routes])
        first, *others = _interfaces(connection, around)
        found = _prove_by(host, connection, needed, around, first)
        for other in others if found.state == 'refused' else ():
            if _prove_by(host, connection, needed, around, other).state != 'refused':
                return Guarded('unproved', 'which interface the connection comes in by is not known: by %s it would be let in, and by %s not (%s)'
                               % (other, first, found.reason))
        return found
    except PalisadeError as error:
        return Guarded('unproved', str(error))


def _interfaces(connection: Connection, around: Surroundings) -> List[str]:
    """Where the connection's packets come in: where the answers go, and if that is not where its own address is, maybe there."""
    if connection.interface:
        if connection.interface not in around.interfaces:
            raise PalisadeError('the connection came in by %s, and the host has no such interface' % connection.interface)
        return [connection.interface]
    if around.owns(connection.client):
        return ['lo']
    by_route, by_address = around.interface_to(connection.client), around.interface_of(connection.server)
    found = [name for name in dict.fromkeys((by_route, by_address)) if name and name != 'lo']
    if not found:
        raise PalisadeError('the host has no route to %s that says by which interface the connection comes in' % connection.client)
    return found


def _prove_by(host: RigHost, connection: Connection, tables: Mapping[str, Tables], around: Surroundings, interface: str) -> Guarded:
    groups = [_discovery(connection, around, interface) + _handshake(connection, around, interface)]
    if interface == 'lo':
        # What comes in has been sent here too.
        groups.append([_opening_by_lo(connection)])
    flows = complete_groups([[asked.flow for asked in group] for group in groups], around)
    results = prove(host, flows, tables, around).results
    for asked, result in zip([asked for group in groups for asked in group], results):
        refused = _refusal(asked, result)
        if refused is not None:
            return refused
    ends = connection.client, connection.server, connection.server_port
    return Guarded('proved', 'a new connection from %s to %s port %d would be let in' % ends)


def _refusal(asked: _Asked, result: Mapping[str, Any]) -> Optional[Guarded]:
    """What stands against one packet; None where it passes and is what it was."""
    moved = result.get('rewritten_destination') or result['hook'] != 'input' or (result['verdict'] != 'accept' and result['rule'] is None)
    nat = [step for step in result['path'] if step['table'] == 'nat' and saved_target(step.get('rule', '')) in _MOVING]
    if asked.flow.hook == 'input' and moved and nat:
        words = 'rule %d of %s, table nat: %s' % (nat[-1]['number'], nat[-1]['chain'], nat[-1]['rule'])
        return Guarded('refused', '%s would be sent elsewhere by %s' % (asked.name, words), 'leave it out of nat; %s' % _OVERRIDE)
    if result['verdict'] == 'accept':
        return None
    if result['rule'] is None:
        # Not by a rule, so the rules to come do not change it; and the connection is there.
        return Guarded('unproved', '%s does not pass in the proof: %s' % (asked.name, result['reason']))
    what = {'drop': 'dropped', 'reject': 'rejected'}[result['verdict']]
    return Guarded('refused', '%s would be %s by %s' % (asked.name, what, result['reason']), '%s; %s' % (asked.remedy, _OVERRIDE))


# The packets


def _handshake(connection: Connection, around: Surroundings, interface: str) -> List[_Asked]:
    client, server = connection.client, connection.server
    port, own_port = _fresh_port(connection), connection.server_port
    come: Dict[str, Any] = {'hook': 'input', 'family': connection.family, 'in_interface': interface, 'source': client, 'source_port': port,
                            'destination': server, 'port': own_port}
    # Where the routes lead, they lead the answer; a link-local address has none.
    go: Dict[str, Any] = {'hook': 'output', 'family': connection.family, 'source': server, 'source_port': own_port, 'destination': client,
                          'port': port, 'out_interface': interface if connection.interface else around.interface_to(client)}
    if interface == 'lo':
        go['out_interface'] = 'lo'
    allow = 'accept tcp port %d from %s (in the roles: firewall_management, or a service)' % (own_port, client)
    tail = 'of a new connection from %s to %s port %d' % (client, server, own_port)
    return [
        _Asked(Flow('guard', **come), 'the first packet (SYN, in by %s) %s' % (interface, tail), allow),
        _Asked(Flow('guard', flags=FLAGS['SYN'] | FLAGS['ACK'], **go), "this host's answer (SYN/ACK, from port %d) to the first packet %s"
               % (own_port, tail), 'let answers out in OUTPUT (-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT)'),
        _Asked(Flow('guard', flags=FLAGS['ACK'], **come), 'the third packet (ACK, in by %s) %s' % (interface, tail),
               'let established connections in (-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT)'),
    ]


def _opening_by_lo(connection: Connection) -> _Asked:
    flow = Flow('guard', hook='output', family=connection.family, out_interface='lo', source=connection.client, source_port=_fresh_port(connection),
                destination=connection.server, port=connection.server_port)
    return _Asked(flow, 'the first packet (SYN, out by lo) of a new connection from %s to %s port %d' % (
        connection.client, connection.server, connection.server_port), 'accept what leaves by lo in OUTPUT')


def _fresh_port(connection: Connection) -> int:
    """A port of the client's like the one that it has now."""
    return connection.client_port + 1 if 1024 <= connection.client_port < 65535 else FIRST_PORT


def _discovery(connection: Connection, around: Surroundings, interface: str) -> List[_Asked]:
    """How the next hop finds this host and this host the next hop, where that is asked on the link at all."""
    link = around.interfaces.get(interface)
    if connection.family != 'ipv6' or interface == 'lo' or (link is not None and not link.mac):
        return []
    route = None if connection.interface else around.route_to(connection.client)
    hop = route.gateway if route is not None and route.gateway and route.interface == interface else connection.client
    # A host asks from the address that it wants to send from, if that is on this link.
    on_link = link is not None and any(address == connection.server for address, _length, _peer in link.addresses)
    own = connection.server if on_link else around.address_on(interface, 'ipv6')
    if not own:
        return []

    def asked(way: str, kind: Tuple[int, int], source: str, destination: str, name: str) -> _Asked:
        into, out = (interface, '') if way == 'input' else ('', interface)
        flow = Flow('guard', way, 'ipv6', into, out, source, destination=destination, protocol='ipv6-icmp', icmp_type=kind)
        return _Asked(flow, name, _DISCOVERY)

    return [
        asked('input', _SOLICITATION, hop, solicited_node(own), "the neighbour solicitation by which %s looks for this host" % hop),
        asked('output', _ADVERTISEMENT, own, hop, "this host's neighbour advertisement to %s" % hop),
        asked('output', _SOLICITATION, own, solicited_node(hop), "this host's neighbour solicitation for %s" % hop),
        asked('input', _ADVERTISEMENT, hop, own, "the neighbour advertisement by which %s answers this host" % hop),
    ]


def solicited_node(address: str) -> str:
    """The multicast group in which an IPv6 address is asked for."""
    return str(ipaddress.ip_address(_SOLICITED_NODE | (int(ipaddress.ip_address(address)) & 0xffffff)))
