# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared: profile, benchmark, settings and interfaces put together, and where a profile gives way to what a host lives by."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import (
    Declaration,
    adapted,
    declare,
    forwarders_of,
    kernel_default,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import ROWS
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import parse_key, shown


def declared(profile: Optional[str] = None, compliance: str = 'none', settings: Optional[Mapping[str, Any]] = None,
             interfaces: Optional[Mapping[str, Any]] = None) -> Declaration:
    return declare(profile, compliance, settings or {}, interfaces or {})


def values(declaration: Declaration) -> Dict[str, str]:
    return {shown(path): item.value for path, item in declaration.items.items()}


def test_a_profile_is_its_column_in_the_order_of_the_table() -> None:
    for profile in ('workstation', 'server', 'router'):
        wanted = {row.key: getattr(row, profile) for row in ROWS if getattr(row, profile) is not None}
        assert list(values(declared(profile)).items()) == list(wanted.items())
        assert all(item.reason and item.source and item.origin == 'profile' for item in declared(profile).items.values())


@pytest.mark.parametrize(('profile', 'key', 'value'), [
    ('workstation', 'net.ipv4.conf.all.rp_filter', '2'), ('server', 'net.ipv4.conf.all.rp_filter', '1'), ('router', 'net.ipv4.ip_forward', '1'),
    ('server', 'net.ipv4.ip_forward', '0'), ('workstation', 'net.ipv4.conf.all.log_martians', '0'),
    ('workstation', 'net.ipv6.conf.all.accept_ra', None),
    ('router', 'net.ipv6.conf.all.accept_ra', '0'), ('server', 'net.core.bpf_jit_harden', '2'), ('server', 'net.ipv4.tcp_timestamps', None),
    ('workstation', 'net.ipv4.tcp_ecn', None), ('router', 'net.ipv4.conf.all.send_redirects', '0'),
])
def test_values_that_were_decided(profile: str, key: str, value: Optional[str]) -> None:
    assert values(declared(profile)).get(key) == value


def test_the_benchmark_beats_the_profile_and_settings_beat_both() -> None:
    assert values(declared('workstation', 'cis'))['net.ipv4.conf.all.rp_filter'] == '1'
    assert values(declared('workstation', 'cis', {'net.ipv4.conf.all.rp_filter': 0}))['net.ipv4.conf.all.rp_filter'] == '0'
    assert values(declared(None, 'cis')) == {row.key: row.cis for row in ROWS if row.cis is not None}
    assert values(declared('router', 'cis'))['net.ipv4.ip_forward'] == '1'
    assert values(declared('server', 'cis'))['net.ipv4.ip_forward'] == '0'


def test_null_leaves_a_key_alone() -> None:
    declaration = declared('server', settings={'net.ipv4.conf.*.log_martians': None}, interfaces={'eth0': {'ipv4.rp_filter': None}})
    assert 'net.ipv4.conf.all.log_martians' not in values(declaration)
    assert set(declaration.left) == {'net/ipv4/conf/all/log_martians', 'net/ipv4/conf/eth0/rp_filter'}


def test_interfaces_have_their_own() -> None:
    declaration = declared('server', interfaces={'eth0.100': {'ipv4.rp_filter': 2, 'ipv6/accept_ra': '2'}, 'ppp0': {}})
    assert {key: value for key, value in values(declaration).items() if 'eth0' in key} == {
        'net/ipv4/conf/eth0.100/rp_filter': '2', 'net/ipv6/conf/eth0.100/accept_ra': '2'}
    keys = list(values(declaration))
    assert keys.index('net/ipv4/conf/eth0.100/rp_filter') == keys.index('net.ipv4.conf.all.rp_filter') + 1


