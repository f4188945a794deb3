# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lockout guard says of rules and connections of all sorts. test_guard.py has the same over a real ssh, through a task."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .support.host import COLLECTIONS, IN_CONTAINER, Host

OWN = {"ipv4": "192.0.2.10", "ipv6": "2001:db8::10"}
FAR = {"ipv4": "203.0.113.5", "ipv6": "2001:db8:ff::5"}
DISCOVERY = "-A {} -p ipv6-icmp -m icmp6 --icmpv6-type {} -m hl --hl-eq 255 -j ACCEPT"
BOTH_WAYS = [DISCOVERY.format(chain, kind) for chain in ("INPUT", "OUTPUT") for kind in (135, 136)]
ANSWERS = [f"-A {chain} -m conntrack --ctstate ESTABLISHED -j ACCEPT" for chain in ("INPUT", "OUTPUT")]
NEW = "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT"


@pytest.fixture
def machine(host: Host) -> Host:
    """A host with one interface, both families and a router on its link."""
    add_link(host, "eth0")
    host.run("ip", "address", "add", "192.0.2.10/24", "dev", "eth0")
    host.run("ip", "address", "add", "2001:db8::10/64", "dev", "eth0", "nodad")
    host.run("ip", "address", "add", "fe80::10/64", "dev", "eth0", "nodad")
    host.run("ip", "route", "add", "default", "via", "192.0.2.1")
    host.run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    return host


def add_link(host: Host, name: str) -> None:
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
    host.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0")
    for end in (f"{name}-end", name):
        host.run("ip", "link", "set", end, "up")


