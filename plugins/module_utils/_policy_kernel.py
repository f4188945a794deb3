# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy asks of the kernel around the rules: sysctls that depend on a router's LANs and WANs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import PROFILE as ROUTER

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

#: The values by which sysctl_hardening knows the profiles.
SYSCTL_PROFILES = {"nat_router": "router", "server": "server", "workstation": "workstation"}

FORWARDING_IPV6 = "net.ipv6.conf.all.forwarding"
RP_FILTER = "net.ipv4.conf.all.rp_filter"
DYNAMIC_ADDRESS = "net.ipv4.ip_dynaddr"
ROUTER_ADVERTISEMENTS = "ipv6.accept_ra"


def kernel_sysctls(
    policy: Policy, settings: Mapping[str, Any], interfaces: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The options of sysctl_hardening for `policy`, with the user's `settings` and `interfaces` over what it says by itself."""
    of_interfaces = {name: dict(keys) for name, keys in _router_interfaces(policy).items()}
    for name, keys in interfaces.items():
        of_interfaces.setdefault(name, {}).update(keys)
    return {
        "interfaces": of_interfaces,
        "profile": SYSCTL_PROFILES[policy.profile],
        "settings": {**_router_settings(policy), **settings},
    }


def _router_settings(policy: Policy) -> dict[str, Any]:
    """The router's values where LANs and WANs decide. None leaves a key as it is on the host."""
    if policy.profile != ROUTER:
        return {}
    result: dict[str, Any] = {}
    if 6 not in policy.families:
        result[FORWARDING_IPV6] = None
    if len(_names(wan.interfaces for wan in policy.wans)) > 1:
        # Answers may come in by another WAN than the one that the question left by (RFC 3704).
        result[RP_FILTER] = 2
    if 4 in policy.masquerade and not _all_fixed(policy):
        # The address may change under connections that are about to be opened.
        result[DYNAMIC_ADDRESS] = 2
    return result


def _all_fixed(policy: Policy) -> bool:
    """Whether every WAN has its addresses from firewall_snat, or there is no WAN."""
    return {wan.name for wan in policy.wans} <= {entry.wan for entry in policy.snat if entry.to.family == 4}


def _router_interfaces(policy: Policy) -> dict[str, dict[str, Any]]:
    """Who may tell a router its way: nobody in a LAN; on a WAN whoever may do so today, which forwarding would put an end to."""
    if policy.profile != ROUTER or 6 not in policy.families:
        return {}
    result = {name: {ROUTER_ADVERTISEMENTS: 0} for name in _names(lan.interfaces for lan in policy.lans)}
    result.update({name: {ROUTER_ADVERTISEMENTS: "keep"} for name in _names(wan.interfaces for wan in policy.wans)})
    return result


def _names(groups: Iterable[tuple[str, ...]]) -> list[str]:
    """Interfaces that are named in full: a sysctl has no `eth+`."""
    return [name for group in groups for name in group if not name.endswith("+")]
