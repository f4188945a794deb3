# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loader tells a person, how it is called, and how our rules are taken out again."""
from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from .support.confirming import FOLDER, start, state, tell
from .support.host import FAMILIES, SHIMS, Host
from .support.persisted import ETC, LOADER, PREVIOUS, RUN, SECTIONS, TABLES, boot, install, last_load, live, loader, persisted, put
from .support.save_text import policies, rules


@pytest.fixture
def ready(host: Host) -> Host:
    """A host with a set that is loaded and was proved good."""
    install(host)
    for kind in ("rules", "good"):
        put(host, kind, persisted(SECTIONS, backend=host.backend))
    boot(host)
    return host


def status(host: Host, expected: int, *arguments: str) -> str:
    """Return what status prints, and insist that it changes nothing and ends as expected."""
    before = host.snapshot()
    done = loader(host, "status", *arguments)
    assert done.returncode == expected, done.stdout
    assert host.snapshot() == before
    return done.stdout


def lines(text: str, name: str) -> list[str]:
    return [line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"  {name}")]


def test_all_is_well(ready: Host) -> None:
    text = status(ready, 0)
    assert text.startswith("ruleset palisade\n")
    assert lines(text, "persisted") == [f"since 2026-11-21T10:40:35Z, {ready.backend}, scope chains: ipv4 6 rules, ipv6 5 rules"]
    assert lines(text, "live") == ["ipv4: same as persisted", "ipv6: same as persisted"]
    (last,) = lines(text, "last load")
    assert last.endswith("by boot, from rules (written 2026-11-21T10:40:35Z): good")
    assert lines(text, "last good") == ["good  the same as persisted"]


def test_nothing_is_persisted(host: Host) -> None:
    install(host)
    assert status(host, 3) == f"nothing is persisted in {ETC}\n"
    host.run("rmdir", ETC)
    assert status(host, 3) == f"nothing is persisted in {ETC}\n"


def test_another_ruleset_is_not_persisted(ready: Host) -> None:
    assert "nothing is persisted" in status(ready, 3, "lab")
    assert "ruleset palisade" in status(ready, 0, "palisade")


#: What somebody did to the live rules, and the lines that status shows.
DIFFERENT = {
    "a rule is gone": ("iptables -D palisade-INPUT 1", ["persisted only: filter: -A palisade-INPUT -i lo -j ACCEPT"]),
    "a rule is new": ("iptables -A palisade-web -j RETURN", ["live only:      filter: -A palisade-web -j RETURN"]),
    "rules changed places": (
        "iptables -D palisade-INPUT 1; iptables -A palisade-INPUT -i lo -j ACCEPT",
        ["other order:    filter: chain palisade-INPUT"],
    ),
    "a policy is open": ("iptables -P INPUT ACCEPT", ["policy:         filter: INPUT is ACCEPT, not DROP"]),
    "a jump is gone": ("iptables -t nat -F PREROUTING", ["jump:           nat: PREROUTING has 0 to palisade-PREROUTING"]),
    "a jump is there twice": ("iptables -A INPUT -j palisade-INPUT", ["jump:           filter: INPUT has 2 to palisade-INPUT"]),
    "a chain of ours is new": ("iptables -N palisade-x", ["live only:      filter: chain palisade-x"]),
    "it is in IPv6": ("ip6tables -D palisade-web 1", ["persisted only: filter: -A palisade-web " + TABLES["filter"]["web"][0]]),
}


