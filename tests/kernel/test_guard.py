# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lockout guard through the whole of Ansible over a real ssh: what would cut it off is refused with nothing changed, and nothing else is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from .support.host import Host
from .test_over_ssh import ADDRESSES, BY_SUDO, play, role, ssh_client

ESTABLISHED = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
SSH = "-p tcp --dport 22 -j ACCEPT"
DISCOVERY = "-6 -p icmpv6 -j ACCEPT"
BY_SU = "ansible_become=true\nansible_become_method=su\nansible_become_flags=-"
Answer = dict[str, Any]


def tables(input_rules: Sequence[str], output_rules: Sequence[str] = (ESTABLISHED, DISCOVERY), policy: str = "DROP") -> dict[str, object]:
    """Return options of which the running connection, which is established, survives every one."""
    chains = {"INPUT": input_rules, "OUTPUT": output_rules}
    return {"tables": {"filter": {name: {"policy": policy, "rules": list(rules)} for name, rules in chains.items()}}}


FINE = tables([ESTABLISHED, SSH, DISCOVERY])
CLOSED = tables([ESTABLISHED, DISCOVERY])


def ask(host: Host, inside: Sequence[str], directory: Path, family: str, *tasks: dict[str, object], variables: str = "", address: str = "",
        check_mode: bool = False, first: str = "true") -> list[Answer]:
    """Run iptables_ruleset once for each of the options, in one connection, whatever comes of it, and return what the module said."""
    todo: list[dict[str, object]] = [{"ansible.builtin.shell": first}]
    for number, options in enumerate(tasks):
        todo.append({"palisade.netfilter.iptables_ruleset": {"backend": host.backend, **options}, "register": f"said_{number}",
                     "ignore_errors": True, "check_mode": check_mode})
    said = ", ".join(f"said_{number}" for number in range(len(tasks)))
    path = directory / "said.json"
    path.unlink(missing_ok=True)
    todo.append({"ansible.builtin.copy": {"content": "{{ [%s] | to_json }}" % said, "dest": str(path)}})
    done = play(inside, directory, family, todo, variables, address)
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(path.read_text()))


def refused(host: Host, answers: Sequence[Answer], *words: Sequence[str]) -> None:
    assert len(answers) == len(words)
    for answer, wanted in zip(answers, words):
        assert answer.get("failed") and not answer.get("changed"), answer
        for word in wanted:
            assert word in answer["msg"], answer["msg"]
        assert "allow_lockout: true (firewall_allow_lockout in the roles)" in answer["msg"]
        assert answer["msg"].endswith("Nothing has changed")
        assert answer["guard"]["state"] == "refused"


@pytest.mark.parametrize("family", ADDRESSES)
def test_what_would_lock_ansible_out_is_refused_and_nothing_has_changed(host: Host, tmp_path: Path, family: str) -> None:
    own, client, _length = ADDRESSES[family]
    first = f"the first packet (SYN, in by wire) of a new connection from {client} to {own} port 22 would be"
    tasks = [CLOSED, tables([ESTABLISHED, SSH, DISCOVERY], [DISCOVERY]), tables([f"-s {client} -p tcp -j REJECT", SSH, ESTABLISHED, DISCOVERY])]
    words = [
        [f"{first} dropped by the policy DROP of INPUT, table filter", f"accept tcp port 22 from {client} (in the roles: firewall_management"],
        ["this host's answer (SYN/ACK, from port 22)", "would be dropped by the policy DROP of OUTPUT, table filter"],
        [f"{first} rejected by rule 1 of palisade-INPUT, table filter: -s {client}/"],
    ]
    with ssh_client(host, tmp_path) as inside:
        before = host.snapshot()
        for check_mode in (True, False):
            refused(host, ask(host, inside, tmp_path, family, *tasks, check_mode=check_mode), *words)
            assert host.snapshot() == before


