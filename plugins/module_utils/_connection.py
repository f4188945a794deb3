# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh connection that this process came in by, if it did. Reads environments below /proc and nothing else."""
from __future__ import annotations

import os
import re
from typing import Iterator, NamedTuple, Optional

from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import bytes_of

_VARIABLE = 'SSH_CONNECTION'
_PARENT = re.compile(rb'^PPid:\t(\d+)', re.MULTILINE)


class Connection(NamedTuple):
    """Both ends of it. `interface`: the zone of a link-local address, '' for others. An IPv4 address is never written as an IPv6 one."""

    client: str
    client_port: int
    server: str
    server_port: int
    interface: str = ''

    @property
    def family(self) -> str:
        """ipv4 or ipv6, as the packet filter sees it."""
        return 'ipv6' if ':' in self.server else 'ipv4'

    def text(self) -> str:
        """The connection in words."""
        on = ' on %s' % self.interface if self.interface else ''
        return 'from %s port %d to %s port %d%s' % (self.client, self.client_port, self.server, self.server_port, on)


def over_network() -> bool:
    """Whether this run came in over ssh, even where its two ends are not known."""
    return next(_values(), None) is not None


def connection_value() -> str:
    """What sshd calls the connection that this run came in by; '' where there is none."""
    return next(_values(), '')


def running_connection() -> Optional[Connection]:
    """The connection that this run came in by; None where there is none, or sshd itself does not know its two ends."""
    value = next(_values(), None)
    return parse_connection(value) if value is not None else None


def _values() -> Iterator[str]:
    """SSH_CONNECTION here, or else in the parents' environments, the nearest first: sudo and su drop it."""
    if os.environ.get(_VARIABLE):
        yield os.environ[_VARIABLE]
    process = os.getppid()
    while process > 1:
        for entry in bytes_of('/proc/%d/environ' % process).split(b'\0'):
            name, _equals, value = entry.partition(b'=')
            if name == _VARIABLE.encode() and value:
                yield value.decode('ascii', 'replace')
        found = _PARENT.search(bytes_of('/proc/%d/status' % process))
        process = int(found.group(1)) if found else 0


def parse_connection(value: str) -> Optional[Connection]:
    """Read what sshd writes: client, its port, server, its port. None for anything else, such as UNKNOWN where there was no socket."""
    words = value.split()
    try:
        client, client_port, server, server_port = words
        zone = client.partition('%')[2] or server.partition('%')[2]
        return Connection(_plain(client), int(client_port), _plain(server), int(server_port), zone)
    except ValueError:
        return None


def _plain(address: str) -> str:
    import ipaddress  # Every run asks whether there is a connection, few ask between whom.

    found = ipaddress.ip_address(address.partition('%')[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
