# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler: what a policy comes to, and what is refused in which words. Whole rulesets are in the golden files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_chains import chain_name
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def rules(policy: dict[str, Any], chain: str = "INPUT") -> list[str]:
    return list(compile_policy("server", policy).tables["filter"][chain]["rules"])


def service_rules(name: str, entry: Any, **other: Any) -> list[str]:
    found = rules({"services": {name: entry}, **other})
    return [
        rule.replace(f' -m comment --comment "firewall_services.{name}"', "") for rule in found if f'.{name}"' in rule
    ]


SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"ports": 80}, [f"-p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ({"ports": "80-90"}, [f"-p tcp -m tcp --dport 80:90 {SYN} -j ACCEPT"]),
        ({"ports": [443, 80]}, [f"-p tcp -m tcp {SYN} -m multiport --dports 80,443 -j ACCEPT"]),
        ({"ports": 80, "protocols": "udp"}, ["-p udp -m udp --dport 80 -j ACCEPT"]),
        ({"ports": {"udp": [80, 81]}}, ["-p udp -m multiport --dports 80,81 -j ACCEPT"]),
        ({"protocols": ["gre"]}, ["-p 47 -j ACCEPT"]),
        ({"ports": 80, "from": "192.0.2.1"}, [f"-4 -s 192.0.2.1/32 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        ({"ports": 80, "from": "::/0"}, [f"-6 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT"]),
        (
            {"ports": 80, "from": ["192.0.2.1", "2001:db8::1"]},
            [
                f"-4 -s 192.0.2.1/32 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT",
                f"-6 -s 2001:db8::1/128 -p tcp -m tcp --dport 80 {SYN} -j ACCEPT",
            ],
        ),
        ({"ports": 80, "from": ["192.0.2.1", "192.0.2.3"]}, [f"-4 -p tcp -m tcp --dport 80 {SYN} -j from-web"]),
        (
            {"ports": 80, "from": ["192.0.2.1", "192.0.2.3", "2001:db8::1"]},
            [f"-p tcp -m tcp --dport 80 {SYN} -j from-web"],
        ),
        ({"ports": 80, "interfaces": ["a", "b"]}, [f"-i {i} -p tcp -m tcp --dport 80 {SYN} -j ACCEPT" for i in "ab"]),
        ({"ports": 80, "source_ports": 81}, [f"-p tcp -m tcp --sport 81 --dport 80 {SYN} -j ACCEPT"]),
        ({"ports": 80, "action": "drop"}, ["-p tcp -m tcp --dport 80 -j DROP"]),
        ({"ports": 80, "action": "reject"}, ["-p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset"]),
        (
            {"ports": {"udp": 80}, "action": "reject"},
            [
                "-4 -p udp -m udp --dport 80 -j REJECT --reject-with icmp-port-unreachable",
                "-6 -p udp -m udp --dport 80 -j REJECT --reject-with icmp6-port-unreachable",
            ],
        ),
        ({"state": "absent"}, []),
        ({"state": "absent", "ports": 80}, []),
    ],
)
def test_a_service_comes_to(entry: dict[str, Any], expected: list[str]) -> None:
    assert service_rules("web", entry) == expected


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("dns", {"protocols": "udp"}, ["-p udp -m udp --dport 53 -j ACCEPT"]),
        ("ssh", {"ports": 2222}, [f"-p tcp -m tcp --dport 2222 {SYN} -j ACCEPT"]),
        ("ssh", None, [f"-p tcp -m tcp --dport 22 {SYN} -j ACCEPT"]),
        ("ssh", {"ports": None, "from": None}, [f"-p tcp -m tcp --dport 22 {SYN} -j ACCEPT"]),
        ("ssh", {"state": "absent"}, []),
        ("ipsec", {"ports": 500}, ["-p udp -m udp --dport 500 -j ACCEPT"]),
    ],
)
def test_a_well_known_service_may_be_bent(name: str, entry: Any, expected: list[str]) -> None:
    assert service_rules(name, entry) == expected


def test_multiport_takes_fifteen_and_a_range_counts_two() -> None:
    odd = list(range(1, 33, 2))
    assert [rule.count(",") for rule in service_rules("many", {"ports": odd, "protocols": "udp"})] == [14, 0]
    ranges = [f"{port}-{port + 1}" for port in range(100, 124, 3)]
    found = service_rules("many", {"ports": [*ranges, 1], "protocols": "udp"})
    assert [rule.count(":") for rule in found] == [7, 1]


