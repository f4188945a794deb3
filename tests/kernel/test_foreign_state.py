# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs' rules beside ours: neither their text, their order nor their counters change, and a ban is met first."""
from __future__ import annotations

from pathlib import Path

import pytest

from .support.host import FAMILIES, Host
from .support.save_text import (
    HOOKS,
    policy_of,
    rules,
    sections,
    without_empty_tables,
    without_policy_counters,
)
from .support.spellings import SETS, restore_text, spellings
from .support.traffic import connects, listen

DATA = Path(__file__).with_name("data")
BANS = """
number=0
while [ ! -e /run/enough ]; do
  number=$((number + 1))
  address=192.0.$((number / 250)).$((number % 250 + 1))
  {command} -I f2b-sshd 1 -s $address -j REJECT || exit
  {command} -I INPUT 1 -s $address -j DROP || exit
  echo $address
done
"""
RULESET = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -p tcp --dport 22 -j ACCEPT", "-j web"]},
        "FORWARD": ["-i eth7 -j ACCEPT"],
        "web": ["-p tcp -m multiport --dports 80,443 -j ACCEPT"],
    },
    "nat": {"PREROUTING": ["-p tcp --dport 8443 -j REDIRECT --to-ports 443"], "POSTROUTING": ["-o eth7 -j MASQUERADE"]},
    "mangle": {"PREROUTING": ["-i eth7 -j MARK --set-mark 7"]},
    "raw": {"PREROUTING": ["-p udp --dport 53 -j CT --notrack"]},
}
CHANGED = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -p tcp --dport ssh -j ACCEPT", "-p udp --dport 53 -j ACCEPT"]},
        "OUTPUT": {"policy": "ACCEPT", "rules": ["-p tcp --dport 25 -j REJECT"]},
    },
    "nat": {"POSTROUTING": ["-o eth8 -j MASQUERADE"]},
}


@pytest.fixture
def busy_host(host: Host) -> Host:
    """A host on which others have their rules already, with counters."""
    for family in FAMILIES:
        host.restore((DATA / f"busy_host.{family}.rules").read_text(encoding="utf-8"), "--counters", family=family)
    return host


