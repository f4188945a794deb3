# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many runs of sysctl_hardening in one process, for tests that would wait for Python otherwise. No test logic here.

Argument: the directory that holds ansible_collections/. Standard input: steps as JSON, of each the keys that somebody else writes first, and the
options of the run. Standard output: of each step the error or '', the result, and all `conf` values behind it.
"""
from __future__ import annotations

import json
import sys
from glob import glob
from typing import Any


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
    from ansible_collections.palisade.netfilter.plugins.module_utils._host_sysctl import SysctlHost
    from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_transaction import Request, run_sysctl

    host = SysctlHost()
    paths = [path[len(host.root):] for family in ("ipv4", "ipv6") for path in glob(f"{host.root}net/{family}/conf/*/*")]
    answers: list[dict[str, Any]] = []
    for step in json.load(sys.stdin):
        for path, value in step["before"].items():
            host.write(path, value)
        error, result = "", {}
        try:
            result = run_sysctl(Request(**step["options"]), host)
        except PalisadeError as refusal:
            error = str(refusal)
        answers.append({"error": error, "result": result, "values": host.read_all(paths)[0]})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
