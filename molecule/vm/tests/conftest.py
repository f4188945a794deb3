# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, which all tests share: each test leaves them as it found them, up and with the declared rules."""

from __future__ import annotations

import pytest
from devkit import vm

from .declared import State, state
from .knocking import Knocks, knocking


@pytest.fixture(scope="session", params=vm.RELEASES)
def machine(request: pytest.FixtureRequest) -> vm.Machine:
    """Give each machine, as the role has left it."""
    return vm.named(request.param)


@pytest.fixture(scope="session")
def before(machine: vm.Machine) -> State:
    """Give what the role has made of a machine."""
    return state(machine)


@pytest.fixture(scope="session")
def heard(machine: vm.Machine, before: State) -> Knocks:
    """Give what a neighbour met who knocked all through a reboot. The one reboot for all tests that need no other."""
    with knocking(machine) as knocks:
        machine.reboot()
    return knocks


@pytest.fixture
def rebooted(machine: vm.Machine, heard: Knocks) -> vm.Machine:
    """Give a machine after a reboot."""
    return machine
