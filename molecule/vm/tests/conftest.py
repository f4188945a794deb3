# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, which all tests share: each leaves them as it found them, up and with the declared rules."""

from __future__ import annotations

import pytest
from devkit import vm


@pytest.fixture(scope="session", params=vm.RELEASES)
def machine(request: pytest.FixtureRequest) -> vm.Machine:
    """Give each machine, as the role has left it."""
    return vm.named(request.param)
