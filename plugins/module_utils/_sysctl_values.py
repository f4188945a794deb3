# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How kernel settings are spelled, what values they take, and what several values of a `conf` key mean together. Pure.

A key is held as its path below /proc/sys, such as net/ipv4/conf/eth0.100/rp_filter. The kernel's sources and its
Documentation/networking/ip-sysctl.rst are where ranges and rules of combination are from (include/linux/inetdevice.h).
"""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

PREFIX = '/proc/sys/'
FAMILIES = ('ipv4', 'ipv6')
#: The member of `conf` that is no interface but says what interfaces to come start with.
DEFAULT = 'default'
ALL = 'all'
LONGEST_INTERFACE = 15
#: The kernel has these under two names, and each follows the other.
ALIASES = {'net/ipv4/ip_forward': 'net/ipv4/conf/all/forwarding'}
_SHOWN_AS = {path: alias for alias, path in ALIASES.items()}
_SWAP = str.maketrans('./', '/.')
_DECIMAL = re.compile(r'-?(?:0|[1-9][0-9]{0,18})\Z')
#: As the kernel reads numbers: hexadecimal with 0x, octal with a zero in front.
_KERNEL_NUMBER = re.compile(r'-?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})\Z')
_HEXADECIMAL = re.compile(r'-?0[xX][0-9a-fA-F]{1,16}\Z')
_CONTROL = re.compile(r'[\x00-\x08\x0a-\x1f\x7f]')


class Conf(NamedTuple):
    """A key below net.ipv4.conf or net.ipv6.conf. The member is `all`, `default` or an interface."""

    family: str
    member: str
    leaf: str

    @property
    def path(self) -> str:
        return conf_path(self.family, self.member, self.leaf)

    @property
    def group(self) -> Tuple[str, str]:
        return self.family, self.leaf


#: Least and greatest value of `conf` keys, by family and leaf.
_CONF_LIMITS: Mapping[Tuple[str, str], Tuple[int, int]] = {
    **{('ipv4', leaf): (0, 1) for leaf in (
        'accept_local', 'accept_redirects', 'accept_source_route', 'arp_evict_nocarrier', 'arp_filter', 'bc_forwarding', 'bootp_relay',
        'disable_policy', 'disable_xfrm', 'drop_gratuitous_arp', 'drop_unicast_in_l2_multicast', 'forwarding', 'ignore_routes_with_linkdown',
        'log_martians', 'promote_secondaries', 'proxy_arp', 'proxy_arp_pvlan', 'route_localnet', 'secure_redirects', 'send_redirects',
        'shared_media', 'src_valid_mark')},
    **{('ipv6', leaf): (0, 1) for leaf in (
        'accept_ra_defrtr', 'accept_ra_from_local', 'accept_ra_mtu', 'accept_ra_pinfo', 'accept_ra_rtr_pref', 'accept_redirects', 'autoconf',
        'disable_ipv6', 'disable_policy', 'drop_unicast_in_l2_multicast', 'drop_unsolicited_na', 'enhanced_dad', 'force_forwarding', 'forwarding',
        'ignore_routes_with_linkdown', 'keep_addr_on_down', 'ndisc_evict_nocarrier', 'ndisc_notify', 'optimistic_dad', 'proxy_ndp',
        'suppress_frag_ndisc', 'use_oif_addrs_only', 'use_optimistic')},
    ('ipv4', 'rp_filter'): (0, 2),
    ('ipv4', 'arp_accept'): (0, 2),
    ('ipv4', 'arp_announce'): (0, 2),
    ('ipv4', 'arp_ignore'): (0, 8),
    ('ipv4', 'arp_notify'): (0, 1),
    ('ipv4', 'force_igmp_version'): (0, 3),
    ('ipv6', 'accept_dad'): (-1, 2),
    ('ipv6', 'accept_ra'): (0, 2),
    ('ipv6', 'accept_source_route'): (-1, 1),
    ('ipv6', 'accept_untracked_na'): (0, 2),
    ('ipv6', 'addr_gen_mode'): (0, 3),
    ('ipv6', 'hop_limit'): (1, 255),
    ('ipv6', 'keep_addr_on_down'): (-1, 1),
    ('ipv6', 'use_tempaddr'): (-1, 2),
    ('ipv6', 'dad_transmits'): (0, 255),
    ('ipv6', 'router_solicitations'): (-1, 255),
}

_BIGGEST = 2 ** 31 - 1
#: Least and greatest value of other keys.
_LIMITS: Mapping[str, Tuple[int, int]] = {
    **{'net/ipv4/' + name: (0, 1) for name in (
        'icmp_echo_ignore_all', 'icmp_echo_ignore_broadcasts', 'icmp_errors_use_inbound_ifaddr', 'icmp_ignore_bogus_error_responses',
        'igmp_link_local_mcast_reports', 'icmp_echo_enable_probe', 'ip_autobind_reuse',
        'ip_early_demux', 'ip_forward_update_priority', 'ip_forward_use_pmtu',
        'ip_nonlocal_bind', 'tcp_abort_on_overflow', 'tcp_dsack', 'tcp_early_demux', 'tcp_ecn_fallback', 'tcp_fwmark_accept', 'tcp_l3mdev_accept',
        'tcp_moderate_rcvbuf', 'tcp_no_metrics_save', 'tcp_rfc1337', 'tcp_slow_start_after_idle', 'udp_l3mdev_accept')},
    'net/ipv4/icmp_msgs_burst': (0, _BIGGEST),
    'net/ipv4/icmp_msgs_per_sec': (0, _BIGGEST),
    'net/ipv4/icmp_ratelimit': (0, _BIGGEST),
    'net/ipv4/icmp_ratemask': (0, 2 ** 32 - 1),
    'net/ipv4/ip_default_ttl': (1, 255),
    'net/ipv4/ip_dynaddr': (0, 7),
    'net/ipv4/ip_no_pmtu_disc': (0, 3),
    'net/ipv4/tcp_challenge_ack_limit': (0, _BIGGEST),
    'net/ipv4/tcp_ecn': (0, 5),
    'net/ipv4/tcp_fin_timeout': (1, _BIGGEST),
    'net/ipv4/tcp_keepalive_intvl': (1, 32_767),
    'net/ipv4/tcp_keepalive_probes': (0, 255),
    'net/ipv4/tcp_keepalive_time': (1, 32_767),
    'net/ipv4/tcp_max_syn_backlog': (0, _BIGGEST),
    'net/ipv4/tcp_mtu_probing': (0, 2),
    'net/ipv4/tcp_retries2': (0, 255),
    'net/ipv4/tcp_sack': (0, 1),
    'net/ipv4/tcp_syn_retries': (1, 127),
    'net/ipv4/tcp_synack_retries': (0, 255),
    'net/ipv4/tcp_syncookies': (0, 2),
    'net/ipv4/tcp_timestamps': (0, 2),
    'net/ipv4/tcp_tw_reuse': (0, 2),
    'net/ipv4/tcp_window_scaling': (0, 1),
    'net/ipv6/bindv6only': (0, 1),
    'net/ipv6/icmp/echo_ignore_all': (0, 1),
    'net/ipv6/icmp/echo_ignore_anycast': (0, 1),
    'net/ipv6/icmp/echo_ignore_multicast': (0, 1),
    'net/ipv6/icmp/ratelimit': (0, _BIGGEST),
    'net/core/bpf_jit_enable': (0, 2),
    'net/core/bpf_jit_harden': (0, 2),
    'net/core/netdev_max_backlog': (0, _BIGGEST),
    'net/core/somaxconn': (0, _BIGGEST),
    'net/bridge/bridge-nf-call-arptables': (0, 1),
    'net/bridge/bridge-nf-call-ip6tables': (0, 1),
    'net/bridge/bridge-nf-call-iptables': (0, 1),
    'net/netfilter/nf_conntrack_acct': (0, 1),
    'net/netfilter/nf_conntrack_checksum': (0, 1),
    'net/netfilter/nf_conntrack_helper': (0, 1),
    'net/netfilter/nf_conntrack_log_invalid': (0, 255),
    'net/netfilter/nf_conntrack_max': (0, _BIGGEST),
    'net/netfilter/nf_conntrack_tcp_be_liberal': (0, 1),
    'net/netfilter/nf_conntrack_tcp_loose': (0, 1),
    'net/netfilter/nf_conntrack_tcp_timeout_established': (0, _BIGGEST),
    'net/netfilter/nf_conntrack_timestamp': (0, 1),
    'kernel/dmesg_restrict': (0, 1),
    'kernel/kptr_restrict': (0, 2),
    'kernel/randomize_va_space': (0, 2),
    'kernel/unprivileged_bpf_disabled': (0, 2),
    'kernel/yama/ptrace_scope': (0, 3),
}

#: What the value in `all` and the one of the interface come to. Any leaf that is not here counts on the interface alone.
_RULES: Mapping[Tuple[str, str], str] = {
    ('ipv4', 'rp_filter'): 'max',
    ('ipv4', 'arp_accept'): 'max',
    ('ipv4', 'arp_announce'): 'max',
    ('ipv4', 'arp_ignore'): 'max',
    ('ipv4', 'arp_notify'): 'max',
    **{('ipv4', leaf): 'or' for leaf in (
        'accept_local', 'arp_filter', 'disable_policy', 'drop_gratuitous_arp', 'drop_unicast_in_l2_multicast', 'log_martians', 'promote_secondaries',
        'proxy_arp', 'proxy_arp_pvlan', 'route_localnet', 'secure_redirects', 'send_redirects', 'shared_media', 'src_valid_mark')},
    **{('ipv4', leaf): 'and' for leaf in ('accept_source_route', 'arp_evict_nocarrier', 'bc_forwarding', 'bootp_relay', 'mc_forwarding')},
    ('ipv4', 'accept_redirects'): 'redirects',
    ('ipv6', 'accept_source_route'): 'min',
    ('ipv6', 'proxy_ndp'): 'or',
    ('ipv6', 'disable_policy'): 'or',
}


def conf_path(family: str, member: str, leaf: str) -> str:
    """The path of a `conf` key."""
    return 'net/%s/conf/%s/%s' % (family, member, leaf)


def conf_of(path: str) -> Optional[Conf]:
    """The parts of a `conf` key's path; None for any other key."""
    parts = path.split('/')
    if len(parts) == 5 and parts[0] == 'net' and parts[1] in FAMILIES and parts[2] == 'conf':
        return Conf(parts[1], parts[3], parts[4])
    return None


