# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking helpers, assigned by port. Pure.

Since kernel 6.0 no helper looks at a connection that a rule has not assigned to it. What a helper expects is RELATED,
and is accepted with all that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule, port_groups, port_matches
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange
from ansible_collections.palisade.netfilter.plugins.module_utils._services import HELPERS, SERVICE_HELPERS, HelperPort

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import Service


@dataclass(frozen=True)
class Helper:
    """A helper for its usual ports."""

    name: str
    ports: tuple[HelperPort, ...]


def read_helpers(given: Any, where: str, families: tuple[int, ...]) -> tuple[Helper, ...]:
    """The helpers that the variable names, by name, each once."""
    names = values.unique(_helper_name(item, where) for item in values.items(given, where))
    for name in names:
        _refuse_other_family(name, where, families)
    return tuple(Helper(name, HELPERS[name]) for name in sorted(names))


def service_helper(given: object, where: str, service: str, protocols: Sequence[str], families: tuple[int, ...]) -> str:
    """The helper that a service's key `helper` names; True is the one that everybody knows for it, False is none."""
    if given is None or given is False:
        return ""
    if given is True:
        if service not in SERVICE_HELPERS:
            raise PalisadeError(
                f"{where}: no helper is known for '{service}'; name one ({', '.join(HELPERS)})"
            )
        given = SERVICE_HELPERS[service]
    name = _helper_name(given, where)
    spoken = [item.protocol for item in HELPERS[name]]
    if not set(spoken) & set(protocols):
        raise PalisadeError(f"{where}: the helper {name} reads {' and '.join(spoken)}, and the service has no such ports")
    _refuse_other_family(name, where, families)
    return name


def _helper_name(value: object, where: str) -> str:
    if isinstance(value, str) and value in HELPERS:
        return value
    hint = values.suggestion(value, HELPERS)
    raise PalisadeError(f"{where}: {value!r} is no helper (known: {', '.join(HELPERS)}){hint}")


def _refuse_other_family(name: str, where: str, families: tuple[int, ...]) -> None:
    if not any(set(item.families) & set(families) for item in HELPERS[name]):
        raise PalisadeError(f"{where}: the helper {name} knows IPv4 only, and firewall_families leaves that out")


def helper_rules(policy: Policy, chain: str) -> list[Rule]:
    """The rules of a chain (PREROUTING, OUTPUT) of the raw table: for what comes in or is forwarded, and for what the host opens."""
    rules = [
        _assigned(item, [PortRange(item.port, item.port)], "firewall_helpers")
        for helper in policy.helpers
        for item in helper.ports
    ]
    if chain == "PREROUTING":
        rules += [rule for service in policy.every_service for rule in _service_rules(service)]
    return rules


def _service_rules(service: Service) -> list[Rule]:
    if not service.helper or service.action != "accept":
        return []
    ports = dict(service.ports)
    return [
        _assigned(item, group, service.variable)
        for item in HELPERS[service.helper]
        for group in port_groups(ports.get(item.protocol, ()))
    ]


def _assigned(item: HelperPort, ports: Sequence[PortRange], comment: str) -> Rule:
    return Rule(
        f"CT --helper {item.helper}",
        family=None if len(item.families) == 2 else item.families[0],
        protocol=item.protocol,
        matches=port_matches(item.protocol, ports),
        comment=comment,
    )
