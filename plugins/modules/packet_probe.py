#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_probe.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: packet_probe
short_description: Ask a host what its iptables rules do with a packet
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import KEYS
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._probe import probe


def argument_spec() -> Dict[str, Any]:
    """The options, as DOCUMENTATION has them."""
    return {
        'hook': {'type': 'str', 'choices': ['input', 'forward', 'output']},
        'in_interface': {'type': 'str'},
        'out_interface': {'type': 'str'},
        'source': {'type': 'str'},
        'source_port': {'type': 'int'},
        'source_mac': {'type': 'str'},
        'destination': {'type': 'str'},
        'protocol': {'type': 'str', 'choices': ['tcp', 'udp', 'icmp', 'ipv6-icmp']},
        'port': {'type': 'int'},
        'icmp_type': {'type': 'str'},
        'flags': {'type': 'list', 'elements': 'str'},
        'state': {'type': 'str', 'choices': ['new', 'established']},
        'count': {'type': 'int'},
        'uid': {'type': 'str'},
        'verdict': {'type': 'str', 'choices': ['accept', 'drop', 'reject']},
        'rewritten_source': {'type': 'str'},
        'rewritten_destination': {'type': 'str'},
        'flows': {'type': 'list', 'elements': 'dict'},
        'sequence': {'type': 'bool', 'default': False},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[('flows', key) for key in KEYS],
        supports_check_mode=True,
    )
    options = module.params
    one = {key: options[key] for key in KEYS if options[key] is not None}
    try:
        outcome = probe(RigHost(options['backend'], 0), one, options['flows'], options['sequence'])
    except PalisadeError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    result: Dict[str, Any] = {'flows': outcome.results} if options['flows'] is not None else dict(outcome.results[0])
    if outcome.failure:
        module.fail_json(msg=outcome.failure, changed=False, **result)
    module.exit_json(changed=False, **result)


if __name__ == '__main__':
    main()