def separated(text: str) -> str:
    """A key's path in any spelling of it: what the first separator is, separates (sysctl.d(5)). No check, patterns pass."""
    text = text.strip()
    if text.startswith(PREFIX):
        text = text[len(PREFIX):]
    first = re.search(r'[./]', text)
    if first and first.group() == '.':
        text = text.translate(_SWAP)
    path = re.sub(r'/+', '/', text).strip('/')
    return ALIASES.get(path, path)


def parse_key(text: Any) -> str:
    """A key's path from any spelling of it; `conf.*` is `conf.all`. Raises PalisadeError."""
    if not isinstance(text, str) or not text.strip():
        raise PalisadeError('settings: %r is not a key' % (text,))
    parts = separated(text).split('/')
    if parts[:2] in (['net', 'ipv4'], ['net', 'ipv6']) and parts[2:3] in (['conf'], ['neigh']):
        if len(parts) < 5:
            raise PalisadeError('settings: %s does not name a key: it wants net.%s.%s.INTERFACE.KEY, where INTERFACE may be %s'
                                % (text, parts[1], parts[2], 'all or default' if parts[2] == 'conf' else 'default'))
        # With dots as separators, those of an interface's name look like separators. The key has its place at the end.
        parts[3:-1] = ['.'.join(parts[3:-1])]
        if parts[2] == 'conf' and parts[3] == '*':
            parts[3] = ALL
        if parts[3] not in (ALL, DEFAULT):
            check_interface(parts[3], 'settings: ' + text)
    if len(parts) < 2 or any(part in ('', '.', '..') or re.search(r'[\s=#;*?\[\]]', part) for part in parts) or parts[0].startswith('-'):
        raise PalisadeError('settings: %s is not a key such as net.ipv4.tcp_syncookies' % text)
    path = '/'.join(parts)
    return ALIASES.get(path, path)


