# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy asks of the kernel: a router's LANs and WANs decide, and the user decides over them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_kernel import kernel_settings
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy

HOME: dict[str, Any] = {
    "lan": {"home": {"interfaces": ["eth1", "wlan+"], "networks": "10.0.0.0/24"}},
    "wan": {"line": {"interfaces": "ppp0"}},
}


def asked(profile: str = "nat_router", settings: Any = None, **policy: Any) -> dict[str, Any]:
    return kernel_settings(read_policy(profile, policy), settings or {})


@pytest.mark.parametrize("profile", ["server", "workstation"])
def test_a_host_that_is_no_router_asks_for_nothing(profile: str) -> None:
    assert asked(profile, **HOME) == {}


def test_a_router_with_one_way_out() -> None:
    assert asked(**HOME) == {"net.ipv4.ip_dynaddr": 2}


def test_a_router_without_any_network() -> None:
    assert asked() == {}


@pytest.mark.parametrize(
    "wan",
    [
        {**HOME["wan"], "spare": {"interfaces": "wwan0"}},
        {"line": {"interfaces": ["ppp0", "ppp1"]}},
        {"line": {"interfaces": "ppp+"}},
    ],
)
def test_several_ways_out_need_the_loose_filter(wan: dict[str, Any]) -> None:
    assert asked(lan=HOME["lan"], wan=wan)["net.ipv4.conf.all.rp_filter"] == 2


def test_a_fixed_address_is_not_dynamic() -> None:
    assert asked(**HOME, snat={"line": {"to": "203.0.113.1"}}) == {}
    assert asked(**HOME, snat={"line": {"to": "2001:db8::1"}}) == {"net.ipv4.ip_dynaddr": 2}
    assert asked(**HOME, masquerade={"ipv4": False}) == {}


def test_a_router_of_ipv4_alone_leaves_ipv6_alone() -> None:
    assert asked(**HOME, families=["ipv4"]) == {"net.ipv6.conf.all.forwarding": None, "net.ipv4.ip_dynaddr": 2}


def test_the_user_has_the_last_word() -> None:
    settings = {"net.ipv4.ip_dynaddr": None, "net.ipv4.tcp_ecn": 0}
    assert asked(settings=settings, **HOME) == settings


@pytest.mark.parametrize("key", ["net.ipv4.conf.*.rp_filter", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/all/rp_filter"])
def test_in_whatever_spelling(key: str) -> None:
    wan = {"line": {"interfaces": "ppp+"}}
    assert asked(settings={key: 1}, wan=wan, lan=HOME["lan"], masquerade={"ipv4": False}) == {key: 1}
