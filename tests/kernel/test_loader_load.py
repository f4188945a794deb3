# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is persisted is loaded whatever stands there: one jump, at its place, and nothing of anybody else is touched."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .support.host import FAMILIES, SHIMS, Host
from .support.persisted import (
    PREVIOUS,
    SECTIONS,
    TABLES,
    boot,
    install,
    last_load,
    live,
    loaded_alone,
    loader,
    one_rule,
    persisted,
    put,
)
from .support.save_text import chains, policies, rules, sections
from .support.spellings import SETS, spellings, tables

NewHost = Callable[[], Host]
DATA = Path(__file__).with_name("data")

JUMP = '-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT'
NAT_JUMP = "-A PREROUTING -m comment --comment palisade -j palisade-PREROUTING"
DOCKER = """*filter
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 81
COMMIT
"""
FAIL2BAN = """*filter
:f2b-sshd - [0:0]
-I INPUT 1 -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -j RETURN
COMMIT
"""


@pytest.fixture
def ready(host: Host) -> Host:
    """A host on which the usual set is persisted and nothing is loaded."""
    install(host)
    put(host, "rules", persisted(SECTIONS, backend=host.backend))
    return host


def hook(host: Host, chain: str = "INPUT", table: str = "filter", family: str = "ipv4") -> list[str]:
    return rules(host.save(family), table, chain)


def foreign(host: Host, *, counters: bool = True) -> list[str]:
    """Return the rules and chains of others, in their order."""
    return [
        f"{family} {table} {line}"
        for family in FAMILIES
        for table, lines in sorted(sections(host.save(family, counters=counters)).items())
        for line in lines
        if "palisade" not in line and (" - [" in line or not line.startswith(":"))
    ]


def agree(host: Host) -> None:
    """Insist that the module finds nothing to change."""
    result = host.apply(tables=TABLES, foreign="keep")
    assert not result.changed, result.diff_text


def test_a_set_is_loaded_and_the_module_finds_nothing_to_change(ready: Host) -> None:
    boot(ready)
    for family in FAMILIES:
        text = ready.save(family)
        assert rules(text, chain="INPUT") == [JUMP]
        assert rules(text, "nat", "PREROUTING") == [NAT_JUMP]
        assert policies(text) == {"INPUT": "DROP", "FORWARD": "ACCEPT", "OUTPUT": "ACCEPT"}
        assert rules(text, chain="palisade-web")[0].endswith('"a -j b # of \\"words\\" $(false) `false` *" -j ACCEPT')
    noted = last_load(ready)
    assert noted.pop("time").endswith("Z")
    assert noted == {"by": "boot", "from": "rules", "written": "2026-11-21T10:40:35Z", "result": "good"}
    agree(ready)


def test_what_the_module_applied_is_what_the_loader_loads(new_host: NewHost, ready: Host) -> None:
    applied = new_host()
    applied.apply(tables=TABLES)
    boot(ready)
    assert live(ready) == live(applied)


def test_loading_again_changes_nothing(ready: Host) -> None:
    boot(ready)
    once = live(ready)
    for how in ("boot", "reload"):
        assert loader(ready, how).returncode == 0
        assert live(ready) == once
        assert last_load(ready)["by"] == how


@pytest.mark.parametrize("when", ["before", "after", "between"])
@pytest.mark.parametrize("text", [DOCKER, FAIL2BAN], ids=["Docker", "fail2ban"])
def test_what_others_have_stays_as_it_is(ready: Host, when: str, text: str) -> None:
    if when != "before":
        boot(ready)
    ready.restore(text, "--noflush")
    if when == "between":
        ready.restore(FAIL2BAN.replace("sshd", "other"), "--noflush")
    theirs = foreign(ready)
    boot(ready)
    boot(ready)
    assert foreign(ready) == theirs
    assert hook(ready).count(JUMP) == 1
    assert hook(ready)[-1] == JUMP, "in filter the jump is behind what others have"
    assert hook(ready, "PREROUTING", "nat")[0] == NAT_JUMP, "in nat it is ahead of them"
    agree(ready)


