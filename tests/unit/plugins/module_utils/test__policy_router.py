# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router's LANs, WANs, forwards and lists of hosts: the rules they come to, and what is refused in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_access import (
    CLOSED,
    LIMITED,
    OPEN,
    access,
    admits,
    read_ssh_connection,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LAN: dict[str, Any] = {"home": {"interfaces": "lan0", "networks": "192.168.0.0/24"}}
WAN: dict[str, Any] = {"dsl": {"interfaces": "ppp0"}}
ROUTER: dict[str, Any] = {"lan": LAN, "wan": WAN}
SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"
LOCAL = "-m addrtype --dst-type LOCAL"


def rules(policy: dict[str, Any], chain: str, table: str = "filter", profile: str = "nat_router") -> list[str]:
    tables = compile_policy(profile, policy).tables
    return list(tables.get(table, {}).get(chain, {}).get("rules", []))


def named(policy: dict[str, Any], chain: str, variable: str, table: str = "filter") -> list[str]:
    """The rules of a chain with this variable in their comment, without the comment."""
    comment = f' -m comment --comment "{variable}"'
    return [rule.replace(comment, "") for rule in rules(policy, chain, table) if comment in rule]


@pytest.mark.parametrize("profile", ["server", "workstation"])
def test_in_other_profiles_the_variables_of_a_router_are_read_and_change_nothing(profile: str) -> None:
    policy = {
        **ROUTER,
        "forwards": {"web": {"port": 80, "to": "192.168.0.2"}},
        "mac_acl": {"home": {"tv": {"mac": "02:00:5e:00:53:01"}}},
        "snat": {"dsl": {"to": "203.0.113.5"}},
        "mss_clamp": True,
    }
    assert compile_policy(profile, policy) == compile_policy(profile, {})
    with pytest.raises(PalisadeError, match=r"^firewall_forwards.web.to: "):
        compile_policy(profile, {**policy, "forwards": {"web": {"port": 80, "to": "server"}}})


def test_nothing_is_forwarded_unless_something_says_so() -> None:
    forward = {"policy": "DROP", "rules": [], "only_if_unused": True}
    for policy in ({}, {"lan": LAN}, {"wan": WAN, "services": {"ssh": {"from": "10.0.0.0/8"}}}):
        assert compile_policy("nat_router", policy).tables["filter"]["FORWARD"] == forward


@pytest.mark.parametrize(
    ("ssh", "expected"),
    [
        ({}, [f"-i lan0 -p tcp -m tcp --dport 22 {SYN} -j ACCEPT"]),
        ({"ports": 2222}, [f"-i lan0 -p tcp -m tcp --dport 2222 {SYN} -j ACCEPT"]),
        ({"from": ["0.0.0.0/0", "::/0"]}, [f"-{family} -p tcp -m tcp --dport 22 {SYN} -j ACCEPT" for family in (4, 6)]),
        ({"interfaces": ["lan0", "ppp0"]}, [f"-i {name} -p tcp -m tcp --dport 22 {SYN} -j ACCEPT" for name in ("lan0", "ppp0")]),
        ({"state": "absent"}, []),
        ({"action": "drop"}, ["-p tcp -m tcp --dport 22 -j DROP"]),
    ],
)
def test_ssh_is_for_the_lans_unless_it_is_said_whom_it_is_for(ssh: dict[str, Any], expected: list[str]) -> None:
    assert named({**ROUTER, "services": {"ssh": ssh}}, "INPUT", "firewall_services.ssh") == expected


def test_other_services_are_for_everybody() -> None:
    policy = {**ROUTER, "services": {"https": {}}}
    assert named(policy, "INPUT", "firewall_services.https") == [f"-p tcp -m tcp --dport 443 {SYN} -j ACCEPT"]


