# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live rules as data: all that iptables-save prints and nothing else, whose each is, and a host that is as it was."""
from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from .support import module_process
from .support.host import COLLECTIONS, COMMANDS, FAMILIES, Host, ModuleResult
from .support.save_text import HOOKS, sections
from .support.spellings import SETS, restore_text, spellings
from .support.traffic import DATAGRAM, send_from

DATA = Path(__file__).with_name("data")
OURS = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -p udp -j ACCEPT", "-j web"]}, "web": ["-p tcp --dport 80 -j ACCEPT"]},
    "nat": {"POSTROUTING": ["-o eth7 -j MASQUERADE"]},
}
NATIVE = "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; }; add rule ip filter INPUT ct state established accept"


def ask(host: Host, *, check_mode: bool = False, through: Sequence[str] = (), **options: Any) -> ModuleResult:
    """Run iptables_ruleset_info on the host, as its own process."""
    arguments = {"backend": host.backend, **options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
    done = host.run(
        *through, sys.executable, str(module_process.__file__), str(COLLECTIONS), "iptables_ruleset_info", "/dev/null",
        text=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return ModuleResult(json.loads(done.stdout), done.returncode, done.stderr)


def info(host: Host, **options: Any) -> dict[str, Any]:
    """Run the module, insist that it succeeds and changes nothing, and return what it said."""
    before = host.snapshot()
    result = ask(host, **options)
    assert (result.failed, result.changed, result.returncode) == (False, False, 0), result.message or result.stderr
    assert host.snapshot() == before
    return result.data


def as_saved(data: dict[str, Any], family: str) -> dict[str, list[str]]:
    """Write the entries of one family as iptables-save -c has them: table → lines."""
    tables: dict[str, list[str]] = {}
    for chain in data["chains"]:
        if chain["family"] == family:
            counters = f"[{chain['packets'] or 0}:{chain['bytes'] or 0}]"
            tables.setdefault(chain["table"], []).append(f":{chain['chain']} {chain['policy'] or '-'} {counters}")
    for rule in data["rules"]:
        if rule["family"] == family:
            text = f"[{rule['packets']}:{rule['bytes']}] -A {rule['chain']} {rule['rule']}"
            tables[rule["table"]].append(text.rstrip())
    return tables


def owners(entries: Sequence[dict[str, Any]], **wanted: Any) -> list[str | None]:
    return [entry["owner"] for entry in entries if wanted.items() <= entry.items()]


@pytest.fixture
def busy_host(host: Host) -> Host:
    """A host with Docker's, fail2ban's and others' rules, with counters, and our own behind them."""
    for family in FAMILIES:
        host.restore((DATA / f"busy_host.{family}.rules").read_text(encoding="utf-8"), "--counters", family=family)
    host.apply(tables=OURS)
    return host


# All that is there

def test_a_host_without_a_rule(host: Host) -> None:
    seen = {"nft": ("nft", "list", "ruleset"), "legacy": ("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")}
    before = host.run(*seen[host.backend], check=False).stdout
    assert not info(host)["rules"]
    assert host.run(*seen[host.backend], check=False).stdout == before, "reading made a table"
    assert host.run("test", "-e", "/run/palisade", check=False).returncode != 0


@pytest.mark.parametrize("check_mode", [False, True])
def test_nothing_of_a_busy_host_is_left_out(busy_host: Host, check_mode: bool) -> None:
    data = info(busy_host, check_mode=check_mode)
    for family in FAMILIES:
        assert as_saved(data, family) == sections(busy_host.save(family, counters=True))
    assert data["backend"] == busy_host.backend
    assert len(data["rules"]) == 60


def test_rules_of_every_kind(host: Host) -> None:
    host.run("ipset", "restore", text=SETS)
    for family in FAMILIES:
        text = restore_text(spellings("any", family))
        host.restore(text + "*filter\n:odd,name - [0:0]\n-A odd,name -j RETURN\n-A odd,name\nCOMMIT\n", "--noflush", family=family)
    data = info(host)
    for family in FAMILIES:
        assert as_saved(data, family) == sections(host.save(family, counters=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_counters_count_packets(host: Host, family: str) -> None:
    host.apply(tables=OURS)
    source = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}[family]
    send_from(host, family, {source: 5})
    (rule,) = [rule for rule in info(host, families=[family], chains=["palisade-INPUT"])["rules"] if "udp" in rule["rule"]]
    assert (rule["packets"], rule["bytes"]) == (5, 5 * DATAGRAM[family])
    (chain,) = info(host, families=[family], tables=["filter"], chains=["INPUT"])["chains"]
    assert (chain["policy"], chain["packets"]) == ("DROP", 5), "nobody listens, and the ICMP that says so is dropped"


def test_numbers_are_those_that_iptables_takes(busy_host: Host) -> None:
    (rule,) = [rule for rule in info(busy_host, families=["ipv4"])["rules"] if "203.0.113.66" in rule["rule"]]
    busy_host.iptables("-t", rule["table"], "-D", rule["chain"], str(rule["number"]))
    assert "203.0.113.66" not in busy_host.save()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_asked_for_and_no_more(busy_host: Host, family: str) -> None:
    data = info(busy_host, families=[family], tables=["nat", "filter"], chains=["INPUT", "DOCKER"])
    assert {(chain["family"], chain["table"]) for chain in data["chains"]} == {(family, "filter"), (family, "nat")}
    assert {rule["chain"] for rule in data["rules"]} == {"ipv4": {"INPUT", "DOCKER"}, "ipv6": {"INPUT"}}[family]
    assert info(busy_host, chains=["nowhere"])["chains"] == []


# Whose it is

def test_every_rule_of_a_busy_host_is_explained(busy_host: Host) -> None:
    data = info(busy_host)
    assert None not in owners(data["rules"])
    found = Counter(owners(data["rules"], family="ipv4"))
    assert {"palisade", "Docker", "fail2ban", "libvirt", "Tailscale", "wg-quick"} == set(found)
    assert found["palisade"] == 4 + 2, "the rules, and the two jumps that lead to them"
    assert owners(data["chains"], family="ipv4", chain="f2b-sshd") == ["fail2ban"]
    assert owners(data["chains"], family="ipv6", chain="palisade-INPUT") == ["palisade"]
    assert {chain["owner"] for chain in data["chains"] if chain["chain"] in HOOKS} == {None}


@pytest.mark.parametrize("family", FAMILIES)
def test_rules_that_a_person_made_have_no_owner(busy_host: Host, family: str) -> None:
    busy_host.iptables("-A", "INPUT", "-p", "tcp", "--dport", "3306", "-j", "ACCEPT", family=family)
    busy_host.iptables("-N", "HAND-MADE", family=family)
    busy_host.iptables("-A", "HAND-MADE", "-j", "DROP", family=family)
    data = info(busy_host)
    nobodys = [(rule["family"], rule["chain"], rule["rule"]) for rule in data["rules"] if rule["owner"] is None]
    assert nobodys == [(family, "INPUT", "-p tcp -m tcp --dport 3306 -j ACCEPT"), (family, "HAND-MADE", "-j DROP")]
    assert owners(data["chains"], family=family, chain="HAND-MADE") == [None]


def test_two_rulesets_on_one_host(host: Host) -> None:
    host.apply(tables=OURS)
    host.apply(name="site", tables={"filter": {"INPUT": ["-p tcp --dport 8080 -j ACCEPT"], "more": ["-j DROP"]}}, families=["ipv4"])
    rules = info(host)["rules"]
    assert owners(rules, family="ipv4", chain="INPUT") == ["palisade", "palisade ruleset site"]
    assert owners(rules, chain="site-INPUT") == owners(rules, chain="site-more") == ["palisade ruleset site"]
    rules = info(host, name="site")["rules"]
    assert owners(rules, family="ipv4", chain="INPUT") == ["palisade ruleset palisade", "site"]
    assert owners(rules, chain="site-more") == ["site"]
    assert set(owners(rules, chain="palisade-INPUT")) == {"palisade ruleset palisade"}


# What cannot be told

def test_rules_in_both_backends_at_once(host: Host) -> None:
    other = {"nft": "legacy", "legacy": "nft"}[host.backend]
    host.run(f"iptables-{other}", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    result = ask(host)
    assert result.failed
    assert "rules are in both backends at once" in result.message
    assert "192.0.2.1" in result.message


@pytest.mark.parametrize("backend", ["nft"])
def test_native_nft_rules_that_iptables_cannot_show(host: Host) -> None:
    host.run("nft", NATIVE)
    result = ask(host, tables=["nat"])
    assert result.failed
    assert "filter" in result.message
    assert "nft" in result.message
    assert not ask(host, families=["ipv6"]).failed


@pytest.mark.parametrize("backend", ["nft"])
def test_a_family_that_the_kernel_lacks_is_skipped_with_a_warning(host: Host) -> None:
    host.iptables("-A", "INPUT", "-j", "ACCEPT")
    host.run("mount", "-t", "proc", "-o", "subset=pid", "proc", "/proc")
    result = ask(host)
    assert result.warnings == ["ipv6 is skipped: the kernel of this host does not have it"]
    assert {rule["family"] for rule in result.data["rules"]} == {"ipv4"}


def test_not_for_everybody(host: Host) -> None:
    host.apply(tables=OURS)
    result = ask(host, through=("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"))
    assert result.failed
    assert f"{COMMANDS['ipv4']}-{host.backend}-save failed" in result.message or "root" in result.message
    assert "ermi" in result.message, result.message


def test_the_backend_is_the_one_that_iptables_is_on_this_host(busy_host: Host) -> None:
    found, named = info(busy_host, backend="auto"), info(busy_host)
    assert all(found[key] == named[key] for key in ("rules", "chains", "backend"))


def test_fifty_thousand_rules(host: Host) -> None:
    lines = [f"-A INPUT -s 10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32 -p tcp -m tcp --dport 22 -j DROP" for n in range(50_000)]
    host.restore("\n".join(["*filter", *lines, "COMMIT", ""]))
    rules = ask(host, families=["ipv4"]).data["rules"]
    assert [f"-A INPUT {rule['rule']}" for rule in rules] == lines
    assert rules[-1]["number"] == 50_000
