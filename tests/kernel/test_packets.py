# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""packet_probe's verdicts: a router's rules in filter, nat, mangle and raw, and what becomes of a packet there, rule by rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from .support.host import FAMILIES, Host

#: Names in the rules and flows below → the addresses of a family.
NAMES = {
    "ipv4": {
        "OFFICE": "203.0.113.9", "BAD": "203.0.113.66", "ELSE": "198.51.100.20", "SPOOF": "10.66.0.1", "LAN": "10.1.0.5", "LANS": "10.1.0.0/16",
        "SERVER": "10.1.0.80", "ME": "192.0.2.1", "FAR": "203.0.113.200", "ICMP": "icmp", "PING": "-p icmp -m icmp --icmp-type 8",
        "PORT_UNREACHABLE": "icmp-port-unreachable", "ADDRESS": "%s:%d", "PUBLIC": "192.0.2.99", "HOLE": "203.0.113.13",
    },
    "ipv6": {
        "OFFICE": "2001:db8:1::9", "BAD": "2001:db8:1::66", "ELSE": "2001:db8:51::20", "SPOOF": "fd66::1", "LAN": "fd01::5", "LANS": "fd01::/16",
        "SERVER": "fd01::80", "ME": "2001:db8::1", "FAR": "2001:db8:1::200", "ICMP": "ipv6-icmp", "PING": "-p ipv6-icmp -m icmp6 --icmpv6-type 128",
        "PORT_UNREACHABLE": "icmp6-port-unreachable", "ADDRESS": "[%s]:%d", "PUBLIC": "2001:db8::99", "HOLE": "2001:db8:1::13",
    },
}
RULES = """
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 123 -j CT --notrack
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i wan0 -s SPOOF -j DROP
-A PREROUTING -p tcp -m tcp --dport 4444 -j MARK --set-xmark 0x1/0xffffffff
-A INPUT -p tcp -m tcp --dport 4445 -j DROP
-A FORWARD -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A FORWARD -p tcp -m tcp --dport 4446 -j DROP
-A POSTROUTING -o wan0 -p udp -m udp --dport 1900 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i wan0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination SERVER_80
-A PREROUTING -i lan0 -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 3128
-A PREROUTING -i wan0 -p tcp -m tcp --dport 8089 -j DNAT --to-destination SERVER_89
-A OUTPUT -p tcp -m tcp --dport 8090 -j DNAT --to-destination SERVER_80
-A POSTROUTING -o wan0 -p udp -m udp --dport 5060 -j SNAT --to-source PUBLIC
-A POSTROUTING -s LANS -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:log_drop - [0:0]
:ports - [0:0]
:ssh - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -s OFFICE -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ssh
-A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT
-A INPUT -i lan0 -p udp -m udp --dport 53 -j ACCEPT
-A INPUT PING -m limit --limit 1/min --limit-burst 3 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset
-A INPUT -p tcp -m mac --mac-source 02:aa:aa:aa:aa:01 -m tcp --dport 8080 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -j LOG
-A INPUT -p tcp -m tcp --dport 9000:9010 -g ports
-A INPUT -m mark --mark 0x1 -j ACCEPT
-A INPUT -p udp -m conntrack --ctstate UNTRACKED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 7000 -m recent --update --seconds 60 --hitcount 3 --name seven --rsource -j DROP
-A INPUT -p tcp -m tcp --dport 7000 -m recent --set --name seven --rsource -j ACCEPT
-A INPUT -p tcp -m tcp --sport 20 --dport 1024:65535 -j ACCEPT
-A INPUT -i lan0 -p tcp -m tcp --dport 3128 -j ACCEPT
-A INPUT -i lan+ -j REJECT --reject-with PORT_UNREACHABLE
-A INPUT -p udp -j log_drop
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i guest0 -j REJECT --reject-with PORT_UNREACHABLE
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -d SERVER -i wan0 -o lan0 -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -d SERVER -p tcp -j log_drop
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -m owner --uid-owner 33 -j REJECT --reject-with PORT_UNREACHABLE
-A OUTPUT -p tcp -m tcp --dport 25 -j DROP
-A OUTPUT -p udp -m udp --dport 53 -j ACCEPT
-A OUTPUT -d HOLE -j log_drop
-A log_drop PING -j ACCEPT
-A log_drop -p tcp -j REJECT --reject-with tcp-reset
-A log_drop -j DROP
-A ports -p tcp -m tcp --dport 9000 -j ACCEPT
-A ports -p tcp -m tcp --dport 9001 -j RETURN
-A ports -p tcp -m tcp --dport 9002 -j REJECT --reject-with tcp-reset
-A ssh -s BAD -j DROP
-A ssh -s ELSE -j RETURN
-A ssh -j ACCEPT
COMMIT
"""