def test_a_jump_stays_where_it_stands(ready: Host) -> None:
    boot(ready)
    ready.iptables("-A", "INPUT", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    ready.iptables("-t", "nat", "-I", "PREROUTING", "1", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    before = live(ready)
    boot(ready)
    assert live(ready) == before


SPOILED = {
    "the hook is flushed": "iptables -F INPUT",
    "all is flushed": "iptables -F; iptables -t nat -F; ip6tables -F",
    "all is flushed and open": "iptables -F; iptables -P INPUT ACCEPT; iptables -X; ip6tables -F; ip6tables -P INPUT ACCEPT",
    "the policy is open": "iptables -P INPUT ACCEPT",
    "a rule is gone": "iptables -D palisade-INPUT 1",
    "a rule is new": "iptables -I palisade-web 1 -j RETURN; iptables -A palisade-OUTPUT -j ACCEPT",
    "another chain of ours": "iptables -N palisade-old; iptables -A palisade-old -j ACCEPT; iptables -A palisade-web -j palisade-old",
    "a hook of ours": "iptables -t mangle -N palisade-INPUT; iptables -t mangle -A INPUT -m comment --comment palisade -j palisade-INPUT",
    "a scratch chain": "iptables -N palisade~0; iptables -A palisade~0 -j ACCEPT",
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_what_was_spoiled_is_whole_again(ready: Host, spoil: str) -> None:
    boot(ready)
    ready.iptables("-I", "INPUT", "1", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    whole, theirs = live(ready), foreign(ready, counters=False)
    ready.run("sh", "-euc", spoil)
    if not hook(ready):
        ready.iptables("-A", "INPUT", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    assert live(ready) != whole
    boot(ready)
    assert live(ready) == whole
    assert foreign(ready, counters=False) == theirs
    agree(ready)


def test_of_several_jumps_one_is_left_at_the_place_of_the_first(ready: Host) -> None:
    boot(ready)
    ready.iptables("-I", "INPUT", "1", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    ready.run("sh", "-euc", "iptables -A INPUT -j palisade-INPUT; iptables -I INPUT 1 -m comment --comment palisade -j palisade-INPUT")
    boot(ready)
    assert hook(ready) == ["-A INPUT -m comment --comment palisade -j palisade-INPUT", "-A INPUT -s 192.0.2.1/32 -j ACCEPT"]
    agree(ready)


def test_a_stale_chain_that_others_jump_to_is_emptied_and_named(ready: Host) -> None:
    boot(ready)
    ready.run("sh", "-euc", "iptables -N palisade-old; iptables -A palisade-old -j DROP; iptables -I INPUT 1 -j palisade-old")
    done = loader(ready, "boot")
    assert done.returncode == 0
    assert "filter, chain palisade-old" in done.stderr
    assert "only emptied" in done.stderr
    text = ready.save()
    assert "palisade-old" in chains(text)
    assert not rules(text, chain="palisade-old")
    ready.iptables("-D", "INPUT", "-j", "palisade-old")
    boot(ready)
    assert "palisade-old" not in ready.save()


def test_a_chain_named_in_a_comment_only_is_removed(ready: Host) -> None:
    ready.restore('*filter\n:palisade-old - [0:0]\n-A INPUT -m comment --comment "x -j palisade-old" -j ACCEPT\nCOMMIT\n')
    boot(ready)
    assert chains(ready.save()) == ["palisade-INPUT", "palisade-OUTPUT", "palisade-web"]


# What INPUT held before (its policy, our old jump's words), what is declared for it, and then: the policy and the jump's words.
POLICIES: list[tuple[str, str | None, str, str, str | None]] = [
    ("ACCEPT", None, "DROP", "DROP", "palisade: policy was ACCEPT"),
    ("DROP", None, "DROP", "DROP", "palisade"),
    ("DROP", None, "ACCEPT", "ACCEPT", "palisade: policy was DROP"),
    ("ACCEPT", None, "-", "ACCEPT", "palisade"),
    ("DROP", None, "-", "DROP", "palisade"),
    ("DROP", "palisade: policy was ACCEPT", "DROP", "DROP", "palisade: policy was ACCEPT"),
    ("ACCEPT", "palisade: policy was ACCEPT", "DROP", "DROP", "palisade: policy was ACCEPT"),
    ("DROP", "palisade: policy was ACCEPT", "-", "ACCEPT", "palisade"),
    ("DROP", "palisade", "ACCEPT", "ACCEPT", "palisade: policy was DROP"),
    ("DROP", "palisade: policy was ACCEPT", "", "ACCEPT", None),
    ("ACCEPT", "palisade: policy was DROP", "", "DROP", None),
    ("DROP", "palisade", "", "DROP", None),
]


@pytest.mark.parametrize(("policy", "comment", "declared", "policy_then", "comment_then"), POLICIES)
def test_a_policy_and_the_word_of_what_was_before(
    host: Host, policy: str, comment: str | None, declared: str, policy_then: str, comment_then: str | None
) -> None:
    install(host)
    jump = f'-A INPUT -m comment --comment "{comment}" -j palisade-INPUT\n' if comment else ""
    chain = ":palisade-INPUT - [0:0]\n" if comment else ""
    host.restore(f"*filter\n:INPUT {policy} [0:0]\n{chain}-A INPUT -s 192.0.2.1/32 -j ACCEPT\n{jump}-A INPUT -s 192.0.2.2/32 -j ACCEPT\nCOMMIT\n")
    section = f"*filter\n:palisade-INPUT - [0:0]\n#hook INPUT last {declared}\n-A palisade-INPUT -i lo -j ACCEPT\nCOMMIT\n"
    ours = {"ipv4": section if declared else "*mangle\nCOMMIT\n"}
    put(host, "rules", persisted(ours, backend=host.backend, asked=["ipv4"]))
    for _again in range(2):
        boot(host)
        assert policies(host.save())["INPUT"] == policy_then
        words = [rule.split("--comment ")[1].split(" -j")[0].strip('"') for rule in hook(host) if "palisade" in rule]
        assert words == ([comment_then] if comment_then else [])
        if comment and comment_then:
            assert "palisade" in hook(host)[1], "a jump that is replaced keeps its place"
    if declared:
        chain_now = {"policy": declared, "rules": ["-i lo -j ACCEPT"]} if declared != "-" else ["-i lo -j ACCEPT"]
        result = host.apply(tables={"filter": {"INPUT": chain_now}}, families=["ipv4"], foreign="keep")
        assert not result.changed, result.diff_text


def test_several_rulesets_of_a_host_do_not_mind_each_other(ready: Host) -> None:
    lab = {family: text.replace("palisade-", "lab-") for family, text in PREVIOUS.items()}
    put(ready, "rules", persisted(lab, backend=ready.backend, name="lab"), name="lab")
    boot(ready)
    assert [rule.rsplit(" ", 1)[1] for rule in hook(ready)] == ["lab-INPUT", "palisade-INPUT"]
    both = live(ready)
    boot(ready, "lab")
    assert live(ready) == both
    put(ready, "rules", "broken\n", name="lab")
    assert loader(ready, "boot", "palisade").returncode == 0
    assert loader(ready, "boot").returncode == 1
    assert "palisade-web" in ready.save(), "the other one is loaded all the same"


def test_a_family_that_was_not_asked_for_is_left_alone(host: Host) -> None:
    install(host)
    put(host, "rules", persisted({"ipv4": PREVIOUS["ipv4"]}, backend=host.backend, asked=["ipv4"]))
    before = host.save("ipv6")
    boot(host)
    assert host.save("ipv6") == before
    assert "1003" in host.save()


def test_a_family_that_was_asked_for_and_is_not_in_the_file_is_closed(host: Host) -> None:
    install(host)
    put(host, "rules", persisted({"ipv4": PREVIOUS["ipv4"]}, backend=host.backend))
    done = loader(host, "boot")
    assert done.returncode == 1
    assert "nothing for ipv6" in done.stderr
    assert "1003" in host.save()
    assert policies(host.save("ipv6"))["INPUT"] == "DROP"
    assert last_load(host)["result"] == "failed"


def test_a_section_without_a_table_takes_ours_away(ready: Host) -> None:
    boot(ready)
    put(ready, "rules", persisted({"ipv4": "", "ipv6": ""}, backend=ready.backend))
    boot(ready)
    assert live(ready) == {family: {} for family in FAMILIES}


#: Shells, and the tools that come with them instead of the host's own.
SHELLS = {
    "bash": ("bash --posix", ""),
    "dash": ("dash", ""),
    "busybox": ("busybox sh", "awk cat date grep head id mkdir mv rm sed sha256sum sleep sort stat tr wc"),
}


@pytest.mark.parametrize(("shell", "tools"), SHELLS.values(), ids=SHELLS)
def test_other_shells_do_the_same(new_host: NewHost, ready: Host, shell: str, tools: str) -> None:
    ready.run("sh", "-euc", f"for tool in {tools}; do ln -sf $(command -v busybox) {SHIMS}/$tool; done")
    done = loader(ready, "boot", through=shell.split())
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert live(ready) == loaded_alone(new_host(), SECTIONS)
    shown = loader(ready, "status", through=shell.split())
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    put(ready, "rules", "broken")
    done = loader(ready, "boot", through=shell.split())
    assert done.returncode == 1
    assert "does not begin as a file of ours does" in done.stderr
    assert "loaded from: built-in" in done.stderr
    assert policies(ready.save("ipv6"))["FORWARD"] == "DROP"


def test_ten_thousand_rules_are_loaded_in_seconds(host: Host) -> None:
    install(host)
    more = "".join(f"-A palisade-INPUT -p tcp -m tcp --dport {1 + port % 65535} -m mark --mark {hex(port)} -j ACCEPT\n" for port in range(10_000))
    many = {family: text.replace("COMMIT\n", f"{more}COMMIT\n") for family, text in one_rule(1).items()}
    put(host, "rules", persisted(many, backend=host.backend))
    boot(host)
    assert len(rules(host.save("ipv6"), chain="palisade-INPUT")) == 10_001
    assert loader(host, "status").returncode == 0


def test_a_busy_host_keeps_every_rule_and_counter_of_others(ready: Host) -> None:
    for family in FAMILIES:
        ready.restore((DATA / f"busy_host.{family}.rules").read_text(encoding="utf-8"), "--counters", family=family)
    theirs = foreign(ready)
    assert len(theirs) > 50
    for how in ("boot", "reload", "status", "flush"):
        assert loader(ready, how).returncode == 0
        assert foreign(ready) == theirs, how
        if how != "flush":
            agree(ready)


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_rules_as_people_write_them_come_back_as_the_kernel_had_them(host: Host, scope: str) -> None:
    """Persisted by the module, taken out, loaded: quotes, backslashes, signs and all."""
    install(host)
    host.run("ipset", "restore", text=SETS)
    declared = tables(spellings("any", "ipv4"))
    host.apply(tables=declared, families=["ipv4"], scope=scope, persist=True)
    before = live(host)
    assert sum(map(len, before["ipv4"].values())) > 200
    assert loader(host, "flush").returncode == 0
    assert live(host) == {family: {} for family in FAMILIES}
    boot(host)
    assert live(host) == before
    shown = loader(host, "status")
    assert shown.returncode == 0, shown.stdout
    assert not host.apply(tables=declared, families=["ipv4"], scope=scope, persist=True).changed
