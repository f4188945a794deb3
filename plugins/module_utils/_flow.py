# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A flow: which packet is meant, read and checked, and filled in from what the host has. Pure, sends nothing."""
from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable, Dict, Mapping, NamedTuple, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import MARK, Packet
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings

HOOKS = ('input', 'forward', 'output')
PROTOCOLS = ('tcp', 'udp', 'icmp', 'ipv6-icmp')
STATES = ('new', 'established')
VERDICTS = ('accept', 'drop', 'reject')
FLAGS: Mapping[str, int] = {'FIN': 1, 'SYN': 2, 'RST': 4, 'PSH': 8, 'ACK': 16, 'URG': 32, 'ECE': 64, 'CWR': 128}
#: More packets of one flow than this are a slip of the finger.
MOST_PACKETS = 1000
#: Seconds before a packet. A longer wait than this is a slip of the finger too.
LONGEST_WAIT = 600
#: Linux cuts longer names of interfaces off.
LONGEST_INTERFACE = 15

#: An ICMP type's name → type and code, as iptables names them.
_ICMP_TYPES: Mapping[str, Mapping[str, Tuple[int, int]]] = {
    'icmp': {
        'echo-reply': (0, 0), 'pong': (0, 0), 'destination-unreachable': (3, 0), 'network-unreachable': (3, 0), 'host-unreachable': (3, 1),
        'protocol-unreachable': (3, 2), 'port-unreachable': (3, 3), 'fragmentation-needed': (3, 4), 'source-quench': (4, 0), 'redirect': (5, 0),
        'echo-request': (8, 0), 'ping': (8, 0), 'router-advertisement': (9, 0), 'router-solicitation': (10, 0), 'time-exceeded': (11, 0),
        'ttl-exceeded': (11, 0), 'parameter-problem': (12, 0), 'timestamp-request': (13, 0), 'timestamp-reply': (14, 0),
        'address-mask-request': (17, 0), 'address-mask-reply': (18, 0),
    },
    'ipv6-icmp': {
        'destination-unreachable': (1, 0), 'no-route': (1, 0), 'communication-prohibited': (1, 1), 'address-unreachable': (1, 3),
        'port-unreachable': (1, 4), 'packet-too-big': (2, 0), 'time-exceeded': (3, 0), 'ttl-exceeded': (3, 0), 'parameter-problem': (4, 0),
        'echo-request': (128, 0), 'ping': (128, 0), 'echo-reply': (129, 0), 'pong': (129, 0), 'router-solicitation': (133, 0),
        'router-advertisement': (134, 0), 'neighbour-solicitation': (135, 0), 'neighbor-solicitation': (135, 0),
        'neighbour-advertisement': (136, 0), 'neighbor-advertisement': (136, 0), 'redirect': (137, 0),
    },
}
_ALIASES = {'icmpv6': 'ipv6-icmp', 'icmp6': 'ipv6-icmp'}
_PROTOCOL_FAMILIES = {'icmp': 'ipv4', 'ipv6-icmp': 'ipv6'}
_MAC = re.compile(r'[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z')
_NUMERIC_TYPE = re.compile(r'(\d{1,3})(?:/(\d{1,3}))?\Z')
_REWRITTEN = re.compile(r'\[?([0-9A-Fa-f:.]+?)(?:\]:(\d+)|(?<=[0-9.]):(\d+)|\])?\Z')

#: Where a packet comes from and goes to if nobody says so and the host's routes give no hint: addresses that are for documentation.
ELSEWHERE = {'ipv4': '198.51.100.7', 'ipv6': '2001:db8:51::7'}
FAR_AWAY = {'ipv4': '203.0.113.7', 'ipv6': '2001:db8:113::7'}
#: What an interface gets that has no address, or that the host does not have.
OWN = {'ipv4': '192.0.2.1', 'ipv6': '2001:db8::1'}
#: The first source port that a flow gets which names none; the next packet of a count takes the next one.
FIRST_PORT = 40000


