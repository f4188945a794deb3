# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof through the whole of Ansible over a real ssh: what no new connection confirms is put back by the host itself."""
from __future__ import annotations

import time
from pathlib import Path

import pytest

from .support.host import FAMILIES, Host
from .test_guard import CLOSED, DISCOVERY, ESTABLISHED, FINE, SSH, ask, tables
from .test_over_ssh import ADDRESSES, BY_SUDO, role, ssh_client

SECONDS = 5
OLD = tables([ESTABLISHED, SSH, DISCOVERY, "-p tcp --dport 80 -j ACCEPT"])
PIPELINING = "ansible_ssh_pipelining=true\n"


def saved(host: Host) -> dict[str, str]:
    return {family: host.save(family) for family in FAMILIES}


@pytest.mark.parametrize("family", ADDRESSES)
def test_a_new_connection_confirms_and_only_then_the_files_change(host: Host, tmp_path: Path, family: str) -> None:
    role(host)  # It brings the sudo that drops SSH_CONNECTION.
    own, client, _length = ADDRESSES[family]
    with ssh_client(host, tmp_path) as inside:
        first, second = ask(host, inside, tmp_path, family, {**FINE, "persist": True}, {**FINE, "persist": True}, variables=BY_SUDO + "\n" + PIPELINING)
    assert (first["failed"], first["changed"]) == (False, True), first
    assert first["confirm"]["state"] == "proved", first["confirm"]
    assert first["confirm"]["connection"].startswith(f"from {client} port ")
    assert first["confirm"]["connection"].endswith(f" to {own} port 22")
    assert first["confirm"]["connection"] != first["guard"]["connection"]
    assert (second["changed"], second["confirm"]["state"]) == (False, "none"), second
    assert host.run("ls", "/etc/palisade").stdout.split() == ["palisade.closed", "palisade.good", "palisade.rules"]


@pytest.mark.parametrize("family", ADDRESSES)
def test_what_locks_out_is_put_back(host: Host, tmp_path: Path, family: str) -> None:
    with ssh_client(host, tmp_path) as inside:
        ask(host, inside, tmp_path, family, {**OLD, "persist": True})
        before, files = saved(host), host.run("sh", "-c", "cat /etc/palisade/*").stdout
        began = time.monotonic()
        answer, = ask(host, inside, tmp_path, family, {**CLOSED, "persist": True, "allow_lockout": True, "confirm_timeout": SECONDS})
        spent = time.monotonic() - began
    assert answer["failed"], answer
    assert not answer["changed"]
    assert answer["confirm"]["state"] == "rolled_back", answer
    assert "The host has put back what it had before: good" in answer["msg"], answer["msg"]
    assert saved(host) == before
    assert host.run("sh", "-c", "cat /etc/palisade/*").stdout == files
    assert host.run("sh", "-c", "ls -A /etc/palisade | grep new", check=False).stdout == ""
    assert spent < 40, spent
