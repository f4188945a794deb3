# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of packet_probe: read the host once, prove each flow on a rig of its own, compare with what was expected."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._expect import complete_groups, families_of, prove, read_groups, unknown_to_proofs
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost


class Outcome(NamedTuple):
    """What the flows came to. `failure` is empty if all was as expected."""

    results: Sequence[Dict[str, Any]]
    failure: str
    warnings: List[str]


def probe(host: RigHost, one: Mapping[str, Any], several: Any) -> Outcome:
    """Prove one flow or several against the live rules. Nothing of the host changes."""
    groups = read_groups(several, 'flows') if several is not None else [[read_flow(one, 'flow')]]
    if not groups:
        raise PalisadeError('flows: there is none')
    around = host.surroundings()
    groups = complete_groups(groups, around)
    tables = {family: host.live(family) for family in families_of(groups) if host.has_family(family)}
    proved = prove(host, groups, tables, around)
    return Outcome(proved.results, '\n'.join(proved.failures), unknown_to_proofs(host, around))
