# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rig is made of: links, addresses, routes, settings and rules, as text for the host's commands. Pure, makes nothing by itself."""
from __future__ import annotations

import ipaddress
import re
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Pattern, Sequence, Set, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._flow import OWN, Flow
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import find_jump, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Chain, Tables, render
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Interface, Route, Surroundings

#: Sysctls below /proc/sys/net that change a packet's way, in the order of writing: a change of forwarding resets others.
SETTINGS = ('ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv4/conf/all/rp_filter', 'ipv4/conf/all/route_localnet',
            'ipv4/icmp_echo_ignore_broadcasts', 'ipv4/fwmark_reflect', 'ipv4/tcp_fwmark_accept',
            'netfilter/nf_conntrack_tcp_loose', 'netfilter/nf_conntrack_tcp_be_liberal', 'netfilter/nf_conntrack_checksum')
INTERFACE_SETTINGS = ('ipv4/conf/%s/forwarding', 'ipv4/conf/%s/rp_filter', 'ipv4/conf/%s/route_localnet', 'ipv4/conf/%s/accept_local',
                      'ipv4/conf/%s/src_valid_mark')
#: Set before there is a link: nothing but what a proof sends may move in a rig, and nothing may reach the kernel's log.
QUIET: Sequence[Tuple[str, str]] = (
    ('ipv6/conf/default/accept_dad', '0'), ('ipv6/conf/default/router_solicitations', '0'), ('ipv6/conf/default/addr_gen_mode', '1'),
    ('ipv6/conf/default/accept_ra', '0'), ('ipv6/conf/all/disable_ipv6', '0'), ('ipv6/conf/default/disable_ipv6', '0'),
    ('ipv6/conf/lo/disable_ipv6', '0'),
    ('ipv4/conf/default/rp_filter', '0'), ('ipv4/conf/all/log_martians', '0'), ('ipv4/conf/default/log_martians', '0'),
    ('ipv4/icmp_echo_ignore_all', '1'), ('ipv6/icmp/echo_ignore_all', '1'),
    ('ipv4/conf/lo/accept_local', '1'), ('ipv4/conf/lo/route_localnet', '1'), ('ipv4/conf/lo/rp_filter', '0'),
)
#: What masquerading writes on packets that leave by an interface without an address.
OWN_BEHIND = {'ipv4': '192.0.2.2', 'ipv6': '2001:db8::2'}
_ANY = {'ipv4': '0.0.0.0/0', 'ipv6': '::/0'}
_HOST_LENGTH = {'ipv4': 32, 'ipv6': 128}
#: A longer routing table is not copied whole.
_MOST_ROUTES = 1000
#: Targets that reach out of a network namespace: timers and lamps by their global names, the audit log. Number of values by option.
_REACHING: Mapping[str, Mapping[str, int]] = {
    'IDLETIMER': {'--timeout': 1, '--label': 1, '--alarm': 0},
    'LED': {'--led-trigger-id': 1, '--led-delay': 1, '--led-always-blink': 0},
    'AUDIT': {'--type': 1},
}
_SETS = re.compile(r'--(?:match-set|add-set|del-set|map-set) "?([^" ]+)')
_ACCOUNTS = re.compile(r'--nfacct-name +"?([^" ]+)')
_TIMEOUTS = re.compile(r'-j CT .*--timeout "?([^" ]+)')
_REWRITTEN_PORT = re.compile(r'--to-(?:ports |destination \S*?[0-9\]]:)(\d+)')
_MEMBER_SETS = re.compile(r'^add (\S+) (\S+)', re.MULTILINE)

#: What a rig cannot have: match or target → why. A rule with it that a packet meets leaves the verdict open.
_UNPROVABLE_MATCHES: Mapping[str, str] = {
    'physdev': "a bridge's ports are not there",
    'statistic': 'it is chance, or depends on the packets before',
    'socket': "the host's sockets are not there",
    'cgroup': "the host's control groups are not there",
    'bpf': 'the loaded program is not there',
    'devgroup': "interfaces' groups are not there",
    'realm': "routes' realms are not there",
    'osf': "the host's fingerprints are not there",
    'helper': "a connection's helper is not there",
    'rateest': 'it depends on the traffic of the host',
    'ipvs': 'virtual servers are not there',
    'nfacct': 'its quota depends on the traffic of the host',
    'quota': 'it depends on the traffic before',
    'connbytes': 'it depends on what the connection has carried',
}
_UNPROVABLE_TARGETS: Mapping[str, str] = {
    'NFQUEUE': 'a program of the host decides', 'QUEUE': 'a program of the host decides', 'SYNPROXY': 'it answers in the place of the destination',
    'TPROXY': "the host's sockets are not there", 'CLUSTERIP': 'the other nodes are not there', 'TARPIT': 'it answers itself',
}