def test_source_lists_have_a_chain_of_their_own() -> None:
    policy = {"services": {"web": {"ports": 80, "from": ["10.0.0.1", "10.1.0.0/16", "2001:db8::/32"]}}}
    assert rules(policy, "from-web") == [
        "-4 -s 10.0.0.1/32 -j ACCEPT",
        "-4 -s 10.1.0.0/16 -j ACCEPT",
        "-6 -s 2001:db8::/32 -j ACCEPT",
    ]


def test_refusals_for_some_come_first_and_refusals_for_all_last() -> None:
    found = rules(
        {
            "services": {
                "a": {"ports": 80, "from": "10.0.0.0/8"},
                "b": {"ports": 80, "action": "reject"},
                "c": {"ports": 80, "from": "10.6.6.6", "action": "drop"},
                "ssh": {"state": "absent"},
            }
        }
    )
    named = [rule.split('"')[1] for rule in found if "firewall_services." in rule]
    assert named == ["firewall_services.c", "firewall_services.a", "firewall_services.b"]


def test_management_is_ahead_of_every_refusal() -> None:
    found = rules(
        {
            "management": {"from": "10.0.0.1", "port": 2222},
            "services": {"bad": {"ports": 2222, "from": "10.0.0.1", "action": "drop"}},
        }
    )
    accepted = found.index(
        "-4 -s 10.0.0.1/32 -p tcp -m tcp --dport 2222 -m comment --comment firewall_management -j ACCEPT"
    )
    assert accepted < min(place for place, rule in enumerate(found) if "DROP" in rule)


def test_nobody_is_management_unless_named() -> None:
    assert not [rule for rule in rules({"management": {"port": 2222}}) if "management" in rule]


def test_tables_are_plain_data_that_json_carries() -> None:
    tables = compile_policy("server", {"services": {"web": {"ports": 80, "from": ["10.0.0.1", "10.0.0.2"]}}}).tables
    assert json.loads(json.dumps(tables)) == tables
    assert tables["filter"]["INPUT"]["policy"] == "DROP"
    assert tables["filter"]["FORWARD"] == {"policy": "DROP", "rules": [], "only_if_unused": True}
    assert "OUTPUT" not in tables["filter"]


def test_one_family_alone() -> None:
    compiled = compile_policy("server", {"families": ["ipv4"]})
    written = [rule for chain in compiled.tables["filter"].values() for rule in chain["rules"]]
    assert not [rule for rule in written if rule.startswith("-6") or "ipv6-icmp" in rule]
    assert compiled.notes == ["firewall_families: IPv6 is not filtered"]


def test_required_icmpv6_is_written_once_whatever_is_chosen() -> None:
    for types in (["echo-request"], ["destination-unreachable", "time-exceeded"], ["all"]):
        found = rules({"icmp": {"types": types}}, "icmp")
        for number in (1, 2, 3, 4, 130, 131, 132, 134, 135, 136, 143):
            assert len([rule for rule in found if f"--icmpv6-type {number} " in rule]) == 1


def test_a_limited_echo_request_falls_through_even_when_all_is_accepted() -> None:
    found = [rule for rule in rules({"icmp": {"types": "all", "echo_rate": "10/second"}}, "icmp") if rule[:2] == "-4"]
    assert [rule.split(" -j ")[1] for rule in found] == ["ACCEPT", "RETURN", "ACCEPT"]
    assert "-m limit --limit 10/sec" in found[0]


def test_without_echo_request_a_rate_adds_nothing() -> None:
    assert not [
        rule for rule in rules({"icmp": {"types": ["redirect"], "echo_rate": "1/second"}}, "icmp") if "limit" in rule
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("web", "from-web"), ("elevenchars", "from-eleve-431e"), ("a" * 64, None)]
)
def test_chain_names_fit_under_the_longest_ruleset_name(name: str, expected: str | None) -> None:
    chain = chain_name("from", name)
    assert len(chain) <= 28 - len("twelve_chars") - 1
    assert expected is None or chain == expected