#: Ports that nat sends to another → that one.
NAT = {8088: 80, 8089: 89, 8090: 80, 81: 3128}
#: In how many fresh rigs every flow has to be answered right, and how many of them one run of the module makes.
RIGS, RIGS_AT_ONCE = 30, 5


def wan(**flow: Any) -> dict[str, Any]:
    return {"hook": "input", "in_interface": "wan0", "destination": "ME", **flow}


def lan(**flow: Any) -> dict[str, Any]:
    return {"hook": "input", "in_interface": "lan0", "source": "LAN", "destination": "ME", **flow}


def forward(come: str, go: str, **flow: Any) -> dict[str, Any]:
    return {"hook": "forward", "in_interface": come, "out_interface": go, "destination": "FAR", **flow}


def out(**flow: Any) -> dict[str, Any]:
    return {"hook": "output", "out_interface": "wan0", "source": "ME", "destination": "FAR", **flow}


UDP = {"protocol": "udp"}
ICMP = {"protocol": "ICMP"}
#: A flow, its verdict, and the rule (table, chain, number, or the policy) that decided.
FLOWS: list[tuple[dict[str, Any], str, str]] = [
    (wan(port=22, source="OFFICE"), "accept", "filter INPUT 4"),
    (wan(port=22, source="BAD"), "drop", "filter ssh 1"),
    (wan(port=22, source="ELSE"), "drop", "filter INPUT DROP"),
    (wan(port=22), "accept", "filter ssh 3"),
    (wan(port=80), "accept", "filter INPUT 6"),
    (wan(port=443), "accept", "filter INPUT 6"),
    (wan(port=443, source_port=1), "accept", "filter INPUT 6"),
    (wan(port=444), "drop", "filter INPUT DROP"),
    (wan(port=53, **UDP), "drop", "filter log_drop 3"),
    (lan(port=53, **UDP), "accept", "filter INPUT 7"),
    (lan(port=54, **UDP), "reject", "filter INPUT 19"),
    (wan(**ICMP), "accept", "filter INPUT 8"),
    (wan(count=3, **ICMP), "accept", "filter INPUT 8"),
    (wan(count=4, **ICMP), "drop", "filter INPUT DROP"),
    (lan(count=4, **ICMP), "reject", "filter INPUT 19"),
    (wan(icmp_type="time-exceeded", **ICMP), "drop", "filter INPUT 3"),
    (wan(icmp_type="echo-reply", **ICMP), "drop", "filter INPUT 3"),
    (wan(port=113), "reject", "filter INPUT 9"),
    (wan(port=8080), "drop", "filter INPUT DROP"),
    (wan(port=8080, source_mac="02:aa:aa:aa:aa:01"), "accept", "filter INPUT 10"),
    (wan(port=9000), "accept", "filter ports 1"),
    (wan(port=9001), "drop", "filter INPUT DROP"),
    (wan(port=9002), "reject", "filter ports 3"),
    (lan(port=9003), "drop", "filter INPUT DROP"),
    (wan(port=4444), "accept", "filter INPUT 13"),
    (wan(port=4445), "drop", "mangle INPUT 1"),
    (wan(port=123, **UDP), "accept", "filter INPUT 14"),
    (wan(port=7000), "accept", "filter INPUT 16"),
    (wan(port=7000, count=3), "accept", "filter INPUT 16"),
    (wan(port=7000, count=4), "drop", "filter INPUT 15"),
    (wan(port=5000, source_port=20), "accept", "filter INPUT 17"),
    (wan(port=80, source="SPOOF"), "drop", "mangle PREROUTING 1"),
    (lan(port=80, source="SPOOF"), "accept", "filter INPUT 6"),
    (lan(port=444), "reject", "filter INPUT 19"),
    (lan(port=444, in_interface="lan1"), "reject", "filter INPUT 19"),
    (lan(port=444, in_interface="land"), "reject", "filter INPUT 19"),
    (wan(port=444, in_interface="la"), "drop", "filter INPUT DROP"),
    (wan(port=444, state="established"), "accept", "filter INPUT 2"),
    (wan(port=444, state="established", **UDP), "accept", "filter INPUT 2"),
    (wan(state="established", **ICMP), "accept", "filter INPUT 2"),
    (wan(port=80, flags="FIN,PSH,URG"), "drop", "filter INPUT 3"),
    (wan(port=80, flags="SYN,FIN"), "drop", "filter INPUT 3"),
    (wan(port=80, flags="NONE"), "drop", "filter INPUT 3"),
    (wan(port=80, flags="ACK"), "accept", "filter INPUT 6"),
    (wan(port=444, flags="ACK"), "drop", "filter INPUT DROP"),
    ({"in_interface": "lo", "port": 444}, "accept", "filter INPUT 1"),
    (lan(port=81), "accept", "filter INPUT 18"),
    (forward("lan0", "wan0", port=80, source="LAN"), "accept", "filter FORWARD 3"),
    (forward("lan0", "wan0", port=4446, source="LAN"), "drop", "mangle FORWARD 2"),
    (forward("lan0", "wan0", port=1900, source="LAN", **UDP), "drop", "mangle POSTROUTING 1"),
    (forward("lan0", "wan0", port=5060, source="LAN", **UDP), "accept", "filter FORWARD 3"),
    (forward("lan0", "wan0", source="LAN", **ICMP), "accept", "filter FORWARD 3"),
    (forward("wan0", "lan0", port=80, destination="LAN"), "drop", "filter FORWARD DROP"),
    (forward("wan0", "lan0", port=80, destination="LAN", state="established"), "accept", "filter FORWARD 1"),
    (forward("guest0", "wan0", port=80, source="LAN"), "reject", "filter FORWARD 2"),
    (forward("guest0", "lan0", source="ELSE", destination="LAN", **ICMP), "reject", "filter FORWARD 2"),
    (forward("wan0", "lan0", port=8088, destination="ME"), "accept", "filter FORWARD 4"),
    (forward("wan0", "lan0", port=8089, destination="ME"), "reject", "filter log_drop 2"),
    (forward("wan0", "lan0", port=80, destination="SERVER"), "accept", "filter FORWARD 4"),
    (forward("wan0", "lan0", port=8088, destination="ME", state="established"), "accept", "filter FORWARD 1"),
    (forward("lan0", "wan0", port=80, source="LAN", state="established"), "accept", "filter FORWARD 1"),
    (wan(port=8088), "drop", "the kernel"),
    (wan(port=22, flags="RST"), "drop", "filter INPUT 3"),
    (out(port=25, state="established"), "drop", "filter OUTPUT 3"),
    (out(port=53, uid="33", state="established", **UDP), "reject", "filter OUTPUT 2"),
    (out(port=443), "accept", "filter OUTPUT ACCEPT"),
    (out(port=25), "drop", "filter OUTPUT 3"),
    (out(port=53, **UDP), "accept", "filter OUTPUT 4"),
    (out(port=53, uid="33", **UDP), "reject", "filter OUTPUT 2"),
    (out(port=443, uid="33"), "reject", "filter OUTPUT 2"),
    (out(port=443, uid="34"), "accept", "filter OUTPUT ACCEPT"),
    (out(port=443, destination="HOLE"), "reject", "filter log_drop 2"),
    (out(port=53, destination="HOLE", **UDP), "accept", "filter OUTPUT 4"),
    (out(port=54, destination="HOLE", **UDP), "drop", "filter log_drop 3"),
    (out(destination="HOLE", **ICMP), "accept", "filter log_drop 1"),
    (out(port=1900, **UDP), "drop", "mangle POSTROUTING 1"),
    ({"hook": "output", "out_interface": "lo", "port": 25}, "accept", "filter OUTPUT 1"),
    (out(port=8090, out_interface="lan0"), "accept", "filter OUTPUT ACCEPT"),
]
#: What nat makes of a flow.
REWRITES: list[tuple[dict[str, Any], dict[str, str]]] = [
    (forward("lan0", "wan0", port=80, source="LAN", source_port=40000), {"rewritten_source": "MASQUERADED"}),
    (forward("lan0", "wan0", port=5060, source="LAN", source_port=40000, **UDP), {"rewritten_source": "SNATTED"}),
    (forward("wan0", "lan0", port=8088, destination="ME"), {"rewritten_destination": "SERVER_80"}),
    (lan(port=81), {"rewritten_destination": "REDIRECTED"}),
    (out(port=8090, out_interface="lan0"), {"rewritten_destination": "SERVER_80"}),
    (forward("lan0", "wan0", port=5060, source="LAN", state="established", **UDP), {"rewritten_source": "SNATTED"}),
    (lan(port=81, state="established"), {"rewritten_destination": "REDIRECTED"}),
    (wan(port=80), {}),
]


