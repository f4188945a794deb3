# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The well-known services, by the name that a user writes: protocol → ports; and the helpers of connection tracking. Data only.

A unit test holds the numbers against /etc/services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

# A service without ports of its own in a protocol (esp, ah, gre) has None there. Ranges are written 'first:last'.
# `ftp` is the control connection: its data connections are RELATED where a helper is assigned.
WELL_KNOWN: Mapping[str, Mapping[str, Any]] = {
    "amanda": {"tcp": [10080], "udp": [10080]},
    "amqp": {"tcp": [5672]},
    "bacula_dir": {"tcp": [9101]},
    "bacula_fd": {"tcp": [9102]},
    "bacula_sd": {"tcp": [9103]},
    "bgp": {"tcp": [179]},
    "dhcp_server": {"udp": [67]},
    "dhcpv6_server": {"udp": [547]},
    "distcc": {"tcp": [3632]},
    "dns": {"tcp": [53], "udp": [53]},
    "dns_over_tls": {"tcp": [853]},
    "finger": {"tcp": [79]},
    "ftp": {"tcp": [21]},
    "ftps": {"tcp": [990]},
    "git": {"tcp": [9418]},
    "http": {"tcp": [80]},
    "http3": {"udp": [443]},
    "http_alt": {"tcp": [8080]},
    "https": {"tcp": [443]},
    "ident": {"tcp": [113]},
    "imap": {"tcp": [143]},
    "imaps": {"tcp": [993]},
    "ipp": {"tcp": [631]},
    "ipsec": {"udp": [500, 4500], "esp": None, "ah": None},
    "irc": {"tcp": [6667]},
    "ircs": {"tcp": [6697]},
    "iscsi": {"tcp": [3260]},
    "kerberos": {"tcp": [88], "udp": [88]},
    "kerberos_admin": {"tcp": [749]},
    "kpasswd": {"tcp": [464], "udp": [464]},
    "l2tp": {"udp": [1701]},
    "ldap": {"tcp": [389]},
    "ldaps": {"tcp": [636]},
    "managesieve": {"tcp": [4190]},
    "mdns": {"udp": [5353]},
    "mssql": {"tcp": [1433]},
    "munin": {"tcp": [4949]},
    "mysql": {"tcp": [3306]},
    "nfs": {"tcp": [2049]},
    "nntp": {"tcp": [119]},
    "node_exporter": {"tcp": [9100]},
    "nrpe": {"tcp": [5666]},
    "ntp": {"udp": [123]},
    "nts_ke": {"tcp": [4460]},
    "nut": {"tcp": [3493]},
    "openvpn": {"udp": [1194]},
    "pop3": {"tcp": [110]},
    "pop3s": {"tcp": [995]},
    "postgresql": {"tcp": [5432]},
    "printer": {"tcp": [515]},
    "puppet": {"tcp": [8140]},
    "radius": {"udp": [1812, 1813]},
    "rdp": {"tcp": [3389]},
    "redis": {"tcp": [6379]},
    "rpcbind": {"tcp": [111], "udp": [111]},
    "rsync": {"tcp": [873]},
    "rtsp": {"tcp": [554]},
    "salt_master": {"tcp": ["4505:4506"]},
    "samba": {"tcp": [139, 445], "udp": ["137:138"]},
    "samba_browsing": {"udp": ["1025:65535"]},
    "sane": {"tcp": [6566]},
    "sip": {"tcp": [5060], "udp": [5060]},
    "sips": {"tcp": [5061]},
    "smtp": {"tcp": [25]},
    "snmp": {"udp": [161]},
    "snmptrap": {"udp": [162]},
    "socks": {"tcp": [1080]},
    "squid": {"tcp": [3128]},
    "ssh": {"tcp": [22]},
    "submission": {"tcp": [587]},
    "submissions": {"tcp": [465]},
    "svn": {"tcp": [3690]},
    "syslog": {"udp": [514]},
    "syslog_tls": {"tcp": [6514]},
    "tacacs": {"tcp": [49]},
    "telnet": {"tcp": [23]},
    "tftp": {"udp": [69]},
    "traceroute": {"udp": ["33434:33534"]},
    "whois": {"tcp": [43]},
    "wireguard": {"udp": [51820]},
    "x11": {"tcp": ["6000:6063"]},
    "xmpp_client": {"tcp": [5222]},
    "xmpp_server": {"tcp": [5269]},
    "zabbix_agent": {"tcp": [10050]},
    "zabbix_server": {"tcp": [10051]},
}

# Services whose clients (or, for samba_browsing, whose servers) send from one port. Whoever sends from it is let in to any
# high port, which is why samba_browsing is in no profile.
SOURCE_PORTS: Mapping[str, tuple[Any, ...]] = {
    "samba_browsing": (138,),
}


@dataclass(frozen=True)
class HelperPort:
    """Where a helper listens. `helper` is the kernel's name for it."""

    helper: str
    protocol: str
    port: int
    families: tuple[int, ...] = (4, 6)


# What each helper reads, as the kernel registers it (net/netfilter/nf_conntrack_*.c). pptp, irc and the two that follow
# answers to broadcasts know IPv4 only. The NAT half of a helper is a module of its own (nf_nat_ftp and so on).
HELPERS: Mapping[str, tuple[HelperPort, ...]] = {
    "amanda": (HelperPort("amanda", "udp", 10080),),
    "ftp": (HelperPort("ftp", "tcp", 21),),
    "h323": (HelperPort("RAS", "udp", 1719), HelperPort("Q.931", "tcp", 1720)),
    "irc": (HelperPort("irc", "tcp", 6667, families=(4,)),),
    "netbios_ns": (HelperPort("netbios-ns", "udp", 137, families=(4,)),),
    "pptp": (HelperPort("pptp", "tcp", 1723, families=(4,)),),
    "sane": (HelperPort("sane", "tcp", 6566),),
    "sip": (HelperPort("sip", "tcp", 5060), HelperPort("sip", "udp", 5060)),
    "snmp": (HelperPort("snmp", "udp", 161, families=(4,)),),
    "tftp": (HelperPort("tftp", "udp", 69),),
}

# The helper that `helper: true` means for a service. netbios_ns and snmp are none of them: they expect the answers to
# broadcasts that a host sends, so they are for firewall_helpers alone.
SERVICE_HELPERS: Mapping[str, str] = {
    "amanda": "amanda",
    "ftp": "ftp",
    "irc": "irc",
    "sane": "sane",
    "sip": "sip",
    "tftp": "tftp",
}
