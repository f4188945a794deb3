# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks rollback, flush and status by ansible-playbook, under their full names, on a throwaway host that is in a group of an inventory."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .support.host import FAMILIES, Host
from .support.persisted import ETC, LOADER, SOURCE, boot, install, live
from .support.plays import CHECKOUT

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ONCE = pytest.mark.parametrize("backend", ["nft"])
OLD = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 80 -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}}}
NEW = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 443 -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}}}


@pytest.fixture
def run(host: Host, tmp_path: Path) -> Run:
    """Run one of the playbooks, and insist on how often it says `changed`, or that the host fails (None)."""
    here = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"servers": {"hosts": {"web1": here}}, "routers": {"hosts": {"gone": gone}}}), encoding="utf-8")
    variables = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"), "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore",
    }

    def play(playbook: str, *options: str, changed: int | None, limit: str = "web1") -> subprocess.CompletedProcess[str]:
        words = [f"{key}={value}" for key, value in variables.items()]
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), f"palisade.netfilter.{playbook}", *options]
        done = host.run("env", "-C", str(CHECKOUT), *words, *command, *(["--limit", limit] if limit else []), check=False)
        found = re.search(r"^web1 +: .*changed=(\d+) .*failed=(\d)", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr
        assert (found.group(2) == "0", int(found.group(1))) == (changed is not None, changed or 0), done.stdout
        return done

    return play


@pytest.fixture
def twice(host: Host) -> Host:
    """A host with two versions, of which NEW is in force and loaded."""
    install(host)
    host.apply(tables=OLD, persist=True)
    host.apply(tables=NEW, persist=True)
    boot(host)
    return host


def files(host: Host) -> str:
    return host.run("sh", "-c", f"cat {ETC}/*").stdout


def test_rollback_goes_back_and_forward(twice: Host, run: Run) -> None:
    new, on_disk = live(twice), files(twice)
    foreseen = run("rollback", "--check", "--diff", changed=1).stdout
    assert (live(twice), files(twice)) == (new, on_disk)
    assert "+-A palisade-INPUT -p tcp -m tcp --dport 80 -j ACCEPT" in foreseen and "--- /etc/palisade/palisade.rules" in foreseen
    run("rollback", changed=1)
    assert "--dport 80 " in str(live(twice)["ipv4"]) and "--dport 443 " not in str(live(twice))
    run("rollback", changed=1)
    assert live(twice) == new


@ONCE
def test_rollback_without_a_version_says_so_and_leaves_all_alone(twice: Host, run: Run) -> None:
    twice.run("rm", f"{ETC}/palisade.previous")
    before = live(twice), files(twice)
    assert "has kept no version of ruleset palisade before the one in force" in run("rollback", changed=None).stdout
    assert (live(twice), files(twice)) == before


def test_flush_opens_and_a_second_one_finds_nothing(twice: Host, run: Run) -> None:
    before, on_disk = live(twice), files(twice)
    foreseen = run("flush", "--check", changed=1).stdout
    assert "-X palisade-INPUT" in foreseen and live(twice) == before
    assert "the host is OPEN" in run("flush", changed=1).stdout
    assert (live(twice), files(twice)) == ({family: {} for family in FAMILIES}, on_disk)
    assert "Nothing of ours is live on this host." in run("flush", changed=0).stdout
    run("flush", "--check", changed=0)
    boot(twice)
    assert live(twice) == before


@ONCE
def test_flush_is_not_done_to_a_fleet_by_accident(twice: Host, run: Run) -> None:
    before = live(twice)
    done = run("flush", changed=None, limit="")
    assert "This would open 2 hosts." in done.stdout and "firewall_flush=yes" in done.stdout
    assert live(twice) == before
    run("flush", "-e", "firewall_flush=yes", changed=1, limit="")
    assert live(twice) != before


@ONCE
def test_a_name_is_data(twice: Host, run: Run) -> None:
    before = live(twice)
    for playbook in ("flush", "status"):
        said = run(playbook, "-e", json.dumps({"firewall_name": "x; echo found it by a shell"}), changed=None).stdout
        assert "usage: palisade-firewall" in said and '"found it' not in said, said
    assert live(twice) == before


@ONCE
def test_flush_works_without_a_loader_on_the_host(host: Host, run: Run) -> None:
    host.run("rm", "-rf", ETC)
    host.apply(tables=NEW)
    run("flush", changed=1)
    assert live(host) == {family: {} for family in FAMILIES}


def line_of(done: subprocess.CompletedProcess[str], host: str = "web1") -> str:
    (line,) = re.findall(rf'^ +"({host}: .*?)",?$', done.stdout, re.MULTILINE)
    return str(line)


def test_status_says_how_all_hosts_are_before_one_fails(twice: Host, run: Run) -> None:
    for options in ([], ["--check"]):
        line = line_of(run("status", *options, changed=0))
        assert re.fullmatch(r"web1: good; persisted since \S+Z; live as persisted; last load \S+Z by boot from rules: good; no systemd", line), line
    twice.iptables("-P", "INPUT", "ACCEPT")
    done = run("status", changed=None, limit="")
    assert "web1: NOT GOOD; persisted since " in line_of(done) and "Z; ipv4 differs from persisted; last load " in line_of(done)
    assert line_of(done, "gone") == "gone: NOT GOOD; it could not be asked"
    assert "policy:         filter: INPUT is ACCEPT, not DROP" in done.stdout


@ONCE
def test_status_where_nothing_is(host: Host, run: Run) -> None:
    host.run("rm", "-rf", ETC, LOADER)
    assert line_of(run("status", changed=None)) == "web1: NOT GOOD; nothing is persisted; no systemd"
    assert SOURCE.exists()
