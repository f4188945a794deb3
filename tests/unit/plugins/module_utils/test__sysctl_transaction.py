# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a kernel in memory: what is written and in which order, what our file says, what is told, and what comes back after a failure."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import OWN_FILE, BootOrder, SysctlFile, with_own
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_transaction import RejectedError, Request, run_sysctl
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import effective, parse_key
from ansible_collections.palisade.netfilter.tests.unit.support.memory_sysctl import MemorySysctl, written
from hypothesis import given
from hypothesis import strategies as st

RP = 'net.ipv4.conf.%s.rp_filter'
DEBIAN_13 = 'net.ipv4.conf.default.rp_filter = 2\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n'


@pytest.fixture
def host() -> MemorySysctl:
    return MemorySysctl()


def run(host: MemorySysctl, **options: Any) -> Dict[str, Any]:
    """One run that has to come to the same as its check, and a second one that finds nothing to do."""
    before, log = dict(host.values), list(host.log)
    check = run_sysctl(Request(check_mode=True, **options), host)
    assert (host.values, host.log) == (before, log)
    result = run_sysctl(Request(**options), host)
    assert result == check
    log = list(host.log)
    again = run_sysctl(Request(**options), host)
    assert (again['changed'], again['diff'], host.log) == (False, [], log)
    return result


