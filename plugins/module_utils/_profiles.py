# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each profile declares when nothing is set, in the vocabulary of the role variables. Data only."""

from __future__ import annotations

from typing import Any, Mapping

# A value given by the user takes the place of the one here. Two things go deeper: `services` is merged by name and then
# by key, the other dictionaries are merged by key.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "server": {
        "dhcp_client": True,
        "families": ["ipv4", "ipv6"],
        "final": "policy",
        "icmp": {
            "echo_burst": 5,
            "echo_rate": None,
            "types": ["echo-request", "destination-unreachable", "time-exceeded", "parameter-problem"],
        },
        "logging": {
            "burst": 10,
            "enabled": True,
            "level": "info",
            "prefix": "palisade {chain} drop: ",
            "rate": "7/minute",
        },
        "management": {"from": [], "port": 22},
        "services": {"ssh": {}},
    },
}
