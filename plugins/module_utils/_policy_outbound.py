# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host itself may send. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Outbound:
    """The policy of OUTPUT and what it lets out."""

    name: str


def read_outbound(given: Any, where: str, families: tuple[int, ...]) -> tuple[Outbound, ...]:
    """What the variable says, validated."""
    return ()


def outbound_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of OUTPUT; none where everything may leave."""
    return []
