# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever forgets a neighbour's address on the wire finds it again, in each profile: IPv6 asks by ICMPv6, which rules could drop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import PROFILES

from .support.host import FAMILIES, Host
from .support.wire import NEIGHBOUR, OWN, cable, connect, flush_neighbours, listening

#: A profile with nothing but a service added, and the strictest that there is.
STRICTNESS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "strict": {"icmp": {"types": []}, "final": "drop", "dhcp_client": False, "outbound": {"policy": "drop", "services": {"http": {}}}},
}


@pytest.fixture
def neighbour(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a neighbour of `host` on its eth0."""
    there = new_host()
    cable(host, there)
    return there


@pytest.mark.parametrize("strictness", STRICTNESS)
@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_service_answers_after_the_neighbours_are_forgotten(
    host: Host, neighbour: Host, family: str, profile: str, strictness: str
) -> None:
    policy = {"services": {"https": {}}, **STRICTNESS[strictness]}
    host.apply(tables=compile_policy(profile, policy).tables)
    with listening(host, 443), listening(neighbour, 80):
        for _time in range(2):
            flush_neighbours(host, neighbour)
            assert connect(neighbour, OWN[family], 443) == "accepted"
            flush_neighbours(host, neighbour)
            assert connect(host, NEIGHBOUR[family], 80) == "accepted"


def test_without_neighbour_discovery_it_would_not(host: Host, neighbour: Host) -> None:
    """The test above can fail: rules that only think of IPv4 pass as long as the cache is warm."""
    with listening(host, 443):
        assert connect(neighbour, OWN["ipv6"], 443) == "accepted"
        host.restore("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n", family="ipv6")
        assert connect(neighbour, OWN["ipv6"], 443) == "accepted"
        flush_neighbours(host, neighbour)
        assert connect(neighbour, OWN["ipv6"], 443) == "silence"
