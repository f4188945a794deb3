# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knocking and rate limits of services: what they come to, and what is refused in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

M4, M6 = "--mask 255.255.255.255 --rsource", "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource"
SYN = "--tcp-flags FIN,SYN,RST,ACK SYN"


def chain(name: str, service: Any, **other: Any) -> list[str]:
    """Return a chain's rules without comments."""
    tables = compile_policy("server", {"families": "ipv4", "services": {"ssh": service}, "logging": {"enabled": False}, **other}).tables
    return [re.sub(r' -m comment --comment "[^"]*"', "", rule) for rule in tables["filter"][name]["rules"]]


def test_a_sequence_is_read_from_its_end() -> None:
    assert chain("knock-ssh", {"knock": ["udp/1001", "tcp/1002", "udp/1003"], "knock_seconds": 10}) == [
        f"-4 -p udp -m udp --dport 1003 -m recent --rcheck --seconds 10 --name palisade-ssh-knock2 {M4} "
        f"-m recent --remove --name palisade-ssh-knock2 {M4} -m recent --set --name palisade-ssh-open {M4} -j RETURN",
        f"-4 -p tcp -m tcp --dport 1002 {SYN} -m recent --rcheck --seconds 10 --name palisade-ssh-knock1 {M4} "
        f"-m recent --remove --name palisade-ssh-knock1 {M4} -m recent --set --name palisade-ssh-knock2 {M4} -j RETURN",
        f"-4 -m recent --remove --name palisade-ssh-knock2 {M4}",
        f"-4 -m recent --remove --name palisade-ssh-knock1 {M4}",
        f"-4 -p udp -m udp --dport 1001 -m recent --set --name palisade-ssh-knock1 {M4} -j RETURN",
    ]


def test_a_service_behind_knocks_is_open_to_who_is_in_the_last_list() -> None:
    assert chain("new-ssh", {"knock": ["udp/1001", "udp/1002"]}) == [
        f"-4 -m recent ! --rcheck --seconds 30 --name palisade-ssh-open {M4} -j RETURN",
        "-j ACCEPT",
    ]


def test_each_family_has_lists_of_its_own() -> None:
    """The kernel tells lists apart by name alone: one for both would compare IPv6 addresses under the mask of IPv4."""
    service = {"knock": ["udp/1001", "udp/1002", "udp/1003"], "rate_limit": {}}
    tables = compile_policy("server", {"services": {"ssh": service}}).tables
    texts = [rule for chain in tables["filter"].values() for rule in chain["rules"] if "-m recent" in rule]
    names = [{name for rule in texts if rule.startswith(family) for name in re.findall(r"--name (\S+)", rule)} for family in ("-4 ", "-6 ")]
    assert names[0] == {f"palisade-ssh-{kind}" for kind in ("knock1", "knock2", "open", "rate")}
    assert names[1] == {f"{name}-6" for name in names[0]}
    assert all(rule.startswith(("-4 ", "-6 ")) for rule in texts)


def test_knocks_are_followed_behind_every_service() -> None:
    services = {"ssh": {"knock": ["udp/1001", "udp/1002"]}, "zzz": {"ports": 80}, "refused": {"ports": 81, "action": "reject"}}
    rules = compile_policy("server", {"services": services, "quiet": {"noise": {"ports": {"udp": 1001}}}}).tables["filter"]["INPUT"]["rules"]
    named = [rule.split('"')[1] for rule in rules if "services" in rule or "quiet" in rule]
    assert named[-2:] == ["firewall_services.ssh.knock", "firewall_quiet.noise"]


def test_the_refused_attempt_is_counted_once_though_it_is_logged() -> None:
    logged = chain("new-ssh", {"rate_limit": {"hits": 4, "seconds": 60}}, logging={"rate": "1/minute", "burst": 5})
    over = f"--seconds 60 --hitcount 4 --name palisade-ssh-rate {M4}"
    assert logged == [
        f'-4 -m recent --rcheck {over} -m limit --limit 1/min -j LOG --log-prefix "palisade ssh drop: " --log-level 6',
        f"-4 -m recent --update {over} -j DROP",
        f"-4 -m recent --set --name palisade-ssh-rate {M4} -j ACCEPT",
    ]
    assert chain("new-ssh", {"rate_limit": {}}) == logged[1:]


def test_who_is_exempt_comes_first() -> None:
    assert chain("new-ssh", {"rate_limit": {"exempt": ["10.0.0.0/8", "10.0.0.1-10.0.0.2"]}})[:2] == [
        "-4 -s 10.0.0.0/8 -j ACCEPT",
        "-4 -m iprange --src-range 10.0.0.1-10.0.0.2 -j ACCEPT",
    ]