class Link(NamedTuple):
    """An interface of the rig, and the name of its other end on the wire."""

    interface: Interface
    mac: str
    peer: str


class Rig(NamedTuple):
    """All that a rig is made of. `assumed`: what the host does not have and was added, in words."""

    links: Mapping[str, Link]
    addresses: Sequence[Tuple[str, str, str]]
    routes: Sequence[Route]
    settings: Sequence[Tuple[str, str]]
    assumed: Sequence[str]


def rig_for(around: Surroundings, flows: Sequence[Flow]) -> Rig:
    """The rig that complete flows need: the host's interfaces, addresses, routes and settings, and what it lacks for these flows."""
    named = {name: None for flow in flows for name in (flow.in_interface, flow.out_interface) if name and name != 'lo'}
    kept = [interface for interface in around.interfaces.values() if interface.name != 'lo' and _matters(interface, around)]
    all_names = dict.fromkeys([interface.name for interface in kept] + list(named))
    links = {}
    for number, name in enumerate(all_names):
        interface = around.interfaces.get(name) or Interface(name)
        # What a veth can have, and IPv6 wants at least.
        interface = interface._replace(mtu=min(max(interface.mtu, 1280), 65535))
        links[name] = Link(interface, interface.mac or '02:00:00:00:01:%02x' % (number % 256), 'w%d' % number)
    addresses = [(name, '%s/%d' % (address, length), peer) for name in all_names if name in around.interfaces
                 for address, length, peer in around.interfaces[name].addresses]
    lo = around.interfaces.get('lo')
    addresses += [('lo', '%s/%d' % (address, length), '') for address, length, _peer in (lo.addresses if lo else ())
                  if address not in ('127.0.0.1', '::1')]
    routes = [route for route in around.routes if not route.interface or route.interface in links or route.interface == 'lo']
    assumed: Dict[str, None] = {}
    if len(routes) > _MOST_ROUTES:
        assumed['of %d routes, only those to the addresses of the flow and those without a gateway are there' % len(routes)] = None
        routes = _needed(routes, flows)
    for flow in flows:
        _add_missing(flow, around, addresses, routes, assumed)
    return Rig(links, addresses, routes, _settings(around, list(all_names)), list(assumed))


def _needed(routes: Sequence[Route], flows: Sequence[Flow]) -> List[Route]:
    """Of a long table, the routes that say where the flows' packets and their answers go."""
    addresses = {ipaddress.ip_address(address) for flow in flows for address in (flow.source, flow.destination, flow.rewritten_source[0],
                                                                                 flow.rewritten_destination[0]) if address}
    kept: Dict[Route, None] = {}
    for route in routes:
        network = ipaddress.ip_network(route.destination)
        if not network.prefixlen or any(address.version == network.version and address in network for address in addresses):
            kept[route] = None
    direct = [route for route in routes if not route.gateway and route not in kept]
    return list(kept) + direct[:_MOST_ROUTES]


def _matters(interface: Interface, around: Surroundings) -> bool:
    """Whether an interface has a say in where packets go: it has an address that is not for its link alone, or a route."""
    return interface.up and (any(not address.startswith('fe80:') for address, _length, _peer in interface.addresses)
                             or any(route.interface == interface.name and not route.destination.startswith('fe80:') for route in around.routes))


