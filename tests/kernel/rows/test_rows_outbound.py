# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the source documents that are about what a host sends, redirects and helpers: each by its number, on both backends."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from ..support.ftp import fetches, serving
from ..support.host import FAMILIES, Host
from ..support.save_text import policies, rules
from ..support.wire import NEIGHBOUR, OWN, answering, ask, cable, connect, connects, listening, pings

ICMP = {"ipv4": "icmp", "ipv6": "ipv6-icmp"}
#: Another host on the wire, which nobody is.
OTHER = {"ipv4": "192.0.2.9", "ipv6": "2001:db8::9"}


@pytest.fixture
def neighbour(new_host: Callable[[], Host], host: Host) -> Host:
    """Make a neighbour of `host` on its eth0."""
    there = new_host()
    cable(host, there)
    return there


def apply(host: Host, profile: str, **policy: Any) -> None:
    host.apply(tables=compile_policy(profile, policy).tables)


def verdicts(host: Host, *flows: dict[str, Any], **same: Any) -> list[str]:
    """Ask for the verdict on each flow, each alone on a fresh copy of the rules."""
    result = host.probe(flows=[{**same, **flow} for flow in flows])
    assert not result.failed, result.message
    return [one["verdict"] for one in result.data["flows"]]


def out(family: str, **flow: Any) -> dict[str, Any]:
    return {"hook": "output", "out_interface": "eth0", "source": OWN[family], "destination": NEIGHBOUR[family], **flow}


