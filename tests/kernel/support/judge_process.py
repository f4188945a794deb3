# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send many flows through copies of the rules of the host that this process is on, as packet_probe does. It judges nothing.

Arguments: the directory that holds ansible_collections/, the backend. Standard input: a list of rigs as JSON, each a list of
flows in packet_probe's keys, which go in order through one copy. Standard output: for each rig and flow its packets' results.
"""
from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    collections, backend = sys.argv[1:]
    sys.path.insert(0, collections)
    from ansible_collections.palisade.netfilter.plugins.module_utils import _flow, _host_rig, _proof, _rig
    from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

    def conclude(*packet: Any) -> dict[str, Any]:
        # One side may rewrite a packet where the other does not, which then goes another way than the flow says: that is to be compared too.
        try:
            return _proof.conclude(*packet)
        except PalisadeError as error:
            return {"verdict": f"none: {error}"}

    host = _host_rig.RigHost(backend, 0)
    # What the rules say is compared, so nothing else may stand in a packet's way.
    around = host.surroundings()
    open_ways = {key: "0" if key.endswith("rp_filter") else value for key, value in around.settings.items()}
    around = around._replace(settings={**open_ways, "ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"})
    jobs = []
    for flows in json.load(sys.stdin):
        read = [_flow.complete(_flow.read_flow(flow, json.dumps(flow)), around) for flow in flows]
        # Where nat sends a packet is compared, so no other way is a mistake.
        ways = [flow._replace(out_interface="", routed="") if flow.hook == "forward" else flow for flow in read]
        jobs.append(_host_rig.Job(_rig.rig_for(around, read), ways))
    families = {flow.family for job in jobs for flow in job.flows}
    copied = _host_rig.Copied({family: host.live(family) for family in families})
    print(json.dumps(host.prove(jobs, copied, conclude)))


if __name__ == "__main__":
    main()
