# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""persist: true on real files: what the module writes, the loader brings back; kills and full disks at every step of writing."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import read

from .support.host import BACKENDS, FAMILIES, Host, finish
from .support.persisted import ETC, KINDS, install, last_load, loader
from .support.save_text import without_empty_tables

FOREIGN = """*filter
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -j RETURN
COMMIT
"""


def tables(port: int, rules: int = 1) -> dict[str, Any]:
    """Declare every kind of thing that a file has to hold: policies, user chains, several tables, one family alone, quotes."""
    several = [f"-s 10.0.{number // 256}.{number % 256} -p tcp --dport {port} -j ACCEPT" for number in range(rules)]
    return {
        "filter": {
            "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", '-m comment --comment "a \\"word\\" # and more" -j web', *several]},
            "OUTPUT": ["-m conntrack --ctstate ESTABLISHED -j ACCEPT"],
            "web": [f"-p tcp --dport {port} -j ACCEPT"],
        },
        "nat": {"POSTROUTING": ["-4 -o wan0 -j MASQUERADE"]},
        "mangle": {"FORWARD": {"policy": "ACCEPT", "rules": ["-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu"]}},
    }


OLD, NEW = tables(22), tables(443)


@pytest.fixture(params=BACKENDS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with Host(request.param) as made:
        install(made)
        yield made


@pytest.fixture
def nft() -> Iterator[Host]:
    """Give one backend's host, where the other would say the same of files."""
    with Host("nft") as made:
        install(made)
        yield made


def reboot(host: Host) -> None:
    """Take away what a reboot does: all live rules and policies, and /run/palisade."""
    for family in FAMILIES:
        for table in ("filter", "nat", "mangle"):
            for option in ("-F", "-X"):
                host.iptables("-t", table, option, family=family)
        for hook in ("INPUT", "FORWARD", "OUTPUT"):
            host.iptables("-P", hook, "ACCEPT", family=family)
    host.run("rm", "-rf", "/run/palisade")


def booted(host: Host) -> str:
    """Reboot, load, and return what was loaded from which of the files; it has to be a complete set."""
    reboot(host)
    assert loader(host, "boot").returncode in (0, 1)
    return last_load(host)["from"]


def files(host: Host) -> dict[str, str]:
    """Return all there is in the directory of rules."""
    names = host.run("ls", "-A", ETC).stdout.split()
    return {name: host.run("cat", f"{ETC}/{name}").stdout for name in names}


def live(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return the tables that do something to a packet; legacy keeps empty ones around."""
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


# There again after a boot

def test_a_boot_brings_back_what_the_module_made(host: Host) -> None:
    host.apply(persist=True, tables=OLD)
    before = live(host)
    reboot(host)
    assert live(host) != before
    done = loader(host, "boot")
    assert done.returncode == 0, done.stderr
    assert live(host) == before
    assert loader(host, "status").returncode == 0
    result = host.apply(persist=True, tables=OLD)
    assert (result.changed, result.diff_text, result.data["rehearsal"]) == (False, "", "namespace")


def test_beside_others_a_boot_leaves_the_module_nothing_to_do(host: Host) -> None:
    host.restore(FOREIGN, "--noflush")
    host.apply(persist=True, tables=OLD)
    reboot(host)
    assert loader(host, "boot").returncode == 0
    host.restore(FOREIGN, "--noflush")
    host.iptables("-D", "INPUT", "-p", "tcp", "-m", "multiport", "--dports", "22", "-j", "f2b-sshd")
    host.iptables("-I", "INPUT", "-p", "tcp", "-m", "multiport", "--dports", "22", "-j", "f2b-sshd")
    assert not host.apply(persist=True, tables=OLD).changed


def test_whole_tables_come_back_whole(host: Host) -> None:
    host.apply(persist=True, scope="tables", tables=OLD)
    before = live(host)
    reboot(host)
    host.restore(FOREIGN, "--noflush")
    assert loader(host, "boot").returncode == 0
    assert live(host) == before
    assert not host.apply(persist=True, scope="tables", tables=OLD).changed


def test_the_closed_fallback_closes_and_the_next_run_repairs(host: Host) -> None:
    host.apply(persist=True, tables=OLD)
    host.apply(persist=True, tables=NEW)
    before = live(host), files(host)
    reboot(host)
    host.run("sh", "-euc", f"for kind in rules good previous; do echo >> {ETC}/palisade.$kind; done")
    assert loader(host, "boot").returncode == 1
    assert last_load(host)["from"] == "closed"
    for family in FAMILIES:
        text = host.save(family)
        assert ":INPUT DROP" in text
        assert ":FORWARD DROP" in text
        assert "--dport 443" not in text
        assert "--dport 22" not in text
        assert "nat" not in text.replace("*nat\n", "") or "POSTROUTING -j" not in text
    result = host.apply(persist=True, tables=NEW)
    assert result.changed
    assert live(host) == before[0]
    assert read(files(host)["palisade.rules"], "palisade") == read(before[1]["palisade.rules"], "palisade")
    assert loader(host, "boot").returncode == 0
    assert loader(host, "status").returncode == 0
    assert not host.apply(persist=True, tables=NEW).changed


def test_a_flush_by_hand_is_mended_by_a_reload(host: Host) -> None:
    host.apply(persist=True, tables=OLD)
    before = live(host)
    for family in FAMILIES:
        host.iptables("-F", family=family)
    assert loader(host, "status").returncode == 1
    assert loader(host, "reload").returncode == 0
    assert live(host) == before


def test_flushed_it_is_as_it_was_before_us(host: Host) -> None:
    host.restore(FOREIGN)
    before = host.effect()
    host.apply(persist=True, tables=OLD)
    assert loader(host, "flush").returncode == 0
    assert {family: set(now) for family, now in host.effect().items()} == {family: set(then) for family, then in before.items()}
    assert loader(host, "reload").returncode == 0
    assert not host.apply(persist=True, tables=OLD).changed


def test_absent_leaves_nothing(host: Host) -> None:
    host.apply(persist=True, tables=OLD)
    host.run("sh", "-euc", "cd /etc/systemd/system; mkdir -p sysinit.target.wants; touch palisade-firewall.service;"
             " ln -s ../palisade-firewall.service sysinit.target.wants")
    there = "ls -d /etc/palisade /usr/local/sbin/palisade-firewall /etc/systemd/system/*alisade* /etc/systemd/system/*/palisade*"
    assert len(host.run("sh", "-c", there).stdout.split()) == 4
    foreseen = host.apply(state="absent", check_mode=True)
    assert len(host.run("sh", "-c", there).stdout.split()) == 4
    result = host.apply(state="absent")
    assert result.diff_text == foreseen.diff_text
    assert "- this file" in result.diff_text
    assert host.run("sh", "-c", there, check=False).stdout == ""
    assert not host.apply(state="absent").changed


def test_check_mode_touches_neither(host: Host) -> None:
    assert host.apply(persist=True, tables=OLD, check_mode=True).changed
    assert files(host) == {}
    host.apply(persist=True, tables=OLD)
    before = live(host), files(host)
    foreseen = host.apply(persist=True, tables=NEW, check_mode=True)
    assert (live(host), files(host)) == before
    assert foreseen.diff_text == host.apply(persist=True, tables=NEW).diff_text
    assert files(host)["palisade.previous"] == before[1]["palisade.rules"]


def test_modes_and_owners(nft: Host) -> None:
    nft.run("rm", "-r", ETC)
    nft.apply(persist=True, tables=OLD)
    nft.apply(persist=True, tables=NEW)
    assert nft.run("sh", "-c", f"stat -c '%a %u %g' {ETC} {ETC}/* | sort -u").stdout.splitlines() == ["600 0 0", "700 0 0"]
    assert sorted(files(nft)) == sorted(f"palisade.{kind}" for kind in KINDS)


@pytest.mark.parametrize("damage", [
    "echo >> palisade.{kind}", "truncate -s -20 palisade.{kind}", ": > palisade.{kind}", "chmod 644 palisade.{kind}",
    "chown 1000 palisade.{kind}", "mv palisade.{kind} x; ln -s x palisade.{kind}", "rm palisade.{kind}", "chmod 777 .",
])
@pytest.mark.parametrize("kind", ["rules", "good", "closed"])
def test_damage_is_noticed_and_mended(nft: Host, kind: str, damage: str) -> None:
    nft.apply(persist=True, tables=OLD)
    nft.run("sh", "-euc", f"cd {ETC}; {damage.format(kind=kind)}")
    assert nft.apply(persist=True, tables=OLD, check_mode=True).changed
    result = nft.apply(persist=True, tables=OLD)
    assert result.changed
    # Where nothing in the directory can be trusted, all is written anew, and the rules' own file stands for its copy.
    assert f"{ETC}/palisade.{'rules' if damage == 'chmod 777 .' else kind}" in result.diff_text
    assert not nft.apply(persist=True, tables=OLD).changed
    assert booted(nft) == "rules"


# Rules that could not be loaded at boot

def test_a_jump_to_a_chain_of_others_is_refused(host: Host) -> None:
    host.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", "--noflush")
    message = host.refuse(persist=True, families=["ipv4"], tables={"filter": {"FORWARD": ["-j DOCKER-USER"]}})
    assert "leads to DOCKER-USER, another program's chain" in message
    assert files(host) == {}


def test_a_fallback_that_iptables_refuses_is_refused_before_anything_changes(host: Host) -> None:
    message = host.refuse(persist=True, tables=OLD, fallback={"filter": {"INPUT": ["-p tcp --dport 70000 -j ACCEPT"]}})
    assert message.startswith("fallback: ipv4, table filter, chain INPUT, rule 1: -p tcp --dport 70000 -j ACCEPT: ")
    assert files(host) == {}


def test_any_spelling_of_a_fallback_is_unchanged_the_second_time(host: Host) -> None:
    options = {"tables": OLD, "fallback": {"filter": {"INPUT": ["-p tcp --dport ssh --syn -s 10.1.2.3/8 --jump ACCEPT", "-p icmp -j ACCEPT"]}}}
    host.apply(persist=True, **options)
    assert not host.apply(persist=True, **options).changed
    host.run("sh", "-euc", f"rm {ETC}/palisade.rules {ETC}/palisade.good")
    assert booted(host) == "closed"
    assert "-A palisade-INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT" in host.save()


# A disk that is read-only or full

def test_a_read_only_etc_is_a_clear_error_before_anything_changes(host: Host) -> None:
    host.apply(persist=True, tables=OLD)
    before = files(host)
    host.run("mount", "-o", "remount,ro", "/etc")
    for options in ({"tables": NEW, "persist": True}, {"state": "absent"}):
        assert "is read-only" in host.refuse(**options)
    assert files(host) == before
    assert not host.apply(persist=True, tables=OLD).changed


def test_a_full_disk_at_every_step(nft: Host) -> None:
    """Every number of free pages, until there are enough: either all is new, or nothing has changed and the error says why."""
    old, new = tables(22, 60), tables(443, 120)
    nft.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "etc", ETC)
    nft.apply(persist=True, tables=old)
    before = live(nft), files(nft)
    refused = 0
    for pages in range(60):
        nft.run("sh", "-c", f"rm -f {ETC}/filler; dd if=/dev/zero of={ETC}/filler bs=4096 status=none; truncate -s -{pages * 4096} {ETC}/filler",
                check=False)
        result = nft.module(persist=True, tables=new)
        nft.run("rm", "-f", f"{ETC}/filler")
        if not result.failed:
            break
        refused += 1
        assert "No space left on device" in result.message
        assert "nothing has changed" in result.message
        assert (live(nft), files(nft)) == before
    assert refused >= 5, "the disk was never full"
    assert not nft.apply(persist=True, tables=new).changed
    assert booted(nft) == "rules"


# SIGKILL

def test_a_kill_at_every_step(nft: Host) -> None:
    """Right before each change of a file: afterwards every file is whole, the next boot loads a complete set, the next run ends it."""
    sets = {}
    for name, declared in (("new", NEW), ("old", OLD)):
        nft.apply(persist=True, tables=declared)
        sets[name] = live(nft)
    for step in range(1, 100):
        process = nft.start_module({"persist": True, "tables": NEW}, through=["env", f"DIE_AT={step}"], runner="dying_process.py")
        killed = finish(process).returncode == -9
        for name, text in files(nft).items():
            if not name.startswith("."):
                read(text, "palisade")
        version = "new" if "--dport 443 " in files(nft)["palisade.rules"] else "old"
        assert killed or version == "new"
        assert booted(nft) == "rules", step
        assert live(nft) == sets[version], step
        assert nft.apply(persist=True, tables=NEW).changed == (version == "old"), step
        assert sorted(files(nft)) == sorted(f"palisade.{kind}" for kind in KINDS), "what the killed run has left is gone"
        if not killed:
            break
        nft.apply(persist=True, tables=OLD)
    assert step > 12, "too few changes of files were seen"
