# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs with a stopwatch, without Ansible around them. It runs in a process of its own on a throwaway host.

Arguments: the directory that holds ansible_collections/, the backend.
Standard input: JSON, `text` (what iptables-restore reads) and `flows`. Prints the seconds of each job, and what the flows came to.
"""
from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

#: Packets on one rig beyond the first, for the cost of one.
FURTHER = 50


def main() -> None:
    collections, backend = sys.argv[1:]
    sys.path.insert(0, collections)
    from ansible_collections.palisade.netfilter.plugins.module_utils._expect import complete_groups, prove, read_groups
    from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost

    given = json.load(sys.stdin)
    restore = [f"iptables-{backend}-restore"]
    started = time.monotonic()
    subprocess.run(restore, input=given["text"], text=True, check=True)
    seconds = {"restore": time.monotonic() - started}
    host = RigHost(backend, 0)
    around, tables = host.surroundings(), {"ipv4": host.live("ipv4")}

    def proved(job: str, value: list[Any]) -> list[dict[str, Any]]:
        groups = complete_groups(read_groups(value, job), around)
        started = time.monotonic()
        results = prove(host, groups, tables, around).results
        seconds[job] = time.monotonic() - started
        return results

    flows = given["flows"]
    proved("one", flows[:1])
    proved("further", [flows[:1 + FURTHER]])
    seconds["further"] = (seconds["further"] - seconds["one"]) / FURTHER
    answers = {job: [[one["verdict"], (one["rule"] or {}).get("number")] for one in proved(job, value)]
               for job, value in (("together", [flows]), ("apart", flows))}
    json.dump({"seconds": seconds, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
