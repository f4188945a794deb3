# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half: what it hands to the module for each way of saying the rules, and its errors."""
from __future__ import annotations

import gc
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultEditor, VaultLib, VaultSecret
from ansible.playbook.task import Task
from ansible_collections.palisade.netfilter.plugins.action.iptables_ruleset import MODULE, UNPROVED, WAYS, ActionModule
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.plugin_utils import _confirmed, _transport
from ansible_collections.palisade.netfilter.plugins.plugin_utils._transport import WITHOUT_NETWORK
from ansible_collections.palisade.netfilter.plugins.plugin_utils._trial import Trial

RULES = '*filter\n-A INPUT -m comment --comment "é {{ x }}" -j ACCEPT\nCOMMIT\n'


class Action(ActionModule):
    """The action with a module that only notes what it is called with."""

    handed: dict[str, Any]
    token: str
    called: list[str]

    def _execute_module(self, module_name: str = '', module_args: Any = None, task_vars: Any = None, **_others: Any) -> dict[str, Any]:
        self.called = [*getattr(self, 'called', []), module_name]
        self.handed = dict(module_args)
        self.token = self.handed.pop('confirm_id', '')
        return {'changed': True, 'variables': task_vars}


@pytest.fixture
def action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make an action for a task with these arguments; its playbook lies in tmp_path."""
    monkeypatch.setattr(_confirmed, 'try_out', lambda _action: Trial('none'))

    def make(**arguments: Any) -> Action:
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        task = Task()
        task.set_loader(loader)
        task.args = arguments
        return Action(task=task, connection=Mock(transport='ssh'), play_context=Mock(), loader=loader, templar=Mock(), shared_loader_obj=Mock())

    return make


def handed(action: Action) -> Any:
    assert action.run(task_vars={'a': 1}) == {'changed': True, 'variables': {'a': 1}}
    assert action.called == [MODULE]
    return action.handed


@pytest.mark.parametrize('arguments', [
    {'tables': {'filter': {'INPUT': []}}, 'families': ['ipv4']}, {'content': RULES}, {'state': 'absent'}, {'tables': {}, 'policy': {}}, {},
])
def test_rules_in_the_task_are_handed_on_as_they_are(action: Any, arguments: dict[str, Any]) -> None:
    given = dict(arguments)
    assert handed(action(**arguments)) == given


def test_nobody_confirms_a_run_but_its_own_action(action: Any) -> None:
    made = action(tables={}, confirm_id='mine')
    handed(made)
    assert len(made.token) == 16
    looking = action(tables={})
    looking._task.check_mode = True
    handed(looking)
    assert looking.token == ''


@pytest.mark.parametrize('off', [{'confirm_timeout': 0}, {'confirm_timeout': '0'}])
def test_a_run_that_is_not_to_be_confirmed_has_no_word_for_it(action: Any, off: dict[str, Any]) -> None:
    made = action(tables={}, **off)
    assert handed(made) == {'tables': {}, **off}
    assert made.token == ''


@pytest.mark.parametrize('place', ['web.rules', 'files/web.rules'])
def test_src_is_read_on_the_controller_word_by_word(action: Any, tmp_path: Path, place: str) -> None:
    (tmp_path / 'files').mkdir()
    (tmp_path / place).write_text(RULES, encoding='utf-8')
    assert handed(action(src='web.rules', scope='tables')) == {'content': RULES, 'scope': 'tables'}


def test_src_may_be_an_absolute_path(action: Any, tmp_path: Path) -> None:
    (tmp_path / 'web.rules').write_text(RULES, encoding='utf-8')
    assert handed(action(src=str(tmp_path / 'web.rules'))) == {'content': RULES}


def test_src_may_be_empty(action: Any, tmp_path: Path) -> None:
    (tmp_path / 'web.rules').touch()
    assert handed(action(src='web.rules')) == {'content': ''}


def test_src_may_be_in_a_vault(action: Any, tmp_path: Path) -> None:
    secret = VaultSecret(b'secret')
    vault = VaultLib([('default', secret)])
    VaultEditor(vault).write_data(vault.encrypt(RULES, secret), str(tmp_path / 'web.rules'))
    made = action(src='web.rules')
    made._loader.set_vault_secrets([('default', secret)])
    assert handed(made) == {'content': RULES}


def test_the_tasks_own_arguments_stay(action: Any, tmp_path: Path) -> None:
    (tmp_path / 'web.rules').write_text(RULES, encoding='utf-8')
    made = action(src='web.rules')
    handed(made)
    assert made._task.args == {'src': 'web.rules'}


POLICY: dict[str, Any] = {'services': {'ssh': {}, 'https': {}}}


def test_a_profile_is_compiled_on_the_controller(action: Any) -> None:
    assert handed(action(profile='server', policy=POLICY, name='web')) == {'tables': compile_policy('server', POLICY).tables, 'name': 'web'}


def test_a_profile_needs_no_policy(action: Any) -> None:
    assert handed(action(profile='server')) == {'tables': compile_policy('server', {}).tables}


def test_a_policy_may_be_the_text_of_a_dictionary_as_ad_hoc_calls_have_it(action: Any) -> None:
    assert handed(action(profile='server', policy='{"services": {"ssh": {}, "https": {}}}')) == {'tables': compile_policy('server', POLICY).tables}


@pytest.mark.parametrize('families', [['ipv4'], 'ipv4'])
def test_families_are_the_policys_too(action: Any, families: Any) -> None:
    tables = compile_policy('server', {**POLICY, 'families': ['ipv4']}).tables
    assert handed(action(profile='server', policy=POLICY, families=families)) == {'tables': tables, 'families': families}
    assert tables != compile_policy('server', POLICY).tables


def test_families_of_the_policy_itself_come_first(action: Any) -> None:
    policy = {**POLICY, 'families': ['ipv6']}
    assert handed(action(profile='server', policy=policy, families=['ipv4', 'ipv6']))['tables'] == compile_policy('server', policy).tables


@pytest.mark.parametrize(('first', 'second'), [(first, second) for index, first in enumerate(WAYS) for second in WAYS[index + 1:]])
def test_two_ways_at_once_are_refused(action: Any, first: str, second: str) -> None:
    values = {'tables': {}, 'content': '', 'src': 'web.rules', 'profile': 'server'}
    with pytest.raises(AnsibleActionFail, match=r'parameters are mutually exclusive: %s\|%s' % (first, second)):
        action(**{first: values[first], second: values[second]}).run()


def test_a_way_that_is_none_is_not_taken(action: Any) -> None:
    made = action(tables={}, src=None, profile=None, content=None)
    assert handed(made)['tables'] == {}


@pytest.mark.parametrize(('content', 'message'), [(None, 'src: web.rules: Could not find or access'), (b'\xff\xfe', "src: web.rules: 'utf-8' codec")])
def test_a_src_that_cannot_be_read_is_named(action: Any, tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / 'web.rules').write_bytes(content)
    with pytest.raises(AnsibleActionFail) as caught:
        action(src='web.rules').run()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(('policy', 'named'), [
    ({'services': {'sssh': {}}}, 'sssh'), ({'servces': {}}, 'servces'), ('no dictionary', 'policy: '), (['ssh'], 'policy: '),
])
def test_a_policy_that_cannot_be_compiled_is_an_error_of_that_option(action: Any, policy: Any, named: str) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        action(profile='server', policy=policy).run()
    assert str(caught.value).startswith('policy: ')
    assert named in str(caught.value)


def test_check_and_diff_mode_are_supported() -> None:
    assert ActionModule._supports_check_mode
    assert ActionModule._supports_diff


def test_allow_lockout_tries_what_no_new_connection_could_confirm_now(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_confirmed, 'try_out', lambda _action: Trial('unreachable', '/mine', 'Connection timed out'))
    with pytest.raises(AnsibleActionFail, match=r'Nothing has changed\. allow_lockout: true tries it, .*; confirm_timeout: 0 changes it'):
        action(tables={}).run(task_vars={})
    made = action(tables={}, allow_lockout='yes')
    made.run(task_vars={})
    assert made.called == [MODULE]


# Persisted rules

@pytest.mark.parametrize('persist', [True, 'yes'])
def test_a_persisted_profile_brings_its_closed_fallback(action: Any, persist: Any) -> None:
    compiled = compile_policy('server', POLICY)
    assert handed(action(profile='server', policy=POLICY, persist=persist)) == {
        'tables': compiled.tables, 'fallback': compiled.fallback, 'persist': persist}


@pytest.mark.parametrize('persist', [False, 'no', None])
def test_a_profile_that_is_not_persisted_needs_none(action: Any, persist: Any) -> None:
    assert 'fallback' not in handed(action(profile='server', policy=POLICY, persist=persist))


def test_a_fallback_of_the_operators_own_stays(action: Any) -> None:
    assert handed(action(profile='server', policy=POLICY, persist=True, fallback={'filter': {}}))['fallback'] == {'filter': {}}


@pytest.mark.parametrize(('unit', 'words'), [
    ('enabled', ''), ('disabled', 'palisade-firewall.service is not enabled'), ('missing', 'there is no palisade-firewall.service'),
    ('no systemd', '/usr/local/sbin/palisade-firewall boot'),
])
@pytest.mark.parametrize('installs', [True, False])
def test_rules_that_nothing_loads_at_boot_are_warned_of_unless_the_role_sees_to_it(action: Any, unit: str, words: str, installs: bool) -> None:
    made = action(tables={}, persist=True)
    made._execute_module = Mock(return_value={'changed': True, 'persisted': '/etc/palisade/web.rules', 'boot': {'unit': unit}})
    made._display = Mock()
    made.run(task_vars={'__firewall_installs_unit': True} if installs else {})
    said = [call.args[0] for call in made._display.warning.call_args_list]
    if installs or not words:
        assert said == []
    else:
        text, = said
        assert text.startswith('/etc/palisade/web.rules is written, and nothing loads it at boot: ')
        assert words in text


# With the rig or without

FLOW = {'in_interface': 'eth0', 'port': 22, 'verdict': 'accept'}


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say whether the controller's own process came in over ssh."""
    return lambda over_ssh: monkeypatch.setattr(_transport, 'over_network', lambda: over_ssh)