def check_interface(name: Any, where: str) -> None:
    """Raise PalisadeError for what cannot be an interface's name."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_INTERFACE or re.search(r'[\s/*?\[\]=:%]', name) or name in (ALL, DEFAULT, '.', '..'):
        raise PalisadeError('%s: %s is not the name of an interface' % (where, name))


def shown(path: str) -> str:
    """A key as people and sysctl.d write it: with dots, unless an interface's name has some."""
    path = _SHOWN_AS.get(path, path)
    return path if '.' in path else path.replace('/', '.')


def spellings(path: str) -> List[str]:
    """The paths that are this one setting."""
    return [path] + [alias for alias, target in ALIASES.items() if target == path]


def limits_of(path: str) -> Optional[Tuple[int, int]]:
    """The least and greatest number that a key takes; None where that is not known here."""
    conf = conf_of(path)
    return _CONF_LIMITS.get(conf.group) if conf else _LIMITS.get(path)


def is_known(path: str) -> bool:
    """Whether kernels are known to have the key, whatever this host's has."""
    return limits_of(path) is not None


def known_keys() -> List[str]:
    """All keys that are known, with `all` for the interface."""
    return [conf_path(family, ALL, leaf) for family, leaf in _CONF_LIMITS] + list(_LIMITS)


def parse_value(path: str, value: Any, where: str) -> str:
    """A value as it is written and read. Raises PalisadeError for one that the key cannot have; `where` is how the user named it."""
    if isinstance(value, bool):
        text = '1' if value else '0'
    elif isinstance(value, (int, str)):
        text = str(value).strip()
    else:
        raise PalisadeError('%s: %r is not a value: it wants a number or a text' % (where, value))
    limits = limits_of(path)
    if limits is None:
        return _free_value(text, where)
    if _HEXADECIMAL.match(text):
        text = str(int(text, 16))
    if not _DECIMAL.match(text):
        octal = ', and a zero in front makes it octal to the kernel' if re.match(r'-?0[0-9]+\Z', text) else ''
        raise PalisadeError('%s: %r is not a whole number from %d to %d%s' % (where, text, limits[0], limits[1], octal))
    if not limits[0] <= int(text) <= limits[1]:
        raise PalisadeError('%s: %s is out of range: it takes %d to %d' % (where, text, limits[0], limits[1]))
    return text


