# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""packet_probe on hosts with interfaces, routes, sets and rules of all sorts: what it mirrors, what it says it cannot, and that nothing leaves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .support.host import FAMILIES, IN_CONTAINER, Host, ModuleResult
from .support.traffic import send

SOME_RULES = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
{}
COMMIT
"""


def with_rules(host: Host, *rules: str, family: str = "ipv4") -> Host:
    host.restore(SOME_RULES.format("\n".join(rules)), family=family)
    return host


def with_interface(host: Host, name: str, *addresses: str) -> None:
    """Give a host an interface whose other end is one of its own, which has no address."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
    host.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0")
    for end in (f"{name}-end", name):
        host.run("ip", "link", "set", end, "up")
    for address in addresses:
        host.run("ip", "address", "add", address, "dev", name)


def verdict(result: ModuleResult) -> str:
    assert not result.failed, result.message
    rule = result.data["rule"] or {}
    return f"{result.data['verdict']} {rule.get('chain', '')} {rule.get('number', rule.get('policy', ''))}".strip()


def test_the_hosts_own_interfaces_addresses_and_routes_are_mirrored(host: Host) -> None:
    with_interface(host, "eth0", "192.0.2.10/24", "2001:db8::10/64")
    with_interface(host, "lan0", "10.1.0.1/24")
    host.run("ip", "route", "add", "default", "via", "192.0.2.1")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    with_rules(host, "-A INPUT -d 192.0.2.10/32 -p tcp -m tcp --dport 22 -j ACCEPT",
               "-A INPUT -s 10.1.0.0/24 -i lan0 -p tcp -m tcp --dport 53 -j ACCEPT", "-A FORWARD -i lan0 -o eth0 -p tcp -m tcp --dport 25 -j DROP")
    there = host.probe(port=22)
    assert verdict(there) == "accept INPUT 2"
    assert there.data["assumed"] == []
    assert there.data["flow"]["in_interface"] == "eth0"
    assert there.data["flow"]["destination"] == "192.0.2.10"
    inside = host.probe(in_interface="lan0", port=53)
    assert verdict(inside) == "accept INPUT 3"
    assert inside.data["flow"]["source"] == "10.1.0.2"
    through = host.probe(in_interface="lan0", destination="203.0.113.9", port=25)
    assert verdict(through) == "drop FORWARD 1"
    assert through.data["flow"]["out_interface"] == "eth0"
    away = host.probe(destination="203.0.113.9", port=25)
    assert verdict(away) == "accept OUTPUT ACCEPT"
    assert away.data["flow"]["source"] == "192.0.2.10"


def test_the_kernels_own_drops_are_named(host: Host) -> None:
    with_interface(host, "eth0", "192.0.2.10/24")
    with_interface(host, "lan0", "10.1.0.1/24")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    with_rules(host, "-A INPUT -p tcp -j ACCEPT")
    still = host.probe(in_interface="lan0", out_interface="eth0", port=25)
    assert (verdict(still), still.data["rule"]) == ("drop", None)
    assert "does not forward (net.ipv4.ip_forward)" in still.data["reason"]
    assert verdict(host.probe(in_interface="eth0", source="10.1.0.7", port=25)) == "accept INPUT 2"
    host.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    spoofed = host.probe(in_interface="eth0", source="10.1.0.7", port=25)
    assert (verdict(spoofed), spoofed.data["rule"]) == ("drop", None)
    assert "rp_filter" in spoofed.data["reason"]


def test_a_flow_that_the_routes_contradict_is_an_error(host: Host) -> None:
    with_interface(host, "eth0", "192.0.2.10/24")
    with_interface(host, "lan0", "10.1.0.1/24")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for rule in ("", "-A FORWARD -o eth0 -j DROP"):
        with_rules(host, rule)
        result = host.probe(in_interface="eth0", out_interface="lan0", destination="192.0.2.77", port=1)
        assert "the host routes the packet by eth0 and not by lan0" in result.message
    not_here = host.probe(hook="input", in_interface="eth0", destination="192.0.2.99", port=1)
    assert "destination: 192.0.2.99 is not an address of this host" in not_here.message
    not_ours = host.probe(hook="output", source="192.0.2.99", out_interface="eth0", port=1)
    assert "source: 192.0.2.99 is not an address of this host" in not_ours.message


