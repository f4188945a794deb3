# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel around the rules, in containers: one may write its network's settings, the others may not; modules are nobody's affair there."""

from __future__ import annotations

import json

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import SERVERS, machine, play
from testinfra.host import Host

WRITABLE = "trixie"
READ_ONLY = sorted(set(SERVERS) - {WRITABLE})
SYSCTLS = "/etc/sysctl.d/99-zz-palisade.conf"
MODULES = "/etc/modules-load.d/palisade.conf"
#: Of the profile, with the value in effect that it wants on eth0: what a kernel starts with is another one.
WANTED = {"accept_redirects": 0, "accept_source_route": 0, "log_martians": 1, "rp_filter": 1, "secure_redirects": 0, "send_redirects": 0}


def ipv4(server: Host, member: str) -> dict[str, int]:
    """Return the settings of an interface, of `all` or of `default`."""
    read = server.check_output(f"cd /proc/sys/net/ipv4/conf/{member} && head -n 1 {' '.join(WANTED)} | grep -v '^$'").split("\n")
    return {name.strip("=> <"): int(value) for name, value in zip(read[::2], read[1::2])}


@pytest.mark.parametrize("name", SERVERS)
def test_what_is_for_the_next_boot_is_written_everywhere(name: str) -> None:
    for path in (SYSCTLS, MODULES):
        file = machine(name).file(path)
        assert (path, file.is_file, file.user, file.group, file.mode) == (path, True, "root", "root", 0o644)
    assert "net.ipv4.conf.*.rp_filter = 1" in machine(name).file(SYSCTLS).content_string
    assert "nf_conntrack" in machine(name).file(MODULES).content_string.splitlines()


def test_where_it_may_be_written_it_is_in_effect() -> None:
    server = machine(WRITABLE)
    assert ipv4(server, "all") == ipv4(server, "default") == ipv4(server, "eth0") == WANTED
    server.check_output("ip link add later0 type veth peer name later1")
    try:
        assert ipv4(server, "later0") == WANTED
    finally:
        server.check_output("ip link delete later0")


@pytest.mark.parametrize("name", READ_ONLY)
def test_where_it_may_not_be_written_it_is_said_and_nothing_fails(name: str) -> None:
    """And the file that is written already is no change: the scenario's idempotence has shown that, this run shows it again."""
    server = machine(name)
    assert server.run("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter").rc != 0
    assert ipv4(server, "eth0") != WANTED
    done = play(name, "-v")
    assert (done.status, done.changed) == (0, 0), done.output
    assert "/proc/sys" in done.output
    keys = {entry["key"]: entry["state"] for entry in results(done.output, "keys")}
    assert keys["net.ipv4.conf.all.send_redirects"] == "readonly", keys
    modules = {entry["name"]: entry["state"] for entry in results(done.output, "modules")}
    assert modules["nf_conntrack"] in ("built_in", "loaded", "unmanageable"), modules


def results(output: str, name: str) -> list[dict[str, str]]:
    """Return the one list of that name that a task's result has in it."""
    (start,) = (place for place in range(len(output)) if output.startswith(f'"{name}": [', place))
    found: list[dict[str, str]] = json.JSONDecoder().raw_decode(output[start + len(f'"{name}": ') :])[0]
    return found
