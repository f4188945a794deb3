# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host may send: the rules that it comes to, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables

SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"


def compiled(outbound: Any, profile: str = "server", **other: Any) -> dict[str, Any]:
    return compile_policy(profile, {"outbound": outbound, **other}).tables["filter"]


def rules(name: str, entry: Any, **other: Any) -> list[str]:
    """The rules of one service, without its comment."""
    found = compiled({"policy": "drop", "services": {name: entry}}, **other)["OUTPUT"]["rules"]
    comment = f' -m comment --comment "firewall_outbound.services.{name}"'
    return [rule.replace(comment, "") for rule in found if comment in rule]


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("http", {}, [f"-p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ("http", None, [f"-p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ("dns", {"protocols": "udp"}, ["-p udp -m udp --dport 53 -j ACCEPT"]),
        ("app", {"ports": [80, "90-99"]}, [f"-p tcp -m tcp {SYN} -m multiport --dports 80,90:99 -j ACCEPT"]),
        ("app", {"ports": 80, "to": "192.0.2.1"}, [f"-4 -d 192.0.2.1/32 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ("app", {"ports": 80, "to": "::/0"}, [f"-6 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        (
            "app",
            {"ports": {"udp": 80}, "to": "192.0.2.1-192.0.2.9"},
            ["-4 -p udp -m udp --dport 80 -m iprange --dst-range 192.0.2.1-192.0.2.9 -j ACCEPT"],
        ),
        (
            "app",
            {"ports": {"udp": 80}, "to": ["192.0.2.1", "192.0.2.3", "2001:db8::1"]},
            ["-p udp -m udp --dport 80 -j out-app"],
        ),
        ("app", {"ports": {"udp": 80}, "interfaces": ["a", "b"]}, [f"-o {i} -p udp -m udp --dport 80 -j ACCEPT" for i in "ab"]),
        ("app", {"ports": {"udp": 80}, "uid": "proxy"}, ["-p udp -m udp --dport 80 -m owner --uid-owner proxy -j ACCEPT"]),
        ("app", {"ports": {"udp": 80}, "uid": 13}, ["-p udp -m udp --dport 80 -m owner --uid-owner 13 -j ACCEPT"]),
        ("app", {"ports": {"udp": 80}, "uid": "10-19"}, ["-p udp -m udp --dport 80 -m owner --uid-owner 10-19 -j ACCEPT"]),
        ("app", {"ports": {"udp": 80}, "source_ports": 81}, ["-p udp -m udp --sport 81 --dport 80 -j ACCEPT"]),
        ("lan", {"protocols": "all", "interfaces": "lan0"}, ["-o lan0 -j ACCEPT"]),
        ("vpn", {"protocols": ["esp", "ah"]}, ["-p esp -j ACCEPT", "-p ah -j ACCEPT"]),
        (
            "ping",
            {},
            ["-4 -p icmp -m icmp --icmp-type 8 -j ACCEPT", "-6 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT"],
        ),
        ("ping", {"to": "192.0.2.1"}, ["-4 -d 192.0.2.1/32 -p icmp -m icmp --icmp-type 8 -j ACCEPT"]),
        (
            "ping",
            {"to": ["192.0.2.1", "192.0.2.2", "::1"]},
            ["-4 -p icmp -m icmp --icmp-type 8 -j out-ping", "-6 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j out-ping"],
        ),
        ("ping", {"ports": 80}, [f"-p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ("probe", {"icmp_types": "timestamp-request"}, ["-4 -p icmp -m icmp --icmp-type 13 -j ACCEPT"]),
        ("probe", {"icmp_types": "all"}, ["-4 -p icmp -j ACCEPT", "-6 -p ipv6-icmp -j ACCEPT"]),
        ("samba_browsing", {}, ["-p udp -m udp --sport 138 --dport 1025:65535 -j ACCEPT"]),
        ("app", {"state": "absent"}, []),
        ("app", {"ports": 80, "state": "absent"}, []),
    ],
)
def test_a_service_comes_to(name: str, entry: Any, expected: list[str]) -> None:
    assert rules(name, entry) == expected


def test_destinations_have_a_chain_of_their_own() -> None:
    outbound = {"policy": "drop", "services": {"dns": {"to": ["192.0.2.1", "192.0.2.5-192.0.2.9", "fd00::/8"]}}}
    assert compiled(outbound)["out-dns"]["rules"] == [
        "-4 -d 192.0.2.1/32 -j ACCEPT",
        "-4 -m iprange --dst-range 192.0.2.5-192.0.2.9 -j ACCEPT",
        "-6 -d fd00::/8 -j ACCEPT",
    ]


@pytest.mark.parametrize("profile", ["server", "workstation", "nat_router"])
def test_everything_may_leave_unless_it_is_said(profile: str) -> None:
    assert "OUTPUT" not in compile_policy(profile, {}).tables["filter"]
    assert "OUTPUT" not in compiled({"services": {"dns": {}}}, profile)


@pytest.mark.parametrize(("policy", "last"), [("drop", "LOG"), ("reject", "REJECT")])
def test_the_rest_is_logged_and_does_not_leave(policy: str, last: str) -> None:
    chain = compiled({"policy": policy})["OUTPUT"]
    assert chain["policy"] == "DROP"
    assert f"-j {last} " in chain["rules"][-1]
    assert any(f'"palisade OUTPUT {policy}: "' in rule for rule in chain["rules"])


def test_what_a_host_lives_by_is_let_out_first() -> None:
    tables = compiled({"policy": "drop"}, management={"from": ["192.0.2.1", "2001:db8::1"], "port": 2222})
    words = [rule.partition(" -m comment --comment ")[0] for rule in tables["OUTPUT"]["rules"]]
    assert words == [
        "-o lo",
        "-m conntrack --ctstate RELATED,ESTABLISHED",
        "-4 -d 192.0.2.1/32 -p tcp -m tcp --sport 2222",
        "-6 -d 2001:db8::1/128 -p tcp -m tcp --sport 2222",
        "-4 -p icmp",
        "-6 -p ipv6-icmp",
        "-4 -p udp -m udp --sport 68 --dport 67",
        "-6 -p udp -m udp --sport 546 --dport 547",
        "-m limit --limit 7/min --limit-burst 10",
    ]


def test_neighbour_discovery_and_errors_are_let_out() -> None:
    named = [rule.split("--comment ")[1].split()[0] for rule in compiled({"policy": "drop"})["icmp-out"]["rules"]]
    errors = ["destination-unreachable", "time-exceeded", "parameter-problem"]
    assert named[:3] == named[-3:] == errors
    assert {"neighbour-solicitation", "neighbour-advertisement", "router-solicitation", "listener-report-v2", "packet-too-big"} < set(named)
    assert "router-advertisement" not in named


def test_a_router_advertises_itself() -> None:
    chain = compiled({"policy": "drop"}, "nat_router")["icmp-out"]["rules"]
    assert [rule for rule in chain if "router-advertisement" in rule]


def test_one_family_alone() -> None:
    found = compiled({"policy": "reject", "services": {"ping": {}}}, families=["ipv4"])
    written = [rule for chain in found.values() for rule in chain["rules"]]
    assert not [rule for rule in written if rule.startswith("-6")]


def test_the_closed_fallback_stays_as_strict_and_names_no_user() -> None:
    policy = {"outbound": {"policy": "drop", "services": {"dns": {}, "web": {"ports": 80, "uid": "proxy"}}}}
    chain = compile_policy("server", policy).fallback["filter"]["OUTPUT"]
    assert chain["policy"] == "DROP"
    assert [rule for rule in chain["rules"] if "services.dns" in rule]
    assert not [rule for rule in chain["rules"] if "owner" in rule]
    assert any("RELATED,ESTABLISHED" in rule for rule in chain["rules"])


def service(**entry: Any) -> dict[str, Any]:
    return {"services": {"app": entry}}


@pytest.mark.parametrize(
    ("outbound", "message"),
    [
        ({"polcy": "drop"}, "firewall_outbound.polcy: unknown key; did you mean 'policy'?"),
        ({"policy": "deny"}, "firewall_outbound.policy: 'deny' is none of accept, drop, reject"),
        ([], "firewall_outbound: a dictionary is needed, not a list"),
        ({"services": ["dns"]}, "firewall_outbound.services: a dictionary is needed, not a list"),
        ({"services": {"htp": {}}}, "firewall_outbound.services.htp: 'htp' is no well-known service, so it needs `ports`; did you mean 'http'?"),
        ({"services": {"pnig": {}}}, "so it needs `ports`; did you mean 'ping'?"),
        ({"services": {"a b": {"ports": 1}}}, "firewall_outbound.services.a b: 'a b' is no name"),
        (service(ports=70000), "firewall_outbound.services.app.ports: 70000 is no port"),
        (service(ports="90:80"), "firewall_outbound.services.app.ports: the range '90:80' runs backwards"),
        (service(ports=80, **{"from": "::1"}), "firewall_outbound.services.app.from: unknown key"),
        (service(ports=80, to="example.org"), "firewall_outbound.services.app.to: 'example.org' is no address"),
        (service(ports=80, to=[]), "firewall_outbound.services.app.to: the list is empty, which lets nothing out"),
        (service(ports=80, uid="a b"), "firewall_outbound.services.app.uid: 'a b' is no user"),
        (service(ports=80, uid="root\n"), "firewall_outbound.services.app.uid: 'root\\n' is no user"),
        (service(ports=80, uid="9-1"), "firewall_outbound.services.app.uid: the range '9-1' runs backwards"),
        (service(ports=80, uid=-1), "firewall_outbound.services.app.uid: -1 is no user"),
        (service(ports=80, uid=True), "firewall_outbound.services.app.uid: True is no user"),
        (service(icmp_types="echo"), "firewall_outbound.services.app.icmp_types: 'echo' is none of "),
        (service(icmp_types=[]), "firewall_outbound.services.app.icmp_types: the list is empty"),
        (service(icmp_types=["all", "redirect"]), "firewall_outbound.services.app.icmp_types: 'all' says it already"),
        (service(icmp_types="redirect", ports=80), "firewall_outbound.services.app.icmp_types: an entry has either these or ports"),
        (service(protocols="all"), "firewall_outbound.services.app: lets out everything to everybody"),
        (service(protocols="all", ports=80, to="::1"), "firewall_outbound.services.app.ports: not every protocol has ports"),
        (service(protocols="esp", source_ports=80), "firewall_outbound.services.app.source_ports: only tcp, udp and sctp have source ports"),
        (service(ports=80, state="gone"), "firewall_outbound.services.app.state: 'gone' is none of present, absent"),
    ],
)
def test_what_is_refused(outbound: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as raised:
        compile_policy("server", {"outbound": outbound})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_family_that_is_left_out() -> None:
    with pytest.raises(PalisadeError, match=r"app\.to: ::1/128 is IPv6, and firewall_families leaves that out"):
        compile_policy("server", {"outbound": service(ports=80, to="::1"), "families": ["ipv4"]})


def test_groups_add_services() -> None:
    read = read_variables(
        {
            "firewall_outbound": {"policy": "drop", "services": {"dns": {}}},
            "firewall_outbound__web": {"services": {"http": {"to": "192.0.2.1"}, "dns": {"protocols": "udp"}}},
            "firewall_outbound__nothing": None,
            "firewall_outbound__same": {"policy": "drop"},
        }
    )
    assert read.policy["outbound"] == {
        "policy": "drop",
        "services": {"dns": {"protocols": "udp"}, "http": {"to": "192.0.2.1"}},
    }


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"policy": "accept"}, "firewall_outbound__web.policy: says something else than firewall_outbound.policy"),
        (
            {"services": {"dns": {"to": "::1"}}},
            "firewall_outbound__web.services.dns.to: says something else than firewall_outbound.services.dns.to",
        ),
        (["dns"], "firewall_outbound__web: a dictionary is needed, not a list"),
    ],
)
def test_groups_that_contradict_each_other(other: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as raised:
        read_variables({"firewall_outbound": {"policy": "drop", "services": {"dns": {"to": "::2"}}}, "firewall_outbound__web": other})
    assert str(raised.value) == message
