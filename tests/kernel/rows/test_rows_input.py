# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the source documents that are about what comes in: each by its number, with its packets, on both backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Union

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from ..support.host import FAMILIES, Host
from ..support.save_text import policies, rules
from ..support.wire import OWN, ask, cable, connect, listening

ICMP = {"ipv4": "icmp", "ipv6": "ipv6-icmp"}
#: The host's interfaces and addresses; `wan0` has the default route.
LINKS = {
    "eth0": {"ipv4": "192.0.2.1/24", "ipv6": "2001:db8::1/64"},
    "wan0": {"ipv4": "198.51.100.1/24", "ipv6": "2620:fe:1::1/64"},
}
#: Who is there: two neighbours on eth0, and somebody far away behind wan0.
NEAR = {"ipv4": "192.0.2.2", "ipv6": "2001:db8::2"}
NEXT = {"ipv4": "192.0.2.9", "ipv6": "2001:db8::9"}
FAR = {"ipv4": "9.9.9.9", "ipv6": "2620:fe::9"}
NETWORK = ["192.0.2.0/24", "2001:db8::/64"]
MAC, OTHER_MAC = "02:00:5e:00:53:01", "02:00:5e:00:53:02"
UDP = {"protocol": "udp"}
Flow = dict[str, Any]
#: A flow with what becomes of it, and `+log` if it is logged first; or several that follow each other on one copy of the rules.
Expected = Union[tuple[Flow, str], Sequence[tuple[Flow, str]]]


@pytest.fixture
def server(host: Host) -> Host:
    for name, addresses in LINKS.items():
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
        host.run("ip", "link", "set", f"{name}-end", "up")
        host.run("ip", "link", "set", name, "up")
        host.run("ip", "address", "add", addresses["ipv4"], "dev", name)
        host.run("ip", "address", "add", addresses["ipv6"], "dev", name, "nodad")
    for family, gateway in (("ipv4", "198.51.100.2"), ("ipv6", "2620:fe:1::2")):
        host.run("ip", f"-{family[-1]}", "route", "add", "default", "via", gateway, "dev", "wan0")
    return host


def apply(host: Host, profile: str = "workstation", **policy: Any) -> None:
    host.apply(tables=compile_policy(profile, policy).tables)


def near(family: str, **flow: Any) -> Flow:
    """From a neighbour on eth0."""
    return {"hook": "input", "in_interface": "eth0", "source": NEAR[family], "destination": LINKS["eth0"][family].partition("/")[0], **flow}


def far(family: str, **flow: Any) -> Flow:
    """From somewhere behind wan0."""
    return {"hook": "input", "in_interface": "wan0", "source": FAR[family], "destination": LINKS["wan0"][family].partition("/")[0], **flow}


def fate(result: dict[str, Any]) -> str:
    logged = any("LOG" in step.get("rule", "").split() for step in result["path"])
    return f"{result['verdict']}{'+log' if logged else ''}"


def check(host: Host, *expected: Expected) -> None:
    """Send each flow, alone or in its sequence, and hold what becomes of it against what is expected."""
    sequences = [[one] if isinstance(one, tuple) else list(one) for one in expected]
    result = host.probe(flows=[[flow for flow, _fate in sequence] for sequence in sequences])
    assert not result.failed, result.message
    wanted = [(flow, fate) for sequence in sequences for flow, fate in sequence]
    found = [(flow, fate(one)) for (flow, _fate), one in zip(wanted, result.data["flows"], strict=True)]
    assert found == wanted