def load(host: Host, *rules: str, family: str = "ipv4", policy: str = "DROP", before: str = "") -> None:
    hooks = "".join(f":{hook} {policy} [0:0]\n" for hook in ("INPUT", "FORWARD", "OUTPUT"))
    host.restore(f"{before}*filter\n{hooks}" + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n", family=family)


def ask(host: Host, *connections: str, through: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    script = str(Path(__file__).parent / "support" / "guard_process.py")
    done = host.run(*through, sys.executable, script, str(COLLECTIONS), host.backend, text=json.dumps(connections))
    return [tuple(answer) for answer in json.loads(done.stdout)]


def over(family: str, port: int = 22) -> str:
    return f"{FAR[family]} 40001 {OWN[family]} {port}"


@pytest.mark.parametrize("family", OWN)
def test_what_lets_the_whole_handshake_through_is_proved(machine: Host, family: str) -> None:
    for rules in ([NEW, *ANSWERS, *BOTH_WAYS], ["-A INPUT -j ACCEPT", "-A OUTPUT -j ACCEPT"],
                  # A limit, which the connection that runs has used up long since, and a knock behind what lets management in.
                  [*BOTH_WAYS, *ANSWERS, f"-A INPUT -s {FAR[family]} -p tcp -m tcp --dport 22 -j ACCEPT",
                   "-A INPUT -p tcp -m tcp --dport 22 -m recent --rcheck --seconds 30 --name knock --rsource -j ACCEPT"],
                  [*BOTH_WAYS, *ANSWERS, "-A INPUT -p tcp -m tcp --dport 22 -m recent --set --name ssh --rsource",
                   "-A INPUT -p tcp -m tcp --dport 22 -m recent --update --seconds 60 --hitcount 4 --name ssh --rsource -j DROP",
                   "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"]):
        load(machine, *[rule for rule in rules if family == "ipv6" or "ipv6-icmp" not in rule], family=family)
        found = ask(machine, over(family))[0]
        assert found == ("proved", f"a new connection from {FAR[family]} to {OWN[family]} port 22 would be let in", ""), rules


@pytest.mark.parametrize(("rules", "reason", "remedy"), [
    (ANSWERS,
     "the first packet (SYN, in by eth0) of a new connection from 203.0.113.5 to 192.0.2.10 port 22 would be dropped by the policy DROP of INPUT",
     "accept tcp port 22 from 203.0.113.5 (in the roles: firewall_management, or a service); allow_lockout: true"),
    (["-A INPUT -s 203.0.113.0/24 -p tcp -j REJECT", NEW, *ANSWERS], "would be rejected by rule 1 of INPUT, table filter: -s 203.0.113.0/24 -p tcp "
     "-j REJECT --reject-with icmp-port-unreachable", "accept tcp port 22"),
    (["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", ANSWERS[0]],
     "this host's answer (SYN/ACK, from port 22) to the first packet of a new "
     "connection from 203.0.113.5 to 192.0.2.10 port 22 would be dropped by the policy DROP of OUTPUT, table filter", "let answers out in OUTPUT"),
    ([NEW, ANSWERS[1]], "the third packet (ACK, in by eth0) of a new connection from 203.0.113.5 to 192.0.2.10 port 22 would be dropped by the "
     "policy DROP of INPUT", "let established connections in"),
])
def test_what_does_not_is_refused_by_its_packet_and_rule(machine: Host, rules: list[str], reason: str, remedy: str) -> None:
    load(machine, *rules)
    state, found, way_out = ask(machine, over("ipv4"))[0]
    assert (state, reason in found) == ("refused", True), found
    assert way_out.startswith(remedy) and "firewall_allow_lockout" in way_out


@pytest.mark.parametrize(("left_out", "packet"), [
    (0, "the neighbour solicitation by which fe80::1 looks for this host would be dropped by the policy DROP of INPUT"),
    (1, "the neighbour advertisement by which fe80::1 answers this host would be dropped by the policy DROP of INPUT"),
    (2, "this host's neighbour solicitation for fe80::1 would be dropped by the policy DROP of OUTPUT"),
    (3, "this host's neighbour advertisement to fe80::1 would be dropped by the policy DROP of OUTPUT"),
])
def test_a_host_that_is_not_found_on_its_link_is_locked_too(machine: Host, left_out: int, packet: str) -> None:
    discovery = [rule for number, rule in enumerate(BOTH_WAYS) if number != left_out]
    load(machine, NEW, *ANSWERS, *discovery, family="ipv6")
    state, reason, remedy = ask(machine, over("ipv6"))[0]
    assert (state, reason.startswith(packet)) == ("refused", True), reason
    assert remedy.startswith("accept neighbour discovery both ways (icmpv6 types 135 and 136)")


def test_who_is_on_the_link_is_asked_for_himself(machine: Host) -> None:
    peers = [f"-A INPUT -s 2001:db8::5/128 -p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT" for kind in (135, 136)]
    to_peers = [f"-A OUTPUT -d {address}/128 -p ipv6-icmp -j ACCEPT" for address in ("ff02::1:ff00:5", "2001:db8::5")]
    load(machine, NEW, *ANSWERS, *peers, *to_peers, family="ipv6")
    assert [found[0] for found in ask(machine, "2001:db8::5 40001 2001:db8::10 22", "2001:db8::6 40001 2001:db8::10 22")] == ["proved", "refused"]


def test_a_connection_by_link_local_addresses(machine: Host) -> None:
    # Another link has the same network, and its route comes first.
    add_link(machine, "eth1")
    machine.run("ip", "-6", "route", "add", "fe80::/64", "dev", "eth1", "metric", "1")
    inside = [rule.replace("INPUT", "INPUT -i eth0").replace("OUTPUT", "OUTPUT -o eth0") for rule in (NEW, *ANSWERS, *BOTH_WAYS)]
    connection = "fe80::77%eth0 40001 fe80::10%eth0 22"
    load(machine, *inside, family="ipv6")
    assert ask(machine, connection)[0][0] == "proved"
    load(machine, *[rule for rule in inside if "OUTPUT" not in rule or "icmp" in rule], family="ipv6")
    state, reason, _remedy = ask(machine, connection)[0]
    assert (state, "SYN/ACK" in reason) == ("refused", True), reason


@pytest.mark.parametrize("ends", [
    "127.0.0.1 40001 127.0.0.1", "::1 40001 ::1", "192.0.2.10 40001 192.0.2.10", "::ffff:127.0.0.1 40001 ::ffff:127.0.0.1"])
def test_a_connection_by_loopback(machine: Host, ends: str) -> None:
    family = "ipv6" if ends.startswith("::1") else "ipv4"
    loopback = ["-A INPUT -i lo -j ACCEPT", "-A OUTPUT -o lo -j ACCEPT"]
    load(machine, *loopback, family=family)
    assert ask(machine, f"{ends} 22")[0][0] == "proved"
    load(machine, *loopback[:1], family=family)
    assert ask(machine, f"{ends} 22")[0][0] == "refused"
    load(machine, *loopback[1:], family=family)
    assert ask(machine, f"{ends} 22")[0][0] == "refused"
    load(machine, loopback[0], *ANSWERS, family=family)
    state, reason, _remedy = ask(machine, f"{ends} 22")[0]
    assert (state, "(SYN, out by lo)" in reason) == ("refused", True), reason


def test_what_nat_sends_elsewhere_does_not_come_to_this_sshd(machine: Host) -> None:
    nat = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 2222 -j ACCEPT\n-A PREROUTING -p tcp -m tcp --dport {} -j {}\nCOMMIT\n"
    for port, target in ((22, "REDIRECT --to-ports 2222"), (22, "DNAT --to-destination 192.0.2.99")):
        load(machine, policy="ACCEPT", before=nat.format(port, target))
        state, reason, remedy = ask(machine, over("ipv4"))[0]
        sent = f"would be sent elsewhere by rule 2 of PREROUTING, table nat: -p tcp -m tcp --dport {port} -j {target}"
        assert (state, sent in reason) == ("refused", True), reason
        assert remedy.startswith("leave it out of nat")
        assert ask(machine, over("ipv4", 2222))[0][0] == "proved"


def test_what_cannot_be_proved_is_said_and_is_no_refusal(machine: Host) -> None:
    load(machine, "-A INPUT -p tcp -m tcp --dport 22 -m statistic --mode nth --every 2 --packet 0 -j ACCEPT", *ANSWERS)
    state, reason, _remedy = ask(machine, over("ipv4"))[0]
    assert (state, "statistic" in reason) == ("unproved", True), reason
    state, reason, _remedy = ask(machine, over("ipv4"), through=IN_CONTAINER)[0]
    assert (state, "no network namespace can be made" in reason) == ("unproved", True), reason


def test_a_connection_to_an_address_that_is_not_here_is_none(machine: Host) -> None:
    load(machine)
    state, reason, _remedy = ask(machine, "203.0.113.5 40001 192.0.2.44 22")[0]
    assert (state, "192.0.2.44" in reason) == ("none", True), reason


def test_where_it_comes_in_may_not_be_known(machine: Host) -> None:
    """The connection's own address is on another interface than the way back to its client."""
    add_link(machine, "eth1")
    machine.run("ip", "address", "add", "198.51.100.10/24", "dev", "eth1")
    connection = "203.0.113.5 40001 198.51.100.10 22"
    load(machine, NEW.replace("INPUT", "INPUT -i eth1"), *ANSWERS)
    state, reason, _remedy = ask(machine, connection)[0]
    assert (state, reason.startswith("which interface the connection comes in by is not known: by eth1 it would be let in, and by eth0 not")) == (
        "unproved", True), reason
    load(machine, *ANSWERS)
    assert ask(machine, connection)[0][0] == "refused"
    # Unless policy routing says so.
    machine.run("ip", "rule", "add", "from", "198.51.100.10", "table", "77")
    machine.run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "eth1", "table", "77")
    load(machine, NEW.replace("INPUT", "INPUT -i eth1"), ANSWERS[0], ANSWERS[1].replace("OUTPUT", "OUTPUT -o eth1"))
    assert ask(machine, connection)[0][0] == "proved"


def test_what_the_kernel_drops_is_not_the_rules_doing(machine: Host) -> None:
    machine.run("ip", "route", "replace", "unreachable", "203.0.113.0/24")
    load(machine, policy="ACCEPT")
    assert ask(machine, over("ipv4"))[0][0] == "unproved"
