# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of kernel_modules: compiles `policy` and hands on what its rules need, as tables, families and helpers."""
from __future__ import annotations

import re
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import HELPERS
from ansible_collections.palisade.netfilter.plugins.plugin_utils._policy import compile_policy_of

MODULE = 'palisade.netfilter.kernel_modules'
_HELPER = re.compile(r'-j CT --helper (\S+)')
_FAMILIES = {4: 'ipv4', 6: 'ipv6'}


class ActionModule(ActionBase):
    """See the module's documentation; there are no options beyond those."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Turn the task's arguments into the module's and run it, once."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get('profile') is not None and arguments.get('state') != 'absent':
            self._compile(arguments)
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        return result

    @staticmethod
    def _compile(arguments: dict[str, t.Any]) -> None:
        """Put what the rules need in the place of `policy`. What the task says itself goes before."""
        policy, compiled = compile_policy_of(arguments)
        tables = compiled.tables
        named = {name for chain in tables.get('raw', {}).values() for rule in chain['rules'] for name in _HELPER.findall(rule)}
        needs = {
            'tables': sorted(tables),
            'families': [_FAMILIES[number] for number in policy.families],
            # A helper of another name is a program's, in user space.
            'helpers': sorted(named & set(HELPERS)),
        }
        for option, value in needs.items():
            if option == 'families' or not arguments.get(option):
                arguments[option] = value