def test_a_lans_services_have_a_chain_and_come_before_what_is_refused_to_everybody() -> None:
    lan = {"home": {**LAN["home"], "services": {"ident": {}, "dns": {"from": ["10.0.0.1", "10.0.0.2"]}}}}
    policy = {"lan": lan, "services": {"ident": {"action": "reject"}, "dns": {"from": ["10.0.0.3", "10.0.0.4"]}}}
    compiled = compile_policy("nat_router", policy).tables["filter"]
    order = [rule.split("--comment ")[1].split()[0].strip('"') for rule in compiled["INPUT"]["rules"]]
    assert order.index("firewall_services.dns") < order.index("firewall_lan.home.services") < order.index("firewall_services.ident")
    assert [rule.rpartition(" ")[2] for rule in compiled["lan-home"]["rules"]] == ["from-home.dns", "from-home.dns", "ACCEPT"]
    assert compiled["from-home.dns"]["rules"] == ["-4 -s 10.0.0.1/32 -j ACCEPT", "-4 -s 10.0.0.2/32 -j ACCEPT"]
    assert compiled["from-dns"]["rules"] == ["-4 -s 10.0.0.3/32 -j ACCEPT", "-4 -s 10.0.0.4/32 -j ACCEPT"]


def test_who_may_open_connections() -> None:
    lan = {
        "home": {"interfaces": ["lan0", "lan1"], "to": ["guest", "gone"]},
        "guest": {"interfaces": "guest0", "internet": False},
        "gone": {"interfaces": "old0", "state": "absent"},
    }
    new = "-m conntrack --ctstate NEW"
    policy = {"lan": lan, "wan": {"dsl": {"interfaces": ["ppp0", "wan+"]}}}
    assert named(policy, "FORWARD", "firewall_lan.home.internet") == [
        f"-i {come} -o {go} {new} -j ACCEPT" for come in ("lan0", "lan1") for go in ("ppp0", "wan+")
    ]
    assert named(policy, "FORWARD", "firewall_lan.home.to") == [f"-i lan{number} -o guest0 {new} -j ACCEPT" for number in (0, 1)]
    assert named(policy, "FORWARD", "firewall_lan.guest.internet") == []
    assert not [rule for rule in rules(policy, "FORWARD") if "old0" in rule]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, ["-4 -o ppp0 -j MASQUERADE"]),
        ({"masquerade": {"ipv6": True}}, ["-4 -o ppp0 -j MASQUERADE", "-6 ! -s fe80::/10 -o ppp0 -j MASQUERADE"]),
        ({"masquerade": {"ipv4": False}}, []),
        ({"snat": {"dsl": {"to": "203.0.113.5"}}}, ["-4 -o ppp0 -j SNAT --to-source 203.0.113.5"]),
        (
            {"masquerade": {"ipv6": True}, "snat": {"dsl": {"to": ["2001:db8::5-2001:db8::6"]}}},
            ["-4 -o ppp0 -j MASQUERADE", "-6 ! -s fe80::/10 -o ppp0 -j SNAT --to-source 2001:db8::5-2001:db8::6"],
        ),
    ],
)
def test_source_nat(extra: dict[str, Any], expected: list[str]) -> None:
    found = [re.sub(r" -m comment --comment \S+", "", rule) for rule in rules({**ROUTER, **extra}, "POSTROUTING", "nat")]
    assert found == expected


