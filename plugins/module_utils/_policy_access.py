# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a policy lets the operator's own connection back in. Judges the policy, not a host's live rules. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_forwards import Forward
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_mac_acl import listed
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy, Service
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_redirects import Redirect
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import Lan, offered_to
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange

OPEN, CLOSED, LIMITED = "open", "closed", "limited"


@dataclass(frozen=True)
class Client:
    """The client's address and the port of the host, as sshd's SSH_CONNECTION has them."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int


def read_ssh_connection(text: str) -> Client | None:
    """Read `client-address client-port server-address server-port`; None when it is anything else."""
    words = text.split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    try:
        address = ipaddress.ip_address(words[0].partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return Client(mapped or address, int(words[3]))


def access(policy: Policy, port: int) -> str:
    """Who may open a TCP connection to `port`: everybody (open), nobody (closed), or some (limited).

    An interface is no limit here: which one the operator comes in by is not known. A LAN whose networks are known is one.
    A service behind knocks lets nobody in: Ansible does not knock. Nor does a trusted network card alone: whose it is
    cannot be told from here.
    """
    if any(_may_concern(redirect, port) for redirect in policy.redirects) or any(_takes_port(one, port) for one in policy.forwards):
        return LIMITED
    concerned = [service for service in _services(policy) if _concerns(service, port)]
    accepting = [service for service in concerned if service.action == "accept" and not service.knock]
    managed = bool(policy.management.sources) and policy.management.port == port
    managed = managed or any(one.sources for one in policy.trusted)
    if not accepting:
        return LIMITED if managed else CLOSED
    free = any(service.sources is None and not _lans_of(service, policy) for service in accepting)
    return OPEN if free and not any(service.action != "accept" for service in concerned) else LIMITED


def admits(policy: Policy, client: Client) -> bool:
    """Whether a new TCP connection of this client is let in."""
    if client.address.version not in policy.families:
        return True
    if any(_takes_away(redirect, client) for redirect in policy.redirects) or _is_forwarded(policy, client):
        return False
    management = policy.management
    if management.port == client.port and any(source.holds(client.address) for source in management.sources):
        return True
    if any(source.holds(client.address) for one in policy.trusted for source in one.sources):
        return True
    if not _may_be_listed(policy, client):
        return False
    for service in _services(policy):
        if service.knock or not _concerns(service, client.port):
            continue
        if _is_from(service, client) and _may_come_by(service, policy, client):
            return service.action == "accept"
    return any(_leads_to(redirect, client) for redirect in policy.redirects)


def unsure(policy: Policy, port: int) -> str:
    """Sentences about what might let the operator in all the same, or nothing."""
    said = [
        f"{service.variable} opens after knocks, and Ansible does not knock."
        for service in _services(policy)
        if service.knock and _concerns(service, port)
    ]
    said += [
        f"Whether the network card is one of {one.variable} cannot be told from here."
        for one in policy.trusted
        if not one.sources
    ]
    own = [rule for one in policy.raw if (one.table, one.chain) == ("filter", "INPUT") for rule in one.rules]
    if any(rule.target == "ACCEPT" for rule in own):
        said.append("What firewall_rules lets in is not known here.")
    return " ".join(said)


def _services(policy: Policy) -> list[Service]:
    """Everything that somebody reaches of the host, in the order of the rules; what a LAN is offered is for its interfaces."""
    inside = [replace(service, interfaces=service.interfaces or lan.interfaces) for lan in policy.lans for service in offered_to(lan)]
    first = [service for service in policy.services if not service.for_the_rest]
    return [*first, *inside, *(service for service in policy.services if service.for_the_rest)]


def _lans_of(service: Service, policy: Policy) -> list[Lan]:
    """The LANs that a service is for, if it is for LANs alone; none for any other, and where a LAN's networks are not known."""
    if service.interfaces is None:
        return []
    lans = [lan for lan in policy.lans if set(lan.interfaces) & set(service.interfaces)]
    inside = {interface for lan in lans for interface in lan.interfaces}
    return lans if set(service.interfaces) <= inside and all(lan.networks for lan in lans) else []


def _may_come_by(service: Service, policy: Policy, client: Client) -> bool:
    lans = _lans_of(service, policy)
    return not lans or any(_may_be_in(lan, client) for lan in lans)


def _may_be_in(lan: Lan, client: Client) -> bool:
    """Whether the client may be in this LAN. Of a family that it has no networks of, nothing is known."""
    networks = [network for network in lan.networks if network.family == client.address.version]
    return client.address.is_link_local or not networks or any(network.holds(client.address) for network in networks)


def _may_be_listed(policy: Policy, client: Client) -> bool:
    """Not if the client's address is in a LAN that has a list of hosts, and no host there has this address."""
    lans = [lan for lan in policy.lans if any(network.holds(client.address) for network in lan.networks)]
    return all(listed(policy, lan.name, client.address) for lan in lans)


def _takes_port(forward: Forward, port: int) -> bool:
    """Whether this port of the router is another host's for those who come by a WAN."""
    return forward.family == 4 and "tcp" in forward.protocols and any(item.overlaps(PortRange(port, port)) for item in forward.ports)


def _is_forwarded(policy: Policy, client: Client) -> bool:
    """Whether a forward sends the client elsewhere ahead of every rule. Who may be in a LAN does not come by a WAN."""
    if not policy.wans or client.address.version != 4 or any(_may_be_in(lan, client) for lan in policy.lans):
        return False
    taking = [forward for forward in policy.forwards if _takes_port(forward, client.port)]
    return any(one.sources is None or any(source.holds(client.address) for source in one.sources) for one in taking)


def _concerns(service: Service, port: int) -> bool:
    wanted = PortRange(port, port)
    return any(item.overlaps(wanted) for protocol, ranges in service.ports if protocol == "tcp" for item in ranges)


def _may_concern(redirect: Redirect, port: int) -> bool:
    """Whether it leads to the port or away from it. Which of the two ports is dialled is known to the operator's ssh alone."""
    return "tcp" in redirect.protocols and (redirect.to_port == port or redirect.port.overlaps(PortRange(port, port)))


def _takes_away(redirect: Redirect, client: Client) -> bool:
    """Whether it leads a new connection to the port that answers now to another one."""
    away = "tcp" in redirect.protocols and redirect.port.overlaps(PortRange(client.port, client.port))
    return away and redirect.to_port != client.port and redirect.interfaces is None and _redirects(redirect, client)


def _leads_to(redirect: Redirect, client: Client) -> bool:
    return "tcp" in redirect.protocols and redirect.to_port == client.port and _redirects(redirect, client)


def _redirects(redirect: Redirect, client: Client) -> bool:
    return redirect.sources is None or any(source.holds(client.address) for source in redirect.sources)


def _is_from(service: Service, client: Client) -> bool:
    return service.sources is None or any(source.holds(client.address) for source in service.sources)
