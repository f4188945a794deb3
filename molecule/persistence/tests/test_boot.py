# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot, and what a person does with the unit and the loader afterwards."""

from __future__ import annotations

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import (
    FAMILIES,
    OFFERED,
    SERVERS,
    UNIT,
    machine,
    met,
    reboot,
    rules,
    saved,
    unit_journal,
    unit_state,
)
from testinfra.host import Host

DOCKER = """
set -e
%(command)s -N DOCKER; %(command)s -N DOCKER-USER; %(command)s -A DOCKER-USER -j RETURN
%(command)s -I FORWARD -j DOCKER-USER; %(command)s -A FORWARD -o docker0 -j DOCKER
%(command)s -t nat -N DOCKER; %(command)s -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
"""
FLUSH = "%(command)s -P INPUT ACCEPT; %(command)s -P FORWARD ACCEPT; %(command)s -F; %(command)s -X"


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rules_before(name: str) -> dict[str, list[str]]:
    return saved(machine(name), SERVERS[name])


@pytest.fixture(scope="module")
def booted(name: str, rules_before: dict[str, list[str]]) -> Host:
    """Give a server after a reboot."""
    reboot(name)
    return machine(name)


def test_the_rules_are_there_after_a_reboot_in_their_backend(name: str, booted: Host, rules_before: dict[str, list[str]]) -> None:
    assert saved(booted, SERVERS[name]) == rules_before
    other = "legacy" if SERVERS[name] == "nft" else "nft"
    assert saved(booted, other) == {"ipv4": [], "ipv6": []}


def test_a_neighbour_meets_them(booted: Host, peer: Host) -> None:
    assert met(peer, booted) == OFFERED


def test_the_unit_was_finished_before_the_network(booted: Host) -> None:
    state = unit_state(booted)
    assert (state["UnitFileState"], state["ActiveState"], state["Result"]) == ("enabled", "active", "success")
    when = {}
    for unit in (UNIT, "network-pre.target", "multi-user.target"):
        when[unit] = int(booted.check_output(f"systemctl show --property=ActiveEnterTimestampMonotonic --value {unit}"))
    assert 0 < when[UNIT] <= when["network-pre.target"] <= when["multi-user.target"]
    before = booted.check_output(f"systemctl show --property=Before --value {UNIT}").split()
    assert {"network-pre.target", "systemd-sysctl.service", "shutdown.target"} <= set(before)


def test_systemd_finds_nothing_wrong_with_the_unit(booted: Host) -> None:
    verified = booted.run(f"systemd-analyze verify --man=no {UNIT}")
    assert (verified.rc, verified.stdout + verified.stderr) == (0, "")
    assert "ordering cycle" not in booted.check_output("journalctl -q -b --no-pager").lower()


def test_the_journal_and_status_say_what_was_loaded(booted: Host) -> None:
    assert "loaded /etc/palisade/palisade.rules of 2" in unit_journal(booted)
    status = booted.run("palisade-firewall status")
    assert (status.rc, status.stdout.count(": same as persisted"), status.stdout.count("by boot, from rules")) == (0, 2, 1), status.stdout


def test_stopping_the_unit_leaves_the_host_closed(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    server.check_output(f"systemctl stop {UNIT}")
    assert unit_state(server)["ActiveState"] == "inactive"
    assert saved(server, SERVERS[name]) == declared
    assert met(peer, server) == OFFERED
    for verb in ("start", "reload", "restart"):
        server.check_output(f"systemctl {verb} {UNIT}")
        assert (verb, unit_state(server)["ActiveState"]) == (verb, "active")
        assert saved(server, SERVERS[name]) == declared


def test_flushing_opens_the_host_and_says_so_and_a_start_closes_it(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    assert "OPEN" in server.run("palisade-firewall flush").stderr
    assert saved(server, SERVERS[name]) == {"ipv4": [], "ipv6": []}
    assert set(met(peer, server).values()) == {"open"}
    status = server.run("palisade-firewall status")
    assert (status.rc, status.stdout.count(": not loaded")) == (1, 2), status.stdout
    server.check_output(f"systemctl reload {UNIT}")
    assert saved(server, SERVERS[name]) == declared


def test_loading_after_a_flush_by_hand_twice_and_beside_docker(
    name: str, server: Host, peer: Host, declared: dict[str, list[str]],
) -> None:
    for command in FAMILIES.values():
        server.check_output(FLUSH % {"command": command})
        server.check_output(DOCKER % {"command": command})
    foreign = saved(server, SERVERS[name])
    for command in ("boot", "boot", "reload"):
        server.check_output(f"palisade-firewall {command}")
        for family in FAMILIES:
            loaded = saved(server, SERVERS[name])[family]
            assert [line for line in loaded if "palisade" not in line and " DROP" not in line] == foreign[family]
            assert [line for line in loaded if "palisade" in line or " DROP" in line] == declared[family]
            for hook in ("INPUT", "FORWARD"):
                jumps = [line for line in loaded if line.endswith(f"-j palisade-{hook}")]
                assert rules(server, family, hook)[-1:] == jumps
    assert met(peer, server) == OFFERED
    for command in FAMILIES.values():
        server.check_output(f"{command} -t nat -F; {command} -t nat -X; {command} -F FORWARD; {command} -F DOCKER-USER; "
                            f"{command} -X DOCKER; {command} -X DOCKER-USER")
