# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that the role uses: one sentence for what is wrong, and no host touched."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ansible")

from ansible.errors import AnsibleFilterError
from ansible_collections.palisade.netfilter.plugins.filter.firewall import (
    FilterModule,
    firewall_lockout,
    firewall_policy,
    firewall_rules,
)


def read(connection: str = "ssh", port: Any = 22, **variables: Any) -> dict[str, Any]:
    return firewall_policy({"firewall_profile": "server", **variables}, connection=connection, port=port)


def test_a_policy_that_is_right() -> None:
    assert read(firewall_final="drop", firewall_beside=["nftables"]) == {
        "access": "open",
        "beside": ["nftables"],
        "modules": [],
        "persist": True,
        "policy": {"final": "drop", "management": {"port": 22}},
        "problem": "",
        "profile": "server",
        "sysctl": {"compliance": "none", "interfaces": {}, "profile": "server", "settings": {}},
    }


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"firewall_final": "no"}, "firewall_final: 'no' is none of policy, drop, reject"),
        ({"firewall_profile": None}, "firewall_profile: None is no profile (known: nat_router, server, workstation)"),
        ({"firewall_beside": ["ufv"]}, "firewall_beside: 'ufv' is none of ferm, firehol, firewalld, ip6tables, iptables, "
         "netfilter-persistent, nftables, shorewall, shorewall6, ufw; did you mean 'ufw'?"),
        ({"firewall_persist": "perhaps"}, "firewall_persist: true or false is needed, not 'perhaps'"),
        ({"port": "many"}, "firewall_management.port: a whole number is needed, not 'many'"),
    ],
)
def test_what_is_wrong_is_one_sentence(variables: dict[str, Any], problem: str) -> None:
    assert read(**variables)["problem"] == problem


@pytest.mark.parametrize(
    "connection", ["ssh", "ansible.builtin.ssh", "smart", "ansible.netcommon.libssh", "paramiko_ssh"]
)
def test_ssh_is_guarded(connection: str) -> None:
    closed = read(connection, "2222")
    assert "Nothing in the policy lets Ansible's own connection back in (tcp port 2222)." in firewall_lockout(
        closed, "", "2222"
    )
    assert "`firewall_services: {ssh: {ports: 2222}}`" in firewall_lockout(closed, "", "2222")
    assert not firewall_lockout(read(connection), "", 22)


@pytest.mark.parametrize("connection", ["local", "community.docker.docker", "chroot"])
def test_what_is_no_ssh_is_not(connection: str) -> None:
    assert not firewall_lockout(read(connection, 2222), "", 2222)


def test_a_source_list_is_held_against_the_address() -> None:
    limited = read(firewall_services={"ssh": {"from": ["10.0.0.0/8"]}})
    assert limited["access"] == "limited"
    assert not firewall_lockout(limited, "10.0.0.9 50000 10.0.0.1 22")
    assert not firewall_lockout(limited, "")
    message = firewall_lockout(limited, "192.0.2.9 50000 10.0.0.1 22")
    assert message.startswith(
        "Nothing in the policy lets 192.0.2.9 back in, from which Ansible is connected to tcp port 22."
    )
    assert "`firewall_management: {from: [192.0.2.9]}`" in message


def test_rules_are_shown_or_refused_in_words() -> None:
    assert "-A INPUT -p tcp -m tcp --dport 443 " in firewall_rules({"services": {"https": {}}})
    with pytest.raises(AnsibleFilterError, match=r"firewall_services\.web: "):
        firewall_rules({"services": {"web": {}}})


@pytest.mark.parametrize(("profile", "ssh"), [("server", True), ("workstation", False), ("nat_router", True)])
def test_each_profile_can_be_looked_at(profile: str, ssh: bool) -> None:
    shown = firewall_rules({"outbound": {"policy": "drop"}, "redirects": {"web": {"port": 80, "to_port": 8080}}}, profile=profile)
    assert ('"firewall_services.ssh"' in shown) is ssh
    assert ":OUTPUT DROP [0:0]\n" in shown
    assert [line for line in shown.splitlines() if line.startswith("*")] == ["*nat", "*filter"]


def test_every_filter_is_there() -> None:
    assert set(FilterModule().filters()) == {"firewall_lockout", "firewall_policy", "firewall_rules"}