def test_sets_are_mirrored_with_their_members(host: Host) -> None:
    for command in ("create inner hash:ip", "add inner 203.0.113.7", "create outer list:set", "add outer inner", "create other hash:net"):
        host.run("ipset", *command.split())
    with_rules(host, "-A INPUT -p tcp -m set --match-set outer src -m tcp --dport 22 -j ACCEPT")
    assert verdict(host.probe(in_interface="eth0", source="203.0.113.7", port=22)) == "accept INPUT 2"
    assert verdict(host.probe(in_interface="eth0", source="203.0.113.8", port=22)) == "drop INPUT DROP"
    assert host.run("ipset", "save").stdout.count("create ") == 3


def test_a_sequence_shares_one_copy_of_the_rules(host: Host) -> None:
    with_rules(host, "-A INPUT -p tcp -m tcp --dport 7001 -m recent --set --name knock --rsource -j DROP",
               "-A INPUT -p tcp -m tcp --dport 22 -m recent --rcheck --seconds 30 --name knock --rsource -j ACCEPT")
    flows = [{"in_interface": "eth0", "port": port} for port in (22, 7001, 22)]
    apart = host.probe(flows=flows).data["flows"]
    together = host.probe(flows=[flows]).data["flows"]
    assert [one["verdict"] for one in apart] == ["drop", "drop", "drop"]
    assert [one["verdict"] for one in together] == ["drop", "drop", "accept"]
    other = host.probe(flows=[[*flows[:2], {**flows[2], "source": "203.0.113.1"}]])
    assert other.data["flows"][2]["verdict"] == "drop"


HANDSHAKE_RULES = """*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT {}
-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -o wan0 -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -m conntrack --ctstate INVALID -j DROP
-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A OUTPUT -p tcp -m tcp --dport 443 -j ACCEPT
COMMIT
"""
ENDS = {"ipv4": ("198.51.100.7", "192.0.2.1"), "ipv6": ("2001:db8:51::7", "2001:db8::1")}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_of_both_directions_is_one_connection(host: Host, family: str) -> None:
    peer, own = ENDS[family]
    come = {"hook": "input", "in_interface": "eth0", "source": peer, "source_port": 40000, "destination": own, "port": 22}
    go = {"hook": "output", "out_interface": "eth0", "source": own, "source_port": 22, "destination": peer, "port": 40000}
    ask = {**go, "source_port": 50000, "port": 443}
    answer = {**come, "source_port": 443, "port": 50000}
    for handshake in (
        [come, {**go, "flags": "SYN,ACK"}, {**come, "flags": "ACK"}, {**go, "flags": "PSH,ACK"}],
        [{**come, "port": 2222}, {**go, "flags": "SYN,ACK"}, {**come, "port": 2222, "flags": "ACK"}],
        [ask, {**answer, "flags": "SYN,ACK"}, {**ask, "flags": "ACK"}],
    ):
        host.restore(HANDSHAKE_RULES.format("DROP [0:0]"), family=family)
        result = host.probe(flows=[handshake])
        assert [one["verdict"] for one in result.data["flows"]] == ["accept"] * len(handshake), result.data
        assert result.data["flows"][-1]["rule"]["rule"].startswith("-m conntrack --ctstate ESTABLISHED")
    without = HANDSHAKE_RULES.format("DROP [0:0]").replace("-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n", "")
    host.restore(without, family=family)
    result = host.probe(flows=[[come, {**go, "flags": "SYN,ACK"}]])
    assert [one["verdict"] for one in result.data["flows"]] == ["accept", "drop"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forwarded_connection_in_both_directions(host: Host, family: str) -> None:
    far, near = ENDS[family]
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    host.restore(HANDSHAKE_RULES.format("ACCEPT [0:0]"), family=family)
    out = {"in_interface": "lan0", "out_interface": "wan0", "source": near, "source_port": 40000, "destination": far, "port": 443}
    back: dict[str, Any] = {"in_interface": "wan0", "out_interface": "lan0", "source": far, "source_port": 443, "destination": near, "port": 40000}
    flows = [out, {**back, "flags": "SYN,ACK"}, {**out, "flags": "ACK"}, {**back, "flags": "PSH,ACK"}]
    result = host.probe(flows=[flows])
    assert not result.failed, result.message
    found = [(one["verdict"], one["rule"].get("number")) for one in result.data["flows"]]
    assert found == [("accept", 2), ("accept", 1), ("accept", 1), ("accept", 1)]
    alone = host.probe(**back, flags="SYN,ACK")
    assert verdict(alone) == "drop FORWARD DROP"


def test_a_count_gives_each_packets_verdict(host: Host) -> None:
    with_rules(host, "-A INPUT -p tcp -m hashlimit --hashlimit-upto 1/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name x -j ACCEPT")
    result = host.probe(in_interface="eth0", port=22, count=4)
    assert result.data["verdicts"] == ["accept", "accept", "drop", "drop"]
    assert verdict(result) == "drop INPUT DROP"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("-m physdev --physdev-in port0 -j ACCEPT", "match physdev: a bridge's ports are not there"),
        ("-m statistic --mode random --probability 0.5 -j DROP", "match statistic: it is chance"),
        ("-p tcp -m tcp --dport 22 -j NFQUEUE --queue-num 3", "target NFQUEUE: a program of the host decides"),
    ],
)
def test_a_rule_that_cannot_be_mirrored_is_named_if_the_packet_meets_it(host: Host, rule: str, words: str) -> None:
    with_rules(host, "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT", f"-A INPUT {rule}")
    assert verdict(host.probe(in_interface="eth0", port=80)) == "accept INPUT 2"
    said = host.probe(in_interface="eth0", port=22).message
    assert "flow (tcp to port 22" in said
    assert "cannot be proved: it meets rule 3 of INPUT" in said
    assert words in said