@pytest.mark.parametrize(
    ("entry", "rewritten", "accepted"),
    [
        (
            {"port": 80, "to": "192.168.0.2"},
            [f"-4 -i ppp0 -p tcp -m tcp --dport 80 {LOCAL} -j DNAT --to-destination 192.168.0.2"],
            [f"-4 -d 192.168.0.2/32 -p tcp -m tcp --dport 80 {SYN} -m conntrack --ctstate DNAT -j ACCEPT"],
        ),
        (
            {"port": "8000-8010", "protocols": ["udp"], "to": "192.168.0.2", "to_port": 53, "from": ["192.0.2.1", "192.0.2.4-192.0.2.6"]},
            [
                f"-4 -s 192.0.2.1/32 -i ppp0 -p udp -m udp --dport 8000:8010 {LOCAL} -j DNAT --to-destination 192.168.0.2:53",
                f"-4 -i ppp0 -p udp -m udp --dport 8000:8010 {LOCAL} -m iprange --src-range 192.0.2.4-192.0.2.6 "
                "-j DNAT --to-destination 192.168.0.2:53",
            ],
            ["-4 -d 192.168.0.2/32 -p udp -m udp --dport 53 -m conntrack --ctstate DNAT -j ACCEPT"],
        ),
        (
            {"port": 443, "to": "::10/::ffff:ffff:ffff:ffff", "from": ["2001:db8::/32"]},
            [],
            [f"-6 -s 2001:db8::/32 -d ::10/::ffff:ffff:ffff:ffff -i ppp0 -p tcp -m tcp --dport 443 {SYN} -j ACCEPT"],
        ),
        (
            {"to": "2001:db8:7::/64"},
            [],
            [f"-6 -d 2001:db8:7::/64 -i ppp0 -p tcp -m tcp {SYN} -j ACCEPT", "-6 -d 2001:db8:7::/64 -i ppp0 ! -p tcp -j ACCEPT"],
        ),
        (
            {"to": "2001:db8:7::1", "protocols": ["udp", "tcp"]},
            [],
            ["-6 -d 2001:db8:7::1/128 -i ppp0 -p udp -j ACCEPT", f"-6 -d 2001:db8:7::1/128 -i ppp0 -p tcp -m tcp {SYN} -j ACCEPT"],
        ),
        ({"port": 80, "to": "192.168.0.2", "state": "absent"}, [], []),
    ],
)
def test_a_forward_comes_to(entry: dict[str, Any], rewritten: list[str], accepted: list[str]) -> None:
    policy = {**ROUTER, "forwards": {"web": {**entry, "hairpin": False}}}
    assert named(policy, "PREROUTING", "firewall_forwards.web", "nat") == rewritten
    assert named(policy, "FORWARD", "firewall_forwards.web") == accepted


def test_a_forward_without_a_wan_to_come_by_is_no_rule() -> None:
    for policy in ({"lan": LAN}, {"lan": LAN, "wan": {"dsl": {"interfaces": "ppp0", "state": "absent"}}}):
        compiled = compile_policy("nat_router", {**policy, "forwards": {"web": {"port": 80, "to": "192.168.0.2"}}})
        assert list(compiled.tables) == ["filter"]
        assert compiled.notes == ["firewall_lan: no WAN is named in firewall_wan, so nothing goes out or comes in by one"]


@pytest.mark.parametrize(
    ("lan", "hairpin"),
    [
        ({"networks": "192.168.0.0/24"}, True),
        ({}, False),
        ({"networks": "fd00::/64"}, False),
        ({"networks": "192.168.0.0/24", "internet": False}, True),
        ({"networks": "192.168.7.0/24", "internet": False}, False),
        ({"networks": "192.168.7.0/24", "internet": False, "to": ["servers"]}, True),
        ({"networks": "192.168.7.0/24"}, True),
    ],
)
def test_hairpin_is_for_lans_that_reach_the_host_or_the_world(lan: dict[str, Any], hairpin: bool) -> None:
    servers = {"interfaces": "dmz0", "networks": "192.168.0.0/25"} if "servers" in lan.get("to", ()) else {"interfaces": "dmz0"}
    policy = {"lan": {"home": {"interfaces": "lan0", **lan}, "servers": servers}, "wan": WAN, "forwards": {"web": {"port": 80, "to": "192.168.0.2"}}}
    jumps = [rule for rule in rules(policy, "PREROUTING", "nat") if rule.endswith("-j hairpin")]
    assert bool([rule for rule in jumps if "-i lan0" in rule]) is hairpin


