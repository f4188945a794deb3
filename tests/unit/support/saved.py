# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in tests/unit/data: what real iptables-save printed, and the rules that it had been given."""
from __future__ import annotations

from pathlib import Path
from typing import List

DATA = Path(__file__).resolve().parents[1] / 'data'

#: Names of the saved files.
SAVED = ('nft.ipv4', 'nft.ipv6', 'legacy.ipv4', 'legacy.ipv6')


def saved_text(name: str) -> str:
    """What iptables-save -c printed, whole."""
    return (DATA / ('%s.save' % name)).read_text(encoding='utf-8')


def given_text(family: str) -> str:
    """The iptables-restore text that was loaded before."""
    return (DATA / ('%s.rules' % family)).read_text(encoding='utf-8')


def saved_rules(name: str) -> List[str]:
    """The rules in a saved file, without counters, command and chain: cut out by column, not by the code under test."""
    lines = [line.split('] -A ', 1)[1] for line in saved_text(name).split('\n') if line.startswith('[')]
    return [line.partition(' ')[2] for line in lines]
