# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the guard about connections, as if the live rules were those to come. It runs in the process that a test starts.

Arguments: the directory that holds ansible_collections/, the backend.
Standard input: a JSON list of what sshd would have in SSH_CONNECTION. Prints [state, reason, remedy] for each.
"""
from __future__ import annotations

import json
import sys


def main() -> None:
    collections, backend = sys.argv[1:]
    sys.path.insert(0, collections)
    from ansible_collections.palisade.netfilter.plugins.module_utils._connection import parse_connection
    from ansible_collections.palisade.netfilter.plugins.module_utils._guard import guard
    from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost

    host = RigHost(backend, 0)
    around = host.surroundings()
    answers = []
    for value in json.load(sys.stdin):
        connection = parse_connection(value)
        assert connection is not None, value
        answers.append(guard(host, connection, {connection.family: host.live(connection.family)}, around))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
