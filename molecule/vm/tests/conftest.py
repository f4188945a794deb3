# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, which all tests share: each test leaves them as it found them, up and with the declared rules."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import pytest
from devkit import vm

from .changing import COMMIT, locked_out, running, wait_for
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


class Boot(NamedTuple):
    """The one reboot for all tests that need no other."""

    heard: Knocks
    """What a neighbour met who knocked all through it."""
    run: Dict[str, Any]
    """What the controller had to say of the change that it cut short, if there was one."""


@pytest.fixture(scope="session")
def came_by(machine: vm.Machine) -> List[str]:
    """Give the ssh connections by which the role's first changes came, of rules and then of sysctls, as sshd calls them."""
    return machine.check(f"cat {COMMIT}/connection; echo; cat /run/palisade/kernel-settings.commit/connection").splitlines()


@pytest.fixture(scope="session")
def boot(machine: vm.Machine, before: State, came_by: List[str]) -> Boot:
    """Have each machine boot: one in an orderly way, the other by a power cut while a change waits that was not confirmed, and lets nobody in."""
    result: Dict[str, Any] = {}
    with knocking(machine) as knocks:
        if machine.release == "bookworm":
            machine.reboot()
        else:
            boot = machine.boot_id()
            with running(machine, locked_out(seconds=120, established=True)) as run:
                wait_for(machine, run, "applied")
                machine.reset()
                machine.wait(other_than=boot)
                result = run.result()
    return Boot(knocks, result)


@pytest.fixture(scope="session")
def heard(boot: Boot) -> Knocks:
    """Give what a neighbour met who knocked all through a reboot."""
    return boot.heard


@pytest.fixture
def rebooted(machine: vm.Machine, boot: Boot) -> vm.Machine:
    """Give a machine after a reboot."""
    return machine