def test_names_that_are_global_to_the_kernel_are_not_touched(host: Host) -> None:
    if not host.restore(SOME_RULES.format("-A INPUT -p tcp -j IDLETIMER --timeout 60 --label palisade-probe"), check=False):
        pytest.skip("no IDLETIMER in this kernel")
    with_rules(host, "-A INPUT -p tcp -j IDLETIMER --timeout 60 --label palisade-probe", "-A INPUT -p tcp -m comment --comment \"-j it's\" -j ACCEPT")
    result = host.probe(in_interface="eth0", port=80)
    assert verdict(result) == "accept INPUT 3"
    assert [step.get("number") for step in result.data["path"]] == [2, 3]


def test_objects_that_rules_name_are_there(host: Host) -> None:
    host.run("nfacct", "add", "web")
    host.run("nfct", "timeout", "add", "slow", "inet", "tcp", "established", "100")
    host.restore("*raw\n-A PREROUTING -p tcp -m tcp --dport 80 -j CT --timeout slow\nCOMMIT\n")
    with_rules(host, "-A INPUT -m nfacct --nfacct-name web", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT")
    result = host.probe(in_interface="eth0", port=80)
    assert verdict(result) == "accept INPUT 3"
    assert [step["chain"] for step in result.data["path"]][:2] == ["PREROUTING", "PREROUTING"]
    assert "{ pkts = 00000000000000000000, bytes = 00000000000000000000 } = web;" in host.run("nfacct", "list").stdout


def test_native_chains_are_warned_of(host: Host) -> None:
    with_rules(host, "-A INPUT -p tcp -j ACCEPT")
    assert host.probe(in_interface="eth0", port=80).warnings == []
    host.run("nft", "add table inet mine; add chain inet mine door { type filter hook input priority 5; policy drop; }; add chain inet mine side")
    result = host.probe(in_interface="eth0", port=80)
    assert verdict(result) == "accept INPUT 2"
    (warning,) = result.warnings
    assert "native nftables chains are on this host (inet mine door)" in warning


def test_policy_routing_is_warned_of(host: Host) -> None:
    host.run("ip", "rule", "add", "from", "10.0.0.0/8", "table", "77")
    (warning,) = host.probe(in_interface="eth0", port=80).warnings
    assert "policy routing" in warning


def test_group_and_broadcast_packets_and_neighbour_discovery(host: Host) -> None:
    with_interface(host, "eth0", "192.0.2.10/24", "2001:db8::10/64")
    with_rules(host, "-A INPUT -p udp -m udp --dport 67 -j ACCEPT", "-A INPUT -m pkttype --pkt-type multicast -j ACCEPT")
    with_rules(host, "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255 -j ACCEPT", family="ipv6")
    for destination in ("255.255.255.255", "192.0.2.255"):
        assert verdict(host.probe(in_interface="eth0", destination=destination, protocol="udp", port=67)) == "accept INPUT 2"
    assert verdict(host.probe(in_interface="eth0", destination="224.0.0.251", protocol="udp", port=5353)) == "accept INPUT 3"
    for destination in ("2001:db8::10", "ff02::1:ff00:10"):
        asked = host.probe(in_interface="eth0", source="2001:db8::20", destination=destination, icmp_type="neighbour-solicitation")
        assert verdict(asked) == "accept INPUT 2"


def test_nothing_leaves_and_nothing_changes(host: Host) -> None:
    host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")  # It sends by itself when an interface comes up.
    with_interface(host, "eth0", "192.0.2.10/24")
    with_rules(host, "-A INPUT -p tcp -j ACCEPT", "-A INPUT -p udp -j REJECT")

    def seen() -> tuple[dict[str, str], str]:
        return host.snapshot(), host.run("sh", "-c", "cat /proc/net/dev; ip -o address; ip route; ls /run | grep -v module.pid").stdout

    before = seen()
    flows = [{"in_interface": "eth0", "port": 22}, {"out_interface": "eth0", "port": 22}, {"in_interface": "eth0", "protocol": "udp", "port": 22}]
    result = host.probe(flows=[*flows, *({**flow, "state": "established"} for flow in flows), {"in_interface": "lo", "port": 1}])
    assert not result.failed, result.message
    assert seen() == before
    send(host, 9, 1)
    assert seen() != before


def test_a_rig_dies_with_the_module(host: Host) -> None:
    with_rules(host, "-A INPUT -p tcp -j ACCEPT")
    process = host.start_module({"in_interface": "eth0", "port": 22, "count": 1000}, name="packet_probe")
    children = _wait_for(lambda: _children(int(host.run("cat", "/run/module.pid", check=False).stdout or 0)))
    rigs = [child for child in children if _network(child) != _network(host.pid)] or _wait_for(
        lambda: [child for child in _children(int(host.run("cat", "/run/module.pid").stdout)) if _network(child) != _network(host.pid)])
    os.kill(int(host.run("cat", "/run/module.pid").stdout), signal.SIGKILL)
    process.communicate()
    assert _wait_for(lambda: not any(Path(f"/proc/{child}/ns/net").exists() for child in rigs))


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text().split()] if process and path.exists() else []