def _add_missing(flow: Flow, around: Surroundings, addresses: List[Tuple[str, str, str]], routes: List[Route], assumed: Dict[str, None]) -> None:
    """Give the interfaces that the host does not have, or not for this family, the addresses and routes that a flow needs."""
    length = _HOST_LENGTH[flow.family]

    def add_address(interface: str, address: str) -> None:
        if not any(known.split('/')[0] == address for _name, known, _peer in addresses):
            addresses.append((interface, '%s/%d' % (address, length), ''))
            assumed['%s has the address %s' % (interface, address)] = None

    def add_route(interface: str, destination: str, metric: int = 0) -> None:
        routes.append(Route(flow.family, destination, interface, metric=metric))

    for name in (flow.in_interface, flow.out_interface):
        if name and name != 'lo' and not around.knows(name, flow.family):
            assumed['%s is there, up and with %s' % (name, {'ipv4': 'IPv4', 'ipv6': 'IPv6'}[flow.family])] = None
    if flow.in_interface not in ('', 'lo') and not around.knows(flow.in_interface, flow.family):
        if flow.hook == 'input' and not around.takes(flow.destination):
            add_address(flow.in_interface, flow.destination)
        elif flow.hook == 'input' and not around.owns(flow.destination):
            add_address(flow.in_interface, OWN[flow.family])
        if not around.owns(flow.source):
            add_route(flow.in_interface, '%s/%d' % (flow.source, length))
    if flow.out_interface not in ('', 'lo') and not around.knows(flow.out_interface, flow.family):
        add_address(flow.out_interface, flow.source if flow.hook == 'output' and not around.owns(flow.source) else OWN_BEHIND[flow.family])
        add_route(flow.out_interface, '%s/%d' % (flow.destination, length))
        if not any(route.destination == _ANY[flow.family] for route in routes):
            add_route(flow.out_interface, _ANY[flow.family], 9999)


def _settings(around: Surroundings, names: Sequence[str]) -> List[Tuple[str, str]]:
    keys = list(SETTINGS) + [key % name for name in names for key in INTERFACE_SETTINGS]
    return [(key, around.settings[key]) for key in keys if key in around.settings]


def setting_keys(names: Sequence[str]) -> List[str]:
    """Every sysctl that a rig wants to know of a host with these interfaces."""
    return list(SETTINGS) + [key % name for name in names for key in INTERFACE_SETTINGS]


def wire_batch(rig: Rig, router: str) -> str:
    """Text for `ip -batch` on the wire: the links' other ends, the links themselves in the namespace that `router` is a path of."""
    lines = []
    for link in rig.links.values():
        lines.append('link add %s mtu %d type veth peer name %s address %s mtu %d netns %s' % (
            link.peer, link.interface.mtu, link.interface.name, link.mac, link.interface.mtu, router))
        lines.append('link set dev %s up' % link.peer)
    return '\n'.join(lines) + '\n'


def router_batch(rig: Rig) -> str:
    """Text for `ip -batch` in the router: links up without ARP, addresses, routes."""
    lines = ['link set dev lo up']
    for name in rig.links:
        lines.append('link set dev %s arp off up' % name)
    for name, address, peer in rig.addresses:
        own = '%s peer %s/%s' % (address.partition('/')[0], peer, address.partition('/')[2]) if peer else address
        lines.append('address add %s dev %s%s' % (own, name, ' nodad' if ':' in address else ''))
        if ':' in address:
            # The kernel routes an IPv6 address to itself a little after it has it.
            lines.append('route replace local %s/128 dev %s table local' % (address.partition('/')[0], name))
    # What is on a link goes first: routes over gateways need it.
    for route in sorted(rig.routes, key=lambda one: bool(one.gateway)):
        lines.append(_route_line(route))
    return '\n'.join(lines) + '\n'


def _route_line(route: Route) -> str:
    words = ['route', 'replace', *([] if route.kind == 'unicast' else [route.kind]), route.destination]
    words += ['via', 'inet6' if ':' in route.gateway and route.family == 'ipv4' else '', route.gateway] if route.gateway else []
    words += ['dev', route.interface] if route.interface else []
    words += ['onlink'] if route.gateway and route.interface else []
    words += ['metric', str(route.metric)] if route.metric else []
    words += ['src', route.source] if route.source else []
    return ' '.join([word for word in words if word])


# Rules


def loadable(tables: Tables) -> str:
    """A copy of live rules as text for iptables-restore, every rule in its place, without what would reach out of the namespace."""
    copy: Tables = {}
    for table, chains in tables.items():
        copy[table] = {}
        for name, data in chains.items():
            chain = Chain(data.policy)
            chain.rules = [without_reaching(rule) if any(target in rule for target in _REACHING) else rule for rule in data.rules]
            chain.counters = [''] * len(data.rules)
            copy[table][name] = chain
    return render(copy)


