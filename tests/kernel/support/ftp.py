# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small FTP server, and Python's own client, on throwaway hosts: what connection tracking's helper reads is a real dialogue."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .host import Host
from .wire import running

CONTENT = "what the file holds"

# RFC 959 and RFC 2428 as far as a client that fetches a file needs them. Data connections in active mode come from port 20.
SERVER = """
import itertools, socket, threading

passive_ports = itertools.cycle(range({first}, {last} + 1))

def connection_from_20(family, host, port):
    data = socket.socket(family, socket.SOCK_STREAM)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    data.bind(("", 20))
    data.settimeout(2)
    data.connect((host, port))
    return data

def passive(family, here):
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((here, next(passive_ports)))
    server.listen()
    server.settimeout(2)
    return server

def talk(control):
    here, version = control.getsockname()[0], socket.AF_INET
    if ":" in here and not here.startswith("::ffff:"):
        version = socket.AF_INET6
    here = here.replace("::ffff:", "")
    def say(text):
        control.sendall((text + "\\r\\n").encode())
    say("220 ready")
    opened = None
    for line in control.makefile(encoding="ascii"):
        word, unused, argument = line.strip().partition(" ")
        if word == "USER":
            say("230 come in")
        elif word == "TYPE":
            say("200 so be it")
        elif word == "PASV":
            server = passive(version, here)
            port = server.getsockname()[1]
            opened = lambda server=server: server.accept()[0]
            say("227 Entering Passive Mode (%s,%d,%d)" % (here.replace(".", ","), port >> 8, port & 255))
        elif word == "EPSV":
            server = passive(version, here)
            opened = lambda server=server: server.accept()[0]
            say("229 Entering Extended Passive Mode (|||%d|)" % server.getsockname()[1])
        elif word == "PORT":
            parts = argument.split(",")
            port = int(parts[4]) * 256 + int(parts[5])
            opened = lambda host=".".join(parts[:4]), port=port: connection_from_20(version, host, port)
            say("200 I will call")
        elif word == "EPRT":
            parts = argument.split("|")
            opened = lambda host=parts[2], port=int(parts[3]): connection_from_20(version, host, port)
            say("200 I will call")
        elif word == "RETR":
            say("150 here it comes")
            try:
                with opened() as data:
                    data.sendall(b"{content}")
            except OSError:
                say("425 no connection")
            else:
                say("226 done")
        elif word == "QUIT":
            say("221 bye")
            return
        else:
            say("502 unknown")

server = socket.create_server(("", {port}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
"""
CLIENT = """
import ftplib
client = ftplib.FTP(timeout=1.5)
try:
    client.connect("{to}", {port})
    client.login()
    client.set_pasv({passive})
    lines = []
    client.retrbinary("RETR file", lines.append)
    print(b"".join(lines).decode())
except (OSError, EOFError, ftplib.Error) as error:
    print("no file:", error)
"""


@contextmanager
def serving(host: Host, port: int = 21, passive_ports: tuple[int, int] = (62000, 64000)) -> Iterator[None]:
    """Run the server on a host."""
    first, last = passive_ports
    with running(host, SERVER.format(port=port, first=first, last=last, content=CONTENT)):
        yield


def fetches(host: Host, to: str, *, passive: bool, port: int = 21) -> bool:
    """Tell whether a file arrives."""
    done = host.run(sys.executable, "-c", CLIENT.format(to=to, port=port, passive=passive))
    return done.stdout.strip() == CONTENT
