# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy means, as frozen data, and how it is read from the user's variables. Writes no rules.

`read_policy` is the one place where a profile's defaults and the user's values meet, and where everything is validated;
what comes out of it can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_forwards import Forward, read_forwards
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_helpers import Helper, read_helpers
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_input import (
    Antispoof,
    Quiet,
    Trusted,
    read_antispoof,
    read_quiet,
    read_trusted,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import Logging, read_logging
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_mac_acl import Member, read_mac_acl
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_outbound import Outbound, read_outbound
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_raw import Raw, read_raw
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_redirects import (
    Redirect,
    read_redirects,
    refuse_unheard_refusals,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_router import (
    PROFILE,
    Lan,
    Snat,
    Wan,
    read_lans,
    read_masquerade,
    read_snat,
    read_wans,
    refuse_shared_interfaces,
    ssh_for_lans,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_services import Service, read_services
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import Rate, Source, join
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import MERGED, PROFILES

FINALS = ("policy", "drop", "reject")


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
    trusted: tuple[Trusted, ...] = ()
    quiet: tuple[Quiet, ...] = ()
    antispoof: Antispoof | None = None
    raw: tuple[Raw, ...] = ()
    outbound: Outbound = field(default_factory=Outbound)
    redirects: tuple[Redirect, ...] = ()
    helpers: tuple[Helper, ...] = ()
    lans: tuple[Lan, ...] = ()
    wans: tuple[Wan, ...] = ()
    masquerade: tuple[int, ...] = ()
    snat: tuple[Snat, ...] = ()
    forwards: tuple[Forward, ...] = ()
    mac_acl: tuple[Member, ...] = ()
    mss_clamp: bool = False

    @property
    def every_service(self) -> tuple[Service, ...]:
        """The services for everybody and those that a router has for a LAN."""
        return (*self.services, *(service for lan in self.lans for service in lan.services))


def read_policy(profile: str, policy: Mapping[str, Any]) -> Policy:
    """The policy that `policy` (role variables without their `firewall_`) makes of the profile's defaults."""
    given = _with_defaults(profile, policy)
    families = values.families(given["families"], "firewall_families")
    read = Policy(
        profile=profile,
        families=families,
        management=_management(given["management"], "firewall_management", families),
        icmp=_icmp(given["icmp"], "firewall_icmp"),
        dhcp_client=values.boolean(given["dhcp_client"], "firewall_dhcp_client"),
        services=read_services(given["services"], "firewall_services", families),
        logging=read_logging(given["logging"], "firewall_logging"),
        final=values.choice(given["final"], "firewall_final", FINALS),
        trusted=read_trusted(given["trusted"], "firewall_trusted", families),
        quiet=read_quiet(given["quiet"], "firewall_quiet", families),
        antispoof=read_antispoof(given["antispoof"], "firewall_antispoof", families),
        raw=read_raw(given["rules"], "firewall_rules", families),
        outbound=read_outbound(given["outbound"], "firewall_outbound", families),
        redirects=read_redirects(given["redirects"], "firewall_redirects", families),
        helpers=read_helpers(given["helpers"], "firewall_helpers", families),
    )
    refuse_unheard_refusals(read.redirects, read.services)
    return _with_routing(read, given)


def _with_routing(policy: Policy, given: Mapping[str, Any]) -> Policy:
    """What makes a router of a host. It is validated in every profile and has an effect in one."""
    families = policy.families
    lans = read_lans(given["lan"], "firewall_lan", families)
    wans = read_wans(given["wan"], "firewall_wan", families)
    refuse_shared_interfaces((*lans, *wans))
    router = replace(
        policy,
        lans=lans,
        wans=wans,
        masquerade=read_masquerade(given["masquerade"], "firewall_masquerade"),
        snat=read_snat(given["snat"], "firewall_snat", families, given["wan"]),
        forwards=read_forwards(given["forwards"], "firewall_forwards", families, given["wan"]),
        mac_acl=read_mac_acl(given["mac_acl"], "firewall_mac_acl", families, given["lan"]),
        mss_clamp=values.boolean(given["mss_clamp"], "firewall_mss_clamp"),
    )
    if policy.profile != PROFILE:
        return policy
    return replace(router, services=ssh_for_lans(policy.services, lans, wans))


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
            result[key] = _over(defaults[key], value, "firewall_" + key, deep=key in MERGED)
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