def keys(result: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    return {entry['key']: entry for entry in result['keys']}


def states(result: Dict[str, Any]) -> Dict[str, str]:
    return {entry['key']: entry['state'] for entry in result['keys']}


def refused(host: MemorySysctl, words: str, **options: Any) -> None:
    before, text = dict(host.values), host.text
    with pytest.raises(PalisadeError) as caught:
        run_sysctl(Request(**options), host)
    assert words in str(caught.value)
    assert (host.values, host.text) == (before, text)


# What is in effect

@pytest.mark.parametrize('profile', ['workstation', 'server', 'router'])
def test_everything_is_in_effect_on_every_interface(host: MemorySysctl, profile: str) -> None:
    result = run(host, profile=profile)
    for entry in result['keys']:
        assert entry['state'] in ('ok', 'changed')
        if 'conf' in entry['key'] or 'forward' in entry['key']:
            assert entry['effective'] == dict.fromkeys(['default', 'eth0', 'eth0.100', 'lo'], entry['wanted'])
    assert host.text is not None and host.text.startswith('# Kernel settings: profile %s\n' % profile)


def test_forwarding_is_written_first_and_its_reset_is_made_good(host: MemorySysctl) -> None:
    run(host, profile='router')
    host.log.clear()
    # Off again: the kernel sets all.accept_redirects to 1 then, where it has the declared 0 now.
    run(host, profile='server')
    assert host.value('net.ipv4.conf.all.accept_redirects') == '0'
    order = written(host.log)
    assert order[0] == 'net/ipv4/conf/all/forwarding'
    assert order.index('net/ipv4/conf/all/accept_redirects') > order.index('net/ipv6/conf/all/forwarding')


def test_a_router_takes_advertisements_on_its_wan_before_it_forwards(host: MemorySysctl) -> None:
    host.learned = frozenset(['eth0'])
    run(host, profile='router')
    order = written(host.log)
    assert order.index('net/ipv6/conf/eth0/accept_ra') < order.index('net/ipv6/conf/all/forwarding')
    assert host.value('net.ipv6.conf.eth0.accept_ra') == '2'
    assert host.text is not None and '-net.ipv6.conf.eth0.accept_ra = 2\n' in host.text
    # Its link is down for a while: the route is gone, the decision stays.
    host.learned = frozenset()
    assert not run_sysctl(Request(profile='router'), host)['changed']


def test_an_interface_of_its_own_kind_takes_all_with_it(host: MemorySysctl) -> None:
    result = run(host, profile='server', interfaces={'eth0': {'ipv4.rp_filter': 0}})
    assert [host.value(RP % name) for name in ('all', 'default', 'eth0', 'lo')] == ['0', '1', '0', '1']
    entry = keys(result)[RP % 'all']
    assert (entry['wanted'], entry['after']) == ('1', '0')
    assert entry['effective'] == {'default': '1', 'eth0.100': '1', 'lo': '1'}
    assert keys(result)[RP % 'eth0']['effective'] == {'eth0': '0'}


def test_an_interface_alone_is_refused_where_all_is_stronger(host: MemorySysctl) -> None:
    host.values[parse_key(RP % 'all')] = '2'
    refused(host, 'net.ipv4.conf.eth0.rp_filter: 1 is not in effect on eth0 while net.ipv4.conf.all.rp_filter is 2', settings={RP % 'eth0': 1})
    run(host, settings={RP % 'eth0': 2})


def test_a_default_alone_is_written_as_it_is_and_said_to_be_without_effect(host: MemorySysctl) -> None:
    """As two of the source documents do it."""
    host.values['net/ipv4/conf/all/send_redirects'] = '1'
    result = run(host, settings={'net.ipv4.conf.default.send_redirects': 0})
    entry = keys(result)['net.ipv4.conf.default.send_redirects']
    assert (entry['state'], entry['after'], entry['effective']) == ('shadowed', '0', {'default': '1'})
    assert entry['shadowed_by'] == ['net.ipv4.conf.all.send_redirects = 1, which counts on every interface']
    assert host.value('net.ipv4.conf.all.send_redirects') == '1'


def test_an_interface_that_is_not_there_yet_waits_in_the_file(host: MemorySysctl) -> None:
    result = run(host, profile='server', interfaces={'ppp0': {'ipv4.rp_filter': 2}})
    assert states(result)[RP % 'ppp0'] == 'missing'
    assert result['warnings'] == []
    assert host.text is not None and '-net.ipv4.conf.ppp0.rp_filter = 2\n' in host.text


def test_an_interface_that_is_left_alone_is_left_alone_at_boot_too(host: MemorySysctl) -> None:
    result = run(host, profile='server', interfaces={'eth0': {'ipv4.rp_filter': None}})
    assert host.value(RP % 'eth0') == '0'
    assert states(result)[RP % 'eth0'] == 'kept'
    assert BootOrder([SysctlFile(OWN_FILE, host.text or '')]).last_word(parse_key(RP % 'eth0')) is None


def test_a_kernel_without_a_family_skips_its_keys() -> None:
    host = MemorySysctl(families=['ipv4'])
    result = run(host, profile='server', settings={'net.ipv6.conf.all.use_tempaddr': 2})
    assert {state for key, state in states(result).items() if 'ipv6' in key} == {'missing'}
    assert '-net.ipv6.conf.all.accept_redirects = 0\n' in (host.text or '')
    assert states(result)['net.ipv4.tcp_syncookies'] == 'ok'


def test_forwarding_stays_under_docker(host: MemorySysctl) -> None:
    host.marks = {'/run/docker.sock'}
    host.write('net/ipv4/conf/all/forwarding', '1')
    host.log.clear()
    result = run(host, profile='server')
    assert host.value('net.ipv4.ip_forward') == '1'
    assert keys(result)['net.ipv4.ip_forward'] == {'key': 'net.ipv4.ip_forward', 'wanted': None, 'state': 'kept', 'changed': False, 'before': '1',
                                                   'after': '1', 'reason': 'needed by Docker', 'source': ''}
    assert 'forward' not in ''.join(line for line in (host.text or '').splitlines() if line.startswith('-'))
    assert keys(result)['net.ipv4.conf.all.accept_redirects']['effective']['eth0'] == '0'
    run(host, profile='server', settings={'net.ipv4.ip_forward': 0})
    assert host.value('net.ipv4.ip_forward') == '0'


# The file, and who else has a say

def test_debian_13_is_beaten_by_its_own_pattern(host: MemorySysctl) -> None:
    host.file('/usr/lib/sysctl.d/50-default.conf', DEBIAN_13)
    result = run(host, profile='server')
    boot = BootOrder(with_own(host.boot, host.text or ''))
    for name in ('all', 'default', 'eth0', 'eth0.100', 'usb7'):
        line = boot.last_word(parse_key(RP % name))
        assert line is not None and (line.value, line.where.partition(':')[0]) == ('1', OWN_FILE), name
    assert 'shadowed' not in states(result).values()


def test_an_interface_that_another_file_names_gets_a_line_of_its_own(host: MemorySysctl) -> None:
    host.file('/etc/sysctl.d/60-old.conf', 'net.ipv4.conf.eth0.rp_filter = 0\nnet/ipv4/conf/eth0.100/rp_filter=0\nnet.ipv4.conf.all.forwarding=1\n')
    result = run(host, profile='server')
    assert '-net.ipv4.conf.eth0.rp_filter = 1\n-net/ipv4/conf/eth0.100/rp_filter = 1\n' in (host.text or '')
    assert '-net.ipv4.ip_forward = 0\n-net.ipv4.conf.all.forwarding = 0\n' in (host.text or '')
    assert 'shadowed' not in states(result).values()


@pytest.mark.parametrize(('path', 'text', 'key', 'said'), [
    ('/etc/sysctl.d/99-zzz.conf', '\nnet.ipv4.tcp_syncookies=0', 'net.ipv4.tcp_syncookies',
    '/etc/sysctl.d/99-zzz.conf:2: net.ipv4.tcp_syncookies = 0 (at boot)'),
    ('/etc/sysctl.d/99-zzz.conf', 'net.ipv4.conf.eth0.rp_filter=0', RP % 'all',
    '/etc/sysctl.d/99-zzz.conf:1: net.ipv4.conf.eth0.rp_filter = 0 (at boot)'),
    ('/etc/sysctl.d/99-zzz.conf', 'net.ipv4.conf.eth*.rp_filter=0', RP % 'all',
    '/etc/sysctl.d/99-zzz.conf:1: net.ipv4.conf.eth*.rp_filter = 0 (at boot)'),
    ('/etc/sysctl.d/99-zzz.conf', 'net.ipv4.conf.all.forwarding=1', 'net.ipv4.ip_forward',
    '/etc/sysctl.d/99-zzz.conf:1: net.ipv4.ip_forward = 1 (at boot)'),
])
def test_a_file_behind_ours_shadows_it(host: MemorySysctl, path: str, text: str, key: str, said: str) -> None:
    host.file(path, text)
    result = run(host, profile='server')
    assert (keys(result)[key]['state'], keys(result)[key]['shadowed_by']) == ('shadowed', [said])
    assert len(result['warnings']) == 1 and said in result['warnings'][0]


def test_the_same_value_in_a_file_behind_ours_is_no_shadow(host: MemorySysctl) -> None:
    host.file('/etc/sysctl.d/99-zzz.conf', 'net.ipv4.tcp_syncookies=0x1')
    assert 'shadowed' not in states(run(host, profile='server')).values()


def test_ufw_and_sysctl_conf_are_named(host: MemorySysctl) -> None:
    host.later = [(SysctlFile('/etc/sysctl.conf', 'net.ipv4.tcp_syncookies = 0'), 'when sysctl --system runs'),
                  (SysctlFile('/etc/ufw/sysctl.conf', 'net/ipv4/conf/all/log_martians=0'), 'when ufw starts')]
    result = keys(run(host, profile='server'))
    assert result['net.ipv4.tcp_syncookies']['shadowed_by'] == ['/etc/sysctl.conf:1: net.ipv4.tcp_syncookies = 0 (when sysctl --system runs)']
    assert result['net.ipv4.conf.all.log_martians']['shadowed_by'] == ['/etc/ufw/sysctl.conf:1: net.ipv4.conf.all.log_martians = 0 (when ufw starts)']


@pytest.mark.parametrize(('persist', 'runtime'), [(True, False), (False, True)])
def test_only_the_file_and_only_the_kernel(host: MemorySysctl, persist: bool, runtime: bool) -> None:
    run(host, profile='server', persist=persist, runtime=runtime)
    assert (host.text is not None) == persist
    assert (host.value('net.ipv4.conf.all.log_martians') == '1') == runtime


# Leaving

def test_absent_gives_back_what_files_say_or_the_kernel_starts_with(host: MemorySysctl) -> None:
    host.file('/usr/lib/sysctl.d/50-default.conf', DEBIAN_13)
    fresh = dict(host.values)
    run(host, profile='router', settings={'net.ipv4.tcp_ecn': 0})
    result = run(host, state='absent')
    assert host.text is None
    for path, value in fresh.items():
        leaf = path.rpartition('/')[2]
        expected = {'tcp_ecn': '0', 'rp_filter': '0' if '/all/' in path else '2'}.get(leaf, value)
        assert host.values[path] == expected, path
    assert keys(result)['net.ipv4.tcp_ecn']['reason'] == 'no file says what it was; it stays until the next boot'
    assert keys(result)['net.ipv4.tcp_ecn']['state'] == 'kept'
    assert keys(result)[RP % 'default']['reason'] == 'as /usr/lib/sysctl.d/50-default.conf:1 says'
    assert written(host.log)[-1] != 'net/ipv4/conf/all/forwarding'


def test_absent_without_a_file_does_nothing(host: MemorySysctl) -> None:
    assert run(host, state='absent') == {'changed': False, 'diff': [], 'keys': [], 'warnings': []}


def test_a_key_that_is_declared_no_longer_is_given_back(host: MemorySysctl) -> None:
    host.file('/etc/sysctl.d/10.conf', 'net.ipv4.tcp_ecn = 1')
    run(host, profile='server', settings={'net.ipv4.tcp_ecn': 0}, interfaces={'eth0': {'ipv4.rp_filter': 0}})
    result = run(host, profile='server')
    assert (keys(result)['net.ipv4.tcp_ecn']['state'], host.value('net.ipv4.tcp_ecn')) == ('restored', '1')
    assert [host.value(RP % name) for name in ('all', 'eth0')] == ['1', '1']


def test_a_key_that_is_left_alone_now_keeps_its_value(host: MemorySysctl) -> None:
    run(host, profile='server')
    result = run(host, profile='server', settings={'net.ipv4.conf.all.log_martians': None})
    assert states(result)['net.ipv4.conf.all.log_martians'] == 'kept'
    assert host.value('net.ipv4.conf.all.log_martians') == host.value('net.ipv4.conf.eth0.log_martians') == '1'
    assert 'log_martians' not in (host.text or '')


def test_forwarding_is_not_given_back_under_docker(host: MemorySysctl) -> None:
    run(host, profile='router')
    host.marks = {'/run/docker.sock'}
    run(host, state='absent')
    assert host.value('net.ipv4.ip_forward') == '1'


# Hosts that cannot

def test_a_read_only_proc_is_told_and_is_no_change(host: MemorySysctl) -> None:
    host.faults[''] = 'readonly'
    result = run(host, profile='server')
    assert states(result)['net.ipv4.conf.all.send_redirects'] == 'readonly'
    assert states(result)['net.ipv4.tcp_syncookies'] == 'ok'
    assert result['warnings'][0].startswith('/proc/sys cannot be written on this host')
    entry = keys(result)['net.ipv4.conf.all.send_redirects']
    assert (entry['before'], entry['after'], entry['changed'], entry['effective']['eth0']) == ('1', '1', False, '1')
    assert written(host.log) == [] and host.text is not None


def test_one_key_that_is_read_only_does_not_keep_the_others_back(host: MemorySysctl) -> None:
    host.faults['net/core/bpf_jit_harden'] = 'readonly'
    result = run(host, profile='server')
    assert states(result)['net.core.bpf_jit_harden'] == 'readonly'
    assert states(result)['net.ipv4.conf.all.send_redirects'] == 'changed'


@pytest.mark.parametrize(('key', 'fault', 'value', 'words'), [
    ('net.ipv4.route.flush', 'trigger', 1, 'can only be written'), ('net.ipv4.conf', 'folder', 1, 'does not name a key'),
    ('net.ipv4', 'folder', 1, 'is a folder'),
    ('net.ipv4.tcp_available_congestion_control', 'fixed', 'bbr', 'the kernel only shows it'),
])
def test_what_is_no_setting_is_refused(host: MemorySysctl, key: str, fault: str, value: object, words: str) -> None:
    host.faults[key.replace('.', '/')] = fault
    refused(host, words, settings={key: value})


@pytest.mark.parametrize(('options', 'words'), [
    ({}, 'state: present needs one of profile, compliance, settings or interfaces'),
    ({'profile': 'desktop'}, 'is none of workstation'),
    ({'settings': {'net.ipv4.tcp_synccookies': 1}}, 'net.ipv4.tcp_synccookies: this kernel has no such key, and none is known by that name. '
                                                    'Is net.ipv4.tcp_syncookies meant?'),
    ({'settings': {'net.ipv4.conf.all.rp_fliter': 1}}, 'Is net.ipv4.conf.all.rp_filter meant?'),
    ({'interfaces': {'eth0': {'ipv4.rp_fliter': 1}}}, 'Is net.ipv4.conf.all.rp_filter meant?'),
    ({'settings': {'net.wibble.wobble': 1}}, 'none is known by that name (on_missing: skip'),
    ({'settings': {'net.ipv4.tcp_timestamps': 0}, 'on_missing': 'fail'}, 'net.ipv4.tcp_timestamps: this kernel has no such key'),
    ({'settings': {'net.ipv4.tcp_wmem': '1 2'}}, 'has 2 numbers, and the kernel has 3'),
])
def test_bad_input_is_refused_before_anything_changes(host: MemorySysctl, options: Dict[str, Any], words: str) -> None:
    refused(host, words, **options)
    assert host.log == []


def test_a_key_that_some_kernels_have_is_skipped_and_persisted(host: MemorySysctl) -> None:
    result = run(host, settings={'net.ipv4.tcp_timestamps': 0})
    assert states(result) == {'net.ipv4.tcp_timestamps': 'missing'}
    assert result['warnings'] == ['This kernel does not have: net.ipv4.tcp_timestamps']
    assert '-net.ipv4.tcp_timestamps = 0\n' in (host.text or '')
    assert states(run(host, settings={'net.wibble.wobble': 1}, on_missing='skip'))['net.wibble.wobble'] == 'missing'


def test_not_root(host: MemorySysctl) -> None:
    host.root_user = False
    refused(host, 'use become', profile='server')


def test_a_file_that_cannot_be_written(host: MemorySysctl) -> None:
    host.disk_full = True
    refused(host, '%s cannot be written' % OWN_FILE, profile='server')
    assert host.log == []


# Failures in the middle

ALL_WRITES = 'net/ipv4/conf/all/send_redirects'


@pytest.mark.parametrize('profile', ['server', 'router'])
def test_a_failure_at_any_write_puts_everything_back(profile: str) -> None:
    order = []
    probe = MemorySysctl()
    probe.write('net/ipv4/conf/all/forwarding', '0' if profile == 'router' else '1')
    probe.log.clear()
    run_sysctl(Request(profile=profile), probe)
    order = written(probe.log)
    assert len(order) > 15
    for path in order:
        host = MemorySysctl()
        host.write('net/ipv4/conf/all/forwarding', '0' if profile == 'router' else '1')
        before = dict(host.values)
        host.refusing[path] = 0
        with pytest.raises(RejectedError, match='the kernel refuses') as caught:
            run_sysctl(Request(profile=profile), host)
        assert 'Nothing has changed' in str(caught.value)
        assert (host.values, host.text) == (before, None), path
        assert host.log[-1] == 'discard'
        (entry,) = caught.value.result['keys']
        assert (entry['state'], parse_key(entry['key'])) == ('rejected', path)


def test_a_value_that_is_not_kept_is_seen(host: MemorySysctl) -> None:
    host.deaf.add(ALL_WRITES)
    before = dict(host.values)
    with pytest.raises(RejectedError, match='0 was written, and the kernel has 1'):
        run_sysctl(Request(profile='server'), host)
    assert host.values == before


def test_what_cannot_be_put_back_is_said(host: MemorySysctl) -> None:
    host.refusing = {'net/ipv4/conf/all/secure_redirects': 1, ALL_WRITES: 0}
    with pytest.raises(RejectedError, match='Not put back: net/ipv4/conf/all/secure_redirects'):
        run_sysctl(Request(profile='server'), host)


def test_a_failure_of_the_file_puts_the_kernel_back(host: MemorySysctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_changes: object) -> None:
        raise PalisadeError('no space left')

    monkeypatch.setattr(host, 'commit', full)
    refused(host, 'no space left. Nothing has changed', profile='router')


# Any declaration

SETTINGS = {
    RP % 'all': st.integers(0, 2), RP % 'default': st.integers(0, 2), RP % 'eth0': st.integers(0, 2), 'net.ipv4.ip_forward': st.integers(0, 1),
    'net.ipv4.conf.eth0.forwarding': st.integers(0, 1), 'net.ipv4.conf.all.accept_redirects': st.integers(0, 1),
    'net.ipv4.conf.lo.accept_redirects': st.integers(0, 1), 'net.ipv6.conf.all.accept_ra': st.integers(0, 2),
    'net.ipv6.conf.lo.accept_ra': st.integers(0, 2),
}


@given(st.lists(st.tuples(st.sampled_from([None, 'workstation', 'server',
'router']), st.fixed_dictionaries({}, optional=SETTINGS)), min_size=1, max_size=4))
def test_whatever_came_before_the_declared_is_in_effect_or_refused(steps: List[Any]) -> None:
    host, refusals = MemorySysctl(), []
    for profile, settings in steps:
        if profile is None and not settings:
            continue
        before = dict(host.values), host.text
        try:
            result = run(host, profile=profile, settings=settings)
        except PalisadeError as error:
            refusals.append(str(error))
            assert (host.values, host.text) == before
            continue
        for entry in result['keys']:
            if entry['wanted'] is not None and entry['state'] != 'shadowed':
                assert set(entry.get('effective', {}).values()) <= {entry['wanted']}, entry
                for name, value in entry.get('effective', {}).items():
                    assert value == live(host, entry['key'], name)
    assert all('cannot be' in words or 'is not in effect' in words for words in refusals)


def live(host: MemorySysctl, key: str, name: str) -> Optional[str]:
    """What the kernel in memory really comes to, by its own values."""
    parts = parse_key(key).split('/')
    own, in_all = (host.values['/'.join([*parts[:3], member, parts[4]])] for member in (name, 'all'))
    return effective((parts[1], parts[4]), in_all, own, host.values['net/ipv4/conf/%s/forwarding' % name] == '1')


def test_of_many_interfaces_only_those_are_listed_that_are_otherwise() -> None:
    host = MemorySysctl(['lo', *('veth%d' % number for number in range(80))])
    entry = keys(run(host, profile='server'))[RP % 'all']
    assert entry['effective'] == {'default': '1'}
    assert entry['effective_elsewhere'] == {'interfaces': 81, 'value': '1'}
