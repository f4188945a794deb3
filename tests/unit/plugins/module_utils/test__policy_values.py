# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: what is read, in which canonical form, and what is refused in which words."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from hypothesis import given
from hypothesis import strategies as st


def refused(message: str) -> Any:
    return pytest.raises(PalisadeError, match="^" + re.escape(message))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (443, "443"),
        ("443", "443"),
        (" 443 ", "443"),
        ("80:90", "80:90"),
        ("80-90", "80:90"),
        ("80 - 90", "80:90"),
        ("80-80", "80"),
        ([443, 80], "80,443"),
        ("443,80", "80,443"),
        (["80-90", 85, "88:95"], "80:95"),
        (["80-90", 91], "80:90,91"),
        ((1, 65535), "1,65535"),
    ],
)
def test_ports(written: object, read: str) -> None:
    assert ",".join(str(item) for item in values.ports(written, "here")) == read


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (70000, "here: 70000 is no port (1 to 65535)"),
        (0, "here: 0 is no port"),
        (-1, "here: -1 is no port"),
        ("90:80", "here: the range '90:80' runs backwards"),
        ("80:", "here: '80:' is an open range"),
        ("-80", "here: '-80' is an open range"),
        ("80-70000", "here: 70000 is no port"),
        ("http", "here: 'http' is no port"),
        ("022", "here: '022' is no port; ports are numbers without leading zeros"),
        ("0x50", "here: '0x50' is no port"),
        ("", "here: '' is no port"),
        ("80,,90", "here: '' is no port"),
        (True, "here: a list is needed, not a boolean"),
        ([True], "here: a port is a number or a range, not a boolean"),
        ([80.5], "here: a port is a number or a range, not a fraction"),
        ([[80]], "here: a port is a number or a range, not a list"),
        ({"a": 1}, "here: a list is needed, not a dictionary"),
        (None, "here: a list is needed, not nothing"),
        ([], "here: the list is empty"),
        ("80\n-j ACCEPT", "here: '80\\n-j ACCEPT' has a control character"),
        ("80:90\n", "here: '80:90\\n' has a control character"),
    ],
)
def test_no_ports(written: object, message: str) -> None:
    with refused(message):
        values.ports(written, "here")


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted), min_size=1, max_size=30))
def test_merged_ranges_hold_the_same_ports_and_no_port_twice(pairs: list[list[int]]) -> None:
    ranges = [values.PortRange(first, last) for first, last in pairs]
    merged = values.merged(ranges)
    for one, other in zip(merged, merged[1:]):
        assert one.last < other.first
    assert covered(merged) == covered(ranges)


def covered(ranges: Any) -> set[int]:
    return {port for item in ranges for port in range(item.first, item.last + 1)}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9"),
        ("192.0.2.1 - 192.0.2.9", "192.0.2.1-192.0.2.9"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:0db8:0000::/48", "2001:db8::/48"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1/128"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1/128"),
        ("::/0", "::/0"),
        ("::1.2.3.4", "::1.2.3.4/128"),
        ("2001:db8::1-2001:db8::f", "2001:db8::1-2001:db8::f"),
    ],
)
def test_sources(written: str, read: str) -> None:
    (source,) = values.sources(written, "here")
    assert source.text == read
    assert source.family == (6 if ":" in read else 4)
    assert source.everything == read.endswith("/0")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("10.0.0.5/8", "here: '10.0.0.5/8' is an address inside a network; the network is 10.0.0.0/8"),
        ("10.0.0.0/33", "here: '10.0.0.0/33' has no valid prefix length or mask"),
        ("2001:db8::/129", "here: '2001:db8::/129' has no valid prefix length"),
        ("10.0.0", "here: '10.0.0' is no address, network or range"),
        ("10.0.0.256", "here: '10.0.0.256' is no address"),
        ("010.0.0.1", "here: '010.0.0.1' is no address"),
        ("office.example.org", "here: 'office.example.org' is no address"),
        ("build-host", "here: 'build' is no address"),
        ("any", "here: 'any' is no address"),
        ("", "here: '' is no address"),
        (10, "here: a text is needed, not a number"),
        ([None], "here: a text is needed, not nothing"),
        ("fe80::1%eth0", "here: 'fe80::1%eth0' has an interface in it; use `interfaces`"),
        ("::ffff:192.0.2.1", "here: '::ffff:192.0.2.1' never is on the wire; write 192.0.2.1"),
        ("192.0.2.9-192.0.2.1", "here: the range '192.0.2.9-192.0.2.1' runs backwards"),
        ("192.0.2.1-2001:db8::1", "here: the range '192.0.2.1-2001:db8::1' begins in one family"),
        ("!192.0.2.1", "here: '!192.0.2.1' is no address"),
        ("192.0.2.1\n", "here: '192.0.2.1\\n' has a control character"),
    ],
)
def test_no_sources(written: object, message: str) -> None:
    with refused(message):
        values.sources(written, "here")


