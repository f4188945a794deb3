# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three profiles on one host: moved from one to another nothing is left over, and what is there a person can read."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from .support.host import FAMILIES, Host
from .support.save_text import policy_of, sections, without_counters, without_empty_tables

PROFILES = ("server", "workstation", "nat_router")
#: One host's variables, which say something for every profile.
VARIABLES: dict[str, Any] = {
    "services": {"https": {"from": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]}, "ident": {"action": "reject"}},
    "management": {"from": ["192.0.2.10", "2001:db8::10"]},
    "logging": {"prefix": "fw {chain}: "},
    "redirects": {"web": {"port": 80, "to_port": 8080}},
    "helpers": ["ftp"],
    "outbound": {"policy": "reject", "services": {"dns": {}, "https": {}}},
    "lan": {
        "home": {"interfaces": "lan0", "networks": ["192.168.0.0/24"], "services": {"dns": {"from": ["192.168.0.2", "192.168.0.3"]}}},
        "guest": {"interfaces": "guest0"},
    },
    "wan": {"dsl": {"interfaces": "ppp0"}},
    "masquerade": {"ipv6": True},
    "snat": {"dsl": {"to": "203.0.113.5"}},
    "forwards": {"web": {"port": 8443, "to": "192.168.0.2", "to_port": 443}, "six": {"port": 443, "to": "2001:db8:1::2"}},
    "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01"}}},
}
#: What a person would set who has one machine of each kind.
ORDINARY: dict[str, dict[str, Any]] = {
    "workstation": {"services": {"ssh": {"from": ["192.168.0.0/24", "fd00::/64"]}, "mdns": {"interfaces": "eth0"}}},
    "server": {"services": {"ssh": {}, "https": {}, "smtp": {}, "mysql": {"from": ["10.0.0.5", "10.0.1.0/24", "fd00::5"]}}},
    "nat_router": {
        "lan": {
            "home": {"interfaces": "lan0", "networks": ["192.168.0.0/24"], "services": {"dns": {}, "dhcp_server": {}, "ntp": {}}},
            "guest": {"interfaces": "guest0", "networks": ["192.168.9.0/24"], "services": {"dns": {}, "dhcp_server": {}}},
        },
        "wan": {"dsl": {"interfaces": "ppp0"}},
        "forwards": {"web": {"port": [80, 443], "to": "192.168.0.2"}, "web6": {"port": [80, 443], "to": "::2/::ffff:ffff:ffff:ffff"}},
        "mac_acl": {"home": {"pc": {"mac": "02:00:5e:00:53:01"}, "nas": {"mac": "02:00:5e:00:53:02", "address": "192.168.0.2"}}},
    },
}
#: Lines of a terminal that somebody administers from.
SCREEN = 50


def tables(profile: str, variables: dict[str, Any]) -> dict[str, Any]:
    return compile_policy(profile, variables).tables


def state(host: Host) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return what a packet can meet: family → table → chain (with its policy) → rules. Chains are in no order."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for family in FAMILIES:
        for table, lines in without_empty_tables(without_counters(host.save(family))).items():
            chains = {line.split()[0][1:]: [line] for line in lines if line.startswith(":")}
            for line in lines:
                if line.startswith("-A"):
                    chains[line.split()[1]].append(line)
            found.setdefault(family, {})[table] = chains
    return found


def test_a_host_that_is_moved_between_profiles_has_no_leftovers(new_host: Callable[[], Host]) -> None:
    fresh = {}
    for profile in PROFILES:
        alone = new_host()
        alone.apply(tables=tables(profile, VARIABLES))
        fresh[profile] = state(alone)
    assert fresh["server"] != fresh["nat_router"]
    moved = new_host()
    for profile in (*PROFILES, "workstation", "server", "nat_router", "server"):
        assert moved.apply(tables=tables(profile, VARIABLES)).changed or profile == "workstation"
        assert state(moved) == fresh[profile], profile
        assert not moved.apply(tables=tables(profile, VARIABLES)).changed
    moved.apply(state="absent")
    assert state(moved) == state(new_host())