def test_other_peoples_rules_count(host: Host, tmp_path: Path) -> None:
    """A rule ahead of ours, and a jump to a chain of somebody's: the running connection goes on, a new one would not come in."""
    command = f"iptables-{host.backend}"
    theirs = f"{command} -N theirs; {command} -A theirs -s 10.99.0.2/32 -j DROP; {command} -A INPUT -p tcp --syn --dport 22 -j theirs"
    with ssh_client(host, tmp_path) as inside:
        refused(host, ask(host, inside, tmp_path, "ipv4", FINE, first=theirs), [
            "would be dropped by rule 1 of theirs, table filter: -s 10.99.0.2/32 -j DROP"])
    assert "palisade" not in host.save()


@pytest.mark.parametrize("become", [BY_SUDO, BY_SU], ids=["sudo", "su"])
def test_under_another_users_name_too(host: Host, tmp_path: Path, become: str) -> None:
    role(host)  # It brings the sudo that drops SSH_CONNECTION; su - drops it by itself.
    with ssh_client(host, tmp_path) as inside:
        before = host.snapshot()
        refused(host, ask(host, inside, tmp_path, "ipv4", CLOSED, variables=become), ["would be dropped by the policy DROP of INPUT"])
        assert host.snapshot() == before
        answer, = ask(host, inside, tmp_path, "ipv6", FINE, variables=become)
    assert (answer["changed"], answer["guard"]["state"]) == (True, "proved"), answer


@pytest.mark.parametrize("family", ADDRESSES)
def test_allow_lockout_goes_through_and_says_what_it_does(host: Host, tmp_path: Path, family: str) -> None:
    with ssh_client(host, tmp_path) as inside:
        answer, = ask(host, inside, tmp_path, family, {**CLOSED, "allow_lockout": True, "confirm_timeout": 0})
    assert (answer["failed"], answer["changed"], answer["guard"]["state"]) == (False, True, "overridden"), answer
    assert answer["confirm"]["state"] == "off", answer["confirm"]
    assert "would be dropped by the policy DROP of INPUT" in answer["guard"]["reason"]
    assert any("this may lock Ansible out" in str(warning) for warning in answer["warnings"])
    assert ":INPUT DROP" in host.save(family)


def test_a_host_that_nobody_finds_by_ipv6_is_locked_too(host: Host, tmp_path: Path) -> None:
    with ssh_client(host, tmp_path) as inside:
        before = host.snapshot()
        neighbours = [f"-6 -p icmpv6 --icmpv6-type {kind} -j ACCEPT" for kind in (135, 136)]
        answers = ask(host, inside, tmp_path, "ipv6", tables([ESTABLISHED, SSH]), tables([ESTABLISHED, SSH, neighbours[0]]),
                      tables([ESTABLISHED, SSH, *neighbours], [ESTABLISHED, neighbours[1]]),
                      tables([ESTABLISHED, SSH, *neighbours], [ESTABLISHED, neighbours[0]]))
        refused(host, answers, ["the neighbour solicitation by which fd99::2 looks for this host would be dropped by the policy DROP of INPUT"],
                ["the neighbour advertisement by which fd99::2 answers this host would be dropped by the policy DROP of INPUT"],
                ["this host's neighbour solicitation for fd99::2 would be dropped by the policy DROP of OUTPUT"],
                ["this host's neighbour advertisement to fd99::2 would be dropped by the policy DROP of OUTPUT",
                 "accept neighbour discovery both ways (icmpv6 types 135 and 136)"])
        assert host.snapshot() == before


@pytest.mark.parametrize("family", ADDRESSES)
def test_what_is_fine_is_not_refused(host: Host, tmp_path: Path, family: str) -> None:
    own, client, _length = ADDRESSES[family]
    knock = ["-p tcp --dport 7001 -m recent --name knock --set -j DROP", "-p tcp --dport 22 -m recent --name knock --rcheck --seconds 30 -j ACCEPT"]
    limit = ["-p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name ssh --set",
             "-p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name ssh --update --seconds 60 --hitcount 2 -j DROP", SSH]
    management = f"-s {client} -p tcp --dport 22 -j ACCEPT"
    with ssh_client(host, tmp_path) as inside:
        answers = ask(host, inside, tmp_path, family, FINE, FINE, tables([ESTABLISHED, DISCOVERY, management, *knock]),
                      tables([ESTABLISHED, DISCOVERY, *limit]), tables([], [], "ACCEPT"),
                      {"profile": "server", "policy": {"services": {"ssh": {"state": "absent"}}, "management": {"from": [client]}}})
        refused(host, ask(host, inside, tmp_path, family, tables([ESTABLISHED, DISCOVERY, *knock])), ["the policy DROP of INPUT"])
    states = [(answer["failed"], answer["changed"], answer["guard"]["state"]) for answer in answers]
    assert states == [(False, True, "proved"), (False, False, "none"), *[(False, True, "proved")] * 4], answers
    assert answers[0]["guard"]["reason"] == f"a new connection from {client} to {own} port 22 would be let in"
    assert answers[0]["guard"]["connection"].startswith(f"from {client} port ")
    assert answers[1]["guard"]["reason"] == "nothing changes"
    assert not any("let in" in str(warning) or "lock" in str(warning) for answer in answers for warning in answer.get("warnings", ()))


