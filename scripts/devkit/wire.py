# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real traffic for the demo: ``listen PORT ...`` on one host, ``probe`` from another. Runs by itself, judges nothing.

``probe`` reads a JSON list of ``[address, port]`` on standard input, port 0 for a ping, and prints what came back of each.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import struct
import sys
import threading

TIMEOUT = 1.5
"""Seconds after which a probe counts as unanswered; on a veth an answer takes microseconds."""

ECHO = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Per family: the protocol of an echo request, its type, the type of the reply."""


def listen(ports: list[int]) -> None:
    """Accept connections on these TCP ports, both families, until standard input ends. Says ``ready`` when it does."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    for port in ports:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
                continue
            server = socket.socket(family, socket.SOCK_STREAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, port))
            server.listen()
            selector.register(server, selectors.EVENT_READ, server)
    print("ready", flush=True)
    while True:
        for key, _events in selector.select():
            if key.data is None:
                return
            key.data.accept()[0].close()


def probe(targets: list[tuple[str, int]]) -> list[str]:
    """Return for each target ``answers``, ``refused`` or ``no answer``; all are tried at once."""
    found = ["no answer"] * len(targets)

    def attempt(index: int, address: str, port: int) -> None:
        found[index] = _connect(address, port) if port else _ping(address, index + 1)

    threads = [threading.Thread(target=attempt, args=(index, *target)) for index, target in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _connect(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), TIMEOUT).close()
    except OSError as error:
        return "refused" if error.errno == errno.ECONNREFUSED else "no answer"
    return "answers"


def _ping(address: str, sequence: int) -> str:
    protocol, request, reply = ECHO[_family(address)]
    identifier = os.getpid() & 0xFFFF
    header = struct.pack("!BBHHH", request, 0, 0, identifier, sequence)
    packet = struct.pack("!BBHHH", request, 0, _checksum(header), identifier, sequence)
    with socket.socket(_family(address), socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(TIMEOUT)
        try:
            raw.sendto(packet, (address, 0))
            while True:
                data = raw.recv(2048)
                answer = data[(data[0] & 15) * 4 :] if protocol == socket.IPPROTO_ICMP else data
                if answer[0] == reply and struct.unpack("!HH", answer[4:8]) == (identifier, sequence):
                    return "answers"
        except OSError:
            return "no answer"


def _checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes. For ICMPv6 the kernel puts in its own."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen([int(word) for word in sys.argv[2:]])
    else:
        json.dump(probe([tuple(target) for target in json.load(sys.stdin)]), sys.stdout)
