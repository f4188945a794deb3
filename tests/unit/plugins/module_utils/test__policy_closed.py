# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the closed fallback keeps of a policy: management always, and never a packet that the policy refuses."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_closed import closed
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy, Service, read_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange
from hypothesis import assume, given
from hypothesis import strategies as st

SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"


def incoming(**policy: Any) -> list[str]:
    """What the fallback's INPUT has beyond the host's own needs."""
    rules = compile_policy("server", {"dhcp_client": False, **policy}).fallback["filter"]["INPUT"]["rules"]
    needed = ("loopback", '"established and related"', "firewall_icmp", "invalid")
    return [rule for rule in rules if not any(f"--comment {comment} " in rule for comment in needed)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, [f"-p tcp -m tcp --dport 22 {SYN} -m comment --comment \"firewall_services.ssh\" -j ACCEPT"]),
        ({"services": {"ssh": {"state": "absent"}, "https": {}}}, []),
        ({"services": {"ssh": {"action": "reject"}}, "final": "reject", "logging": {"enabled": True}},
         ['-p tcp -m tcp --dport 22 -m comment --comment "firewall_services.ssh" -j REJECT --reject-with tcp-reset']),
        ({"services": {"ssh": {"ports": 2222, "from": "10.0.0.0/8", "interfaces": "lan0", "source_ports": "1024-65535"}, "https": {}}},
         [f"-4 -s 10.0.0.0/8 -i lan0 -p tcp -m tcp --sport 1024:65535 --dport 2222 {SYN} "
          '-m comment --comment "firewall_services.ssh" -j ACCEPT']),
        ({"services": {"ssh": {"state": "absent"}, "all": {"ports": {"tcp": "1-1000", "udp": "1-1000"}}}},
         [f'-p tcp -m tcp --dport 22 {SYN} -m comment --comment "firewall_services.all" -j ACCEPT']),
        ({"services": {"bad": {"ports": {"tcp": [22, 80], "udp": 22}, "from": "10.6.6.6", "action": "drop"}}},
         ['-4 -s 10.6.6.6/32 -p tcp -m tcp --dport 22 -m comment --comment "firewall_services.bad" -j DROP',
          f'-p tcp -m tcp --dport 22 {SYN} -m comment --comment "firewall_services.ssh" -j ACCEPT']),
        ({"management": {"from": "10.0.0.1", "port": 2222}, "services": {"ssh": {"ports": 2222}}},
         ["-4 -s 10.0.0.1/32 -p tcp -m tcp --dport 2222 -m comment --comment firewall_management -j ACCEPT"]),
        ({"management": {"port": 8022}, "services": {"ssh": {}, "jump": {"ports": "8000-9000"}}},
         [f'-p tcp -m tcp --dport 8022 {SYN} -m comment --comment "firewall_services.jump" -j ACCEPT',
          f'-p tcp -m tcp --dport 22 {SYN} -m comment --comment "firewall_services.ssh" -j ACCEPT']),
        ({"services": {"ssh": {"ports": "20-30"}, "ftp": {}, "bad": {"ports": 25, "from": "10.6.6.6", "action": "drop"}}},
         ['-4 -s 10.6.6.6/32 -p tcp -m tcp --dport 25 -m comment --comment "firewall_services.bad" -j DROP',
          f'-p tcp -m tcp --dport 20:30 {SYN} -m comment --comment "firewall_services.ssh" -j ACCEPT']),
        ({"trusted": {"me": {"from": "10.0.0.1", "mac": "02:00:5e:00:53:01"}}, "services": {"ssh": {"state": "absent"}}},
         ['-4 -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -m mac --mac-source 02:00:5e:00:53:01 -m comment --comment "firewall_trusted.me" -j ACCEPT']),
        ({"trusted": {"me": {"from": "10.0.0.1"}}, "management": {"from": "10.0.0.2"}},
         ["-4 -s 10.0.0.2/32 -p tcp -m tcp --dport 22 -m comment --comment firewall_management -j ACCEPT"]),
        ({"antispoof": {"interfaces": ["wan0"], "networks": ["10.0.0.0/8"]}, "quiet": {"cups": {"ports": 631}}, "logging": {"invalid": True}},
         ["-4 -i wan0 -m comment --comment firewall_antispoof -j antispoof",
          f"-p tcp -m tcp --dport 22 {SYN} -m comment --comment \"firewall_services.ssh\" -j ACCEPT"]),
        ({"rules": {"before": {"filter": {"INPUT": ["-s 10.6.6.6 -j DROP", "-s 10.0.0.1 -j ACCEPT", "-j LOG"], "FORWARD": ["-j ACCEPT"]},
                               "raw": {"PREROUTING": ["-p udp -j CT --notrack"]}},
                    "after": {"filter": {"INPUT": ["-p tcp --dport 80 -j ACCEPT", "-m set --match-set x src -j DROP"]}}}},
         ["-s 10.6.6.6 -j DROP", f"-p tcp -m tcp --dport 22 {SYN} -m comment --comment \"firewall_services.ssh\" -j ACCEPT"]),
        *(({"rules": {"before": {table: {chain: [rule]}}}, "trusted": {"me": {"from": "10.0.0.1"}}}, [])
          for table, chain, rule in (("filter", "INPUT", "-m set --match-set bad src -j DROP"), ("filter", "INPUT", "-j other-chain"),
                                     ("filter", "INPUT", "-m geoip --src-cc XX -j REJECT"), ("mangle", "PREROUTING", "-s 10.6.6.6 -j DROP"),
                                     ("nat", "PREROUTING", "-p tcp --dport 22 -j REDIRECT --to-ports 2222"), ("filter", "INPUT", "-j NFQUEUE"))),
    ],
)
def test_who_still_gets_in(policy: dict[str, Any], expected: list[str]) -> None:
    assert incoming(**policy) == expected


