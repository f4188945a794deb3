# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong after the first table is live: everything is put back, counters included, and the error says what was seen."""
from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .support.faults import log, run_watched, run_with_fault, watch
from .support.host import Host
from .support.traffic import send

OLD = {
    "filter": {"INPUT": ["-p udp --dport 9 -j DROP", "-p tcp --dport 22 -j ACCEPT", "-j web"], "web": ["-j RETURN"]},
    "nat": {"POSTROUTING": ["-o eth0 -j MASQUERADE"]},
}
NEW = {
    "filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 80 -j ACCEPT"]}},
    "mangle": {"FORWARD": ["-j RETURN"]},
}


@pytest.fixture
def commands(new_host: Callable[[], Host]) -> list[str]:
    """The external commands that a run needs to make OLD to NEW."""
    host = new_host()
    host.apply(tables=OLD)
    watch(host)
    run_watched(host, tables=NEW)
    return [" ".join(words[1:]) for words in log(host)]


def number_of(commands: list[str], name: str, option: str) -> int:
    """Return the number of the first command of that name and option."""
    return next(n for n, command in enumerate(commands, 1) if re.match(f"{name}-\\S* .*{option}", command))


@pytest.fixture
def old_host(host: Host) -> Host:
    """A host on which OLD is live and has dropped packets."""
    host.apply(tables=OLD)
    send(host, 9, 5)
    watch(host)
    return host


def test_a_family_that_fails_takes_the_other_back(old_host: Host, commands: list[str]) -> None:
    before = old_host.effect()
    result = run_with_fault(old_host, "fail", number_of(commands, "ip6tables", "--noflush"), tables=NEW)
    assert result.failed, result.data
    assert "ipv6" in result.message
    assert "a test said no" in result.message
    assert "back as they were" in result.message
    assert old_host.effect() == before
    again = old_host.apply(tables=NEW)
    assert again.changed
    assert not again.warnings


def test_a_restore_that_dies_between_two_tables(old_host: Host, commands: list[str]) -> None:
    before = old_host.effect()
    result = run_with_fault(old_host, "half", number_of(commands, "iptables", "--noflush"), tables=NEW)
    assert result.failed, result.data
    assert "back as they were" in result.message
    assert old_host.effect() == before
    assert old_host.apply(tables=NEW).changed


def test_rules_that_are_not_what_was_sent_are_shown_and_put_back(old_host: Host, commands: list[str]) -> None:
    """Somebody changes a chain of ours while we do."""
    before = old_host.effect()
    meddle = f"iptables-{old_host.backend} -I palisade-INPUT 2 -s 192.0.2.99 -j ACCEPT"
    result = run_with_fault(old_host, "meddle", number_of(commands, "iptables", "--noflush"), meddle=meddle, tables=NEW)
    assert result.failed, result.data
    assert "192.0.2.99" in result.message
    assert "back as they were" in result.message
    assert old_host.effect() == before


def test_somebody_elses_rule_that_comes_in_between_is_kept(old_host: Host, commands: list[str]) -> None:
    """A ban in the very moment of our change is no error, and no reason to put anything back."""
    meddle = f"iptables-{old_host.backend} -I INPUT 1 -s 192.0.2.99 -j DROP"
    result = run_with_fault(old_host, "meddle", number_of(commands, "iptables", "-c"), meddle=meddle, tables=NEW)
    assert not result.failed, result.message
    assert "-A INPUT -s 192.0.2.99/32 -j DROP" in old_host.save()
    assert not old_host.apply(tables=NEW).changed


def test_a_ban_that_comes_while_all_is_put_back_is_kept(old_host: Host, commands: list[str]) -> None:
    meddle = f"iptables-{old_host.backend} -I INPUT 1 -s 192.0.2.99 -j DROP; iptables-{old_host.backend} -F palisade-INPUT"
    result = run_with_fault(old_host, "meddle", number_of(commands, "iptables", "--noflush"), meddle=meddle, tables=NEW)
    assert result.failed, result.data
    text = old_host.save()
    assert "-A INPUT -s 192.0.2.99/32 -j DROP" in text
    assert "-A palisade-INPUT -p udp -m udp --dport 9 -j DROP" in text
    assert "dport 80" not in text