def test_a_list_of_hosts() -> None:
    policy = {
        **ROUTER,
        "mac_acl": {
            "home": {
                "tv": {"mac": "02-00-5E-00-53-01"},
                "nas": {"mac": "02:00:5e:00:53:02", "address": ["192.168.0.5", "fd00::5"]},
            }
        },
        "logging": {"enabled": False},
    }
    chain = [re.sub(r' ?-m comment --comment "?[\w.-]+"?', "", rule).lstrip() for rule in rules(policy, "mac-home")]
    assert chain == [
        "-6 -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j RETURN",
        "-6 -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j RETURN",
        "-4 -s 192.168.0.5/32 -m mac --mac-source 02:00:5e:00:53:02 -j RETURN",
        "-6 -s fd00::5/128 -m mac --mac-source 02:00:5e:00:53:02 -j RETURN",
        "-4 -p udp -m mac --mac-source 02:00:5e:00:53:02 -m udp --sport 68 --dport 67 -j RETURN",
        "-6 -s fe80::/10 -m mac --mac-source 02:00:5e:00:53:02 -j RETURN",
        "-m mac --mac-source 02:00:5e:00:53:01 -j RETURN",
        "-j DROP",
    ]
    for hook in ("INPUT", "FORWARD"):
        assert [rule for rule in rules(policy, hook) if rule.endswith("-j mac-home")] == [
            '-i lan0 -m comment --comment "firewall_mac_acl.home" -j mac-home'
        ]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"lan": {"home": {}}}, "firewall_lan.home: needs `interfaces`"),
        ({"lan": {"home": {"interfaces": "lan0", "network": []}}}, "firewall_lan.home.network: unknown key; did you mean 'networks'?"),
        (
            {"lan": {"home": {"interfaces": "lan0", "networks": "10.0.0.1-10.0.0.9"}}},
            "firewall_lan.home.networks: 10.0.0.1-10.0.0.9 is a range; write networks",
        ),
        (
            {"lan": {"home": {"interfaces": "lan0", "services": {"dnss": {}}}}},
            "firewall_lan.home.services.dnss: 'dnss' is no well-known service, so it needs `ports`; did you mean 'dns'?",
        ),
        (
            {"lan": {"home": {"interfaces": "lan0", "services": {"dns": {"ports": 70000}}}}},
            "firewall_lan.home.services.dns.ports: 70000 is no port (1 to 65535)",
        ),
        (
            {"lan": {"home": {"interfaces": "lan0", "services": {"dns": {"interfaces": "lan1"}}}}},
            "firewall_lan.home.services.dns.interfaces: 'lan1' is none of firewall_lan.home.interfaces",
        ),
        (
            {"lan": {"home": {"interfaces": "lan0", "to": "gest"}, "guest": {"interfaces": "lan1"}}},
            "firewall_lan.home.to: 'gest' is no entry of firewall_lan; did you mean 'guest'?",
        ),
        (
            {"lan": {"home": {"interfaces": ["lan0", "x0"]}}, "wan": {"dsl": {"interfaces": "x+"}}},
            "firewall_wan.dsl.interfaces: 'x+' is an interface of firewall_lan.home already",
        ),
        (
            {"wan": WAN},
            "firewall_lan: there is a WAN and no LAN, so nobody would be offered ssh; name the LANs, "
            "or say in firewall_services.ssh whom it is for (`from` or `interfaces`)",
        ),
        ({"wan": {"dsl": {"interface": "ppp0"}}}, "firewall_wan.dsl.interface: unknown key; did you mean 'interfaces'?"),
        ({**ROUTER, "masquerade": {"ip6": True}}, "firewall_masquerade.ip6: unknown key; did you mean 'ipv6'?"),
        ({**ROUTER, "masquerade": {"ipv4": "perhaps"}}, "firewall_masquerade.ipv4: true or false is needed, not 'perhaps'"),
        ({**ROUTER, "snat": {"ds1": {"to": "203.0.113.5"}}}, "firewall_snat: 'ds1' is no entry of firewall_wan; did you mean 'dsl'?"),
        (
            {**ROUTER, "snat": {"dsl": {"to": "203.0.113.0/24"}}},
            "firewall_snat.dsl.to: 203.0.113.0/24 is a network; write an address or a range of addresses",
        ),
        (
            {**ROUTER, "snat": {"dsl": {"to": ["203.0.113.5", "203.0.113.6"]}}},
            "firewall_snat.dsl.to: more than one address of IPv4; write one, or a range first-last",
        ),
        ({**ROUTER, "snat": {"dsl": {}}}, "firewall_snat.dsl: needs `to`"),
        ({**ROUTER, "mss_clamp": "maybe"}, "firewall_mss_clamp: true or false is needed, not 'maybe'"),
        ({**ROUTER, "mac_acl": {"hone": {}}}, "firewall_mac_acl: 'hone' is no entry of firewall_lan; did you mean 'home'?"),
        ({**ROUTER, "mac_acl": {"home": {"tv": {}}}}, "firewall_mac_acl.home.tv: needs `mac`"),
        ({**ROUTER, "mac_acl": {"home": {"tv": {"mac": "02:00:5e:00:53"}}}}, "firewall_mac_acl.home.tv.mac: '02:00:5e:00:53' is no MAC address"),
        (
            {**ROUTER, "mac_acl": {"home": {"tv": {"mac": "02:00:5e:00:53:01", "addres": []}}}},
            "firewall_mac_acl.home.tv.addres: unknown key; did you mean 'address'?",
        ),
    ],
)
def test_what_is_wrong_with_a_router_is_named(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        compile_policy("nat_router", policy)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"port": 80}, "firewall_forwards.web: needs `to`"),
        ({"to": "192.168.0.2"}, "firewall_forwards.web: needs `port`"),
        ({"port": 70000, "to": "192.168.0.2"}, "firewall_forwards.web.port: 70000 is no port (1 to 65535)"),
        ({"port": "90:80", "to": "192.168.0.2"}, "firewall_forwards.web.port: the range '90:80' runs backwards"),
        ({"port": 80, "to": "192.168.0.0/24"}, "firewall_forwards.web.to: 192.168.0.0/24 is a network; an IPv4 forward leads to one host"),
        ({"port": 80, "to": "192.168.0.2-192.168.0.3"}, "firewall_forwards.web.to: 192.168.0.2-192.168.0.3 is a range; a forward leads to one host"),
        ({"port": 80, "to": "nas"}, "firewall_forwards.web.to: 'nas' is no address"),
        ({"port": 80, "to": "127.0.0.1"}, "firewall_forwards.web.to: 127.0.0.1 is the router itself; firewall_redirects leads to another port of it"),
        ({"port": 80, "to": "224.0.0.1"}, "firewall_forwards.web.to: 224.0.0.1 is no host's address"),
        ({"port": 80, "to": "192.168.0.2", "to_port": 0}, "firewall_forwards.web.to_port: 0 is not between 1 and 65535"),
        ({"port": 80, "to": "192.168.0.2", "to_port": "80-90"}, "firewall_forwards.web.to_port: a whole number is needed, not '80-90'"),
        (
            {"port": 80, "to": "fd00::2", "to_port": 8080},
            "firewall_forwards.web.to_port: nothing is rewritten on the way to an IPv6 host; it is reached at its own port",
        ),
        ({"port": 80, "to": "192.168.0.2", "from": "2001:db8::1"}, "firewall_forwards.web.from: 2001:db8::1/128 is IPv6, and `to` is IPv4"),
        ({"port": 80, "to": "fd00::2", "from": "192.0.2.1"}, "firewall_forwards.web.from: 192.0.2.1/32 is IPv4, and `to` is IPv6"),
        ({"port": 80, "to": "192.168.0.2", "from": []}, "firewall_forwards.web.from: the list is empty, which lets nobody in"),
        ({"port": 80, "to": "192.168.0.2", "wan": "ds1"}, "firewall_forwards.web.wan: 'ds1' is no entry of firewall_wan; did you mean 'dsl'?"),
        ({"port": 80, "to": "192.168.0.2", "protocols": "gre"}, "firewall_forwards.web.protocols: 'gre' is none of tcp, udp, sctp"),
        ({"port": 80, "to": "192.168.0.2", "protocol": "tcp"}, "firewall_forwards.web.protocol: unknown key; did you mean 'protocols'?"),
        (
            {"port": 80, "to": "::10/::ffff:0:ffff"},
            "firewall_forwards.web.to: the mask in '::10/::ffff:0:ffff' must be ones from some bit to the last",
        ),
        ({"port": 80, "to": "2001::10/::ffff"}, "firewall_forwards.web.to: the address in '2001::10/::ffff' must lie within its mask"),
        ({"port": 80, "to": "nas/::ffff"}, "firewall_forwards.web.to: 'nas/::ffff' is no suffix; write it like '::10/::ffff:ffff:ffff:ffff'"),
    ],
)
def test_what_is_wrong_with_a_forward_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        compile_policy("nat_router", {**ROUTER, "forwards": {"web": entry}})


