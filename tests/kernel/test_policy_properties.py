# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of any valid policy: it loads, it is saved as it is written, a second run changes nothing and rehearses
nothing, and established traffic, loopback, management and neighbour discovery always get through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_text import tables_text
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .support.host import FAMILIES, Host
from .support.policies import MANAGER, ROUTER, ROUTER_ALWAYS, VARIABLES, Policy, policies
from .support.save_text import rules, sections

#: Valid policies of each profile.
PROFILES: dict[str, st.SearchStrategy[Policy]] = {
    "nat_router": policies("nat_router", {**VARIABLES, **ROUTER}, ROUTER_ALWAYS),
    "server": policies("server", VARIABLES),
    "workstation": policies("workstation", VARIABLES),
}

#: Examples for each backend. Loading takes some 0.1 s; two runs of the module and a proof take some 2 s.
LOADED, PROVED = 50, 8
ICMP = {"ipv4": "icmp", "ipv6": "ipv6-icmp"}
OWN = {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}
LOOP = {"ipv4": "127.0.0.1", "ipv6": "::1"}

CASES = st.sampled_from(sorted(PROFILES)).flatmap(lambda profile: st.tuples(st.just(profile), PROFILES[profile]))
same_host = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def families_of(policy: Policy) -> list[str]:
    return list(policy.get("families", FAMILIES))


def compiled_rules(text: str, family: str, table: str) -> list[str]:
    """Return a table's rules of a family as compiled, sorted by chain."""
    others = "-6 " if family == "ipv4" else "-4 "
    ours = [line for line in sections(text)[table] if line.startswith("-") and not line.startswith(others)]
    return by_chain([line[line.index("-A ") :] for line in ours])


def by_chain(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: line.split()[1])


@settings(same_host, max_examples=LOADED)
@given(CASES)
def test_any_policy_and_its_fallback_load_and_are_saved_as_they_are_written(host: Host, case: tuple[str, Policy]) -> None:
    profile, policy = case
    compiled = compile_policy(profile, policy)
    for tables in (compiled.tables, compiled.fallback):
        text = tables_text(tables)
        for family in families_of(policy):
            host.restore(text, family=family)
            saved = host.save(family)
            for table in tables:
                assert by_chain(rules(saved, table)) == compiled_rules(text, family, table)


def must_pass(policy: Policy) -> Iterator[dict[str, Any]]:
    """Generate the flows that no policy may drop."""
    for family in families_of(policy):
        come = {"hook": "input", "in_interface": "eth0", "source": MANAGER[family], "destination": OWN[family]}
        yield {**come, "port": 4444, "state": "established"}
        yield {**come, "port": 4444, "state": "established", "protocol": "udp"}
        yield {**come, "port": policy["management"]["port"]}
        yield {"hook": "input", "in_interface": "lo", "source": LOOP[family], "destination": LOOP[family], "port": 4444}
        yield {
            "hook": "output",
            "out_interface": "eth0",
            "source": OWN[family],
            "destination": MANAGER[family],
            "source_port": policy["management"]["port"],
            "port": 40000,
            "state": "established",
        }
    if "ipv6" in families_of(policy):
        for kind in ("neighbour-solicitation", "neighbour-advertisement"):
            for source in ("2001:db8::2", "fe80::2"):
                yield {
                    "hook": "input",
                    "in_interface": "eth0",
                    "source": source,
                    "destination": OWN["ipv6"],
                    "protocol": "ipv6-icmp",
                    "icmp_type": kind,
                }
            yield {
                "hook": "output",
                "out_interface": "eth0",
                "source": OWN["ipv6"],
                "destination": "2001:db8::2",
                "protocol": "ipv6-icmp",
                "icmp_type": kind,
            }


#: Everything that refuses, on the interface of the flows below, whose addresses are among those that are refused.
STRICT: Policy = {
    "antispoof": {"interfaces": ["eth0"]},
    "final": "reject",
    "icmp": {"types": []},
    "management": {"from": [*MANAGER.values()], "port": 22},
    "outbound": {"policy": "reject"},
    "services": {"bad": {"ports": "1-65535", "from": [*MANAGER.values(), "192.0.2.0/24"], "action": "drop"}},
}


@settings(same_host, max_examples=PROVED)
@example(case=("server", STRICT))
@given(CASES)
def test_any_policy_is_unchanged_the_second_time_and_cuts_off_nobody_who_must_not_be(host: Host, case: tuple[str, Policy]) -> None:
    profile, policy = case
    # One host takes them all, one after the other: what an earlier policy left would show.
    options = {"tables": compile_policy(profile, policy).tables, "families": families_of(policy)}
    host.apply(**options)
    again = host.apply(**options)
    assert (again.changed, again.data["rehearsal"]) == (False, "none"), again.plan
    result = host.probe(flows=list(must_pass(policy)))
    assert not result.failed, result.message
    dropped = [one["flow"] for one in result.data["flows"] if one["verdict"] != "accept"]
    assert dropped == []