def test_sources_keep_their_order_and_lose_repetitions() -> None:
    read = values.sources(["192.0.2.9", "10.0.0.0/8", "192.0.2.9/32"], "here")
    assert [source.text for source in read] == ["192.0.2.9/32", "10.0.0.0/8"]


def test_a_source_of_a_family_that_is_left_out() -> None:
    with refused("here: 2001:db8::/32 is IPv6, and firewall_families leaves that out"):
        values.sources(["192.0.2.1", "2001:db8::/32"], "here", (4,))


@given(st.ip_addresses(), st.ip_addresses())
def test_a_source_holds_what_its_text_says(one: Any, other: Any) -> None:
    source = values.source(str(one), "here") if not getattr(one, "ipv4_mapped", None) else None
    if source is not None:
        assert source.holds(one)
        assert source.holds(other) == (one == other)
        assert ipaddress.ip_network(source.text).network_address == one


@pytest.mark.parametrize("word", ["eth0", "eth0.100", "wlan+", "br-lan", "enp3s0f1np1", "a@b", "fifteen_letters"])
def test_interfaces(word: str) -> None:
    assert values.interfaces([word, word], "here") == (word,)


@pytest.mark.parametrize(
    "word", ["", "+", "-i", "eth 0", "a/b", "!eth0", "sixteen_letters_", "et+h", "eth0:1", ".", "é", "a\nb"]
)
def test_no_interfaces(word: str) -> None:
    with refused("here: "):
        values.interfaces([word], "here")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10/minute", "10/min"),
        ("10/m", "10/min"),
        ("7/min", "7/min"),
        ("60/minute", "1/sec"),
        ("300/second", "303/sec"),
        ("24/day", "1/hour"),
        (" 5 / hour ", "5/hour"),
        ("10000/second", "10000/sec"),
    ],
)
def test_rates(written: str, read: str) -> None:
    assert values.rate(written, 1, "here", "burst").text == read


@pytest.mark.parametrize(
    ("written", "burst", "message"),
    [
        ("10", 5, "here: '10' is no rate; write it like '10/minute'"),
        ("0/minute", 5, "here: '0/minute' is no rate"),
        ("ten/minute", 5, "here: 'ten/minute' is no rate"),
        ("10/minutes", 5, "here: 'minutes' is no unit of time (second, minute, hour, day); did you mean 'minute'?"),
        ("10/fortnight", 5, "here: 'fortnight' is no unit of time"),
        ("20000/second", 5, "here: '20000/second' is faster than the kernel can count"),
        (10, 5, "here: a text is needed, not a number"),
        ("1/day", 2, "burst: 2 packets at 1/day take more than a day"),
        ("1/minute", 0, "burst: 0 is not between 1 and 10000"),
        ("1/minute", "many", "burst: a whole number is needed, not 'many'"),
    ],
)
def test_no_rates(written: object, burst: object, message: str) -> None:
    with refused(message):
        values.rate(written, burst, "here", "burst")


@pytest.mark.parametrize(("written", "read"), [("info", 6), ("WARN", 4), (7, 7), ("0", 0)])
def test_log_levels(written: object, read: int) -> None:
    assert values.log_level(written, "here") == read


@pytest.mark.parametrize("written", ["inform", 8, -1, None, "8", True])
def test_no_log_levels(written: object) -> None:
    with refused("here: "):
        values.log_level(written, "here")


@pytest.mark.parametrize("written", ['a"b', "a\\b", "it's", "é", "a\n", "x" * 30, "{chain}" + "x" * 23])
def test_no_log_prefixes(written: str) -> None:
    with refused("here: "):
        values.log_prefix(written, "here", "FORWARD")


def test_a_log_prefix_may_have_29_characters() -> None:
    assert values.log_prefix("{chain}" + "x" * 22, "here", "FORWARD")


@pytest.mark.parametrize(
    ("written", "read"), [(True, True), ("yes", True), ("False", False), (1, True), ("off", False)]
)
def test_booleans(written: object, read: bool) -> None:
    assert values.boolean(written, "here") is read


@pytest.mark.parametrize("written", ["maybe", 2, None, [], 0.5])
def test_no_booleans(written: object) -> None:
    with refused("here: true or false is needed, not "):
        values.boolean(written, "here")


@pytest.mark.parametrize("key", [1, None, "a\nb"])
def test_no_keys(key: object) -> None:
    with refused("here: the key "):
        values.mapping({key: 1}, "here")