def _free_value(text: str, where: str) -> str:
    if not text:
        raise PalisadeError('%s: the value is empty; to leave a key alone, give null' % where)
    if _CONTROL.search(text):
        raise PalisadeError('%s: %r has control characters in it' % (where, text))
    return ' '.join(text.split()) if all(_KERNEL_NUMBER.match(word) for word in text.split()) else text


def check_kind(path: str, value: str, present: str) -> None:
    """Raise PalisadeError where a value is plainly of another kind than the one that the kernel has for the key now."""
    words, now = value.split(), present.split()
    if not now or limits_of(path) is not None or not all(_KERNEL_NUMBER.match(word) for word in now):
        return
    if not all(_KERNEL_NUMBER.match(word) for word in words):
        raise PalisadeError('%s: %r is not a number, and the kernel has %r there' % (shown(path), value, ' '.join(now)))
    if len(words) != len(now):
        raise PalisadeError('%s: %r has %d numbers, and the kernel has %d there: %s' % (shown(path), value, len(words), len(now), ' '.join(now)))


def same_value(path: str, one: Optional[str], other: Optional[str]) -> bool:
    """Whether two texts are one value: whitespace apart, numbers as numbers, lists of ports as sets."""
    if one is None or other is None:
        return one is other
    ours, theirs = one.split(), other.split()
    if ours == theirs:
        return True
    if path == 'net/ipv4/ip_local_reserved_ports':
        return _ports(one) == _ports(other)
    octal = limits_of(path) is not None
    return len(ours) == len(theirs) and all(
        a == b or (_number(a, octal) is not None and _number(a, octal) == _number(b, octal)) for a, b in zip(ours, theirs))


