# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings of the profiles do to packets, on every interface: one with a dot in its name, and one that has come later.

Every question is asked on an open host first, where the answer is the other one, so that silence cannot pass for protection.
"""
from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import PROFILES

from .support.host import Host
from .support.odd_packets import (
    REDIRECT,
    REPLY,
    SOURCE_ROUTE,
    Cable,
    ask,
    datagram,
    delivered,
    filtered,
    gateway,
    icmp_types,
    kernel_log,
    ping,
    plug_in,
    redirect,
)
from .support.sysctls import hardened, write

CABLES = (Cable("eth0", 1), Cable("eth0.100", 2), Cable("tun0", 3))
LATER = Cable("eth9.9", 4)
#: Nobody there, and no route leads there.
NOWHERE = "198.18.0.1"
LEAVES = {
    "rp_filter": 0, "log_martians": 0, "accept_redirects": 1, "secure_redirects": 1, "send_redirects": 1, "accept_source_route": 1, "shared_media": 1,
}


class Machine:
    """A host with its cables, and where their other ends are."""

    def __init__(self, host: Host, other: Host) -> None:
        self.host, self.other = host, other

    def arrives(self, cable: Cable, frame: bytes) -> bool:
        """Tell whether a datagram is delivered on the host."""
        before = delivered(self.host)
        ask(self.other, cable, frame)
        return delivered(self.host) > before

    def redirected(self, cable: Cable, last: int) -> bool:
        """Tell whether the host believes a redirect about an address behind its gateway."""
        destination = cable.behind(last)
        assert gateway(self.host, destination) == cable.address(3)
        ask(self.other, cable, redirect(cable, destination))
        return gateway(self.host, destination) == cable.address(4)

    def redirects(self, cable: Cable, last: int) -> bool:
        """Tell whether the host tells a neighbour of a better way. It tells each one only now and then, so each is asked once."""
        packet = datagram(cable, cable.address(last), cable.behind(9))
        return REDIRECT in icmp_types(ask(self.other, cable, packet))

    def answers_a_ping_to_all(self, cable: Cable) -> bool:
        return icmp_types(ask(self.other, cable, ping(cable, cable.address(255)))) == [REPLY]

    def logs(self, cable: Cable, source: str) -> bool:
        """Tell whether an impossible source is in the kernel's log. The kernel writes ten lines in five seconds, for all of the machine."""
        with kernel_log() as log:
            ask(self.other, cable, *[datagram(cable, source)] * 2)
        return any(f"from {source}, on dev {cable.interface}" in line for line in log)


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(profile: str) -> Iterator[Machine]:
    """A host that is open to everything."""
    with Host("nft") as host, Host("nft") as other:
        for cable in CABLES:
            plug_in(host, other, cable)
        names = ("all", "default", *(cable.interface for cable in CABLES))
        write(host, {"net/ipv4/ip_forward": int(profile == "router"), "net/ipv4/icmp_echo_ignore_broadcasts": 0,
                     **{f"net/ipv4/conf/{name}/{leaf}": value for leaf, value in LEAVES.items() for name in names}})
        yield Machine(host, other)


def harden_and_plug_in_another(machine: Machine, profile: str) -> tuple[Cable, ...]:
    hardened(machine.host, profile=profile)
    plug_in(machine.host, machine.other, LATER)
    return (*CABLES, LATER)


def elsewhere(cable: Cable) -> str:
    """Return an address that is at home on another cable."""
    return next(other for other in CABLES if other != cable).address(8)


def test_forged_sources_are_dropped(machine: Machine, profile: str) -> None:
    for cable in CABLES:
        assert machine.arrives(cable, datagram(cable, elsewhere(cable)))
        assert machine.arrives(cable, datagram(cable, NOWHERE))
    for cable in harden_and_plug_in_another(machine, profile):
        before = filtered(machine.host)
        # By 2, which a workstation has for its VPNs, only what could not be answered at all is forged.
        assert machine.arrives(cable, datagram(cable, elsewhere(cable))) == (profile == "workstation")
        assert not machine.arrives(cable, datagram(cable, NOWHERE))
        assert machine.arrives(cable, datagram(cable, cable.address(5)))
        assert filtered(machine.host) - before == (1 if profile == "workstation" else 2)


def test_redirects_are_not_believed(machine: Machine, profile: str) -> None:
    for cable in CABLES:
        assert machine.redirected(cable, 1)
    for cable in harden_and_plug_in_another(machine, profile):
        assert not machine.redirected(cable, 2)


def test_redirects_are_not_sent(machine: Machine, profile: str) -> None:
    for cable in CABLES:
        assert machine.redirects(cable, 5) == (profile == "router"), "who does not forward has nothing to tell"
    for cable in harden_and_plug_in_another(machine, profile):
        assert not machine.redirects(cable, 6)


def test_source_routes_are_not_taken(machine: Machine, profile: str) -> None:
    for cable in CABLES:
        assert machine.arrives(cable, datagram(cable, cable.address(2), options=SOURCE_ROUTE))
    for cable in harden_and_plug_in_another(machine, profile):
        assert not machine.arrives(cable, datagram(cable, cable.address(2), options=SOURCE_ROUTE))
        assert machine.arrives(cable, datagram(cable, cable.address(2)))


def test_pings_to_all_are_not_answered(machine: Machine, profile: str) -> None:
    for cable in CABLES:
        assert machine.answers_a_ping_to_all(cable)
    for cable in harden_and_plug_in_another(machine, profile):
        assert not machine.answers_a_ping_to_all(cable)


def test_impossible_sources_are_logged_but_on_a_workstation(machine: Machine, profile: str) -> None:
    write(machine.host, {f"net/ipv4/conf/{name}/rp_filter": 1 for name in ("all", *(cable.interface for cable in CABLES))})
    for cable in CABLES:
        assert not machine.logs(cable, f"198.18.{cable.number}.1")
    for cable in harden_and_plug_in_another(machine, profile):
        source = f"198.18.{cable.number}.{2 + PROFILES.index(profile)}"
        if profile == "workstation":
            assert not machine.logs(cable, source)
        else:
            assert logs_in_the_end(machine, cable, source)


def logs_in_the_end(machine: Machine, cable: Cable, source: str) -> bool:
    """Tell whether an impossible source is logged once others leave the kernel a line for it: they may use up several spans of five seconds."""
    end = time.monotonic() + 60
    while not machine.logs(cable, source):
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
