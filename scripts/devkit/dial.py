# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh's ProxyCommand (with ProxyUseFdpass) for a machine in a network namespace: dial.py NAMESPACE ADDRESS PORT [SECONDS]

Connects in there, for so many seconds again and again, hands ssh the socket itself and ends: what the machine sees is ssh's own connection.
"""

from __future__ import annotations

import array
import ctypes
import os
import socket
import sys
import time

CLONE_NEWNET = 0x40000000


def connected(address: str, port: int, seconds: float) -> socket.socket:
    """Return a connection, tried anew until the time is over: a machine that boots answers nothing at first, then refuses."""
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((address, port), timeout=min(1.0, max(0.1, seconds)))
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"dial: {address} port {port}: {error}")
            time.sleep(0.05)


def main() -> None:
    namespace, address, port, *seconds = sys.argv[1:]
    place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) != 0:
        sys.exit(f"dial: namespace {namespace}: {os.strerror(ctypes.get_errno())}")
    connection = connected(address, int(port), float(*seconds or ["10"]))
    connection.setblocking(True)
    ssh = socket.socket(fileno=1)
    ssh.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))])


main()
