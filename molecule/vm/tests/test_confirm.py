# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof over a real ssh, with real timers, wires and power: whatever happens to the controller, the network or the machine, it lets
people in again within confirm_timeout + 5 s, by its own clock, and has the rules from before.

The cases are spread over the two machines: which backend it is makes no difference to most of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Dict

import pytest
from devkit import vm

from .changing import COMMIT, FILL_RUN, SECOND_ADDRESS, Rollback, kept, left_behind, locked_out, met, rollback, running, until, wait_for
from .conftest import Boot
from .declared import read

SECONDS = 10
YEARS = 3 * 365 * 86400
LATEST = 5
"""Seconds beyond confirm_timeout that the issue grants."""

ON_BOOKWORM = pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
ON_TRIXIE = pytest.mark.parametrize("machine", ["trixie"], indirect=True)


@pytest.fixture(autouse=True)
def as_before(machine: vm.Machine) -> Iterator[None]:
    """Insist on it that the rules and files are again what they were, and that systemd knows nothing of it any more."""
    before = kept(machine)
    yield
    assert machine.answers(30)
    assert kept(machine) == before
    until(lambda: left_behind(machine) == "", 30, "the timer's units have gone")


def check_times(machine: vm.Machine, *what: str) -> Rollback:
    """Insist on it that it went by the timer of systemd, to the second, and within the time."""
    seconds = SECONDS
    times = rollback(machine, seconds, *what)
    assert 0 <= times.fired - times.armed - seconds < LATEST, times  # systemd's own idea of accuracy is a minute
    assert times.fired <= times.back <= times.ended, times
    assert times.back - times.applied_by >= seconds - 1, times
    # When the first of the families is back there is more to do, which is quick, but not on an emulated processor that others use too.
    assert times.locked_out[-1] - times.locked_out[0] <= seconds + LATEST, times
    assert times.locked_out[-1] <= times.back
    print(machine.name, times)
    return times


@ON_BOOKWORM
def test_whoever_locks_everybody_out_is_told_and_the_machine_lets_them_in_again(machine: vm.Machine) -> None:
    """The old connection goes on, and confirms nothing. What others change meanwhile stays. /run is full by then, and the clock was set twice."""
    with running(machine, locked_out(seconds=SECONDS, established=True)) as run:
        wait_for(machine, run, "applied")
        assert met(machine) == "silence"
        accuracy = machine.check("systemctl show --property=AccuracyUSec palisade-rollback-palisade-$(cat %s/token).timer" % COMMIT)
        machine.check(f"""
            iptables -N f2b-sshd; iptables -A f2b-sshd -s 203.0.113.9 -j DROP; iptables -I INPUT -p tcp --dport 22 -j f2b-sshd
            date -s @$(($(date +%s) + {YEARS})); date -s @$(($(date +%s) - 2 * {YEARS})); {FILL_RUN}""")
        result = run.result()
        machine.check(f"date -s @$(($(date +%s) + {YEARS})); rm /run/filler")
    assert accuracy == "AccuracyUSec=100ms"
    assert (result["changed"], result["confirm"]["state"]) == (False, "rolled_back"), result
    assert result["msg"].startswith(f"No new connection confirmed the change within {SECONDS} s"), result["msg"]
    assert result["msg"].endswith("The host has put back what it had before"), result["msg"]
    check_times(machine)
    assert machine.check("iptables -S INPUT 1") == "-A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd"
    machine.check("iptables -S f2b-sshd | grep 203.0.113.9; iptables -D INPUT 1; iptables -F f2b-sshd; iptables -X f2b-sshd")


@ON_TRIXIE
def test_the_controller_is_killed_right_after_the_change(machine: vm.Machine) -> None:
    """No connection at all goes on, old or new."""
    with running(machine, locked_out(seconds=SECONDS, established=False)) as run:
        until(lambda: run.goes_on() and met(machine) == "silence", 200, "the change is live")
        run.kill()
    until(lambda: met(machine) == "refused", 200, "the machine lets people in again")
    assert machine.answers(30)
    check_times(machine)


@ON_BOOKWORM
def test_the_network_is_cut_while_a_good_change_waits(machine: vm.Machine) -> None:
    good = {**locked_out(seconds=SECONDS, established=True), "allow_lockout": False}
    good["tables"]["filter"]["INPUT"]["rules"].append("-p tcp --dport 22 -j ACCEPT")  # type: ignore[index]
    with running(machine, good) as run:
        wait_for(machine, run)
        machine.cut()
        try:
            until(lambda: run.goes_on() and met(machine, SECOND_ADDRESS) == "silence", 200, "the change is live")
            until(lambda: met(machine, SECOND_ADDRESS) == "refused", 200, "what was there before is back")
        finally:
            machine.mend()
        result = run.result()
    assert result["confirm"]["state"] == "rolled_back", result
    check_times(machine)


@pytest.fixture
def answers_another_way(machine: vm.Machine) -> Iterator[None]:
    """Have a machine's answers to its neighbour leave by its second wire, while the questions come by the first one. No rp_filter minds."""
    loose = "for key in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$key; done"
    there = machine.in_namespace("sh", "-euc", "grep . /proc/sys/net/ipv4/conf/*/rp_filter").stdout
    here = machine.check("grep . /proc/sys/net/ipv4/conf/*/rp_filter")
    machine.in_namespace("sh", "-euc", loose)
    machine.check(f"{loose}; ip route add 192.0.2.1/32 via 198.51.100.1 dev eth1 src {machine.address}")
    yield
    machine.check("ip route del 192.0.2.1/32; " + put_back(here))
    machine.in_namespace("sh", "-euc", put_back(there))


def put_back(values: str) -> str:
    """Return the command that writes what grep has found."""
    return "; ".join("echo {1} >{0}".format(*line.split(":")) for line in values.split())


@ON_TRIXIE
def test_a_sysctl_that_cuts_management_is_put_back(machine: vm.Machine, answers_another_way: None) -> None:
    look = "cat /proc/sys/net/ipv4/conf/*/rp_filter; sha256sum /etc/sysctl.d/*"
    before = machine.check(look)
    strict: Dict[str, object] = {"profile": "server", "confirm_timeout": SECONDS}
    with running(machine, strict, "palisade.netfilter.sysctl_hardening") as run:
        result = run.result()
    assert (result["failed"], result["changed"], result["confirm"]["state"]) == (True, False, "rolled_back"), result
    check_times(machine, "kernel-settings", "martian source")
    assert machine.check(look) == before


@ON_TRIXIE
def test_a_power_cut_in_the_window_boots_the_rules_from_before(machine: vm.Machine, boot: Boot) -> None:
    """All of test_boot.py is about that boot, too: it finds what was declared, from before the network."""
    assert (boot.run["failed"], boot.run["confirm"]["state"]) == (True, "gone"), boot.run
    assert "It was restarted meanwhile" in boot.run["msg"], boot.run["msg"]
    assert kept(machine).rules == read(machine.check("cat /run/witness")).rules
