# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection tracking helpers: the rules that assign them, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_helpers import service_helper
from ansible_collections.palisade.netfilter.plugins.module_utils._services import HELPERS, SERVICE_HELPERS, WELL_KNOWN


def raw(helpers: Any, **other: Any) -> dict[str, list[str]]:
    tables = compile_policy("nat_router", {"helpers": helpers, **other}).tables
    comment = " -m comment --comment firewall_helpers"
    return {chain: [rule.replace(comment, "") for rule in data["rules"]] for chain, data in tables.get("raw", {}).items()}


@pytest.mark.parametrize(
    ("helpers", "rules"),
    [
        ([], []),
        ("ftp", ["-p tcp -m tcp --dport 21 -j CT --helper ftp"]),
        (
            ["irc", "ftp", "irc"],
            ["-p tcp -m tcp --dport 21 -j CT --helper ftp", "-4 -p tcp -m tcp --dport 6667 -j CT --helper irc"],
        ),
        ("sip", [f"-p {protocol} -m {protocol} --dport 5060 -j CT --helper sip" for protocol in ("tcp", "udp")]),
        ("h323", ["-p udp -m udp --dport 1719 -j CT --helper RAS", "-p tcp -m tcp --dport 1720 -j CT --helper Q.931"]),
    ],
)
def test_helpers_come_to(helpers: Any, rules: list[str]) -> None:
    assert raw(helpers) == ({"PREROUTING": rules, "OUTPUT": rules} if rules else {})


@pytest.mark.parametrize("state", ["present", "absent"])
def test_the_helper_of_what_a_service_takes_in(state: str) -> None:
    services = {"ftp": {"helper": True, "ports": [21, 2121], "state": state}, "files": {"ports": 2122, "helper": "ftp", "action": "drop"}}
    inside = {"home": {"interfaces": "eth1", "services": {"tftp": {"helper": True, "state": state}}}}
    found = raw([], services=services, lan=inside)
    ftp = '-p tcp -m multiport --dports 21,2121 -m comment --comment "firewall_services.ftp" -j CT --helper ftp'
    tftp = '-p udp -m udp --dport 69 -m comment --comment "firewall_lan.home.services.tftp" -j CT --helper tftp'
    assert found == ({"PREROUTING": [ftp, tftp]} if state == "present" else {})


def test_the_closed_fallback_has_none() -> None:
    assert "raw" not in compile_policy("server", {"helpers": ["ftp"]}).fallback


@pytest.mark.parametrize(
    ("helpers", "message"),
    [
        ("fpt", "firewall_helpers: 'fpt' is no helper (known: amanda, ftp, "),
        (["fpt"], "did you mean 'ftp'?"),
        ([21], "firewall_helpers: 21 is no helper"),
        ({"ftp": {}}, "firewall_helpers: a list is needed, not a dictionary"),
    ],
)
def test_what_is_refused(helpers: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as raised:
        compile_policy("server", {"helpers": helpers})
    assert message in str(raised.value)


def test_a_helper_of_a_family_that_is_left_out() -> None:
    with pytest.raises(PalisadeError, match="firewall_helpers: the helper irc knows IPv4 only, and firewall_families leaves that out"):
        compile_policy("server", {"helpers": ["irc"], "families": ["ipv6"]})


@pytest.mark.parametrize(
    ("given", "service", "protocols", "helper"),
    [
        (None, "ftp", ["tcp"], ""),
        (False, "ftp", ["tcp"], ""),
        (True, "ftp", ["tcp"], "ftp"),
        (True, "tftp", ["udp"], "tftp"),
        ("ftp", "files", ["tcp", "udp"], "ftp"),
    ],
)
def test_the_helper_of_a_service(given: object, service: str, protocols: list[str], helper: str) -> None:
    assert service_helper(given, "here", service, protocols, (4, 6)) == helper


@pytest.mark.parametrize(
    ("given", "service", "protocols", "message"),
    [
        (True, "files", ["tcp"], "here: no helper is known for 'files'; name one (amanda, ftp, "),
        ("fpt", "ftp", ["tcp"], "here: 'fpt' is no helper"),
        ("tftp", "files", ["tcp"], "here: the helper tftp reads udp, and the service has no such ports"),
        (1, "ftp", ["tcp"], "here: 1 is no helper"),
    ],
)
def test_the_helper_of_a_service_is_refused(given: object, service: str, protocols: list[str], message: str) -> None:
    with pytest.raises(PalisadeError) as raised:
        service_helper(given, "here", service, protocols, (4, 6))
    assert message in str(raised.value)


@pytest.mark.parametrize("service", sorted(SERVICE_HELPERS))
def test_what_helps_a_well_known_service_reads_one_of_its_ports(service: str) -> None:
    helped = {(item.protocol, item.port) for item in HELPERS[SERVICE_HELPERS[service]]}
    ports = {(protocol, port) for protocol, ranges in WELL_KNOWN[service].items() for port in ranges or ()}
    assert helped & ports
