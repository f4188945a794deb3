# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lockout guard: would the connection that this run came in by be let in again, as a new one? Proved with its packets, on rules to come."""
from __future__ import annotations

from typing import Mapping, NamedTuple

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings


class Guarded(NamedTuple):
    """What the guard found. state: proved, refused, unproved (the proof could not be made) or none (there is nothing to prove); reason in words."""

    state: str
    reason: str


def guard(host: RigHost, connection: Connection, tables: Mapping[str, Tables], around: Surroundings) -> Guarded:
    """Send a new connection's handshake, and IPv6's neighbour discovery, through a copy of the tables to come. Raises nothing for what cannot be
    proved: that is the state unproved."""
    raise NotImplementedError
