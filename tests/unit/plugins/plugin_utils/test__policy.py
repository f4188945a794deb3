# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options profile, policy and families of a task, as both actions read them. More is in the actions' own tests."""
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.plugin_utils._policy import compile_policy_of


@pytest.mark.parametrize(('arguments', 'families'), [
    ({}, (4, 6)), ({'families': ['ipv6']}, (6,)), ({'families': 'ipv4'}, (4,)), ({'families': 'ipv4,ipv6'}, (4, 6)), ({'families': []}, (4, 6)),
    ({'families': ['ipv4'], 'policy': {'families': ['ipv6']}}, (6,)), ({'policy': '{"families": ["ipv4"]}'}, (4,)),
])
def test_families_of_the_policy_itself_come_first(arguments: dict[str, Any], families: tuple[int, ...]) -> None:
    given = {'profile': 'server', 'name': 'web', **arguments}
    policy, compiled = compile_policy_of(given)
    assert tuple(policy.families) == families
    assert compiled.tables == compile_policy('server', {'families': ['ipv%d' % family for family in families]}).tables
    assert given == {'profile': 'server', 'name': 'web', **{name: value for name, value in arguments.items() if name != 'policy'}}


@pytest.mark.parametrize('policy', [{'servces': {}}, 'no dictionary', ['ssh']])
def test_what_cannot_be_compiled_is_an_error_of_that_option(policy: Any) -> None:
    with pytest.raises(AnsibleActionFail, match=r'\Apolicy: '):
        compile_policy_of({'profile': 'server', 'policy': policy})
