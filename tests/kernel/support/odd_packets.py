# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that nobody honest sends, on the cables of a throwaway host: forged sources, redirects, source routes, pings to all.

What is behind every cable is no host, only raw frames. Each question ends with an honest ping: once it is answered, all that was sent before has
had its effect, so nothing is waited for. It holds no test logic.
"""
from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .host import Host

ASK = """
import json, select, socket, sys
job = json.load(sys.stdin)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
    wire.bind((job["wire"], 0))
    for frame in job["frames"]:
        wire.send(bytes.fromhex(frame))
    seen = []
    while select.select([wire], [], [], 20)[0]:
        frame, where = wire.recvfrom(4000)
        if where[2] == socket.PACKET_OUTGOING or frame[12:14] != b"\\x08\\x00":
            continue
        if frame[23] == 1 and frame[34] == 0 and frame[38:40] == b"\\xee\\xee":
            print(json.dumps(seen))
            break
        seen.append(frame[14:].hex())
"""
ICMP, UDP = 1, 17
REPLY, REDIRECT = 0, 5
HERE, THERE = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
EVERYBODY = b"\xff" * 6
#: An option that says by which routers to go: loose source route, over one that the packet has been at already.
SOURCE_ROUTE = bytes([131, 7, 8, 192, 0, 2, 77, 0])


class Cable(NamedTuple):
    """An interface of the host and the networks on it. `number` makes them differ."""

    interface: str
    number: int

    @property
    def wire(self) -> str:
        return f"wire{self.number}"

    def address(self, last: int) -> str:
        """Return an address on the link; 1 is the host's own."""
        return f"10.77.{self.number}.{last}"

    def behind(self, last: int) -> str:
        """Return an address that the host reaches by the gateway 3 on the link."""
        return f"203.0.113.{16 * self.number + last}"


def plug_in(host: Host, other: Host, cable: Cable) -> None:
    """Give the host an interface with a cable, whose other end is in the namespace of `other`."""
    peer = ("peer", "name", cable.wire, "netns", str(other.pid))
    host.run("ip", "link", "add", cable.interface, "address", HERE.hex(":"), "type", "veth", *peer)
    other.run("ip", "link", "set", cable.wire, "up")
    lines = [f"address add {cable.address(1)}/24 broadcast + dev {cable.interface}", f"link set {cable.interface} up",
             *(f"neighbour add {cable.address(last)} lladdr {THERE.hex(':')} dev {cable.interface} nud permanent" for last in range(2, 10)),
             f"route add {cable.behind(0)}/28 via {cable.address(3)}"]
    host.run("ip", "-batch", "-", text="\n".join(lines) + "\n")


def ask(other: Host, cable: Cable, *frames: bytes) -> list[bytes]:
    """Send frames to the host and return the IPv4 packets that it sends back over the cable."""
    honest = ping(cable, identifier=0xEEEE)
    job = {"wire": cable.wire, "frames": [frame.hex() for frame in (*frames, honest)]}
    said = other.run("python3", "-c", ASK, text=json.dumps(job)).stdout
    assert said, "the host does not answer an honest ping"
    return [bytes.fromhex(packet) for packet in json.loads(said)]


def icmp_types(packets: Sequence[bytes]) -> list[int]:
    """Return the types of those that are ICMP."""
    return [packet[(packet[0] & 15) * 4] for packet in packets if packet[9] == ICMP]


def datagram(cable: Cable, source: str, to: str = "", options: bytes = b"") -> bytes:
    """Make a UDP datagram to a port where nobody listens."""
    payload = struct.pack("!4H", 40_000, 9, 8, 0)
    return frame_of(_ip(source, to or cable.address(1), UDP, payload, options))


def ping(cable: Cable, to: str = "", identifier: int = 7) -> bytes:
    """Make an echo-request of the neighbour with address 2."""
    return frame_of(_ip(cable.address(2), to or cable.address(1), ICMP, _icmp(8, struct.pack("!HH", identifier, 1), 0)),
                    EVERYBODY if to.endswith(".255") else HERE)


def redirect(cable: Cable, destination: str) -> bytes:
    """Make an ICMP redirect of the gateway 3: go to 4 for a destination whose ping the host is said to have answered."""
    own = _ip(cable.address(1), destination, ICMP, _icmp(REPLY, struct.pack("!HH", 7, 1), 0))
    return frame_of(_ip(cable.address(3), cable.address(1), ICMP, _icmp(REDIRECT, socket.inet_aton(cable.address(4)) + own, 1)))


def frame_of(packet: bytes, to: bytes = HERE) -> bytes:
    return to + THERE + b"\x08\x00" + packet


def _icmp(kind: int, rest: bytes, code: int) -> bytes:
    head = struct.pack("!BBH", kind, code, 0)
    return struct.pack("!BBH", kind, code, _checksum(head + rest)) + rest


def _ip(source: str, to: str, protocol: int, payload: bytes, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4

    def head(checksum: int) -> bytes:
        return struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), 1, 0, 64, protocol, checksum,
                           socket.inet_aton(source), socket.inet_aton(to)) + options

    return head(_checksum(head(0))) + payload


def _checksum(data: bytes) -> int:
    even = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def delivered(host: Host) -> int:
    """Return how many UDP datagrams have come as far as to find nobody listening."""
    return _counter(host, "/proc/net/snmp", "Udp:", "NoPorts")


def filtered(host: Host) -> int:
    """Return how many packets the reverse path filter has dropped."""
    return _counter(host, "/proc/net/netstat", "TcpExt:", "IPReversePathFilter")


def _counter(host: Host, file: str, group: str, name: str) -> int:
    names, values = (line.split() for line in host.run("cat", file).stdout.splitlines() if line.startswith(group))
    return int(values[names.index(name)])


def gateway(host: Host, destination: str) -> str:
    """Return by which router the host would send a packet now, redirects counted."""
    words = host.run("ip", "-4", "route", "get", destination).stdout.split()
    return words[words.index("via") + 1] if "via" in words else ""


@contextmanager
def kernel_log() -> Iterator[list[str]]:
    """Collect what this machine's kernel logs meanwhile; the list is filled at the end."""
    log: list[str] = []
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
        yield log
        while True:
            try:
                log.append(os.read(descriptor, 8192).decode("utf-8", "replace"))
            except BlockingIOError:
                break
            except BrokenPipeError:
                continue
    finally:
        os.close(descriptor)