@pytest.mark.parametrize(('arguments', 'words'), [
    ({'profile': 'desktop'}, 'profile: desktop is none of workstation, server, router'),
    ({'compliance': 'stig'}, 'compliance: stig is none of none, cis'),
    ({'settings': {'net.ipv4.ip_forward': 1, 'net/ipv4/conf/all/forwarding': 0}}, 'net.ipv4.ip_forward and net/ipv4/conf/all/forwarding are one key'),
    ({'settings': {'net.ipv4.conf.all.rp_filter': 7}}, 'settings: net.ipv4.conf.all.rp_filter: 7 is out of range'),
    ({'settings': {'net.ipv4.conf.all.rp_filter': None, 'net.ipv4.conf.*.rp_filter': 1}}, 'are one key, with two values: None and 1'),
    ({'interfaces': {'all': {'ipv4.rp_filter': 1}}}, 'interfaces: all is not the name of an interface'),
    ({'interfaces': {'eth0/1': {'ipv4.rp_filter': 1}}}, 'interfaces: eth0/1 is not the name of an interface'),
    ({'interfaces': {7: {'ipv4.rp_filter': 1}}}, 'interfaces: 7 is not the name of an interface'),
    ({'interfaces': {'eth0': 1}}, 'interfaces: eth0: 1 is not a dictionary'),
    ({'interfaces': {'eth0': {'rp_filter': 1}}}, 'interfaces: eth0: rp_filter is not a key such as ipv4.rp_filter'),
    ({'interfaces': {'eth0': {'ipv4.rp_filter': 9}}}, 'interfaces: eth0: ipv4.rp_filter: 9 is out of range'),
    ({'settings': {'net.ipv4.conf.eth0.rp_filter': 1}, 'interfaces': {'eth0': {'ipv4.rp_filter': 2}}},
     'interfaces: eth0: ipv4.rp_filter is 2, and settings has 1 for it'),
])
def test_what_cannot_be_meant_is_refused(arguments: Dict[str, Any], words: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        declared(**arguments)
    assert words in str(caught.value)


def test_one_key_in_two_spellings_with_one_value_is_one_key() -> None:
    declaration = declared(settings={'net.ipv4.ip_forward': 1, 'net/ipv4/conf/all/forwarding': '0x1'})
    assert values(declaration) == {'net.ipv4.ip_forward': '1'}


# What a host lives by

BOTH = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']


@pytest.mark.parametrize(('arguments', 'stays'), [
    ({'profile': 'server'}, False), ({'profile': 'workstation', 'compliance': 'cis'}, False), ({'profile': 'router'}, True),
    ({'profile': 'server', 'settings': dict.fromkeys(BOTH, 0)}, True),
])
def test_forwarding_is_not_switched_off_under_programs_that_need_it_unless_told(arguments: Dict[str, Any], stays: bool) -> None:
    declaration = adapted(declared(**arguments), ['Docker', 'libvirt'], frozenset(), {})
    assert [key in values(declaration) for key in BOTH] == [stays, stays]
    reasons = [declaration.left.get(parse_key(key)) for key in BOTH]
    assert reasons == ([None, None] if stays else ['needed by Docker and libvirt'] * 2)


@pytest.mark.parametrize(('interfaces', 'files', 'found'), [
    (['lo', 'eth0'], [], []), (['docker0'], [], ['Docker']), (['br-0123456789ab'], [], ['Docker']), (['br-lan'], [], []),
    (['virbr0'], [], ['libvirt']),
    (['cali0123456789a', 'eth0'], [], ['Kubernetes']), (['eth0'], ['/run/docker.sock'], ['Docker']),
    (['eth0'], ['/etc/kubernetes/kubelet.conf'], ['Kubernetes']),
    (['docker0', 'virbr0', 'podman0', 'lxdbr0'], [], ['Docker', 'libvirt', 'podman', 'LXD or Incus']), (['mydocker0', 'docker0x'], [], []),
])
def test_who_forwards(interfaces: List[str], files: List[str], found: List[str]) -> None:
    assert list(forwarders_of(interfaces, set(files))) == found


RA = 'net/ipv6/conf/%s/accept_ra'


def test_advertisements_stay_where_routes_come_from_them() -> None:
    declaration = adapted(declared('server'), [], frozenset(['eth0']), {})
    assert RA % 'all' not in declaration.items
    assert 'eth0' in declaration.left[RA % 'all']
    told = adapted(declared('server', settings={'net.ipv6.conf.all.accept_ra': 0}), [], frozenset(['eth0']), {})
    assert told.items[RA % 'all'].value == '0'
    assert adapted(declared('server', 'cis'), [], frozenset(['eth0']), {}).items[RA % 'all'].value == '0'
    assert adapted(declared('server'), [], frozenset(), {}).items[RA % 'all'].value == '0'


@pytest.mark.parametrize(('advertised', 'live', 'two'), [
    ([], {}, []), (['wan0'], {}, ['wan0']), ([], {RA % 'wan0': '2', RA % 'lan0': '1'}, ['wan0']), (['wan0'], {RA % 'wan1': '2'}, ['wan0', 'wan1']),
    ([], {RA % 'all': '2', RA % 'default': '2'}, []),
])
def test_a_router_keeps_them_on_a_wan_that_lives_by_them(advertised: List[str], live: Dict[str, str], two: List[str]) -> None:
    items = adapted(declared('router'), [], frozenset(advertised), live).items
    assert items[RA % 'all'].value == '0'
    assert [path for path, item in items.items() if item.value == '2' and 'accept_ra' in path] == [RA % name for name in two]


def test_a_routers_own_word_on_an_interface_counts() -> None:
    items = adapted(declared('router', interfaces={'wan0': {'ipv6.accept_ra': 0}}), [], frozenset(['wan0']), {}).items
    assert items[RA % 'wan0'].value == '0'


def test_what_a_kernel_starts_with() -> None:
    assert kernel_default('net/ipv4/conf/all/accept_source_route') == '0'
    assert kernel_default('net/ipv4/conf/eth0/accept_source_route') == '1'
    assert kernel_default('net/core/bpf_jit_harden') == '0'
    assert kernel_default('net/ipv4/tcp_ecn') is None
