# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LANs, WANs and what goes between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Lan:
    """A network behind the router."""

    name: str


def read_lans(given: Any, where: str, families: tuple[int, ...]) -> tuple[Lan, ...]:
    """What the variable says, validated."""
    return ()


@dataclass(frozen=True)
class Wan:
    """A way out."""

    name: str


def read_wans(given: Any, where: str, families: tuple[int, ...]) -> tuple[Wan, ...]:
    """What the variable says, validated."""
    return ()


def lan_input_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What the router offers its LANs."""
    return []


def forward_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """The rules of FORWARD between established and the log."""
    return []


def source_nat_rules(policy: Policy) -> list[Rule]:
    """The rules of POSTROUTING of the nat table: masquerade, snat, hairpin."""
    return []


def mss_rules(policy: Policy) -> list[Rule]:
    """The rules of FORWARD of the mangle table."""
    return []
