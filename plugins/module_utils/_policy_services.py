# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: what a policy lets in (or refuses) by name, from the user's values to rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains, by_source, chain_name
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    port_groups,
    port_matches,
    reject,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._services import WELL_KNOWN

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

ACTIONS = ("accept", "drop", "reject")
PROTOCOLS_WITH_PORTS = ("tcp", "udp", "sctp")
PROTOCOLS = (*PROTOCOLS_WITH_PORTS, "esp", "ah", "gre")
SERVICE_KEYS = ("action", "from", "interfaces", "ports", "protocols", "source_ports", "state")
VARIABLE = "firewall_services"


@dataclass(frozen=True)
class Service:
    """One entry of `services` that is present. `ports` holds each protocol once, with an empty tuple if it has none."""

    name: str
    ports: tuple[tuple[str, tuple[PortRange, ...]], ...]
    sources: tuple[Source, ...] | None
    interfaces: tuple[str, ...] | None
    source_ports: tuple[PortRange, ...]
    action: str
    where: str = ""

    @property
    def variable(self) -> str:
        return self.where or join(VARIABLE, self.name)

    @property
    def tag(self) -> str:
        """What chains and lists of this service are named after: no two services of a policy have the same."""
        parts = self.variable.split(".")
        # firewall_lan.home.services.ssh → home.ssh; no name that a user gives has a dot in it.
        return self.name if parts[0] == VARIABLE else f"{parts[1]}.{self.name}"

    @property
    def limited(self) -> bool:
        """Whether it is for some sources or interfaces only."""
        return self.sources is not None or self.interfaces is not None

    @property
    def for_the_rest(self) -> bool:
        """Whether it refuses everybody whom nothing else has let in: behind all that accepts, a router's LANs included."""
        return self.action != "accept" and not self.limited


# Reading


def read_services(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Service, ...]:
    services = []
    for name in sorted(given):
        service = _service(name, given[name], join(where, name), families)
        if service is not None:
            services.append(service)
    _refuse_contradictions(services)
    return tuple(sorted(services, key=_rank))


def _rank(service: Service) -> int:
    """Who comes first where services overlap: a refusal for some, then what is accepted, then a refusal for all."""
    if service.action == "accept":
        return 1
    return 2 if service.for_the_rest else 0


def _service(name: str, entry: object, where: str, families: tuple[int, ...]) -> Service | None:
    values.name(name, where)
    given = {key: value for key, value in values.mapping(entry, where).items() if value is not None}
    values.known_keys(given, where, SERVICE_KEYS)
    state = values.choice(given.get("state", "present"), join(where, "state"), ("present", "absent"))
    if state == "absent" and not {"ports", "protocols"} & set(given) and name not in WELL_KNOWN:
        return None
    service = Service(
        name=name,
        ports=_service_ports(name, given, where),
        sources=_service_sources(given, where, families),
        interfaces=_optional(given, where, "interfaces", values.interfaces),
        source_ports=_optional(given, where, "source_ports", values.ports) or (),
        action=values.choice(given.get("action", "accept"), join(where, "action"), ACTIONS),
        where=where,
    )
    if service.source_ports and not all(ranges for _protocol, ranges in service.ports):
        raise PalisadeError("{}: only tcp, udp and sctp have source ports".format(join(where, "source_ports")))
    return service if state == "present" else None


def _optional(given: Mapping[str, Any], where: str, key: str, read: Callable[[object, str], Any]) -> Any:
    return read(given[key], join(where, key)) if key in given else None


def _service_sources(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Source, ...] | None:
    if "from" not in given:
        return None
    sources = values.sources(given["from"], join(where, "from"), families)
    if not sources:
        raise PalisadeError(
            "{}: the list is empty, which lets nobody in; leave it out to mean everybody, "
            "or write `state: absent`".format(join(where, "from"))
        )
    return sources


def _service_ports(name: str, given: Mapping[str, Any], where: str) -> tuple[tuple[str, tuple[PortRange, ...]], ...]:
    """Each protocol with its ports, from the entry and, where it says nothing, from the well-known service."""
    ports, known = given.get("ports"), WELL_KNOWN.get(name)
    if isinstance(ports, Mapping):
        if "protocols" in given:
            raise PalisadeError(
                "{}: the protocols are named in {} already".format(join(where, "protocols"), join(where, "ports"))
            )
        by_protocol = dict(values.mapping(ports, join(where, "ports")))
        if not by_protocol:
            raise PalisadeError(f"{join(where, 'ports')}: the dictionary is empty")
    else:
        by_protocol = dict.fromkeys(_protocols(given, where, known, ports), ports)
        if ports is None and known is not None:
            by_protocol = {protocol: known.get(protocol) for protocol in by_protocol}
    return tuple(_protocol_ports(item, by_protocol[item], where, ports) for item in by_protocol)