class Flow(NamedTuple):
    """One packet, or `times` of them (the key count). What is empty was not said.

    icmp_type: type and code. wait: seconds before the first of them. rewritten_*: address and port, 0 for any.
    spread: each packet of a count comes from another port. routed: the interface that the host's routes have for the destination, where that
    is known.
    """

    where: str
    hook: str = ''
    family: str = ''
    in_interface: str = ''
    out_interface: str = ''
    source: str = ''
    source_port: int = 0
    source_mac: str = ''
    destination: str = ''
    protocol: str = 'tcp'
    port: int = 0
    icmp_type: Tuple[int, int] = (0, 0)
    flags: int = FLAGS['SYN']
    state: str = 'new'
    times: int = 1
    wait: float = 0.0
    uid: str = ''
    verdict: str = ''
    rewritten_source: Tuple[str, int] = ('', 0)
    rewritten_destination: Tuple[str, int] = ('', 0)
    spread: bool = False
    routed: str = ''

    def text(self) -> str:
        """The flow in words, for errors."""
        what = self.protocol
        if self.protocol in ('tcp', 'udp'):
            what += ' to port %d' % self.port
        elif self.protocol:
            what += ' type %d/%d' % self.icmp_type
        places = [' %s %s' % (word, value) for word, value in (
            ('in by', self.in_interface), ('out by', self.out_interface), ('from', self.source), ('to', self.destination)) if value]
        return '%s (%s%s%s)' % (self.where, what, ''.join(places), ', established' if self.state == 'established' else '')

    def data(self) -> Dict[str, Any]:
        """The flow as its keys, with everything that was filled in: what a result shows."""
        ports = self.protocol in ('tcp', 'udp')
        found = {
            'hook': self.hook, 'family': self.family, 'in_interface': self.in_interface, 'out_interface': self.out_interface,
            'source': self.source, 'source_port': self.source_port if ports else 0, 'source_mac': self.source_mac,
            'destination': self.destination, 'protocol': self.protocol, 'port': self.port if ports else 0,
            'icmp_type': '' if ports else '%d/%d' % self.icmp_type,
            'flags': _flag_names(self.flags) if self.protocol == 'tcp' else '', 'state': self.state,
            'count': self.times if self.times > 1 else 0, 'wait': self.wait, 'uid': self.uid,
        }
        return {key: value for key, value in found.items() if value}


def _flag_names(flags: int) -> str:
    return ','.join([name for name, bit in FLAGS.items() if flags & bit]) or 'NONE'


def packet_of(flow: Flow, number: int) -> Packet:
    """The packet of a complete flow, `number` (from 0) of its count: each opens a connection of its own, unless the flow fixes the source port."""
    port = flow.source_port + number if flow.state == 'new' and flow.spread else flow.source_port
    echo = flow.protocol not in ('tcp', 'udp')
    # Both sides begin with the same number, so that the packets of a sequence make one connection, and conntrack takes them for that.
    sequence = MARK if flow.flags & FLAGS['SYN'] or flow.protocol != 'tcp' else MARK + 1
    acknowledge = MARK + 1 if flow.flags & FLAGS['ACK'] else 0
    return Packet(flow.family, flow.source, flow.destination, flow.protocol, number + 1 if echo else port, 1 if echo else flow.port,
                  flow.flags, flow.icmp_type, sequence, acknowledge)


# Reading


def _interface(value: Any) -> str:
    name = _word(value)
    if len(name) > LONGEST_INTERFACE or '/' in name or name in ('.', '..'):
        raise ValueError('%s is no name of an interface (%d characters at most)' % (name, LONGEST_INTERFACE))
    if name.endswith('+'):
        raise ValueError('%s stands for many interfaces, and a packet comes by one: name that one' % name)
    return name


def _word(value: Any) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not re.match(r'[!-~]+\Z', str(value)):
        raise ValueError('%s is not one word' % ascii(value))
    return str(value)


