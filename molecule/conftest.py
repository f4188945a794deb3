# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All tests of one machine run one after the other, those of different machines side by side."""

from __future__ import annotations

import re

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import MACHINES
from xdist.scheduler import LoadScopeScheduling


class OneMachineAtATime(LoadScopeScheduling):
    """Hands out tests by the machine that their parameters name."""

    def _split_scope(self, nodeid: str) -> str:
        parameters = re.split(r"[\[\]-]", nodeid)
        return next((name for name in MACHINES if name in parameters), "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneMachineAtATime:
    return OneMachineAtATime(config, log)
