# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without systemd: files and loader are there, and the role says what has to be called at boot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import container, machine, play, saved

CALL = "/usr/local/sbin/palisade-firewall boot"
CALLER = "/etc/rc.local"

pytestmark = pytest.mark.parametrize("name", ["plain"])


@pytest.fixture
def caller(name: str) -> Iterator[str]:
    """Give the place of a file that may call the loader, and take the file away."""
    yield CALLER
    machine(name).check_output(f"rm -f {CALLER}")


def test_the_role_says_what_to_call_until_something_calls_it(name: str, caller: str) -> None:
    host = machine(name)
    again = play(name)
    assert (again.status, again.changed) == (0, 0), again.output
    assert f"Have `{CALL}` run as root at every boot" in again.output
    assert not host.file("/etc/systemd/system/palisade-firewall.service").exists
    host.check_output(f"printf '#!/bin/sh\n{CALL}\n' >{caller}")
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

    subprocess.run(["docker", "restart", "-t", "0", container(name)], check=True, stdout=subprocess.DEVNULL)
    assert saved(host, "nft") == {"ipv4": [], "ipv6": []}
    host.check_output(CALL)
    assert saved(host, "nft") == rules
    status = host.run("palisade-firewall status")
    assert (status.rc, status.stdout.count(": same as persisted")) == (0, 2), status.stdout
