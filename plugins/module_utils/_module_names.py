# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of netfilter's kernel modules: what old ones are called today, what profiles, helpers and legacy tables need. Data, and look-ups in it.

Today is kernel 6.12. A kernel that still has a module of the old name keeps it: see _modules_facts.py. A unit test holds the names against
the aliases of real kernels.
"""
from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple


class Need(NamedTuple):
    """A module that something other than the operator's list asks for, and why."""

    name: str
    reason: str


class Renaming(NamedTuple):
    """Old names that went the same way. `rule` gives today's name with %s for what stands behind the prefix; `others` are written out."""

    reason: str
    prefixes: Sequence[str] = ()
    rule: str = ''
    names: Sequence[str] = ()
    others: Mapping[str, str] = {}


_XT = ('AUDIT', 'CHECKSUM', 'CLASSIFY', 'CONNSECMARK', 'CT', 'DSCP', 'HMARK', 'LOG', 'MASQUERADE', 'NETMAP', 'NFLOG', 'NFQUEUE', 'REDIRECT',
       'SECMARK', 'TCPMSS', 'TCPOPTSTRIP', 'TEE', 'TPROXY', 'TRACE', 'addrtype', 'comment', 'connbytes', 'connlimit', 'connmark', 'conntrack',
       'dccp', 'devgroup', 'dscp', 'ecn', 'esp', 'hashlimit', 'helper', 'iprange', 'length', 'limit', 'mac', 'mark', 'multiport', 'osf', 'owner',
       'physdev', 'pkttype', 'policy', 'quota', 'recent', 'sctp', 'set', 'socket', 'state', 'statistic', 'string', 'tcpmss', 'time', 'u32')
_HELPERS = ('amanda', 'ftp', 'h323', 'irc', 'pptp', 'sip', 'tftp')

RENAMINGS: Sequence[Renaming] = (
    Renaming('connection tracking serves both families since 2.6.20', ('ip_conntrack_',), 'nf_conntrack_%s', (*_HELPERS, 'netbios_ns', 'netlink'),
             {'ip_conntrack': 'nf_conntrack', 'ip_conntrack_proto_sctp': 'nf_conntrack'}),
    Renaming('the families and protocols of connection tracking are in nf_conntrack itself since 4.19', ('nf_conntrack_',), 'nf_conntrack',
             ('ipv4', 'ipv6', 'l3proto_ipv4', 'proto_dccp', 'proto_gre', 'proto_sctp', 'proto_udplite')),
    Renaming('NAT serves both families', ('ip_nat_',), 'nf_nat_%s', (*_HELPERS, 'snmp_basic'), {'ip_nat': 'nf_nat'}),
    Renaming('the families of NAT are in nf_nat itself since 5.1', ('nf_nat_',), 'nf_nat',
             ('ipv4', 'ipv6', 'masquerade_ipv4', 'masquerade_ipv6', 'redirect')),
    Renaming('the logger is one for all families since 5.13', ('nf_log_',), 'nf_log_syslog',
             ('arp', 'bridge', 'common', 'ipv4', 'ipv6', 'netdev')),
    Renaming('matches and targets serve both families since 2.6.16', ('ipt_', 'ip6t_'), 'xt_%s', _XT, {'ipt_realm': 'xt_realm'}),
    Renaming('tcp and udp are one module', ('ipt_', 'ip6t_', 'xt_'), 'xt_tcpudp', ('tcp', 'udp')),
    Renaming('ttl and hl are one module', others={'ipt_ttl': 'xt_hl', 'ipt_TTL': 'xt_HL', 'ip6t_hl': 'xt_hl', 'ip6t_HL': 'xt_HL', 'xt_ttl': 'xt_hl',
                                                  'xt_TTL': 'xt_HL'}),
    Renaming('tos is in dscp, and the case counts: small letters match, capitals change', others={
        'ipt_tos': 'xt_dscp', 'ip6t_tos': 'xt_dscp', 'xt_tos': 'xt_dscp', 'ipt_TOS': 'xt_DSCP', 'ip6t_TOS': 'xt_DSCP', 'xt_TOS': 'xt_DSCP'}),
    Renaming('the target is in the match of that name since 2.6.35', others={
        prefix + name.upper(): 'xt_%s' % name for prefix in ('ipt_', 'ip6t_', 'xt_') for name in ('connmark', 'mark', 'set')}),
    Renaming('NOTRACK is in CT since 3.8', others={'ipt_NOTRACK': 'xt_CT', 'ip6t_NOTRACK': 'xt_CT', 'xt_NOTRACK': 'xt_CT'}),
    Renaming('the targets of NAT are in one module', ('ipt_', 'ip6t_', 'xt_'), 'xt_nat', ('DNAT', 'SNAT')),
)

