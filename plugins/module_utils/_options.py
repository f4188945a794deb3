# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of iptables_ruleset and one run with them, for its two files: with the rig that proves rules by packets, and without."""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_seconds import check_seconds
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError, UnprovedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import HostFiles
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Commit, Prover, Request, run_ruleset

#: A longer `content` is not repeated in the result.
LONGEST_ECHO = 1_000
#: From a host and the options to what proves a run, or to None where nothing does. Raises PalisadeError for options it cannot read.
MakeProver = Callable[[Any, Dict[str, Any]], Optional[Prover]]
#: The same to what has a run wait for its confirmation.
MakeCommit = Callable[[Any, Dict[str, Any]], Optional[Commit]]


def argument_spec() -> Dict[str, Any]:
    """The options, as the documentation fragment iptables_ruleset has them."""
    return {
        'name': {'type': 'str', 'default': 'palisade'},
        'state': {'type': 'str', 'choices': ['present', 'absent', 'previous'], 'default': 'present'},
        'tables': {'type': 'dict'},
        'content': {'type': 'str'},
        'src': {'type': 'path'},
        'profile': {'type': 'str', 'choices': ['nat_router', 'server', 'workstation']},
        'policy': {'type': 'dict'},
        'families': {'type': 'list', 'elements': 'str', 'choices': ['ipv4', 'ipv6'], 'default': ['ipv4', 'ipv6']},
        'scope': {'type': 'str', 'choices': ['chains', 'tables'], 'default': 'chains'},
        'foreign': {'type': 'str', 'choices': ['warn', 'refuse', 'keep', 'remove'], 'default': 'warn'},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
        'rehearsal': {'type': 'str', 'choices': ['auto', 'namespace', 'scratch', 'none'], 'default': 'auto'},
        'persist': {'type': 'bool', 'default': False},
        'fallback': {'type': 'dict'},
        'expect': {'type': 'list', 'elements': 'raw'},
        'allow_lockout': {'type': 'bool', 'default': False},
        'verdict_diff': {'type': 'bool', 'default': False},
        'confirm_timeout': {'type': 'int', 'default': 60},
        'confirm_id': {'type': 'str', 'default': ''},
        'lock_timeout': {'type': 'int', 'default': 30},
    }


def run_module(make_host: Callable[[str, int], Host], make_prover: MakeProver, make_commit: MakeCommit) -> None:
    """Run the module to its exit."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[('tables', 'content', 'src', 'profile')],
        required_by={'policy': ('profile',)},
        supports_check_mode=True,
    )
    options = module.params
    echo = {key: value for key, value in options.items() if key not in ('tables', 'fallback', 'confirm_id') and len(str(value)) <= LONGEST_ECHO}
    invocation = {'module_args': echo}
    try:
        check_seconds(options['confirm_timeout'])
        options = {**options, 'version': None}
        if options['state'] == 'previous':
            # Imported here: hardly any run needs it.
            from ansible_collections.palisade.netfilter.plugins.module_utils._previous import options_of_previous

            options = options_of_previous(options, HostFiles())
        elif options['state'] == 'present' and options['tables'] is None and options['content'] is None:
            raise PalisadeError('state: present needs one of tables, content, src or profile')
        request = Request(
            name=options['name'], state='absent' if options['state'] == 'absent' else 'present', scope=options['scope'],
            families=options['families'], rehearsal=options['rehearsal'], foreign=options['foreign'], check_mode=module.check_mode,
            diff_mode=module._diff, tables=options['tables'], content=options['content'], persist=options['persist'],
            fallback=options['fallback'], version=options['version'])
        host = make_host(options['backend'], options['lock_timeout'])
        result = run_ruleset(request, host, make_prover(host, options), make_commit(host, options))
    except UnprovedError as error:
        for warning in error.warnings:
            module.warn(warning)
        module.fail_json(msg=str(error), changed=False, invocation=invocation, **error.result)
    except PalisadeError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    for warning in result.pop('warnings'):
        module.warn(warning)
    module.exit_json(invocation=invocation, **result)
