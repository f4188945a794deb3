# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that lead to other ports: the rules that it comes to, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

LOCAL = "-m addrtype --dst-type LOCAL"
SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"


def rules(entry: Any, table: str, chain: str) -> list[str]:
    """The rules of one redirect, without its comment."""
    comment = ' -m comment --comment "firewall_redirects.web"'
    found = compile_policy("workstation", {"redirects": {"web": entry}}).tables.get(table, {}).get(chain, {"rules": []})
    return [rule.replace(comment, "") for rule in found["rules"] if comment in rule]


@pytest.mark.parametrize(
    ("entry", "coming", "own", "accepted"),
    [
        (
            {"port": 80, "to_port": 8080},
            [f"-p tcp -m tcp --dport 80 {LOCAL} -j REDIRECT --to-ports 8080"],
            ["-o lo -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"],
            [f"-p tcp -m tcp --dport 8080 {SYN} -m conntrack --ctstate DNAT --ctorigdstport 80 -j ACCEPT"],
        ),
        (
            {"port": "5000-5009", "to_port": 5000, "protocols": ["udp"], "interfaces": ["eth0"]},
            [f"-i eth0 -p udp -m udp --dport 5000:5009 {LOCAL} -j REDIRECT --to-ports 5000"],
            [],
            ["-p udp -m udp --dport 5000 -m conntrack --ctstate DNAT --ctorigdstport 5000:5009 -j ACCEPT"],
        ),
        (
            {"port": 53, "to_port": 54, "protocols": "udp", "from": ["10.0.0.0/8", "::/0"], "interfaces": "eth0,lo"},
            [
                f"-4 -s 10.0.0.0/8 -i eth0 -p udp -m udp --dport 53 {LOCAL} -j REDIRECT --to-ports 54",
                f"-6 -i eth0 -p udp -m udp --dport 53 {LOCAL} -j REDIRECT --to-ports 54",
            ],
            [
                "-4 -s 10.0.0.0/8 -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 54",
                "-6 -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 54",
            ],
            ["-p udp -m udp --dport 54 -m conntrack --ctstate DNAT --ctorigdstport 53 -j ACCEPT"],
        ),
        ({"port": 80, "to_port": 8080, "state": "absent"}, [], [], []),
        ({"state": "absent"}, [], [], []),
    ],
)
def test_a_redirect_comes_to(entry: Any, coming: list[str], own: list[str], accepted: list[str]) -> None:
    assert rules(entry, "nat", "PREROUTING") == coming
    assert rules(entry, "nat", "OUTPUT") == own
    assert rules(entry, "filter", "INPUT") == accepted


def test_without_redirects_there_is_no_nat() -> None:
    assert "nat" not in compile_policy("workstation", {}).tables


@pytest.mark.parametrize(("port", "kept"), [(22, True), (23, False)])
def test_the_closed_fallback_keeps_what_leads_to_management(port: int, kept: bool) -> None:
    policy = {"redirects": {"ssh": {"port": port, "to_port": 2222}}, "management": {"port": 22}}
    fallback = compile_policy("workstation", policy).fallback
    assert ("nat" in fallback) is kept
    assert any("--dport 2222 " in rule for rule in fallback["filter"]["INPUT"]["rules"]) is kept


def web(**entry: Any) -> dict[str, Any]:
    return {"web": {"port": 80, "to_port": 8080, **entry}}


@pytest.mark.parametrize(
    ("redirects", "message"),
    [
        ({"web": {"port": 80}}, "firewall_redirects.web: a redirect needs `to_port`"),
        ({"web": {"to_port": 80}}, "firewall_redirects.web: a redirect needs `port`"),
        ({"web": None}, "firewall_redirects.web: a redirect needs `port`"),
        (web(to_prot=1), "firewall_redirects.web.to_prot: unknown key; did you mean 'to_port'?"),
        (web(port=70000), "firewall_redirects.web.port: 70000 is no port (1 to 65535)"),
        (web(port="90:80"), "firewall_redirects.web.port: the range '90:80' runs backwards"),
        (web(port=[80, 81]), "firewall_redirects.web.port: a port is a number or a range, not a list"),
        (web(to_port="8080-8090"), "firewall_redirects.web.to_port: one port is needed, not a range"),
        (web(to_port=80), "firewall_redirects.web.to_port: port 80 leads to itself"),
        (web(protocols="icmp"), "firewall_redirects.web.protocols: 'icmp' is none of tcp, udp, sctp"),
        (web(protocols=[]), "firewall_redirects.web.protocols: the list is empty"),
        (web(**{"from": []}), "firewall_redirects.web.from: the list is empty; leave it out to mean everybody"),
        (web(interfaces="eth 0"), "firewall_redirects.web.interfaces: 'eth 0' is no interface name"),
        (
            {**web(), "www": {"port": "70-90", "to_port": 8081}},
            "firewall_redirects.www: port 70:90 is redirected by firewall_redirects.web already",
        ),
        (
            {**web(interfaces="eth0"), "www": {"port": 80, "to_port": 8081, "interfaces": ["eth0", "eth1"]}},
            "firewall_redirects.www: port 80 is redirected by firewall_redirects.web already",
        ),
    ],
)
def test_what_is_refused(redirects: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as raised:
        compile_policy("server", {"redirects": redirects})
    assert message in str(raised.value)


def test_redirects_of_other_interfaces_sources_or_protocols_live_together() -> None:
    others = [{"interfaces": "eth1"}, {"interfaces": "eth2", "from": "10.0.0.1"}, {"interfaces": "eth2", "from": "10.0.0.2"}, {"protocols": "udp"}]
    entries = {f"web{number}": {"port": 80, "to_port": 8080, **entry} for number, entry in enumerate(others)}
    assert len(compile_policy("server", {"redirects": entries}).tables["nat"]["PREROUTING"]["rules"]) == 4


def test_a_refusal_that_would_refuse_nothing() -> None:
    bad = {"ports": 80, "from": "192.0.2.66", "action": "drop"}
    with pytest.raises(PalisadeError) as raised:
        compile_policy("server", {"redirects": web(), "services": {"bad": bad}})
    assert str(raised.value) == (
        "firewall_services.bad: has no effect on port 80, which firewall_redirects.web leads to port 8080 before any rule "
        "sees it; refuse port 8080 as well"
    )
    compiled = compile_policy("server", {"redirects": web(), "services": {"bad": {**bad, "ports": [80, 8080]}}})
    inputs = compiled.tables["filter"]["INPUT"]["rules"]
    places = {word: next(place for place, rule in enumerate(inputs) if word in rule) for word in (".bad", "redirects.web")}
    assert places[".bad"] < places["redirects.web"]
