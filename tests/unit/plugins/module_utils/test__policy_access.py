# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a policy lets the operator back in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_access import (
    CLOSED,
    LIMITED,
    OPEN,
    access,
    admits,
    read_ssh_connection,
    unsure,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy


def services(**entries: Any) -> dict[str, Any]:
    return {"services": entries}


MAC = "02:00:5e:00:53:01"
NEAR = "10.0.0.7 50000 10.0.0.1 22"
FAR = "203.0.113.9 50000 10.0.0.1 22"
NEAR6 = "2001:db8::7 50000 2001:db8::1 22"


@pytest.mark.parametrize(
    ("policy", "verdict", "near", "far", "near6"),
    [
        ({}, OPEN, True, True, True),
        (services(ssh={"state": "absent"}), CLOSED, False, False, False),
        (services(ssh={"ports": 2222}), CLOSED, False, False, False),
        (services(ssh={"ports": "20-30"}), OPEN, True, True, True),
        (services(ssh={"interfaces": "lan0"}), OPEN, True, True, True),
        (services(ssh={"from": "10.0.0.0/8"}), LIMITED, True, False, False),
        (services(ssh={"from": ["10.0.0.1-10.0.0.9", "2001:db8::/64"]}), LIMITED, True, False, True),
        (services(bad={"ports": 22, "from": "10.0.0.7", "action": "drop"}), LIMITED, False, True, True),
        (services(ssh={"action": "reject"}), CLOSED, False, False, False),
        (services(ssh={"protocols": "udp", "ports": 22}), CLOSED, False, False, False),
        ({**services(ssh={"state": "absent"}), "management": {"from": "10.0.0.0/24"}}, LIMITED, True, False, False),
        (
            {**services(ssh={"state": "absent"}), "management": {"from": "10.0.0.0/24", "port": 23}},
            CLOSED,
            False,
            False,
            False,
        ),
        ({**services(ssh={"from": "10.0.0.7"}), "families": "ipv4"}, LIMITED, True, False, True),
        (services(ssh={"knock": ["udp/1", "udp/2"]}), CLOSED, False, False, False),
        (services(ssh={"knock": ["udp/1", "udp/2"]}, jump={"ports": 22, "from": "10.0.0.7"}), LIMITED, True, False, False),
        (services(ssh={"rate_limit": {"hits": 1}}), OPEN, True, True, True),
        ({**services(ssh={"state": "absent"}), "trusted": {"me": {"from": "10.0.0.7", "mac": MAC}}}, LIMITED, True, False, False),
        ({**services(ssh={"state": "absent"}), "trusted": {"me": {"mac": MAC}}}, CLOSED, False, False, False),
        (
            {**services(bad={"ports": 22, "from": "10.0.0.7", "action": "drop"}), "trusted": {"me": {"from": "10.0.0.7"}}},
            LIMITED,
            True,
            True,
            True,
        ),
    ],
)
def test_who_gets_in(policy: dict[str, Any], verdict: str, near: bool, far: bool, near6: bool) -> None:
    read = read_policy("server", policy)
    assert access(read, 22) == verdict
    for connection, admitted in ((NEAR, near), (FAR, far), (NEAR6, near6)):
        client = read_ssh_connection(connection)
        assert client is not None
        assert admits(read, client) is admitted


def redirect(**entry: Any) -> dict[str, Any]:
    return {"redirects": {"one": entry}}


@pytest.mark.parametrize(
    ("policy", "verdict", "near", "far"),
    [
        (redirect(port=2222, to_port=22), LIMITED, True, True),
        (redirect(port=2222, to_port=22, **{"from": "10.0.0.0/8"}), LIMITED, True, False),
        (redirect(port=2222, to_port=22, protocols="udp"), CLOSED, False, False),
        (redirect(port=80, to_port=8080), CLOSED, False, False),
        ({**redirect(port="20-30", to_port=2222), **services(ssh={})}, LIMITED, False, False),
        ({**redirect(port=22, to_port=2222, **{"from": "10.0.0.0/8"}), **services(ssh={})}, LIMITED, False, True),
        ({**redirect(port=22, to_port=2222, interfaces="eth1"), **services(ssh={})}, LIMITED, True, True),
        ({**redirect(port=80, to_port=8080), **services(ssh={})}, OPEN, True, True),
    ],
)
def test_who_gets_in_where_ports_lead_to_others(policy: dict[str, Any], verdict: str, near: bool, far: bool) -> None:
    read = read_policy("workstation", policy)
    assert access(read, 22) == verdict
    for connection, admitted in ((NEAR, near), (FAR, far)):
        client = read_ssh_connection(connection)
        assert client is not None
        assert admits(read, client) is admitted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.7 50000 10.0.0.1 2222\r\n", ("10.0.0.7", 2222)),
        ("fe80::1%eth0 50000 fe80::2%eth0 22", ("fe80::1", 22)),
        ("::ffff:10.0.0.7 50000 ::ffff:10.0.0.1 22", ("10.0.0.7", 22)),
        ("", None),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
        ("10.0.0.7 50000 10.0.0.1 ssh", None),
    ],
)
def test_reading_ssh_connection(text: str, expected: tuple[str, int] | None) -> None:
    client = read_ssh_connection(text)
    assert (None if client is None else (str(client.address), client.port)) == expected


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, ""),
        (services(ssh={"knock": ["udp/1", "udp/2"]}), "firewall_services.ssh opens after knocks, and Ansible does not knock."),
        ({"trusted": {"me": {"mac": MAC}}}, "Whether the network card is one of firewall_trusted.me cannot be told from here."),
        ({"trusted": {"me": {"mac": MAC, "from": "10.0.0.7"}}}, ""),
        ({"rules": {"after": {"filter": {"INPUT": ["-j ACCEPT"]}}}}, "What firewall_rules lets in is not known here."),
        ({"rules": {"after": {"filter": {"FORWARD": ["-j ACCEPT"], "INPUT": ["-j LOG"]}}}}, ""),
    ],
)
def test_what_cannot_be_known_is_said(policy: dict[str, Any], said: str) -> None:
    assert unsure(read_policy("server", policy), 22) == said
