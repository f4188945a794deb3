# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the source documents that are no variable of a profile but what the modules and the loader do: each by its number.

They show each row once, on the rules of a profile. The depth is in the tests of those parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from ..support.host import FAMILIES, Host, finish
from ..support.persisted import ETC, boot, install, live, loader
from ..support.save_text import chains, policies, rules, without_empty_tables
from ..support.traffic import send_from
from ..test_over_ssh import ADDRESSES, RULES, play, ssh_client

DATA = Path(__file__).parents[1] / "data"
WEB: dict[str, Any] = {"services": {"https": {}}}


def compiled(profile: str = "server") -> dict[str, Any]:
    return compile_policy(profile, WEB).tables


def persist(host: Host) -> None:
    """Apply a server's rules and keep them, with their fallback, as the role does, and install the loader."""
    install(host)
    policy = compile_policy("server", WEB)
    host.apply(tables=policy.tables, fallback=policy.fallback, persist=True)


def lose(host: Host) -> None:
    """Take away what a power cut takes away."""
    empty = "".join(f"*{table}\n{heads}COMMIT\n" for table, heads in (
        ("filter", ":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n"), ("nat", ":PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n")))
    for family in FAMILIES:
        host.restore(empty, family=family)
    host.run("rm", "-rf", "/run/palisade")


@pytest.mark.parametrize("family", FAMILIES)
def test_row_1_1_rules_are_listed_with_counters_and_numbers(host: Host, family: str) -> None:
    host.apply(tables=compiled())
    send_from(host, family, {{"ipv4": "127.0.0.1", "ipv6": "::1"}[family]: 3})
    listed = finish(host.start_module({"families": [family]}, name="iptables_ruleset_info")).data["rules"]
    ours = [rule for rule in listed if rule["chain"] == "palisade-INPUT"]
    assert [rule["number"] for rule in ours] == list(range(1, len(rules(host.save(family), chain="palisade-INPUT")) + 1))
    assert (ours[0]["rule"], ours[0]["owner"]) == ("-i lo -m comment --comment loopback -j ACCEPT", "palisade")
    assert ours[0]["packets"] > 0 < ours[0]["bytes"]


def test_row_1_2_rules_of_other_programs_stay_in_their_place(host: Host) -> None:
    for family in FAMILIES:
        host.restore((DATA / f"busy_host.{family}.rules").read_text(encoding="utf-8"), "--counters", family=family)
    before = {family: host.save(family, counters=True) for family in FAMILIES}
    host.apply(tables=compiled(), foreign="keep")
    for family in FAMILIES:
        others = [line for line in host.save(family, counters=True).splitlines() if line.startswith("[") and "palisade" not in line]
        assert others == [line for line in before[family].splitlines() if line.startswith("[")]
        assert others


def test_row_1_9_and_2_17_the_rules_are_back_after_a_boot(host: Host) -> None:
    persist(host)
    wanted = live(host)
    lose(host)
    assert not any(live(host).values())
    boot(host)
    assert live(host) == wanted
    assert host.run("stat", "-c", "%a %u", f"{ETC}/palisade.rules").stdout.split() == ["600", "0"]
    assert host.run("stat", "-c", "%a", ETC).stdout.strip() == "700"


def test_row_1_10_the_same_policy_filters_ipv6(host: Host) -> None:
    host.apply(tables=compiled())
    strangers = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:51::7"}
    flows = [{"in_interface": "eth0", "source": source, "port": port} for source in strangers.values() for port in (443, 8080)]
    flows.append({"in_interface": "eth0", "source": "fe80::7", "icmp_type": "neighbour-solicitation"})
    result = host.probe(flows=flows)
    assert not result.failed, result.message
    assert [flow["verdict"] for flow in result.data["flows"]] == ["accept", "drop", "accept", "drop", "accept"]


def test_row_2_3_and_4_1_a_known_state_whatever_was_there(host: Host) -> None:
    leftovers = (
        "*filter\n:INPUT ACCEPT [7:420]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:old - [0:0]\n"
        "[7:420] -A INPUT -p tcp --dport 23 -j old\n-A old -j ACCEPT\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80\nCOMMIT\n"
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-mark 1\nCOMMIT\n")
    for family in FAMILIES:
        host.restore(leftovers, "--counters", family=family)
    emptied: dict[str, Any] = {"nat": {"PREROUTING": []}, "mangle": {"PREROUTING": []}}
    host.apply(tables={**compiled(), **emptied}, scope="tables")
    for family in FAMILIES:
        text = host.save(family)
        assert "old" not in chains(text)
        assert policies(text) == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
        assert set(without_empty_tables(text)) == {"filter"}
        assert rules(text, chain="INPUT")[0] == "-A INPUT -i lo -m comment --comment loopback -j ACCEPT"


@pytest.mark.parametrize("family", ADDRESSES)
def test_row_3_2_the_session_that_sets_it_up_lives_on(host: Host, tmp_path: Path, family: str) -> None:
    ruleset: dict[str, object] = {"palisade.netfilter.iptables_ruleset": {"tables": RULES, "backend": host.backend}}
    with ssh_client(host, tmp_path) as inside:
        done = play(inside, tmp_path, family, [ruleset, {"ansible.builtin.ping": {}}])
    assert done.returncode == 0, done.stdout + done.stderr
    assert policies(host.save(family))["INPUT"] == "DROP"


@pytest.mark.parametrize("spoil", ["chmod 644", "chown 1:1"])
def test_row_3_8_a_file_that_others_may_read_or_own_is_not_loaded(host: Host, spoil: str) -> None:
    persist(host)
    wanted = live(host)
    lose(host)
    host.run("sh", "-euc", f"for kind in rules good closed; do {spoil} {ETC}/palisade.$kind; done")
    done = loader(host, "boot")
    assert done.returncode == 1
    assert f"{ETC}/palisade.rules" in done.stderr
    assert live(host) != wanted
    assert policies(host.save())["INPUT"] == "DROP"
    assert "https" not in host.save()


def test_row_3_9_start_stop_and_status(host: Host) -> None:
    persist(host)
    wanted = live(host)
    lose(host)
    boot(host)
    status = loader(host, "status")
    assert (status.returncode, status.stdout.count("same as persisted")) == (0, 3), status.stdout
    flushed = loader(host, "flush")
    assert flushed.returncode == 0, flushed.stderr
    assert not any(live(host).values())
    assert loader(host, "status").returncode != 0
    boot(host)
    assert live(host) == wanted
