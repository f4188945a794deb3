# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spellings of keys, forms of numbers, and what values in `all` and on an interface come to, against all there is to choose from."""
from __future__ import annotations

from itertools import product
from typing import Any, Dict, Mapping, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import ROWS
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import (
    Targets,
    check_kind,
    conf_of,
    effective,
    is_known,
    known_keys,
    limits_of,
    parse_key,
    parse_value,
    same_value,
    settle,
    shown,
    spellings,
)
from hypothesis import given
from hypothesis import strategies as st

FORWARD = 'net/ipv4/conf/all/forwarding'


@pytest.mark.parametrize(('text', 'path'), [
    ('net.ipv4.tcp_syncookies', 'net/ipv4/tcp_syncookies'),
    ('net/ipv4/tcp_syncookies', 'net/ipv4/tcp_syncookies'),
    ('/proc/sys/net/ipv4/tcp_syncookies', 'net/ipv4/tcp_syncookies'),
    (' net.ipv4.tcp_syncookies ', 'net/ipv4/tcp_syncookies'),
    ('net.ipv4.ip_forward', FORWARD),
    ('net.ipv4.conf.all.forwarding', FORWARD),
    ('net/ipv4/conf/*/forwarding', FORWARD),
    ('net.ipv4.conf.*.rp_filter', 'net/ipv4/conf/all/rp_filter'),
    ('net.ipv4.conf.eth0/100.rp_filter', 'net/ipv4/conf/eth0.100/rp_filter'),
    ('net/ipv4/conf/eth0.100/rp_filter', 'net/ipv4/conf/eth0.100/rp_filter'),
    ('net.ipv4.conf.eth0.100.rp_filter', 'net/ipv4/conf/eth0.100/rp_filter'),
    ('net.ipv6.conf.br-lan.10.20.accept_ra', 'net/ipv6/conf/br-lan.10.20/accept_ra'),
    ('net.ipv4.neigh.eth0.100.gc_stale_time', 'net/ipv4/neigh/eth0.100/gc_stale_time'),
    ('net.bridge.bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-iptables'),
    ('kernel.yama.ptrace_scope', 'kernel/yama/ptrace_scope'),
])
def test_every_spelling_of_a_key_is_the_key(text: str, path: str) -> None:
    assert parse_key(text) == path
    assert parse_key(shown(path)) == path


@pytest.mark.parametrize(('text', 'words'), [
    ('', 'is not a key'), (7, 'is not a key'), (None, 'is not a key'), ('tcp_syncookies', 'is not a key such as'),
    ('net.ipv4.tcp syncookies', 'is not a key such as'), ('net.ipv4.tcp_ecn=0', 'is not a key such as'),
    ('-net.ipv4.tcp_ecn', 'is not a key such as'),
    ('net/ipv4/../../kernel/panic', 'is not a key such as'), ('net.ipv4.*', 'is not a key such as'),
    ('net.ipv4.conf.eth*.rp_filter', 'eth* is not the name'),
    ('net.ipv4.conf.rp_filter', 'wants net.ipv4.conf.INTERFACE.KEY'), ('net.ipv6.neigh.gc_stale_time', 'wants net.ipv6.neigh.INTERFACE.KEY'),
    ('net.ipv4.conf.aninterfacewithalongname.rp_filter', 'is not the name of an interface'), ('net.ipv4.tcp_ecn\n', ''),
])
def test_what_is_no_key_is_refused_in_words(text: Any, words: str) -> None:
    if not words:
        assert parse_key(text) == 'net/ipv4/tcp_ecn'
        return
    with pytest.raises(PalisadeError, match='settings') as caught:
        parse_key(text)
    assert words in str(caught.value)


@given(st.from_regex(r'[a-z][a-z0-9.@_-]{0,13}[a-z0-9]', fullmatch=True).filter(lambda name: name not in ('all', 'default')),
       st.sampled_from(['rp_filter', 'accept_ra']))
def test_any_name_of_an_interface_comes_back(name: str, leaf: str) -> None:
    path = 'net/ipv4/conf/%s/%s' % (name, leaf)
    conf = conf_of(path)
    assert conf is not None and (conf.member, conf.leaf, conf.path) == (name, leaf, path)
    assert parse_key(shown(path)) == parse_key(path) == parse_key('net.ipv4.conf.%s.%s' % (name.replace('.', '/'), leaf)) == path


def test_two_names_of_one_setting() -> None:
    assert sorted(spellings(FORWARD)) == [FORWARD, 'net/ipv4/ip_forward']
    assert shown(FORWARD) == 'net.ipv4.ip_forward'


