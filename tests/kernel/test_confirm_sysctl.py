# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof of kernel settings: what a real kernel moves is back when nobody has confirmed, whatever was killed, and what others did stays.

The backend of iptables makes no difference to any of this.
"""
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .support.confirming import OLD_CONNECTION, TOKEN, state, tell, until, watchers
from .support.host import Host, ModuleResult
from .support.sysctls import OWN_FILE, harden, own_file, write
from .test_confirm import is_live, kill_all, running
from .test_guard import FINE
from .test_over_ssh import BY_SUDO, play, role, ssh_client

FOLDER = "/run/palisade/kernel-settings.commit"
RP = "net.ipv4.conf.%s.rp_filter"
#: Loose where it matters, so that the operator's packets come in.
LOOSE: dict[str, Any] = {"profile": "server", "settings": {RP % "all": 2}}
#: Drops whatever comes by another interface than the answer goes out by.
STRICT: dict[str, Any] = {"profile": "router", "confirm_timeout": 5}
COUNTED = ("net/netfilter/nf_conntrack_count", "net/ipv4/tcp_fastopen_key")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that does not forward, with two interfaces."""
    with Host("nft") as made:
        made.run("ip", "link", "add", "stays", "type", "veth", "peer", "name", "goes")
        write(made, {"net/ipv4/conf/all/forwarding": 0, "net/ipv6/conf/all/forwarding": 0, "net/ipv4/conf/all/accept_redirects": 0,
                     "net/ipv4/conf/stays/rp_filter": 1, **{f"net/ipv4/conf/{name}/rp_filter": 0 for name in ("all", "default", "goes")}})
        yield made


def kernel(host: Host) -> dict[str, str]:
    """Return all that a person can read of the network's settings."""
    done = host.run("sh", "-c", "cd /proc/sys && find net -type f -perm -400 ! -name '*flush*' -exec grep -H '' {} + 2> /dev/null", check=False)
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        path, _colon, value = line.partition(":")
        if not path.startswith(COUNTED):
            found[path] = found.get(path, "") + value + "\n"
    assert len(found) > 100
    return found


def start(host: Host, seconds: int = 600, **options: Any) -> ModuleResult:
    """Run the module as over ssh, and leave what it has changed waiting."""
    return harden(host, confirm_timeout=seconds, confirm_id=TOKEN, environment={"SSH_CONNECTION": OLD_CONNECTION}, **options)


def ask(host: Host, inside: Sequence[str], directory: Path, *tasks: dict[str, Any], variables: str = "") -> list[dict[str, Any]]:
    """Run sysctl_hardening once for each of the options, in one connection, whatever comes of it, and return what the module said."""
    todo: list[dict[str, object]] = [
        {"palisade.netfilter.sysctl_hardening": options, "register": f"said_{number}", "ignore_errors": True}
        for number, options in enumerate(tasks)
    ]
    path = directory / "said.json"
    said = ", ".join(f"said_{number}" for number in range(len(tasks)))
    todo.append({"ansible.builtin.copy": {"content": "{{ [%s] | to_json }}" % said, "dest": str(path)}})
    done = play(inside, directory, "ipv4", todo, variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(path.read_text()))


def answer_another_way(host: Host, inside: Sequence[str]) -> None:
    """Have the host's answers to the controller leave by another interface than its questions come by."""
    host.run("ip", "link", "add", "back", "type", "veth", "peer", "name", "back", "netns", inside[1].partition("=")[2])
    host.run("ip", "link", "set", "back", "up")
    subprocess.run([*inside, "ip", "link", "set", "back", "up"], check=True)
    loose = "for key in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $key; done"
    host.run("sh", "-euc", loose)
    subprocess.run([*inside, "unshare", "--mount", "sh", "-euc", f"mount -t proc proc /proc; {loose}"], check=True)
    host.run("ip", "route", "add", "10.99.0.2/32", "dev", "back", "src", "10.99.0.1")


def test_a_new_connection_confirms_and_values_that_cut_it_off_are_put_back(host: Host, tmp_path: Path) -> None:
    role(host)  # It brings the sudo that drops SSH_CONNECTION.
    with ssh_client(host, tmp_path) as inside:
        answer_another_way(host, inside)
        first, second = ask(host, inside, tmp_path, LOOSE, LOOSE, variables=BY_SUDO)
        before, on_disk = kernel(host), own_file(host)
        third, = ask(host, inside, tmp_path, STRICT)
        after = kernel(host)
    assert (first["failed"], first["changed"], first["confirm"]["state"]) == (False, True, "proved"), first
    assert first["confirm"]["connection"].startswith("from 10.99.0.2 port ")
    assert on_disk is not None and f"{RP % 'all'} = 2" in on_disk
    assert (second["changed"], second["confirm"]["state"]) == (False, "none"), second
    assert (third["failed"], third["changed"], third["confirm"]["state"]) == (True, False, "rolled_back"), third
    assert third["msg"].startswith("No new connection confirmed the change within 5 s"), third["msg"]
    assert third["msg"].endswith("The host has put back what it had before"), third["msg"]
    assert (after, own_file(host)) == (before, on_disk)
    assert host.run("ls", "-A", "/etc/sysctl.d").stdout.count("zz-palisade") == 1


