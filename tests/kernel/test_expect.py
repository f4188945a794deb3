# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`expect` on real kernels: proved on what the live state will be, and a wrong verdict leaves everything as it was."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .support.host import FAMILIES, IN_CONTAINER, Host

INPUT = ["-i lo -j ACCEPT", "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-p icmpv6 -j ACCEPT",
         "-p tcp --syn --dport ssh -j ACCEPT", "-p tcp --dport 25 -j REJECT"]
RULES = {"filter": {"INPUT": {"policy": "DROP", "rules": INPUT}}}


def flow(port: int, verdict: str = "", **more: Any) -> dict[str, Any]:
    """Return a flow to the host's input."""
    return {"in_interface": "eth0", "port": port, **({"verdict": verdict} if verdict else {}), **more}


#: One for each family and verdict.
RIGHT = [flow(port, verdict, source=source) for source in ("203.0.113.7", "2001:db8:7::7")
         for port, verdict in ((22, "accept"), (25, "reject"), (26, "drop"))]
EMPTY: dict[str, Any] = {"filter": {"INPUT": []}}


def decided(result: Any) -> list[str]:
    """Say of each flow what decided."""
    found = [one["rule"] for one in result.data["flows"]]
    return [f"{rule['chain']} {rule.get('number', rule.get('policy'))}" for rule in found]


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_is_expected_is_proved_on_what_will_be(host: Host, check_mode: bool) -> None:
    before = host.snapshot()
    result = host.module(check_mode=check_mode, tables=RULES, expect=RIGHT)
    assert not result.failed, result.message
    assert result.changed
    assert decided(result) == ["palisade-INPUT 3", "palisade-INPUT 4", "INPUT DROP", "palisade-INPUT 4", "palisade-INPUT 5", "INPUT DROP"]
    assert (host.snapshot() == before) is check_mode
    # The host has no such interface, and none was made on it.
    assert "eth0" not in host.run("ip", "link").stdout


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_verdict_is_told_in_full_and_nothing_has_changed(host: Host, family: str, check_mode: bool) -> None:
    host.apply(tables=EMPTY, persist=True)
    before, files = host.snapshot(), host.run("sh", "-c", "cat /etc/palisade/*").stdout
    source = {"ipv4": "203.0.113.7", "ipv6": "2001:db8:7::7"}[family]
    result = host.module(check_mode=check_mode, tables=RULES, persist=True, expect=[*RIGHT, flow(25, "drop", source=source)])
    assert result.failed
    assert "Traceback" not in result.message + result.stderr
    assert result.message.startswith("expect: flow 7 (tcp to port 25 in by eth0 from " + source)
    number = {"ipv4": 4, "ipv6": 5}[family]
    assert f"verdict drop was expected and reject was found; it was decided by rule {number} of palisade-INPUT, table filter:" in result.message
    assert result.message.endswith("Nothing has changed")
    assert [one["verdict"] for one in result.data["flows"]] == [*[one["verdict"] for one in RIGHT], "reject"]
    assert result.data["changed"] is False
    assert (host.snapshot(), host.run("sh", "-c", "cat /etc/palisade/*").stdout) == (before, files)
    assert host.run("ls", "/run/palisade").stdout.split() == ["lock"]


def test_it_is_proved_when_nothing_changes_too(host: Host) -> None:
    host.apply(tables=RULES)
    again = host.apply(tables=RULES, expect=RIGHT)
    assert not again.changed
    assert len(again.data["flows"]) == 6
    # Somebody else's rule ahead of ours: nothing of ours has drifted, and what is expected is no longer so.
    host.iptables("-I", "INPUT", "-s", "203.0.113.0/24", "-j", "DROP")
    message = host.refuse(tables=RULES, expect=RIGHT)
    assert "flow 1 (tcp to port 22" in message
    assert "decided by rule 1 of INPUT, table filter: -s 203.0.113.0/24 -j DROP" in message