def come(family: str, **flow: Any) -> dict[str, Any]:
    return {"hook": "input", "in_interface": "eth0", "source": NEIGHBOUR[family], "destination": OWN[family], **flow}


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_1_policies_of_a_workstation(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "workstation")
    assert policies(host.save(family)) == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
    found = verdicts(host, come(family, port=22), come(family, port=40, protocol="udp"), out(family, port=25), out(family, port=53, protocol="udp"))
    assert found == ["drop", "drop", "accept", "accept"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_3_answers_come_in(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "workstation")
    with listening(neighbour, 80), answering(neighbour, 53):
        assert connect(host, NEIGHBOUR[family], 80) == "accepted"
        assert ask(host, family, NEIGHBOUR[family], 53) == "53"
    # What is no longer there is refused by the neighbour, and the error finds its way in as related.
    assert ask(host, family, NEIGHBOUR[family], 53) == "refused"
    same = come(family, port=5000, state="established")
    assert verdicts(host, same, {**same, "protocol": "udp"}, come(family, port=5000)) == ["accept", "accept", "drop"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_4_loopback(host: Host, family: str) -> None:
    apply(host, "workstation", outbound={"policy": "drop"})
    own = {"ipv4": "127.0.0.1", "ipv6": "::1"}[family]
    with listening(host, 5000):
        assert connect(host, own, 5000) == "accepted"
    assert verdicts(host, {"hook": "input", "in_interface": "lo", "source": own, "destination": own, "port": 5000}) == ["accept"]
    assert verdicts(host, {"hook": "output", "out_interface": "lo", "source": own, "destination": own, "port": 5000}) == ["accept"]


QUIET: dict[str, Any] = {
    "outbound": {
        "policy": "drop",
        "services": {
            "dns": {"to": [*NEIGHBOUR.values()]},
            "web": {"ports": [80, "8000-8010"], "uid": 65534},
            "mail": {"ports": 25, "interfaces": "eth1"},
            "ping": {},
        },
    }
}


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_11_a_machine_that_must_stay_quiet(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "server", **QUIET)
    udp = {"protocol": "udp"}
    found = verdicts(
        host,
        out(family, port=53, **udp),
        out(family, port=53),
        out(family, port=53, flags="ACK"),
        out(family, port=53, destination=OTHER[family], **udp),
        out(family, port=80, uid="65534"),
        out(family, port=8010, uid="65534"),
        out(family, port=80, uid="33"),
        out(family, port=25),
        out(family, port=443),
        out(family, protocol=ICMP[family]),
        out(family, protocol=ICMP[family], icmp_type="echo-reply"),
        out(family, port=22, state="established"),
    )
    assert found == [
        "accept", "accept", "drop", "drop", "accept", "accept", "drop", "drop", "drop", "accept", "drop", "accept",
    ]
    with listening(neighbour, 53, 80, 443), listening(host, 22):
        assert connects(host, NEIGHBOUR[family], 53, 80, 443) == {53: "accepted", 80: "silence", 443: "silence"}
        assert connect(host, NEIGHBOUR[family], 80, uid=65534) == "accepted"
        assert connect(neighbour, OWN[family], 22) == "accepted"
    assert pings(host, family, NEIGHBOUR[family])


def test_row_0_11_a_user_by_name_is_found_again_by_a_rehearsal(host: Host) -> None:
    tables = compile_policy("server", {"outbound": {"policy": "drop", "services": {"web": {"ports": 80, "uid": "root"}}}}).tables
    assert host.apply(tables=tables).changed
    again = host.apply(tables=tables)
    assert (again.changed, again.data["rehearsal"]) == (False, "namespace")
    assert "--uid-owner 0 " in host.save()


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_11_what_may_not_leave_can_be_told_so(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "server", outbound={"policy": "reject"}, final="reject")
    assert connect(host, NEIGHBOUR[family], 80) == "refused"
    assert ask(host, family, NEIGHBOUR[family], 53) in ("refused", "not let out")
    assert not pings(host, family, NEIGHBOUR[family])
    # Refusals of the host to others are let out all the same.
    assert connect(neighbour, OWN[family], 80) == "refused"
    assert ask(neighbour, family, OWN[family], 53) == "refused"


def test_row_0_12_what_the_document_asks_the_kernel_for(host: Host) -> None:
    apply(
        host,
        "workstation",
        services={"web": {"ports": [80, 443], "from": ["192.0.2.10-192.0.2.20"]}},
        redirects={"tomcat": {"port": 81, "to_port": 8080}},
        helpers=["ftp"],
    )
    saved = host.save()
    filtered, redirected, helped = ("\n".join(rules(saved, table)) for table in ("filter", "nat", "raw"))
    for words in ("-m conntrack --ctstate", "-m multiport --dports 80,443", "-m limit --limit", "-m iprange --src-range 192.0.2.10-192.0.2.20"):
        assert words in filtered
    assert redirected.count("-j REDIRECT --to-ports 8080") == 2
    assert helped.count("-p tcp -m tcp --dport 21 -m comment --comment firewall_helpers -j CT --helper ftp") == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_13_an_unprivileged_server_answers_on_the_low_port(host: Host, neighbour: Host, family: str) -> None:
    apply(
        host,
        "workstation",
        redirects={
            "tomcat": {"port": 80, "to_port": 8080},
            "dns": {"port": 53, "to_port": 5353, "protocols": ["udp"], "from": [*OTHER.values()]},
            "ours": {"port": 53, "to_port": 5354, "protocols": ["udp"], "from": [*NEIGHBOUR.values()]},
            "elsewhere": {"port": 90, "to_port": 9090, "interfaces": "eth1"},
        },
    )
    with listening(host, 8080, 9090), answering(host, 5353, 5354):
        assert connects(neighbour, OWN[family], 80, 8080, 90) == {80: "accepted", 8080: "silence", 90: "silence"}
        assert ask(neighbour, family, OWN[family], 53) == "5354"
        assert ask(neighbour, family, OWN[family], 5354) == "silence"
        for own in (OWN[family], {"ipv4": "127.0.0.1", "ipv6": "::1"}[family]):
            assert connect(host, own, 80) == "accepted"
    address = f"{OWN[family]}:8080" if family == "ipv4" else f"[{OWN[family]}]:8080"
    first = host.probe(**come(family, port=80), verdict="accept", rewritten_destination=address)
    assert not first.failed, first.message
    assert verdicts(host, come(family, port=80, flags="ACK"), come(family, port=8080)) == ["drop", "drop"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_13_what_goes_through_a_router_is_not_its_own(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "workstation", redirects={"web": {"port": 80, "to_port": 8080}})
    far = {"ipv4": "203.0.113.7", "ipv6": "2001:db8:113::7"}[family]
    through: dict[str, Any] = {"in_interface": "eth0", "source": NEIGHBOUR[family], "destination": far}
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    found = host.probe(hook="forward", out_interface="wan0", port=80, **through)
    assert not found.failed, found.message
    assert "rewritten_destination" not in found.data
    assert found.data["verdict"] == "drop"


@pytest.mark.parametrize("family", FAMILIES)
def test_row_2_12_services_of_the_router_itself(host: Host, neighbour: Host, family: str) -> None:
    services: dict[str, Any] = {"http": {}, "dns": {"protocols": "udp"}, "ping": {}}
    apply(host, "nat_router", outbound={"policy": "drop", "services": services})
    icmp = {"protocol": ICMP[family]}
    found = verdicts(
        host,
        out(family, port=80),
        out(family, port=53, protocol="udp"),
        out(family, port=53),
        out(family, port=443),
        out(family, **icmp),
        out(family, icmp_type="time-exceeded", **icmp),
        out(family, icmp_type="timestamp-request" if family == "ipv4" else "redirect", **icmp),
    )
    assert found == ["accept", "accept", "drop", "drop", "accept", "accept", "drop"]
    if family == "ipv6":
        assert verdicts(host, out(family, icmp_type="router-advertisement", **icmp)) == ["accept"]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_3_outgoing_dns_http_and_answers_of_ssh(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "server", outbound={"policy": "drop", "services": {"dns": {}, "http": {}}})
    with listening(neighbour, 53, 80, 25), answering(neighbour, 53), listening(host, 22):
        assert connects(host, NEIGHBOUR[family], 53, 80, 25) == {53: "accepted", 80: "accepted", 25: "silence"}
        assert ask(host, family, NEIGHBOUR[family], 53) == "53"
        assert connect(neighbour, OWN[family], 22) == "accepted"


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_3_fetching_a_file_by_ftp(host: Host, neighbour: Host, family: str, passive: bool) -> None:
    outbound: dict[str, Any] = {"policy": "drop", "services": {"ftp": {}}}
    with serving(neighbour):
        assert fetches(host, NEIGHBOUR[family], passive=passive)
        apply(host, "workstation", outbound=outbound)
        assert not fetches(host, NEIGHBOUR[family], passive=passive)
        apply(host, "workstation", outbound=outbound, helpers=["ftp"])
        assert fetches(host, NEIGHBOUR[family], passive=passive)
    with listening(neighbour, 62000):
        assert connect(host, NEIGHBOUR[family], 62000) == "silence"


@pytest.mark.parametrize("family", FAMILIES)
def test_row_0_12_ftp_in_active_mode_needs_the_helper_where_everything_may_leave(host: Host, neighbour: Host, family: str) -> None:
    with serving(neighbour):
        apply(host, "workstation")
        assert fetches(host, NEIGHBOUR[family], passive=True)
        assert not fetches(host, NEIGHBOUR[family], passive=False)
        apply(host, "workstation", helpers=["ftp"])
        assert fetches(host, NEIGHBOUR[family], passive=False)


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_5_serving_files_by_ftp_with_the_helper(host: Host, neighbour: Host, family: str, passive: bool) -> None:
    quiet = {"policy": "drop"}
    with serving(host):
        apply(host, "server", services={"ftp": {}}, outbound=quiet)
        assert not fetches(neighbour, OWN[family], passive=passive)
        apply(host, "server", services={"ftp": {}}, outbound=quiet, helpers=["ftp"])
        assert fetches(neighbour, OWN[family], passive=passive)
        assert connect(neighbour, OWN[family], 62000) == "silence"


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_5_serving_files_by_ftp_with_a_passive_range(host: Host, neighbour: Host, family: str, passive: bool) -> None:
    apply(host, "server", services={"ftp": {}, "ftp_passive": {"ports": "62000-64000"}})
    with serving(host):
        assert fetches(neighbour, OWN[family], passive=passive)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_8_outgoing_look_ups(host: Host, neighbour: Host, family: str) -> None:
    apply(host, "server", outbound={"policy": "drop", "services": {"dns": {}}})
    with listening(neighbour, 53), answering(neighbour, 53, 54):
        assert connect(host, NEIGHBOUR[family], 53) == "accepted"
        assert ask(host, family, NEIGHBOUR[family], 53) == "53"
        assert ask(host, family, NEIGHBOUR[family], 54) in ("silence", "not let out")


def test_row_3_3_a_helper_that_the_kernel_does_not_have(host: Host) -> None:
    message = host.refuse(tables={"raw": {"PREROUTING": {"rules": ["-4 -p tcp -m tcp --dport 21 -j CT --helper no-such"]}}})
    assert "chain PREROUTING, rule 1: -p tcp -m tcp --dport 21 -j CT --helper no-such: " in message
    assert "Does the kernel have the connection tracking helper no-such for ipv4?" in message
    assert "modprobe nf_conntrack_no_such" in message


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_4_5_the_helper_of_a_service_on_another_port(host: Host, neighbour: Host, family: str, passive: bool) -> None:
    ftp: dict[str, Any] = {"ports": 2121, "from": [*NEIGHBOUR.values()]}
    quiet = {"policy": "drop"}
    with serving(host, port=2121):
        apply(host, "server", services={"ftp": ftp}, outbound=quiet)
        assert not fetches(neighbour, OWN[family], passive=passive, port=2121)
        apply(host, "server", services={"ftp": {**ftp, "helper": True}}, outbound=quiet)
        assert fetches(neighbour, OWN[family], passive=passive, port=2121)


def test_row_0_13_on_the_closed_fallback_the_operator_comes_in_by_his_port_alone(host: Host, neighbour: Host) -> None:
    redirects = {"ssh": {"port": 2222, "to_port": 22}, "web": {"port": 80, "to_port": 8080}}
    compiled = compile_policy("workstation", {"redirects": redirects, "management": {"port": 2222}})
    host.apply(tables=compiled.fallback)
    with listening(host, 22, 8080):
        for family in FAMILIES:
            found = connects(neighbour, OWN[family], 2222, 22, 80, 8080)
            assert found == {2222: "accepted", 22: "silence", 80: "silence", 8080: "silence"}


#: The router's address in its LAN, and a host there.
INSIDE = {"ipv4": "10.0.0.1", "ipv6": "fd00::1"}
CLIENT = {"ipv4": "10.0.0.2", "ipv6": "fd00::2"}


@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_3_3_fetching_a_file_by_ftp_through_a_router(
    host: Host, neighbour: Host, new_host: Callable[[], Host], family: str, passive: bool
) -> None:
    """The neighbour on eth0 is the server out there; IPv4 is masqueraded, so that the helper has to rewrite what is said, too."""
    client = new_host()
    cable(host, client, "eth1", INSIDE, CLIENT)
    for member, gateway in ((client, INSIDE), (neighbour, OWN)):
        member.run("ip", f"-{family[-1]}", "route", "add", "default", "via", gateway[family])
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.run("sysctl", "-qw", f"{key}=1")
    links: dict[str, Any] = {
        "lan": {"home": {"interfaces": "eth1", "networks": ["10.0.0.0/24", "fd00::/64"]}},
        "wan": {"internet": {"interfaces": "eth0"}},
    }
    with serving(neighbour):
        apply(host, "nat_router", **links)
        assert fetches(client, NEIGHBOUR[family], passive=passive) is passive
        apply(host, "nat_router", **links, helpers=["ftp"])
        assert fetches(client, NEIGHBOUR[family], passive=passive)
