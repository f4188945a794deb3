# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of iptables_ruleset: reads `src`, compiles `profile` and `policy`, and hands plain rules to the module."""
from __future__ import annotations

import gc
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.validation import check_type_dict
from ansible.plugins.action import ActionBase
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

#: The ways of saying what the rules are, of which a task uses one.
WAYS = ('tables', 'content', 'src', 'profile')


class ActionModule(ActionBase):
    """See the module's documentation; there are no options beyond those."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Turn the task's arguments into the module's and run it, once."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        given = [way for way in WAYS if arguments.get(way) is not None]
        if len(given) > 1:
            raise AnsibleActionFail('parameters are mutually exclusive: %s' % '|'.join(given))
        if arguments.get('src') is not None:
            arguments['content'] = self._read(arguments.pop('src'))
        elif arguments.get('profile') is not None:
            arguments['tables'] = self._compile(arguments.pop('profile'), arguments.pop('policy', None), arguments.get('families'))
        # To pack the module, Ansible reads our code as syntax trees, and while it makes those the collector walks all of Ansible's
        # own objects again and again. This process is forked for this one task: what is there already need not be looked at.
        gc.freeze()
        result.update(self._execute_module(module_name='palisade.netfilter.iptables_ruleset', module_args=arguments, task_vars=task_vars))
        return result

    def _read(self, source: str) -> str:
        try:
            path = self._find_needle('files', source)
            with open(self._loader.get_real_file(path), encoding='utf-8') as stream:
                return stream.read()
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail('src: %s: %s' % (source, error)) from error

    @staticmethod
    def _compile(profile: str, policy: t.Any, families: t.Any) -> dict[str, t.Any]:
        # Imported here: a task that brings its own rules shall not wait for the compiler.
        from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

        if isinstance(families, str):
            families = families.split(',')
        try:
            return compile_policy(profile, {**({'families': families} if families else {}), **check_type_dict(policy or {})}).tables
        except (PalisadeError, TypeError) as error:
            raise AnsibleActionFail('policy: %s' % error) from error
