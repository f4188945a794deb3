# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rulesets to measure with, as iptables-save would print them, or as a person might type them. Pure."""
from __future__ import annotations

from collections.abc import Iterable

#: One rule of each kind in turn: a ban, a service for a network, one with several ports, one with state and a comment, a log.
SAVED = (
    "-s 10.{a}.{b}.{c}/32 -j DROP",
    "-s 172.16.{b}.0/24 -p tcp -m tcp --dport {port} -j ACCEPT",
    "-s 10.{a}.{b}.{c}/32 -p udp -m multiport --dports 53,123,{port} -j ACCEPT",
    '-d 192.168.{b}.{c}/32 -p tcp -m conntrack --ctstate NEW -m tcp --dport {port} -m comment --comment "service {number}" -j ACCEPT',
    "-s 10.{a}.{b}.{c}/32 -i eth0 -p tcp -m tcp --dport {port} --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset",
)
TYPED = (
    "--src 10.{a}.{b}.{c} --jump DROP",
    "-p tcp --dport {port} -s 172.16.{b}.0/255.255.255.0 -j ACCEPT",
    "-m multiport -p udp --dports domain,ntp,{port} --source 10.{a}.{b}.{c} -j ACCEPT",
    '-p tcp -d 192.168.{b}.{c} -m conntrack --ctstate NEW --dport {port} -m comment --comment "service {number}" -j ACCEPT',
    "-p tcp --dport {port} --syn -i eth0 -s 10.{a}.{b}.{c} -j REJECT --reject-with tcp-reset",
)


def rules(count: int, shapes: tuple[str, ...] = SAVED) -> list[str]:
    """Return `count` rules, each different."""
    return [
        shapes[number % len(shapes)].format(
            number=number, a=number // 65_536 + 1, b=number // 256 % 256, c=number % 256, port=1_024 + number % 60_000
        )
        for number in range(count)
    ]


def flows(count: int) -> list[tuple[dict[str, object], str, int | None]]:
    """Return a flow for each of `count` rules as saved: what it is, its verdict, and the number of the rule that decides; None is the policy."""
    found: list[tuple[dict[str, object], str, int | None]] = []
    for number in range(count):
        a, b, c, port = number // 65_536 + 1, number // 256 % 256, number % 256, 1_024 + number % 60_000
        place: int | None = number + 1
        shape: tuple[dict[str, object], str] = (
            ({"source": f"10.{a}.{b}.{c}", "port": 1}, "drop"),
            ({"source": f"172.16.{b}.9", "port": port}, "accept"),
            ({"source": f"10.{a}.{b}.{c}", "protocol": "udp", "port": port}, "accept"),
            # It is for another host's address: such a packet meets every rule and no one's target.
            ({"source": f"198.51.100.{c}", "port": port}, "accept"),
            ({"source": f"10.{a}.{b}.{c}", "port": port}, "reject"),
        )[number % 5]
        found.append(({"in_interface": "eth0", "source_port": 40_000, **shape[0]}, shape[1], None if number % 5 == 3 else place))
    return found


def content(chain_rules: Iterable[str]) -> str:
    """Return iptables-restore text of a filter table with these rules in INPUT."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += [f"-A INPUT {rule}" for rule in chain_rules]
    return "\n".join([*lines, "COMMIT", ""])
