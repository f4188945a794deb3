# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options profile, policy and families of a task, compiled on the controller."""
from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_dict
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

if t.TYPE_CHECKING:
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy import CompiledPolicy
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy


def compile_policy_of(arguments: dict[str, t.Any]) -> tuple[Policy, CompiledPolicy]:
    """Take `policy` out of a task's arguments and return it as read and as compiled. Families of the policy itself come first.

    Raises AnsibleActionFail for one that cannot be compiled.
    """
    # Imported here: a task that brings its own rules shall not wait for the compiler.
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_read_policy
    from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import read_policy

    families = arguments.get('families')
    if isinstance(families, str):
        families = families.split(',')
    try:
        given = check_type_dict(arguments.pop('policy', None) or {})
        policy = read_policy(arguments['profile'], {**({'families': families} if families else {}), **given})
        return policy, compile_read_policy(policy)
    except (PalisadeError, TypeError) as error:
        raise AnsibleActionFail('policy: %s' % error) from error