def test_several_sources_keep_their_chain() -> None:
    fallback = compile_policy("server", {"services": {"ssh": {"from": ["10.0.0.1", "10.0.0.9"]}}}).fallback
    assert fallback["filter"]["from-ssh"]["rules"] == ["-4 -s 10.0.0.1/32 -j ACCEPT", "-4 -s 10.0.0.9/32 -j ACCEPT"]


def test_knocks_and_rates_hold_in_the_fallback_too() -> None:
    service = {"knock": ["udp/1", "udp/2"], "rate_limit": {"hits": 2}, "log": True, "ports": {"tcp": 22, "udp": 22}}
    fallback = compile_policy("server", {"services": {"ssh": service, "other": {"ports": 80, "knock": ["udp/1", "udp/2"]}}}).fallback["filter"]
    assert sorted(fallback) == ["FORWARD", "INPUT", "icmp", "knock-ssh", "new-ssh"]
    assert [rule.split(" -j ")[1] for rule in fallback["new-ssh"]["rules"]] == ["RETURN", "RETURN", "DROP", "ACCEPT", "DROP", "ACCEPT"]


def test_nothing_is_forwarded_whoever_else_is_on_the_host() -> None:
    assert compile_policy("server", {}).fallback["filter"]["FORWARD"] == {"policy": "DROP", "rules": []}


def test_the_host_gets_its_address_and_no_ping() -> None:
    rules = compile_policy("server", {"icmp": {"types": "all", "echo_rate": "1/second"}}).fallback["filter"]
    written = [rule for chain in rules.values() for rule in chain["rules"]]
    assert [rule for rule in written if "--dport 68 " in rule] and [rule for rule in written if "--dport 546 " in rule]
    assert [rule for rule in written if "--icmpv6-type 135 " in rule]
    assert not [rule for rule in written if "--icmpv6-type 128 " in rule or "-p icmp " in rule or "LOG" in rule]


def test_one_family_alone() -> None:
    fallback = compile_policy("server", {"families": ["ipv4"]}).fallback["filter"]
    assert sorted(fallback) == ["FORWARD", "INPUT"]
    assert not [rule for rule in fallback["INPUT"]["rules"] if rule.startswith("-6")]


