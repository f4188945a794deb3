# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's kernel as `converge.yml` wants it, and how it is read: rules, modules, what is in effect on each interface. Holds no test."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Set

from devkit import vm

BACKENDS = {"bookworm": "legacy", "trixie": "nft"}
LOADED = {"nf_conntrack", "nf_conntrack_ftp", "nf_conntrack_tftp"}
"""The profile's, the helper's, and the one that is declared by its old name."""

LEGACY = {"ip_tables", "ip6_tables", "iptable_filter", "ip6table_filter", "iptable_raw", "ip6table_raw"}
"""What the unit needs on the legacy backend and may not load itself: the tables of the declared rules."""

READ = """
ip -br link; cat /proc/modules; for family in ip ip6; do ${family}tables-save; done
cd /proc/sys; grep -s . net/ipv4/ip_forward net/ipv4/conf/*/* net/ipv6/conf/*/* net/core/* net/netfilter/nf_conntrack_max; true
"""
"""As the witness of `witness.sh` has it. Some of the files can never be read."""


class State(NamedTuple):
    """A machine's kernel at one moment."""

    up: Set[str]
    """Interfaces that are up, less the loopback."""
    modules: Set[str]
    rules: List[str]
    """Of both families: policies of DROP, our chains, rules. Order as saved, without counters and empty tables."""
    sysctls: Dict[str, str]
    """By path below /proc/sys."""


def state(machine: vm.Machine) -> State:
    """Return a machine's state of this moment."""
    return read(machine.check(READ))


def read(text: str) -> State:
    """Return the state that somebody has written down."""
    lines = text.splitlines()
    links = [words for words in (re.match(r"(\S+) +(UP|DOWN|UNKNOWN) .*<(\S*)> *$", line) for line in lines) if words]
    return State(
        up={link[1].split("@")[0] for link in links if "UP" in link[3].split(",")} - {"lo"},
        modules={line.split()[0] for line in lines if re.match(r"\w+ \d+ \d+ ", line)},
        rules=[line.split(" [")[0].rstrip() for line in lines if re.match(r":palisade|:\S+ DROP|-A ", line)],
        sysctls=dict(line.split(":", 1) for line in lines if line.startswith("net/")),
    )


def in_effect(sysctls: Dict[str, str], interface: str) -> Dict[str, int]:
    """Return what these keys come to on an interface of a host that does not forward (Documentation/networking/ip-sysctl.rst)."""
    def value(family: str, key: str, where: str) -> int:
        return int(sysctls[f"net/{family}/conf/{where}/{key}"])

    answer = {}
    for key in ("rp_filter", "send_redirects", "secure_redirects", "log_martians", "accept_redirects"):
        answer[f"ipv4.{key}"] = max(value("ipv4", key, where) for where in ("all", interface))
    answer["ipv4.accept_source_route"] = min(value("ipv4", "accept_source_route", where) for where in ("all", interface))
    for key in ("accept_redirects", "accept_source_route"):
        answer[f"ipv6.{key}"] = value("ipv6", key, interface)
    return answer


SERVER = {
    "ipv4.rp_filter": 1, "ipv4.send_redirects": 0, "ipv4.secure_redirects": 0, "ipv4.log_martians": 1, "ipv4.accept_redirects": 0,
    "ipv4.accept_source_route": 0, "ipv6.accept_redirects": 0, "ipv6.accept_source_route": 0,
}
"""In effect on every interface of a server; on eth1 rp_filter is declared to be another."""

WANTED = {"lo": SERVER, "eth0": SERVER, "late.100": SERVER, "eth1": {**SERVER, "ipv4.rp_filter": 2}}
EVERYWHERE = {"net/ipv4/ip_forward": "0", "net/core/bpf_jit_harden": "2", "net/netfilter/nf_conntrack_max": "54321"}