def test_sources_of_one_family_need_the_lists_of_one_family() -> None:
    tables = compile_policy("server", {"services": {"ssh": {"from": "2001:db8::/32", "rate_limit": {"exempt": "10.0.0.1"}}}}).tables
    rules = tables["filter"]["new-ssh"]["rules"]
    assert [rule[:2] for rule in rules] == ["-6"] * 3
    assert f"--name palisade-ssh-rate-6 {M6} " in rules[-1]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"log": True}, ["LOG", "ACCEPT"]),
        ({"log": True, "action": "drop"}, ["LOG", "DROP"]),
        ({"log": True, "action": "reject"}, ["LOG", "REJECT"]),
        ({"log": True, "action": "reject", "ports": {"tcp": 1, "udp": 1}}, ["LOG", "REJECT", "REJECT"]),
        ({"log": True, "knock": ["udp/1", "udp/2"]}, ["RETURN", "LOG", "ACCEPT"]),
        ({"log": True, "rate_limit": {}}, ["LOG", "LOG", "DROP", "ACCEPT"]),
    ],
)
def test_the_order_in_a_services_own_chain(service: dict[str, Any], expected: list[str]) -> None:
    assert [rule.split("-j ")[1].split()[0] for rule in chain("new-ssh", service, logging={})] == expected


def test_without_anything_to_log_a_service_needs_no_chain() -> None:
    assert "new-ssh" not in compile_policy("server", {"services": {"ssh": {"log": True}}, "logging": {"enabled": False}}).tables["filter"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"knock": ["udp/1"]}, ".knock: one knock is no sequence"),
    ({"knock": []}, ".knock: one knock is no sequence"),
    ({"knock": "udp/1"}, ".knock: one knock is no sequence"),
    ({"knock": ["udp/1", 2]}, ".knock: 2 is no knock; write it like 'udp/12345'"),
    ({"knock": ["udp/1", "sctp/2"]}, ".knock: 'sctp/2' is no knock"),
    ({"knock": ["udp/1", "2/udp"]}, ".knock: '2/udp' is no knock"),
    ({"knock": ["udp/1", "udp/1-2"]}, ".knock: 'udp/1-2' is no knock"),
    ({"knock": ["udp/1", "udp/70000"]}, ".knock: 70000 is no port (1 to 65535)"),
    ({"knock": ["udp/1", "udp/0"]}, ".knock: 0 is no port"),
    ({"knock": [f"udp/{port}" for port in range(1, 40)]}, ".knock: 39 knocks are too many"),
    ({"knock_seconds": 10}, ".knock_seconds: there is no `knock`"),
    ({"knock": ["udp/1", "udp/2"], "knock_seconds": 0}, ".knock_seconds: 0 is not between 1 and 86400"),
    ({"knock": ["udp/1", "udp/2"], "action": "reject"}, ".knock: it is for a service that is accepted"),
    ({"knock": ["udp/1", "udp/53"]}, ".knock: udp/53 is a port of firewall_services.dns, which takes the packet"),
    ({"rate_limit": 4}, ".rate_limit: a dictionary is needed, not a number"),
    ({"rate_limit": {"hits": 0}}, ".rate_limit.hits: 0 is not between 1 and 255"),
    ({"rate_limit": {"hits": 256}}, ".rate_limit.hits: 256 is not between"),
    ({"rate_limit": {"hit": 4}}, ".rate_limit.hit: unknown key; did you mean 'hits'?"),
    ({"rate_limit": {"seconds": "1m"}}, ".rate_limit.seconds: a whole number is needed, not '1m'"),
    ({"rate_limit": {"exempt": ["me"]}}, ".rate_limit.exempt: 'me' is no address"),
    ({"rate_limit": {}, "action": "drop"}, ".rate_limit: it is for a service that is accepted"),
    ({"log": "perhaps"}, ".log: true or false is needed, not 'perhaps'"),
    ({"knok": []}, ".knok: unknown key; did you mean 'knock'?"),
]


@pytest.mark.parametrize(("service", "message"), BAD)
def test_what_is_wrong_is_named(service: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^firewall_services.ssh" + re.escape(message)):
        compile_policy("server", {"services": {"ssh": service, "dns": {}}})


def test_a_knock_may_be_a_port_that_some_others_are_kept_from() -> None:
    services = {"ssh": {"knock": ["udp/1", "udp/2"]}, "bad": {"ports": {"udp": "1-9"}, "from": "10.6.6.6", "action": "drop"}}
    assert "knock-ssh" in compile_policy("server", {"services": services}).tables["filter"]