def without_reaching(rule: str) -> str:
    """A rule less a target that would touch what is global to the kernel; such targets never end a packet's way."""
    words = tokenise(rule)
    jump = find_jump(words)
    if jump is None or jump.target not in _REACHING or jump.lead:
        return rule
    options = _REACHING[jump.target]
    kept, index = words[:jump.place - 1], jump.place + 1
    while index < len(words):
        if words[index] in options:
            index += 1 + options[words[index]]
        else:
            kept.append(words[index])
            index += 1
    return ' '.join([_quoted(word) for word in kept])


def _quoted(word: str) -> str:
    return word if re.match(r'[!-~]+\Z', word) and '"' not in word and "'" not in word else '"%s"' % word.replace('\\', '\\\\').replace('"', '\\"')


def handshake_rules(tables: Tables, family: str) -> str:
    """Rules for the time of a handshake: tracking is on, what nat rewrites is rewritten, all else is accepted, and the kernel's own "nobody listens
    here" does not get out."""
    unreachable = '-p icmp -m icmp --icmp-type 3' if family == 'ipv4' else '-p ipv6-icmp -m icmp6 --icmpv6-type 1'
    quiet = ('*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n'
             '-A OUTPUT -p tcp -m tcp --tcp-flags RST RST -j DROP\n-A OUTPUT %s -j DROP\nCOMMIT\n'
             '*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n'
             '-A PREROUTING -m conntrack --ctstate NEW\n-A OUTPUT -m conntrack --ctstate NEW\nCOMMIT\n' % unreachable)
    return quiet + (loadable({'nat': tables['nat']}) if 'nat' in tables else '')


def after_handshake(tables: Tables) -> str:
    """Text that empties the tables of a handshake that the real rules, which are loaded then, do not have."""
    return ''.join(['*%s\nCOMMIT\n' % table for table in ('raw', 'mangle') if table not in tables])


def sets_named(tables: Tables) -> FrozenSet[str]:
    """The ipsets that rules name."""
    return _named(tables, '-set ', _SETS)


def accounts_named(tables: Tables) -> FrozenSet[str]:
    """The nfacct objects that rules name."""
    return _named(tables, '--nfacct-name', _ACCOUNTS)


def timeouts_named(tables: Tables) -> FrozenSet[str]:
    """The conntrack timeout policies that rules name."""
    return _named(tables, '--timeout', _TIMEOUTS)


def _named(tables: Tables, sign: str, pattern: Pattern[str]) -> FrozenSet[str]:
    return frozenset(name for chains in tables.values() for data in chains.values() for rule in data.rules
                     if sign in rule for name in pattern.findall(rule))


def rewritten_ports(tables: Tables) -> FrozenSet[int]:
    """The ports that rules of nat send packets to, of ranges the first."""
    return frozenset(int(port) for data in tables.get('nat', {}).values() for rule in data.rules if '--to-' in rule
                     for port in _REWRITTEN_PORT.findall(rule) if 0 < int(port) < 65536)


def sets_to_copy(saved: str, names: FrozenSet[str]) -> str:
    """Of what `ipset save` printed, the lines of the named sets and of the sets that are members of them."""
    lists = {line.split(' ')[1] for line in saved.split('\n') if line.startswith('create ') and ' list:set' in line}
    wanted: Set[str] = set(names)
    for owner, member in _MEMBER_SETS.findall(saved):
        if owner in wanted and owner in lists:
            wanted.add(member)
    kept = [line for line in saved.split('\n') if line.split(' ')[1:2] and line.split(' ')[1] in wanted]
    # A list's members have to be there before the list names them.
    late = [line for line in kept if line.startswith('add ') and line.split(' ')[1] in lists]
    return ''.join(['%s\n' % line for line in kept if line not in late] + ['%s\n' % line for line in late])


def unprovable(rule: str) -> str:
    """Why a rig cannot know whether a packet fits a rule or what becomes of it; '' where it can."""
    words = tokenise(rule)
    for word, value in zip(words, words[1:]):
        if word == '--dir' and value == 'out':
            return "match policy: IPsec's policies are not there"
        if word == '-m' and _UNPROVABLE_MATCHES.get(value):
            return 'match %s: %s' % (value, _UNPROVABLE_MATCHES[value])
        if word in ('-j', '-g') and value in _UNPROVABLE_TARGETS:
            return 'target %s: %s' % (value, _UNPROVABLE_TARGETS[value])
    return ''
