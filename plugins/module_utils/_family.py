# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which family a rule plainly belongs to, when one declaration is for IPv4 and IPv6. Vocabulary as data, and one walker."""
from __future__ import annotations

import re
from types import MappingProxyType
from typing import Callable, Dict, Mapping, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import TEXT_OPTIONS

IPV4 = 'ipv4'
IPV6 = 'ipv6'
FAMILIES = (IPV4, IPV6)

#: iptables-restore's own convention for a rule that is for one family.
PREFIXES: Mapping[str, str] = {'-4': IPV4, '--ipv4': IPV4, '-6': IPV6, '--ipv6': IPV6}

_ADDRESS4 = re.compile(r'\d+(?:\.\d+){0,3}(?:/[\d.]+)?(?:-\d+(?:\.\d+){3})?(?::[\d/-]*)?\Z')


def _of_address(value: str, _sets: Mapping[str, str]) -> Optional[str]:
    families = set()
    for part in value.split(','):
        if part.count(':') > 1:
            families.add(IPV6)
        elif _ADDRESS4.match(part):
            families.add(IPV4)
    if len(families) > 1:
        raise PalisadeError('%s names addresses of both families in one rule, which no family can load: write two rules' % value)
    return families.pop() if families else None


def _of_dotted(value: str, sets: Mapping[str, str]) -> Optional[str]:
    """For options that other matches use for plain numbers (string --to 65535, MARK --mask 255)."""
    return _of_address(value, sets) if '.' in value or value.count(':') > 1 else None


def _of_set(value: str, sets: Mapping[str, str]) -> Optional[str]:
    return sets.get(value)


def _named(names: Mapping[str, str]) -> Callable[[str, Mapping[str, str]], Optional[str]]:
    return lambda value, _sets: names.get(value) or names.get(value.lower())


def _any_named(names: Mapping[str, str]) -> Callable[[str, Mapping[str, str]], Optional[str]]:
    return lambda value, _sets: next((names[part] for part in value.split(',') if part in names), None)


def _always(family: str) -> Callable[[str, Mapping[str, str]], Optional[str]]:
    return lambda _value, _sets: family


_PROTOCOLS = {'icmp': IPV4, '1': IPV4, 'icmpv6': IPV6, 'ipv6-icmp': IPV6, '58': IPV6, 'igmp': IPV4,
              'mh': IPV6, 'ipv6-mh': IPV6, 'mobility-header': IPV6}
_MATCHES = {'icmp': IPV4, 'icmp6': IPV6, 'icmpv6': IPV6, 'ttl': IPV4, 'hl': IPV6, 'realm': IPV4, 'frag': IPV6, 'hbh': IPV6, 'dst': IPV6,
            'rt': IPV6, 'mh': IPV6, 'ipv6header': IPV6, 'eui64': IPV6, 'srh': IPV6}
_TARGETS = {'TTL': IPV4, 'HL': IPV6, 'ECN': IPV4, 'CLUSTERIP': IPV4, 'SNPT': IPV6, 'DNPT': IPV6, 'ULOG': IPV4}
_REJECTIONS: Dict[str, str] = dict.fromkeys(
    ('icmp-net-unreachable', 'net-unreach', 'icmp-host-unreachable', 'host-unreach', 'icmp-proto-unreachable', 'proto-unreach',
     'icmp-port-unreachable', 'icmp-net-prohibited', 'net-prohib', 'icmp-host-prohibited', 'host-prohib',
     'icmp-admin-prohibited', 'admin-prohib'), IPV4)
_REJECTIONS.update(dict.fromkeys(
    ('icmp6-no-route', 'no-route', 'icmp6-adm-prohibited', 'adm-prohibited', 'icmp6-addr-unreachable', 'addr-unreach',
     'icmp6-port-unreachable', 'icmp6-policy-fail', 'policy-fail', 'icmp6-reject-route', 'reject-route'), IPV6))
_ADDRESS_TYPES = {'BROADCAST': IPV4}

_ADDRESS_OPTIONS = (
    '-s', '--source', '--src', '-d', '--destination', '--dst', '--src-range', '--dst-range', '--to-source', '--to-destination',
    '--gateway', '--ctorigsrc', '--ctorigdst', '--ctreplsrc', '--ctrepldst', '--on-ip', '--tunnel-src', '--tunnel-dst', '--src-pfx',
    '--dst-pfx',
)

#: option → family of its value. What is not here goes to both families, and the one that refuses it says so.
PLAIN: Dict[str, Callable[[str, Mapping[str, str]], Optional[str]]] = dict.fromkeys(_ADDRESS_OPTIONS, _of_address)
PLAIN.update({
    '--to': _of_dotted, '--mask': _of_dotted,
    '-p': _named(_PROTOCOLS), '--protocol': _named(_PROTOCOLS), '--proto': _named(_PROTOCOLS),
    '-m': _named(_MATCHES), '--match': _named(_MATCHES),
    '-j': _named(_TARGETS), '--jump': _named(_TARGETS),
    '--reject-with': _named(_REJECTIONS),
    '--src-type': _any_named(_ADDRESS_TYPES), '--dst-type': _any_named(_ADDRESS_TYPES),
    '--icmp-type': _always(IPV4), '--icmpv6-type': _always(IPV6),
    '--ttl-eq': _always(IPV4), '--ttl-lt': _always(IPV4), '--ttl-gt': _always(IPV4), '--ttl-set': _always(IPV4),
    '--ttl-dec': _always(IPV4), '--ttl-inc': _always(IPV4),
    '--hl-eq': _always(IPV6), '--hl-lt': _always(IPV6), '--hl-gt': _always(IPV6), '--hl-set': _always(IPV6),
    '--hl-dec': _always(IPV6), '--hl-inc': _always(IPV6),
    '-f': _always(IPV4), '--fragment': _always(IPV4),
    '--match-set': _of_set, '--add-set': _of_set, '--del-set': _of_set, '--map-set': _of_set,
})
_NO_SETS: Mapping[str, str] = MappingProxyType({})


def plain_family(tokens: Sequence[str], sets: Mapping[str, str] = _NO_SETS) -> Optional[str]:
    """The family that a rule, already split, plainly belongs to; None where it is for both or cannot be told.

    `sets` gives the family of each ipset. Raises PalisadeError where the rule names both families.
    """
    found: Optional[str] = None
    end = len(tokens)
    index = 0
    while index < end:
        token = tokens[index]
        if token[:1] == '-':
            family = None
            if token in PLAIN:
                family = PLAIN[token](tokens[index + 1] if index + 1 < end and tokens[index + 1] != '!'
                                      else tokens[index + 2] if index + 2 < end else '', sets)
            elif token in TEXT_OPTIONS:
                index += 1
            elif token[1:2] != '-' and len(token) > 2 and token[:2] in PLAIN:
                family = PLAIN[token[:2]](token[2:], sets)
            elif '=' in token and token.partition('=')[0] in PLAIN:
                family = PLAIN[token.partition('=')[0]](token.partition('=')[2], sets)
            if family is not None:
                if found is not None and found != family:
                    raise PalisadeError('the rule asks for %s in one place and for %s in another (%s)' % (found, family, token))
                found = family
        index += 1
    return found


def families_of(tokens: Sequence[str], sets: Mapping[str, str] = _NO_SETS) -> Sequence[str]:
    """The families a rule without a prefix is for: the one that it plainly belongs to, else both."""
    family = plain_family(tokens, sets)
    return FAMILIES if family is None else (family,)
