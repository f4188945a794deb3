# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as bytes: Ethernet, IPv4 and IPv6, TCP, UDP, ICMP and ICMPv6, written with right checksums and read back. Pure, sends nothing."""
from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple, Optional, Tuple

NUMBERS = {'tcp': 6, 'udp': 17, 'icmp': 1, 'ipv6-icmp': 58}
ETHER_TYPES = {'ipv4': 0x0800, 'ipv6': 0x86dd}
#: In every packet of ours, where no rule looks: TCP's sequence number, or the first bytes of the payload.
MARK = 0x50414c49
_MARK = struct.pack('!I', MARK)
_UDP_PAYLOAD = _MARK + b'sade packet\n'
#: ping's own size: 84 bytes with IPv4's header.
_ECHO_PAYLOAD = _MARK + bytes(range(4, 56))
#: What Linux sends along with a SYN: maximum size, SACK, time stamp, window scale.
_SYN_OPTIONS = bytes.fromhex('020405b4 0402 080a 00000001 00000000 01 030307')
_OPTIONS = bytes.fromhex('01 01 080a 00000002 00000001')
_DISCOVERY = range(133, 138)
_SYN, _ACK = 2, 16


class Packet(NamedTuple):
    """What is in a packet. `source_port` and `port` are an echo's identifier and its sequence number with ICMP."""

    family: str
    source: str
    destination: str
    protocol: str
    source_port: int = 0
    port: int = 0
    flags: int = _SYN
    icmp_type: Tuple[int, int] = (8, 0)
    sequence: int = MARK
    acknowledge: int = 0


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet_bytes(packet: Packet) -> bytes:
    """The packet from its IP header on."""
    source, destination = _packed(packet.source), _packed(packet.destination)
    number = NUMBERS[packet.protocol]
    segment = _segment(packet)
    pseudo = source + destination + struct.pack('!IxxxB' if packet.family == 'ipv6' else '!xBH', *(
        (len(segment), number) if packet.family == 'ipv6' else (number, len(segment))))
    place = {'tcp': 16, 'udp': 6}.get(packet.protocol, 2)
    total = checksum(segment if packet.protocol == 'icmp' else pseudo + segment)
    if packet.protocol == 'udp':
        total = total or 0xffff
    segment = segment[:place] + struct.pack('!H', total) + segment[place + 2:]
    return _header(packet, source, destination, number, len(segment)) + segment


def frame_bytes(packet: Packet, source_mac: str, destination_mac: str) -> bytes:
    """The packet in an Ethernet frame."""
    return mac_bytes(destination_mac) + mac_bytes(source_mac) + struct.pack('!H', ETHER_TYPES[packet.family]) + packet_bytes(packet)


def mac_bytes(text: str) -> bytes:
    """Six bytes of 02:00:00:00:00:01."""
    return bytes.fromhex(text.replace(':', ''))


def group_mac(destination: str) -> str:
    """The MAC address that a multicast or broadcast packet goes to; '' for a packet to one host."""
    address = ipaddress.ip_address(destination)
    if destination == '255.255.255.255':
        return 'ff:ff:ff:ff:ff:ff'
    if not address.is_multicast:
        return ''
    tail = bytearray(address.packed[-4:])
    if address.version == 4:
        return '01:00:5e:%02x:%02x:%02x' % (tail[1] & 0x7f, tail[2], tail[3])
    return '33:33:%02x:%02x:%02x:%02x' % tuple(tail)


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _header(packet: Packet, source: bytes, destination: bytes, number: int, length: int) -> bytes:
    discovery = packet.protocol == 'ipv6-icmp' and packet.icmp_type[0] in _DISCOVERY
    if packet.family == 'ipv6':
        return struct.pack('!IHBB', 6 << 28, length, number, 255 if discovery else 64) + source + destination
    # The identification is not 0: the kernel would choose one, and with DF set nobody looks.
    start = struct.pack('!BBHHHBB', 0x45, 0, 20 + length, 1, 0x4000, 64, number)
    total = checksum(start + b'\0\0' + source + destination)
    return start + struct.pack('!H', total) + source + destination


def _segment(packet: Packet) -> bytes:
    """TCP, UDP or ICMP, with a checksum of zero."""
    if packet.protocol == 'udp':
        return struct.pack('!HHHH', packet.source_port, packet.port, 8 + len(_UDP_PAYLOAD), 0) + _UDP_PAYLOAD
    if packet.protocol == 'tcp':
        options = _SYN_OPTIONS if packet.flags & _SYN else _OPTIONS
        return struct.pack('!HHIIBBHHH', packet.source_port, packet.port, packet.sequence, packet.acknowledge, (20 + len(options)) // 4 << 4,
                           packet.flags, 64240, 0, 0) + options
    kind, code = packet.icmp_type
    return struct.pack('!BBHHH', kind, code, 0, packet.source_port, packet.port) + _rest_of_icmp(packet)


def _rest_of_icmp(packet: Packet) -> bytes:
    """Neighbour discovery has the address it is about behind the header; everything else carries ping's payload."""
    if packet.protocol == 'ipv6-icmp' and packet.icmp_type[0] in (135, 136):
        about = packet.destination if packet.icmp_type[0] == 135 and not ipaddress.ip_address(packet.destination).is_multicast else packet.source
        return _packed(about)
    return _ECHO_PAYLOAD


def read_packet(data: bytes) -> Optional[Packet]:
    """Read a packet from its IP header on; None for what we never send (fragments, other protocols, cut off)."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20 and not struct.unpack('!H', data[6:8])[0] & 0x1fff:
        return read_segment('ipv4', data[12:16], data[16:20], data[9], data[(data[0] & 15) * 4:])
    if version == 6 and len(data) >= 40:
        return read_segment('ipv6', data[8:24], data[24:40], data[6], data[40:])
    return None


def read_segment(family: str, source: bytes, destination: bytes, number: int, segment: bytes) -> Optional[Packet]:
    """The same for what stands behind the IP header."""
    protocol = next((name for name, value in NUMBERS.items() if value == number), '')
    if len(segment) < {'tcp': 20}.get(protocol, 8) or not protocol:
        return None
    packet = Packet(family, str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination)), protocol, sequence=0)
    first, second = struct.unpack('!HH', segment[:4])
    if protocol == 'tcp':
        sequence, acknowledge = struct.unpack('!II', segment[4:12])
        return packet._replace(source_port=first, port=second, sequence=sequence, acknowledge=acknowledge, flags=segment[13])
    mark = struct.unpack('!I', segment[8:12])[0] if len(segment) >= 12 else 0
    if protocol == 'udp':
        return packet._replace(source_port=first, port=second, sequence=mark)
    identifier, number_of_echo = struct.unpack('!HH', segment[4:8])
    kind = segment[0], segment[1]
    if protocol == 'ipv6-icmp' and kind[0] in (135, 136):
        mark = MARK
    return packet._replace(icmp_type=kind, source_port=identifier, port=number_of_echo, sequence=mark)
