# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trusted hosts, quiet lists and spoofed sources: what they come to, and what is refused in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

MAC = "02:00:5e:00:53:01"


def rules(**policy: Any) -> list[str]:
    """Return INPUT's rules that come from a variable of this part, without their comments."""
    found = compile_policy("server", policy).tables["filter"]["INPUT"]["rules"]
    ours = [rule for rule in found if re.search(r"firewall_(trusted|quiet|antispoof)", rule)]
    return [re.sub(r' -m comment --comment ("[^"]*"|\S+)', "", rule) for rule in ours]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"from": "10.0.0.1"}, ["-4 -s 10.0.0.1/32 -j ACCEPT"]),
        ({"mac": "02-00-5E-00-53-01"}, [f"-m mac --mac-source {MAC} -j ACCEPT"]),
        (
            {"mac": MAC, "from": ["10.0.0.1", "2001:db8::1"]},
            [f"-4 -s 10.0.0.1/32 -m mac --mac-source {MAC} -j ACCEPT", f"-6 -s 2001:db8::1/128 -m mac --mac-source {MAC} -j ACCEPT"],
        ),
        ({"mac": [MAC, MAC], "interfaces": ["a", "b"]}, [f"-i {name} -m mac --mac-source {MAC} -j ACCEPT" for name in "ab"]),
        ({"from": ["10.0.0.1", "10.0.0.3"], "mac": MAC}, [f"-4 -m mac --mac-source {MAC} -j trust-me"]),
        ({"from": "0.0.0.0/0", "interfaces": "lan0"}, ["-4 -i lan0 -j ACCEPT"]),
        ({"state": "absent"}, []),
        ({"from": "10.0.0.1", "state": "absent"}, []),
    ],
)
def test_a_trusted_host_comes_to(entry: dict[str, Any], expected: list[str]) -> None:
    assert rules(trusted={"me": entry}) == expected


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("cups", {"ports": {"udp": 631}, "source_ports": 631}, ["-p udp -m udp --sport 631 --dport 631 -j DROP"]),
        ("nfs", {}, ["-p tcp -m tcp --dport 2049 -j DROP"]),
        ("nfs", {"from": "10.0.0.1"}, ["-4 -s 10.0.0.1/32 -p tcp -m tcp --dport 2049 -j DROP"]),
        ("x", {"from": ["10.0.0.1", "10.0.0.2"]}, ["-4 -s 10.0.0.1/32 -j DROP", "-4 -s 10.0.0.2/32 -j DROP"]),
        ("x", {"protocols": ["esp", "udp"]}, ["-p esp -j DROP", "-p udp -j DROP"]),
        ("x", {"source_ports": 138}, ["-p tcp -m tcp --sport 138 -j DROP", "-p udp -m udp --sport 138 -j DROP"]),
        ("x", {"source_ports": 138, "protocols": "udp"}, ["-p udp -m udp --sport 138 -j DROP"]),
        ("x", {"to": "broadcast"}, ["-4 -m addrtype --dst-type BROADCAST -j DROP"]),
        (
            "x",
            {"to": ["multicast", "ff02::1", "10.0.0.255"]},
            ["-m addrtype --dst-type MULTICAST -j DROP", "-6 -d ff02::1/128 -j DROP", "-4 -d 10.0.0.255/32 -j DROP"],
        ),
        (
            "x",
            {"to": ["10.0.0.255", "10.0.0.1-10.0.0.3"], "from": ["10.0.0.1", "::1"]},
            ["-4 -s 10.0.0.1/32 -d 10.0.0.255/32 -j DROP", "-4 -s 10.0.0.1/32 -m iprange --dst-range 10.0.0.1-10.0.0.3 -j DROP"],
        ),
        ("x", {"ports": 1, "interfaces": ["a", "b"]}, [f"-i {name} -p tcp -m tcp --dport 1 -j DROP" for name in "ab"]),
        ("nfs", {"state": "absent"}, []),
    ],
)
def test_noise_comes_to(name: str, entry: dict[str, Any], expected: list[str]) -> None:
    assert rules(quiet={name: entry}) == expected


def test_antispoof_has_a_chain_for_the_families_it_has_networks_of() -> None:
    assert rules(antispoof={"interfaces": []}) == rules() == []
    assert rules(antispoof={"interfaces": ["wan0", "ppp+"]}) == ["-i wan0 -j antispoof", "-i ppp+ -j antispoof"]
    assert rules(antispoof={"interfaces": "wan0", "networks": "10.0.0.0/8"}) == ["-4 -i wan0 -j antispoof"]
    chain = compile_policy("server", {"antispoof": {"interfaces": "wan0", "networks": "10.0.0.0/8"}, "dhcp_client": False}).tables["filter"][
        "antispoof"
    ]
    assert chain["rules"] == ["-4 -s 10.0.0.0/8 -j DROP"]