def ran(action: Action, transport: str) -> tuple[list[str], dict[str, Any]]:
    action._connection.transport = transport
    result = action.run(task_vars={})
    return action.called, result


@pytest.mark.parametrize('transport', sorted(WITHOUT_NETWORK))
@pytest.mark.parametrize('collection', ['', 'community.general.'])
def test_where_no_rule_can_cut_the_connection_the_smaller_module_runs_and_the_result_says_why(
        action: Any, controller: Any, transport: str, collection: str) -> None:
    controller(False)
    called, result = ran(action(tables={}), collection + transport)
    assert called == [UNPROVED]
    assert result['guard'] == {'state': 'none', 'reason': 'a connection of type %s has no network path that a rule could cut' % transport}


@pytest.mark.parametrize('transport', ['ssh', 'paramiko_ssh', 'ansible.netcommon.libssh', 'gcloud-iap', 'amazon.aws.aws_ssm', 'unheard.of.this'])
def test_any_other_connection_gets_the_rig(action: Any, controller: Any, transport: str) -> None:
    controller(False)
    called, result = ran(action(tables={}), transport)
    assert called == [MODULE]
    assert 'guard' not in result


def test_local_on_a_host_where_the_operator_is_logged_in_by_ssh_is_guarded(action: Any, controller: Any) -> None:
    controller(True)
    assert ran(action(tables={}), 'local')[0] == [MODULE]
    assert ran(action(tables={}), 'community.docker.docker')[0] == [UNPROVED]