def _network(process: int) -> str:
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return ""


def _wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def test_without_leave_to_make_namespaces_it_says_so(host: Host) -> None:
    with_rules(host, "-A INPUT -p tcp -j ACCEPT")
    result = host.probe(through=IN_CONTAINER, in_interface="eth0", port=22)
    assert result.failed
    assert "no network namespace can be made here, so no packet can be sent for a proof" in result.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_interface": "eth0"}, "flow: port: a packet of tcp goes to one, so it is needed"),
        ({"in_interface": "eth+", "port": 1}, "flow: in_interface: eth+ stands for many interfaces"),
        ({"port": 22}, "in_interface: the host has no route that says which one, so it is needed"),
        ({"flows": [{"port": 1, "in_interface": "a"}, {"prot": "tcp"}]}, "flow 2: there is no 'prot'; a flow has hook, in_interface"),
        ({"in_interface": "eth0", "source": "10.0.0.1", "destination": "::1", "port": 1}, "flow: one packet is of one family"),
        ({"out_interface": "eth0", "port": 1, "uid": "nobody-here"}, "uid: nobody-here is no user of this host"),
    ],
)
def test_bad_input_names_the_flow_and_the_key(host: Host, options: dict[str, Any], words: str) -> None:
    result = host.probe(**options)
    assert result.failed
    assert words in result.message
    assert "Traceback" not in result.message + result.stderr