#: Names of what no kernel of today has, and what does its work.
GONE: Mapping[str, str] = {
    'ip6_queue': 'it is gone since 3.5: NFQUEUE does its work (nfnetlink_queue)',
    'ip_queue': 'it is gone since 3.5: NFQUEUE does its work (nfnetlink_queue)',
    'ipt_MIRROR': 'it is gone since 2.6, and nothing takes its place',
    'ipt_QUEUE': 'it is gone since 3.5: NFQUEUE does its work (nfnetlink_queue)',
    'ipt_SAME': 'it is gone since 2.6.25: SNAT does its work (xt_nat)',
    'ipt_ULOG': 'it is gone since 3.17: NFLOG does its work (xt_NFLOG, nfnetlink_log)',
    'ipt_unclean': 'it is gone since 2.6: the connection state INVALID does its work (xt_conntrack)',
}


def _expanded() -> Dict[str, Tuple[str, str]]:
    names: Dict[str, Tuple[str, str]] = {}
    for renaming in RENAMINGS:
        written = {prefix + name: renaming.rule.replace('%s', name) for prefix in renaming.prefixes for name in renaming.names}
        for old, today in {**written, **renaming.others}.items():
            names[old] = (today, renaming.reason)
    return names


#: Old name → today's and why. A name that is in two renamings went the later way.
OLD_NAMES: Mapping[str, Tuple[str, str]] = _expanded()

_TRACKING = 'the rules ask for the state of connections, and the sysctls net.netfilter.nf_conntrack_* are there only once it is loaded'
#: What a profile wants loaded, whatever the policy says. Everything else that rules need is loaded by the kernel with them.
PROFILES: Mapping[str, Sequence[Need]] = {
    'nat_router': (Need('nf_conntrack', _TRACKING),),
    'server': (Need('nf_conntrack', _TRACKING),),
    'workstation': (Need('nf_conntrack', _TRACKING),),
}

_LEGACY = 'iptables-legacy needs it, and the unit that loads the rules at boot may not load modules'
_LEGACY_NAMES = {'ipv4': ('ip_tables', 'iptable_%s'), 'ipv6': ('ip6_tables', 'ip6table_%s')}

#: A helper, by the kernel's name of it, → the module that has it and, where it can be with NAT, the other half.
HELPERS: Mapping[str, Tuple[str, Optional[str]]] = {
    'Q.931': ('nf_conntrack_h323', 'nf_nat_h323'),
    'RAS': ('nf_conntrack_h323', 'nf_nat_h323'),
    'amanda': ('nf_conntrack_amanda', 'nf_nat_amanda'),
    'ftp': ('nf_conntrack_ftp', 'nf_nat_ftp'),
    'irc': ('nf_conntrack_irc', 'nf_nat_irc'),
    'netbios-ns': ('nf_conntrack_netbios_ns', None),
    'pptp': ('nf_conntrack_pptp', 'nf_nat_pptp'),
    'sane': ('nf_conntrack_sane', None),
    'sip': ('nf_conntrack_sip', 'nf_nat_sip'),
    'snmp': ('nf_conntrack_snmp', 'nf_nat_snmp_basic'),
    'tftp': ('nf_conntrack_tftp', 'nf_nat_tftp'),
}

#: A parameter that the kernel rounds up: to as many as fill pages of memory, at so many bytes each.
ROUNDED_UP: Mapping[Tuple[str, str], int] = {('nf_conntrack', 'hashsize'): 8}


def legacy_needs(tables: Sequence[str], families: Sequence[str]) -> List[Need]:
    """What iptables-legacy needs for these tables."""
    return [Need(name, _LEGACY) for family in families if tables
            for name in (_LEGACY_NAMES[family][0], *[_LEGACY_NAMES[family][1] % table for table in tables])]


def helper_needs(helpers: Sequence[str], tables: Sequence[str]) -> List[Need]:
    """What connection tracking helpers need, each by the kernel's name of it. The kernel does not load the half for NAT by itself."""
    needs: List[Need] = []
    for helper in helpers:
        tracking, translating = HELPERS[helper]
        needs.append(Need(tracking, 'a rule assigns the helper %s' % helper))
        if translating and 'nat' in tables:
            needs.append(Need(translating, 'a rule assigns the helper %s, and addresses are rewritten' % helper))
    return needs
