# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From role variables to a policy: merging by name, and names that are nearly right."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import (
    known_variables,
    management_port,
    read_variables,
)


def test_variables_become_a_policy_and_others_stay_out() -> None:
    read = read_variables(
        {
            "firewall_profile": "server",
            "firewall_final": "drop",
            "firewall_icmp": None,
            "firewall_state": "present",
            "firewall_zone_database": 1,
            "other_services": {},
        }
    )
    assert read.profile == "server"
    assert read.policy == {"final": "drop"}


def test_dictionaries_are_merged_by_name_and_by_key() -> None:
    read = read_variables(
        {
            "firewall_services": {"ssh": {"ports": 2222}, "dns": None},
            "firewall_services__office": {"ssh": {"from": ["10.0.0.0/8"]}, "web": {"ports": 80}},
            "firewall_services__shop": {"web": {"ports": 80}},
            "firewall_services__none": None,
        }
    )
    assert read.policy["services"] == {
        "ssh": {"ports": 2222, "from": ["10.0.0.0/8"]},
        "dns": {},
        "web": {"ports": 80},
    }


def test_modules_and_sysctls_are_merged_and_are_no_part_of_the_policy() -> None:
    read = read_variables(
        {
            "firewall_modules": {"nf_conntrack_ftp": None, "sctp": {"state": "blocked"}},
            "firewall_modules__irc": {"nf_conntrack_irc": {"options": "ports=6667"}, "sctp": {"persist": True}},
            "firewall_sysctl": {"net.ipv4.tcp_ecn": 0, "net.ipv4.ip_dynaddr": None},
            "firewall_sysctl__line": {"net.ipv4.ip_dynaddr": 2, "net.ipv4.tcp_ecn": 0, "net.core.bpf_jit_harden": None},
            "firewall_sysctl__none": None,
            "firewall_sysctl_interfaces": {"eth0": {"ipv4.rp_filter": 2}},
            "firewall_sysctl_interfaces__six": {"eth0": {"ipv6.accept_ra": 0}},
        }
    )
    assert read.policy == {}
    assert read.modules == {
        "nf_conntrack_ftp": {},
        "sctp": {"state": "blocked", "persist": True},
        "nf_conntrack_irc": {"options": "ports=6667"},
    }
    assert read.sysctl == {"net.ipv4.tcp_ecn": 0, "net.ipv4.ip_dynaddr": 2, "net.core.bpf_jit_harden": None}
    assert read.sysctl_interfaces == {"eth0": {"ipv4.rp_filter": 2, "ipv6.accept_ra": 0}}


def test_merging_leaves_the_variables_as_they_were() -> None:
    mine = {"ssh": {"ports": 22}}
    read_variables({"firewall_services": mine, "firewall_services__a": {"ssh": {"from": "10.0.0.1"}}})
    assert mine == {"ssh": {"ports": 22}}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"firewall_servces": {}}, "firewall_servces: unknown variable; did you mean 'firewall_services'?"),
        ({"firewall_sysctls": {}}, "firewall_sysctls: unknown variable; did you mean 'firewall_sysctl'?"),
        (
            {"firewall_sysctl": {"net.ipv4.tcp_ecn": 0}, "firewall_sysctl__web": {"net.ipv4.tcp_ecn": 1}},
            "firewall_sysctl__web.net.ipv4.tcp_ecn: says something else than firewall_sysctl.net.ipv4.tcp_ecn",
        ),
        ({"firewall_modules": ["nf_conntrack"]}, "firewall_modules: a dictionary is needed, not a list"),
        ({"firewall_service": {}}, "firewall_service: unknown variable; did you mean 'firewall_services'?"),
        (
            {"firewall_services_web": {}},
            "firewall_services_web: unknown variable; did you mean 'firewall_services__web'?",
        ),
        ({"firewall_service__web": {}}, "firewall_service__web: unknown variable; did you mean 'firewall_services'?"),
        (
            {"firewall_logging_rate": 1},
            "firewall_logging_rate: unknown variable; did you mean 'firewall_logging: {rate: ...}'?",
        ),
        (
            {"firewall_icmp__x": {}},
            "firewall_icmp__x: firewall_icmp takes no additions by name; only firewall_forwards, firewall_lan, firewall_mac_acl, ",
        ),
        ({"firewall_dhcpclient": 1}, "firewall_dhcpclient: unknown variable; did you mean 'firewall_dhcp_client'?"),
        ({"firewall_persit": 1}, "firewall_persit: unknown variable; did you mean 'firewall_persist'?"),
        ({"firewall_besides": []}, "firewall_besides: unknown variable; did you mean 'firewall_beside'?"),
        ({"firewall_persist": "perhaps"}, "firewall_persist: true or false is needed, not 'perhaps'"),
        ({"firewall_beside": ["firewald"]}, "firewall_beside: 'firewald' is none of ferm, firehol, firewalld, "),
        ({"firewall_beside": {"ufw": True}}, "firewall_beside: a list is needed, not a dictionary"),
        ({"firewall_services__a": []}, "firewall_services__a: a dictionary is needed, not a list"),
        ({"firewall_services__a": {"web": 80}}, "firewall_services__a.web: a dictionary is needed, not a number"),
        (
            {"firewall_services__b": {"web": {"ports": 80}}, "firewall_services__a": {"web": {"ports": 81}}},
            "firewall_services__b.web.ports: says something else than firewall_services__a.web.ports",
        ),
    ],
)
def test_what_is_wrong_is_named(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        read_variables(variables)


@pytest.mark.parametrize(
    ("variables", "persist", "beside"),
    [
        ({}, True, ()),
        ({"firewall_persist": None, "firewall_beside": None}, True, ()),
        ({"firewall_persist": "no", "firewall_beside": "nftables"}, False, ("nftables",)),
        ({"firewall_persist": True, "firewall_beside": ["ufw", "nftables", "ufw"]}, True, ("ufw", "nftables")),
    ],
)
def test_persistence_and_its_neighbours(variables: dict[str, Any], persist: bool, beside: tuple[str, ...]) -> None:
    read = read_variables(variables)
    assert (read.persist, read.beside) == (persist, beside)


@pytest.mark.parametrize("name", known_variables())
def test_every_known_variable_is_taken(name: str) -> None:
    read_variables({name: {} if name == "firewall_services" else None})


@pytest.mark.parametrize(
    ("policy", "port"),
    [
        ({}, 2222),
        ({"management": None}, 2222),
        ({"management": {"port": None}}, 2222),
        ({"management": {"port": 22}}, 22),
    ],
)
def test_the_running_connection_gives_the_management_port(policy: dict[str, Any], port: int) -> None:
    assert management_port(policy, 2222)["management"]["port"] == port
