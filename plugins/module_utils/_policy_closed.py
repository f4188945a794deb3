# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a policy when a host has to boot without it: the operator gets in, nobody else does. Pure, writes no rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Icmp, Policy, Service
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_outbound import Outbound
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_raw import kept_refusals
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_redirects import Redirect
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import Lan, offered_to
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, merged

# The service that an operator comes in by, whatever its port: the management port is a guess of the role's where nobody names it.
ACCESS = "ssh"


def closed(policy: Policy) -> Policy:
    """The policy without anything but what the host itself lives by and management access.

    Management access is `management` where it names sources. Where it does not, it is the service ssh and whatever other
    service the policy has on the management port, in the policy's order and with its refusals, knocks and rates, and trusted hosts on that
    port. It never lets in a packet that the policy itself would refuse: what refuses spoofed sources stays, and refusals among the user's own
    rules stay as far as any host can load them. Where the policy offers no access, nobody new gets in. A router keeps its lists
    of hosts (firewall_mac_acl) and forwards nothing.
    """
    refusals = kept_refusals(policy.raw)
    port = PortRange(policy.management.port, policy.management.port)
    # Where a rule of the user's may refuse what we cannot tell, management alone is sure to be let in by the policy.
    sure = not policy.management.sources and refusals is not None
    return replace(
        policy,
        outbound=_without_users(policy.outbound),
        redirects=tuple(item for item in policy.redirects if refusals is not None and _leads_to_access(item, policy)),
        helpers=(),
        trusted=tuple(replace(one, port=port) for one in policy.trusted) if sure else (),
        quiet=(),
        raw=refusals or (),
        icmp=Icmp(types=(), echo_rate=None),
        services=_access(policy.services, policy) if sure else (),
        lans=tuple(_closed_lan(lan, _access(offered_to(lan), policy) if sure else ()) for lan in policy.lans),
        wans=(),
        forwards=(),
        logging=replace(policy.logging, enabled=False, invalid=False),
        final="policy",
    )


def _closed_lan(lan: Lan, services: tuple[Service, ...]) -> Lan:
    return replace(lan, trust=False, internet=False, to=(), services=services)


def _access(services: Iterable[Service], policy: Policy) -> tuple[Service, ...]:
    management = PortRange(policy.management.port, policy.management.port)
    offered = merged([management, *(port for service in policy.every_service if service.name == ACCESS for port in _tcp(service))])
    reduced = []
    for service in services:
        # Other services open the management port alone; a refusal counts wherever ssh is let in.
        wanted = [management] if service.action == "accept" and service.name != ACCESS else offered
        ports = _common(_tcp(service), wanted)
        if ports:
            reduced.append(replace(service, ports=(("tcp", ports),), helper=""))
    return tuple(reduced)


def _without_users(outbound: Outbound) -> Outbound:
    """It stays as strict as it was; a rule about a user whom the host does not know could not be loaded, though."""
    return replace(outbound, services=tuple(service for service in outbound.services if not service.uid))


def _leads_to_access(redirect: Redirect, policy: Policy) -> bool:
    """Whether the operator comes in by it: the management port is the one that Ansible dials."""
    port = PortRange(policy.management.port, policy.management.port)
    return "tcp" in redirect.protocols and redirect.port.overlaps(port)


def _tcp(service: Service) -> tuple[PortRange, ...]:
    return tuple(port for protocol, ranges in service.ports if protocol == "tcp" for port in ranges)


def _common(ports: Sequence[PortRange], wanted: Sequence[PortRange]) -> tuple[PortRange, ...]:
    """The ports that are in both."""
    pairs = [(one, other) for one in ports for other in wanted if one.overlaps(other)]
    return merged(PortRange(max(one.first, other.first), min(one.last, other.last)) for one, other in pairs)
