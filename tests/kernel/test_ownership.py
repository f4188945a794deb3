# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is ours and what is not: foreign rules and chains, whole tables, families, and what does not fit."""
from __future__ import annotations

from typing import Any

import pytest

from .support.host import FAMILIES, Host
from .support.save_text import policies, rules, sections

WEB = {"filter": {"INPUT": ["-p tcp -j web"], "web": ["-p tcp --dport 80 -j ACCEPT"]}}
HAND_MADE = "*filter\n-A INPUT -s 192.0.2.7/32 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n"
DOCKER = "*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n"


def test_a_foreign_rule_that_leads_to_a_chain_of_ours_that_would_go(host: Host) -> None:
    host.apply(tables=WEB)
    host.iptables("-I", "FORWARD", "1", "-i", "eth5", "-j", "palisade-web")
    for options in ({"tables": {"filter": {"INPUT": ["-j RETURN"]}}}, {"state": "absent"}):
        message = host.refuse(**options)
        for named in ("filter", "palisade-web", "FORWARD", "eth5"):
            assert named in message, message
    assert host.apply(tables={"filter": {"INPUT": ["-j web"], "web": ["-j DROP"]}}).changed


def test_rules_may_lead_to_chains_of_others(host: Host) -> None:
    host.restore(DOCKER)
    wanted = {"filter": {"INPUT": ["-j DOCKER-USER", "-j web"], "web": ["-g DOCKER-USER"]}}
    host.apply(tables=wanted, families=["ipv4"])
    text = host.save()
    assert rules(text, "filter", "palisade-INPUT") == [
        "-A palisade-INPUT -j DOCKER-USER",
        "-A palisade-INPUT -j palisade-web",
    ]
    assert rules(text, "filter", "palisade-web") == ["-A palisade-web -g DOCKER-USER"]
    assert not host.apply(tables=wanted, families=["ipv4"]).changed


@pytest.mark.parametrize(("choice", "refused", "warned"), [("warn", 0, 1), ("refuse", 1, 0), ("keep", 0, 0)])
def test_rules_that_no_known_program_explains(host: Host, choice: str, refused: bool, warned: bool) -> None:
    host.restore(HAND_MADE)
    if refused:
        message = host.refuse(tables=WEB, foreign=choice)
        assert "192.0.2.7" in message
        assert "icmp-host-prohibited" in message
        return
    result = host.apply(tables=WEB, foreign=choice)
    said = [warning for warning in result.warnings if "192.0.2.7" in warning]
    assert bool(said) == warned, result.warnings
    assert len(rules(host.save(), "filter", "INPUT")) == 3


def test_rules_of_known_programs_need_no_explanation(host: Host) -> None:
    host.restore("*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n-A INPUT -i docker0 -j ACCEPT\nCOMMIT\n")
    assert not host.apply(tables=WEB, foreign="refuse").warnings


def test_rules_behind_a_final_drop_of_ours_are_called_dead(host: Host) -> None:
    wanted = {"filter": {"INPUT": ["-i lo -j ACCEPT", "-j DROP"]}}
    host.apply(tables=wanted)
    host.iptables("-A", "INPUT", "-s", "192.0.2.8", "-j", "ACCEPT")
    assert any("192.0.2.8" in warning for warning in host.apply(tables=wanted, foreign="keep").warnings)


def test_whole_tables_become_exactly_what_is_declared(host: Host) -> None:
    host.restore(HAND_MADE + "*mangle\n-A FORWARD -j ACCEPT\nCOMMIT\n")
    host.restore("*filter\n:FORWARD DROP\n:old - [0:0]\n-A FORWARD -j old\n-A old -j RETURN\nCOMMIT\n", "--noflush")
    mangle = sections(host.save())["mangle"]
    wanted = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-j web"]}, "web": ["-j ACCEPT"]}}
    host.apply(tables=wanted, scope="tables", families=["ipv4"])
    text = host.save()
    assert rules(text) == ["-A INPUT -i lo -j ACCEPT", "-A INPUT -j web", "-A web -j ACCEPT"]
    assert policies(text) == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
    assert sections(text)["mangle"] == mangle
    assert not host.apply(tables=wanted, scope="tables", families=["ipv4"]).changed


def test_whole_tables_are_not_taken_from_docker_unasked(host: Host) -> None:
    host.restore(DOCKER)
    wanted: dict[str, Any] = {"tables": {"filter": {"INPUT": ["-j ACCEPT"]}}, "scope": "tables"}
    message = host.refuse(**wanted)
    assert "DOCKER-USER" in message
    assert "Docker" in message
    host.apply(**wanted, foreign="remove")
    assert rules(host.save()) == ["-A INPUT -j ACCEPT"]


