# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`expect` of rules that remember, or ask for what a copy of the host may not have: right, or an error that says what cannot be proved."""
from __future__ import annotations

from typing import Any

import pytest

from .support.host import FAMILIES, Host, ModuleResult

SOURCES = {"ipv4": ("203.0.113.7", "203.0.113.8"), "ipv6": ("2001:db8:7::7", "2001:db8:7::8")}
SETS = {"ipv4": "inet", "ipv6": "inet6"}


def tables(*rules: str, hook: str = "INPUT", **more: Any) -> dict[str, Any]:
    return {"filter": {hook: {"policy": "DROP", "rules": list(rules)}}, **more}


def flow(port: int, verdict: str = "", **more: Any) -> dict[str, Any]:
    return {"in_interface": "eth0", "port": port, **({"verdict": verdict} if verdict else {}), **more}


def verdicts(result: ModuleResult) -> list[Any]:
    """Each flow's verdict, or those of all its packets."""
    assert not result.failed, result.message
    return [one.get("verdicts", one["verdict"]) for one in result.data["flows"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_sets_with_their_members(host: Host, family: str) -> None:
    member, other = SOURCES[family]
    for command in (f"create inner hash:ip family {SETS[family]}", f"add inner {member}", "create outer list:set", "add outer inner",
                    f"create ports hash:ip,port family {SETS[family]}", f"add ports {member},tcp:80"):
        host.run("ipset", *command.split())
    rules = tables("-p tcp --dport 22 -m set --match-set outer src -j ACCEPT", "-m set --match-set ports src,dst -j ACCEPT",
                   "-p tcp --dport 25 -m set ! --match-set inner src -j REJECT")
    asked = [flow(22, "accept", source=member), flow(22, "drop", source=other), flow(80, "accept", source=member), flow(81, "drop", source=member),
             flow(80, "drop", source=other), flow(25, "drop", source=member), flow(25, "reject", source=other)]
    assert verdicts(host.apply(families=[family], tables=rules, expect=asked)) == [one["verdict"] for one in asked]
    # A member more, and what was right is wrong.
    host.run("ipset", "add", "inner", other)
    assert f"flow 2 (tcp to port 22 in by eth0 from {other} to" in host.refuse(families=[family], tables=rules, expect=asked)


def test_recent_in_real_seconds(host: Host) -> None:
    rules = tables("-p tcp --dport 22 -m recent --name r --update --seconds 2 --hitcount 3 -j DROP",
                   "-p tcp --dport 22 -m recent --name r --set -j ACCEPT",
                   "-p tcp --dport 7001 -m recent --name knock --set -j DROP",
                   "-p tcp --dport 23 -m recent --name knock --rcheck --seconds 2 -j ACCEPT")
    asked = [flow(22, "drop", count=4), flow(22, "accept", count=3), [flow(22, count=4), flow(22, "accept", wait=3.1)], flow(23, "drop"),
             [flow(7001, "drop"), flow(23, "accept"), flow(23, "accept", wait=0.2), flow(23, "drop", wait=3.1)]]
    assert verdicts(host.apply(tables=rules, expect=asked)) == [
        ["accept"] * 3 + ["drop"], ["accept"] * 3, ["accept"] * 3 + ["drop"], "accept", "drop", "drop", "accept", "accept", "drop"]
    assert "flow 1.2 (tcp to port 23" in host.refuse(tables=rules, expect=[[flow(7001, "drop"), flow(23, "drop")]])


def test_limits_begin_empty(host: Host) -> None:
    rules = tables("-p tcp --dport 22 -m hashlimit --hashlimit-upto 1/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name x -j ACCEPT",
                   "-p tcp --dport 80 -m limit --limit 1/s --limit-burst 3 -j ACCEPT",
                   "-p tcp --syn --dport 25 -m connlimit --connlimit-above 2 -j REJECT", "-p tcp --dport 25 -j ACCEPT")
    one, other = SOURCES["ipv4"]
    asked = [flow(22, "drop", count=3), [flow(22, "drop", source=one, count=3), flow(22, "accept", source=other)],
             [flow(80, "drop", count=4), flow(80, "accept", wait=1.5)], flow(25, "reject", count=3), flow(25, "accept", count=2)]
    assert verdicts(host.apply(tables=rules, expect=asked)) == [
        ["accept", "accept", "drop"], ["accept", "accept", "drop"], "accept", ["accept"] * 3 + ["drop"], "accept", ["accept", "accept", "reject"],
        ["accept"] * 2]


def test_owners(host: Host) -> None:
    rules = tables("-m owner --uid-owner 33 -p tcp --dport 80 -j ACCEPT", "-m owner --gid-owner 34 -p tcp --dport 81 -j ACCEPT",
                   "-m owner --uid-owner 100-199 -j REJECT", hook="OUTPUT")
    asked = [{"hook": "output", "out_interface": "eth0", "port": port, "verdict": verdict, "uid": uid}
             for port, uid, verdict in ((80, 33, "accept"), (80, 34, "drop"), (81, 34, "accept"), (81, 33, "drop"), (80, 150, "reject"),
                                        (80, 200, "drop"))]
    assert verdicts(host.apply(tables=rules, expect=asked)) == [one["verdict"] for one in asked]
    assert "flow 1: uid: only what the host itself sends" in host.refuse(tables=rules, expect=[flow(80, "accept", uid="33")])


@pytest.mark.parametrize(("rule", "why"), [
    ("-m physdev --physdev-in port0 -j ACCEPT", "match physdev: a bridge's ports are not there"),
    ("-m helper --helper ftp -j ACCEPT", "match helper: a connection's helper is not there"),
    ("-m statistic --mode nth --every 2 --packet 0 -j ACCEPT", "match statistic: it is chance"),
    ("-p tcp -m socket --transparent -j ACCEPT", "match socket: the host's sockets are not there"),
])
def test_what_a_copy_cannot_have_is_named_where_a_packet_meets_it(host: Host, rule: str, why: str) -> None:
    rules = tables("-p tcp --dport 22 -j ACCEPT", rule, "-p tcp --dport 80 -j ACCEPT")
    assert verdicts(host.apply(tables=rules, expect=[flow(22, "accept")])) == ["accept"]
    message = host.refuse(tables=rules, expect=[flow(22, "accept"), flow(80, "accept")])
    assert message.startswith("expect: flow 2 (tcp to port 80 in by eth0 "), message
    assert f"its verdict cannot be proved: it meets rule 2 of palisade-INPUT, table filter: {rule}, and {why}" in message
    assert message.endswith("Nothing has changed")


def test_helpers_and_zones_are_set_and_the_packet_is_judged(host: Host) -> None:
    raw = ["-p tcp --dport 21 -j CT --helper ftp", "-p tcp --dport 22 -j CT --zone 7", "-p udp --dport 123 -j CT --notrack"]
    rules = tables("-m conntrack --ctstate UNTRACKED -j ACCEPT", "-p tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT",
                   "-p tcp --dport 22 -j ACCEPT", raw={"PREROUTING": {"rules": raw}})
    asked = [flow(21, "accept"), flow(22, "accept"), flow(123, "accept", protocol="udp"), flow(124, "drop", protocol="udp")]
    assert verdicts(host.apply(tables=rules, families=["ipv4"], expect=asked)) == [one["verdict"] for one in asked]


def test_interfaces_that_are_not_there_yet(host: Host) -> None:
    rules = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-i ppp+ -p tcp --dport 22 -j ACCEPT"]},
                        "FORWARD": {"policy": "DROP", "rules": ["-i tun3 -o ppp0 -j ACCEPT",
                                                                "-i ppp0 -o tun3 -m conntrack --ctstate ESTABLISHED -j ACCEPT"]}}}
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    there = {"in_interface": "tun3", "out_interface": "ppp0", "port": 80}
    back = {"in_interface": "ppp0", "out_interface": "tun3", "port": 80}
    result = host.apply(tables=rules, expect=[
        flow(22, "accept", in_interface="ppp7"), flow(22, "drop", in_interface="tun3"), {**there, "verdict": "accept"}, {**back, "verdict": "drop"},
        {**back, "state": "established", "verdict": "accept"}])
    assert verdicts(result) == ["accept", "drop", "accept", "drop", "accept"]
    assert "ppp7 is there, up and with IPv4" in result.data["flows"][0]["assumed"]
    assert host.run("ip", "link").stdout.count("\n") == 2


def test_native_base_chains_are_warned_of_where_something_was_proved(host: Host) -> None:
    host.run("nft", "add table inet mine; add chain inet mine door { type filter hook input priority 5; policy drop; }")
    rules = tables("-p tcp --dport 22 -j ACCEPT")
    assert not any("native nftables" in warning for warning in host.apply(tables=rules).warnings)
    found = [warning for warning in host.apply(tables=rules, expect=[flow(22, "accept")]).warnings if "native nftables" in warning]
    assert found == ["native nftables chains are on this host (inet mine door): packets meet them too, and the proof does not know them"]
