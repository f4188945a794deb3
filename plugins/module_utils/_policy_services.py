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
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_helpers import service_helper
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_knock import (
    Knock,
    knock_gate,
    knock_rules,
    read_knock,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import service_log_rules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rate import (
    RateLimit,
    rate_rules,
    read_rate_limit,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import (
    Rule,
    from_source,
    port_groups,
    port_matches,
    reject,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._services import SOURCE_PORTS, WELL_KNOWN

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy

ACTIONS = ("accept", "drop", "reject")
PROTOCOLS_WITH_PORTS = ("tcp", "udp", "sctp")
PROTOCOLS = (*PROTOCOLS_WITH_PORTS, "esp", "ah", "gre")
SERVICE_KEYS = (
    "action",
    "from",
    "helper",
    "interfaces",
    "knock",
    "knock_seconds",
    "log",
    "ports",
    "protocols",
    "rate_limit",
    "source_ports",
    "state",
)
VARIABLE = "firewall_services"


@dataclass(frozen=True)
class Service:
    """One entry of `services` that is present. `ports` holds each protocol once, with an empty tuple if it has none.

    `where` is the variable with the entry's name. `helper` is a connection tracking helper's name or "".
    """

    name: str
    ports: tuple[tuple[str, tuple[PortRange, ...]], ...]
    sources: tuple[Source, ...] | None
    interfaces: tuple[str, ...] | None
    source_ports: tuple[PortRange, ...]
    action: str
    where: str = ""
    rate_limit: RateLimit | None = None
    knock: Knock | None = None
    log: bool = False
    helper: str = ""

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
    _refuse_unheard_knocks(services)
    return tuple(sorted(services, key=_rank))


def _rank(service: Service) -> int:
    """Who comes first where services overlap: a refusal for some, then what is accepted, then a refusal for all."""
    if service.action == "accept":
        return 1
    return 2 if service.for_the_rest else 0


def _service(name: str, entry: object, where: str, families: tuple[int, ...]) -> Service | None:
    values.name(name, where)
    given = values.present(entry, where)
    values.known_keys(given, where, SERVICE_KEYS)
    state = values.choice(given.get("state", "present"), join(where, "state"), ("present", "absent"))
    if state == "absent" and not {"ports", "protocols"} & set(given) and name not in WELL_KNOWN:
        return None
    ports = service_ports(name, given, where)
    service = Service(
        name=name,
        ports=ports,
        sources=_service_sources(given, where, families),
        interfaces=_optional(given, where, "interfaces", values.interfaces),
        source_ports=service_source_ports(name, given, where),
        action=values.choice(given.get("action", "accept"), join(where, "action"), ACTIONS),
        where=where,
        rate_limit=_rate_limit(given, where, families),
        knock=read_knock(given, where),
        log=values.boolean(given.get("log", False), join(where, "log")),
        helper=service_helper(given.get("helper"), join(where, "helper"), name, [item for item, _ranges in ports], families),
    )
    for key in ("knock", "rate_limit"):
        if key in given and service.action != "accept":
            raise PalisadeError(f"{join(where, key)}: it is for a service that is accepted, not for `action: {service.action}`")
    if service.source_ports and not all(ranges for _protocol, ranges in service.ports):
        raise PalisadeError("{}: only tcp, udp and sctp have source ports".format(join(where, "source_ports")))
    return service if state == "present" else None


def _rate_limit(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> RateLimit | None:
    return read_rate_limit(given["rate_limit"], join(where, "rate_limit"), families) if "rate_limit" in given else None


def service_source_ports(name: str, given: Mapping[str, Any], where: str) -> tuple[PortRange, ...]:
    """What the entry says or, where it names neither these nor ports, what is well known."""
    if not {"ports", "source_ports"} & set(given) and name in SOURCE_PORTS:
        return values.ports(SOURCE_PORTS[name], where)
    return values.ports(given["source_ports"], join(where, "source_ports")) if "source_ports" in given else ()


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


def service_ports(name: str, given: Mapping[str, Any], where: str) -> tuple[tuple[str, tuple[PortRange, ...]], ...]:
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


def _refuse_unheard_knocks(services: list[Service]) -> None:
    """A packet that a service takes from everybody is never seen as a knock."""
    for service, other in product(services, services):
        if service.knock is None or other.limited or other.knock is not None or other.source_ports:
            continue
        taken = dict(other.ports)
        for protocol, port in service.knock.steps:
            if any(port.overlaps(there) for there in taken.get(protocol, ())):
                raise PalisadeError(
                    f"{join(service.variable, 'knock')}: {protocol}/{port} is a port of {other.variable}, "
                    "which takes the packet; no knock would be seen there"
                )


# Writing


def service_rules(service: Service, policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of one service, and the chains that they lead to. `policy` gives the families and the logging."""
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
    own = _own_chain(service, policy, chains)
    verdicts = [replace(rule, target=own or ("DROP" if service.action == "drop" else "ACCEPT"))]
    if own and service.sources is None:
        return verdicts
    if own:
        return by_source(verdicts[0], service.sources or (), chain_name("from", service.tag), chains)
    if service.action == "reject":
        verdicts = reject(rule, policy.families)
    if service.sources is None:
        return verdicts
    if service.action == "reject":
        return [from_source(item, source) for item in verdicts for source in service.sources if _fits(item, source)]
    return by_source(verdicts[0], service.sources, chain_name("from", service.tag), chains)


def _own_chain(service: Service, policy: Policy, chains: Chains) -> str:
    """The name of the chain that decides about new connections, where more is asked than one rule can say; else ""."""
    logged = service_log_rules(policy, service.tag, service.action, Rule("", comment=f"{service.variable}.log"))
    logged = logged if service.log else []
    if not (logged or service.knock or service.rate_limit):
        return ""
    if service.sources is not None:
        policy = replace(policy, families=tuple(sorted({source.family for source in service.sources})))
    chain, variable = chain_name("new", service.tag), service.variable
    rules = knock_gate(service.knock, service.tag, variable, policy) if service.knock else []
    rules += logged
    if service.rate_limit:
        rules += rate_rules(service.rate_limit, service.tag, variable, policy)
    elif service.action == "reject":
        rules += reject(Rule("", protocol="tcp"), policy.families) if "tcp" in dict(service.ports) else []
        rules += reject(Rule(""), policy.families) if set(dict(service.ports)) - {"tcp"} else []
    else:
        rules.append(Rule("DROP" if service.action == "drop" else "ACCEPT"))
    chains[chain] = rules
    return chain


def services_knock_rules(services: Sequence[Service], policy: Policy, chains: Chains) -> list[Rule]:
    """What follows the knocks for these services: behind everything that accepts, ahead of the log."""
    rules: list[Rule] = []
    for service in services:
        if service.knock:
            rules += knock_rules(service.knock, service.tag, service.variable, policy, chains)
    return rules


def _fits(rule: Rule, source: Source) -> bool:
    return rule.family is None or rule.family == source.family
