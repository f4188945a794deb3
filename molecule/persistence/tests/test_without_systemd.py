# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without systemd: files and loader are there, and the role says what has to be called at boot."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import container, machine, play, saved

pytestmark = pytest.mark.parametrize("name", ["plain"])
CALL = "/usr/local/sbin/palisade-firewall boot"


def test_the_role_says_what_to_call_until_something_calls_it(name: str) -> None:
    host = machine(name)
    again = play(name)
    assert (again.status, again.changed) == (0, 0), again.output
    assert f"Have `{CALL}` run as root at every boot" in again.output
    assert not host.file("/etc/systemd/system/palisade-firewall.service").exists
    host.check_output(f"printf 'iface lo inet loopback\\n  pre-up {CALL} || true\\n' >/etc/network/interfaces" if host.file("/etc/network").exists
                      else f"printf '#!/bin/sh\\n{CALL}\\n' >/etc/rc.local")
    quiet = play(name)
    assert (quiet.status, quiet.changed) == (0, 0), quiet.output
    assert CALL not in quiet.output


def test_the_loader_brings_the_rules_back(name: str) -> None:
    host = machine(name)
    rules = saved(host, "nft")
    assert ":INPUT DROP" in rules["ipv4"]
    for command in ("iptables", "ip6tables"):
        host.check_output(f"{command} -P INPUT ACCEPT; {command} -P FORWARD ACCEPT; {command} -F; {command} -X")
    host.check_output(CALL)
    assert saved(host, "nft") == rules

    subprocess.run(["docker", "restart", "--time", "0", container(name)], check=True, stdout=subprocess.DEVNULL)
    assert saved(host, "nft") == {"ipv4": [], "ipv6": []}
    host.check_output(CALL)
    assert saved(host, "nft") == rules
    status = host.run("palisade-firewall status")
    assert (status.rc, status.stdout.count(": same as persisted")) == (0, 2), status.stdout
