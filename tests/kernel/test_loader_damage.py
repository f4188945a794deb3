# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happened to the files: the loader ends with a complete set or a closed host, fails, and says why."""
from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from .support.host import FAMILIES, SHIMS, Host
from .support.persisted import CLOSED, ETC, KINDS, PREVIOUS, RUN, SECTIONS, boot, install, last_load, live, loaded_alone, loader, persisted, put
from .support.save_text import policies, rules

NewHost = Callable[[], Host]

#: What happens to a file ($1), and the words for it.
DAMAGES = {
    "a changed byte": ("sed -i s/8080/8081/ $1", "checksum is wrong"),
    "a byte that is no text": ("printf '\\200' | dd of=$1 bs=1 seek=300 conv=notrunc status=none", "checksum is wrong"),
    "a zero byte for another": ("printf '\\0' | dd of=$1 bs=1 seek=300 conv=notrunc status=none", "checksum is wrong"),
    "a rule more": ("sed -i '/palisade-web -p/p' $1", "checksum is wrong"),
    "another checksum": ("sed -i '$s/sha256 ./sha256 g/' $1", "last line"),
    "cut in two": ("truncate -s 400 $1", "last line"),
    "cut by its last byte": ("truncate -s -1 $1", "last line"),
    "a line behind the end": ("echo >> $1", "last line"),
    "full of zeroes": ("truncate -s 0 $1; truncate -s 900 $1", "does not begin"),
    "empty": (": > $1", "it is empty"),
    "something else": ("echo '*filter' > $1", "does not begin"),
    "readable for all": ("chmod 644 $1", "mode 644"),
    "writable for the group": ("chmod 620 $1", "mode 620"),
    "of another user": ("chown 1000 $1", "belongs to user 1000"),
    "a symbolic link": ("mv $1 $1.real; ln -s $1.real $1", "symbolic link"),
    "a symbolic link to nothing": ("rm $1; ln -s nowhere $1", "symbolic link"),
    "a directory": ("rm $1; mkdir $1", "not a regular file"),
    "a pipe": ("rm $1; mkfifo -m 600 $1", "not a regular file"),
    "missing": ("rm $1", "it is missing"),
}
#: With a right checksum, and wrong all the same: what is replaced in the text, and the words for it.
HEADERS = {
    "another ruleset's": ("# name palisade\n", "# name lab\n", "for the ruleset lab"),
    "another format's": ("rules 1\n", "rules 2\n", "does not begin"),
    "without a backend": ("# backend", "# backing", "header is not complete"),
    "of a strange backend": ("# backend ", "# backend x", "header is not complete"),
    "without a name": ("# name", "# game", "header is not complete"),
    "without a date": ("# written", "# read", "header is not complete"),
    "of strange families": ("# asked ipv4", "# asked ipv5", "header is not complete"),
    "of a strange scope": (" chains\n", " everything\n", "header is not complete"),
}


def sealed(text: str, old: str, new: str) -> str:
    """Return a file's text with a change, and the checksum of that."""
    body = text[: text.rindex("# end ")].replace(old, new)
    return f"{body}# end sha256 {hashlib.sha256(body.encode()).hexdigest()}\n"


def damage(host: Host, script: str, kind: str = "rules") -> None:
    host.run("sh", "-euc", script, "damage", f"{ETC}/palisade.{kind}")


def fill(host: Host, *kinds: str) -> None:
    """Persist all that a host has after some time: each file another set."""
    sets = {"rules": SECTIONS, "good": SECTIONS, "previous": PREVIOUS, "closed": CLOSED}
    install(host)
    for kind in kinds or KINDS:
        put(host, kind, persisted(sets[kind], backend=host.backend))


def failed_with(host: Host, *words: str, how: str = "boot") -> str:
    """Load, insist that it fails with these words in the log, and return from what it loaded."""
    done = loader(host, how)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr
    assert all(line.startswith("palisade-firewall: ") for line in done.stderr.splitlines()), done.stderr
    noted = last_load(host)
    assert noted["result"] == "failed"
    return noted["from"]


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, str], dict[str, dict[str, list[str]]]]:
    """What hosts look like with one set alone, by backend and kind of file; made when first asked for."""
    return {}