def test_the_controller_is_killed_right_after_the_change(host: Host, tmp_path: Path) -> None:
    with ssh_client(host, tmp_path) as inside:
        answer_another_way(host, inside)
        before = kernel(host)
        with running(inside, tmp_path, "ipv4", {**STRICT, "confirm_timeout": 15}, module="sysctl_hardening"):
            assert until(is_live(host, FOLDER), 60)
            kill_all(tmp_path)
        waits = "a change of the kernel settings waits for its confirmation; if none comes, this host puts back what was there before, in "
        assert host.refuse(**FINE).startswith(waits)
        assert harden(host, **LOOSE).message.startswith(waits)
        assert any(warning.startswith(waits) for warning in harden(host, **LOOSE, check_mode=True).warnings)
        assert until(lambda: state(host, FOLDER) == "undone", 30)
        assert kernel(host) == before
        assert own_file(host) is None
        answer, = ask(host, inside, tmp_path, LOOSE)
    assert answer["confirm"]["state"] == "proved", answer


def test_a_change_of_rules_that_waits_holds_up_settings(host: Host) -> None:
    before = kernel(host)
    process = host.start_module({**FINE, "allow_lockout": True, "confirm_timeout": 600, "confirm_id": TOKEN},
                                environment={"SSH_CONNECTION": OLD_CONNECTION})
    process.communicate()
    result = start(host, **LOOSE)
    assert result.message.startswith("a change of ruleset palisade waits for its confirmation"), result.data
    assert kernel(host) == before
    assert tell(host, "undo") == "undone good"
    assert start(host, **LOOSE).data["confirm"]["state"] == "pending"
    assert tell(host, "undo", folder=FOLDER) == "undone good"


def test_whatever_the_module_had_written_when_it_was_killed(host: Host) -> None:
    """Before the first value, in the middle, and behind the last."""
    before = kernel(host)
    met = []
    for number in (1, 2, 9, 25, 1000):
        result = start(host, profile="router", runner="dying_process.py",
                       through=["env", f"DIE_AT={number}", "DIE_BELOW=/proc/sys/"])
        met.append(result.returncode)
        assert tell(host, "confirm", "new", folder=FOLDER) == ("unapplied" if result.returncode else "kept 192.0.2.1 50001 192.0.2.2 22")
        if result.returncode:
            assert kernel(host) == before or number > 1
            assert tell(host, "undo", folder=FOLDER) == "undone good", number
            assert kernel(host) == before, number
            assert own_file(host) is None
    assert met == [-9, -9, -9, -9, 0]
    assert until(lambda: not watchers(host), 10)
    assert own_file(host) is not None
    assert not harden(host, profile="router").changed


def test_what_others_have_done_meanwhile_stays_and_what_has_gone_is_passed_over(host: Host) -> None:
    before = kernel(host)
    assert start(host, profile="router").data["confirm"]["state"] == "pending"
    host.run("ip", "link", "set", "goes", "name", "comes")  # To the kernel's settings that is one that goes and one that comes.
    assert kernel(host)["net/ipv4/conf/comes/rp_filter"] == "1\n"
    # Of a key that the change wrote for others, a value that it did not move; and a key that it has nothing to do with.
    write(host, {"net/ipv4/conf/stays/rp_filter": 2, "net/ipv4/tcp_fin_timeout": 33})
    assert tell(host, "undo", folder=FOLDER) == "undone good"
    theirs = {"net/ipv4/conf/stays/rp_filter": "2\n", "net/ipv4/tcp_fin_timeout": "33\n"}
    after = {path.replace("/comes/", "/goes/"): value for path, value in kernel(host).items()}
    assert after == {**before, **theirs}


def test_a_rollback_that_was_killed_is_done_again(host: Host) -> None:
    """By turns before it wrote, and when forwarding is back, which has moved what was not to be moved."""
    before = kernel(host)
    for done in ("", "net/ipv4/conf/all/forwarding"):
        start(host, profile="router")
        live = kernel(host)
        host.run("sh", "-euc", f"cd {FOLDER}; mv armed undoing; sed 's/^tries=0$/kill -9 $$/' undo > half; sh half || :")
        assert host.run("cat", f"{FOLDER}/wanted").stdout.endswith("#composed\n")
        assert kernel(host) == live
        if done:
            write(host, {done: before[done].strip()})
            assert kernel(host)["net/ipv4/conf/all/accept_redirects"] == "1\n"
        assert tell(host, "undo", folder=FOLDER) == "undone good"
        assert kernel(host) == before


def test_what_goes_comes_back_and_goes_when_it_is_confirmed(host: Host) -> None:
    assert start(host, **LOOSE).changed
    assert tell(host, "confirm", "new", folder=FOLDER).startswith("kept")
    before, on_disk = kernel(host), own_file(host)
    assert start(host, state="absent").changed
    assert kernel(host) != before
    assert tell(host, "undo", folder=FOLDER) == "undone good"
    assert (kernel(host), own_file(host)) == (before, on_disk)
    assert start(host, state="absent").changed
    assert own_file(host) == on_disk
    assert tell(host, "confirm", "new", folder=FOLDER).startswith("kept")
    assert host.run("ls", OWN_FILE, check=False).returncode != 0
