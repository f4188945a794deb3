# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on a kernel in memory: its documentation is true, its errors are in words."""
from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.palisade.netfilter.plugins.doc_fragments.confirmation import ModuleDocFragment as Confirmation
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import COMPLIANCE, PROFILES
from ansible_collections.palisade.netfilter.plugins.modules import sysctl_hardening
from ansible_collections.palisade.netfilter.tests.unit.support.memory_sysctl import MemorySysctl

DOCUMENTATION: Dict[str, Any] = yaml.safe_load(sysctl_hardening.DOCUMENTATION)
OPTIONS: Dict[str, Any] = {**DOCUMENTATION['options'], **yaml.safe_load(Confirmation.DOCUMENTATION)['options']}
RETURN: Dict[str, Any] = yaml.safe_load(sysctl_hardening.RETURN)
EXAMPLES: List[Dict[str, Any]] = yaml.safe_load(sysctl_hardening.EXAMPLES)
NAME = 'palisade.netfilter.sysctl_hardening'


@pytest.fixture
def host() -> MemorySysctl:
    return MemorySysctl()


@pytest.fixture
def run(host: MemorySysctl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the module with some options and return its result."""
    monkeypatch.setattr(sysctl_hardening, 'SysctlHost', lambda: host)

    def runner(**options: Any) -> Dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit) as caught:
            sysctl_hardening.main()
        result: Dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(caught.value.code) == bool(result.get('failed'))
        return result

    return runner


@pytest.mark.parametrize('option', sorted(set(OPTIONS) | set(sysctl_hardening.argument_spec())))
def test_every_option_is_documented_as_it_is(option: str) -> None:
    documented = {key: value for key, value in OPTIONS[option].items() if key != 'description'}
    assert documented == sysctl_hardening.argument_spec()[option]
    assert OPTIONS[option]['description']


def test_the_choices_are_the_tables() -> None:
    assert tuple(DOCUMENTATION['options']['profile']['choices']) == PROFILES
    assert tuple(DOCUMENTATION['options']['compliance']['choices']) == COMPLIANCE
    assert DOCUMENTATION['module'] == 'sysctl_hardening'


@pytest.mark.parametrize('options', [example[NAME] for example in EXAMPLES])
def test_every_example_is_valid_and_runs(run: Any, options: Dict[str, Any]) -> None:
    assert ArgumentSpecValidator(sysctl_hardening.argument_spec()).validate(options).error_messages == []
    assert not run(**options).get('failed')


def test_everything_returned_is_documented_and_the_other_way_round(run: Any, host: MemorySysctl) -> None:
    host.names += ['veth%d' % number for number in range(60)]
    for path in [path for path in host.values if '/default/' in path]:
        for name in host.names:
            host.values.setdefault(path.replace('/default/', '/%s/' % name), host.values[path])
    host.file('/etc/sysctl.d/99-zzz.conf', 'net.ipv4.conf.all.rp_filter = 0')
    result = run(profile='server')
    assert set(result) - {'changed', 'diff', 'invocation', 'warnings'} == set(RETURN)
    assert {key for entry in result['keys'] for key in entry} == set(RETURN['keys']['contains'])
    sample = RETURN['keys']['sample'][0]
    assert set(sample) <= set(RETURN['keys']['contains'])


def test_check_mode_says_the_same_and_changes_nothing(run: Any, host: MemorySysctl) -> None:
    before = dict(host.values)
    check = run(profile='server', _ansible_check_mode=True, _ansible_diff=True)
    assert (host.values, host.text, check['changed']) == (before, None, True)
    done = run(profile='server', _ansible_diff=True)
    assert (done['keys'], done['diff'], done['changed']) == (check['keys'], check['diff'], True)
    assert run(profile='server')['changed'] is False


def test_the_diff_shows_settings_and_file(run: Any) -> None:
    live, file = run(settings={'net.ipv4.tcp_ecn': 0}, _ansible_diff=True)['diff']
    assert (live['before'], live['after']) == ('net.ipv4.tcp_ecn = 2\n', 'net.ipv4.tcp_ecn = 0\n')
    assert (file['before'], file['after_header']) == ('', '/etc/sysctl.d/99-zz-palisade.conf')
    assert file['after'].endswith('\n-net.ipv4.tcp_ecn = 0\n')


def test_warnings_are_ansibles(run: Any, host: MemorySysctl, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: List[str] = []
    monkeypatch.setattr(AnsibleModule, 'warn', lambda _module, warning: warnings.append(warning))
    host.faults[''] = 'readonly'
    run(profile='server')
    assert [warning.partition(' on this host')[0] for warning in warnings] == ['/proc/sys cannot be written']


@pytest.mark.parametrize(('options', 'message'), [
    ({}, 'state: present needs one of'),
    ({'profile': 'desktop'}, 'value of profile must be one of: workstation, server, router, got: desktop'),
    ({'settings': 'net.ipv4.tcp_ecn'}, 'dictionary'),
    ({'settings': {'net.ipv4.tcp_ecn': 'off'}}, "settings: net.ipv4.tcp_ecn: 'off' is not a whole number from 0 to 5"),
    ({'settings': {'net.ipv4.tcp_enc': 0}}, 'Is net.ipv4.tcp_ecn meant?'),
])
def test_bad_input_fails_in_words(run: Any, options: Dict[str, Any], message: str) -> None:
    result = run(**options)
    assert result['failed'] and message in result['msg']
    assert 'Traceback' not in json.dumps(result)


def test_a_value_that_the_kernel_refuses_is_in_the_result(run: Any, host: MemorySysctl) -> None:
    host.refusing['net/ipv4/tcp_ecn'] = 0
    result = run(settings={'net.ipv4.tcp_ecn': 5})
    assert result['failed'] and 'Nothing has changed' in result['msg']
    assert [(entry['key'], entry['state']) for entry in result['keys']] == [('net.ipv4.tcp_ecn', 'rejected')]