@pytest.fixture
def reference(
    new_host: NewHost, alone: dict[tuple[str, str], dict[str, dict[str, list[str]]]]
) -> Callable[[str], dict[str, dict[str, list[str]]]]:
    """Return what a host looks like on which nothing but this kind's set was ever loaded."""

    def find(kind: str) -> dict[str, dict[str, list[str]]]:
        host = new_host()
        if (host.backend, kind) not in alone:
            sets = {"rules": SECTIONS, "good": SECTIONS, "previous": PREVIOUS, "closed": CLOSED}
            alone[host.backend, kind] = loaded_alone(host, sets[kind])
        return alone[host.backend, kind]

    return find


Reference = Callable[[str], dict[str, dict[str, list[str]]]]


def closed(host: Host) -> None:
    """Insist that a host takes in nothing but what it needs to get an address, and its own connections' packets."""
    for family in FAMILIES:
        text = host.save(family)
        assert policies(text)["INPUT"] == policies(text)["FORWARD"] == "DROP"
        assert rules(text, chain="INPUT") == ['-A INPUT -m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT']
        assert rules(text, chain="palisade-INPUT")[0] == "-A palisade-INPUT -i lo -j ACCEPT"
        assert len(rules(text)) == {"ipv4": 5, "ipv6": 9}[family]
        assert not any("--dport 22" in rule or "--dport 80" in rule for rule in rules(text))


