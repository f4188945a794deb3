# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The well-known services, by the name that a user writes: protocol → ports. Data only.

A unit test holds the numbers against /etc/services.
"""

from __future__ import annotations

from typing import Any, Mapping

# A service without ports of its own in a protocol (esp, ah, gre) has None there. Ranges are written 'first:last'.
# Passive FTP data connections are RELATED only where a conntrack helper is assigned; `ftp` is the control connection.
WELL_KNOWN: Mapping[str, Mapping[str, Any]] = {
    "bacula_fd": {"tcp": [9102]},
    "bgp": {"tcp": [179]},
    "dhcp_server": {"udp": [67]},
    "dns": {"tcp": [53], "udp": [53]},
    "dns_over_tls": {"tcp": [853]},
    "finger": {"tcp": [79]},
    "ftp": {"tcp": [21]},
    "git": {"tcp": [9418]},
    "http": {"tcp": [80]},
    "http3": {"udp": [443]},
    "https": {"tcp": [443]},
    "ident": {"tcp": [113]},
    "imap": {"tcp": [143]},
    "imaps": {"tcp": [993]},
    "ipp": {"tcp": [631]},
    "ipsec": {"udp": [500, 4500], "esp": None, "ah": None},
    "irc": {"tcp": [6667]},
    "ircs": {"tcp": [6697]},
    "kerberos": {"tcp": [88], "udp": [88]},
    "ldap": {"tcp": [389]},
    "ldaps": {"tcp": [636]},
    "mdns": {"udp": [5353]},
    "mysql": {"tcp": [3306]},
    "nfs": {"tcp": [2049]},
    "node_exporter": {"tcp": [9100]},
    "ntp": {"udp": [123]},
    "openvpn": {"udp": [1194]},
    "pop3": {"tcp": [110]},
    "pop3s": {"tcp": [995]},
    "postgresql": {"tcp": [5432]},
    "puppet": {"tcp": [8140]},
    "radius": {"udp": [1812, 1813]},
    "rdp": {"tcp": [3389]},
    "redis": {"tcp": [6379]},
    "rpcbind": {"tcp": [111], "udp": [111]},
    "rsync": {"tcp": [873]},
    "salt_master": {"tcp": ["4505:4506"]},
    "samba": {"tcp": [139, 445], "udp": ["137:138"]},
    "sip": {"tcp": [5060], "udp": [5060]},
    "smtp": {"tcp": [25]},
    "snmp": {"udp": [161]},
    "snmptrap": {"udp": [162]},
    "squid": {"tcp": [3128]},
    "ssh": {"tcp": [22]},
    "submission": {"tcp": [587]},
    "submissions": {"tcp": [465]},
    "syslog": {"udp": [514]},
    "syslog_tls": {"tcp": [6514]},
    "telnet": {"tcp": [23]},
    "tftp": {"udp": [69]},
    "whois": {"tcp": [43]},
    "wireguard": {"udp": [51820]},
    "xmpp_client": {"tcp": [5222]},
    "xmpp_server": {"tcp": [5269]},
    "zabbix_agent": {"tcp": [10050]},
}
