# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of names, held against what real kernels call their modules."""
from __future__ import annotations

from typing import Dict, Set

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import (
    GONE,
    HELPERS,
    OLD_NAMES,
    PROFILES,
    helper_needs,
    legacy_needs,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import PROFILES as ROLES
from ansible_collections.palisade.netfilter.plugins.module_utils._services import HELPERS as SERVICES
from ansible_collections.palisade.netfilter.tests.unit.support.memory_modules import DATA, debian

KERNELS = ('debian12', 'debian13')
#: In the source documents of this project.
FACTS = {
    'ip_conntrack': 'nf_conntrack', 'ip_conntrack_ftp': 'nf_conntrack_ftp', 'ip_conntrack_irc': 'nf_conntrack_irc',
    'ip_conntrack_tftp': 'nf_conntrack_tftp', 'ip_nat_ftp': 'nf_nat_ftp', 'ip_nat_irc': 'nf_nat_irc', 'ipt_LOG': 'xt_LOG', 'ipt_state': 'xt_state',
    'ipt_limit': 'xt_limit', 'ipt_conntrack': 'xt_conntrack', 'ipt_MASQUERADE': 'xt_MASQUERADE', 'ipt_REDIRECT': 'xt_REDIRECT',
    'ipt_multiport': 'xt_multiport', 'ipt_owner': 'xt_owner', 'ipt_recent': 'xt_recent', 'ipt_mac': 'xt_mac', 'ipt_ttl': 'xt_hl',
    'ipt_tos': 'xt_dscp', 'ipt_TOS': 'xt_DSCP', 'nf_log_ipv4': 'nf_log_syslog', 'nf_conntrack_ipv4': 'nf_conntrack',
    'nf_conntrack_ipv6': 'nf_conntrack', 'nf_nat_ipv4': 'nf_nat', 'ipt_iprange': 'xt_iprange',
}


def aliases(kernel: str) -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {}
    for line in (DATA / ('%s.alias' % kernel)).read_text().splitlines():
        _word, alias, module = line.split()
        found.setdefault(alias.replace('-', '_'), set()).add(module)
    return found


@pytest.mark.parametrize('kernel', KERNELS)
def test_no_kernel_says_otherwise(kernel: str) -> None:
    of_kernel = aliases(kernel)
    wrong = {old: (today, of_kernel[old]) for old, (today, _reason) in OLD_NAMES.items() if old in of_kernel and today not in of_kernel[old]}
    assert wrong == {}
    assert len(set(of_kernel) & set(OLD_NAMES)) > 100


@pytest.mark.parametrize('kernel', KERNELS)
def test_todays_names_are_modules_and_old_ones_are_not(kernel: str) -> None:
    tree = debian(kernel)
    assert {today for today, _reason in OLD_NAMES.values() if not tree.knows(today)} == set()
    assert {old for old in [*OLD_NAMES, *GONE] if tree.knows(old)} == set()


@pytest.mark.parametrize(('old', 'today'), sorted(FACTS.items()))
def test_the_names_of_the_source_documents(old: str, today: str) -> None:
    assert OLD_NAMES[old][0] == today
    assert OLD_NAMES[old][1]


def test_what_is_gone_has_no_name_today() -> None:
    assert not set(GONE) & set(OLD_NAMES)


@pytest.mark.parametrize('kernel', KERNELS)
def test_helpers_are_in_the_modules_that_the_kernel_asks_for(kernel: str) -> None:
    """A rule with `CT --helper NAME` makes the kernel ask for nfct-helper-NAME."""
    of_kernel, tree = aliases(kernel), debian(kernel)
    for helper, (tracking, translating) in HELPERS.items():
        assert of_kernel.get('nfct_helper_%s' % helper.replace('-', '_'), {tracking}) == {tracking}
        assert tree.knows(tracking)
        assert translating is None or (tree.knows(translating) and tracking in tree.depends[translating])


def test_every_helper_of_the_policy_is_there() -> None:
    assert {port.helper for ports in SERVICES.values() for port in ports} == set(HELPERS)


def test_every_role_has_its_modules_with_a_reason() -> None:
    assert set(PROFILES) == set(ROLES)
    assert all(need.reason for needs in PROFILES.values() for need in needs)


@pytest.mark.parametrize('kernel', KERNELS)
def test_the_modules_of_legacy_tables_are_there(kernel: str) -> None:
    tables = ['filter', 'nat', 'mangle', 'raw', 'security']
    names = [need.name for need in legacy_needs(tables, ['ipv4', 'ipv6'])]
    assert len(names) == 12
    assert [name for name in names if not debian(kernel).knows(name)] == []
    assert legacy_needs([], ['ipv4']) == []


def test_the_half_for_nat_comes_with_nat() -> None:
    assert [need.name for need in helper_needs(['ftp'], ['filter'])] == ['nf_conntrack_ftp']
    assert [need.name for need in helper_needs(['ftp', 'sane'], ['nat'])] == ['nf_conntrack_ftp', 'nf_nat_ftp', 'nf_conntrack_sane']
