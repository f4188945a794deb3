# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused: nothing live changes, byte for byte, and the message names the place and repeats iptables' own words."""
from __future__ import annotations

from typing import Any

import pytest

from .support.host import Host

GOOD: dict[str, Any] = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-p tcp --dport 22 -j ACCEPT"]}},
    "mangle": {"PREROUTING": ["-p tcp --dport 22 -j MARK --set-mark 1"]},
}
LIVE = """*filter
:INPUT ACCEPT [5:500]
:palisade-INPUT - [0:0]
[7:700] -A INPUT -s 192.0.2.1/32 -j DROP
[6:600] -A INPUT -m comment --comment palisade -j palisade-INPUT
[1:60] -A palisade-INPUT -p tcp -m tcp --dport 2222 -j ACCEPT
COMMIT
"""


@pytest.fixture
def live_host(host: Host) -> Host:
    """A host with rules of ours and of somebody else, so that there is something to lose."""
    host.restore(LIVE, "--counters")
    return host


def with_rule(table: str, chain: str, rule: str) -> dict[str, Any]:
    """Return the good declaration with one more rule, number two of its chain, in its last table."""
    return {**GOOD, table: {chain: ["-p udp -j RETURN", rule]}}


@pytest.mark.parametrize(
    ("table", "chain", "rule", "words"),
    [
        ("raw", "PREROUTING", "-p tcp --dport 99999 -j NOTRACK", "99999"),
        ("raw", "PREROUTING", "-p tcp --sport ssh --nonsense 3", "nonsense"),
        ("raw", "PREROUTING", "-m nosuchmatch -j DROP", "nosuchmatch"),
        ("raw", "PREROUTING", "-s 300.0.0.1 -j DROP", "300.0.0.1"),
        ("nat", "POSTROUTING", "-j DNAT --to-destination 192.0.2.1", ""),
        ("nat", "POSTROUTING", "-i eth0 -j MASQUERADE", "-i"),
        ("nat", "PREROUTING", "-p tcp -j REDIRECT --to-ports 0-99999999", ""),
    ],
)
def test_a_bad_rule_in_the_last_table(live_host: Host, table: str, chain: str, rule: str, words: str) -> None:
    message = live_host.refuse(tables=with_rule(table, chain, rule), families=["ipv4"])
    for named in ("tables", "ipv4", table, chain, "rule 2", rule, words):
        assert named in message, message


@pytest.mark.parametrize(
    ("rule", "refused_by", "hint"),
    [
        ("-p tcp -m osf --genre Linux -j DROP", "ipv6", "-4"),
        ("-m ah --ahres -j DROP", "ipv4", "-6"),
        ("-m string --string x --algo nosuchalgorithm -j DROP", "ipv4", ""),
    ],
)
def test_an_error_in_one_family_changes_neither(live_host: Host, rule: str, refused_by: str, hint: str) -> None:
    message = live_host.refuse(tables=with_rule("mangle", "PREROUTING", rule))
    for named in (rule, "rule 2", refused_by, "mangle", "PREROUTING", hint):
        assert named in message, message


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"filter": {"FORWARD": ["-o eth0 -j MASQUERADE"]}}, ["filter", "FORWARD", "rule 1", "MASQUERADE"]),
        ({"filter": {"INPUT": ["-j a"], "a": ["-j b"], "b": ["-j a"]}}, ["filter"]),
        ({"filter": {"INPUT": ["-j own"], "own": ["-j own"]}}, ["filter"]),
        ({"filter": {"INPUT": ["-p tcp -j nowhere"]}}, ["filter", "INPUT", "rule 1", "nowhere"]),
        ({"filter": {"INPUT": ["-g nowhere"]}}, ["filter", "INPUT", "rule 1", "nowhere"]),
        ({"nat": {"PREROUTING": ["-j web"]}, "filter": {"web": ["-j ACCEPT"]}}, ["nat", "PREROUTING", "web"]),
        ({"mangle": {"INPUT": ["-j REJECT"]}}, ["mangle", "INPUT", "REJECT"]),
        ({"raw": {"PREROUTING": ["-j SNPT --src-pfx fd00::/64 --dst-pfx fd01::/64"]}}, ["raw", "PREROUTING", "SNPT"]),
        ({"filter": {"INPUT": ["-p udp --syn -j DROP"]}}, ["filter", "INPUT", "syn"]),
        ({"filter": {"INPUT": ["-o eth0 -j DROP"]}}, ["filter", "INPUT", "-o"]),
        ({"filter": {"OUTPUT": ["-i eth0 -j DROP"]}}, ["filter", "OUTPUT", "-i"]),
        ({"filter": {"INPUT": ["-m set --match-set nosuchset src -j DROP"]}}, ["INPUT", "nosuchset"]),
    ],
)
@pytest.mark.parametrize("rehearsal", ["namespace", "scratch"])
def test_what_the_kernel_refuses_and_test_runs_miss(
    live_host: Host, tables: dict[str, Any], named: list[str], rehearsal: str
) -> None:
    message = live_host.refuse(tables={**GOOD, **tables}, rehearsal=rehearsal)
    for name in named:
        assert name in message, message


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x7f", "\x0b", "\x85", "\u2028"])
def test_a_control_character_in_a_rule(live_host: Host, character: str) -> None:
    for place in ("-p tcp{0}-A INPUT -j ACCEPT", '-m comment --comment "a{0}b" -j ACCEPT', "-j ACCEPT{0}"):
        message = live_host.refuse(tables={"filter": {"INPUT": ["-j RETURN", place.format(character)]}})
        assert "INPUT" in message
        assert "rule 2" in message
        assert "character" in message


