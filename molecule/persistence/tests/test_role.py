# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role run again on a host that has it all: another rule, check mode, another firewall manager, and the way out."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    FAMILIES,
    OFFERED,
    SERVERS,
    UNIT,
    met,
    play,
    saved,
    unit_state,
)
from testinfra.host import Host

ANOTHER_SERVICE = {"firewall_services__another": {"another": {"ports": [8080]}}}
FILES = "find /etc/palisade /usr/local/sbin /etc/systemd/system /etc/modules-load.d -type f,l -printf '%p %m %u %s %T@ %i %l\\n' | sort"
MANAGER = """printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' \
>/etc/systemd/system/netfilter-persistent.service && systemctl daemon-reload && systemctl enable --quiet netfilter-persistent.service"""


def state_of(name: str, server: Host) -> tuple[object, ...]:
    """Return all that a run may change: files with their times and inodes, the live rules, the unit."""
    return server.check_output(FILES), saved(server, SERVERS[name]), unit_state(server)


@pytest.mark.parametrize("name", ["bullseye"])
def test_check_mode_shows_a_new_rule_and_touches_neither_rules_nor_files(name: str, server: Host) -> None:
    before = state_of(name, server)
    shown = play(name, "--check", "--diff", **ANOTHER_SERVICE)
    assert (shown.status, shown.changed) == (0, 1), shown.output
    assert "+-A palisade-INPUT -p tcp -m tcp --dport 8080 " in shown.output
    assert state_of(name, server) == before


@pytest.mark.parametrize("name", ["bullseye"])
def test_a_new_rule_is_live_and_in_the_file_and_the_old_file_is_kept(name: str, server: Host, peer: Host) -> None:
    old = server.file("/etc/palisade/palisade.rules").content_string
    done = play(name, **ANOTHER_SERVICE)
    assert (done.status, done.changed) == (0, 1), done.output
    assert met(peer, server) == {**OFFERED, 8080: "open"}
    rule = "-A palisade-INPUT -p tcp -m tcp --dport 8080 "
    for kind in ("rules", "good"):
        assert server.file(f"/etc/palisade/palisade.{kind}").content_string.count(rule) == len(FAMILIES)
    assert server.file("/etc/palisade/palisade.previous").content_string == old
    server.check_output(f"palisade-firewall flush && systemctl restart {UNIT} && palisade-firewall status")
    assert met(peer, server) == {**OFFERED, 8080: "open"}
    assert play(name, **ANOTHER_SERVICE).changed == 0


@pytest.mark.parametrize("name", ["bullseye"])
def test_another_firewall_manager_stops_the_role_unless_it_may_stay(name: str, server: Host) -> None:
    server.check_output(MANAGER)
    before = state_of(name, server)
    refused = play(name, **ANOTHER_SERVICE)
    assert (refused.status, refused.changed) == (2, 0), refused.output
    assert "netfilter-persistent loads /etc/iptables/rules.v4" in refused.output
    assert state_of(name, server) == before
    allowed = play(name, firewall_beside=["netfilter-persistent"])
    assert (allowed.status, allowed.changed) == (0, 0), allowed.output


@pytest.mark.parametrize("name", ["bullseye", "bookworm"])
def test_absent_takes_everything_away_and_present_brings_it_back(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    shown = play(name, "--check", firewall_state="absent")
    assert (shown.status, shown.changed) == (0, 3), shown.output
    assert saved(server, SERVERS[name]) == declared
    gone = play(name, firewall_state="absent")
    assert (gone.status, gone.changed) == (0, 3), gone.output
    assert saved(server, SERVERS[name]) == {"ipv4": [], "ipv6": []}
    assert set(met(peer, server).values()) == {"open"}
    assert server.run("ls -d /etc/palisade/* /usr/local/sbin/palisade-firewall /etc/systemd/system/palisade-firewall.service "
                      "/etc/systemd/system/*/palisade-firewall.service "
                      "/etc/modules-load.d/palisade* /etc/modprobe.d/*palisade* /etc/sysctl.d/*palisade*").stdout == ""
    assert "LoadState=not-found" in server.check_output(f"systemctl show --property=LoadState {UNIT}")
    assert play(name, firewall_state="absent").changed == 0
    assert play(name).changed
    assert saved(server, SERVERS[name]) == declared
    assert unit_state(server)["UnitFileState"] == "enabled"