def worded(family: str, text: str) -> str:
    """Put a family's addresses in the place of their names."""
    names = dict(NAMES[family])
    address = names.pop("ADDRESS")
    names.update(SERVER_80=address % (names["SERVER"], 80), SERVER_89=address % (names["SERVER"], 89), REDIRECTED=address % (names["ME"], 3128),
                 SNATTED=address % (names["PUBLIC"], 40000))
    return re.sub(r"\b[A-Z_0-9]+\b", lambda word: names.get(word.group(), word.group()), text)


def worded_flow(family: str, flow: dict[str, Any]) -> dict[str, Any]:
    own = {} if any(key in flow for key in ("source", "destination", "protocol")) else {"source": "::1" if family == "ipv6" else "127.0.0.1"}
    return {key: worded(family, value) if isinstance(value, str) and key != "flags" else value for key, value in {**own, **flow}.items()}


def decided(result: dict[str, Any]) -> str:
    rule = result["rule"] or {"table": "the", "chain": "kernel"}
    return " ".join(str(rule[key]) for key in ("table", "chain", "number", "policy") if key in rule)


@pytest.fixture
def router(host: Host) -> Host:
    """Make a host that forwards, with the rules above in both families."""
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    for family in FAMILIES:
        host.restore(worded(family, RULES), family=family)
    return host