# 000: a personal firewall


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_2_and_2_13_what_is_invalid_is_dropped_and_logged_if_asked_for(server: Host, family: str) -> None:
    everything = {"all": {"ports": {"tcp": "1-65535"}}}
    broken = [near(family, port=80, flags=flags) for flags in ("SYN,FIN", "NONE", "FIN,PSH,URG")]
    apply(server, services=everything)
    check(server, *((flow, "drop") for flow in broken))
    apply(server, services=everything, logging={"invalid": True})
    check(server, *((flow, "drop+log") for flow in broken), (near(family, port=80), "accept"))
    (line,) = [line for line in rules(server.save(family), chain="palisade-INPUT") if "firewall_logging.invalid" in line]
    assert '--log-prefix "palisade invalid drop: "' in line


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_5_services_on_one_interface_are_opened_by_a_syn_alone(server: Host, family: str) -> None:
    ports = [21, 22, 80, 139, 445, 873, 16384]
    apply(server, services={"offered": {"ports": ports, "interfaces": "eth0"}})
    check(
        server,
        *((near(family, port=port), "accept") for port in ports),
        *((near(family, port=port, flags="ACK"), "drop+log") for port in ports),
        (near(family, port=81), "drop+log"),
        (far(family, port=80), "drop+log"),
        (near(family, port=80, **UDP), "drop+log"),
    )
    (line,) = [line for line in rules(server.save(family)) if "firewall_services.offered" in line]
    assert "-m multiport --dports 21,22,80,139,445,873,16384" in line


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_6_a_range_of_udp_ports(server: Host, family: str) -> None:
    apply(server, services={"netbios": {"ports": {"udp": "137-138"}, "interfaces": "eth0"}})
    fates = {136: "drop+log", 137: "accept", 138: "accept", 139: "drop+log"}
    check(server, *((near(family, port=port, **UDP), fate) for port, fate in fates.items()), (near(family, port=137), "drop+log"))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_7_a_trusted_machine_by_its_card_and_its_address(server: Host, family: str) -> None:
    apply(server, trusted={"laptop": {"from": [NEAR["ipv4"], NEAR["ipv6"]], "mac": MAC.upper()}})
    check(
        server,
        (near(family, port=5900, source_mac=MAC), "accept"),
        (near(family, port=5900, source_mac=MAC, **UDP), "accept"),
        (near(family, port=5900, source_mac=OTHER_MAC), "drop+log"),
        (near(family, port=5900, source_mac=MAC, source=NEXT[family]), "drop+log"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_7_trust_by_the_card_alone_by_addresses_alone_and_on_one_interface(server: Host, family: str) -> None:
    apply(server, trusted={"card": {"mac": MAC, "interfaces": "eth0"}, "office": {"from": [NEXT["ipv4"], "192.0.2.20-192.0.2.30", NEXT["ipv6"]]}})
    check(
        server,
        (near(family, port=5900, source_mac=MAC), "accept"),
        (far(family, port=5900, source_mac=MAC), "drop+log"),
        (near(family, port=5900, source=NEXT[family], source_mac=OTHER_MAC), "accept"),
        (near(family, port=5900, source_mac=OTHER_MAC), "drop+log"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_8_and_3_6_what_is_dropped_is_logged_at_a_rate(server: Host, family: str) -> None:
    dropped = near(family, port=23)
    apply(server)
    (line,) = [line for line in rules(server.save(family)) if "firewall_logging" in line]
    assert "-m limit --limit 7/min --limit-burst 10 " in line
    # Of a burst of periods that are no whole seconds, such as 7 a minute, iptables-legacy's limit lets nine tenths pass.
    apply(server, logging={"rate": "6/minute"})
    check(server, [*[(dropped, "drop+log")] * 10, (dropped, "drop")])
    apply(server, logging={"rate": "1/minute", "burst": 1, "prefix": "DROPPED: ", "level": "debug"})
    check(server, [(dropped, "drop+log"), (dropped, "drop")])
    (line,) = [line for line in rules(server.save(family)) if "firewall_logging" in line]
    assert line.endswith('-j LOG --log-prefix "DROPPED: " --log-level 7')
    apply(server, logging={"enabled": False})
    check(server, (dropped, "drop"))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_8_a_program_that_listens_may_have_the_log(server: Host, family: str) -> None:
    apply(server, logging={"target": "nflog", "group": 7})
    (line,) = [line for line in rules(server.save(family)) if "firewall_logging" in line]
    assert line.endswith('-j NFLOG --nflog-prefix "palisade INPUT drop: " --nflog-group 7')
    result = server.probe(flows=[near(family, port=23)])
    assert [step["rule"].split(" -j ")[1].split()[0] for step in result.data["flows"][0]["path"] if "NFLOG" in step.get("rule", "")] == ["NFLOG"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_9_noise_is_dropped_in_silence(server: Host, family: str) -> None:
    apply(
        server,
        quiet={
            "cups": {"ports": {"udp": 631}, "source_ports": 631},
            "nfs": {},
            "from_next": {"from": [NEXT["ipv4"], NEXT["ipv6"]], "protocols": "tcp"},
        },
        services={"ssh": {}},
    )
    check(
        server,
        (near(family, port=631, source_port=631, **UDP), "drop"),
        (near(family, port=631, source_port=632, **UDP), "drop+log"),
        (near(family, port=632, source_port=631, **UDP), "drop+log"),
        (near(family, port=2049), "drop"),
        (near(family, port=23, source=NEXT[family]), "drop"),
        (near(family, port=23, source=NEXT[family], **UDP), "drop+log"),
        (near(family, port=22, source=NEXT[family]), "accept"),
    )


def test_row_0_9_noise_for_everybody_on_the_wire(server: Host) -> None:
    apply(
        server,
        quiet={"chatter": {"ports": {"udp": "137-138"}, "to": "broadcast", "interfaces": "eth0"}, "groups": {"to": ["multicast", "192.0.2.255"]}},
    )
    check(
        server,
        (near("ipv4", port=137, destination="255.255.255.255", **UDP), "drop"),
        (near("ipv4", port=137, **UDP), "drop+log"),
        (near("ipv4", port=139, destination="255.255.255.255", **UDP), "drop+log"),
        (near("ipv4", port=139, destination="192.0.2.255", **UDP), "drop"),
        (near("ipv4", port=5353, destination="224.0.0.251", **UDP), "drop"),
        (near("ipv6", port=5353, destination="ff02::fb", **UDP), "drop"),
        (near("ipv6", port=5353, **UDP), "drop+log"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_10_samba_browsing_by_the_source_port(server: Host, family: str) -> None:
    apply(server)
    answer = near(family, port=4000, source_port=138, **UDP)
    check(server, (answer, "drop+log"))
    apply(server, services={"samba_browsing": {"ports": {"udp": "1025-65535"}, "source_ports": 138, "interfaces": "eth0"}})
    check(
        server,
        (answer, "accept"),
        ({**answer, "source_port": 139}, "drop+log"),
        ({**answer, "port": 1024}, "drop+log"),
        (far(family, port=4000, source_port=138, **UDP), "drop+log"),
    )


# 001: securing a system


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_3_all_icmp_or_chosen_types(server: Host, family: str) -> None:
    ping = near(family, protocol=ICMP[family])
    exceeded = {**ping, "icmp_type": "time-exceeded"}
    reply = {**ping, "icmp_type": "echo-reply"}
    apply(server, icmp={"types": "all"})
    check(server, (ping, "accept"), (exceeded, "accept"), (reply, "accept"))
    apply(server, icmp={"types": ["time-exceeded"]})
    check(server, (ping, "drop+log"), (exceeded, "accept"), (reply, "drop"))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_4_a_port_for_the_world(server: Host, family: str) -> None:
    apply(server, services={"https": {}})
    check(
        server,
        (far(family, port=443), "accept"),
        (near(family, port=443), "accept"),
        (far(family, port=443, flags="ACK"), "drop+log"),
        (far(family, port=443, state="established"), "accept"),
        (far(family, port=80), "drop+log"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_5_a_port_for_one_address_and_one_network(server: Host, family: str) -> None:
    sources = {
        "ipv4": ["203.0.113.5", "10.1.0.0/16", "10.9.0.1-10.9.0.3"],
        "ipv6": ["2001:db8:5::5", "2001:db8:6::/48", "2001:db8:7::1-2001:db8:7::3"],
    }
    apply(server, services={"mysql": {"from": sources["ipv4"] + sources["ipv6"]}})
    inside = {"ipv4": ("203.0.113.5", "10.1.2.3", "10.9.0.3"), "ipv6": ("2001:db8:5::5", "2001:db8:6:7::1", "2001:db8:7::3")}[family]
    outside = {"ipv4": ("203.0.113.6", "10.2.0.1", "10.9.0.4"), "ipv6": ("2001:db8:5::6", "2001:db8:8::1", "2001:db8:7::4")}[family]
    check(
        server,
        *((near(family, port=3306, source=source), "accept") for source in inside),
        *((near(family, port=3306, source=source), "drop+log") for source in outside),
    )
    assert rules(server.save(family), chain="palisade-from-mysql")


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_6_the_fifth_connection_in_a_minute_is_dropped(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"rate_limit": {"hits": 4, "seconds": 60}}})
    first, other = near(family, port=22), near(family, port=22, source=NEXT[family])
    check(server, [*[(first, "accept")] * 4, (first, "drop+log"), (first, "drop+log"), (other, "accept")])
    (line,) = [line for line in rules(server.save(family)) if "-j LOG" in line and "rate_limit" in line]
    assert '--log-prefix "palisade ssh drop: "' in line


def test_row_1_6_a_source_may_come_again_later_unless_it_goes_on_trying(server: Host) -> None:
    apply(server, services={"ssh": {"rate_limit": {"hits": 2, "seconds": 2}}})
    flow = near("ipv4", port=22)
    check(
        server,
        [(flow, "accept"), (flow, "accept"), (flow, "drop+log"), ({**flow, "wait": 2.2}, "accept")],
        [(flow, "accept"), (flow, "accept"), ({**flow, "wait": 1.2}, "drop+log"), ({**flow, "wait": 1.2}, "accept"), (flow, "drop+log")],
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_6_established_connections_are_not_counted(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"rate_limit": {"hits": 1}}})
    check(server, (near(family, port=22, state="established", count=5), "accept"))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_7_who_is_exempt_may_exceed_the_limit(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"rate_limit": {"hits": 2, "exempt": [NEXT["ipv4"], NEXT["ipv6"]]}, "from": NETWORK}})
    first, exempt = near(family, port=22), near(family, port=22, source=NEXT[family])
    check(
        server,
        [*[(exempt, "accept")] * 6, (first, "accept"), (first, "accept"), (first, "drop+log"), (exempt, "accept")],
        (far(family, port=22), "drop+log"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_8_and_2_16_the_end_is_a_policy_a_drop_or_a_refusal(server: Host, family: str) -> None:
    dropped = [near(family, port=23), near(family, port=23, **UDP)]
    for final, verdict in (("policy", "drop+log"), ("drop", "drop+log"), ("reject", "reject+log")):
        apply(server, final=final)
        check(server, *((flow, verdict) for flow in dropped))
        assert policies(server.save(family))["INPUT"] == "DROP"
    endings = [line.split(" -j ")[1] for line in rules(server.save(family)) if "firewall_final" in line]
    unreachable = {"ipv4": "icmp-port-unreachable", "ipv6": "icmp6-port-unreachable"}[family]
    assert endings == ["REJECT --reject-with tcp-reset", f"REJECT --reject-with {unreachable}"]


# 002: a router's INPUT, and a machine that does both


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_4_a_prefix_for_each_chain(server: Host, family: str) -> None:
    apply(server, logging={"prefix": "FIREWALL:{chain} "}, services={"ident": {"action": "reject", "log": True}})
    prefixes = [line.split("--log-prefix ")[1].split('"')[1] for line in rules(server.save(family)) if "LOG" in line]
    assert prefixes == ["FIREWALL:INPUT ", "FIREWALL:ident "]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_8_ping_on_the_external_interface(server: Host, family: str) -> None:
    apply(server)
    ping = far(family, protocol=ICMP[family])
    reply = {"hook": "output", "out_interface": "wan0", "source": ping["destination"], "destination": ping["source"], "protocol": ICMP[family]}
    check(server, (ping, "accept"), (reply, "accept"), ({**reply, "state": "established", "icmp_type": "echo-request"}, "accept"))
    apply(server, icmp={"types": ["destination-unreachable"]})
    check(server, (ping, "drop+log"), ({**ping, "state": "established"}, "accept"))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_9_ident_is_refused_at_once(server: Host, family: str) -> None:
    apply(server, services={"ident": {"action": "reject"}})
    check(server, (far(family, port=113), "reject"), (far(family, port=112), "drop+log"))
    apply(server, services={"ident": {"action": "reject", "log": True}})
    check(server, (far(family, port=113), "reject+log"))


SPOOFED = {
    "ipv4": ("0.1.2.3", "10.1.2.3", "169.254.1.1", "172.16.0.1", "172.31.255.1", "192.0.2.7", "192.168.1.1"),
    "ipv6": ("100::1", "64:ff9b:1::1", "2001:2::1", "2001:10::1", "2001:db8:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fec0::1"),
}
HONEST = {"ipv4": ("9.9.9.9", "172.32.0.1", "100.64.0.1", "203.0.113.9"), "ipv6": ("2620:fe::9", "2a00:1450::1", "2001:4860::1")}


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_14_spoofed_sources_are_dropped_on_the_wan(server: Host, family: str) -> None:
    apply(
        server,
        services={"ssh": {}},
        antispoof={"interfaces": ["wan0"]},
        trusted={"inside": {"from": ["192.168.0.0/16", "fd12::/16"]}},
    )
    for options in ({"port": 22}, {"protocol": ICMP[family]}):
        check(
            server,
            *((far(family, source=source, **options), "drop") for source in SPOOFED[family]),
            *((far(family, source=source, **options), "accept") for source in HONEST[family]),
        )
    check(server, *((near(family, source=source, port=22), "accept") for source in SPOOFED[family][1:]))


def test_row_2_14_loopback_and_groups_send_nothing_from_outside(server: Host) -> None:
    """The kernel drops these by itself, so the rules are all there is to see."""
    apply(server, antispoof={"interfaces": ["wan0"]})
    found = {family: [line.split()[3] for line in rules(server.save(family), chain="palisade-antispoof") if "DROP" in line] for family in FAMILIES}
    assert {"127.0.0.0/8", "224.0.0.0/3"} < set(found["ipv4"])
    assert {"::1/128", "ff00::/8", "::ffff:0.0.0.0/96"} < set(found["ipv6"])


def test_row_2_14_neighbours_and_dhcp_servers_have_any_address(server: Host) -> None:
    apply(server, antispoof={"interfaces": ["wan0"]})
    own = LINKS["wan0"]["ipv6"].partition("/")[0]
    check(
        server,
        (far("ipv4", source="10.0.0.1", source_port=67, port=68, **UDP), "accept"),
        (far("ipv4", source="10.0.0.1", source_port=68, port=68, **UDP), "drop"),
        (far("ipv6", source="fd12::1", destination=own, icmp_type="neighbour-solicitation"), "accept"),
        (far("ipv6", source="fd12::1", destination=own, icmp_type="neighbour-advertisement"), "accept"),
    )


def test_row_2_14_own_networks_in_place_of_the_usual_ones(server: Host) -> None:
    apply(server, services={"ssh": {}}, antispoof={"interfaces": ["wan0"], "networks": ["203.0.113.0/24"]})
    check(
        server,
        (far("ipv4", port=22, source="203.0.113.9"), "drop"),
        (far("ipv4", port=22, source="10.0.0.1"), "accept"),
        (far("ipv6", port=22, source="fd12::1"), "accept"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_14_a_router_forwards_nothing_spoofed_and_its_noise_is_quiet(server: Host, family: str) -> None:
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        server.run("sysctl", "-qw", f"{key}=1")
    apply(
        server,
        "nat_router",
        lan={"home": {"interfaces": "eth0", "networks": NETWORK}},
        wan={"internet": {"interfaces": "wan0"}},
        forwards={"web": {"port": 80, "to": NEAR["ipv4"]}, "web6": {"port": 80, "to": NEAR["ipv6"]}},
        antispoof={"interfaces": ["wan0"]},
        quiet={"netbios": {"ports": {"udp": 137}}},
        logging={"invalid": True},
    )
    # Over IPv4 the port of the router is forwarded, over IPv6 the host itself is reached.
    entrance = {"ipv4": LINKS["wan0"]["ipv4"].partition("/")[0], "ipv6": NEAR["ipv6"]}[family]
    through = {"hook": "forward", "in_interface": "wan0", "out_interface": "eth0", "source": FAR[family], "destination": NEAR[family], "port": 80}
    wanted = {**through, "destination": entrance}
    check(
        server,
        (wanted, "accept"),
        *(({**wanted, "source": source}, "drop") for source in SPOOFED[family][1:3]),
        ({**through, "port": 137, **UDP}, "drop"),
        ({**through, "port": 138, **UDP}, "drop+log"),
        ({**through, "flags": "SYN,FIN"}, "drop+log"),
    )


def test_row_2_15_answers_of_dhcp_servers(server: Host) -> None:
    answers = [
        far("ipv4", source_port=67, port=68, **UDP),
        far("ipv4", source_port=67, port=68, destination="255.255.255.255", **UDP),
        far("ipv6", source="fe80::1", source_port=547, port=546, destination="fe80::2", **UDP),
    ]
    apply(server)
    check(server, *((flow, "accept") for flow in answers[:2]), (far("ipv4", source_port=67, port=69, **UDP), "drop+log"))
    server.run("ip", "address", "add", "fe80::2/64", "dev", "wan0", "nodad")
    check(server, (answers[2], "accept"))
    apply(server, dhcp_client=False)
    check(server, *((flow, "drop+log") for flow in answers))


# 003: a stateful firewall with knocking


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_4_so_many_pings_a_second(server: Host, family: str) -> None:
    ping = near(family, protocol=ICMP[family])
    apply(server, icmp={"echo_rate": "10/second", "echo_burst": 10})
    flows = server.probe(flows=[{**ping, "count": 100}]).data["flows"]
    assert flows[0]["verdicts"][:10] == ["accept"] * 10
    assert flows[0]["verdicts"].count("drop") > 20
    apply(server, icmp={"echo_rate": "10/minute", "echo_burst": 3})
    check(server, [*[(ping, "accept")] * 3, (ping, "drop+log")])


KNOCKS = ["udp/12345", "udp/23456", "udp/34567"]
SILENT = {"enabled": False}


def knocks(family: str, *steps: str, **flow: Any) -> list[tuple[Flow, str]]:
    pairs = [step.split("/") for step in steps]
    return [(near(family, protocol=protocol, port=int(port), **flow), "drop") for protocol, port in pairs]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_5_knocks_in_order_open_the_door_and_no_others(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"knock": KNOCKS}}, logging=SILENT)
    ssh = near(family, port=22)
    other = near(family, port=22, source=NEXT[family])
    one, two, three = KNOCKS
    check(
        server,
        (ssh, "drop"),
        [*knocks(family, one, two, three), (other, "drop"), (ssh, "accept"), (ssh, "accept"), ({**ssh, "port": 23}, "drop")],
        [*knocks(family, one, two), (ssh, "drop")],
        [*knocks(family, two, three), (ssh, "drop")],
        [*knocks(family, three, two, one), (ssh, "drop")],
        [*knocks(family, one, three, two), (ssh, "drop")],
        [*knocks(family, one, two, one, three), (ssh, "drop")],
        [*knocks(family, one, two, two, three), (ssh, "drop")],
        [*knocks(family, one, "udp/20000", two, three), (ssh, "drop")],
        [*knocks(family, one, two, "tcp/34567", three), (ssh, "drop")],
        [*knocks(family, one, two), *knocks(family, three, source=NEXT[family]), (ssh, "drop"), (other, "drop")],
        [*knocks(family, one, three, one, two, three), (ssh, "accept")],
        [*knocks(family, one, one, two, three), (ssh, "accept")],
    )


def test_row_3_5_a_scan_of_all_ports_in_order_opens_nothing(server: Host) -> None:
    apply(server, services={"ssh": {"knock": ["udp/1001", "udp/1003", "udp/1005"]}}, logging=SILENT)
    check(server, [*knocks("ipv4", *(f"udp/{port}" for port in range(1000, 1007))), (near("ipv4", port=22), "drop")])


def test_row_3_5_each_next_knock_and_the_connection_have_their_time(server: Host) -> None:
    apply(server, services={"ssh": {"knock": KNOCKS, "knock_seconds": 2}}, logging=SILENT)
    ssh = near("ipv4", port=22)
    one, two, three = knocks("ipv4", *KNOCKS)

    def late(step: tuple[Flow, str], seconds: float) -> tuple[Flow, str]:
        return {**step[0], "wait": seconds}, step[1]

    check(
        server,
        [one, late(two, 1.2), late(three, 1.2), late((ssh, "accept"), 1.2), late((ssh, "drop"), 1.2)],
        [one, two, late(three, 2.3), (ssh, "drop")],
        [one, late(two, 2.3), three, (ssh, "drop")],
        [one, two, three, late((ssh, "drop"), 2.3)],
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_5_any_length_and_either_protocol(server: Host, family: str) -> None:
    steps = ["tcp/7001", "udp/7001", "tcp/7003", "tcp/7003", "udp/9"]
    apply(server, services={"ssh": {"knock": steps}, "admin": {"ports": 8443, "knock": steps[:2]}, "https": {}}, logging=SILENT)
    ssh, admin, web = near(family, port=22), near(family, port=8443), near(family, port=443)
    check(
        server,
        [*knocks(family, *steps), (ssh, "accept"), (admin, "accept")],
        [*knocks(family, *steps[:2]), (ssh, "drop"), (admin, "accept")],
        [*knocks(family, *steps[:2]), (web, "accept"), *knocks(family, *steps[2:]), (ssh, "accept")],
        [*knocks(family, steps[0]), (near(family, port=7001, flags="ACK"), "drop"), *knocks(family, steps[1]), (admin, "drop")],
    )


def test_row_3_5_a_neighbours_broadcasts_do_not_interrupt_its_knocking(server: Host) -> None:
    apply(server, services={"ssh": {"knock": KNOCKS}}, logging=SILENT)
    one, two, three = knocks("ipv4", *KNOCKS)
    noise = (near("ipv4", port=137, destination="192.0.2.255", **UDP), "drop")
    group = (near("ipv4", port=5353, destination="224.0.0.251", **UDP), "drop")
    check(server, [one, noise, two, group, three, (near("ipv4", port=22), "accept")])


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_5_a_knock_cannot_be_told_from_a_packet_to_a_closed_port(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"knock": KNOCKS}}, final="reject")
    result = server.probe(flows=[[flow for flow, _fate in knocks(family, *KNOCKS, "udp/1")] + [near(family, port=22)]])
    assert [fate(one) for one in result.data["flows"]] == ["reject+log"] * 4 + ["accept"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_7_knocking_logging_and_a_rate_together(server: Host, family: str) -> None:
    apply(server, services={"ssh": {"knock": KNOCKS, "log": True, "rate_limit": {"hits": 2}, "from": NETWORK}})
    ssh = near(family, port=22)
    sequence = [(flow, "drop+log") for flow, _fate in knocks(family, *KNOCKS)]
    check(server, (ssh, "drop+log"), [*sequence, (ssh, "accept+log"), (ssh, "accept+log"), (ssh, "drop+log")])
    prefixes = [line.split('--log-prefix "')[1].split('"')[0] for line in rules(server.save(family), chain="palisade-new-ssh") if "-j LOG" in line]
    assert prefixes == ["palisade ssh accept: ", "palisade ssh drop: "]


@pytest.fixture
def neighbour(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a neighbour on a cable, which has two addresses that a mistake could take for one."""
    there = new_host()
    cable(host, there)
    there.run("ip", "address", "add", f"{NEXT['ipv4']}/24", "dev", "wire0")
    there.run("ip", "address", "add", f"{NEXT['ipv6']}/64", "dev", "wire0", "nodad")
    return there


def speak_as(neighbour: Host, family: str, source: str) -> None:
    # The kernel's own route, which says no source, has the metric 0 over IPv4 and 256 over IPv6.
    network, metric = {"ipv4": ("192.0.2.0/24", "0"), "ipv6": ("2001:db8::/64", "1")}[family]
    neighbour.run("ip", f"-{family[-1]}", "route", "replace", network, "dev", "wire0", "metric", metric, "src", source)


# On a real host both families' rules are there at once, which a proof of one flow does not have: lists of addresses are the kernel's.
@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_5_who_has_not_knocked_does_not_get_in_by_a_neighbours_knocks(host: Host, neighbour: Host, family: str) -> None:
    apply(host, services={"ssh": {"knock": KNOCKS}})
    with listening(host, 22):
        speak_as(neighbour, family, NEAR[family])
        for port in (12345, 23456, 34567):
            ask(neighbour, family, OWN[family], port)
        speak_as(neighbour, family, NEXT[family])
        assert connect(neighbour, OWN[family], 22) == "silence"
        speak_as(neighbour, family, NEAR[family])
        assert connect(neighbour, OWN[family], 22) == "accepted"


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_6_each_address_has_its_own_count(host: Host, neighbour: Host, family: str) -> None:
    apply(host, services={"ssh": {"rate_limit": {"hits": 1}}})
    with listening(host, 22):
        for source in (NEAR[family], NEXT[family]):
            speak_as(neighbour, family, source)
            assert [connect(neighbour, OWN[family], 22) for _time in range(2)] == ["accepted", "silence"]


# 004: a server


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_3_no_tcp_service_takes_anything_but_a_syn(server: Host, family: str) -> None:
    apply(
        server,
        services={
            "ssh": {"rate_limit": {}},
            "https": {"log": True},
            "mysql": {"from": NETWORK},
            "web": {"ports": [80, 8080], "source_ports": "1024-65535"},
            "all": {"ports": "9000-9100"},
        },
    )
    for port in (22, 443, 3306, 80, 8080, 9050):
        for flags in ("ACK", "PSH,ACK", "FIN,ACK", "SYN,ACK"):
            result = server.probe(flows=[near(family, port=port, flags=flags)]).data["flows"][0]
            assert result["verdict"] == "drop", (port, flags, result)
    check(server, *((near(family, port=port), "accept+log" if port == 443 else "accept") for port in (22, 443, 3306, 80, 8080, 9050)))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_4_echo_request_time_exceeded_and_unreachable_only(server: Host, family: str) -> None:
    types = ["echo-request", "time-exceeded", "destination-unreachable"]
    apply(server, icmp={"types": types})
    refused = {"ipv4": ["timestamp-request", "redirect", "parameter-problem"], "ipv6": ["redirect", "router-solicitation"]}[family]
    for name in [*types, *refused]:
        result = server.probe(flows=[near(family, protocol=ICMP[family], icmp_type=name)]).data["flows"][0]
        assert result["verdict"] == ("accept" if name in types else "drop"), name


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_5_ftp_control_and_a_passive_range(server: Host, family: str) -> None:
    apply(server, services={"ftp": {}, "ftp_passive": {"ports": "62000-64000"}})
    fates = {21: "accept", 20: "drop+log", 61999: "drop+log", 62000: "accept", 64000: "accept", 64001: "drop+log"}
    check(server, *((far(family, port=port), fate) for port, fate in fates.items()))


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_6_only_ports_of_clients_may_ask(server: Host, family: str) -> None:
    clients = {"source_ports": "1024-65535"}
    apply(server, services={name: dict(clients) for name in ("ssh", "irc", "http", "smtp")})
    for port in (22, 6667, 80, 25):
        check(
            server,
            (far(family, port=port, source_port=500), "drop+log"),
            (far(family, port=port, source_port=1024), "accept"),
            (far(family, port=port, source_port=65535), "accept"),
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_7_named_services_of_several_ports_and_protocols(server: Host, family: str) -> None:
    apply(server, services={"web": {"ports": [80, 443, 8080]}, "mail": {"ports": [25, 110, 143]}, "dns": {}, "irc": {}})
    check(
        server,
        *((far(family, port=port), "accept") for port in (80, 443, 8080, 25, 110, 143, 53, 6667)),
        (far(family, port=53, **UDP), "accept"),
        *((far(family, port=port), "drop+log") for port in (81, 109, 8081)),
        *((far(family, port=port, **UDP), "drop+log") for port in (80, 25)),
    )


# The escape hatch


@pytest.mark.parametrize("family", FAMILIES)
def test_raw_rules_ahead_of_ours_and_behind_them(server: Host, family: str) -> None:
    bad = {"ipv4": "-s 192.0.2.66 -j DROP", "ipv6": "-s 2001:db8::66 -j DROP"}[family]
    apply(
        server,
        services={"ssh": {}},
        rules={
            "before": {"filter": {"INPUT": [bad]}, "mangle": {"PREROUTING": ["-p tcp --dport 81 -j DROP"]}},
            "after": {"filter": {"INPUT": ["-p tcp --dport 82 -j ACCEPT", "-p tcp --dport 22 -j DROP"]}},
        },
    )
    check(
        server,
        (near(family, port=22, source=bad.split()[1]), "drop"),
        (near(family, port=22), "accept"),
        (near(family, port=81), "drop"),
        (near(family, port=82), "accept"),
        (near(family, port=82, flags="ACK"), "accept"),
    )