def test_spoofed_sources_are_dropped_ahead_of_whoever_is_trusted_and_behind_management() -> None:
    found = compile_policy(
        "server", {"antispoof": {"interfaces": "wan0"}, "trusted": {"me": {"mac": MAC}}, "management": {"from": "10.0.0.1"}}
    ).tables
    order = [
        word for rule in found["filter"]["INPUT"]["rules"] for word in ("management", "antispoof", "trusted", "icmp") if f"firewall_{word}" in rule
    ]
    assert order == ["management", "antispoof", "trusted", "icmp", "icmp"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"trusted": {"me": {}}}, "firewall_trusted.me: who is meant? It needs `from` (addresses), `mac`, or both"),
    ({"trusted": {"me": {"interfaces": "lan0"}}}, "firewall_trusted.me: who is meant?"),
    ({"trusted": {"me": {"from": []}}}, "firewall_trusted.me.from: the list is empty"),
    ({"trusted": {"me": {"from": ["0.0.0.0/0"]}}}, "firewall_trusted.me.from: this trusts everybody"),
    ({"trusted": {"me": {"mac": []}}}, "firewall_trusted.me.mac: the list is empty"),
    ({"trusted": {"me": {"mac": "02:00:5e:00:53"}}}, "firewall_trusted.me.mac: '02:00:5e:00:53' is no MAC address"),
    ({"trusted": {"me": {"mac": "ff:ff:ff:ff:ff:ff"}}}, "firewall_trusted.me.mac: 'ff:ff:ff:ff:ff:ff' is the address of no single network card"),
    ({"trusted": {"me": {"mac": 8586206006}}}, "firewall_trusted.me.mac: YAML has read a MAC address as the number 8586206006; put it in quotes"),
    ({"trusted": {"me": {"mca": MAC}}}, "firewall_trusted.me.mca: unknown key; did you mean 'mac'?"),
    ({"trusted": {"m e": {"mac": MAC}}}, "firewall_trusted.m e: 'm e' is no name"),
    ({"trusted": {"me": {"from": "::1"}}, "families": "ipv4"}, "firewall_trusted.me.from: ::1/128 is IPv6, and firewall_families leaves that out"),
    ({"quiet": {"noise": {}}}, "firewall_quiet.noise: 'noise' is no well-known service, so it needs one of"),
    (
        {"quiet": {"sambaa": {}}},
        "firewall_quiet.sambaa: 'sambaa' is no well-known service, so it needs one of from, interfaces, ports, protocols, source_ports, to; did",
    ),
    ({"quiet": {"noise": {"ports": "90:80"}}}, "firewall_quiet.noise.ports: the range '90:80' runs backwards"),
    ({"quiet": {"noise": {"protocols": "igmp"}}}, "firewall_quiet.noise.protocols: 'igmp' is none of"),
    ({"quiet": {"noise": {"protocols": [{}]}}}, "firewall_quiet.noise.protocols: {} is none of"),
    ({"quiet": {"noise": {"protocols": "esp", "source_ports": 1}}}, "firewall_quiet.noise.source_ports: only tcp, udp and sctp"),
    ({"quiet": {"noise": {"to": "everybody"}}}, "firewall_quiet.noise.to: 'everybody' is no address"),
    ({"quiet": {"noise": {"to": []}}}, "firewall_quiet.noise.to: the list is empty"),
    ({"quiet": {"noise": {"to": "broadcast"}}, "families": "ipv6"}, "firewall_quiet.noise.to: there is broadcast in IPv4 only"),
    ({"antispoof": {"networks": ["10.0.0.0/8"]}}, "firewall_antispoof.interfaces: name the interfaces"),
    ({"antispoof": {"interfaces": "a b"}}, "firewall_antispoof.interfaces: 'a b' is no interface name"),
    ({"antispoof": {"interface": "wan0"}}, "firewall_antispoof.interface: unknown key; did you mean 'interfaces'?"),
    ({"antispoof": {"interfaces": "wan0", "networks": ["10.0.0.1/8"]}}, "firewall_antispoof.networks: '10.0.0.1/8' is an address inside a network"),
]


@pytest.mark.parametrize(("policy", "message"), BAD)
def test_what_is_wrong_is_named(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        compile_policy("server", policy)
