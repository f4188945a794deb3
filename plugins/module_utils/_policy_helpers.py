# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking helpers, assigned by port. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Helper:
    """A helper and the ports that it is for."""

    name: str


def read_helpers(given: Any, where: str, families: tuple[int, ...]) -> tuple[Helper, ...]:
    """What the variable says, validated."""
    return ()


def helper_rules(policy: Policy, chain: str) -> list[Rule]:
    """The rules of a chain (PREROUTING, OUTPUT) of the raw table."""
    return []
