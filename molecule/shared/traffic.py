# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real traffic between the machines of a scenario: a server that tells its visitors who they are, and the visitors.

Runs on the machines, from Python 3.9, with the standard library alone.

    traffic.py serve tcp/80 udp/53 ...    answer on these ports until killed
    traffic.py meet '[[TRY, ...], ...]'   make connections: the lists one after the other, what is in one at once
    traffic.py segment '[TRY, ...]'       send bare TCP segments and say what came back
    traffic.py talk HOST PORT             make one connection, say each line of the input over it and print the answer
    traffic.py ftp HOST SOURCE active     fetch a file, over a data connection that the server (or `passive`: we) opens
"""

from __future__ import annotations

import asyncio
import ftplib
import json
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SYN, RST, ACK = 2, 4, 16


# The server


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tell a web client where it comes from; to whatever else is said, say it again, for as long as the visitor likes."""
    source, ours = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    seen = json.dumps({"source": source[0], "source_port": source[1], "port": ours[1]})
    try:
        while line := await reader.readline():
            if line.startswith(b"GET "):
                writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{seen}\n".encode())
                break
            writer.write(line)
        await writer.drain()
        writer.close()
    except OSError:
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """Tells whoever sends a datagram where it comes from."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(json.dumps({"source": addr[0], "source_port": addr[1]}).encode(), addr)


async def serve(names: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for protocol, port in (name.split("/") for name in names):
        for family in (socket.AF_INET, socket.AF_INET6):
            sock = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", int(port)))
            if protocol == "tcp":
                await asyncio.start_server(answer, sock=sock)
            else:
                await loop.create_datagram_endpoint(Echo, sock=sock)
    await asyncio.Event().wait()


# The visitors


def meet(attempt: dict[str, Any]) -> dict[str, Any]:
    """Make one connection, or send one datagram, and say what was met: open, refused, silence,
    forbidden (our own rules dropped the datagram) or an error's text.
    """
    kind = socket.SOCK_STREAM if attempt["protocol"] == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in attempt["to"] else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.settimeout(attempt["seconds"])
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((attempt["source"] or ("::" if family == socket.AF_INET6 else "0.0.0.0"), attempt["source_port"]))
            sock.connect((attempt["to"], attempt["port"]))
            return {"how": "open", "seen": ask(sock)} if kind == socket.SOCK_STREAM else answered(sock)
        except TimeoutError:
            return {"how": "silence", "seen": {}}
        except ConnectionRefusedError:
            return {"how": "refused", "seen": {}}
        except PermissionError:
            return {"how": "forbidden", "seen": {}}
        except OSError as error:
            return {"how": "silence" if isinstance(error, socket.timeout) else str(error), "seen": {}}


def ask(sock: socket.socket) -> Any:
    """What the other side has to say of a visitor; nothing if it is no server of ours."""
    try:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        text = b""
        while data := sock.recv(4096):
            text += data
            if not text.startswith(b"HTTP"):
                return {}
        return json.loads(text.partition(b"\r\n\r\n")[2] or b"{}")
    except OSError:
        return {}


def answered(sock: socket.socket) -> dict[str, Any]:
    sock.send(b"hello")
    return {"how": "open", "seen": json.loads(sock.recv(4096))}


def talk(host: str, port: str) -> None:
    with socket.create_connection((host, int(port)), timeout=5) as sock, sock.makefile("rw") as stream:
        for line in sys.stdin:
            stream.write(line)
            stream.flush()
            print(stream.readline(), end="", flush=True)


# Bare segments


def segment(attempt: dict[str, Any]) -> str:
    """Send one TCP segment with these flags and no connection around it. Say with which flags the answer came: `SYN ACK`, `RST`, ... or `silence`."""
    family = socket.AF_INET6 if ":" in attempt["to"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.bind((attempt["source"], 0))
        source_port = attempt["source_port"]
        header = struct.pack("!HHLLBBHHH", source_port, attempt["port"], 1000, 1000, 5 << 4, attempt["flags"], 1024, 0, 0)
        ends = socket.inet_pton(family, attempt["source"]) + socket.inet_pton(family, attempt["to"])
        header = header[:16] + struct.pack("!H", checksum(ends + struct.pack("!LL", socket.IPPROTO_TCP, len(header)) + header)) + header[18:]
        sock.sendto(header, (attempt["to"], 0))
        end = time.monotonic() + attempt["seconds"]
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data, (address, *_rest) = sock.recvfrom(4096)
            except OSError:
                break
            data = data[(data[0] & 15) * 4 :] if family == socket.AF_INET else data
            if address == attempt["to"] and struct.unpack("!HH", data[:4]) == (attempt["port"], source_port):
                return " ".join(name for name, bit in (("SYN", SYN), ("RST", RST), ("ACK", ACK)) if data[13] & bit)
    return "silence"


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


# FTP


def fetch(host: str, source: str, mode: str) -> str:
    """The text of the file `greeting`, or what went wrong."""
    lines: list[str] = []
    try:
        with ftplib.FTP(timeout=4) as client:
            client.connect(host, 21, source_address=(source, 0))
            client.login()
            client.set_pasv(mode == "passive")
            client.retrlines("RETR greeting", lines.append)
    except (OSError, EOFError, ftplib.Error) as error:
        return f"{type(error).__name__}: {error}"
    return "\n".join(lines)


def main(command: str, *words: str) -> None:
    if command == "serve":
        asyncio.run(serve(list(words)))
    elif command == "talk":
        talk(*words)
    elif command == "ftp":
        print(fetch(*words))
    else:
        done = []
        with ThreadPoolExecutor(32) as pool:
            for group in json.loads(words[0]):
                done += list(pool.map({"meet": meet, "segment": segment}[command], group))
        print(json.dumps(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