@dataclass(frozen=True)
class Syn:
    """A client's first packet."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    interface: str
    port: int
    source_port: int


def lets_in(policy: Policy, syn: Syn) -> bool:
    """Say what the policy says about a packet, in the plainest way: the first entry that is about it decides."""
    management = policy.management
    if syn.port == management.port and any(source.holds(syn.address) for source in management.sources):
        return True
    for one in policy.trusted:
        port = one.port or PortRange(1, 65535)
        fits = syn.interface in (one.interfaces or (syn.interface,)) and port.first <= syn.port <= port.last
        if fits and any(source.holds(syn.address) for source in one.sources):
            return True
    for service in policy.services:
        # Who has not knocked goes on as if there were no service. Nobody has.
        if is_about(service, syn) and not service.knock:
            return service.action == "accept"
    return False


def is_about(service: Service, syn: Syn) -> bool:
    ports = dict(service.ports).get("tcp", ())
    return (
        any(item.first <= syn.port <= item.last for item in ports)
        and (service.sources is None or any(source.holds(syn.address) for source in service.sources))
        and (service.interfaces is None or syn.interface in service.interfaces)
        and (not service.source_ports or any(item.first <= syn.source_port <= item.last for item in service.source_ports))
    )


ADDRESSES = ("10.0.0.1", "10.0.0.2", "192.0.2.9", "2001:db8::1", "2001:db8::2")
SOURCES = st.lists(st.sampled_from([*ADDRESSES, "10.0.0.0/8", "10.0.0.0-10.0.0.9", "2001:db8::/32"]), min_size=1, max_size=3)
PORTS = st.sampled_from([22, 23, 2222, "20-30", [22, 2222], {"tcp": [22], "udp": 22}, {"udp": 22}])
SERVICES = st.fixed_dictionaries(
    {"ports": PORTS},
    optional={
        "action": st.sampled_from(["accept", "drop", "reject"]),
        "from": SOURCES,
        "interfaces": st.sampled_from(["lan0", ["lan0", "wan0"]]),
        "source_ports": st.sampled_from(["1-1023", "1024-65535"]),
    },
)
TRUSTED = st.fixed_dictionaries({"from": SOURCES}, optional={"interfaces": st.just("lan0")})
KNOCKED = st.fixed_dictionaries({"ports": PORTS, "knock": st.just(["udp/1", "udp/2"])}, optional={"from": SOURCES})
POLICIES = st.fixed_dictionaries(
    {
        "trusted": st.dictionaries(st.just("them"), TRUSTED),
        "services": st.dictionaries(st.sampled_from(["ssh", "one", "two", "www"]), SERVICES | KNOCKED, max_size=4),
        "management": st.fixed_dictionaries({}, optional={"from": SOURCES, "port": st.sampled_from([22, 2222])}),
    }
)
SYNS = st.builds(
    Syn,
    st.sampled_from(ADDRESSES).map(ipaddress.ip_address),
    st.sampled_from(["lan0", "wan0"]),
    st.sampled_from([20, 21, 22, 23, 2222]),
    st.sampled_from([22, 40000]),
)


def read(policy: dict[str, Any]) -> Policy:
    try:
        return read_policy("server", policy)
    except PalisadeError:
        assume(False)
        raise


@given(POLICIES, SYNS)
def test_it_never_lets_in_more_than_the_policy(policy: dict[str, Any], syn: Syn) -> None:
    full = read(policy)
    assert lets_in(full, syn) or not lets_in(closed(full), syn)


@given(POLICIES, SYNS)
def test_management_is_always_in_it(policy: dict[str, Any], syn: Syn) -> None:
    full = read(policy)
    if full.management.sources:
        wanted = syn.port == full.management.port and any(source.holds(syn.address) for source in full.management.sources)
    else:
        wanted = syn.port == full.management.port and lets_in(full, syn)
    assert lets_in(closed(full), syn) or not wanted


@given(POLICIES, SERVICES, SYNS)
def test_where_nobody_is_management_whom_ssh_lets_in_it_lets_in(policy: dict[str, Any], ssh: dict[str, Any], syn: Syn) -> None:
    full = read({"services": {**policy["services"], "ssh": ssh}})
    deciding = [service for service in full.services if is_about(service, syn)][:1]
    by_ssh = [service.name for service in deciding] == ["ssh"] and lets_in(full, syn)
    assert lets_in(closed(full), syn) or not by_ssh


@given(POLICIES)
def test_it_is_about_no_other_port(policy: dict[str, Any]) -> None:
    full = read(policy)
    wanted = [PortRange(full.management.port, full.management.port)]
    wanted += [port for service in full.services if service.name == "ssh" for port in dict(service.ports).get("tcp", ())]
    for service in closed(full).services:
        assert [protocol for protocol, _ports in service.ports] == ["tcp"]
        for item in dict(service.ports)["tcp"]:
            assert all(any(there.first <= port <= there.last for there in wanted) for port in (item.first, item.last))
