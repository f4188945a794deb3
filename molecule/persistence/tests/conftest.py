# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario's tests start from and leave behind: servers with the declared rules, persisted and live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import FAMILIES, SERVERS, UNIT, machine, reboot, saved, unit_state
from testinfra.host import Host

SWITCH = "for command in iptables ip6tables; do update-alternatives --set $command /usr/sbin/$command-%s; done"


@pytest.fixture(scope="session")
def peer() -> Host:
    return machine("peer")


@pytest.fixture
def server(name: str) -> Iterator[Host]:
    """Give a server as the role leaves it, and put everything of ours back as it was: files, unit, rules."""
    host = machine(name)
    assert unit_state(host)["ActiveState"] == "active"
    host.check_output("rm -rf /root/kept && cp -a /etc/palisade /root/kept")
    before = saved(host, SERVERS[name])
    yield host
    host.check_output("rm -rf /etc/palisade && cp -a /root/kept /etc/palisade")
    host.check_output(SWITCH % SERVERS[name])
    host.run(f"systemctl disable --now --quiet netfilter-persistent.service; rm -f /etc/systemd/system/netfilter-persistent.service; "
             f"systemctl daemon-reload; systemctl reset-failed {UNIT}; systemctl restart {UNIT}")
    if saved(host, SERVERS[name]) != before:
        reboot(name)
        assert saved(host, SERVERS[name]) == before


@pytest.fixture
def declared(name: str, server: Host) -> dict[str, list[str]]:
    """Give what the declared rules look like, by family."""
    rules = saved(server, SERVERS[name])
    assert all(":palisade-INPUT -" in rules[family] for family in FAMILIES)
    return rules
