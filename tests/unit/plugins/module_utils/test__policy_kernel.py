# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy asks of the kernel: a router's LANs and WANs decide, and the user decides over them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_kernel import kernel_sysctls
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy

HOME: dict[str, Any] = {
    "lan": {"home": {"interfaces": ["eth1", "wlan+"], "networks": "10.0.0.0/24"}},
    "wan": {"line": {"interfaces": "ppp0"}},
}


def asked(profile: str = "nat_router", settings: Any = None, interfaces: Any = None, **policy: Any) -> dict[str, Any]:
    return kernel_sysctls(read_policy(profile, policy), settings or {}, interfaces or {})


@pytest.mark.parametrize("profile", ["server", "workstation"])
def test_a_host_that_is_no_router_asks_for_its_profile_alone(profile: str) -> None:
    assert asked(profile, **HOME) == {"profile": profile, "settings": {}, "interfaces": {}}


def test_a_router_with_one_way_out() -> None:
    assert asked(**HOME) == {
        "profile": "router",
        "settings": {"net.ipv4.ip_dynaddr": 2},
        "interfaces": {"eth1": {"ipv6.accept_ra": 0}, "ppp0": {"ipv6.accept_ra": "keep"}},
    }


def test_a_router_without_any_network() -> None:
    assert asked() == {"profile": "router", "settings": {}, "interfaces": {}}


def test_several_ways_out_need_the_loose_filter() -> None:
    two = {**HOME, "wan": {**HOME["wan"], "spare": {"interfaces": "wwan0"}}}
    assert asked(**two)["settings"]["net.ipv4.conf.all.rp_filter"] == 2
    bonded = {**HOME, "wan": {"line": {"interfaces": ["ppp0", "ppp1"]}}}
    assert asked(**bonded)["settings"]["net.ipv4.conf.all.rp_filter"] == 2


def test_a_fixed_address_is_not_dynamic() -> None:
    assert asked(**HOME, snat={"line": {"to": "203.0.113.1"}})["settings"] == {}
    assert asked(**HOME, snat={"line": {"to": "2001:db8::1"}})["settings"] == {"net.ipv4.ip_dynaddr": 2}
    assert asked(**HOME, masquerade={"ipv4": False})["settings"] == {}


def test_a_router_of_ipv4_alone_leaves_ipv6_alone() -> None:
    assert asked(**HOME, families=["ipv4"]) == {
        "profile": "router",
        "settings": {"net.ipv6.conf.all.forwarding": None, "net.ipv4.ip_dynaddr": 2},
        "interfaces": {},
    }


def test_the_user_has_the_last_word() -> None:
    settings = {"net.ipv4.ip_dynaddr": None, "net.ipv4.tcp_ecn": 0}
    mine = asked(settings=settings, interfaces={"ppp0": {"ipv6.accept_ra": 2}, "eth1": {"ipv4.rp_filter": 1}}, **HOME)
    assert mine["settings"] == {"net.ipv4.ip_dynaddr": None, "net.ipv4.tcp_ecn": 0}
    assert mine["interfaces"] == {"eth1": {"ipv6.accept_ra": 0, "ipv4.rp_filter": 1}, "ppp0": {"ipv6.accept_ra": 2}}