def test_a_connection_by_loopback(host: Host, tmp_path: Path) -> None:
    with ssh_client(host, tmp_path):
        refused(host, ask(host, host.through(), tmp_path, "ipv6", CLOSED, address="::1"), [
            "(SYN, in by lo) of a new connection from ::1 to ::1 port 22"])
        answer, = ask(host, host.through(), tmp_path, "ipv4", tables([ESTABLISHED, "-i lo -j ACCEPT"], ["-o lo -j ACCEPT"]), address="127.0.0.1")
    assert (answer["changed"], answer["guard"]["state"]) == (True, "proved"), answer


def test_a_connection_by_link_local_addresses(host: Host, tmp_path: Path) -> None:
    by_wire = tables([ESTABLISHED, "-i wire -p tcp --dport 22 -j ACCEPT", "-6 -i wire -p icmpv6 -j ACCEPT"],
                     [ESTABLISHED, "-6 -o wire -p icmpv6 -j ACCEPT"])
    by_lo = tables([ESTABLISHED, "-i lo -p tcp --dport 22 -j ACCEPT", DISCOVERY])
    with ssh_client(host, tmp_path) as inside:
        for prefix, address in ((host.through(), "fe80::99:1/64"), (inside, "fe80::99:2/64")):
            subprocess.run([*prefix, "ip", "address", "add", address, "dev", "wire", "nodad"], check=True)
        not_this, answer = ask(host, inside, tmp_path, "ipv6", by_lo, by_wire, address="fe80::99:1%wire")
    refused(host, [not_this], ["the first packet (SYN, in by wire) of a new connection from fe80::99:2 to fe80::99:1 port 22"])
    assert (answer["changed"], answer["guard"]["state"]) == (True, "proved"), answer
    assert answer["guard"]["connection"].endswith(" on wire")


@pytest.mark.parametrize("connection", ["local", "community.general.chroot"])
def test_a_connection_that_no_rule_can_cut_is_not_guarded_and_says_so(host: Host, tmp_path: Path, connection: str) -> None:
    answer, = ask(host, host.through(), tmp_path, "ipv4", CLOSED, variables=f"ansible_connection={connection}", address="/")
    assert (answer["failed"], answer["changed"], answer["guard"]["state"]) == (False, True, "none"), answer


def test_the_role_is_refused_and_overridden_alike(host: Host, tmp_path: Path) -> None:
    """That the policy itself lets the operator in is seen by the role. What others have put ahead is for the proof."""
    theirs: dict[str, object] = {"ansible.builtin.command": f"iptables-{host.backend} -A INPUT -s 10.99.0.0/24 -p tcp --syn -j DROP"}
    with ssh_client(host, tmp_path) as inside:
        done = play(inside, tmp_path, "ipv4", [theirs, role(host, firewall_foreign="keep")], BY_SUDO)
        assert "would be dropped by rule 1 of INPUT, table filter: -s 10.99.0.0/24" in done.stdout, done.stdout
        assert done.returncode != 0
        assert "palisade" not in host.save()
        host.iptables("-F")
        on_purpose = {"firewall_allow_lockout": True, "firewall_confirm_timeout": 0}
        over = play(inside, tmp_path, "ipv4", [theirs, role(host, firewall_foreign="keep", **on_purpose)], BY_SUDO)
        assert over.returncode == 0, over.stdout + over.stderr
    assert "palisade-INPUT" in host.save()
