# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of sysctl_hardening: confirms by a new connection what the module has changed."""
from __future__ import annotations

import typing as t

from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import SETTINGS
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import Change
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirmed import ConfirmedAction

MODULE = 'palisade.netfilter.sysctl_hardening'


class ActionModule(ConfirmedAction):
    """See the module's documentation; there are no options beyond those."""

    _cuts = 'a kernel setting'
    _changing = 'kernel settings'

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, once."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if name != 'confirm_id'}
        result.update(self._run_confirmed(MODULE, Change(SETTINGS, 'the kernel settings'), arguments, task_vars))
        return result

    def _is_live(self, result: dict[str, t.Any]) -> bool:
        return result.get('confirm', {}).get('state') == 'unproved'