def _one_of(values: Sequence[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        word = _ALIASES.get(str(value).lower(), str(value).lower())
        if word not in values:
            raise ValueError('%s is none of %s' % (ascii(value), ', '.join(values)))
        return word
    return read


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = str(value)
        if isinstance(value, (bool, float)) or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError('%s is no number from %d to %d' % (ascii(value), least, most))
        return int(text)
    return read


def _seconds(value: Any) -> float:
    try:
        seconds = float('nan' if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        seconds = float('nan')
    if not 0 <= seconds <= LONGEST_WAIT:
        raise ValueError('%s is no number of seconds from 0 to %d' % (ascii(value), LONGEST_WAIT))
    return seconds


def _address(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(_word(value)))
    except ValueError:
        raise ValueError('%s is not an address of one host' % ascii(value)) from None


def _mac(value: Any) -> str:
    text = str(value).lower().replace('-', ':')
    if not _MAC.match(text):
        raise ValueError('%s is no MAC address such as 02:00:00:00:00:01' % ascii(value))
    return text


def _flags(value: Any) -> int:
    names = value if isinstance(value, list) else str(value).split(',')
    flags = 0
    for name in names:
        word = str(name).strip().upper()
        if word not in FLAGS and word != 'NONE':
            raise ValueError('%s is none of NONE, %s' % (ascii(name), ', '.join(FLAGS)))
        flags |= FLAGS.get(word, 0)
    return flags


def _rewritten(value: Any) -> Tuple[str, int]:
    text = _word(value)
    if text.count(':') > 1 and not text.startswith('['):
        return _address(text), 0
    found = _REWRITTEN.match(text)
    if not found:
        raise ValueError('%s is no address, address:port or [address]:port' % ascii(value))
    port = found.group(2) or found.group(3)
    return _address(found.group(1)), _number(1, 65535)(port) if port else 0


def _as_is(value: Any) -> Any:
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    'hook': _one_of(HOOKS), 'in_interface': _interface, 'out_interface': _interface, 'source': _address, 'source_port': _number(1, 65535),
    'source_mac': _mac, 'destination': _address, 'protocol': _one_of(PROTOCOLS), 'port': _number(1, 65535), 'icmp_type': _as_is,
    'flags': _flags, 'state': _one_of(STATES), 'count': _number(1, MOST_PACKETS), 'uid': _word, 'verdict': _one_of(VERDICTS),
    'wait': _seconds, 'rewritten_source': _rewritten, 'rewritten_destination': _rewritten,
}
KEYS = tuple(_READERS)


def read_flow(value: Any, where: str) -> Flow:
    """Read one flow from its keys; a key whose value is None was not given. Raises PalisadeError, which names `where` and the key."""
    if not isinstance(value, Mapping):
        raise PalisadeError('%s: %s is not a dictionary such as {in_interface: eth0, protocol: tcp, port: 22}' % (where, ascii(value)))
    found: Dict[str, Any] = {}
    for key, given in value.items():
        if key not in _READERS:
            raise PalisadeError('%s: there is no %s; a flow has %s' % (where, ascii(key), ', '.join(KEYS)))
        if given is not None:
            try:
                found[key] = _READERS[key](given)
            except ValueError as error:
                raise PalisadeError('%s: %s: %s' % (where, key, error)) from None
    found['family'] = _family(found, where)
    _read_protocol(found, where)
    _check(found, where)
    found['times'] = found.pop('count', 1)
    return Flow(where, **found)


def _family(found: Mapping[str, Any], where: str) -> str:
    named: Dict[str, str] = {}
    for key in ('source', 'destination', 'rewritten_source', 'rewritten_destination'):
        if key in found:
            address = found[key] if isinstance(found[key], str) else found[key][0]
            named.setdefault('ipv6' if ':' in address else 'ipv4', '%s: %s' % (key, address))
    protocol = found.get('protocol', '')
    if protocol in _PROTOCOL_FAMILIES:
        named.setdefault(_PROTOCOL_FAMILIES[protocol], 'protocol: %s' % protocol)
    if len(named) > 1:
        raise PalisadeError('%s: one packet is of one family: %s' % (where, ', '.join(['%s is %s' % (named[name], name) for name in sorted(named)])))
    return next(iter(named), '')


def _read_protocol(found: Dict[str, Any], where: str) -> None:
    """Settle protocol, port, ICMP type and flags, which depend on each other."""
    if 'protocol' not in found:
        found['protocol'] = 'tcp' if 'icmp_type' not in found else 'ipv6-icmp' if found['family'] == 'ipv6' else 'icmp'
    protocol = found['protocol']
    found['family'] = found['family'] or _PROTOCOL_FAMILIES.get(protocol, '')
    unfit = [key for key, fits in (('port', protocol not in _PROTOCOL_FAMILIES), ('source_port', protocol not in _PROTOCOL_FAMILIES),
                                   ('icmp_type', protocol in _PROTOCOL_FAMILIES), ('flags', protocol == 'tcp')) if key in found and not fits]
    if unfit:
        raise PalisadeError('%s: %s: %s has none' % (where, unfit[0], protocol))
    if protocol in _PROTOCOL_FAMILIES:
        try:
            found['icmp_type'] = _icmp_type(found.get('icmp_type', 'echo-request'), _ICMP_TYPES[protocol])
        except ValueError as error:
            raise PalisadeError('%s: icmp_type: %s' % (where, error)) from None
    elif 'port' not in found:
        raise PalisadeError('%s: port: a packet of %s goes to one, so it is needed' % (where, protocol))
    if found.get('state') == 'established' and 'flags' not in found:
        found['flags'] = FLAGS['ACK']


def _icmp_type(value: Any, names: Mapping[str, Tuple[int, int]]) -> Tuple[int, int]:
    text = str(value).lower()
    numeric = _NUMERIC_TYPE.match(text)
    if numeric and not isinstance(value, bool):
        pair = int(numeric.group(1)), int(numeric.group(2) or 0)
        if max(pair) < 256:
            return pair
    if text not in names:
        raise ValueError('%s is no type, type/code or one of %s' % (ascii(value), ', '.join(names)))
    return names[text]


def icmp_type_name(protocol: str, number: str) -> str:
    """A type's name by its number, and the number where iptables has no name for it."""
    return next((name for name, pair in _ICMP_TYPES[protocol].items() if number in ('%d' % pair[0], '%d/%d' % pair) and not pair[1]), number)


def _check(found: Mapping[str, Any], where: str) -> None:
    hook = found.get('hook')
    wrong = {'input': ('out_interface', 'uid'), 'forward': ('uid',), 'output': ('in_interface', 'source_mac')}.get(str(hook), ())
    for key in wrong:
        if key in found:
            raise PalisadeError('%s: %s: a packet of hook %s has none' % (where, key, hook))
    if 'uid' in found and ('in_interface' in found or 'source_mac' in found):
        raise PalisadeError('%s: uid: only what the host itself sends belongs to a user; this packet comes in by an interface' % where)
    if found.get('state') == 'established' and found.get('icmp_type', (8, 0))[0] not in (8, 128) and found['protocol'] in _PROTOCOL_FAMILIES:
        raise PalisadeError('%s: state: of ICMP, only echo-request opens what can be established' % where)


# Filling in


def complete(flow: Flow, around: Surroundings) -> Flow:
    """The flow with every address, interface and the hook settled, from what the host has. Raises PalisadeError where that cannot be told."""
    flow = flow._replace(family=flow.family or 'ipv4')
    hook = flow.hook or _guess_hook(flow, around)
    filled = {'input': _complete_input, 'forward': _complete_forward, 'output': _complete_output}[hook](flow._replace(hook=hook), around)
    if filled.out_interface and around.knows(filled.out_interface, filled.family):
        filled = filled._replace(routed=_routed(filled, around))
    ports = filled.protocol in ('tcp', 'udp')
    return filled._replace(source_port=filled.source_port or (FIRST_PORT if ports else 0), spread=not filled.source_port)


def _routed(flow: Flow, around: Surroundings) -> str:
    if around.owns(flow.destination):
        return 'lo'
    address = ipaddress.ip_address(flow.destination)
    # Every link has these, and whoever sends there says which one.
    on_every_link = address.is_multicast or (address.version == 6 and address.is_link_local)
    return flow.out_interface if on_every_link else around.interface_to(flow.destination)


def _guess_hook(flow: Flow, around: Surroundings) -> str:
    if flow.uid:
        return 'output'
    if flow.in_interface and flow.out_interface:
        return 'forward'
    if flow.out_interface:
        return 'output'
    if flow.in_interface or flow.source_mac:
        return 'forward' if flow.destination and not around.takes(flow.destination) and around.knows(flow.in_interface, flow.family) else 'input'
    if flow.destination and not around.takes(flow.destination):
        return 'output' if not flow.source or around.owns(flow.source) else 'forward'
    return 'input'


def _complete_input(flow: Flow, around: Surroundings) -> Flow:
    interface = flow.in_interface or _interface_towards(flow, 'in_interface', flow.source, around, local=flow.destination)
    known = around.knows(interface, flow.family)
    own = flow.destination or around.address_on(interface, flow.family) or around.any_address(flow.family) or OWN[flow.family]
    if known and not around.takes(own):
        raise PalisadeError('%s: destination: %s is not an address of this host, so the packet does not come to its input' % (flow.text(), own))
    source = flow.source or (own if interface == 'lo' else around.neighbour_on(interface, flow.family) or ELSEWHERE[flow.family])
    return flow._replace(in_interface=interface, destination=own, source=source)


def _complete_forward(flow: Flow, around: Surroundings) -> Flow:
    into = flow.in_interface or _interface_towards(flow, 'in_interface', flow.source, around)
    out = flow.out_interface
    if not out and flow.destination and around.takes(flow.destination):
        # Which way it goes is for a rule of nat to say.
        return flow._replace(in_interface=into, source=flow.source or around.neighbour_on(into, flow.family) or ELSEWHERE[flow.family])
    out = out or _interface_towards(flow, 'out_interface', flow.destination, around)
    source = flow.source or around.neighbour_on(into, flow.family) or ELSEWHERE[flow.family]
    destination = flow.destination or around.neighbour_on(out, flow.family) or FAR_AWAY[flow.family]
    return flow._replace(in_interface=into, out_interface=out, source=source, destination=destination)


def _complete_output(flow: Flow, around: Surroundings) -> Flow:
    out = flow.out_interface or _interface_towards(flow, 'out_interface', flow.destination, around, local=flow.destination)
    source = flow.source or around.source_towards(flow.destination, out, flow.family)
    if out == 'lo':
        source = source or flow.destination or around.address_on('lo', flow.family)
        return flow._replace(out_interface=out, source=source, destination=flow.destination or source)
    destination = flow.destination or around.neighbour_on(out, flow.family) or FAR_AWAY[flow.family]
    source = source or around.address_on(out, flow.family) or around.any_address(flow.family) or OWN[flow.family]
    if around.knows(out, flow.family) and not around.owns(source):
        raise PalisadeError('%s: source: %s is not an address of this host, so it does not send such a packet' % (flow.text(), source))
    return flow._replace(out_interface=out, source=source, destination=destination)


def _interface_towards(flow: Flow, key: str, address: str, around: Surroundings, local: str = '') -> str:
    """The interface behind which an address is; without one, the one of the address that the packet is for, or the default route's."""
    if (address and around.owns(address)) or (key == 'out_interface' and local and around.owns(local)):
        return 'lo'
    found = (around.interface_to(address, flow.family) if address else '') or around.interface_of(local) or around.default_interface(flow.family)
    if not found:
        raise PalisadeError('%s: %s: the host has no route that says which one, so it is needed' % (flow.text(), key))
    return found