def test_whole_tables_take_our_own_chains_over(host: Host) -> None:
    """From `scope: chains` to `scope: tables`: nothing of the former stays."""
    host.apply(tables=WEB)
    host.apply(tables=WEB, scope="tables")
    assert "palisade" not in "".join(host.snapshot().values())
    assert len(rules(host.save(), "filter", "web")) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_one_family_alone_leaves_the_other_untouched(host: Host, family: str) -> None:
    (other,) = set(FAMILIES) - {family}
    host.apply(tables=WEB)
    before = host.save(other, counters=True)
    host.apply(tables={"filter": {"INPUT": ["-j RETURN"]}}, families=[family])
    assert host.save(other, counters=True) == before
    host.apply(state="absent", families=[family])
    assert host.save(other, counters=True) == before
    assert "palisade" not in host.save(family)


def test_a_rule_for_a_family_that_is_not_asked_for_is_left_out_with_a_warning(host: Host) -> None:
    result = host.apply(tables={"filter": {"INPUT": ["-6 -p tcp --dport 22 -j ACCEPT", "-j RETURN"]}}, families=["ipv4"])
    assert rules(host.save(), "filter", "palisade-INPUT") == ["-A palisade-INPUT -j RETURN"]
    assert any("ipv6" in warning and "--dport 22" in warning for warning in result.warnings)


@pytest.mark.parametrize("backend", ["nft"])
def test_a_family_that_the_kernel_lacks_is_skipped_with_a_warning(host: Host) -> None:
    """A kernel without IPv6 has no /proc/net/if_inet6; this /proc has none either."""
    host.run("mount", "-t", "proc", "-o", "subset=pid", "proc", "/proc")
    result = host.apply(tables=WEB)
    assert any("ipv6" in warning for warning in result.warnings)
    assert {operation["family"] for operation in result.plan} == {"ipv4"}
    assert host.save("ipv6") == ""


@pytest.mark.parametrize(("length", "fits"), [(19, True), (20, False)])
def test_a_chain_name_has_to_fit_behind_ours(host: Host, length: int, fits: bool) -> None:
    name = "c" * length
    wanted = {"filter": {"INPUT": [f"-j {name}"], name: ["-j RETURN"]}}
    if fits:
        host.apply(tables=wanted)
        assert not host.apply(tables=wanted).changed
    else:
        message = host.refuse(tables=wanted)
        assert name in message
        assert "28" in message
        assert "19" in message
        host.apply(tables=wanted, scope="tables")


def nested(depth: int) -> dict[str, Any]:
    """Return chains that jump into each other, so many deep from INPUT."""
    chains = {f"c{n}": [f"-j c{n + 1}"] for n in range(1, depth)}
    return {"filter": {"INPUT": ["-j c1"], **chains, f"c{depth}": ["-j RETURN"]}}


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_jumps_that_nest_too_deep_for_the_kernel_are_refused_before_apply(host: Host, scope: str) -> None:
    """In chains of our own there is one jump more than in the declaration, which a rehearsal cannot see."""
    deepest = 0
    for depth in range(12, 20):
        result = host.module(tables=nested(depth), scope=scope, families=["ipv4"])
        if result.failed:
            assert "filter" in result.message
            assert "back as they were" not in result.message
            break
        deepest = depth
        assert not host.apply(tables=nested(depth), scope=scope, families=["ipv4"]).changed
    if host.backend == "legacy":
        assert deepest == 19
    else:
        assert 12 < deepest < 19


def test_the_backend_is_the_one_that_iptables_is_on_this_host(host: Host) -> None:
    result = host.apply(tables=WEB, backend="auto")
    assert result.data["backend"] == host.backend
    assert "palisade-INPUT" in host.save()
    assert "palisade-INPUT" in host.save("ipv6")


def test_chains_of_a_longer_name_are_not_ours(host: Host) -> None:
    host.restore("*filter\n:palisade2-INPUT - [0:0]\n:palisadeX - [0:0]\n-A palisadeX -j DROP\nCOMMIT\n")
    before = [line for line in host.save().splitlines() if "palisade2" in line or "palisadeX" in line]
    host.apply(tables=WEB)
    host.apply(state="absent")
    assert [line for line in host.save().splitlines() if "palisade" in line] == before


def test_nothing_is_said_twice_about_an_unchanged_host(host: Host) -> None:
    host.apply(tables=WEB)
    again = host.apply(tables=WEB)
    assert (again.changed, again.plan, again.diff_text, again.warnings) == (False, [], "", [])
    canonical = {"filter": {"INPUT": ["-p tcp -j web"], "web": ["-p tcp -m tcp --dport 80 -j ACCEPT"]}}
    assert host.apply(tables=canonical).data["rehearsal"] == "none", "equal text needs no rehearsal"


def test_a_second_jump_is_taken_away(host: Host) -> None:
    host.apply(tables=WEB)
    jump = rules(host.save(), "filter", "INPUT")[0].removeprefix("-A ")
    host.restore(f"*filter\n-A INPUT -i docker0 -j ACCEPT\n-A {jump}\nCOMMIT\n", "--noflush")
    assert host.apply(tables=WEB).changed
    assert rules(host.save(), "filter", "INPUT") == [f"-A {jump}", "-A INPUT -i docker0 -j ACCEPT"]