@pytest.mark.parametrize(("script", "shown"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_shown(ready: Host, script: str, shown: list[str]) -> None:
    ready.run("sh", "-euc", script)
    text = status(ready, 1)
    assert sum("differs from persisted" in line for line in lines(text, "live")) == 1
    assert [line.strip() for line in text.splitlines() if line.startswith(" " * 13)] == shown


def test_of_many_differences_a_few_are_shown(ready: Host) -> None:
    many = "".join(f"-A palisade-web -p tcp -m tcp --dport {port} -j ACCEPT\n" for port in range(1, 51))
    ready.restore(f"*filter\n{many}COMMIT\n", "--noflush")
    text = status(ready, 1)
    assert text.count("live only:") == 8
    assert "             and 42 more\n" in text


def test_rules_of_others_are_no_difference(ready: Host) -> None:
    ready.run("sh", "-euc", "iptables -I INPUT 1 -j ACCEPT; iptables -N f2b; iptables -P FORWARD DROP")
    status(ready, 0)


def test_another_spelling_is_no_difference(ready: Host) -> None:
    """As after an update of iptables, which may spell rules otherwise than the file does."""
    spelled = {family: text.replace("-p tcp -m tcp --dport 8080", "-p 6 --dport 8080:8080") for family, text in SECTIONS.items()}
    put(ready, "rules", persisted(spelled, backend=ready.backend))
    assert lines(status(ready, 0), "last good") == ["good  written 2026-11-21T10:40:35Z"]
    boot(ready)
    status(ready, 0)


def test_a_set_that_was_not_loaded(ready: Host) -> None:
    assert loader(ready, "flush").returncode == 0
    text = status(ready, 1)
    assert lines(text, "live") == ["ipv4: not loaded", "ipv6: not loaded"]


def test_a_damaged_file_and_why_the_last_load_failed(ready: Host) -> None:
    put(ready, "rules", "rubbish\n")
    assert loader(ready, "boot").returncode == 1
    text = status(ready, 1)
    assert "not usable: /etc/palisade/palisade.rules: it does not begin as a file of ours does" in text
    assert "from good (written 2026-11-21T10:40:35Z): failed\n             because /etc/palisade/palisade.rules is not used" in text
    put(ready, "rules", persisted(SECTIONS, backend=ready.backend))
    assert "from good" in status(ready, 1), "live is as persisted, and still the last load failed"
    assert loader(ready, "reload").returncode == 0
    status(ready, 0)


# Changes that have to be confirmed

NEW = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}


def test_a_reload_writes_the_files_of_a_confirmed_change_before_it_loads_them(ready: Host) -> None:
    """As they wait where the confirmation could not write them, or was killed ahead of that."""
    assert start(ready, 600, tables=NEW, persist=True).data["confirm"]["state"] == "pending"
    ready.run("mv", f"{FOLDER}/armed", f"{FOLDER}/confirmed")
    changed = live(ready)
    assert "is confirmed, and its files are not all in their places" in status(ready, 1)
    ready.run("mount", "--bind", ETC, ETC)
    ready.run("mount", "-o", "remount,bind,ro", ETC)
    refused = loader(ready, "reload")
    assert refused.returncode == 1
    assert "not reloaded: a change is live and was confirmed, and its files could not be written: mv: " in refused.stderr
    assert (state(ready), live(ready)) == ("confirmed", changed)
    ready.run("umount", ETC)
    assert loader(ready, "reload").returncode == 0
    assert (state(ready), live(ready)) == ("kept", changed)
    status(ready, 0)


def test_a_change_that_waits_is_shown_with_the_way_to_take_it_back(ready: Host) -> None:
    before = live(ready)
    assert start(ready, 600, tables=NEW, persist=True).data["confirm"]["state"] == "pending"
    (shown,) = lines(status(ready, 1), "change")
    said = re.fullmatch(r"a change waits for its confirmation; if none comes, this host takes it back in (\d+) s\. To take it back now: (.*)", shown)
    assert said and 0 < int(said.group(1)) <= 600, shown
    assert "undone good" in ready.run("sh", "-c", said.group(2)).stdout
    (shown,) = lines(status(ready, 0), "change")
    assert re.fullmatch(r"was not confirmed and was taken back, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown.strip()), shown
    assert live(ready) == before
    assert start(ready, 600, tables=NEW, persist=True).changed
    assert tell(ready, "confirm", "new").startswith("kept")
    assert lines(status(ready, 0), "change") == []


@pytest.mark.parametrize("command", ["reload", "flush"])
def test_nobody_meddles_with_a_change_that_waits(ready: Host, command: str) -> None:
    assert start(ready, 600, tables=NEW, persist=True).changed
    before = ready.snapshot()
    done = loader(ready, command)
    assert done.returncode == 1
    assert re.search(rf"palisade: not {command}e?d: a change waits for its confirmation; .* in \d+ s\. To take it back now: sh ", done.stderr)
    assert ready.snapshot() == before
    assert tell(ready, "undo") == "undone good"
    assert loader(ready, command).returncode == 0


def test_a_boot_goes_on(ready: Host) -> None:
    before = live(ready)
    assert start(ready, 600, tables=NEW, persist=True).changed
    boot(ready)
    assert (live(ready), state(ready)) == (before, "armed")
    assert tell(ready, "undo") == "undone good"
    assert live(ready) == before


@pytest.mark.parametrize(("name", "text", "shown"), [
    ("undone", "ipv6: no such set", "was not confirmed and was taken back, 20* but not all of it: ipv6: no such set"),
    ("undoing", "", "a change was not confirmed and is being taken back just now"),
    ("confirmed", "", "is confirmed, and its files are not all in their places"),
    ("armed", "", "was not confirmed, and whoever was to take it back is gone; to have it taken back: sh /run/palisade/palisade.commit/commit *"),
])
def test_what_has_become_of_a_change(ready: Host, name: str, text: str, shown: str) -> None:
    ago = 1000 if name == "armed" else 0
    script = f"mkdir {FOLDER}; cd {FOLDER}; echo $(($(cut -d. -f1 /proc/uptime) - {ago})) > deadline; cat > {name}; echo a > token"
    ready.run("sh", "-euc", script, text=text)
    (line,) = lines(status(ready, 1), "change")
    assert fnmatch(line.strip(), shown), line


def test_changes_of_what_is_not_persisted_are_shown_too(ready: Host) -> None:
    for name, word in (("kernel-settings", "undoing"), ("lab", "undone"), ("old", "kept"), ("older", "disarmed")):
        script = f"mkdir {RUN}/{name}.commit; cd {RUN}/{name}.commit; cut -d. -f1 /proc/uptime > deadline; echo good > {word}; echo a > token"
        ready.run("sh", "-euc", script)
    text = status(ready, 1)
    assert text.split("kernel settings\n")[1].splitlines()[0] == "  change     a change was not confirmed and is being taken back just now"
    assert text.split("ruleset lab, not persisted\n")[1].startswith("  change     was not confirmed and was taken back, ")
    assert "ruleset old" not in text
    assert "kernel settings" not in status(ready, 0, "palisade")


def test_a_killed_run_is_shown(ready: Host) -> None:
    ready.run("touch", f"{RUN}/palisade.applying")
    assert "a run was killed" in status(ready, 0)


def test_several_rulesets_have_a_block_each(ready: Host) -> None:
    lab = {family: text.replace("palisade-", "lab-") for family, text in PREVIOUS.items()}
    put(ready, "rules", persisted(lab, backend=ready.backend, name="lab"), name="lab")
    text = status(ready, 1)
    assert [line for line in text.splitlines() if not line.startswith(" ")] == ["ruleset lab", "ruleset palisade"]
    assert lines(text, "live") == ["ipv4: not loaded", "ipv6: not loaded", "ipv4: same as persisted", "ipv6: same as persisted"]


NONSENSE = ["", "start", "--help", "boot a b", "boot ../x", "boot Palisade", "boot 1x", "boot -x", "flush " + "x" * 13, "status *"]


@pytest.mark.parametrize("words", NONSENSE)
def test_a_call_that_makes_no_sense_shows_the_usage(ready: Host, words: str) -> None:
    before = ready.snapshot()
    done = loader(ready, *words.split())
    assert done.returncode == 2
    assert done.stderr.startswith("usage: palisade-firewall boot|reload|status|flush|preview [NAME]\n")
    assert ready.snapshot() == before


@pytest.mark.parametrize("command", ["boot", "reload", "status", "flush", "preview"])
def test_nobody_but_root(ready: Host, command: str) -> None:
    done = ready.run("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", LOADER, command, check=False)
    assert done.returncode not in (0, 1, 2, 3)
    assert f"{command} needs root" in done.stderr


def test_a_flush_takes_ours_out_and_gives_policies_back(ready: Host) -> None:
    ready.restore("*filter\n:f2b - [0:0]\n-I INPUT 1 -j f2b\nCOMMIT\n", "--noflush")
    put(ready, "rules", persisted({**SECTIONS, "ipv6": SECTIONS["ipv6"].replace("last DROP", "last ACCEPT")}, backend=ready.backend))
    files = ready.run("sh", "-c", f"ls -l --time-style=full-iso {ETC}; cat {ETC}/*").stdout
    before = ready.snapshot()
    foreseen = loader(ready, "preview")
    assert (foreseen.returncode, foreseen.stderr, ready.snapshot()) == (0, "", before)
    assert foreseen.stdout.startswith("# palisade, ipv4\n*filter\n:INPUT ACCEPT [0:0]\n") and foreseen.stdout.count("-X palisade-web\n") == 2
    done = loader(ready, "flush")
    assert done.returncode == 0
    assert "the host is OPEN" in done.stderr
    assert loader(ready, "preview").stdout == ""
    assert "palisade-firewall boot palisade" in done.stderr
    assert rules(ready.save()) == ["-A INPUT -j f2b"]
    assert "palisade" not in "".join(ready.save(family) for family in FAMILIES)
    assert [policies(ready.save(family))["INPUT"] for family in FAMILIES] == ["ACCEPT", "ACCEPT"]
    assert ready.run("sh", "-c", f"ls -l --time-style=full-iso {ETC}; cat {ETC}/*").stdout == files
    assert loader(ready, "flush").returncode == 0
    boot(ready)
    assert len(rules(ready.save(), chain="INPUT")) == 2


def test_a_policy_that_was_closed_before_us_stays_closed(host: Host) -> None:
    install(host)
    put(host, "rules", persisted(SECTIONS, backend=host.backend))
    host.iptables("-P", "INPUT", "DROP")
    boot(host)
    assert loader(host, "flush").returncode == 0
    assert policies(host.save())["INPUT"] == "DROP"


def test_a_flush_that_cannot_be_is_no_success(ready: Host) -> None:
    ready.run("sh", "-euc", f"for one in {SHIMS}/*-restore; do rm $one; printf '#!/bin/sh\\necho no >&2; exit 4\\n' > $one; chmod 755 $one; "
              f"cp $one {SHIMS}/$(basename ${{one%-restore}})-{ready.backend}-restore; done")
    before = live(ready)
    done = loader(ready, "flush")
    assert (done.returncode, live(ready)) == (1, before)
    assert "not flushed: ipv4: iptables-restore ended with 4: no" in done.stderr
    assert "OPEN" not in done.stderr


def test_a_flush_without_files_takes_out_what_is_there(ready: Host) -> None:
    ready.run("sh", "-c", f"rm {ETC}/*")
    assert loader(ready, "flush", "palisade").returncode == 0
    assert live(ready) == {family: {} for family in FAMILIES}


def test_a_reload_tells_who_loaded(ready: Host) -> None:
    put(ready, "rules", persisted(PREVIOUS, backend=ready.backend, written="2026-11-22T00:00:00Z"))
    assert loader(ready, "reload").returncode == 0
    noted = last_load(ready)
    assert (noted["by"], noted["written"]) == ("reload", "2026-11-22T00:00:00Z")
    assert ready.run("stat", "-c", "%a %u", f"{RUN}/palisade.loaded").stdout == "600 0\n"


def test_in_the_journal_every_message_has_its_level(ready: Host) -> None:
    put(ready, "rules", "rubbish\n")
    done = ready.run("env", "JOURNAL_STREAM=8:1", LOADER, "boot", check=False)
    assert done.stderr.splitlines()[0].startswith("<3>palisade-firewall: palisade: ")
    put(ready, "rules", persisted(SECTIONS, backend=ready.backend))
    assert ready.run("env", "JOURNAL_STREAM=8:1", LOADER, "boot").stderr.startswith("<6>palisade-firewall: ")