@pytest.mark.parametrize(("script", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_gives_way_to_the_next(host: Host, reference: Reference, script: str, words: str) -> None:
    """One damage after the other: to the rules, then to the last good set too, and so on until nothing is left."""
    fill(host)
    damage(host, script)
    assert failed_with(host, "palisade.rules is not used", words) == "good"
    assert live(host) == reference("good")
    damage(host, script, "good")
    said = () if words == "it is missing" else ("palisade.good is not used",)
    assert failed_with(host, *said, "written 2026-11-21T10:40:35Z") == "previous"
    assert live(host) == reference("previous")
    damage(host, script.replace("8080", "1003").replace("-web -p", "-INPUT -p"), "previous")
    assert failed_with(host) == "closed"
    assert live(host) == reference("closed")
    damage(host, script.replace("8080", "1004").replace("-web -p", "-INPUT -p"), "closed")
    assert failed_with(host, "palisade.closed is not used", words) == "built-in"
    closed(host)


@pytest.mark.parametrize(("script", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_reload_of_a_damaged_file_changes_nothing(host: Host, script: str, words: str) -> None:
    fill(host)
    boot(host)
    damage(host, script)
    before, noted = host.snapshot(), last_load(host)
    done = loader(host, "reload")
    assert done.returncode == 1
    assert words in done.stderr
    assert "nothing was changed" in done.stderr
    assert (host.snapshot(), last_load(host)) == (before, noted)


@pytest.mark.parametrize(("old", "new", "words"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_not_ours_is_refused(host: Host, reference: Reference, old: str, new: str, words: str) -> None:
    fill(host, "rules", "closed")
    text = persisted(SECTIONS, backend=host.backend)
    assert old in text
    put(host, "rules", sealed(text, old, new))
    assert failed_with(host, words) == "closed"
    assert live(host) == reference("closed")


def test_a_file_cut_anywhere_is_never_loaded(host: Host, reference: Reference) -> None:
    fill(host, "closed")
    text = persisted(SECTIONS, backend=host.backend)
    ends = [1, 26, len(text) - 2, len(text) - 78, len(text) - 79, len(text) - 80, *range(100, len(text), 131)]
    for end in ends:
        put(host, "rules", text[:end])
        assert failed_with(host, "palisade.rules is not used") == "closed", end
        assert live(host) == reference("closed"), end


DIRECTORIES = {
    "writable for all": (f"chmod 777 {ETC}", "others than root may write"),
    "writable for the group": (f"chmod 770 {ETC}", "others than root may write"),
    "of another user": (f"chown 1000 {ETC}", "does not belong to root"),
    "a link": (f"mv {ETC} /etc/elsewhere; ln -s /etc/elsewhere {ETC}", "is not a directory"),
    "missing": (f"rm -r {ETC}", "nothing is persisted"),
    "empty": (f"rm {ETC}/*", "nothing is persisted"),
    "a file": (f"rm -r {ETC}; : > {ETC}", "nothing is persisted"),
}


@pytest.mark.parametrize(("script", "words"), DIRECTORIES.values(), ids=DIRECTORIES)
def test_a_directory_that_is_not_to_be_trusted_leads_to_the_built_in_set(host: Host, script: str, words: str) -> None:
    fill(host)
    host.run("sh", "-euc", script)
    assert failed_with(host, words) == "built-in"
    closed(host)


def test_a_ruleset_that_is_named_and_not_there_is_closed(host: Host) -> None:
    install(host)
    done = loader(host, "boot", "lab")
    assert done.returncode == 1
    assert "lab-INPUT" in host.save()
    assert policies(host.save("ipv6"))["INPUT"] == "DROP"


#: What the kernel or iptables refuses in a set whose first table is good: a rule, and words of the message.
REFUSED = {
    "an unknown match": ("-A palisade-PREROUTING -m nosuchmatch -j ACCEPT", "nosuchmatch"),
    "an unknown set": ("-A palisade-PREROUTING -m set --match-set nosuchset src -j ACCEPT", "nosuchset"),
    "an unknown chain": ("-A palisade-PREROUTING -j palisade-nowhere", "palisade-nowhere"),
    "a target of another hook": ("-A palisade-PREROUTING -j MASQUERADE", "ipv4: iptables-restore ended with"),
    "a circle": ("-A palisade-PREROUTING -j palisade-PREROUTING", "ipv4: iptables-restore ended with"),
}


@pytest.mark.parametrize(("rule", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_kernel_refuses_leaves_no_trace(host: Host, reference: Reference, rule: str, words: str) -> None:
    """The first table of the refused set is live by then: the next set has to clear all of it away."""
    fill(host)
    section = SECTIONS["ipv4"].replace("*nat\n", "*mangle\n:palisade-FORWARD - [0:0]\n#hook FORWARD last DROP\nCOMMIT\n*nat\n")
    section = section.replace("#hook INPUT last DROP\n", "#hook INPUT last DROP\n#hook OUTPUT last DROP\n").replace("#hook OUTPUT last -\n", "")
    bad = {"ipv4": section[: section.rindex("COMMIT")] + f"{rule}\nCOMMIT\n", "ipv6": SECTIONS["ipv6"]}
    put(host, "rules", persisted(bad, backend=host.backend))
    put(host, "good", persisted(bad, backend=host.backend))
    assert failed_with(host, "palisade.rules was refused", words) == "previous"
    assert live(host) == reference("previous")


def test_what_is_refused_in_ipv6_alone_takes_ipv4_back_too(host: Host, reference: Reference) -> None:
    fill(host)
    bad = {**SECTIONS, "ipv6": SECTIONS["ipv6"].replace("-A palisade-PREROUTING", "-A palisade-PREROUTING -m nosuchmatch")}
    put(host, "rules", persisted(bad, backend=host.backend))
    put(host, "good", persisted({"ipv4": PREVIOUS["ipv4"]}, backend=host.backend, asked=["ipv4"]))
    assert failed_with(host, "ipv6: iptables-restore") == "good"
    assert live(host) == {"ipv4": reference("previous")["ipv4"], "ipv6": {}}


def test_a_refused_set_leads_to_the_built_in_one_in_the_end(host: Host) -> None:
    install(host)
    bad = {family: f"{text}*mangle\n:palisade-INPUT - [0:0]\n-A palisade-INPUT -m nosuchmatch\nCOMMIT\n" for family, text in SECTIONS.items()}
    for number, kind in enumerate(KINDS):
        put(host, kind, persisted(bad, backend=host.backend, written=f"2026-11-2{number}T10:40:35Z"))
    assert failed_with(host, "palisade.closed was refused") == "built-in"
    closed(host)


def without_matches(host: Host, *matches: str) -> None:
    """Let iptables on a host not know some matches."""
    folder = host.run("sh", "-c", "dirname $(find /usr/lib -name libxt_comment.so)").stdout.strip()
    script = f"""
mkdir -p /run/overlay/xt/upper /run/overlay/xt/work
mount -t overlay overlay -o lowerdir={folder},upperdir=/run/overlay/xt/upper,workdir=/run/overlay/xt/work {folder}
for match in {' '.join(matches)}; do rm {folder}/lib*_$match.so; done
"""
    host.run("sh", "-euc", script)


def test_without_connection_tracking_the_host_is_closed_all_the_same(host: Host) -> None:
    install(host)
    without_matches(host, "conntrack")
    assert failed_with(host, "with connection tracking, was refused") == "built-in"
    assert rules(host.save(), chain="palisade-INPUT") == ["-A palisade-INPUT -i lo -j ACCEPT"]
    assert policies(host.save("ipv6"))["INPUT"] == "DROP"


def test_without_comments_the_policies_are_left(host: Host) -> None:
    install(host)
    without_matches(host, "conntrack", "comment")
    assert failed_with(host, "without connection tracking, was refused") == "built-in"
    for family in FAMILIES:
        assert policies(host.save(family)) == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}


#: Tools that do not work: each by itself may not leave a host open.
BROKEN = {
    "awk": "exit 2",
    "awk, once it has begun": "echo '*filter'; exit 2",
    "sed": "exit 1",
    "grep": "exit 2",
    "stat": "exit 1",
    "cat": "exit 1",
    "sha256sum": "exit 127",
    "sort": "exit 127",
    "date": "exit 1",
    "mkdir": "exit 1",
    "mv": "exit 1",
    "tr": "exit 127",
}


@pytest.mark.parametrize("tool", BROKEN)
def test_a_broken_tool_does_not_leave_the_host_open(host: Host, tool: str) -> None:
    fill(host)
    host.run("sh", "-euc", f"cat > {SHIMS}/tool; chmod 755 {SHIMS}/tool; mv {SHIMS}/tool {SHIMS}/$1", "sh", tool.split(",")[0],
             text=f"#!/bin/sh\n{BROKEN[tool]}\n")
    done = loader(host, "boot")
    for family in FAMILIES:
        assert policies(host.save(family))["INPUT"] == "DROP", done.stderr


def test_where_nothing_can_be_closed_it_is_said_loudly(host: Host) -> None:
    install(host)
    host.run("sh", "-euc", "for one in /run/bin/*-restore; do printf '#!/bin/sh\\necho no >&2; exit 4\\n' > /run/x; rm $one; "
             f"install -m 755 /run/x $one; install -m 755 /run/x /run/bin/$(basename ${{one%-restore}})-{host.backend}-restore; done; "
             f"install -m 755 /run/x {SHIMS}/nft")
    loud = [f"{family} could not be closed, it is NOT FILTERED by us: {family}: iptables-restore ended with 4: no, and nft fails: no"
            for family in FAMILIES]
    assert failed_with(host, *loud) == "built-in"


def test_what_iptables_cannot_close_is_closed_through_nft(host: Host) -> None:
    install(host)
    host.run("sh", "-euc", "for one in /run/bin/*-restore; do printf '#!/bin/sh\necho no >&2; exit 4\n' > /run/x; rm $one; "
             f"install -m 755 /run/x $one; install -m 755 /run/x /run/bin/$(basename ${{one%-restore}})-{host.backend}-restore; done")
    assert failed_with(host, "ended with 4: no. ipv4 is CLOSED through nft", "ended with 4: no. ipv6 is CLOSED through nft") == "built-in"


def test_the_note_of_a_killed_run_goes_with_a_complete_load(host: Host) -> None:
    fill(host)
    note = f"{RUN}/palisade.applying"
    host.run("sh", "-euc", f"mkdir -p {RUN}; : > {note}")
    boot(host)
    assert host.run("test", "-e", note, check=False).returncode == 1


def test_a_full_disk_does_not_stop_the_load(host: Host, reference: Reference) -> None:
    fill(host)
    host.run("sh", "-euc", f"mkdir -p {RUN}; mount -t tmpfs -o size=4k,nr_inodes=2 full {RUN}; : > {RUN}/lock")
    done = loader(host, "boot")
    assert "loaded cannot be written" in done.stderr
    assert live(host) == reference("rules")


def test_a_read_only_run_directory_does_not_stop_the_load(host: Host, reference: Reference) -> None:
    fill(host)
    host.run("sh", "-euc", f"mkdir -p {RUN}; mount -t tmpfs -o ro none {RUN}")
    done = loader(host, "boot")
    assert "lock cannot be made" in done.stderr
    assert live(host) == reference("rules")