@pytest.mark.parametrize("family", FAMILIES)
def test_each_verdict_and_its_rule(router: Host, family: str) -> None:
    before = router.snapshot()
    result = router.probe(flows=[worded_flow(family, flow) for flow, _verdict, _place in FLOWS])
    assert not result.failed, result.message
    found = [(flow, one["verdict"], decided(one)) for (flow, *unused), one in zip(FLOWS, result.data["flows"], strict=True)]
    assert found == FLOWS
    assert not result.changed
    assert router.snapshot() == before


def rigs_of(flows: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Return which flows may go through one rig, by number: of the same interfaces, and none to the port of another (the one that nat sends it to),
    so that none meets what conntrack, a limit or `recent` remember of another. All of ICMP, which a limit counts, is as of one port."""
    rigs: list[tuple[Any, set[Any], list[int]]] = []
    for number, flow in enumerate(flows):
        way = [flow.get(key) for key in ("hook", "in_interface", "out_interface")]
        end = flow.get("protocol", "tcp"), NAT.get(flow.get("port", 0), flow.get("port"))
        fitting = [(ends, numbers) for one, ends, numbers in rigs if one == way and end not in ends]
        if fitting:
            ends, numbers = fitting[0]
            ends.add(end)
            numbers.append(number)
        else:
            rigs.append((way, {end}, [number]))
    return [numbers for _way, _ends, numbers in rigs]


def test_thirty_fresh_rigs_give_the_same_thirty_answers(router: Host) -> None:
    """Each flow in thirty fresh rigs. A rig is for both families' flows of lines that share interfaces and nothing that a kernel remembers."""
    rigs = rigs_of([flow for flow, _verdict, _place in FLOWS])
    assert sorted(number for rig in rigs for number in rig) == list(range(len(FLOWS)))
    lines = [[(FLOWS[number], family) for number in rig for family in FAMILIES] for rig in rigs]
    flows = [[worded_flow(family, flow) for (flow, _verdict, _place), family in line] for line in lines]
    wanted = [(flow, family, verdict, place) for line in lines for (flow, verdict, place), family in line]
    for _part in range(RIGS // RIGS_AT_ONCE):
        result = router.probe(flows=flows * RIGS_AT_ONCE)
        assert not result.failed, result.message
        given = wanted * RIGS_AT_ONCE
        found = [(*asked[:2], one["verdict"], decided(one)) for asked, one in zip(given, result.data["flows"], strict=True)]
        assert [pair for pair in zip(found, given, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_what_nat_makes_of_a_packet(router: Host, family: str) -> None:
    names = NAMES[family]
    own_behind = {"ipv4": "192.0.2.2:40000", "ipv6": "[2001:db8::2]:40000"}[family]
    wanted = [{key: worded(family, value) for key, value in wanted.items()} for _flow, wanted in REWRITES]
    wanted = [{key: value.replace("MASQUERADED", own_behind) for key, value in one.items()} for one in wanted]
    found = router.probe(flows=[worded_flow(family, flow) for flow, _wanted in REWRITES]).data["flows"]
    assert [{key: value for key, value in one.items() if key.startswith("rewritten")} for one in found] == wanted
    server = worded_flow(family, forward("wan0", "lan0", port=8088, destination="ME", rewritten_destination=names["SERVER"]))
    assert not router.probe(**server).failed
    wrong = router.probe(**{**server, "rewritten_destination": names["LAN"]})
    assert wrong.message.startswith("flow (tcp to port 8088 in by wan0 out by lan0 from ")
    assert f"rewritten_destination {names['LAN']} was expected and {worded(family, 'SERVER_80')} was found" in wrong.message


def test_a_verdict_that_was_not_expected_fails_and_says_what_decided(router: Host) -> None:
    flow = worded_flow("ipv4", wan(port=22, source="BAD", verdict="accept"))
    for check_mode in (False, True):
        result = router.probe(check_mode=check_mode, **flow)
        assert result.failed
        assert result.message == (
            "flow (tcp to port 22 in by wan0 from 203.0.113.66 to 192.0.2.1): verdict accept was expected and drop was found; "
            "it was decided by rule 1 of ssh, table filter: -s 203.0.113.66/32 -j DROP"
        )
    several = router.probe(flows=[{**flow, "verdict": "drop"}, flow, {**flow, "source": NAMES["ipv4"]["OFFICE"], "verdict": "reject"}])
    assert several.message.splitlines() == [
        result.message.replace("flow (", "flow 2 ("),
        "flow 3 (tcp to port 22 in by wan0 from 203.0.113.9 to 192.0.2.1): verdict reject was expected and accept was found; "
        "it was decided by rule 4 of INPUT, table filter: -s 203.0.113.9/32 -p tcp -m tcp --dport 22 -j ACCEPT",
    ]
    assert len(several.data["flows"]) == 3


def test_a_packet_that_meets_no_rule_at_all_is_accepted(host: Host) -> None:
    result = host.probe(in_interface="eth0", port=22)
    assert (result.data["verdict"], result.data["rule"], result.data["path"]) == ("accept", None, [])
    assert result.data["reason"] == "no table has a chain at its hooks"
