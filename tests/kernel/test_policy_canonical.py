# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler writes what iptables-save writes: on a host that has its rules, text and text are equal, and nothing is
rehearsed. Every golden file and a few hundred policies more, on both backends, for both families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import CompiledPolicy, compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_outbound import ICMP_SERVICES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_rules import limit_match
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_text import tables_text
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import rate
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables
from ansible_collections.palisade.netfilter.plugins.module_utils._services import HELPERS, WELL_KNOWN

from .support.host import FAMILIES, Host
from .support.save_text import rules, sections

GOLDEN = Path(__file__).resolve().parents[1] / "unit" / "golden"

NAMES = sorted(path.stem for path in GOLDEN.glob("*.yml"))

NUMBERS = range(1, 400)
UNITS = ("second", "minute", "hour", "day")

POLICIES: dict[str, dict[str, Any]] = {
    "every well-known service": {"services": {name: {} for name in WELL_KNOWN}},
    "every well-known service from two networks": {
        "services": {name: {"from": ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "fd00::/8"]} for name in WELL_KNOWN}
    },
    "every well-known service refused": {"services": {name: {"action": "reject"} for name in WELL_KNOWN}},
    "every log level": {"logging": {"level": 7, "prefix": "", "rate": "1/day", "burst": 1}},
    "odd addresses": {
        "services": {
            name: {"ports": 1, "from": source}
            for name, source in {
                "zero": "0.0.0.0/0",
                "zero6": "::/0",
                "mask": "10.0.0.0/255.0.0.0",
                "loop": "::1",
                "dotted": "::1.2.3.4",
                "gaps": "2001:db8:0:0:1:0:0:1",
                "one_zero": "2001:db8:0:1:1:1:1:1",
                "range6": "2001:db8::1-2001:db8::ffff",
            }.items()
        }
    },
    "every helper": {"helpers": list(HELPERS)},
    "every well-known service let out": {
        "outbound": {"policy": "reject", "services": {name: {} for name in (*WELL_KNOWN, *ICMP_SERVICES)}}
    },
    "odd destinations": {
        "outbound": {
            "policy": "drop",
            "services": {
                "one": {"ports": 1, "to": "192.0.2.1"},
                "each": {"ports": 1, "to": ["192.0.2.1", "2001:db8::1"]},
                "range": {"ports": [1, 2], "to": ["192.0.2.1-192.0.2.9", "2001:db8::1-2001:db8::9"]},
                "everywhere": {"ports": 1, "to": ["0.0.0.0/0", "::/0"], "uid": "1000-1999"},
                "ping": {"to": ["192.0.2.1", "192.0.2.2", "2001:db8::1"], "interfaces": ["eth0", "wlan+"]},
                "errors": {"icmp_types": ["time-exceeded", "timestamp-request"]},
                "every_type": {"icmp_types": "all", "to": "10.0.0.0/8"},
                "lan": {"protocols": "all", "interfaces": "lan0", "uid": 0},
                "tunnel": {"protocols": ["esp", "ah"], "to": "192.0.2.1"},
                "from_one_port": {"ports": {"udp": [123], "sctp": [5000, 5001]}, "source_ports": [123, "1024-65535"]},
            },
        },
        "management": {"from": ["192.0.2.1", "192.0.2.2", "2001:db8::1"], "port": 2222},
    },
    "redirects": {
        "redirects": {
            "all": {"port": "1-65535", "to_port": 1, "protocols": ["tcp", "udp", "sctp"], "interfaces": ["eth0"]},
            "some": {"port": 53, "to_port": 5353, "from": ["10.0.0.1-10.0.0.9", "::/0"], "interfaces": ["lo", "wlan+"]},
        }
    },
    "ports at the ends": {
        "services": {
            "low": {"ports": 1},
            "all": {"ports": "1-65535", "protocols": ["tcp", "udp", "sctp"]},
            "both": {"ports": {"tcp": ["1-65535"]}, "source_ports": ["1-100", 200]},
        }
    },
}


def compiled(policy: dict[str, Any]) -> CompiledPolicy:
    return compile_policy("server", policy)


def golden(name: str) -> CompiledPolicy:
    read = read_variables(yaml.safe_load((GOLDEN / f"{name}.yml").read_text(encoding="utf-8")))
    return compile_policy(read.profile or "server", read.policy)


def compiled_rules(text: str, family: str, table: str) -> list[str]:
    """Return a table's rules of a family, chain by chain, as compiled."""
    others = "-6 " if family == "ipv4" else "-4 "
    ours = [line for line in sections(text)[table] if line.startswith("-") and not line.startswith(others)]
    return by_chain([line[line.index("-A ") :] for line in ours])


def by_chain(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: line.split()[1])


def check(host: Host, family: str, declared: dict[str, Any]) -> None:
    text = tables_text(declared)
    host.restore(text, family=family)
    saved = host.save(family)
    for table in declared:
        assert by_chain(rules(saved, table)) == compiled_rules(text, family, table)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_golden_rules_are_saved_as_they_are_written(host: Host, family: str, name: str) -> None:
    check(host, family, golden(name).tables)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_the_closed_fallback_is_saved_as_it_is_written(host: Host, family: str, name: str) -> None:
    check(host, family, golden(name).fallback)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", POLICIES)
def test_rules_are_saved_as_they_are_written(host: Host, family: str, name: str) -> None:
    check(host, family, compiled(POLICIES[name]).tables)


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_are_saved_as_they_are_written(host: Host, family: str) -> None:
    rates = [rate(f"{number}/{unit}", 1, "rate", "burst") for unit in UNITS for number in NUMBERS]
    written = [f"-A INPUT {limit_match(item)}" for item in rates]
    host.restore("*filter\n" + "\n".join(written) + "\nCOMMIT\n", family=family)
    assert rules(host.save(family)) == written


@pytest.mark.parametrize("name", NAMES)
def test_an_unchanged_host_needs_no_rehearsal(host: Host, name: str) -> None:
    declared = golden(name).tables
    assert host.apply(tables=declared).changed
    again = host.apply(tables=declared)
    assert not again.changed, again.plan
    assert again.data["rehearsal"] == "none"


def test_gre_loads_without_etc_protocols(host: Host) -> None:
    host.run("mount", "--bind", "/dev/null", "/etc/protocols")
    check(host, "ipv4", compiled({"services": {"tunnel": {"protocols": ["gre", "esp", "ah"]}}}).tables)
