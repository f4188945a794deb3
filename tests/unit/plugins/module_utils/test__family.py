# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which family a rule plainly belongs to: the vocabulary by table, on saved rules of both families, and never by free text."""
from __future__ import annotations

from typing import List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._family import FAMILIES, families_of, plain_family
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import TEXT_OPTIONS, tokenise
from ansible_collections.palisade.netfilter.tests.unit.support.saved import saved_rules
from ansible_collections.palisade.netfilter.tests.unit.support.strategies import AWKWARD_WORDS, WORDS
from hypothesis import given
from hypothesis import strategies as st

IPV4_RULES = [
    '-s 10.0.0.0/8', '-s10.0.0.1', '-d 192.0.2.1', '--source 192.0.2.1', '--src=192.0.2.1', '--destination 0/0', '! -s 10.0.0.1', '-s ! 10.0.0.1',
    '-s 10.0.0.1,10.0.0.2', '-s 10', '-s 10.0.0.0/255.0.0.0', '-p icmp', '-picmp', '-p ICMP', '--protocol icmp', '-p 1', '! -p icmp', '-p igmp',
    '-m icmp --icmp-type 8', '--icmp-type echo-request', '-m ttl --ttl-lt 2', '-j TTL --ttl-inc 1', '-f', '! -f', '--fragment',
    '-j REJECT --reject-with icmp-port-unreachable', '-j REJECT --reject-with=host-prohib', '-m iprange --src-range 192.0.2.1-192.0.2.9',
    '-j SNAT --to-source 192.0.2.1', '-j DNAT --to-destination 192.0.2.1:80', '-j DNAT --to-destination 192.0.2.1-192.0.2.9:80-90',
    '-j NETMAP --to 192.0.2.0/24', '-m addrtype --dst-type BROADCAST', '-m addrtype --dst-type LOCAL,BROADCAST', '-m conntrack --ctorigsrc 10.0.0.1',
    '-j TEE --gateway 192.0.2.1', '-m recent --set --mask 255.255.255.0', '-m realm --realm 1', '-j ECN --ecn-tcp-remove',
]
IPV6_RULES = [
    '-s fe80::/10', '-sfe80::1', '-d ::/0', '--source=2001:db8::1', '! -d 2001:db8::1', '-s 2001:db8::1,fe80::1',
    '-p icmpv6', '-p ipv6-icmp', '-p 58',
    '--icmpv6-type 135', '-m icmp6', '-m icmpv6', '-m hl --hl-eq 255', '-j HL --hl-inc 1', '-m rt --rt-type 0', '-m frag --fragid 1',
    '-m eui64', '-m mh', '-p mobility-header', '-j REJECT --reject-with icmp6-port-unreachable', '--reject-with=adm-prohibited',
    '-j SNAT --to-source 2001:db8::1', '-j DNAT --to-destination [2001:db8::1]:80', '-j NETMAP --to 2001:db8::/64',
    '-m iprange --dst-range 2001:db8::1-2001:db8::9', '-j SNPT --src-pfx fd00::/64 --dst-pfx 2001:db8::/64',
]
BOTH_RULES = [
    '', '-j ACCEPT', '-p tcp --dport 22', '-p tcp --syn', '-i lo', '-i eth0:1', '-j LOG --log-prefix "10.0.0.1 "', '-m state --state NEW',
    '-m comment --comment "-s 10.0.0.1 -p icmp"', '-m comment --comment icmp', '-m comment --comment -f', '-m comment --comment -s10.0.0.1',
    '-m string --string "--icmp-type" --algo bm --to 65535', '-j MARK --set-mark 1', '-m mark --mark 0x1/0xff', '-m connmark --mark 255',
    '-j REJECT', '-j REJECT --reject-with tcp-reset', '-s host.example.org', '-m set --match-set unknown src', '-m addrtype --dst-type LOCAL',
    '-m mac --mac-source 00:11:22:33:44:55', '-j REDIRECT --to-ports 80', '-p sctp', '-m length --length 40:1500', '-s',
]


@pytest.mark.parametrize('rule', IPV4_RULES)
def test_rules_for_ipv4_alone(rule: str) -> None:
    assert plain_family(tokenise(rule)) == 'ipv4'
    assert list(families_of(tokenise(rule))) == ['ipv4']


