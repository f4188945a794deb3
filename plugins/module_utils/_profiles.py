# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each profile declares when nothing is set, in the vocabulary of the role variables. Data only."""

from __future__ import annotations

from typing import Any, Mapping

# Dictionaries keyed by name: firewall_services__<anything> adds to firewall_services.
MERGED = ("forwards", "lan", "mac_acl", "quiet", "redirects", "services", "snat", "trusted", "wan")

# The same for the dictionary that is below a key of another one: firewall_outbound__<anything>.services adds to
# firewall_outbound.services.
MERGED_BELOW: Mapping[str, str] = {"outbound": "services"}

# A value given by the user takes the place of the one here. Dictionaries that are merged by name (services and the like)
# go deeper: by name and then by key. The others are merged by key.
_COMMON: Mapping[str, Any] = {
    "antispoof": {"interfaces": [], "networks": []},
    "dhcp_client": True,
    "families": ["ipv4", "ipv6"],
    "final": "policy",
    "forwards": {},
    "helpers": [],
    "icmp": {
        "echo_burst": 5,
        "echo_rate": None,
        "types": ["echo-request", "destination-unreachable", "time-exceeded", "parameter-problem"],
    },
    "lan": {},
    "logging": {
        "burst": 10,
        "enabled": True,
        "group": None,
        "invalid": False,
        "level": "info",
        "prefix": "palisade {chain} {verdict}: ",
        "rate": "7/minute",
        "target": "log",
    },
    "mac_acl": {},
    "management": {"from": [], "port": 22},
    "masquerade": {"ipv4": True, "ipv6": False},
    "mss_clamp": True,
    "outbound": {"policy": "accept", "services": {}},
    "quiet": {},
    "redirects": {},
    "rules": {"after": {}, "before": {}},
    "services": {},
    "snat": {},
    "trusted": {},
    "wan": {},
}

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "nat_router": {**_COMMON, "services": {"ssh": {}}},
    "server": {**_COMMON, "services": {"ssh": {}}},
    "workstation": {**_COMMON},
}
