# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel that boots without IPv6, under what was persisted with it: IPv4 is as declared all the same.

These are the last tests of all, by the name of this file: the machine is not booted back, which would be half a minute for nobody.
"""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import UNIT
from devkit import vm

from .declared import State


@pytest.fixture
def without_ipv6(machine: vm.Machine, before: State) -> vm.Machine:
    machine.check("sync")
    machine.power_off()
    machine.power_on(parameters="ipv6.disable=1")
    machine.wait()
    return machine


@pytest.mark.parametrize("machine", ["trixie"], indirect=True)
def test_ipv4_is_as_declared(without_ipv6: vm.Machine) -> None:
    assert without_ipv6.run("test -e /proc/sys/net/ipv6").returncode == 1
    journal = without_ipv6.check(f"journalctl -q -b -o cat -u {UNIT}")
    assert "INPUT" in without_ipv6.check("iptables -S palisade-INPUT"), journal
    assert without_ipv6.check("systemctl is-active systemd-sysctl.service systemd-modules-load.service").split() == ["active", "active"]
    assert without_ipv6.check(f"systemctl is-active {UNIT}") == "active", journal
    assert without_ipv6.check("cat /proc/sys/net/ipv4/conf/eth1/rp_filter") == "2"
