# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies as people may write them, for the property tests: nearly all are valid, and together they say everything that
can be said. Generates data and nothing else.

A new variable gets its strategy in VARIABLES, or, where it takes effect in one profile alone, in a dictionary like it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_icmp import ICMP_TYPES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy
from hypothesis import strategies as st

Policy = dict[str, Any]

#: Who administers the hosts; nothing below names these.
MANAGER = {"ipv4": "203.0.113.9", "ipv6": "2620:fe::9"}
MANAGEMENT_PORTS = (22, 2222)

SOURCES = st.lists(
    st.sampled_from(["10.0.0.5", "10.0.0.9", "10.1.0.0/16", "192.0.2.10-192.0.2.20", "2001:db8::5", "2001:db8:1::/48", "2001:db8::a-2001:db8::f"]),
    min_size=1,
    max_size=4,
)
INTERFACES = st.sampled_from(["eth0", "wan0", "lan+", ["eth0", "lan0"]])
PORTS = st.sampled_from(
    [
        80,
        "8000-8010",
        [22, 80, 443],
        {"udp": 53},
        {"tcp": [53, 443], "udp": "137-138"},
        {"tcp": 22, "udp": 22, "sctp": [5000, 5001]},
        list(range(1000, 1040, 2)),
        ["1-100", 443, "2000-3000"],
    ]
)
MACS = st.sampled_from(["02:00:5e:00:53:01", ["02:00:5e:00:53:01", "02:00:5E:00:53:02"]])
KNOCKS = st.lists(st.sampled_from(["udp/7001", "udp/7002", "tcp/7003", "tcp/7004"]), min_size=2, max_size=5)
RATE_LIMIT = st.fixed_dictionaries({}, optional={"hits": st.integers(1, 255), "seconds": st.integers(1, 3600), "exempt": SOURCES})
ACCEPTED = st.fixed_dictionaries(
    {"ports": PORTS},
    optional={
        "from": SOURCES,
        "interfaces": INTERFACES,
        "source_ports": st.sampled_from([20, "1024-65535", [53, "1000-2000"]]),
        "rate_limit": RATE_LIMIT,
        "knock": KNOCKS,
        "log": st.booleans(),
    },
)
REFUSED = st.fixed_dictionaries(
    {"ports": PORTS, "action": st.sampled_from(["drop", "reject"]), "from": SOURCES}, optional={"interfaces": INTERFACES, "log": st.booleans()}
)
WELL_KNOWN = st.fixed_dictionaries({}, optional={"from": SOURCES, "interfaces": INTERFACES, "rate_limit": RATE_LIMIT, "log": st.booleans()})
SERVICES = st.builds(
    lambda *parts: {name: entry for part in parts for name, entry in part.items()},
    st.dictionaries(st.sampled_from(["app", "web_of-things", "a_service_with_a_long_name"]), ACCEPTED, max_size=3),
    st.dictionaries(st.sampled_from(["bad", "worse"]), REFUSED, max_size=1),
    st.dictionaries(st.sampled_from(["ssh", "https", "dns", "samba", "ipsec", "ftp"]), WELL_KNOWN | st.just({"state": "absent"}), max_size=4),
)
TRUSTED = st.one_of(
    st.fixed_dictionaries({"from": SOURCES}, optional={"mac": MACS, "interfaces": INTERFACES}),
    st.fixed_dictionaries({"mac": MACS}, optional={"interfaces": INTERFACES}),
)
QUIET = st.fixed_dictionaries(
    {"source_ports": st.sampled_from([631, "137-138"])},
    optional={
        "ports": PORTS.filter(lambda ports: "sctp" not in str(ports)),
        "from": SOURCES,
        "interfaces": INTERFACES,
        "to": st.lists(st.sampled_from(["broadcast", "multicast", "192.0.2.255", "ff02::fb", "10.0.0.1-10.0.0.3"]), min_size=1, max_size=3),
    },
)
LOGGING = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "enabled": st.booleans(),
            "rate": st.sampled_from(["1/second", "7/minute", "300/hour"]),
            "burst": st.integers(1, 50),
            "prefix": st.sampled_from(["", "fw ", "{chain}: ", "fw {chain} {verdict}: "]),
            "level": st.sampled_from(["debug", 4, "warning", 0]),
            "invalid": st.booleans(),
        },
    ),
    st.fixed_dictionaries({"target": st.just("nflog")}, optional={"group": st.sampled_from([0, 1, 65535]), "invalid": st.booleans()}),
)
ICMP = st.fixed_dictionaries(
    {},
    optional={
        "types": st.just("all") | st.lists(st.sampled_from(sorted(ICMP_TYPES)), max_size=4),
        "echo_rate": st.sampled_from(["1/second", "10/second", "30/minute"]),
        "echo_burst": st.integers(1, 20),
    },
)
#: Of the user's own rules, those that refuse nobody whom the properties are about, in iptables-save's spelling.
RAW = st.fixed_dictionaries(
    {},
    optional={
        "before": st.sampled_from(
            [
                {"filter": {"INPUT": ["-4 -s 192.0.2.66/32 -j DROP", "-6 -s 2001:db8:bad::/48 -j DROP"], "FORWARD": ["-i tun0 -j ACCEPT"]}},
                {"filter": {"OUTPUT": ["-p udp -m udp --dport 9 -j DROP"]}, "raw": {"PREROUTING": ["-p udp -m udp --dport 514 -j CT --notrack"]}},
            ]
        ),
        "after": st.just({"filter": {"INPUT": ["-p udp -m udp --dport 7 -j ACCEPT"]}, "mangle": {"POSTROUTING": ["-o tun0 -j ACCEPT"]}}),
    },
)

