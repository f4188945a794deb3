# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions of this collection. They carry a text for the operator."""
from __future__ import annotations

from typing import Any, Mapping, Sequence


class PalisadeError(Exception):
    """A request that cannot be met. Raised anywhere, caught once, in a module's or action's entry point.

    The message is complete: it names the option, and where there is one the family, table, chain, rule number and rule,
    and quotes what iptables or the kernel said.
    """


class UnprovedError(PalisadeError):
    """A proof came out otherwise than it must. `result` is what the module returns of it beside the message."""

    def __init__(self, message: str, result: Mapping[str, Any], warnings: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.result = result
        self.warnings = warnings