@pytest.mark.parametrize("name", ["web\nCOMMIT", "web -j ACCEPT", "-web", "", "a" * 29, "web\t", "!web", "ACCEPT", "DROP"])
def test_a_chain_name_that_is_none(live_host: Host, name: str) -> None:
    live_host.refuse(tables={"filter": {name: ["-j RETURN"]}})


@pytest.mark.parametrize("name", ["Palisade", "pali-sade", "a" * 13, "f2b", "ufw", "9a", "", "x\n"])
def test_a_ruleset_name_that_is_none(live_host: Host, name: str) -> None:
    live_host.refuse(name=name, tables=GOOD)


def test_a_rule_longer_than_iptables_reads_in_one_piece(live_host: Host) -> None:
    """iptables-restore would read the rest of the line as a command of its own."""
    long = "-m comment --comment " + '"' + "x" * 10_240 + '"' + " -j ACCEPT"
    message = live_host.refuse(tables={"filter": {"INPUT": [long]}})
    assert "INPUT" in message
    assert "long" in message


@pytest.mark.parametrize("option", ["--modprobe=/tmp/evil", "--modprobe /tmp/evil", "-M /tmp/evil", "--modp /tmp/evil", "-M/tmp/evil"])
def test_a_rule_that_names_a_program_to_run(live_host: Host, option: str) -> None:
    """The program would be run as root."""
    message = live_host.refuse(tables={"filter": {"INPUT": [f"{option} -p tcp -j ACCEPT"]}})
    assert "INPUT" in message
    assert "program" in message


@pytest.mark.parametrize(
    "content",
    [
        "*filter\n-A INPUT -j ACCEPT\n",
        "-A INPUT -j ACCEPT\nCOMMIT\n",
        "*nosuchtable\nCOMMIT\n",
        "*filter\n-F INPUT\nCOMMIT\n",
        "*filter\n-X\nCOMMIT\n",
        "*filter\n-D INPUT 1\nCOMMIT\n",
        "*filter\n:INPUT REJECT [0:0]\nCOMMIT\n",
        "*filter\n:web DROP [0:0]\nCOMMIT\n",
        "*filter\n-A nowhere -j ACCEPT\nCOMMIT\n",
        "*filter\n-P INPUT QUEUE\nCOMMIT\n",
        '*filter\n-A INPUT -m comment --comment "open -j ACCEPT\nCOMMIT\n',
        "*filter\n-A INPUT -t nat -j ACCEPT\nCOMMIT\n",
    ],
)
def test_restore_text_that_declares_nothing_clear(live_host: Host, content: str) -> None:
    live_host.refuse(content=content)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tables": {}, "content": "*filter\nCOMMIT\n"},
        {"tables": {"filter": {"INPUT": {"policy": "REJECT"}}}},
        {"tables": {"filter": {"INPUT": {"rule": []}}}},
        {"tables": {"filter": {"INPUT": "-j ACCEPT"}}},
        {"tables": {"filter": {"web": {"policy": "DROP"}}}},
        {"tables": {"filters": {"INPUT": []}}},
        {"tables": {"filter": {"INPUT": [7]}}},
        {"tables": {"filter": []}},
        {"state": "absent", "scope": "tables"},
        {"tables": GOOD, "families": ["ipv5"]},
        {"tables": {"filter": {"INPUT": ["-A OUTPUT -j ACCEPT"]}}},
        {"tables": {"filter": {"INPUT": ["-t nat -j ACCEPT"]}}},
        {"tables": {"filter": {"INPUT": ["-s 192.0.2.1 -d 2001:db8::1 -j ACCEPT"]}}},
    ],
)
def test_options_that_make_no_sense(live_host: Host, options: dict[str, Any]) -> None:
    live_host.refuse(**options)


def test_rules_in_both_backends_at_once(host: Host) -> None:
    other = {"nft": "legacy", "legacy": "nft"}[host.backend]
    host.run(f"iptables-{other}", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    before = host.run(f"iptables-{other}-save").stdout
    message = host.refuse(tables=GOOD)
    assert other in message
    assert host.backend in message
    assert "192.0.2.1" in message
    assert host.run(f"iptables-{other}-save").stdout.splitlines()[1:-1] == before.splitlines()[1:-1]


@pytest.mark.parametrize("backend", ["nft"])
def test_native_nft_rules_that_iptables_cannot_show(host: Host) -> None:
    """iptables-save leaves such a table out and still succeeds; a restore would delete the native rules."""
    table = "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; }"
    host.run("nft", f"{table}; add rule ip filter INPUT ct state established accept")
    before = host.run("nft", "list", "ruleset").stdout
    message = host.refuse(tables=GOOD)
    assert "filter" in message
    assert "nft" in message
    assert host.run("nft", "list", "ruleset").stdout == before
