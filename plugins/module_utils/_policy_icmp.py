# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP and ICMPv6 types by name, and those that IPv6 cannot live without (RFC 4890). Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class IcmpType:
    """The type's number in each protocol; None where the protocol has no such type."""

    ipv4: int | None
    ipv6: int | None


@dataclass(frozen=True)
class RequiredIcmp6:
    """An ICMPv6 type that is always accepted, and what must be true of the packet."""

    name: str
    type: int
    link_local: bool = False
    hop_limit: int | None = None


ICMP_TYPES: Mapping[str, IcmpType] = {
    "echo-reply": IcmpType(0, 129),
    "destination-unreachable": IcmpType(3, 1),
    "redirect": IcmpType(5, 137),
    "echo-request": IcmpType(8, 128),
    "router-solicitation": IcmpType(10, 133),
    "time-exceeded": IcmpType(11, 3),
    "parameter-problem": IcmpType(12, 4),
    "timestamp-request": IcmpType(13, None),
    "timestamp-reply": IcmpType(14, None),
}

# RFC 4890, 4.4.1: "must not be dropped" on traffic for the host itself. A hop limit of 255 proves that no router passed
# the packet on (RFC 4861); listener messages come from link-local addresses only (RFC 2710, RFC 3810). A host that is
# no router has no use for solicitations of routers (133); redirects (137) are refused unless named in firewall_icmp.
REQUIRED_ICMP6: tuple[RequiredIcmp6, ...] = (
    RequiredIcmp6("neighbour-solicitation", 135, hop_limit=255),
    RequiredIcmp6("neighbour-advertisement", 136, hop_limit=255),
    RequiredIcmp6("router-advertisement", 134, link_local=True, hop_limit=255),
    RequiredIcmp6("listener-query", 130, link_local=True),
    RequiredIcmp6("listener-report", 131, link_local=True),
    RequiredIcmp6("listener-done", 132, link_local=True),
    RequiredIcmp6("listener-report-v2", 143, link_local=True),
    RequiredIcmp6("packet-too-big", 2),
    RequiredIcmp6("destination-unreachable", 1),
    RequiredIcmp6("time-exceeded", 3),
    RequiredIcmp6("parameter-problem", 4),
)
