# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A persisted version read back as a declaration: what comes of it is what was written."""
from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._declared import declare_content
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._previous import declaration, options_of_previous
from ansible_collections.palisade.netfilter.plugins.module_utils._rulefile import RuleFile, Section, render
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost

CHAINS = """*filter
:palisade-INPUT - [0:0]
:palisade-web - [0:0]
#hook INPUT last DROP
#hook FORWARD last -
-A palisade-INPUT -s 192.0.2.0/24 -j palisade-web
-A palisade-INPUT -m comment --comment "to -j palisade-web" -j ACCEPT
-A palisade-INPUT -g palisade-web
-A palisade-web
COMMIT"""
DECLARED = """*filter
:INPUT - [0:0]
:web - [0:0]
:INPUT DROP [0:0]
:FORWARD - [0:0]
-A INPUT -s 192.0.2.0/24 -j web
-A INPUT -m comment --comment "to -j palisade-web" -j ACCEPT
-A INPUT -g web
-A web
COMMIT
"""
OPTIONS: Dict[str, Any] = {
    'name': 'palisade', 'backend': 'auto', 'tables': None, 'content': None, 'policy': None, 'fallback': None, 'scope': 'chains',
    'families': ['ipv4', 'ipv6'], 'persist': False}


def text(scope: str = 'chains', lines: str = CHAINS, asked: Any = ('ipv4', 'ipv6')) -> str:
    section = Section(scope, lines.split('\n'))
    return render(RuleFile('palisade', 'legacy', asked, dict.fromkeys(asked, section)), '2026-01-01T00:00:00Z')


def host_with(**files: str) -> MemoryHost:
    host = MemoryHost()
    host.files = {'/etc/palisade/palisade.%s' % kind: content for kind, content in files.items()}
    return host


def test_a_section_becomes_the_declaration_that_it_was() -> None:
    found = declaration('palisade', Section('chains', CHAINS.split('\n')))
    assert found == DECLARED
    tables = declare_content(found, ['ipv4'], {}).declared['ipv4'].tables['filter']
    assert [(chain, data.policy, len(data.rules)) for chain, data in tables.items()] == [('INPUT', 'DROP', 3), ('web', None, 1), ('FORWARD', None, 0)]


def test_whole_tables_are_as_they_were_written() -> None:
    lines = ['*nat', ':POSTROUTING ACCEPT [0:0]', '-A POSTROUTING -j MASQUERADE', 'COMMIT']
    assert declaration('palisade', Section('tables', lines)) == '\n'.join(lines) + '\n'


def test_what_the_version_says_of_itself_goes_before_the_options() -> None:
    found = options_of_previous(OPTIONS, host_with(previous=text(asked=('ipv4',)), rules=text()))
    assert (found['backend'], found['scope'], found['families'], found['persist']) == ('legacy', 'chains', ['ipv4', 'ipv6'], True)
    assert found['version'].text == text(asked=('ipv4',))


def test_tables_that_only_the_version_in_force_has_go_empty() -> None:
    more = CHAINS + '\n*nat\nCOMMIT'
    found = options_of_previous(OPTIONS, host_with(previous=text('tables'), rules=text('tables', more)))
    assert found['version'].emptied == [('ipv4', 'nat'), ('ipv6', 'nat')]


@pytest.mark.parametrize(('files', 'options', 'message'), [
    ({}, {}, 'has kept no version of ruleset palisade before the one in force'),
    ({'previous': 'rubbish'}, {}, 'does not begin as a file of ours'),
    ({'previous': text()[:-9]}, {}, 'is cut off'),
    ({'previous': text()}, {'backend': 'nft'}, 'is for the legacy backend, not for nft'),
    ({'previous': text()}, {'content': ''}, 'takes no content'),
    ({'previous': text(), 'rules': text('tables')}, {}, 'is of scope: chains, and the one in force of scope: tables'),
])
def test_what_cannot_be_gone_back_to(files: Dict[str, str], options: Dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match=message) as caught:
        options_of_previous({**OPTIONS, **options}, host_with(**files))
    assert str(caught.value).endswith('Nothing has changed')


def test_a_damaged_version_in_force_is_no_hindrance() -> None:
    assert options_of_previous(OPTIONS, host_with(previous=text(), rules='rubbish'))['version'].emptied == ()
