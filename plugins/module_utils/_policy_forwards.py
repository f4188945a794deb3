# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port forwards, hairpin included, and IPv6 hosts that may be reached from outside. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Forward:
    """A port of the router that leads to a host behind it."""

    name: str


def read_forwards(given: Any, where: str, families: tuple[int, ...]) -> tuple[Forward, ...]:
    """What the variable says, validated."""
    return ()


def forward_nat_rules(policy: Policy) -> list[Rule]:
    """The rules of PREROUTING of the nat table."""
    return []
