#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables_ruleset without the rig that proves by packets: half the code to carry, where there is nothing to prove. Called by its action."""
from __future__ import annotations

DOCUMENTATION = r"""
module: iptables_ruleset_unproved
short_description: Part of iptables_ruleset, not for use in tasks
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Do not call this module. Call M(palisade.netfilter.iptables_ruleset), which runs this one by itself where there is nothing to prove by packets.
  - It is M(palisade.netfilter.iptables_ruleset) without the code for that. It proves no way back in, and refuses O(expect).
extends_documentation_fragment:
  - palisade.netfilter.attributes
  - palisade.netfilter.confirmation
  - palisade.netfilter.iptables_ruleset
seealso:
  - module: palisade.netfilter.iptables_ruleset
"""

EXAMPLES = r"""
- name: Call the whole module
  palisade.netfilter.iptables_ruleset:
    src: web.rules
"""

RETURN = r"""
# The same as of palisade.netfilter.iptables_ruleset.
"""

from typing import Any, Mapping

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._options import run_module


def no_prover(_host: Host, options: Mapping[str, Any]) -> None:
    """Nothing proves this run, so nothing may be asked of it."""
    if options['expect']:
        raise PalisadeError('expect: iptables_ruleset_unproved has nothing to prove it with: call palisade.netfilter.iptables_ruleset')


def main() -> None:
    """Run the module."""
    # Over a connection that no rule can cut there is nothing to wait for.
    run_module(Host, no_prover, lambda _host, _options: None)


if __name__ == '__main__':
    main()