def foreign(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return everything that is not ours, in its order and with its counters. Hooks' heads are compared by other tests."""
    live = {family: sections(host.save(family, counters=True)) for family in FAMILIES}
    heads = tuple(f":{hook} " for hook in HOOKS)
    return {
        family: {table: [x for x in lines if "palisade" not in x and not x.startswith(heads)] for table, lines in tables.items()}
        for family, tables in live.items()
    }


def everything(host: Host) -> dict[str, str]:
    """Return both families' text with all that iptables itself leaves alone when it changes a table."""
    live = host.snapshot()
    return live if host.backend == "nft" else {family: without_policy_counters(text) for family, text in live.items()}


def test_others_rules_and_counters_stay_through_apply_change_and_absent(busy_host: Host) -> None:
    before, untouched = foreign(busy_host), everything(busy_host)
    assert sum(len(lines) for tables in before.values() for lines in tables.values()) > 60
    for options in ({"tables": RULESET}, {"tables": CHANGED}, {"tables": RULESET, "rehearsal": "scratch"}):
        assert busy_host.apply(**options).changed
        assert foreign(busy_host) == before, options
        assert not busy_host.apply(**options).changed
    assert busy_host.apply(state="absent").changed
    assert everything(busy_host) == untouched


def test_rules_of_every_kind_stay_when_they_are_somebody_elses(host: Host) -> None:
    host.run("ipset", "restore", text=SETS)
    for family in FAMILIES:
        text = restore_text(spellings("any", family))
        host.restore(text + "*filter\n:odd,name - [0:0]\n-A odd,name -j RETURN\nCOMMIT\n", "--noflush", family=family)
    before, untouched = foreign(host), everything(host)
    for options in ({"tables": RULESET}, {"tables": CHANGED}, {"state": "absent"}):
        assert host.apply(**options).changed
        assert foreign(host) == before, options
    # A table in which nobody had a rule may stay, empty.
    assert {family: without_empty_tables(text) for family, text in everything(host).items()} == {
        family: without_empty_tables(text) for family, text in untouched.items()
    }


def test_our_jump_is_last_in_filter_and_first_in_nat(busy_host: Host) -> None:
    busy_host.apply(tables=RULESET)
    live = busy_host.save()
    assert rules(live, "filter", "INPUT")[0] == "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd"
    assert rules(live, "filter", "INPUT")[-1].endswith("-j palisade-INPUT")
    assert rules(live, "filter", "FORWARD")[-1].endswith("-j palisade-FORWARD")
    assert rules(live, "nat", "PREROUTING")[0].endswith("-j palisade-PREROUTING")
    assert rules(live, "nat", "PREROUTING")[1].endswith("-j DOCKER")


def test_a_jump_stays_where_it_is_when_others_insert_and_append(busy_host: Host) -> None:
    busy_host.apply(tables=RULESET)
    busy_host.iptables("-N", "f2b-late")
    busy_host.iptables("-I", "INPUT", "1", "-p", "tcp", "-j", "f2b-late")
    busy_host.iptables("-A", "INPUT", "-i", "virbr1", "-j", "ACCEPT")
    busy_host.iptables("-t", "nat", "-I", "PREROUTING", "1", "-i", "br-0123456789ab", "-j", "RETURN")
    before = busy_host.snapshot()
    assert not busy_host.apply(tables=RULESET).changed
    assert busy_host.snapshot() == before


def test_a_banned_source_meets_the_ban_before_our_accept(busy_host: Host) -> None:
    server = listen(busy_host, 22)
    try:
        assert not connects(busy_host, 22, source="127.0.0.9")
        busy_host.apply(tables={"filter": {"INPUT": ["-p tcp --dport 22 -j ACCEPT"]}})
        assert connects(busy_host, 22, source="127.0.0.1")
        assert not connects(busy_host, 22, source="127.0.0.9")
    finally:
        server.kill()
        server.communicate()


def test_absent_gives_back_an_empty_host(host: Host) -> None:
    """Tables that were not there may stay, empty and accepting: no packet can tell."""
    host.apply(tables=RULESET)
    host.apply(state="absent")
    assert [without_empty_tables(host.save(family)) for family in FAMILIES] == [{}, {}]
    assert not host.apply(state="absent").changed


def test_absent_on_a_host_that_never_had_us_changes_nothing(busy_host: Host) -> None:
    before = busy_host.snapshot()
    assert not busy_host.apply(state="absent").changed
    assert busy_host.snapshot() == before


def test_policies_come_back_when_a_hook_is_no_longer_ours(busy_host: Host) -> None:
    """FORWARD was DROP before us, by Docker: it is again, whatever we made of it."""
    strict = {"filter": {"INPUT": {"policy": "DROP", "rules": []}, "FORWARD": {"policy": "ACCEPT", "rules": []}}}
    busy_host.apply(tables=strict)
    live = busy_host.save()
    assert (policy_of(live, "INPUT"), policy_of(live, "FORWARD")) == ("DROP", "ACCEPT")
    busy_host.apply(tables={"filter": {"OUTPUT": ["-j ACCEPT"]}})
    live = busy_host.save()
    assert (policy_of(live, "INPUT"), policy_of(live, "FORWARD")) == ("ACCEPT", "DROP")


def test_a_policy_that_somebody_else_set_later_is_left_alone(host: Host) -> None:
    host.apply(tables={"filter": {"FORWARD": {"policy": "ACCEPT", "rules": []}, "INPUT": {"policy": "DROP", "rules": []}}})
    host.iptables("-P", "FORWARD", "DROP")
    host.apply(state="absent")
    live = host.save()
    assert (policy_of(live, "INPUT"), policy_of(live, "FORWARD")) == ("ACCEPT", "DROP")


def test_two_rulesets_live_side_by_side(host: Host) -> None:
    host.apply(name="alpha", tables={"filter": {"INPUT": ["-p tcp --dport 1 -j DROP"]}})
    first = [line for line in host.save().splitlines() if "alpha" in line]
    host.apply(name="beta", tables={"filter": {"INPUT": ["-p tcp --dport 2 -j DROP"]}})
    host.apply(name="beta", state="absent")
    live = host.save()
    assert [line for line in live.splitlines() if "alpha" in line] == first
    assert "beta" not in live


def test_bans_that_come_all_the_time_are_kept(host: Host) -> None:
    """fail2ban goes on inserting into INPUT and into its own chain while we change the rules beside it."""
    host.restore("*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n-A f2b-sshd -j RETURN\nCOMMIT\n")
    banner = host.start("sh", "-c", BANS.format(command=f"iptables-{host.backend} --wait"))
    try:
        for round_ in range(4):
            assert host.apply(tables=CHANGED if round_ % 2 else RULESET).changed
    finally:
        host.run("touch", "/run/enough")
        bans = [line for line in banner.communicate()[0].splitlines() if line]
    text = host.save()
    inserted = {rule.split()[3].removesuffix("/32") for rule in rules(text, "filter", "f2b-sshd") if " -s " in rule}
    jumps = [rule for rule in rules(text, "filter", "INPUT") if rule.endswith("-j DROP")]
    assert len(bans) >= 10
    assert inserted == set(bans)
    assert len(jumps) == len(bans)
    assert rules(text, "filter", "INPUT")[-1].endswith("-j palisade-INPUT")
    assert not host.apply(tables=CHANGED).changed