A: dict[str, Any] = {"port": 80, "to": "192.168.0.2"}


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (A, {**A, "to": "192.168.0.3"}, True),
        (A, A, True),
        (A, {**A, "port": "79-81", "to": "192.168.0.3"}, True),
        (A, {**A, "port": [1, 80], "protocols": ["udp", "tcp"]}, True),
        (A, {**A, "wan": ["dsl"]}, True),
        (A, {**A, "port": 81}, False),
        (A, {**A, "protocols": "udp"}, False),
        (A, {**A, "from": "192.0.2.0/24"}, False),
        ({**A, "from": "192.0.2.0/24"}, {**A, "from": "192.0.2.9"}, True),
        ({**A, "from": "192.0.2.0/24"}, {**A, "from": ["192.0.3.0-192.0.3.9"]}, False),
        ({**A, "wan": "dsl"}, {**A, "wan": ["fibre"]}, False),
        (A, {**A, "state": "absent"}, False),
        (A, {"port": 80, "to": "fd00::2"}, False),
        ({"port": 80, "to": "fd00::2"}, {"port": 80, "to": "fd00::3"}, False),
    ],
)
def test_overlapping_forwards_are_an_error(one: dict[str, Any], other: dict[str, Any], overlap: bool) -> None:
    policy = {"lan": LAN, "wan": {**WAN, "fibre": {"interfaces": "wan1"}}, "forwards": {"a": one, "b": other}}
    if overlap:
        message = r"^firewall_forwards\.b: overlaps firewall_forwards\.a \(port \d+(:\d+)?, same protocol, WAN and sources\)"
        with pytest.raises(PalisadeError, match=message):
            compile_policy("nat_router", policy)
    else:
        compile_policy("nat_router", policy)