@pytest.mark.parametrize(('key', 'given', 'value'), [
    ('net.ipv4.tcp_ecn', 0, '0'), ('net.ipv4.tcp_ecn', ' 2 ', '2'), ('net.ipv4.tcp_ecn', '0x2', '2'), ('net.ipv4.tcp_syncookies', True, '1'),
    ('net.ipv4.tcp_syncookies', False, '0'), ('net.ipv6.conf.eth0.accept_source_route', -1, '-1'),
    ('net.ipv4.icmp_ratemask', 2 ** 32 - 1, '4294967295'),
    ('net.ipv4.tcp_wmem', '4096\t16384   4194304', '4096 16384 4194304'), ('net.ipv4.tcp_congestion_control', 'bbr', 'bbr'),
    ('kernel.core_pattern', '|/usr/bin/dump  %p', '|/usr/bin/dump  %p'), ('net.ipv4.tcp_keepalive_time', '600', '600'),
])
def test_values_are_taken_as_they_are_meant(key: str, given: Any, value: str) -> None:
    assert parse_value(parse_key(key), given, key) == value


@pytest.mark.parametrize(('key', 'given', 'words'), [
    ('net.ipv4.conf.all.rp_filter', 3, 'rp_filter: 3 is out of range: it takes 0 to 2'), ('net.ipv4.conf.eth0.rp_filter', -1, 'takes 0 to 2'),
    ('net.ipv4.tcp_syncookies', 'on', "'on' is not a whole number from 0 to 2"), ('net.ipv4.tcp_ecn', '1.0', 'is not a whole number'),
    ('net.ipv4.tcp_ecn', 1.0, '1.0 is not a value'), ('net.ipv4.tcp_keepalive_time', '010', 'a zero in front makes it octal'),
    ('net.ipv4.tcp_ecn', '+1', 'is not a whole number'), ('net.ipv4.tcp_ecn', '1_0', 'is not a whole number'),
    ('net.ipv4.tcp_ecn', '１', 'is not a whole number'),
    ('net.ipv4.tcp_ecn', '', 'is not a whole number'), ('kernel.core_pattern', '', 'the value is empty'),
    ('kernel.core_pattern', 'a\nb', 'control characters'),
    ('net.ipv4.tcp_ecn', [1], 'is not a value'), ('net.ipv4.tcp_ecn', {}, 'is not a value'), ('kernel.core_pattern', 'a\0b', 'control characters'),
])
def test_a_value_that_cannot_be_is_refused(key: str, given: Any, words: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        parse_value(parse_key(key), given, key)
    assert words in str(caught.value)
    assert str(caught.value).startswith(key)


@pytest.mark.parametrize(('key', 'one', 'other', 'same'), [
    ('net/ipv4/tcp_wmem', '4096\t16384\t4194304', '4096 16384 4194304', True), ('net/ipv4/tcp_wmem', '4096 16384', '4096 16384 4194304', False),
    ('net/ipv4/tcp_ecn', '0x2', '2', True), ('net/ipv4/tcp_keepalive_time', '010', '8', True), ('net/ipv4/tcp_keepalive_time', '010', '10', False),
    ('net/core/flow_limit_cpu_bitmap', '00000010', '8', False), ('net/ipv4/fib_multipath_hash_fields', '0x0007', '7', True),
    ('net/ipv4/tcp_congestion_control', 'cubic', 'bbr', False), ('net/ipv4/tcp_ecn', None, '1', False), ('net/ipv4/tcp_ecn', None, None, True),
    ('net/ipv4/ip_local_reserved_ports', '8080,8081,9000', '8080-8081,9000', True), ('net/ipv4/ip_local_reserved_ports', '', '8080', False),
    ('net/ipv4/ip_local_reserved_ports', '8080-8082', '8080,8082', False), ('net/ipv4/tcp_ecn', '1', 'one', False),
])
def test_values_are_compared_as_the_kernel_reads_them(key: str, one: Optional[str], other: Optional[str], same: bool) -> None:
    assert same_value(key, one, other) is same
    assert same_value(key, other, one) is same


@pytest.mark.parametrize(('value', 'present', 'words'), [
    ('many', '4096 16384 4194304', "'many' is not a number"), ('4096', '4096 16384 4194304', 'has 1 numbers, and the kernel has 3 there'),
    ('1 2 3', '4096 16384 4194304', ''), ('anything', '', ''), ('bbr', 'cubic', ''),
])
def test_a_value_of_another_kind_than_the_present_one_is_refused(value: str, present: str, words: str) -> None:
    if not words:
        check_kind('net/ipv4/tcp_wmem', value, present)
        return
    with pytest.raises(PalisadeError, match='tcp_wmem') as caught:
        check_kind('net/ipv4/tcp_wmem', value, present)
    assert words in str(caught.value)


def test_every_key_of_the_profiles_is_known_and_takes_the_profiles_values() -> None:
    for row in ROWS:
        path = parse_key(row.key)
        assert is_known(path) and path in known_keys(), row.key
        for value in (row.workstation, row.server, row.router, row.cis, *row.kernel):
            assert value is None or parse_value(path, value, row.key) == value


# What is in effect. The table is the kernel's: IN_DEV_* of include/linux/inetdevice.h, ipv6_rthdr_rcv and rt6_do_redirect.

@pytest.mark.parametrize(('family', 'leaf', 'in_all', 'own', 'forwards', 'result'), [
    ('ipv4', 'rp_filter', '2', '1', False, '2'), ('ipv4', 'rp_filter', '0', '1', False, '1'), ('ipv4', 'rp_filter', '1', '0', True, '1'),
    ('ipv4', 'send_redirects', '1', '0', False, '1'), ('ipv4', 'secure_redirects', '0', '1', False, '1'),
    ('ipv4', 'log_martians', '0', '0', False, '0'),
    ('ipv4', 'accept_source_route', '1', '0', False, '0'), ('ipv4', 'accept_source_route', '1', '1', False, '1'),
    ('ipv4', 'accept_redirects', '0', '1', False, '1'), ('ipv4', 'accept_redirects', '0', '1', True, '0'),
    ('ipv4', 'accept_redirects', '1', '1', True, '1'),
    ('ipv6', 'accept_redirects', '1', '0', False, '0'), ('ipv6', 'accept_ra', '0', '2', False, '2'),
    ('ipv6', 'accept_source_route', '0', '-1', False, '-1'),
    ('ipv4', 'forwarding', '0', '1', False, '1'), ('ipv4', 'tag', '5', '7', False, '7'),
])
def test_effective(family: str, leaf: str, in_all: str, own: str, forwards: bool, result: str) -> None:
    assert effective((family, leaf), in_all, own, forwards) == result


LEAVES = [('ipv4', 'rp_filter'), ('ipv4', 'log_martians'), ('ipv4', 'accept_source_route'), ('ipv4', 'accept_redirects'),
('ipv6', 'accept_source_route'),
          ('ipv6', 'accept_ra')]


@st.composite
def situations(draw: Any) -> Any:
    group = draw(st.sampled_from(LEAVES))
    limits = limits_of('net/%s/conf/all/%s' % group)
    assert limits is not None
    value = st.integers(*limits).map(str)
    names = ['lo', 'eth0', 'ppp0']
    targets = Targets(draw(value), draw(st.none() | value), draw(st.dictionaries(st.sampled_from(names), value)))
    return group, targets, names, {name: draw(st.booleans()) for name in [*names, 'default']}


def wanted_of(targets: Targets, names: Any) -> Dict[str, str]:
    everywhere = targets.everywhere or ''
    return {'default': targets.default or everywhere, **dict.fromkeys(names, everywhere), **targets.interfaces}


def in_effect(group: Any, raw: Mapping[str, str], forwards: Mapping[str, bool]) -> Dict[str, str]:
    return {name: effective(group, raw['all'], value, forwards[name]) for name, value in raw.items() if name != 'all'}


@given(situations())
def test_what_is_settled_is_in_effect_and_what_is_refused_cannot_be(situation: Any) -> None:
    group, targets, names, forwards = situation
    wanted = wanted_of(targets, names)
    try:
        raw = settle(group, targets, names, forwards)
    except PalisadeError:
        # Nothing of all there is to choose from would do.
        limits = limits_of('net/%s/conf/all/%s' % group)
        assert limits is not None
        choices = [str(number) for number in range(limits[0], limits[1] + 1)]
        for in_all in choices:
            assert any(all(effective(group, in_all, own, forwards[name]) != value for own in choices) for name, value in wanted.items())
        return
    assert in_effect(group, raw, forwards) == wanted


def test_one_value_for_all_is_written_everywhere() -> None:
    for group, value in product(LEAVES, ('0', '1')):
        raw = settle(group, Targets(value, None, {}), ['lo', 'eth0'], {})
        assert raw == dict.fromkeys(('all', 'default', 'lo', 'eth0'), value)


def test_values_that_cannot_be_together_are_named() -> None:
    with pytest.raises(PalisadeError, match='accept_redirects cannot be 0 on eth0 and 1 on eth1 together'):
        settle(('ipv4', 'accept_redirects'), Targets('0', None, {'eth1': '1'}), ['eth0', 'eth1'], {'eth0': False, 'eth1': True, 'default': False})


def test_without_a_value_for_all_only_what_is_named_is_written() -> None:
    assert settle(('ipv4', 'rp_filter'), Targets(None, '1', {'eth0': '2'}), ['eth0', 'lo'], {}) == {'default': '1', 'eth0': '2'}
