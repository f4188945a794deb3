# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files: the unit fails and says why, the host is never open, and the role repairs it all."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    OFFERED,
    SERVERS,
    UNIT,
    met,
    play,
    reboot,
    saved,
    unit_journal,
    unit_state,
)
from testinfra.host import Host

CLOSED = {22: "open", 443: "silence", 8080: "silence"}
SILENT = {22: "silence", 443: "silence", 8080: "silence"}
RULES = "/etc/palisade/palisade.rules"

DAMAGES = {
    "corrupt": (f"sed -i 's/--dport 443 /--dport 8080 /' {RULES}", "its checksum is wrong"),
    "truncated": (f"truncate --size=-30 {RULES}", "its last line, which proves it whole"),
    "empty": (f": >{RULES}", "it is empty"),
    "world-readable": (f"chmod 644 {RULES}", "others than root may read or write it (mode 644)"),
    "foreign-owned": (f"chown 1000 {RULES}", "it belongs to user 1000, not to root"),
}
"""What is done to the file of the rules, and the words for it."""

ONE_OF_EACH_BACKEND = ("bookworm", "trixie")


def start_from_nothing(name: str, server: Host, *, by_reboot: bool) -> None:
    """Have the unit load what it can on a host without any rule of ours."""
    if by_reboot:
        reboot(name, power_cut=True)
    else:
        server.check_output(f"palisade-firewall flush && systemctl reset-failed {UNIT}")
        assert saved(server, SERVERS[name]) == {"ipv4": [], "ipv6": []}
        assert server.run(f"systemctl restart {UNIT}").rc != 0
    state = unit_state(server)
    assert (state["UnitFileState"], state["ActiveState"], state["Result"]) == ("enabled", "failed", "exit-code")


def loaded_from(server: Host) -> str:
    return str(server.check_output("sed -n 's/^from //p' /run/palisade/palisade.loaded")).strip()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ONE_OF_EACH_BACKEND)
def test_the_last_good_set_takes_the_place_of_a_damaged_file(
    name: str, damage: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    command, why = DAMAGES[damage]
    server.check_output(command)
    start_from_nothing(name, server, by_reboot=damage in ("corrupt", "foreign-owned"))
    journal = unit_journal(server)
    assert f"{RULES} is not used: {why}" in journal
    assert "loaded from: good" in journal
    assert loaded_from(server) == "good"
    assert saved(server, SERVERS[name]) == declared
    assert server.run("palisade-firewall status").rc == 1
    if damage == "corrupt":
        assert met(peer, server) == OFFERED
    if damage == "world-readable":
        assert play(name).changed
        assert (unit_state(server)["ActiveState"], server.file(RULES).mode) == ("active", 0o600)


@pytest.mark.parametrize("name", SERVERS)
def test_the_host_is_closed_but_for_ssh_where_no_set_is_whole_and_the_role_repairs_it(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    server.check_output("cd /etc/palisade; cp -a palisade.rules palisade.previous; for file in palisade.rules palisade.good palisade.previous; do "
                        "truncate --size=-30 $file; done")
    start_from_nothing(name, server, by_reboot=True)
    journal = unit_journal(server)
    for kind in ("rules", "good", "previous"):
        assert f"/etc/palisade/palisade.{kind} is not used: its last line" in journal
    assert loaded_from(server) == "closed"
    assert met(peer, server) == CLOSED
    assert play(name).changed
    assert unit_state(server)["ActiveState"] == "active"
    assert server.run("palisade-firewall status").rc == 0
    again = play(name)
    assert (again.status, again.changed) == (0, 0), again.output
    assert saved(server, SERVERS[name]) == declared
    assert met(peer, server) == OFFERED


@pytest.mark.parametrize("name", SERVERS)
def test_the_host_is_closed_where_nothing_is_left(name: str, server: Host, peer: Host) -> None:
    server.check_output("rm -rf /etc/palisade")
    start_from_nothing(name, server, by_reboot=False)
    assert "nothing is persisted in /etc/palisade" in unit_journal(server)
    assert loaded_from(server) == "built-in"
    assert met(peer, server) == SILENT


@pytest.mark.parametrize("name", ["bullseye"])
def test_a_reload_of_a_damaged_file_changes_nothing(name: str, server: Host, declared: dict[str, list[str]]) -> None:
    server.check_output(DAMAGES["corrupt"][0])
    assert server.run(f"systemctl reload {UNIT}").rc != 0
    assert saved(server, SERVERS[name]) == declared