def _number(word: str, octal: bool) -> Optional[int]:
    """A number as the kernel reads it. Zeros in front mean octal to keys that hold a number, and nothing known to others (bit masks)."""
    if _DECIMAL.match(word):
        return int(word)
    if _HEXADECIMAL.match(word):
        return int(word, 16)
    return int(word, 8) if octal and re.match(r'-?0[0-7]+\Z', word) else None


def _ports(text: str) -> Optional[List[int]]:
    ports: List[int] = []
    for part in re.split(r'[,\s]+', text.strip()):
        first, dash, last = part.partition('-')
        if not first.isdigit() or (dash and not last.isdigit()):
            return None if part else []
        ports += range(int(first), int(last or first) + 1)
    return sorted(set(ports))


def effective(group: Tuple[str, str], in_all: str, own: str, forwards: bool) -> str:
    """What `all` and the interface's own value come to on an interface. `forwards`: whether it forwards IPv4."""
    rule = _RULES.get(group, 'own')
    if rule == 'redirects':
        rule = 'and' if forwards else 'or'
    numbers = [_number(word.strip(), True) for word in (in_all, own)]
    if rule == 'own' or None in numbers:
        return own
    one, other = [number or 0 for number in numbers]
    result = {'max': max(one, other), 'min': min(one, other), 'or': int(bool(one or other)), 'and': int(bool(one and other))}[rule]
    return str(result)


def counts_all(group: Tuple[str, str]) -> bool:
    """Whether the value in `all` has a say on an interface."""
    return group in _RULES


class Targets(NamedTuple):
    """What a `conf` key is to be: on every interface, in `default`, and on single ones. None: not declared."""

    everywhere: Optional[str]
    default: Optional[str]
    interfaces: Mapping[str, str]


def settle(group: Tuple[str, str], targets: Targets, members: Sequence[str], forwards: Mapping[str, bool]) -> Dict[str, str]:
    """The raw value of `all`, `default` and each interface, so that on each the effective value is the declared one.

    `members` are the interfaces that get the value of `everywhere`. Raises PalisadeError where no value of `all` suits all of them.
    """
    if targets.everywhere is None:
        raw = dict(targets.interfaces)
        if targets.default is not None:
            raw[DEFAULT] = targets.default
        return raw
    wanted = {DEFAULT: targets.everywhere if targets.default is None else targets.default}
    wanted.update((name, targets.everywhere) for name in members if name not in targets.interfaces)
    wanted.update(targets.interfaces)
    candidates = [targets.everywhere] + sorted(set(wanted.values()) - {targets.everywhere})
    for in_all in candidates:
        if all(effective(group, in_all, value, forwards.get(name, False)) == value for name, value in wanted.items()):
            return {ALL: in_all, **wanted}
    raise PalisadeError('net.%s.conf: %s cannot be %s together: what is in all counts on every interface, and no value of it suits them' % (
        group[0], group[1], ' and '.join('%s on %s' % (value, name) for name, value in _one_each(wanted).items())))


def _one_each(wanted: Mapping[str, str]) -> Dict[str, str]:
    """One member for each value."""
    seen: Dict[str, str] = {}
    for name, value in sorted(wanted.items(), key=lambda item: item[0] == DEFAULT):
        seen.setdefault(value, name)
    return {name: value for value, name in seen.items()}