def test_groups_and_hosts_each_say_their_part() -> None:
    read = read_variables(
        {
            "firewall_lan": {"home": {"interfaces": ["lan0"]}},
            "firewall_lan__networks": {"home": {"networks": ["192.168.0.0/24"]}},
            "firewall_mac_acl": {"home": {"tv": {"mac": "02:00:5e:00:53:01"}}},
            "firewall_mac_acl__more": {"home": {"nas": {"mac": "02:00:5e:00:53:02"}}},
        }
    )
    (lan,) = read_policy("nat_router", read.policy).lans
    assert lan.interfaces == ("lan0",)
    assert [network.text for network in lan.networks] == ["192.168.0.0/24"]
    assert [member.name for member in read_policy("nat_router", read.policy).mac_acl] == ["nas", "tv"]


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
DICTIONARIES = st.dictionaries(st.text(max_size=5) | st.integers(), SCALARS, max_size=2)
JUNK: st.SearchStrategy[Any] = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), DICTIONARIES)
LIKELY = st.sampled_from(
    [80, "80-90", ["tcp"], "192.168.0.2", ["::1", "10.0.0.0/8"], "::1/::ffff", "/::", "lan0", "home", ["dsl", "home"], "absent", "02:00:5e:00:53:01"]
)
LAN_KEYS = ["interfaces", "networks", "trust", "services", "internet", "to", "state"]
KEYS = [*LAN_KEYS, "port", "protocols", "to_port", "from", "wan", "hairpin", "mac", "address"]
ENTRY = st.dictionaries(st.sampled_from(KEYS), LIKELY | JUNK, max_size=4)
NAMED = st.dictionaries(st.sampled_from(["home", "dsl", "a b"]), ENTRY | JUNK, max_size=2)
VARIABLES = st.sampled_from(["lan", "wan", "snat", "forwards", "mac_acl", "masquerade", "mss_clamp"])


def refusal(policy: dict[str, Any]) -> str:
    """Return the sentence that refuses the policy, or nothing for one that compiles to rules of one line each."""
    try:
        tables = compile_policy("nat_router", policy).tables
    except PalisadeError as error:
        return str(error)
    assert all(rule.isprintable() for chains in tables.values() for chain in chains.values() for rule in chain["rules"])
    return ""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(VARIABLES, NAMED | ENTRY | JUNK, max_size=3), st.booleans())
def test_junk_is_refused_in_words_or_makes_rules_of_one_line(variables: dict[str, Any], over: bool) -> None:
    message = refusal({**ROUTER, **variables} if over else variables)
    assert not message or message.startswith("firewall_")


# Access


INSIDE = "192.168.0.7 50000 192.168.0.1 22"
OUTSIDE = "203.0.113.9 50000 192.168.0.1 22"
INSIDE6 = "fd00::7 50000 fd00::1 22"
ABSENT = {"ssh": {"state": "absent"}}


