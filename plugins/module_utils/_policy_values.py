# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads single values of a policy: ports, addresses, interfaces, rates, names. Knows neither rules nor policies.

Every function takes the value and `where`, the variable and entry it came from, and either returns the value in its
one canonical form or raises PalisadeError with a message that starts with `where`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence, Union

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

FAMILIES: Mapping[str, int] = {"ipv4": 4, "ipv6": 6}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
_RANGE = re.compile(r"\s*([0-9]*)\s*[:-]\s*([0-9]*)\s*\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@](?:[A-Za-z0-9_.@-]{0,14}|[A-Za-z0-9_.@-]{0,13}\+)\Z")
_PLACEHOLDER = re.compile(r"\{([a-zA-Z_]+)\}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
_RATE = re.compile(r"\s*([1-9][0-9]{0,4})\s*/\s*([a-z]+)\s*\Z")

# xt_limit counts in units of 1/10000 s, and iptables-save prints the largest unit that comes out even.
_LIMIT_SCALE = 10000
# Its credits are 32 bits wide, made to hold one day; a bucket that takes longer to fill is refused or overflows silently.
_LONGEST_FILL = 86400 * _LIMIT_SCALE
_UNITS: tuple[tuple[str, int], ...] = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))
_UNIT_NAMES: Mapping[str, int] = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}

#: The kernel cuts a log prefix there, silently.
LONGEST_PREFIX = 29

LOG_LEVELS: Mapping[str, int] = {
    "emerg": 0,
    "alert": 1,
    "crit": 2,
    "error": 3,
    "err": 3,
    "warning": 4,
    "warn": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}


@dataclass(frozen=True, order=True)
class PortRange:
    """The ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}:{self.last}"

    @property
    def slots(self) -> int:
        """How many of multiport's 15 places it takes."""
        return 1 if self.first == self.last else 2

    def overlaps(self, other: PortRange) -> bool:
        return self.first <= other.last and other.first <= self.last


_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Source:
    """A source address, network (`text` as iptables-save prints it) or range of addresses, of one family."""

    family: int
    first: _Address
    last: _Address
    text: str
    is_range: bool = False

    @property
    def everything(self) -> bool:
        return not self.is_range and self.text.endswith("/0")

    def overlaps(self, other: Source) -> bool:
        return self.family == other.family and int(self.first) <= int(other.last) and int(other.first) <= int(self.last)

    def holds(self, address: _Address) -> bool:
        return address.version == self.family and int(self.first) <= int(address) <= int(self.last)


def join(where: str, key: object) -> str:
    """The name of an entry below `where`."""
    return f"{where}.{key}"