def test_other_programs_rules_are_part_of_it(host: Host) -> None:
    host.restore("*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd\n-A f2b-sshd -s 203.0.113.7 -j REJECT\nCOMMIT\n"
                 "*nat\n-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\nCOMMIT\n")
    expect = [flow(22, "reject", source="203.0.113.7"), flow(22, "accept"), flow(2222, "accept"), flow(2222, "reject", source="203.0.113.7")]
    result = host.apply(tables=RULES, expect=expect)
    assert decided(result) == ["f2b-sshd 1", "palisade-INPUT 3", "palisade-INPUT 3", "f2b-sshd 1"]


def test_a_family_that_the_run_leaves_alone_is_proved_as_it_is(host: Host) -> None:
    host.restore("*filter\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n", family="ipv6")
    result = host.apply(tables=RULES, families=["ipv4"], expect=[flow(22, "accept"), flow(22, "drop", source="2001:db8::7")])
    assert decided(result) == ["palisade-INPUT 4", "INPUT 1"]


def test_absent_is_proved_as_what_will_be_left(host: Host) -> None:
    host.iptables("-A", "INPUT", "-p", "tcp", "--dport", "23", "-j", "DROP")
    host.apply(tables=RULES)
    assert "flow 1" in host.refuse(state="absent", expect=[flow(26, "drop")])
    result = host.apply(state="absent", expect=[flow(26, "accept"), flow(23, "drop")])
    assert decided(result) == ["INPUT ACCEPT", "INPUT 1"]
    assert "palisade" not in host.save()


def test_whole_tables_are_proved_without_what_goes(host: Host) -> None:
    host.restore("*filter\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n")
    result = host.apply(tables=RULES, scope="tables", families=["ipv4"], expect=[flow(22, "accept")])
    assert decided(result)[0].startswith("INPUT ")


def test_nat_is_expected_by_what_it_writes(host: Host) -> None:
    tables = {"nat": {"POSTROUTING": ["-o wan0 -j SNAT --to-source 192.0.2.1"], "PREROUTING": ["-i wan0 -p tcp --dport 80 -j DNAT --to 10.1.0.80"]}}
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    out = {"in_interface": "lan0", "out_interface": "wan0", "source": "10.1.0.7", "port": 443, "rewritten_source": "192.0.2.1"}
    host.apply(tables=tables, families=["ipv4"], expect=[out])
    message = host.refuse(tables=tables, families=["ipv4"], expect=[{**out, "rewritten_source": "192.0.2.9"}])
    assert "rewritten_source 192.0.2.9 was expected and 192.0.2.1" in message


KNOCK = {"filter": {"INPUT": {"policy": "DROP", "rules": [
    "-p tcp --dport 7001 -m recent --set --name knock --rsource -j DROP",
    "-p tcp --dport 22 -m recent --rcheck --seconds 30 --name knock --rsource -j ACCEPT"]}}}


def test_a_sequence_goes_through_one_copy(host: Host) -> None:
    knock = [flow(22, "drop"), flow(7001), flow(22, "accept")]
    result = host.apply(tables=KNOCK, expect=[knock, flow(22, "drop")])
    assert [one["verdict"] for one in result.data["flows"]] == ["drop", "drop", "accept", "drop"]
    message = host.refuse(tables=KNOCK, expect=[flow(22, "drop"), [flow(7001), flow(22, "drop")]])
    assert "flow 2.2 (tcp to port 22" in message


def test_rules_that_are_not_rehearsed_are_proved_by_the_numbers_they_will_have(host: Host) -> None:
    tables = {"filter": {"INPUT": ["-s 203.0.113.7,203.0.113.8 -j DROP", "-p tcp --dport ssh -j DROP"]}}
    result = host.apply(tables=tables, families=["ipv4"], rehearsal="none", expect=[flow(22, "drop")])
    assert decided(result) == ["palisade-INPUT 3"]
    assert host.save().index("203.0.113.8/32") < host.save().index("dport 22")


@pytest.mark.parametrize(("expect", "words"), [
    ([{"port": 22}], "flow 1: nothing is expected of it"),
    ([flow(22, "accept"), {"prot": 22}], "flow 2: there is no 'prot'"),
    ([[flow(22, "accept"), {"port": 0}]], "flow 1.2: port: 0 is no number from 1 to 65535"),
    ([flow(22, "accept", in_interface="eth+")], "flow 1: in_interface: eth+ stands for many interfaces"),
    ("x", "flow 1: 'x' is not a dictionary"),
])
def test_what_cannot_be_read_is_refused(host: Host, expect: Any, words: str) -> None:
    assert words in host.refuse(tables=RULES, expect=expect)


