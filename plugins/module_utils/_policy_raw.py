# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own rules before and after ours, as they are written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Raw:
    """Rules as written, for one chain."""

    name: str


def read_raw(given: Any, where: str, families: tuple[int, ...]) -> tuple[Raw, ...]:
    """What the variable says, validated."""
    return ()


def raw_rules(policy: Policy, table: str, chain: str, place: str) -> list[Rule]:
    """The rules of a chain, with place "before" or "after"."""
    return []