BAD = [
    ({"servces": {}}, "firewall_servces: unknown variable; did you mean 'firewall_services'?"),
    ({"services": ["ssh"]}, "firewall_services: a dictionary is needed, not a list"),
    ({"services": {"web": 80}}, "firewall_services.web: a dictionary is needed, not a number"),
    ({"services": {"ssh": 22}}, "firewall_services.ssh: a dictionary is needed, not a number"),
    ({"services": {"web": {}}}, "firewall_services.web: 'web' is no well-known service, so it needs `ports`"),
    (
        {"services": {"htps": {}}},
        "firewall_services.htps: 'htps' is no well-known service, so it needs `ports`; did you mean 'https'?",
    ),
    ({"services": {"web": {"port": 80}}}, "firewall_services.web.port: unknown key; did you mean 'ports'?"),
    ({"services": {"web": {"zzz": 80}}}, "firewall_services.web.zzz: unknown key (known: action, from, "),
    ({"services": {"web": {"ports": 70000}}}, "firewall_services.web.ports: 70000 is no port (1 to 65535)"),
    (
        {"services": {"web": {"ports": {"tcp": "90:80"}}}},
        "firewall_services.web.ports.tcp: the range '90:80' runs backwards",
    ),
    ({"services": {"web": {"ports": {"tpc": 80}}}}, "firewall_services.web.ports: 'tpc' is none of tcp, udp, sctp"),
    ({"services": {"web": {"ports": {}}}}, "firewall_services.web.ports: the dictionary is empty"),
    (
        {"services": {"web": {"ports": {"tcp": 80}, "protocols": "tcp"}}},
        "firewall_services.web.protocols: the protocols are named in",
    ),
    (
        {"services": {"web": {"ports": 80, "protocols": "icmp"}}},
        "firewall_services.web.protocols: 'icmp' is none of tcp, udp, sctp, ",
    ),
    ({"services": {"web": {"ports": 80, "protocols": []}}}, "firewall_services.web.protocols: the list is empty"),
    ({"services": {"web": {"ports": 80, "protocols": "esp"}}}, "firewall_services.web.ports: esp has no ports"),
    ({"services": {"web": {"protocols": "tcp"}}}, "firewall_services.web.ports: tcp needs ports here"),
    ({"services": {"ssh": {"protocols": "udp"}}}, "firewall_services.ssh.ports: udp needs ports here"),
    (
        {"services": {"ipsec": {"source_ports": 500}}},
        "firewall_services.ipsec.source_ports: only tcp, udp and sctp have source ports",
    ),
    ({"services": {"ssh": {"from": []}}}, "firewall_services.ssh.from: the list is empty, which lets nobody in"),
    (
        {"services": {"ssh": {"from": "10.0.0.1/8"}}},
        "firewall_services.ssh.from: '10.0.0.1/8' is an address inside a network",
    ),
    ({"services": {"ssh": {"interfaces": []}}}, "firewall_services.ssh.interfaces: the list is empty"),
    ({"services": {"ssh": {"interfaces": "a b"}}}, "firewall_services.ssh.interfaces: 'a b' is no interface name"),
    ({"services": {"ssh": {"action": "deny"}}}, "firewall_services.ssh.action: 'deny' is none of accept, drop, reject"),
    ({"services": {"ssh": {"state": "off"}}}, "firewall_services.ssh.state: 'off' is none of present, absent"),
    ({"services": {"a b": {"ports": 1}}}, "firewall_services.a b: 'a b' is no name"),
    ({"services": {"a\nb": {"ports": 1}}}, "firewall_services: the key 'a\\nb' has a control character in it"),
    ({"services": {'a"b': {"ports": 1}}}, "firewall_services.a\"b: 'a\"b' is no name"),
    ({"services": {80: {}}}, "firewall_services: the key 80 must be a text, not a number"),
    (
        {"services": {"x": {"ports": 22, "action": "drop"}}},
        "firewall_services.ssh: says accept where firewall_services.x says drop",
    ),
    (
        {
            "services": {
                "a": {"ports": "1-99", "from": ["10.0.0.1", "10.0.0.2"]},
                "b": {"ports": 50, "from": "10.0.0.2", "action": "reject"},
            }
        },
        "firewall_services.a: says accept where firewall_services.b says reject, for the same ports and the same sources",
    ),
    ({"management": {"form": []}}, "firewall_management.form: unknown key; did you mean 'from'?"),
    ({"management": {"port": "ssh"}}, "firewall_management.port: a whole number is needed, not 'ssh'"),
    ({"management": {"port": 0}}, "firewall_management.port: 0 is not between 1 and 65535"),
    ({"management": {"from": ["me"]}}, "firewall_management.from: 'me' is no address"),
    ({"management": "10.0.0.1"}, "firewall_management: a dictionary is needed, not a text"),
    ({"icmp": {"types": ["echo"]}}, "firewall_icmp.types: 'echo' is no ICMP type by name (known: all, echo-reply, "),
    ({"icmp": {"types": ["all", "echo-reply"]}}, "firewall_icmp.types: 'all' says it already"),
    ({"icmp": {"types": [8]}}, "firewall_icmp.types: 8 is no ICMP type by name"),
    ({"icmp": {"types": [[]]}}, "firewall_icmp.types: [] is no ICMP type by name"),
    ({"icmp": {"echo_rate": 10}}, "firewall_icmp.echo_rate: a text is needed, not a number"),
    ({"icmp": {"echo_burst": 0}}, "firewall_icmp.echo_burst: 0 is not between"),
    ({"logging": {"enabled": "perhaps"}}, "firewall_logging.enabled: true or false is needed, not 'perhaps'"),
    (
        {"logging": {"prefix": "x" * 30}},
        "firewall_logging.prefix: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' comes to 30 characters",
    ),
    ({"logging": {"level": "loud"}}, "firewall_logging.level: 'loud' is no log level"),
    ({"logging": {"rate": "1/day"}}, "firewall_logging.burst: 10 packets at 1/day take more than a day"),
    ({"dhcp_client": "perhaps"}, "firewall_dhcp_client: true or false is needed"),
    ({"final": "dropp"}, "firewall_final: 'dropp' is none of policy, drop, reject; did you mean 'drop'?"),
    ({"final": ["drop"]}, "firewall_final: ['drop'] is none of"),
    ({"families": []}, "firewall_families: the list is empty"),
    ({"families": ["ipv5"]}, "firewall_families: 'ipv5' is none of ipv4, ipv6"),
    (
        {"families": "ipv4", "services": {"ssh": {"from": "::1"}}},
        "firewall_services.ssh.from: ::1/128 is IPv6, and firewall_families leaves",
    ),
]


