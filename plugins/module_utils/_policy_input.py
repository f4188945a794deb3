# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trusted hosts, noise that is dropped in silence, and addresses that cannot be where they claim to be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import Chains
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import Rule

if TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


@dataclass(frozen=True)
class Trusted:
    """A host that may reach everything."""

    name: str


def read_trusted(given: Any, where: str, families: tuple[int, ...]) -> tuple[Trusted, ...]:
    """What the variable says, validated."""
    return ()


@dataclass(frozen=True)
class Quiet:
    """Noise that is dropped and not logged."""

    name: str


def read_quiet(given: Any, where: str, families: tuple[int, ...]) -> tuple[Quiet, ...]:
    """What the variable says, validated."""
    return ()


@dataclass(frozen=True)
class Antispoof:
    """Sources that cannot come in by an interface."""

    name: str


def read_antispoof(given: Any, where: str, families: tuple[int, ...]) -> tuple[Antispoof, ...]:
    """What the variable says, validated."""
    return ()


def trusted_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What accepts trusted hosts."""
    return []


def quiet_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What drops noise ahead of the log."""
    return []


def antispoof_rules(policy: Policy, chains: Chains) -> list[Rule]:
    """What drops spoofed sources, in INPUT and FORWARD alike."""
    return []
