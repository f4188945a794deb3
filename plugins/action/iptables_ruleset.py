# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of iptables_ruleset: reads `src`, compiles `profile` and `policy`, and hands plain rules to the module, or to its smaller
twin where there is nothing to prove by packets."""
from __future__ import annotations

import gc
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.validation import check_type_dict
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.palisade.netfilter.plugins.module_utils._connection import over_network
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.plugin_utils._confirm import Confirmer, died, never_began, new_token

#: The ways of saying what the rules are, of which a task uses one.
WAYS = ('tables', 'content', 'src', 'profile')

MODULE = 'palisade.netfilter.iptables_ruleset'
#: The same without the rig, which a run over one of the connections below does not need: its code is half of what there is to carry.
UNPROVED = 'palisade.netfilter.iptables_ruleset_unproved'
#: Connections without a network path between Ansible and the host, by the last word of their transport. No rule can cut them.
WITHOUT_NETWORK = frozenset((
    'local', 'docker', 'docker_api', 'nsenter', 'podman', 'buildah', 'chroot', 'jail', 'iocage', 'zone', 'lxc', 'lxd', 'incus', 'libvirt_lxc',
    'libvirt_qemu', 'machinectl', 'qubes', 'kubectl', 'oc', 'vmware_tools',
))
NOT_CUT = 'a connection of type %s has no network path that a rule could cut'

NO_OTHER = 'this is a connection of type %s, and a new one of that type would not come in by the network'
#: The default of confirm_timeout, in seconds.
CONFIRM_TIMEOUT = 60

#: A variable of the role's task: the role installs and enables the unit right after.
INSTALLS_UNIT = '__firewall_installs_unit'
UNLOADED = '%s is written, and nothing loads it at boot: %s. The roles of palisade.netfilter install what does.'
UNITS = {
    'disabled': 'palisade-firewall.service is not enabled',
    'missing': 'there is no palisade-firewall.service',
    'no systemd': 'there is no systemd, so something has to call `/usr/local/sbin/palisade-firewall boot` before the network comes up',
}


def may_be_cut(transport: str) -> bool:
    """Whether rules on the host could cut Ansible off: by its own connection, or on this very host by the one that its operator came in by."""
    return transport not in WITHOUT_NETWORK or (transport == 'local' and over_network())


class ActionModule(ActionBase):
    """See the module's documentation; there are no options beyond those."""

    _supports_check_mode = True
    _supports_diff = True

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
        transport = str(self._connection.transport).rpartition('.')[2]
        proving = bool(arguments.get('expect')) or self._tells_verdicts(arguments) or may_be_cut(transport)
        if transport in WITHOUT_NETWORK:
            result.update(self._unconfirmed(MODULE if proving else UNPROVED, transport, arguments, task_vars))
        else:
            result.update(self._confirmed(arguments, task_vars))
        if not proving and not result.get('failed'):
            result['guard'] = {'state': 'none', 'reason': NOT_CUT % transport}
        unit = result.get('boot', {}).get('unit', 'enabled')
        if unit != 'enabled' and not (task_vars or {}).get(INSTALLS_UNIT):
            self._display.warning(UNLOADED % (result['persisted'], UNITS[unit]))
        return result

    def _unconfirmed(self, module: str, transport: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module where no new connection could prove anything."""
        reason = (NOT_CUT if module == UNPROVED or not may_be_cut(transport) else NO_OTHER) % transport
        say = self._display.warning if may_be_cut(transport) else self._display.v
        if self._seconds(arguments) and not self._task.check_mode:
            say('if rules change, that will not be confirmed by a new connection: %s' % reason)
        result = self._without_collector(module, arguments, task_vars)
        if self._seconds(arguments) and result.get('plan_total') and not self._task.check_mode:
            result['confirm'] = {'state': 'unproved', 'reason': reason}
        return result

    def _confirmed(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module and confirm what it has changed, or find out what became of it."""
        seconds = self._seconds(arguments)
        if not seconds or self._task.check_mode:
            return self._without_collector(MODULE, arguments, task_vars)
        token = new_token()
        confirmer = Confirmer(self, token)
        name = str(arguments.get('name') or 'palisade')
        try:
            result = self._without_collector(MODULE, {**arguments, 'confirm_id': token}, task_vars)
        except AnsibleConnectionFailure as error:
            if never_began(error):
                raise
            return confirmer.find_out(name, seconds, str(error))
        if died(result):
            return {**result, **confirmer.find_out(name, seconds, str(result.get('msg', '')))}
        return confirmer.confirm(result, name) if result.get('confirm', {}).get('state') == 'pending' else result

    @staticmethod
    def _seconds(arguments: dict[str, t.Any]) -> int:
        """How long a change waits for its confirmation. What is no number is for the module to refuse."""
        value = arguments.get('confirm_timeout')
        try:
            return CONFIRM_TIMEOUT if value is None else int(value)
        except (TypeError, ValueError):
            return 0

    def _tells_verdicts(self, arguments: dict[str, t.Any]) -> bool:
        return bool(self._task.diff) and boolean(arguments.get('verdict_diff', False), strict=False)

    def _without_collector(self, module: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module.

        To pack it, Ansible reads our code as syntax trees, and while it makes those Python's collector walks all of Ansible's own objects again
        and again: a third of the packing's time. Trees have no cycles, and this process is forked for this one task.
        """
        gc.disable()
        try:
            result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
            return result
        finally:
            gc.enable()

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
        # Imported here: a task that brings its own rules shall not wait for the compiler.
        from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

        families = arguments.get('families')
        if isinstance(families, str):
            families = families.split(',')
        profile, policy = arguments.pop('profile'), arguments.pop('policy', None)
        try:
            compiled = compile_policy(profile, {**({'families': families} if families else {}), **check_type_dict(policy or {})})
        except (PalisadeError, TypeError) as error:
            raise AnsibleActionFail('policy: %s' % error) from error
        arguments['tables'] = compiled.tables
        if arguments.get('fallback') is None and boolean(arguments.get('persist', False), strict=False):
            arguments['fallback'] = compiled.fallback
