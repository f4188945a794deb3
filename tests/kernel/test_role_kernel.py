# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles and the kernel around the rules: modules, then rules, then sysctls, and the other way round on the way out."""
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .support.host import FAMILIES, Host
from .support.plays import message, player
from .support.wire import NEIGHBOUR, OWN, answering, ask, cable, running

ONCE = pytest.mark.parametrize("backend", ["nft"])
#: The router's address in its LAN, and a host there.
INSIDE = {"ipv4": "10.0.0.1", "ipv6": "fd00::1"}
CLIENT = {"ipv4": "10.0.0.2", "ipv6": "fd00::2"}
ROUTER: dict[str, Any] = {
    "firewall_lan": {"home": {"interfaces": "eth1", "networks": ["10.0.0.0/24", "fd00::/64"]}},
    "firewall_wan": {"line": {"interfaces": "eth0"}},
}
FORWARDING = {"ipv4": "net.ipv4.ip_forward", "ipv6": "net.ipv6.conf.all.forwarding"}
#: A datagram to each address every two milliseconds.
STREAM = """
import socket, time
wires = [(socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM), to) for to in {to}]
print("ready", flush=True)
while True:
    for wire, to in wires:
        try:
            wire.sendto(to.encode(), (to, 9))
        except OSError:
            pass
    time.sleep(0.002)
"""
#: Says to which addresses datagrams have come, once for each, and stops at the end of its input.
COUNT = """
import socket, sys, threading
def listen(family, to):
    wire = socket.socket(family, socket.SOCK_DGRAM)
    wire.bind((to, 9))
    print("come to", wire.recv(100).decode(), flush=True)
for to in {to}:
    threading.Thread(target=listen, args=(socket.AF_INET6 if ":" in to else socket.AF_INET, to), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def sysctl(host: Host, *keys: str) -> list[str]:
    return host.run("sysctl", "-n", *keys).stdout.split("\n")[:-1]


@pytest.fixture
def outside(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a neighbour on `host`'s eth0, which sends what is for the LAN to `host`."""
    there = new_host()
    cable(host, there)
    for family in FAMILIES:
        there.run("ip", f"-{family[-1]}", "route", "add", "default", "via", OWN[family])
    return there


@pytest.fixture
def inside(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a host in the LAN on `host`'s eth1."""
    there = new_host()
    cable(host, there, "eth1", INSIDE, CLIENT)
    for family in FAMILIES:
        there.run("ip", f"-{family[-1]}", "route", "add", "default", "via", INSIDE[family])
    return there


@contextmanager
def arrivals(outside: Host, inside: Host) -> Iterator[list[str]]:
    """Send from outside to the host inside for as long as this lasts; which addresses have been reached is in the list afterwards."""
    found: list[str] = []
    to = list(CLIENT.values())
    with inside.start(sys.executable, "-c", COUNT.format(to=to)) as counter:
        assert counter.stdout is not None
        assert counter.stdout.readline() == "ready\n"
        with running(outside, STREAM.format(to=to)):
            yield found
        found += sorted(re.findall("come to (.*)", counter.communicate()[0]))


@ONCE
def test_row_2_7_a_router_forwards_nothing_that_its_rules_forbid_at_any_moment(
    host: Host, outside: Host, inside: Host, tmp_path: Path
) -> None:
    play = player(host, tmp_path, "nat_router", **ROUTER)
    off = [f"{key}=0" for key in FORWARDING.values()]
    with arrivals(outside, inside) as found:
        host.run("sysctl", "-qw", *(f"{key}=1" for key in FORWARDING.values()))
        subprocess.run(["sleep", "1"], check=True)
    assert found == sorted(CLIENT.values()), "the stream would not have shown anything"
    host.run("sysctl", "-qw", *off)
    with arrivals(outside, inside) as found:
        play(changed=CHANGED)
        assert sysctl(host, *FORWARDING.values()) == ["1", "1"]
        with answering(outside, 53):
            assert [ask(inside, family, NEIGHBOUR[family], 53) for family in FAMILIES] == ["53", "53"]
        play(changed=3, firewall_state="absent")
        assert sysctl(host, *FORWARDING.values()) == ["0", "0"]
    assert found == []


#: Modules, rules, loader, sysctls.
CHANGED = 4


@ONCE
def test_all_of_it_and_away_again(host: Host, tmp_path: Path) -> None:
    play = player(host, tmp_path, "server")
    keys = ["net.ipv4.conf.all.accept_redirects", "net.ipv4.conf.lo.log_martians", "net.ipv4.icmp_echo_ignore_broadcasts"]
    before = sysctl(host, *keys)
    foreseen = play("--check", "--diff", changed=CHANGED).stdout
    assert sysctl(host, *keys) == before
    assert host.run("sh", "-c", "find /run/overlay -type f").stdout == ""
    done = play("--diff", changed=CHANGED).stdout
    lines = re.compile(r"^[-+][^-+].*$", re.MULTILINE)
    assert lines.findall(done) == lines.findall(foreseen)
    assert "+-net.ipv4.conf.*.log_martians = 1\n" in done
    play(changed=0)
    play(changed=3, firewall_state="absent")
    assert sysctl(host, *keys) == before
    play(changed=0, firewall_state="absent")
    assert host.run("sh", "-c", "find /etc/sysctl.d /etc/modules-load.d /etc/modprobe.d -name '*palisade*'").stdout == ""


@ONCE
def test_what_is_unmanaged_is_left_alone(host: Host, tmp_path: Path) -> None:
    play = player(host, tmp_path, "server", firewall_modules_state="unmanaged", firewall_sysctl_state="unmanaged")
    before = host.run("sysctl", "-a", "-r", "^net[.]").stdout
    play(changed=2)
    assert host.run("sysctl", "-a", "-r", "^net[.]").stdout == before
    assert host.run("sh", "-c", "ls /run/overlay/etc/upper").stdout.split() == ["palisade"]


@ONCE
def test_the_variables_reach_the_modules(host: Host, tmp_path: Path) -> None:
    host.run("ip", "link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1")
    play = player(
        host, tmp_path, "workstation",
        firewall_sysctl={"net.ipv4.conf.all.log_martians": 1, "net.ipv4.tcp_syncookies": None},
        firewall_sysctl__ecn={"net.ipv4.tcp_ecn": 0},
        firewall_sysctl_interfaces={"vpn0": {"ipv4.rp_filter": 0}},
        firewall_modules={"sctp": {"state": "blocked"}},
    )
    host.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
    play(changed=CHANGED)
    assert sysctl(host, "net.ipv4.tcp_ecn", "net.ipv4.tcp_syncookies", "net.ipv4.conf.vpn0.log_martians") == ["0", "2", "1"]
    assert "install sctp /bin/false" in host.run("cat", "/etc/modprobe.d/palisade.conf").stdout
    play(changed=0)


@ONCE
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"firewall_sysctl": {"net.ipv4.tcp_ecn": 7}}, "net.ipv4.tcp_ecn"),
        ({"firewall_modules": {"no such": {}}}, "no such"),
        ({"firewall_modules": {"sctp": {"state": "gone"}}}, "gone"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_has_changed(host: Host, tmp_path: Path, said: dict[str, Any], told: str) -> None:
    play = player(host, tmp_path, "server")
    assert told in message(play(changed=None, **said))
    assert "palisade" not in host.save()
