# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter behind the playbook status: one line a host, whatever `palisade-firewall status` has said there."""
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.filter.firewall_report import STATUS, FilterModule, firewall_report

GOOD = """ruleset palisade
  persisted  since 2026-11-21T10:40:35Z, nft, scope chains: ipv4 6 rules, ipv6 5 rules
  live       ipv4: same as persisted
  live       ipv6: same as persisted
  last load  2026-11-21T11:14:08Z by boot, from rules (written 2026-11-21T10:40:35Z): good
  last good  the same as persisted
unit palisade-firewall.service: enabled, active
"""
START = "persisted since 2026-11-21T10:40:35Z; "
LOAD = "last load 2026-11-21T11:14:08Z by boot from rules: good; "
TAKE_BACK = 'To take it back now: sh /run/palisade/palisade.commit/commit undo "$(cat x)"'
LINES = {
    "all is well": (0, GOOD, f"good; {START}live as persisted; {LOAD}unit enabled, active"),
    "without systemd": (0, GOOD.partition("unit")[0], f"good; {START}live as persisted; {LOAD}no systemd"),
    "a unit that is not enabled": (
        0, GOOD.replace("enabled, ", "disabled, "), f"NOT GOOD; {START}live as persisted; {LOAD}unit disabled, active"),
    "one family differs": (
        1, GOOD.replace("ipv6: same as persisted", "ipv6: differs from persisted\n             live only:      filter: chain palisade-x"),
        f"NOT GOOD; {START}ipv6 differs from persisted; {LOAD}unit enabled, active"),
    "another backend": (
        1, GOOD.replace("ipv4: same as persisted\n  live       ipv6: same as persisted", "not loaded: it is for the nft backend"),
        f"NOT GOOD; {START}not loaded: it is for the nft backend; {LOAD}unit enabled, active"),
    "a change that waits": (
        1, GOOD.replace("  last good", f"  change     a change waits for its confirmation; if none comes, it goes in 41 s. {TAKE_BACK}\n  last good"),
        f"NOT GOOD; {START}live as persisted; {LOAD}change: a change waits for its confirmation; if none comes, it goes in 41 s; "
        "unit enabled, active"),
    "kernel settings": (
        0, GOOD.replace("unit", "kernel settings\n  change     was not confirmed and was taken back, 2026-11-21T11:00:00Z\nunit"),
        f"good; {START}live as persisted; {LOAD}kernel settings; change: was not confirmed and was taken back, 2026-11-21T11:00:00Z; "
        "unit enabled, active"),
    "a damaged file": (
        1, "ruleset palisade\n  persisted  not usable: /etc/palisade/palisade.rules: it is empty\n  last load  none since this machine started\n",
        "NOT GOOD; persisted rules not usable: /etc/palisade/palisade.rules: it is empty; last load none since this machine started; no systemd"),
    "nothing": (3, "nothing is persisted in /etc/palisade\n", "NOT GOOD; nothing is persisted; no systemd"),
    "closed without iptables": (
        1, "nothing is persisted in /etc/palisade\nipv4 is CLOSED through nft, table ip palisade-closed, since a boot found no iptables; what\n",
        "NOT GOOD; nothing is persisted; ipv4 is CLOSED through nft; no systemd"),
    "no root": (4, "palisade-firewall: status needs root\n", "NOT GOOD; palisade-firewall: status needs root"),
}


@pytest.mark.parametrize(("status", "text", "line"), LINES.values(), ids=LINES)
def test_a_line_for_a_host(status: int, text: str, line: str) -> None:
    assert firewall_report(["web1"], {"web1": {STATUS: {"rc": status, "stdout": text}}}) == [f"web1: {line}"]


@pytest.mark.parametrize("said", [{}, {STATUS: {"unreachable": True}}, {STATUS: {"failed": True}}])
def test_a_host_that_was_not_asked(said: dict[str, Any]) -> None:
    assert firewall_report(["gone", "web1"], {"gone": said, "web1": {STATUS: {"rc": 3, "stdout": ""}}}) == [
        "gone: NOT GOOD; it could not be asked", "web1: NOT GOOD; no systemd"]


def test_several_rulesets() -> None:
    text = GOOD.replace("ruleset palisade", "ruleset lab").partition("unit")[0] + GOOD
    (line,) = firewall_report(["web1"], {"web1": {STATUS: {"rc": 0, "stdout": text}}})
    assert line == f"web1: good; ruleset lab; {START}live as persisted; {LOAD}{START}live as persisted; {LOAD}unit enabled, active"


def test_it_is_found_by_its_name() -> None:
    assert FilterModule().filters() == {"firewall_report": firewall_report}