def test_what_cannot_be_proved_is_refused_by_its_rule(host: Host) -> None:
    tables = {"filter": {"INPUT": ["-p tcp --dport 22 -j ACCEPT", "-j NFQUEUE --queue-num 1"]}}
    assert decided(host.apply(tables=tables, expect=[flow(22, "accept")])) == ["palisade-INPUT 1"]
    message = host.refuse(tables=tables, expect=[flow(22, "accept"), flow(23, "drop")])
    assert "its verdict cannot be proved: it meets rule 2 of palisade-INPUT, table filter: -j NFQUEUE --queue-num 1" in message
    assert message.endswith("Nothing has changed")


# Without leave to make namespaces

@pytest.mark.parametrize("check_mode", [True, False])
def test_without_a_namespace_it_is_never_left_out_in_silence(host: Host, check_mode: bool) -> None:
    before = host.effect()
    result = host.module(through=IN_CONTAINER, check_mode=check_mode, tables=RULES, expect=[*RIGHT, [flow(22, "accept")]])
    assert result.failed
    assert "expect: 7 flows cannot be proved: no network namespace can be made here" in result.message
    assert "rehearsal: scratch (or none; in the roles firewall_rehearsal) allows to go on without that proof. Nothing has changed" in result.message
    assert host.effect() == before


@pytest.mark.parametrize("rehearsal", ["scratch", "none"])
def test_it_is_left_out_where_that_is_said_and_then_the_result_says_so(new_host: Callable[[], Host], rehearsal: str) -> None:
    for check_mode in (True, False):
        host = new_host()
        result = host.module(through=IN_CONTAINER, check_mode=check_mode, rehearsal=rehearsal, tables=RULES, expect=[flow(22, "drop")])
        assert not result.failed, result.message
        (warning,) = [text for text in result.warnings if text.startswith("expect: ")]
        assert warning.startswith(f"expect: 1 flow was not proved, which rehearsal: {rehearsal} allows: ")
        assert "flows" not in result.data


# What is predicted

FOREIGN = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j f2b-sshd
-A INPUT -p udp -m comment --comment "a \\"quoted\\" one" -j ACCEPT
-A f2b-sshd -s 203.0.113.7/32 -j DROP
COMMIT
"""


@pytest.mark.parametrize("scope", ["chains", "tables"])
def test_the_prediction_is_what_the_kernel_has_afterwards(host: Host, scope: str) -> None:
    """The rig's copy is of the predicted tables; a check run's copy and a probe of the live ones afterwards meet the same rules, all of them."""
    options = {"scope": scope, "foreign": "remove" if scope == "tables" else "warn", "families": ["ipv4"]}
    host.restore(FOREIGN)
    stages: list[dict[str, Any]] = [
        RULES, {**RULES, "nat": {"PREROUTING": ["-p tcp --dport 2222 -j REDIRECT --to-ports 22"]}},
        {"filter": {"INPUT": {"policy": "ACCEPT", "rules": ["-j web", *INPUT[:2], "-p tcp --dport 26 -j DROP"]},
                    "web": ["-p tcp --dport 80 -j DROP"]}},
    ]
    flows = [flow(port, source=source) for port in (22, 25, 26, 80, 2222) for source in ("203.0.113.7", "203.0.113.8")]
    for tables in stages:
        expect = [[one, flow(9, "accept", in_interface="lo", source="127.0.0.1", destination="127.0.0.1", protocol="udp")] for one in flows]
        before = host.module(check_mode=True, tables=tables, expect=expect, **options)
        assert "flows" in before.data, before.message
        host.apply(tables=tables, **options)
        after = host.probe(flows=flows)
        assert not after.failed, after.message
        for told, live in zip(before.data["flows"][::2], after.data["flows"]):
            assert (told["verdict"], told["rule"], told["path"]) == (live["verdict"], live["rule"], live["path"])
