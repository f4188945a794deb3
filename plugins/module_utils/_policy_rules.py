# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes iptables rules in the spelling of iptables-save (1.8.9 and newer). Knows iptables, not what a policy is.

The spelling matters: where the text of a rule equals the live one, the host is known to be unchanged without asking its
kernel. tests/kernel/test_policy_canonical.py proves it. What iptables-save does: `-s -d -i -o -p` in this order, then
the matches in the order given, defaults left out, words quoted unless they are letters, digits, `_` and `-` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Iterable, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import PortRange, Rate, Source

MULTIPORT_SLOTS = 15
SYN_ONLY = "--tcp-flags FIN,SYN,RST,ACK SYN"

_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
_REFUSALS = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}
_RECENT_ENDINGS = {4: "", 6: "-6"}
_RECENT_MASKS = {4: "255.255.255.255", 6: ":".join(["ffff"] * 8)}
_ICMP = {4: ("icmp", "icmp", "--icmp-type"), 6: ("ipv6-icmp", "icmp6", "--icmpv6-type")}
# iptables knows these by name everywhere; anything else it looks up in /etc/protocols, which a small host may lack.
_PROTOCOL_NUMBERS = {"gre": "47"}


@dataclass(frozen=True)
class Rule:
    """One rule. `family` None is for both. `matches` are written out, each with its `-m`. Without a target it only counts.

    A source or destination that begins with "! " is any but that.
    """

    target: str
    family: int | None = None
    source: str = ""
    destination: str = ""
    interface: str = ""
    out_interface: str = ""
    protocol: str = ""
    matches: tuple[str, ...] = ()
    comment: str = ""

    def __str__(self) -> str:
        words = [
            f"-{self.family}" if self.family else "",
            _option("-s", self.source),
            _option("-d", self.destination),
            "-i " + self.interface if self.interface else "",
            "-o " + self.out_interface if self.out_interface else "",
            "-p " + _PROTOCOL_NUMBERS.get(self.protocol, self.protocol) if self.protocol else "",
        ]
        words += self.matches
        words.append("-m comment --comment " + quoted(self.comment) if self.comment else "")
        words.append("-j " + self.target if self.target else "")
        return " ".join(word for word in words if word)


def _option(option: str, value: str) -> str:
    """An option with its value, which may be negated; nothing where there is none."""
    negation = "! " if value.startswith("! ") else ""
    return f"{negation}{option} {value[len(negation):]}" if value else ""


def quoted(text: str) -> str:
    """A word as iptables-save writes it. `text` holds no quotes and no backslashes."""
    return text if _PLAIN.match(text) else f'"{text}"'


def from_source(rule: Rule, source: Source) -> Rule:
    """`rule` for packets from `source` alone."""
    limited = replace(rule, family=source.family)
    if source.is_range:
        return replace(limited, matches=(*limited.matches, "-m iprange --src-range " + source.text))
    return limited if source.everything else replace(limited, source=source.text)


def to_destination(rule: Rule, destination: Source) -> Rule:
    """`rule` for packets to `destination` alone."""
    limited = replace(rule, family=destination.family)
    if destination.is_range:
        return replace(limited, matches=(*limited.matches, "-m iprange --dst-range " + destination.text))
    return limited if destination.everything else replace(limited, destination=destination.text)


def port_groups(ranges: Sequence[PortRange]) -> list[tuple[PortRange, ...]]:
    """`ranges` cut into pieces that fit into one rule each."""
    groups: list[tuple[PortRange, ...]] = []
    group: tuple[PortRange, ...] = ()
    for item in ranges:
        if sum(there.slots for there in group) + item.slots > MULTIPORT_SLOTS:
            groups.append(group)
            group = ()
        group += (item,)
    return [*groups, group] if group else groups


def port_matches(
    protocol: str, ports: Sequence[PortRange], source_ports: Sequence[PortRange] = (), *, syn_only: bool = False
) -> tuple[str, ...]:
    """The matches for these ports, which fit into one rule. `syn_only` is for tcp alone."""
    own, several = [], []
    for option, ranges in (("sport", source_ports), ("dport", ports)):
        if len(ranges) == 1:
            own.append(f"--{option} {ranges[0]}")
        elif ranges:
            several.append("-m multiport --{}s {}".format(option, ",".join(str(item) for item in ranges)))
    if syn_only:
        own.append(SYN_ONLY)
    first = ["-m {} {}".format(protocol, " ".join(own))] if own else []
    return tuple(first + several)


def icmp_rule(family: int, icmp_type: int, comment: str, target: str = "ACCEPT") -> Rule:
    """A rule for one ICMP or ICMPv6 type."""
    protocol, match, option = _ICMP[family]
    return Rule(
        target,
        family=family,
        protocol=protocol,
        matches=(f"-m {match} {option} {icmp_type}",),
        comment=comment,
    )


def icmp_protocol(family: int) -> str:
    """The name of the protocol that carries a family's control messages."""
    return _ICMP[family][0]


def limit_match(rate: Rate) -> str:
    """At most so many. A burst of 5 is the default and is not written."""
    return f"-m limit --limit {rate.text}" + ("" if rate.burst == 5 else f" --limit-burst {rate.burst}")


def mac_match(mac: str) -> str:
    """Packets from one network card."""
    return "-m mac --mac-source " + mac


def recent_match(
    family: int, action: str, name: str, *, seconds: int = 0, hits: int = 0, inverted: bool = False
) -> str:
    """Look (rcheck), look and count (update), note (set) or strike out (remove) the source in a list of recent addresses.

    Each family has a list of its own. The kernel tells lists apart by name alone, and compares addresses under the mask
    of the rule that came first: under that of IPv4, all of a provider's /32 would be one IPv6 address.
    """
    name += _RECENT_ENDINGS[family]
    words = ["-m recent", "! --" + action if inverted else "--" + action]
    words += [f"--seconds {seconds}"] if seconds else []
    words += [f"--hitcount {hits}"] if hits else []
    return " ".join([*words, f"--name {name} --mask {_RECENT_MASKS[family]} --rsource"])


def nflog_target(prefix: str, group: int) -> str:
    """Group 0 is the default and is not written."""
    words = ["NFLOG"]
    if prefix:
        words.append("--nflog-prefix " + quoted(prefix))
    if group:
        words.append(f"--nflog-group {group}")
    return " ".join(words)


def log_target(prefix: str, level: int) -> str:
    """Level 4 is the default and is not written."""
    words = ["LOG"]
    if prefix:
        words.append("--log-prefix " + quoted(prefix))
    if level != 4:
        words.append(f"--log-level {level}")
    return " ".join(words)


def reject(rule: Rule, families: Iterable[int]) -> list[Rule]:
    """`rule` with the refusal that its protocol understands: a reset for tcp, else port unreachable."""
    if rule.protocol == "tcp":
        return [replace(rule, target="REJECT --reject-with tcp-reset")]
    wanted = [rule.family] if rule.family else list(families)
    return [replace(rule, family=family, target="REJECT --reject-with " + _REFUSALS[family]) for family in wanted]
