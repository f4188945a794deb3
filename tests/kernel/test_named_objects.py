# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that name things outside of the tables: sets, accounting objects, timeout policies, timers. They are found, and left alone."""
from __future__ import annotations

import time

import pytest

from .support.host import Host
from .support.save_text import rules

# iptables 1.8.9 saves no more than four characters of a timeout policy's name.
TABLES = {
    "filter": {
        "INPUT": ["-m set --match-set bad src -j DROP", "-m nfacct --nfacct-name web -p tcp --dport 80 -j ACCEPT"],
    },
    "raw": {"PREROUTING": ["-p tcp --dport 80 -j CT --timeout slow", "-p udp --dport 53 -j CT --timeout udp9"]},
}
SET_UP = """
ipset create bad hash:net
ipset add bad 192.0.2.0/24
nfacct add web
nfct timeout add slow inet tcp established 100
nfct timeout add udp9 inet udp unreplied 9
"""
TIMERS = "/sys/class/xt_idletimer/timers"


@pytest.fixture
def equipped_host(host: Host) -> Host:
    """A host that has the objects which the rules name."""
    host.run("sh", "-euc", SET_UP)
    return host


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_rules_that_name_objects_are_applied_and_stay(equipped_host: Host, scope: str) -> None:
    members = equipped_host.run("ipset", "save").stdout
    options = {"tables": TABLES, "families": ["ipv4"], "scope": scope}
    assert equipped_host.apply(**options).data["rehearsal"] == "namespace"
    text = equipped_host.save()
    assert len(rules(text)) == (2 if scope == "tables" else 3)
    assert text.count("--timeout") == 2
    assert not equipped_host.apply(**options).changed
    assert equipped_host.run("ipset", "save").stdout == members


@pytest.mark.parametrize("kind", ["set", "nfacct", "timeout"])
def test_an_object_that_is_not_there_is_an_error_that_names_the_rule(host: Host, kind: str) -> None:
    rule = {
        "set": "-m set --match-set missing src -j DROP",
        "nfacct": "-m nfacct --nfacct-name missing -j DROP",
        "timeout": "-p tcp -j CT --timeout missing",
    }[kind]
    message = host.refuse(tables={"raw": {"PREROUTING": ["-j RETURN -p udp", rule]}}, families=["ipv4"])
    assert rule in message
    assert "rule 2" in message


@pytest.mark.parametrize("rehearsal", ["namespace", "scratch"])
def test_a_timeout_policy_whose_name_save_cuts_is_never_mistaken_for_another(equipped_host: Host, rehearsal: str) -> None:
    """iptables 1.8.9 saves `slow-udp` as `slow`, which is another policy here: applying what was saved would switch them."""
    equipped_host.run("nfct", "timeout", "add", "slow-udp", "inet", "udp", "unreplied", "9")
    equipped_host.restore("*raw\nCOMMIT\n")
    rules = ["-p udp -j CT --timeout slow-udp", "-p tcp -j NOTRACK"]
    message = equipped_host.refuse(tables={"raw": {"PREROUTING": rules}}, families=["ipv4"], rehearsal=rehearsal)
    assert "cut short" in message
    assert "--timeout slow" in message


def test_a_timer_that_runs_is_not_started_anew_by_a_rehearsal(host: Host) -> None:
    """IDLETIMER's labels are the kernel's, not a namespace's: loading such a rule anywhere starts the live timer again."""
    label = f"palisade-{host.backend}"
    rule = f"-p tcp --dport 1 -j IDLETIMER --timeout 1000 --label {label}"
    host.apply(tables={"filter": {"INPUT": [rule]}}, families=["ipv4"])

    def remaining() -> int:
        host.run("sh", "-c", f"mountpoint -q {TIMERS} || mount -t sysfs sys /sys 2> /dev/null || true")
        return int(host.run("cat", f"{TIMERS}/{label}").stdout)

    time.sleep(2.5)
    started = remaining()
    assert started < 1000
    assert host.module(check_mode=True, tables={"filter": {"INPUT": ["-j LOG", rule]}}, families=["ipv4"]).changed
    assert remaining() <= started
    assert not host.apply(tables={"filter": {"INPUT": [rule]}}, families=["ipv4"]).changed
    assert remaining() <= started