def suggestion(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is close."""
    close = difflib.get_close_matches(str(word), sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean '{close[0]}'?" if close else ""


def kind(value: object) -> str:
    """What a value is, in the words of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    names = ((str, "a text"), (Mapping, "a dictionary"), (int, "a number"), (float, "a fraction"))
    for cls, name in names:
        if isinstance(value, cls):
            return name
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """A dictionary with texts as keys; nothing at all is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PalisadeError(f"{where}: a dictionary is needed, not {kind(value)}")
    for key in value:
        if not isinstance(key, str):
            raise PalisadeError(f"{where}: the key {key!r} must be a text, not {kind(key)}")
        if _CONTROL.search(key):
            raise PalisadeError(f"{where}: the key {key!r} has a control character in it")
    return value


def present(value: object, where: str) -> dict[str, Any]:
    """A dictionary without the keys that say nothing."""
    return {key: entry for key, entry in mapping(value, where).items() if entry is not None}


def known_keys(value: Mapping[str, Any], where: str, known: Iterable[str]) -> None:
    """Refuse the first key that nobody knows."""
    names = sorted(known)
    for key in value:
        if key not in names:
            hint = suggestion(key, names) or " (known: {})".format(", ".join(names))
            raise PalisadeError(f"{join(where, key)}: unknown key{hint}")


def text(value: object, where: str) -> str:
    """A text without control characters."""
    if not isinstance(value, str):
        raise PalisadeError(f"{where}: a text is needed, not {kind(value)}")
    if _CONTROL.search(value):
        raise PalisadeError(f"{where}: {str(value)!r} has a control character in it")
    return str(value)


def boolean(value: object, where: str) -> bool:
    """A truth value in any of Ansible's spellings."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, (str, int)) and word in _TRUE + _FALSE:
        return word in _TRUE
    raise PalisadeError(f"{where}: true or false is needed, not {value!r}")


def integer(value: object, where: str, first: int, last: int) -> int:
    """A whole number from `first` to `last`, as a number or in digits without leading zeros."""
    if isinstance(value, str) and _NUMBER.match(value.strip()):
        value = int(value.strip())
    if isinstance(value, bool) or not isinstance(value, int):
        raise PalisadeError(f"{where}: a whole number is needed, not {value!r}")
    if not first <= value <= last:
        raise PalisadeError(f"{where}: {value} is not between {first} and {last}")
    return int(value)


def choice(value: object, where: str, choices: Iterable[str]) -> str:
    """One of a few words."""
    words = list(choices)
    if isinstance(value, str) and value in words:
        return str(value)
    hint = suggestion(value, words) if isinstance(value, str) else ""
    raise PalisadeError("{}: {!r} is none of {}{}".format(where, value, ", ".join(words), hint))


def items(value: object, where: str) -> list[Any]:
    """The elements of a list. One text or number alone is a list of one; a text is split at its commas."""
    if isinstance(value, str):
        return [part.strip() for part in text(value, where).split(",")]
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise PalisadeError(f"{where}: a list is needed, not {kind(value)}")
    return list(value)


def unique(values: Iterable[Any]) -> tuple[Any, ...]:
    """Without repetitions, in the order of first appearance."""
    return tuple(dict.fromkeys(values))


def name(value: str, where: str) -> str:
    """The name of an entry: it becomes part of comments and chain names."""
    if not _NAME.match(value):
        raise PalisadeError(
            f"{where}: {value!r} is no name (letters, digits, '_' and '-', at most 64, a letter or digit first)"
        )
    return str(value)


def families(value: object, where: str) -> tuple[int, ...]:
    """4 and 6, in this order, as far as they are named."""
    numbers = {FAMILIES[choice(item, where, FAMILIES)] for item in items(value, where)}
    if not numbers:
        raise PalisadeError(f"{where}: the list is empty; name ipv4, ipv6 or both")
    return tuple(sorted(numbers))


def _port(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise PalisadeError(f"{where}: a port is a number or a range, not {kind(value)}")
    if isinstance(value, str) and not _NUMBER.match(value):
        raise PalisadeError(f"{where}: {value!r} is no port; ports are numbers without leading zeros")
    if not 1 <= int(value) <= 65535:
        raise PalisadeError(f"{where}: {int(value)} is no port (1 to 65535)")
    return int(value)


def port_range(value: object, where: str) -> PortRange:
    """A port (443, '443') or a range ('8000-8010', '8000:8010')."""
    if isinstance(value, str):
        match = _RANGE.match(text(value, where))
        if match:
            if not match.group(1) or not match.group(2):
                raise PalisadeError(f"{where}: {value!r} is an open range; write both ends")
            first, last = _port(match.group(1), where), _port(match.group(2), where)
            if first > last:
                raise PalisadeError(f"{where}: the range {value!r} runs backwards")
            return PortRange(first, last)
        value = value.strip()
    port = _port(value, where)
    return PortRange(port, port)


def merged(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The same ports, sorted, no port in two ranges."""
    result: list[PortRange] = []
    for item in sorted(ranges):
        if result and item.overlaps(result[-1]):
            result[-1] = PortRange(result[-1].first, max(result[-1].last, item.last))
        else:
            result.append(item)
    return tuple(result)


def ports(value: object, where: str) -> tuple[PortRange, ...]:
    """Ports and ranges, sorted; overlapping ones are made one."""
    values = items(value, where)
    if not values:
        raise PalisadeError(f"{where}: the list is empty")
    return merged(port_range(item, where) for item in values)


def _reject_odd_address(word: str, where: str) -> None:
    if "%" in word:
        raise PalisadeError(f"{where}: {word!r} has an interface in it; use `interfaces` for that")


def _address(word: str, where: str) -> _Address:
    _reject_odd_address(word, where)
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        raise PalisadeError(
            f"{where}: {word!r} is no address, network or range of addresses (host names are not looked up)"
        ) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise PalisadeError(f"{where}: {word!r} never is on the wire; write {address.ipv4_mapped}")
    return address


def spelt(address: _Address) -> str:
    """As iptables prints it; for IPv6 that is the C library's spelling."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return socket.inet_ntop(socket.AF_INET6, address.packed)


def _network(word: str, where: str) -> Source:
    _reject_odd_address(word, where)
    base = _address(word.split("/", 1)[0], where)
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise PalisadeError(f"{where}: {word!r} has no valid prefix length or mask") from None
    if base != network.network_address:
        raise PalisadeError(
            f"{where}: {word!r} is an address inside a network; the network is {network}, the host alone is {base}"
        )
    return as_source(network)


def as_source(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Source:
    """A network as a source."""
    spelling = f"{spelt(network.network_address)}/{network.prefixlen}"
    return Source(network.version, network.network_address, network.broadcast_address, spelling)


def source(value: object, where: str) -> Source:
    """An address, a network (prefix length or mask) or a range 'first-last', IPv4 or IPv6."""
    word = text(value, where).strip()
    if "-" in word:
        ends = [_address(end.strip(), where) for end in word.split("-", 1)]
        if ends[0].version != ends[1].version:
            raise PalisadeError(f"{where}: the range {word!r} begins in one family and ends in the other")
        if int(ends[0]) > int(ends[1]):
            raise PalisadeError(f"{where}: the range {word!r} runs backwards")
        spelling = f"{spelt(ends[0])}-{spelt(ends[1])}"
        return Source(ends[0].version, ends[0], ends[1], spelling, is_range=True)
    if "/" in word:
        return _network(word, where)
    address = _address(word, where)
    return Source(address.version, address, address, f"{spelt(address)}/{address.max_prefixlen}")


def sources(value: object, where: str, allowed: Sequence[int] = (4, 6)) -> tuple[Source, ...]:
    """Sources in the order given, without repetitions, none of a family that is not `allowed`."""
    result = unique(source(item, where) for item in items(value, where))
    for item in result:
        if item.family not in allowed:
            raise PalisadeError(f"{where}: {item.text} is IPv{item.family}, and firewall_families leaves that out")
    return result


def interfaces(value: object, where: str) -> tuple[str, ...]:
    """Interface names, as the kernel allows them and iptables can match them; a final '+' matches any ending."""
    values = items(value, where)
    if not values:
        raise PalisadeError(f"{where}: the list is empty; leave it out to mean every interface")
    for item in values:
        word = text(item, where)
        if not _INTERFACE.match(word) or word in (".", ".."):
            raise PalisadeError(f"{where}: {word!r} is no interface name (at most 15 characters)")
    return unique(str(item) for item in values)


@dataclass(frozen=True)
class Rate:
    """`burst` packets at once, and one more whenever `period` (in the kernel's unit, 1/10000 s) has passed."""

    period: int
    burst: int

    @property
    def text(self) -> str:
        """The rate in the spelling of iptables-save ('10/min', '1/sec' for '60/minute')."""
        chosen = _UNITS[0]
        for unit in _UNITS[1:]:
            scale = unit[1] * _LIMIT_SCALE
            if self.period > scale or scale // self.period < scale % self.period:
                break
            chosen = unit
        return f"{chosen[1] * _LIMIT_SCALE // self.period}/{chosen[0]}"


def rate(value: object, burst: object, at: str, at_burst: str) -> Rate:
    """A rate ('10/minute') with its burst; `at` and `at_burst` are where the two were given."""
    match = _RATE.match(text(value, at))
    if not match:
        raise PalisadeError(f"{at}: {value!r} is no rate; write it like '10/minute'")
    unit = match.group(2)
    if unit not in _UNIT_NAMES:
        known = ["second", "minute", "hour", "day"]
        raise PalisadeError(f"{at}: {unit!r} is no unit of time ({', '.join(known)}){suggestion(unit, known)}")
    period = _LIMIT_SCALE * _UNIT_NAMES[unit] // int(match.group(1))
    if period == 0:
        raise PalisadeError(f"{at}: {value!r} is faster than the kernel can count (10000 a second)")
    result = Rate(period, integer(burst, at_burst, 1, 10000))
    if result.period * result.burst > _LONGEST_FILL:
        raise PalisadeError(
            f"{at_burst}: {result.burst} packets at {value} take more than a day, which the kernel cannot count"
        )
    return result


def log_level(value: object, where: str) -> int:
    """A syslog level by name or number, 0 to 7."""
    if isinstance(value, str) and value.strip().lower() in LOG_LEVELS:
        return LOG_LEVELS[value.strip().lower()]
    if isinstance(value, str) and not value.strip().isdigit():
        raise PalisadeError(
            "{}: {!r} is no log level (0 to 7, or {}){}".format(
                where, value, ", ".join(LOG_LEVELS), suggestion(value, LOG_LEVELS)
            )
        )
    return integer(value, where, 0, 7)


def macs(value: object, where: str) -> tuple[str, ...]:
    """The addresses of network cards, as iptables-save prints them."""
    found = items(value, where)
    if not found:
        raise PalisadeError(f"{where}: the list is empty")
    return unique(mac(item, where) for item in found)


def mac(value: object, where: str) -> str:
    """The address of one network card."""
    if isinstance(value, int):
        raise PalisadeError(f"{where}: YAML has read a MAC address as the number {value}; put it in quotes")
    word = text(value, where).strip().lower().replace("-", ":")
    if not _MAC.match(word):
        raise PalisadeError(f"{where}: {value!r} is no MAC address; write it like '02:00:5e:10:00:01', in quotes")
    if int(word[:2], 16) & 1 or word == "00:00:00:00:00:00":
        raise PalisadeError(f"{where}: {value!r} is the address of no single network card")
    return word


def log_prefix(value: object, where: str, longest_chain: str, longest_verdict: str = "") -> str:
    """A log prefix with placeholders. Written out, with the longest that they stand for, it has at most 29 characters."""
    prefix = text(value, where)
    if not re.match(r"[ -~]*\Z", prefix) or set(prefix) & set("\"'\\"):
        raise PalisadeError(f"{where}: {prefix!r} may hold plain ASCII without quotes and backslashes")
    for name in _PLACEHOLDER.findall(prefix):
        choice(name, where, ("chain", "verdict"))
    length = len(prefix.replace("{chain}", longest_chain).replace("{verdict}", longest_verdict))
    if length > LONGEST_PREFIX:
        raise PalisadeError(f"{where}: {prefix!r} comes to {length} characters; the kernel keeps {LONGEST_PREFIX}")
    return prefix
