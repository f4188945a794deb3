# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A neighbour who tries a machine's ports over and over, whatever happens to it meanwhile. Holds no test."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Dict, Set

from devkit import vm

PORTS = {443: "offered, and nothing listens", 8080: "not offered, and something listens from early on"}
KNOCK = """
import json, select, socket, sys
def knock(target):
    try:
        socket.create_connection(target, timeout=0.5).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silence"
    return "open"
targets, met = json.loads(sys.argv[1]), {}
while not select.select([sys.stdin], [], [], 0)[0]:
    for address, port in targets:
        met.setdefault("%s %d" % (address, port), {}).setdefault(knock((address, port)), 0)
print(json.dumps({target: sorted(answers) for target, answers in met.items()}))
"""

Knocks = Dict[str, Set[str]]
"""By address and port, all that was met there: open, refused, silence."""


@contextlib.contextmanager
def knocking(machine: vm.Machine) -> Iterator[Knocks]:
    """Knock as long as the block lasts. What was met is there afterwards."""
    targets = json.dumps([(address, port) for address in (machine.address, machine.address6) for port in PORTS])
    argv = ["ip", "netns", "exec", machine.namespace, sys.executable, "-c", KNOCK, targets]
    met: Knocks = {}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield met
        finally:
            answer, _errors = process.communicate("enough\n", timeout=30)
            met.update({target: set(answers) for target, answers in json.loads(answer).items()})
