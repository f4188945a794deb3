# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as bytes: known checksums, every checksum verified the way a receiver does it, and the way back."""
from __future__ import annotations

import struct
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import (
    MARK,
    Packet,
    checksum,
    frame_bytes,
    group_mac,
    packet_bytes,
    read_packet,
)
from hypothesis import given
from hypothesis import strategies as st

V4 = Packet('ipv4', '198.51.100.7', '192.0.2.1', 'tcp', 40000, 22)
V6 = Packet('ipv6', '2001:db8::7', '2001:db8::1', 'tcp', 40000, 22)
#: One of each kind.
PACKETS = [
    V4, V6, V4._replace(flags=16, acknowledge=5), V6._replace(flags=0),
    V4._replace(protocol='udp'), V6._replace(protocol='udp', port=53),
    V4._replace(protocol='icmp', port=1, flags=2), V6._replace(protocol='ipv6-icmp', icmp_type=(128, 0), port=1),
    V4._replace(protocol='icmp', icmp_type=(3, 4)), V6._replace(protocol='ipv6-icmp', icmp_type=(135, 0), source_port=0, port=0),
    V6._replace(protocol='ipv6-icmp', icmp_type=(136, 0), source_port=0, port=0),
]


def test_checksums_as_others_have_worked_them_out() -> None:
    # RFC 1071, section 3: 0001 f203 f4f5 f6f7 sums to ddf2.
    assert checksum(bytes.fromhex('0001f203f4f5f6f7')) == 0xffff ^ 0xddf2
    # The example header of the article "Internet checksum" in Wikipedia.
    assert checksum(bytes.fromhex('450000730000400040110000c0a80001c0a800c7')) == 0xb861
    assert checksum(b'\x01') == checksum(b'\x01\x00')


def sum_of(data: bytes) -> int:
    """What a receiver adds up, written another way: 0xffff if nothing was damaged."""
    total = sum(byte << (0 if place % 2 else 8) for place, byte in enumerate(data))
    while total > 0xffff:
        total = total // 0x10000 + total % 0x10000
    return total


@pytest.mark.parametrize('packet', PACKETS)
def test_a_receiver_finds_every_checksum_right(packet: Packet) -> None:
    data = packet_bytes(packet)
    if packet.family == 'ipv4':
        assert sum_of(data[:20]) == 0xffff
        assert struct.unpack('!H', data[2:4])[0] == len(data)
        addresses, segment, number = data[12:20], data[20:], data[9]
    else:
        assert struct.unpack('!H', data[4:6])[0] == len(data) - 40
        addresses, segment, number = data[8:40], data[40:], data[6]
    pseudo = addresses + struct.pack('!HH', number, len(segment))
    assert sum_of(segment if number == 1 else pseudo + segment) == 0xffff


@pytest.mark.parametrize('packet', PACKETS)
def test_what_is_written_is_read(packet: Packet) -> None:
    read = read_packet(packet_bytes(packet))
    assert read is not None
    wanted = packet if packet.protocol == 'tcp' else packet._replace(flags=2, acknowledge=0)
    assert read == (wanted if 'icmp' in packet.protocol else wanted._replace(icmp_type=(8, 0)))


@given(st.binary(max_size=100))
def test_reading_never_fails(data: bytes) -> None:
    read_packet(data)
    read_packet(b'\x45' + data)
    read_packet(b'\x60' + data)


def test_a_syn_is_as_long_as_linux_has_it_and_a_ping_too() -> None:
    assert len(packet_bytes(V4)) == 60
    assert len(packet_bytes(V6)) == 80
    assert len(packet_bytes(V4._replace(flags=16))) == 52
    assert len(packet_bytes(V4._replace(protocol='icmp'))) == 84


def test_a_whole_frame() -> None:
    frame = frame_bytes(V4, '02:00:00:00:00:01', '02:00:00:00:00:02')
    assert frame[:14].hex() == '0200000000020200000000010800'
    assert frame[14:34].hex() == '4500003c0001400040064e7f' + 'c6336407' + 'c0000201'
    assert frame[34:42].hex() == '9c400016%08x' % MARK
    assert frame_bytes(V6, '02:00:00:00:00:01', '02:00:00:00:00:02')[12:14].hex() == '86dd'


@pytest.mark.parametrize(('destination', 'mac'), [
    ('192.0.2.1', ''), ('2001:db8::1', ''), ('255.255.255.255', 'ff:ff:ff:ff:ff:ff'), ('224.0.0.251', '01:00:5e:00:00:fb'),
    ('239.255.255.250', '01:00:5e:7f:ff:fa'), ('ff02::1:ff00:10', '33:33:ff:00:00:10'),
])
def test_where_group_packets_go(destination: str, mac: str) -> None:
    assert group_mac(destination) == mac


@pytest.mark.parametrize(('kind', 'limit'), [((135, 0), 255), ((128, 0), 64), ((133, 0), 255)])
def test_neighbour_discovery_has_the_hop_limit_that_shows_it_is_from_the_link(kind: Any, limit: int) -> None:
    assert packet_bytes(V6._replace(protocol='ipv6-icmp', icmp_type=kind))[7] == limit
