# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the host that answer at another port. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Redirect:
    """A port that leads to another one."""

    name: str


def read_redirects(given: Any, where: str, families: tuple[int, ...]) -> tuple[Redirect, ...]:
    """What the variable says, validated."""
    return ()


def redirect_rules(policy: Policy, chain: str) -> list[Rule]:
    """The rules of a chain (PREROUTING, OUTPUT) of the nat table."""
    return []


def redirected_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What INPUT accepts of what was redirected."""
    return []