@pytest.mark.parametrize(("policy", "message"), BAD)
def test_what_is_wrong_is_named(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        compile_policy("server", policy)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("servers", "firewall_profile: 'servers' is no profile (known: nat_router, server, workstation); did you mean 'server'?"),
        (None, "firewall_profile: None is no profile"),
        (["server"], "firewall_profile: ['server'] is no profile"),
    ],
)
def test_no_profile(profile: Any, message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        compile_policy(profile, {})


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
JUNK: st.SearchStrategy[Any] = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=5) | st.integers(), SCALARS | st.lists(SCALARS, max_size=2), max_size=2),
)
ENTRY_KEYS = ["ports", "protocols", "from", "interfaces", "source_ports", "action", "state"]
LIKELY = st.sampled_from(
    [80, "80-90", [1, 5], {"udp": 53}, "tcp", "192.0.2.1", ["10.0.0.0/8", "::1"], "eth0", "drop", "absent"]
)
ENTRY = st.dictionaries(st.sampled_from(ENTRY_KEYS), LIKELY | JUNK, max_size=4)
SERVICES = st.dictionaries(st.sampled_from(["ssh", "web", "dns", "a b"]), ENTRY | JUNK, max_size=3)
KEYS = ["management", "icmp", "logging", "final", "families", "dhcp_client", "other"]


def refusal(policy: dict[str, Any]) -> str:
    """Return the sentence that refuses the policy, or nothing for one that compiles to rules of one line each."""
    try:
        tables = compile_policy("server", policy).tables
    except PalisadeError as error:
        return str(error)
    assert all(rule.isprintable() for chain in tables["filter"].values() for rule in chain["rules"])
    return ""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SERVICES | JUNK, st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=1))
def test_junk_is_refused_in_words_or_makes_rules_of_one_line(services: Any, other: dict[str, Any]) -> None:
    message = refusal({"services": services, **other})
    assert not message or message.startswith("firewall_")


def test_the_order_of_a_dictionary_changes_nothing() -> None:
    entries = {"b": {"ports": 1}, "a": {"ports": 2}, "c": {"ports": 3}}
    turned = dict(reversed(list(entries.items())))
    assert compile_policy("server", {"services": entries}) == compile_policy("server", {"services": turned})
