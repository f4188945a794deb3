# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy means, as frozen data, and how it is read from the user's variables. Writes no rules.

`read_policy` is the one place where a profile's defaults and the user's values meet, and where everything is validated;
what comes out of it can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Callable, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Rate, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._services import WELL_KNOWN

ACTIONS = ("accept", "drop", "reject")
FINALS = ("policy", "drop", "reject")
PROTOCOLS_WITH_PORTS = ("tcp", "udp", "sctp")
PROTOCOLS = (*PROTOCOLS_WITH_PORTS, "esp", "ah", "gre")
SERVICE_KEYS = ("action", "from", "interfaces", "ports", "protocols", "source_ports", "state")

# The longest built-in chain that a {chain} in a log prefix can stand for.
_LONGEST_CHAIN = "FORWARD"


@dataclass(frozen=True)
class Service:
    """One entry of `services` that is present. `ports` holds each protocol once, with an empty tuple if it has none."""

    name: str
    ports: tuple[tuple[str, tuple[PortRange, ...]], ...]
    sources: tuple[Source, ...] | None
    interfaces: tuple[str, ...] | None
    source_ports: tuple[PortRange, ...]
    action: str

    @property
    def variable(self) -> str:
        return "firewall_services." + self.name

    @property
    def limited(self) -> bool:
        """Whether it is for some sources or interfaces only."""
        return self.sources is not None or self.interfaces is not None


@dataclass(frozen=True)
class Management:
    """Who may always reach the management port."""

    sources: tuple[Source, ...]
    port: int


@dataclass(frozen=True)
class Icmp:
    """`types` is None for every type there is."""

    types: tuple[str, ...] | None
    echo_rate: Rate | None


@dataclass(frozen=True)
class Logging:
    """How packets are logged that are about to be dropped."""

    enabled: bool
    rate: Rate
    prefix: str
    level: int


@dataclass(frozen=True)
class Policy:
    """A whole policy, validated, with the profile's defaults filled in. `services` are in the order of their rules."""

    profile: str
    families: tuple[int, ...]
    management: Management
    icmp: Icmp
    dhcp_client: bool
    services: tuple[Service, ...]
    logging: Logging
    final: str


def read_policy(profile: str, policy: Mapping[str, Any]) -> Policy:
    """The policy that `policy` (role variables without their `firewall_`) makes of the profile's defaults."""
    given = _with_defaults(profile, policy)
    families = values.families(given["families"], "firewall_families")
    return Policy(
        profile=profile,
        families=families,
        management=_management(given["management"], "firewall_management", families),
        icmp=_icmp(given["icmp"], "firewall_icmp"),
        dhcp_client=values.boolean(given["dhcp_client"], "firewall_dhcp_client"),
        services=_services(given["services"], "firewall_services", families),
        logging=_logging(given["logging"], "firewall_logging"),
        final=values.choice(given["final"], "firewall_final", FINALS),
    )


def _with_defaults(profile: object, policy: object) -> dict[str, Any]:
    if not isinstance(profile, str) or profile not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        hint = values.suggestion(profile, PROFILES)
        raise PalisadeError(f"firewall_profile: {profile!r} is no profile (known: {known}){hint}")
    defaults = PROFILES[profile]
    given = values.mapping(policy, "policy")
    _known_variables(given, defaults)
    result = dict(defaults)
    for key, value in given.items():
        if value is not None:
            result[key] = _over(defaults[key], value, "firewall_" + key, deep=key == "services")
    return result


def _known_variables(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            hint = values.suggestion("firewall_" + key, ("firewall_" + name for name in known))
            raise PalisadeError(f"firewall_{key}: unknown variable{hint}")


def _over(default: Any, value: Any, where: str, *, deep: bool) -> Any:
    """The user's value over the default: dictionaries by key, anything else as a whole."""
    if not isinstance(default, Mapping):
        return value
    result = dict(default)
    for key, entry in values.mapping(value, where).items():
        below = result.get(key)
        if deep and below is not None:
            entry = _over(below, entry, join(where, key), deep=False) if entry is not None else below
        if deep or entry is not None:
            result[key] = entry
    return result


def _management(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> Management:
    values.known_keys(given, where, ("from", "port"))
    return Management(
        sources=values.sources(given["from"], join(where, "from"), families),
        port=values.integer(given["port"], join(where, "port"), 1, 65535),
    )


def _icmp(given: Mapping[str, Any], where: str) -> Icmp:
    values.known_keys(given, where, ("echo_burst", "echo_rate", "types"))
    at_burst = join(where, "echo_burst")
    burst = values.integer(given["echo_burst"], at_burst, 1, 10000)
    echo_rate = given["echo_rate"]
    return Icmp(
        types=_icmp_types(given["types"], join(where, "types")),
        echo_rate=None if echo_rate is None else values.rate(echo_rate, burst, join(where, "echo_rate"), at_burst),
    )


def _icmp_types(value: object, where: str) -> tuple[str, ...] | None:
    names = values.items(value, where)
    for name in names:
        if not isinstance(name, str) or name not in (*ICMP_TYPES, "all"):
            hint = values.suggestion(name, ICMP_TYPES)
            raise PalisadeError(
                f"{where}: {name!r} is no ICMP type by name (known: all, {', '.join(ICMP_TYPES)}){hint}"
            )
    if "all" in names and len(names) > 1:
        raise PalisadeError(f"{where}: 'all' says it already; leave the other names out")
    return None if names == ["all"] else values.unique(str(name) for name in names)


def _logging(given: Mapping[str, Any], where: str) -> Logging:
    values.known_keys(given, where, ("burst", "enabled", "level", "prefix", "rate"))
    return Logging(
        enabled=values.boolean(given["enabled"], join(where, "enabled")),
        rate=values.rate(given["rate"], given["burst"], join(where, "rate"), join(where, "burst")),
        prefix=values.log_prefix(given["prefix"], join(where, "prefix"), _LONGEST_CHAIN),
        level=values.log_level(given["level"], join(where, "level")),
    )


def _services(given: Mapping[str, Any], where: str, families: tuple[int, ...]) -> tuple[Service, ...]:
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
    return 0 if service.limited else 2


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
