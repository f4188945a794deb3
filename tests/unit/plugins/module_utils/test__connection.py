# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ssh connection a run came in by."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Optional, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _connection
from ansible_collections.palisade.netfilter.plugins.module_utils._connection import Connection, parse_connection, running_connection

IPV4 = '192.0.2.1 50000 192.0.2.2 22'


@pytest.mark.parametrize(('value', 'wanted'), [
    (IPV4, ('192.0.2.1', 50000, '192.0.2.2', 22, '')),
    ('2001:DB8::1 50000 2001:db8:0::2 22', ('2001:db8::1', 50000, '2001:db8::2', 22, '')),
    ('::ffff:192.0.2.1 50000 ::ffff:192.0.2.2 22', ('192.0.2.1', 50000, '192.0.2.2', 22, '')),
    ('fe80::1%eth0 50000 fe80::2%eth0 22', ('fe80::1', 50000, 'fe80::2', 22, 'eth0')),
    ('fe80::1%eth0 50000 fe80::2 22', ('fe80::1', 50000, 'fe80::2', 22, 'eth0')),
    ('UNKNOWN 65535 UNKNOWN 65535', None), ('192.0.2.1 50000 192.0.2.2', None), ('', None), ('192.0.2.1 x 192.0.2.2 22', None),
])
def test_what_sshd_writes(value: str, wanted: Optional[Tuple[str, int, str, int, str]]) -> None:
    assert parse_connection(value) == wanted


@pytest.mark.parametrize(('connection', 'family', 'text'), [
    (Connection('192.0.2.1', 5, '192.0.2.2', 22), 'ipv4', 'from 192.0.2.1 port 5 to 192.0.2.2 port 22'),
    (Connection('fe80::1', 5, 'fe80::2', 22, 'eth0'), 'ipv6', 'from fe80::1 port 5 to fe80::2 port 22 on eth0'),
])
def test_in_words(connection: Connection, family: str, text: str) -> None:
    assert (connection.family, connection.text()) == (family, text)


def test_the_own_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SSH_CONNECTION', IPV4)
    assert running_connection() == parse_connection(IPV4)
    monkeypatch.setenv('SSH_CONNECTION', 'UNKNOWN 65535 UNKNOWN 65535')
    assert running_connection() is None
    assert _connection.over_network()


@pytest.mark.parametrize('value', [IPV4, ''])
def test_sudo_and_su_drop_it_so_the_parents_are_asked(value: str) -> None:
    """The run is the child of a shell without the variable, which is the child of one that has it."""
    program = 'from %s import *; print(running_connection(), over_network())' % _connection.__name__
    script = 'env -i PYTHONPATH="$PYTHONPATH" sh -c %s; true' % shlex.quote('%s -c %s; true' % (shlex.quote(sys.executable), shlex.quote(program)))
    # Nothing of this test's own surroundings: they may have come in over ssh.
    environment = {'PATH': os.environ['PATH'], 'PYTHONPATH': os.pathsep.join(path for path in sys.path if path), 'SSH_CONNECTION': value or 'x'}
    asked = subprocess.run(['/bin/sh', '-c', script], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    assert asked.stdout == '%s True\n' % (parse_connection(value),)
