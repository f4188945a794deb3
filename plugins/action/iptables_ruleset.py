# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of iptables_ruleset: reads `src`, compiles `profile` and `policy`, and hands plain rules to the module, or to its smaller
twin where there is nothing to prove by packets."""
from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import Change
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirmed import NOT_CUT, ConfirmedAction
from ansible_collections.palisade.netfilter.plugins.plugin_utils._policy import compile_policy_of
from ansible_collections.palisade.netfilter.plugins.plugin_utils._transport import kind_of, may_be_cut

#: The ways of saying what the rules are, of which a task uses one.
WAYS = ('tables', 'content', 'src', 'profile')

MODULE = 'palisade.netfilter.iptables_ruleset'
#: The same without the rig, which a run over one of the connections below does not need: its code is half of what there is to carry.
UNPROVED = 'palisade.netfilter.iptables_ruleset_unproved'

#: A variable of the role's task: the role installs and enables the unit right after.
INSTALLS_UNIT = '__firewall_installs_unit'
UNLOADED = '%s is written, and nothing loads it at boot: %s. The roles of palisade.netfilter install what does.'
UNITS = {
    'disabled': 'palisade-firewall.service is not enabled',
    'missing': 'there is no palisade-firewall.service',
    'no systemd': 'there is no systemd, so something has to call `/usr/local/sbin/palisade-firewall boot` before the network comes up',
}


class ActionModule(ConfirmedAction):
    """See the module's documentation; there are no options beyond those."""

    _cuts = 'a rule'
    _changing = 'rules'
    _way_out = 'allow_lockout: true tries it, and has it taken back unless a new connection comes in then; confirm_timeout: 0 changes it without that'

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Turn the task's arguments into the module's and run it, once."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if name != 'confirm_id'}
        given = [way for way in WAYS if arguments.get(way) is not None]
        if len(given) > 1:
            raise AnsibleActionFail('parameters are mutually exclusive: %s' % '|'.join(given))
        if arguments.get('src') is not None:
            arguments['content'] = self._read(arguments.pop('src'))
        elif arguments.get('profile') is not None:
            self._compile(arguments)
        kind = kind_of(self._connection)
        proving = bool(arguments.get('expect')) or self._tells_verdicts(arguments) or may_be_cut(kind)
        name = str(arguments.get('name') or 'palisade')
        result.update(self._run_confirmed(MODULE if proving else UNPROVED, Change(name, 'ruleset %s' % name), arguments, task_vars))
        if not proving and not result.get('failed'):
            result['guard'] = {'state': 'none', 'reason': NOT_CUT % (kind, self._cuts)}
        unit = result.get('boot', {}).get('unit', 'enabled')
        if unit != 'enabled' and not (task_vars or {}).get(INSTALLS_UNIT):
            self._display.warning(UNLOADED % (result['persisted'], UNITS[unit]))
        return result

    def _is_live(self, result: dict[str, t.Any]) -> bool:
        return bool(result.get('plan_total'))

    def _allows_lockout(self, arguments: dict[str, t.Any]) -> bool:
        return boolean(arguments.get('allow_lockout', False), strict=False)

    def _tells_verdicts(self, arguments: dict[str, t.Any]) -> bool:
        return bool(self._task.diff) and boolean(arguments.get('verdict_diff', False), strict=False)

    def _read(self, source: str) -> str:
        try:
            path = self._find_needle('files', source)
            with open(self._loader.get_real_file(path), encoding='utf-8') as stream:
                return stream.read()
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail('src: %s: %s' % (source, error)) from error

    @staticmethod
    def _compile(arguments: dict[str, t.Any]) -> None:
        """Put the tables, and the closed fallback of persisted ones, in the place of `profile` and `policy`."""
        _policy, compiled = compile_policy_of(arguments)
        del arguments['profile']
        arguments['tables'] = compiled.tables
        if arguments.get('fallback') is None and boolean(arguments.get('persist', False), strict=False):
            arguments['fallback'] = compiled.fallback
