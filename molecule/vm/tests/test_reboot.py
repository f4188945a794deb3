# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot of a machine with its own kernel everything is as declared, and was before there was a network."""

from __future__ import annotations

import pytest
from devkit import vm

UNIT = "palisade-firewall.service"
SAVED = "for family in ip ip6; do ${family}tables-save | sed 's/ \\[.*//' | grep -v '^#'; done"


@pytest.fixture(scope="module")
def rules_before(machine: vm.Machine) -> str:
    return machine.check(SAVED)


@pytest.fixture(scope="module")
def rebooted(machine: vm.Machine, rules_before: str) -> vm.Machine:
    """Give a machine after a reboot."""
    machine.reboot()
    return machine


def test_the_rules_are_there_after_a_reboot(rebooted: vm.Machine, rules_before: str) -> None:
    assert "-A palisade-INPUT" in rules_before
    assert rebooted.check(SAVED) == rules_before


def test_the_unit_was_finished_before_the_first_interface_was_up(rebooted: vm.Machine) -> None:
    assert ": loaded /etc/palisade/palisade.rules of 2" in rebooted.check(f"journalctl -q -b -o cat -u {UNIT}")
    when = {}
    for unit in (UNIT, "network-pre.target", "systemd-networkd.service"):
        when[unit] = int(rebooted.check(f"systemctl show --property=ActiveEnterTimestampMonotonic --value {unit}"))
    assert 0 < when[UNIT] <= when["network-pre.target"] <= when["systemd-networkd.service"], when
