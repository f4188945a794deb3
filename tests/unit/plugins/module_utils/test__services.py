# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The well-known services, against what the machine itself knows: /etc/services through the C library."""

from __future__ import annotations

import socket
from typing import Iterator

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import PROTOCOLS
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import name, port_range
from ansible_collections.palisade.netfilter.plugins.module_utils._services import WELL_KNOWN

# Our name, where it is another one than the registered, and the registered names of services with several ports.
REGISTERED = {
    "bacula_dir": ["bacula-dir"],
    "bacula_fd": ["bacula-fd"],
    "bacula_sd": ["bacula-sd"],
    "dhcp_server": ["bootps"],
    "dhcpv6_server": ["dhcpv6-server"],
    "dns": ["domain"],
    "dns_over_tls": ["domain-s"],
    "http3": ["https"],
    "http_alt": ["http-alt"],
    "imap": ["imap2"],
    "ident": ["auth"],
    "ipsec": ["isakmp", "ipsec-nat-t"],
    "irc": ["ircd"],
    "ircs": ["ircs-u"],
    "iscsi": ["iscsi-target"],
    "kerberos": ["kerberos"],
    "kerberos_admin": ["kerberos-adm"],
    "l2tp": ["l2f"],
    "managesieve": ["sieve"],
    "mssql": ["ms-sql-s"],
    "nts_ke": ["ntske"],
    "radius": ["radius", "radius-acct"],
    "rdp": ["ms-wbt-server"],
    "rpcbind": ["sunrpc"],
    "samba": ["netbios-ssn", "microsoft-ds", "netbios-ns", "netbios-dgm"],
    "sane": ["sane-port"],
    "sips": ["sip-tls"],
    "snmptrap": ["snmp-trap"],
    "syslog_tls": ["syslog-tls"],
    "x11": [f"x11{suffix}" for suffix in ("", *(f"-{number}" for number in range(1, 8)))],
    "xmpp_client": ["xmpp-client"],
    "xmpp_server": ["xmpp-server"],
    "zabbix_agent": ["zabbix-agent"],
    "zabbix_server": ["zabbix-trapper"],
}

# In use for so long that everybody knows them; netbase does not list them, or not under this protocol.
UNLISTED = {"node_exporter", "salt_master", "squid", "traceroute", "wireguard"}

# No registered service: what Samba's browsing needs, any port that somebody else's port 138 sends to.
UNREGISTRABLE = {"samba_browsing"}


def numbers(service: str) -> Iterator[tuple[str, int]]:
    for protocol, ports in WELL_KNOWN[service].items():
        for port in ports or ():
            spread = port_range(port, service)
            yield from ((protocol, number) for number in range(spread.first, spread.last + 1))


def known(protocol: str, port: int) -> str:
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return ""


@pytest.mark.parametrize("service", sorted(set(WELL_KNOWN) - UNLISTED - UNREGISTRABLE))
def test_the_machine_knows_the_port_by_that_name(service: str) -> None:
    names = REGISTERED.get(service, [service])
    found = {known(protocol, port) for protocol, port in numbers(service)} - {""}
    assert found, f"no port of {service} is in /etc/services"
    assert found <= set(names)


@pytest.mark.parametrize("service", sorted(WELL_KNOWN))
def test_each_service_compiles_by_its_name_alone(service: str) -> None:
    rules = compile_policy("server", {"services": {service: {}}}).tables["filter"]["INPUT"]["rules"]
    assert any(f'"firewall_services.{service}"' in rule for rule in rules)


@pytest.mark.parametrize("service", sorted(WELL_KNOWN))
def test_each_service_is_well_formed(service: str) -> None:
    assert name(service, "here") == service
    assert set(WELL_KNOWN[service]) <= set(PROTOCOLS)