def _protocols(given: Mapping[str, Any], where: str, known: Mapping[str, Any] | None, ports: object) -> list[str]:
    if "protocols" in given:
        names = values.items(given["protocols"], join(where, "protocols"))
        if not names:
            raise PalisadeError("{}: the list is empty".format(join(where, "protocols")))
        return [values.choice(item, join(where, "protocols"), PROTOCOLS) for item in names]
    if known is not None:
        return [protocol for protocol in known if ports is None or protocol in PROTOCOLS_WITH_PORTS]
    if ports is None:
        service = where.rpartition(".")[2]
        hint = values.suggestion(service, WELL_KNOWN)
        raise PalisadeError(f"{where}: '{service}' is no well-known service, so it needs `ports`{hint}")
    return ["tcp"]


def _protocol_ports(protocol: str, ports: object, where: str, given: object) -> tuple[str, tuple[PortRange, ...]]:
    where_ports = join(where, "ports")
    values.choice(protocol, where_ports, PROTOCOLS)
    if protocol not in PROTOCOLS_WITH_PORTS:
        if ports is not None:
            raise PalisadeError(f"{where_ports}: {protocol} has no ports")
        return protocol, ()
    if isinstance(given, Mapping):
        where_ports = join(where_ports, protocol)
    if ports is None:
        raise PalisadeError(f"{where_ports}: {protocol} needs ports here")
    return protocol, values.ports(ports, where_ports)


def _refuse_contradictions(services: list[Service]) -> None:
    for one, other in combinations(services, 2):
        if one.action != other.action and _same_packets(one, other):
            raise PalisadeError(
                f"{one.variable}: says {one.action} where {other.variable} says {other.action}, for the same ports "
                "and the same sources; "
                "limit one of them with `from` or `interfaces`"
            )


def _same_packets(one: Service, other: Service) -> bool:
    """Whether the two overlap in ports and name one and the same source and interface."""
    return _share_port(one, other) and _share(one.sources, other.sources) and _share(one.interfaces, other.interfaces)


def _share(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(set(one) & set(other))


def _share_port(one: Service, other: Service) -> bool:
    if one.source_ports != other.source_ports:
        return False
    others = dict(other.ports)
    for protocol, ranges in one.ports:
        if protocol not in others:
            continue
        if not ranges or any(item.overlaps(there) for item in ranges for there in others[protocol]):
            return True
    return False


# Writing


def service_rules(service: Service, policy: Policy, chains: Chains) -> list[Rule]:
    rules: list[Rule] = []
    for interface, (protocol, ports) in product(service.interfaces or ("",), service.ports):
        for matches in _service_matches(service, protocol, ports):
            rule = Rule("", interface=interface, protocol=protocol, matches=matches, comment=service.variable)
            rules += _service_verdict(service, rule, policy, chains)
    return rules


def _service_matches(service: Service, protocol: str, ports: Sequence[PortRange]) -> list[tuple[str, ...]]:
    """One tuple of matches for each rule that the ports need. Only a SYN opens a TCP service; anything is refused."""
    if not ports:
        return [()]
    syn_only = protocol == "tcp" and service.action == "accept"
    pairs = product(port_groups(service.source_ports) or [()], port_groups(ports))
    return [port_matches(protocol, group, source_group, syn_only=syn_only) for source_group, group in pairs]


def _service_verdict(service: Service, rule: Rule, policy: Policy, chains: Chains) -> list[Rule]:
    verdicts = [replace(rule, target="DROP" if service.action == "drop" else "ACCEPT")]
    if service.action == "reject":
        verdicts = reject(rule, policy.families)
    if service.sources is None:
        return verdicts
    if service.action == "reject":
        return [from_source(item, source) for item in verdicts for source in service.sources if _fits(item, source)]
    return by_source(verdicts[0], service.sources, chain_name("from", service.tag), chains)


def _fits(rule: Rule, source: Source) -> bool:
    return rule.family is None or rule.family == source.family