@pytest.mark.parametrize('rule', IPV6_RULES)
def test_rules_for_ipv6_alone(rule: str) -> None:
    assert plain_family(tokenise(rule)) == 'ipv6'
    assert list(families_of(tokenise(rule))) == ['ipv6']


@pytest.mark.parametrize('rule', BOTH_RULES)
def test_rules_for_both(rule: str) -> None:
    assert plain_family(tokenise(rule)) is None
    assert families_of(tokenise(rule)) == FAMILIES


@pytest.mark.parametrize(('options', 'family'), [
    ('--match-set four src', 'ipv4'), ('! --match-set six dst', 'ipv6'), ('--match-set other src', None), ('-j SET --add-set six src', 'ipv6'),
    ('-j SET --del-set four src', 'ipv4'), ('-j SET --map-set six src', 'ipv6'),
])
def test_a_set_has_a_family(options: str, family: Optional[str]) -> None:
    assert plain_family(tokenise('-m set ' + options), {'four': 'ipv4', 'six': 'ipv6'}) == family


@pytest.mark.parametrize(('rule', 'named'), [
    ('-s 10.0.0.1 -d fe80::1', '(-d)'),
    ('-p icmp -s fe80::1', '(-s)'),
    ('-s 10.0.0.1 -j REJECT --reject-with=icmp6-no-route', '(--reject-with=icmp6-no-route)'),
    ('-f -sfe80::1', '(-sfe80::1)'),
])
def test_a_rule_for_both_families_at_once_is_refused_with_the_option_that_says_so(rule: str, named: str) -> None:
    with pytest.raises(PalisadeError, match=r'the rule asks for ipv[46] in one place and for ipv[46] in another') as caught:
        plain_family(tokenise(rule))
    assert str(caught.value).endswith(named)


def test_addresses_of_both_families_in_one_option_are_refused() -> None:
    with pytest.raises(PalisadeError, match=r'10\.0\.0\.1,fe80::1 names addresses of both families in one rule'):
        plain_family(tokenise('-s 10.0.0.1,fe80::1'))


@pytest.mark.parametrize(('name', 'other'), [('nft.ipv4', 'ipv6'), ('legacy.ipv4', 'ipv6'), ('nft.ipv6', 'ipv4'), ('legacy.ipv6', 'ipv4')])
def test_no_rule_that_one_family_loaded_is_taken_for_the_other_ones(name: str, other: str) -> None:
    assert [rule for rule in saved_rules(name) if plain_family(tokenise(rule)) == other] == []
    assert sum(plain_family(tokenise(rule)) is not None for rule in saved_rules(name)) > 50


@given(st.sampled_from(sorted(TEXT_OPTIONS)), WORDS | AWKWARD_WORDS | st.sampled_from(IPV4_RULES + IPV6_RULES), st.sampled_from(BOTH_RULES[:3]))
def test_free_text_never_decides(option: str, text: str, rule: str) -> None:
    assert plain_family([option, text] + tokenise(rule)) is None


#: Other parts of a rule.
PARTS = st.lists(st.sampled_from(BOTH_RULES[:8]), max_size=2)


@given(st.sampled_from(IPV4_RULES + IPV6_RULES), PARTS, PARTS)
def test_what_stands_around_it_does_not_change_a_rules_family(rule: str, before: List[str], after: List[str]) -> None:
    assert plain_family(tokenise(' '.join(before + [rule] + after))) == plain_family(tokenise(rule))


@pytest.mark.parametrize(('value', 'family'), [
    ('10', 'ipv4'), ('10.0.0.0/8', 'ipv4'), ('192.0.2.1-192.0.2.9:1024-2048', 'ipv4'), ('192.0.2.1:80-90/80', 'ipv4'), ('192.0.2.1:80', 'ipv4'),
    ('1-host.example', None), ('10.example', None), ('4to6.example', None), ('2001:db8::1-2001:db8::9', 'ipv6'),
])
def test_a_host_name_with_a_number_in_front_is_no_address(value: str, family: Optional[str]) -> None:
    assert plain_family(['-s', value]) == family
