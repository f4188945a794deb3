# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of whole tables: loaded at boot, never over the heads of programs that have come since, and cleared away where refused."""
from __future__ import annotations

from typing import Any

import pytest

from .support.host import FAMILIES, Host
from .support.persisted import CLOSED, boot, install, last_load, live, loader, persisted, put
from .support.save_text import chains, policies, rules

TABLES: dict[str, Any] = {
    "filter": {
        "INPUT": {"policy": "DROP", "rules": ["-i lo -j ACCEPT", "-j web"]},
        "FORWARD": {"policy": "DROP", "rules": []},
        "web": ["-p tcp -m tcp --dport 80 -j ACCEPT"],
    },
    "mangle": {"PREROUTING": ["-p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff"]},
}
SECTION = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:web - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -j web
-A web -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
*mangle
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
"""
FOREIGN = "*filter\n:DOCKER - [0:0]\n-A FORWARD -j DOCKER\n-A DOCKER -j RETURN\nCOMMIT\n*nat\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n"


def whole(host: Host, kind: str = "rules", section: str = SECTION) -> None:
    """Persist a set of whole tables."""
    put(host, kind, persisted(dict.fromkeys(FAMILIES, section), backend=host.backend, scope="tables", written=f"2026-11-21T10:4{len(kind)}:00Z"))


@pytest.fixture
def ready(host: Host) -> Host:
    install(host)
    whole(host)
    return host


def test_whole_tables_are_loaded_and_the_module_finds_nothing_to_change(ready: Host) -> None:
    ready.restore(FOREIGN)
    ready.iptables("-A", "INPUT", "-s", "192.0.2.1/32", "-j", "ACCEPT")
    boot(ready)
    for family in FAMILIES:
        text = ready.save(family)
        assert chains(text) == ["web"]
        assert policies(text) == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
        assert rules(text, chain="INPUT") == ["-A INPUT -i lo -j ACCEPT", "-A INPUT -j web"]
    assert chains(ready.save(), "nat") == ["DOCKER"], "a table that is not in the set is not touched"
    result = ready.apply(tables=TABLES, scope="tables")
    assert not result.changed, result.diff_text
    assert loader(ready, "status").returncode == 0


@pytest.mark.parametrize("how", ["boot", "reload"])
def test_later_loads_do_not_take_away_what_others_added(ready: Host, how: str) -> None:
    boot(ready)
    ready.restore(FOREIGN, "--noflush")
    before, noted = ready.snapshot(), last_load(ready)
    done = loader(ready, how)
    assert done.returncode == 1
    assert "would take away chains of others: ipv4 filter DOCKER" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (ready.snapshot(), last_load(ready)) == (before, noted)
    ready.run("sh", "-euc", "iptables -D FORWARD -j DOCKER; iptables -F DOCKER; iptables -X DOCKER; iptables -F INPUT")
    assert loader(ready, how).returncode == 0
    assert rules(ready.save(), chain="INPUT") == ["-A INPUT -i lo -j ACCEPT", "-A INPUT -j web"]


def test_loading_again_changes_nothing(ready: Host) -> None:
    boot(ready)
    before = live(ready)
    assert loader(ready, "reload").returncode == 0
    assert live(ready) == before


#: What comes after a set of whole tables that was refused half way.
NEXT = {
    "whole tables": ("*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n", "tables"),
    "the same table": ("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n", "tables"),
    "own chains": (CLOSED["ipv4"], "chains"),
    "nothing": ("", "chains"),
}


@pytest.mark.parametrize(("section", "scope"), NEXT.values(), ids=NEXT)
def test_a_refused_set_of_whole_tables_leaves_nothing_for_the_next(host: Host, section: str, scope: str) -> None:
    install(host)
    whole(host, "rules", SECTION + "*nat\n-A POSTROUTING -m nosuchmatch -j ACCEPT\nCOMMIT\n")
    put(host, "good", persisted(dict.fromkeys(FAMILIES, section), backend=host.backend, scope=scope))
    done = loader(host, "boot")
    assert (done.returncode, last_load(host)["from"]) == (1, "good"), done.stderr
    text = host.save()
    assert "web" not in text
    assert "MARK" not in text
    assert policies(text)["FORWARD"] == "ACCEPT"
    assert policies(text)["INPUT"] == ("DROP" if "*filter" in section else "ACCEPT")
    if scope == "chains" and section:
        assert rules(text, chain="INPUT") == ['-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT']


def test_a_refused_set_of_whole_tables_leads_to_the_built_in_one(host: Host) -> None:
    install(host)
    whole(host, "rules", SECTION + "*nat\n-A POSTROUTING -m nosuchmatch -j ACCEPT\nCOMMIT\n")
    assert loader(host, "boot").returncode == 1
    text = host.save()
    assert chains(text) == ["palisade-FORWARD", "palisade-INPUT"]
    assert len(rules(text, chain="INPUT")) == 1
    assert not rules(text, "mangle")


@pytest.mark.parametrize("others", ["*mangle\n-A PREROUTING -j ACCEPT\nCOMMIT\n", "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n"], ids=["mangle", "filter"])
def test_a_closed_host_opens_again_with_a_good_file(host: Host, others: str) -> None:
    """The built-in set has chains of its own, jumps and policies: all of that goes, also from tables that the set is not about."""
    install(host)
    assert loader(host, "boot").returncode == 1
    assert policies(host.save())["FORWARD"] == "DROP"
    whole(host, "rules", others)
    done = loader(host, "reload")
    assert done.returncode == 0, done.stderr
    for family in FAMILIES:
        assert "palisade" not in host.save(family)
        assert set(policies(host.save(family)).values()) == {"ACCEPT"}


def test_a_flush_empties_the_tables_and_opens_them(ready: Host) -> None:
    ready.iptables("-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
    boot(ready)
    done = loader(ready, "flush")
    assert done.returncode == 0
    assert "OPEN" in done.stderr
    assert (list(live(ready)["ipv4"]), live(ready)["ipv6"]) == (["nat"], {})
    assert rules(ready.save(), "nat") == ["-A POSTROUTING -o eth0 -j MASQUERADE"]
    assert loader(ready, "status").returncode == 1


def test_a_flush_leaves_a_family_alone_that_was_not_asked_for(host: Host) -> None:
    install(host)
    put(host, "rules", persisted({"ipv4": SECTION}, backend=host.backend, scope="tables", asked=["ipv4"]))
    host.iptables("-A", "INPUT", "-j", "ACCEPT", family="ipv6")
    boot(host)
    before = host.save("ipv6")
    assert loader(host, "flush").returncode == 0
    assert host.save("ipv6") == before
    assert live(host)["ipv4"] == {}