def test_a_router_on_the_closed_fallback_keeps_nothing_of_its_nat(host: Host) -> None:
    host.apply(tables=tables("nat_router", VARIABLES))
    assert "nat" in without_empty_tables(host.save())
    host.apply(tables=compile_policy("nat_router", VARIABLES).fallback)
    for family in FAMILIES:
        assert list(without_empty_tables(host.save(family))) == ["filter"]
        assert policy_of(host.save(family), "FORWARD") == "DROP"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_profile_lists_fits_on_two_screens(host: Host, profile: str, family: str) -> None:
    host.apply(tables=tables(profile, ORDINARY[profile]))
    listed = host.iptables("-L", "-v", "-n", family=family)
    assert len(listed.splitlines()) <= 2 * SCREEN, listed
    chains = [line.split()[1] for line in listed.splitlines() if line.startswith("Chain ")]
    assert chains[:3] == ["INPUT", "FORWARD", "OUTPUT"]
    ours = [chain for chain in chains[3:] if chain.startswith("palisade-")]
    hooks = [chain for chain in ours if chain.rpartition("-")[2].isupper()]
    assert ours[: len(hooks)] == hooks, "the built-in chains' rules come first"
    # Every rule says which variable it is from, or what it is for; what a chain lists is explained where it is jumped to.
    for line in sections(host.save(family))["filter"]:
        if line.startswith(("-A palisade-INPUT", "-A palisade-FORWARD")):
            assert "--comment" in line


# Docker on a router

DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 443 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
"""
LINKS = {"lan0": "192.168.0.1/24", "wan0": "203.0.113.1/24", "docker0": "172.17.0.1/16"}
ROUTER: dict[str, Any] = {
    "lan": {"home": {"interfaces": "lan0", "networks": ["192.168.0.0/24"]}},
    "wan": {"dsl": {"interfaces": "wan0"}},
    "forwards": {"web": {"port": 8443, "to": "192.168.0.2", "to_port": 443}},
}


@pytest.fixture
def router(host: Host) -> Host:
    """Make a router with a LAN, a WAN and containers."""
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for name, address in LINKS.items():
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
        host.run("ip", "link", "set", f"{name}-end", "up")
        host.run("ip", "link", "set", name, "up")
        host.run("ip", "address", "add", address, "dev", name)
    host.run("ip", "route", "add", "default", "via", "203.0.113.77")
    host.restore(DOCKER)
    return host


def asked(host: Host, *flows: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    result = host.probe(flows=[{"hook": "forward", **flow} for flow in flows])
    assert not result.failed, result.message
    return [(flow["verdict"], flow.get("rewritten_source"), flow.get("rewritten_destination")) for flow in result.data["flows"]]


def test_docker_on_a_router(router: Host) -> None:
    """Docker decides about its containers ahead of us, we about the rest; where both forward a port, ours is the one."""
    before = [line for line in sections(router.save())["filter"] if "DOCKER" in line]
    router.apply(tables=tables("nat_router", ROUTER))
    far = {"source": "192.168.0.50", "source_port": 40000, "destination": "9.9.9.9", "port": 443}
    come = {"in_interface": "wan0", "source": "203.0.113.77", "destination": "203.0.113.1"}
    found = asked(
        router,
        {"in_interface": "lan0", "out_interface": "wan0", **far},
        {**come, "out_interface": "docker0", "port": 8080},
        {**come, "out_interface": "lan0", "port": 8443},
        {"in_interface": "docker0", "out_interface": "wan0", **far, "source": "172.17.0.2"},
        {"in_interface": "lan0", "out_interface": "docker0", "source": "192.168.0.50", "destination": "172.17.0.2", "port": 22},
        {"in_interface": "docker0", "out_interface": "lan0", "source": "172.17.0.2", "source_port": 40000, "destination": "192.168.0.50", "port": 22},
        {"in_interface": "wan0", "out_interface": "lan0", "source": "203.0.113.77", "destination": "192.168.0.50", "port": 22},
    )
    assert found == [
        ("accept", "203.0.113.1:40000", None),
        ("accept", None, "172.17.0.2:80"),
        ("accept", None, "192.168.0.2:443"),
        ("accept", "203.0.113.1:40000", None),
        ("drop", None, None),
        # Docker lets its containers go wherever they like. That is Docker's affair, and its chain DOCKER-USER is the place to forbid it.
        ("accept", "192.168.0.1:40000", None),
        ("drop", None, None),
    ]
    saved = sections(router.save())
    assert [line for line in saved["filter"] if "DOCKER" in line] == before
    jumps = {table: [line for line in saved[table] if line.startswith(("-A FORWARD", "-A PREROUTING"))] for table in ("filter", "nat")}
    assert "palisade-FORWARD" in jumps["filter"][-1]
    assert "palisade-PREROUTING" in jumps["nat"][0]
    # Docker starts anew and puts its own jumps in front again: no drift of ours.
    router.iptables("-D", "FORWARD", "-j", "DOCKER-USER")
    router.iptables("-I", "FORWARD", "-j", "DOCKER-USER")
    assert not router.apply(tables=tables("nat_router", ROUTER)).changed
