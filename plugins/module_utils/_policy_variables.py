# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a host's `firewall_*` variables to a profile and a policy: merging by name, and misspelt names refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import join
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import MERGED, MERGED_BELOW, PROFILES

PREFIX = "firewall_"

# Variables of the role that are no part of the policy.
ROLE_VARIABLES = (
    "allow_lockout",
    "backend",
    "beside",
    "confirm_timeout",
    "expect",
    "foreign",
    "modules",
    "modules_state",
    "name",
    "persist",
    "profile",
    "rehearsal",
    "scope",
    "state",
    "sysctl",
    "sysctl_compliance",
    "sysctl_interfaces",
    "sysctl_state",
    "verdict_diff",
)

# Those of them that are dictionaries keyed by name, and merged like the policy's. The first two have dictionaries by name in them.
_MERGED_DEEP = ("modules", "sysctl_interfaces")
_MERGED_FLAT = "sysctl"

# Units of other firewall managers. What each does to our rules is told in roles/firewall/vars/main.yml.
MANAGERS = (
    "ferm",
    "firehol",
    "firewalld",
    "ip6tables",
    "iptables",
    "netfilter-persistent",
    "nftables",
    "shorewall",
    "shorewall6",
    "ufw",
)

_POLICY_VARIABLES = frozenset(key for profile in PROFILES.values() for key in profile)
_DICTIONARIES = frozenset(
    key for profile in PROFILES.values() for key, value in profile.items() if isinstance(value, Mapping)
)


@dataclass(frozen=True)
class RoleVariables:
    """What the variables of a host say. The policy is not validated yet, and what is meant for a module, the module validates."""

    profile: str | None
    policy: dict[str, Any]
    persist: bool = True
    beside: tuple[str, ...] = ()
    modules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sysctl: Mapping[str, Any] = field(default_factory=dict)
    sysctl_compliance: str = "none"
    sysctl_interfaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def known_variables() -> tuple[str, ...]:
    """Every variable of the role, sorted."""
    return tuple(sorted(PREFIX + key for key in _POLICY_VARIABLES | set(ROLE_VARIABLES)))


def read_variables(variables: Mapping[str, Any]) -> RoleVariables:
    """Read those of `variables` that are ours. One that is nearly ours is an error, any other is left alone."""
    ours = {name[len(PREFIX) :]: variables[name] for name in sorted(variables) if name.startswith(PREFIX)}
    for key in ours:
        _refuse_nearly_known(key)
    policy = {key: value for key, value in ours.items() if key in _POLICY_VARIABLES and value is not None}
    for base in MERGED:
        parts = _parts(ours, base)
        if parts:
            policy[base] = merge(parts)
    for base in MERGED_BELOW:
        parts = _parts(ours, base)
        if parts:
            policy[base] = _merge_below(parts, MERGED_BELOW[base])
    persist = ours.get("persist")
    modules, interfaces = (merge(_parts(ours, base)) for base in _MERGED_DEEP)
    return RoleVariables(
        profile=ours.get("profile"),
        policy=policy,
        persist=persist is None or values.boolean(persist, PREFIX + "persist"),
        beside=_beside(ours.get("beside"), PREFIX + "beside"),
        modules=modules,
        sysctl=_merge_flat(_parts(ours, _MERGED_FLAT)),
        sysctl_compliance=ours.get("sysctl_compliance") or "none",
        sysctl_interfaces=interfaces,
    )


def _parts(ours: Mapping[str, Any], base: str) -> list[tuple[str, Any]]:
    """A dictionary's own variable, and those that add to it: (variable, value)."""
    return [(PREFIX + key, ours[key]) for key in ours if key == base or key.startswith(base + "__")]


def _beside(value: object, where: str) -> tuple[str, ...]:
    """The firewall managers that may stay enabled."""
    names = [] if value is None else values.items(value, where)
    return values.unique(values.choice(name, where, MANAGERS) for name in names)


def _refuse_nearly_known(key: str) -> None:
    base, parted, _rest = key.partition("__")
    known = _POLICY_VARIABLES | set(ROLE_VARIABLES)
    merged = (*MERGED, *MERGED_BELOW, *_MERGED_DEEP, _MERGED_FLAT)
    if base in known and (base in merged or not parted):
        return
    if base in known:
        merging = ", ".join(PREFIX + name for name in sorted(merged))
        raise PalisadeError(f"{PREFIX}{key}: {PREFIX}{base} takes no additions by name; only {merging} do")
    inside = [name for name in sorted(_DICTIONARIES) if base.startswith(name + "_")]
    if inside:
        rest = base[len(inside[0]) + 1 :]
        meant = f"{inside[0]}__{rest}" if inside[0] in MERGED else f"{inside[0]}: {{{rest}: ...}}"
        raise PalisadeError(f"{PREFIX}{key}: unknown variable; did you mean '{PREFIX}{meant}'?")
    close = values.suggestion(base, known, cutoff=0.75)
    if close:
        hint = close.replace("'", "'" + PREFIX, 1)
        raise PalisadeError(f"{PREFIX}{key}: unknown variable{hint}")


def merge(parts: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One dictionary out of several (variable, dictionary). An entry may be spread over them, without contradictions."""
    result: dict[str, Any] = {}
    origins: dict[tuple[str, str], str] = {}
    for variable, dictionary in parts:
        for name, entry in values.mapping(dictionary, variable).items():
            there = result.setdefault(name, {})
            for key, value in values.mapping(entry, join(variable, name)).items():
                first = origins.setdefault((name, key), variable)
                if there.setdefault(key, value) != value:
                    raise PalisadeError(f"{variable}.{name}.{key}: says something else than {first}.{name}.{key}")
    return result


def _merge_below(parts: Sequence[tuple[str, Any]], key: str) -> dict[str, Any]:
    """The same for a dictionary whose entries by name are below `key`; what is beside that may be said twice, but not differently."""
    read = [(variable, values.mapping(dictionary, variable)) for variable, dictionary in parts]
    beside = _merge_flat([(variable, {name: dictionary[name] for name in dictionary if name != key}) for variable, dictionary in read])
    below = merge((join(variable, key), dictionary.get(key)) for variable, dictionary in read)
    return {**{name: value for name, value in beside.items() if value is not None}, key: below}


def _merge_flat(parts: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """One dictionary of plain values out of several. What says nothing (None) gives way to what does."""
    result: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for variable, dictionary in parts:
        for name, value in values.mapping(dictionary, variable).items():
            if value is None:
                result.setdefault(name, None)
                continue
            first = origins.setdefault(name, variable)
            if result.get(name) is None:
                result[name] = value
            elif result[name] != value:
                raise PalisadeError(f"{variable}.{name}: says something else than {first}.{name}")
    return result


def management_port(policy: Mapping[str, Any], port: object) -> dict[str, Any]:
    """`policy` with `port`, the running connection's, as the management port where it names none."""
    management = dict(values.mapping(policy.get("management"), PREFIX + "management"))
    if management.get("port") is None:
        management["port"] = port
    return {**policy, "management": management}