OUTBOUND = st.fixed_dictionaries(
    {"policy": st.sampled_from(["accept", "drop", "reject"])},
    optional={
        "services": st.dictionaries(
            st.sampled_from(["updates", "something-with_a_long_name"]),
            st.fixed_dictionaries({"ports": PORTS}, optional={"to": SOURCES, "interfaces": INTERFACES, "uid": st.sampled_from([0, 33])}),
            max_size=2,
        ).flatmap(lambda own: st.sampled_from([own, {**own, "dns": {}, "ping": {}}]))
    },
)
REDIRECTS = st.fixed_dictionaries(
    {"port": st.sampled_from([81, 8081]), "to_port": st.sampled_from([9081, 9999])},
    optional={"protocols": st.sampled_from(["tcp", ["tcp", "udp"]]), "from": SOURCES, "interfaces": INTERFACES},
)

#: Variables that mean the same in every profile.
VARIABLES: dict[str, st.SearchStrategy[Any]] = {
    "antispoof": st.fixed_dictionaries({"interfaces": INTERFACES}, optional={"networks": SOURCES}),
    "dhcp_client": st.booleans(),
    "families": st.sampled_from([["ipv4"], ["ipv6"], ["ipv4", "ipv6"], ["ipv4", "ipv6"]]),
    "final": st.sampled_from(["policy", "drop", "reject"]),
    "helpers": st.lists(st.sampled_from(["ftp", "irc", "tftp", "sip"]), unique=True),
    "icmp": ICMP,
    "logging": LOGGING,
    "outbound": OUTBOUND,
    "quiet": st.dictionaries(st.sampled_from(["noise", "chatter"]), QUIET, min_size=1, max_size=2),
    "redirects": st.dictionaries(st.sampled_from(["low"]), REDIRECTS, min_size=1),
    "rules": RAW,
    "services": SERVICES,
    "trusted": st.dictionaries(st.sampled_from(["laptop", "hosts-of-the-office"]), TRUSTED, min_size=1, max_size=2),
}

LAN = st.fixed_dictionaries(
    {
        "home": st.fixed_dictionaries(
            {"interfaces": st.just("lan0"), "networks": st.just(["192.168.0.0/24", "2001:db8:1:1::/64"])},
            optional={
                "trust": st.booleans(),
                "internet": st.booleans(),
                "services": st.dictionaries(st.sampled_from(["ssh", "dns", "samba"]), WELL_KNOWN, max_size=2),
            },
        )
    },
    optional={
        "guest": st.fixed_dictionaries(
            {"interfaces": st.sampled_from(["guest0", ["guest0", "guest1"]]), "networks": st.just(["192.168.9.0/24"])},
            optional={"to": st.just(["home"]), "services": st.dictionaries(st.just("app"), ACCEPTED, max_size=1)},
        )
    },
)
FORWARD = st.one_of(
    st.fixed_dictionaries(
        {"port": st.sampled_from([8080, "9000-9010"]), "to": st.just("192.168.0.2")},
        optional={"protocols": st.sampled_from(["tcp", ["tcp", "udp"]]), "from": st.just(["203.0.113.0/24"]), "hairpin": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"to": st.sampled_from(["2001:db8:1:1::2", "2001:db8:1:1::/64", "::10/::ffff:ffff:ffff:ffff"])}, optional={"port": st.just(443)}
    ),
)
#: Variables that take effect in the profile nat_router alone. The interfaces of the flows that must pass are no LAN with a list of hosts.
ROUTER: dict[str, st.SearchStrategy[Any]] = {
    "forwards": st.dictionaries(st.sampled_from(["web", "game"]), FORWARD, max_size=2),
    "mac_acl": st.fixed_dictionaries(
        {"home": st.fixed_dictionaries({"tablet": st.fixed_dictionaries({"mac": MACS}, optional={"address": st.just("192.168.0.50")})})}
    ),
    "masquerade": st.fixed_dictionaries({}, optional={"ipv4": st.booleans(), "ipv6": st.booleans()}),
    "mss_clamp": st.booleans(),
    "snat": st.fixed_dictionaries({"internet": st.fixed_dictionaries({"to": st.sampled_from(["203.0.113.5", ["203.0.113.5", "2001:db8::5"]])})}),
}
#: Those that nearly all of the others need.
ROUTER_ALWAYS: dict[str, st.SearchStrategy[Any]] = {
    "lan": LAN,
    "wan": st.fixed_dictionaries({"internet": st.just({"interfaces": "wan0"})}, optional={"second": st.just({"interfaces": "wan1"})}),
}


def is_valid(profile: str, policy: Policy) -> bool:
    """Tell whether the compiler takes it: entries drawn at random may contradict each other."""
    try:
        read_policy(profile, policy)
    except PalisadeError:
        return False
    return True


def policies(
    profile: str, variables: dict[str, st.SearchStrategy[Any]], always: Mapping[str, st.SearchStrategy[Any]] = MappingProxyType({})
) -> st.SearchStrategy[Policy]:
    """Draw valid policies of a profile that say something about some of `variables` and all of `always`. Each has its management."""

    def management(policy: Policy, port: int) -> Policy:
        sources = [MANAGER[family] for family in policy.get("families", MANAGER)]
        return {**policy, "management": {"from": sources, "port": port}}

    drawn = st.builds(management, st.fixed_dictionaries(dict(always), optional=variables), st.sampled_from(MANAGEMENT_PORTS))
    return drawn.filter(lambda policy: is_valid(profile, policy))
