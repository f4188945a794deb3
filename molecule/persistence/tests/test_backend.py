# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each host loads with the backend that its rules were written for, or stays closed and says why."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    OFFERED,
    SERVERS,
    met,
    reboot,
    saved,
    unit_journal,
    unit_state,
)
from testinfra.host import Host

from .conftest import SWITCH

OTHER = {"nft": "legacy", "legacy": "nft"}
# As Debian's unit is ordered. It loads a rule into a backend early at boot.
LOADS_A_RULE = """
set -e
cat >/etc/systemd/system/netfilter-persistent.service <<'END'
[Unit]
DefaultDependencies=no
Wants=network-pre.target systemd-modules-load.service local-fs.target
Before=network-pre.target shutdown.target
After=systemd-modules-load.service local-fs.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-%s -A INPUT -s 192.0.2.9/32 -j DROP
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet netfilter-persistent.service
"""


@pytest.mark.parametrize("name", ["bookworm", "trixie"])
def test_the_recorded_backend_is_used_unless_packets_would_pass_both(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    recorded, other = SERVERS[name], OTHER[SERVERS[name]]
    server.check_output(SWITCH % other)
    reboot(name)
    assert f"is for the {recorded} backend, and iptables on this host is now {other}" in unit_journal(server)
    assert unit_state(server)["ActiveState"] == "active"
    assert saved(server, recorded) == declared
    assert saved(server, other) == {"ipv4": [], "ipv6": []}

    server.check_output(LOADS_A_RULE % other)
    reboot(name)
    journal = unit_journal(server)
    assert unit_state(server)["ActiveState"] == "failed"
    assert f"palisade.rules: it is for the {recorded} backend, and rules are in {other}" in journal
    assert "loaded from: closed" in journal
    assert saved(server, recorded) == {"ipv4": [], "ipv6": []}
    assert "-A INPUT -s 192.0.2.9/32 -j DROP" in saved(server, other)["ipv4"]
    assert met(peer, server) == {**OFFERED, 443: "silence"}
