# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the scenarios as tests see them: their rules, and what a neighbour meets who connects. Holds no test."""

from __future__ import annotations

import os

import pytest
import testinfra
from testinfra.host import Host

INSTANCE = os.environ.get("PALISADE_INSTANCE", "local")
SERVERS = {"bullseye": "nft", "bookworm": "legacy", "trixie": "nft"}
"""The servers, each with the iptables backend that it is on."""

EACH_SERVER = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SERVERS]
"""Parameters of a fixture: the tests of one server run one after the other, those of different servers side by side."""

FAMILIES = {"ipv4": "iptables", "ipv6": "ip6tables"}

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except socket.timeout:
    print("silence")
except ConnectionRefusedError:
    print("refused")
else:
    print("open")
"""


def container(name: str) -> str:
    """Return what the container engine and the inventory call a machine."""
    return f"{name}-{INSTANCE}"


def machine(name: str) -> Host:
    """Return a machine of the scenario, to run commands on."""
    return testinfra.get_host(f"docker://{container(name)}")


def unit_state(host: Host) -> dict[str, str]:
    """Return what systemd has to say of the unit that loads the rules."""
    shown = host.check_output("systemctl show --property=ActiveState,UnitFileState,Result,ActiveEnterTimestampMonotonic palisade-firewall.service")
    return dict(line.split("=", 1) for line in shown.splitlines())


def rules(host: Host, family: str, chain: str, table: str = "filter") -> list[str]:
    """Return a chain as the host's own iptables lists it."""
    return str(host.check_output(f"{FAMILIES[family]} -w -t {table} -S {chain}")).splitlines()


def address(host: Host, family: str) -> str:
    """Return the host's address on the wire between the machines; for IPv6 the one that needs no configuration, with its zone."""
    scope = "-4 addr show dev eth0 scope global" if family == "ipv4" else "-6 addr show dev eth0 scope link"
    words = host.check_output(f"ip -o {scope}").split()
    return words[3].split("/")[0] + ("%eth0" if family == "ipv6" else "")


def connect(source: Host, target: Host, family: str, port: int) -> str:
    """Return what a new connection meets: open, refused or silence."""
    return str(source.check_output("python3 -c %s %s %s", CONNECT, address(target, family), str(port))).strip()
