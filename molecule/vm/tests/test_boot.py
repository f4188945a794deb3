# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real reboot (rows 1.9 and 2.17 of the source documents): everything is as declared, and was before there was a network."""

from __future__ import annotations

from typing import List

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import UNIT, play_on
from devkit import vm

from .declared import BACKENDS, EVERYWHERE, LEGACY, LOADED, SERVER, WANTED, State, in_effect, read, state
from .knocking import Knocks


@pytest.fixture
def witnessed(rebooted: vm.Machine) -> State:
    """Give the state at the moment when the network was about to come up."""
    return read(rebooted.check("cat /run/witness"))


def test_the_role_has_declared_it(machine: vm.Machine, before: State) -> None:
    legacy = BACKENDS[machine.release] == "legacy"
    assert all(before.rules[f"{program}-save filter palisade-INPUT"][1:] for program in ("iptables", "ip6tables"))
    assert before.modules >= LOADED | (LEGACY if legacy else set())
    assert not before.modules & {"dummy", "sctp"}
    assert before.up == {"eth0", "eth1", "late.100"}
    assert {interface: in_effect(before.sysctls, interface) for interface in WANTED} == WANTED


def test_the_session_survived_the_first_hardening_of_a_fresh_machine(machine: vm.Machine, came_by: List[str]) -> None:
    """The kernel had never tracked a connection. What came after the rules came by the connection that was there before them."""
    assert "nf_conntrack" not in machine.check("cat /root/modules-before").split()
    assert "-j DROP" in machine.check("iptables -S palisade-OUTPUT | grep 'sport 22 .*NEW'")
    rules, sysctls = came_by
    assert sysctls == rules
    assert rules.startswith("192.0.2.1 ") and rules.endswith(f" {machine.address} 22")


def test_all_is_as_declared_after_a_reboot(rebooted: vm.Machine, before: State) -> None:
    after = state(rebooted)
    assert after.rules == before.rules
    assert {interface: in_effect(after.sysctls, interface) for interface in WANTED} == WANTED
    assert EVERYWHERE.items() <= after.sysctls.items()
    assert after.modules >= LOADED
    assert not after.modules & {"dummy", "sctp"}


def test_it_was_so_before_there_was_a_network(machine: vm.Machine, witnessed: State, before: State) -> None:
    assert witnessed.up == set()
    assert witnessed.rules == before.rules
    assert witnessed.modules >= LOADED | (LEGACY if BACKENDS[machine.release] == "legacy" else set())
    assert EVERYWHERE.items() <= witnessed.sysctls.items()
    there = {name: wanted for name, wanted in WANTED.items() if f"net/ipv4/conf/{name}/rp_filter" in witnessed.sysctls}
    there["default"] = SERVER  # what interfaces have from the beginning that the kernel finds later
    assert {interface: in_effect(witnessed.sysctls, interface) for interface in there} == there
    assert "net/ipv4/conf/late.100/rp_filter" not in witnessed.sysctls


def test_one_came_after_the_other(rebooted: vm.Machine) -> None:
    orders = (
        ("systemd-modules-load.service", UNIT, "systemd-sysctl.service", "systemd-networkd.service"),
        (UNIT, "network-pre.target", "systemd-networkd.service"),
        # Before anything listens, be it a socket of systemd's from early on.
        (UNIT, "sysinit.target", "early.socket", "sockets.target", "ssh.service"),
    )
    for units in orders:
        shown = rebooted.check(f"systemctl show --property=ActiveEnterTimestampMonotonic --value {' '.join(units)}")
        when = [int(number) for number in shown.split()]
        assert (len(when), when) == (len(units), sorted(when)) and when[0] > 0, dict(zip(units, when))
    assert "ordering cycle" not in rebooted.check("journalctl -q -b --no-pager").lower()


def test_the_unit_loaded_the_rules_and_may_not_load_modules(rebooted: vm.Machine) -> None:
    shown = rebooted.check(f"systemctl show --property=ActiveState,Result,CapabilityBoundingSet {UNIT}").splitlines()
    assert set(shown) == {"ActiveState=active", "Result=success", "CapabilityBoundingSet=cap_net_admin cap_net_raw"}
    assert ": loaded /etc/palisade/palisade.rules of 2" in rebooted.check(f"journalctl -q -b -o cat -u {UNIT}")
    assert rebooted.run("palisade-firewall status").stdout.count(": same as persisted") == 2


def test_no_packet_got_through_that_the_rules_forbid(machine: vm.Machine, heard: Knocks) -> None:
    assert heard == {
        f"{address} {port}": answers for address in (machine.address, machine.address6)
        for port, answers in ((443, {"silence", "refused"}), (8080, {"silence"}))
    }
    assert ":8080 " in machine.check("ss -ltnH")


def test_modules_have_their_options_and_blocked_ones_do_not_load(rebooted: vm.Machine) -> None:
    assert rebooted.check("cat /sys/module/nf_conntrack_tftp/parameters/ports") == "69,6969"
    refused = rebooted.run("modprobe sctp")
    assert (refused.returncode, "sctp" in rebooted.check("lsmod").split()) == (1, False), refused.stderr


def test_the_release_sets_rp_filter_everywhere_and_does_not_win(rebooted: vm.Machine) -> None:
    shipped = rebooted.run("grep -h rp_filter /usr/lib/sysctl.d/*.conf").stdout.replace(" ", "")
    assert ("net.ipv4.conf.*.rp_filter=2" in shipped) == (rebooted.release == "trixie")
    assert in_effect(state(rebooted).sysctls, "eth0")["ipv4.rp_filter"] == 1


def test_a_run_after_the_reboot_changes_nothing(rebooted: vm.Machine) -> None:
    again = play_on(rebooted.name)
    assert (again.status, again.changed) == (0, 0), again.output