@pytest.mark.parametrize(
    ("policy", "verdict", "inside", "outside", "inside6"),
    [
        (ROUTER, LIMITED, True, False, True),
        ({"lan": {"home": {"interfaces": "lan0"}}}, OPEN, True, True, True),
        ({**ROUTER, "services": {"ssh": {"from": ["0.0.0.0/0", "::/0"]}}}, LIMITED, True, True, True),
        ({**ROUTER, "services": ABSENT}, CLOSED, False, False, False),
        ({"lan": {"home": {**LAN["home"], "trust": True}}, "services": ABSENT}, LIMITED, True, False, True),
        ({"lan": {"home": {**LAN["home"], "services": {"ssh": {}}}}, "services": ABSENT}, LIMITED, True, False, True),
        ({"lan": {"home": {**LAN["home"], "services": {"ssh": {"from": "192.168.0.8"}}}}, "services": ABSENT}, LIMITED, False, False, False),
        ({**ROUTER, "services": ABSENT, "management": {"from": "203.0.113.0/24"}}, LIMITED, False, True, False),
        ({**ROUTER, "forwards": {"a": {"port": 22, "to": "192.168.0.2"}}, "management": {"from": "203.0.113.0/24"}}, LIMITED, True, False, True),
        (
            {**ROUTER, "forwards": {"a": {"port": 22, "to": "192.168.0.2", "from": "192.0.2.1"}}, "management": {"from": "203.0.113.0/24"}},
            LIMITED,
            True,
            True,
            True,
        ),
        ({**ROUTER, "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01"}}}}, LIMITED, True, False, True),
        ({**ROUTER, "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01", "address": "192.168.0.8"}}}}, LIMITED, False, False, True),
        ({**ROUTER, "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01", "address": "192.168.0.7"}}}}, LIMITED, True, False, True),
    ],
)
def test_who_gets_in_to_a_router(policy: dict[str, Any], verdict: str, inside: bool, outside: bool, inside6: bool) -> None:
    read = read_policy("nat_router", policy)
    assert access(read, 22) == verdict
    for connection, admitted in ((INSIDE, inside), (OUTSIDE, outside), (INSIDE6, inside6)):
        client = read_ssh_connection(connection)
        assert client is not None
        assert admits(read, client) is admitted, connection


# The closed fallback


def fallback(policy: dict[str, Any], chain: str = "INPUT") -> list[str]:
    tables = compile_policy("nat_router", policy).fallback
    assert list(tables) == ["filter"]
    assert tables["filter"]["FORWARD"] == {"policy": "DROP", "rules": []}
    return [re.sub(r' -m comment --comment "?[\w.-]+"?', "", rule) for rule in tables["filter"].get(chain, {"rules": []})["rules"]]


def test_the_fallback_of_a_router_forwards_nothing_and_lets_in_the_lans_ssh() -> None:
    everything = {
        "lan": {
            "home": {**LAN["home"], "services": {"dns": {}, "jump": {"ports": "20-30"}}, "to": ["home"]},
            "office": {"interfaces": "lan1", "trust": True},
        },
        "wan": WAN,
        "forwards": {"web": {"port": 80, "to": "192.168.0.2"}, "six": {"to": "fd00::2"}},
        "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01"}}},
    }
    found = fallback(everything)
    assert [rule for rule in found if "--dport 22" in rule] == [f"-i {lan} -p tcp -m tcp --dport 22 {SYN} -j ACCEPT" for lan in ("lan0", "lan1")]
    assert "-i lan0 -j mac-home" in found
    assert fallback(everything, "lan-home") == [f"-p tcp -m tcp --dport 22 {SYN} -j ACCEPT"]
    assert fallback(everything, "lan-office") == [f"-p tcp -m tcp --dport 22 {SYN} -j ACCEPT"]
    managed = {**everything, "management": {"from": "192.168.0.9", "port": 2222}}
    assert not [rule for rule in fallback(managed) if "--dport 22 " in rule or "lan-" in rule]
    assert "-4 -s 192.168.0.9/32 -p tcp -m tcp --dport 2222 -j ACCEPT" in fallback(managed)