@pytest.mark.parametrize('transport', ['local', 'docker', 'ssh'])
def test_what_is_expected_is_proved_over_any_connection(action: Any, controller: Any, transport: str) -> None:
    controller(False)
    assert ran(action(tables={}, expect=[FLOW]), transport)[0] == [MODULE]


@pytest.mark.parametrize('expect', [[], None])
def test_an_expectation_of_nothing_needs_no_rig(action: Any, controller: Any, expect: Any) -> None:
    controller(False)
    assert ran(action(tables={}, expect=expect), 'local')[0] == [UNPROVED]


def test_a_failure_says_nothing_of_the_guard(action: Any, controller: Any) -> None:
    controller(False)
    made = action(tables={})
    made._connection.transport = 'local'
    made._execute_module = Mock(return_value={'failed': True, 'msg': 'no'})
    assert made.run(task_vars={}) == {'failed': True, 'msg': 'no'}


def test_the_collector_rests_while_the_module_is_packed_and_runs_again(action: Any) -> None:
    made = action(tables={})
    seen: list[bool] = []

    def execute(**_arguments: Any) -> dict[str, Any]:
        seen.append(gc.isenabled())
        return {}

    made._execute_module = execute
    made.run(task_vars={})
    assert (seen, gc.isenabled()) == ([False], True)
    made._execute_module = Mock(side_effect=AnsibleActionFail('no'))
    with pytest.raises(AnsibleActionFail):
        made.run(task_vars={})
    assert gc.isenabled()
