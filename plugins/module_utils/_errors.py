# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of this collection. It carries a text for the operator and nothing else."""
from __future__ import annotations


class PalisadeError(Exception):
    """A request that cannot be met. Raised anywhere, caught once, in a module's or action's entry point.

    The message is complete: it names the option, and where there is one the family, table, chain, rule number and rule,
    and quotes what iptables or the kernel said.
    """
