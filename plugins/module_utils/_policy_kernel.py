# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy asks of the kernel around the rules: sysctls that depend on a router's LANs and WANs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import PROFILE as ROUTER

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

#: The values by which sysctl_hardening knows the profiles.
SYSCTL_PROFILES = {"nat_router": "router", "server": "server", "workstation": "workstation"}

FORWARDING_IPV6 = "net.ipv6.conf.all.forwarding"
RP_FILTER = "net.ipv4.conf.all.rp_filter"
DYNAMIC_ADDRESS = "net.ipv4.ip_dynaddr"


def kernel_settings(policy: Policy, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The option `settings` of sysctl_hardening for `policy`, with the user's `settings` over what it says by itself."""
    said = {key.replace("/", ".").replace(".*.", ".all.") for key in settings}
    return {**{key: value for key, value in _router_settings(policy).items() if key not in said}, **settings}


def _router_settings(policy: Policy) -> dict[str, Any]:
    """The router's values where LANs and WANs decide. None leaves a key as it is on the host."""
    if policy.profile != ROUTER:
        return {}
    result: dict[str, Any] = {}
    if 6 not in policy.families:
        result[FORWARDING_IPV6] = None
    if sum(len(wan.interfaces) for wan in policy.wans) > 1 or any(name.endswith("+") for wan in policy.wans for name in wan.interfaces):
        # Answers may come in by another WAN than the one that the question left by (RFC 3704).
        result[RP_FILTER] = 2
    if 4 in policy.masquerade and not _all_fixed(policy):
        # The address may change under connections that are about to be opened.
        result[DYNAMIC_ADDRESS] = 2
    return result


def _all_fixed(policy: Policy) -> bool:
    """Whether every WAN has its addresses from firewall_snat, or there is no WAN."""
    return {wan.name for wan in policy.wans} <= {entry.wan for entry in policy.snat if entry.to.family == 4}
