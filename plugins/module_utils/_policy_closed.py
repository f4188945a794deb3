# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a policy when a host has to boot without it: the operator gets in, nobody else does. Pure, writes no rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Icmp, Policy, Service
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_raw import kept_refusals
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, merged

# The service that an operator comes in by, whatever its port: the management port is a guess of the role's where nobody names it.
ACCESS = "ssh"


def closed(policy: Policy) -> Policy:
    """The policy without anything but what the host itself lives by and management access.

    Management access is `management` where it names sources. Where it does not, it is the service ssh and whatever other
    service the policy has on the management port, in the policy's order and with its refusals, knocks and rates, and trusted hosts on that
    port. It never lets in a packet that the policy itself would refuse: what refuses spoofed sources stays, and refusals among the user's own
    rules stay as far as any host can load them. Where the policy offers no access, nobody new gets in.
    """
    refusals = kept_refusals(policy.raw)
    port = PortRange(policy.management.port, policy.management.port)
    # Where a rule of the user's may refuse what we cannot tell, management alone is sure to be let in by the policy.
    sure = not policy.management.sources and refusals is not None
    return replace(
        policy,
        trusted=tuple(replace(one, port=port) for one in policy.trusted) if sure else (),
        quiet=(),
        raw=refusals or (),
        icmp=Icmp(types=(), echo_rate=None),
        services=_access(policy) if sure else (),
        logging=replace(policy.logging, enabled=False, invalid=False),
        final="policy",
    )


def _access(policy: Policy) -> tuple[Service, ...]:
    management = PortRange(policy.management.port, policy.management.port)
    offered = merged([management, *(port for service in policy.services if service.name == ACCESS for port in _tcp(service))])
    reduced = []
    for service in policy.services:
        # Other services open the management port alone; a refusal counts wherever ssh is let in.
        wanted = [management] if service.action == "accept" and service.name != ACCESS else offered
        ports = _common(_tcp(service), wanted)
        if ports:
            reduced.append(replace(service, ports=(("tcp", ports),)))
    return tuple(reduced)


def _tcp(service: Service) -> tuple[PortRange, ...]:
    return tuple(port for protocol, ranges in service.ports if protocol == "tcp" for port in ranges)


def _common(ports: Sequence[PortRange], wanted: Sequence[PortRange]) -> tuple[PortRange, ...]:
    """The ports that are in both."""
    pairs = [(one, other) for one in ports for other in wanted if one.overlaps(other)]
    return merged(PortRange(max(one.first, other.first), min(one.last, other.last)) for one, other in pairs)
