# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may write about a module, and what comes of it."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import Item, declare, merged
from hypothesis import given
from hypothesis import strategies as st


def declared(*modules: Any, profile: Optional[str] = None, persist: bool = True, **others: Any) -> List[Item]:
    needs: Dict[str, Any] = {'tables': [], 'families': ['ipv4'], 'helpers': [], 'backend': 'nft', **others}
    return declare(modules, profile=profile, persist=persist, **needs)


def test_a_name_is_enough() -> None:
    assert declared('nf_conntrack') == [Item('nf_conntrack')] == declared({'name': 'nf_conntrack', 'options': None, 'state': None, 'persist': None})


@pytest.mark.parametrize(('options', 'read'), [
    ('hashsize=16384', {'hashsize': '16384'}),
    ('hashsize=16384  acct=1', {'hashsize': '16384', 'acct': '1'}),
    ('debug', {'debug': '1'}),
    ('name="two words" b=', {'name': 'two words', 'b': ''}),
    ({'hashsize': 16384, 'acct': True, 'loose': False}, {'hashsize': '16384', 'acct': 'Y', 'loose': 'N'}),
    ({'ports': [21, 2121]}, {'ports': '21,2121'}),
    ({'expect-hashsize': '5'}, {'expect_hashsize': '5'}),
    ('', {}),
    ({}, {}),
])
def test_options_are_a_text_or_a_dictionary(options: Any, read: Dict[str, str]) -> None:
    assert declared({'name': 'x', 'options': options})[0].options == read


@given(st.dictionaries(st.from_regex(r'[a-z][a-z0-9_]{0,8}', fullmatch=True), st.from_regex(r'[A-Za-z0-9,.:/_-]{1,9}', fullmatch=True), max_size=4))
def test_both_ways_of_writing_options_say_the_same(options: Dict[str, str]) -> None:
    text = ' '.join('%s=%s' % pair for pair in options.items())
    assert declared({'name': 'x', 'options': text})[0].options == declared({'name': 'x', 'options': options})[0].options == options


@pytest.mark.parametrize(('entry', 'message'), [
    (5, 'modules[0]: a module is a name or a dictionary with name, state, options, persist'),
    (['a'], 'modules[0]: a module is a name'),
    ({'name': 'a', 'stat': 'loaded'}, "modules[0]: 'stat' is no key of a module (known: name, state, options, persist)"),
    ({}, 'modules[0]: None is no name of a module'),
    ('', "modules[0]: '' is no name of a module"),
    ('/lib/modules/x.ko', "modules[0]: '/lib/modules/x.ko' is no name of a module: letters, digits, _ and -, without a path and .ko"),
    ('a b', "'a b' is no name of a module"),
    ('a\n', 'is no name of a module'),
    ('-a', "'-a' is no name of a module"),
    ({'name': 'a', 'state': 'absent'}, "modules[0] (a): state is one of loaded, unloaded, blocked, not 'absent'"),
    ({'name': 'a', 'state': ['loaded']}, 'modules[0] (a): state is one of'),
    ({'name': 'a', 'persist': 'perhaps'}, "modules[0] (a): persist is true or false, not 'perhaps'"),
    ({'name': 'a', 'state': 'blocked', 'persist': False}, 'modules[0] (a): a block is a line in a file'),
    ({'name': 'a', 'state': 'blocked', 'options': 'b=1'}, 'modules[0] (a): a blocked module has no use for options'),
    ({'name': 'a', 'options': 5}, "modules[0] (a): options are a text such as 'hashsize=16384' or a dictionary"),
    ({'name': 'a', 'options': 'b="c'}, 'modules[0] (a): options cannot be read from \'b="c\' on'),
    ({'name': 'a', 'options': '=c'}, "modules[0] (a): options cannot be read from '=c' on"),
    ({'name': 'a', 'options': {'b c': 1}}, "modules[0] (a): 'b c' is no name of a parameter"),
    ({'name': 'a', 'options': {'b': None}}, 'modules[0] (a): None is no value of a parameter'),
    ({'name': 'a', 'options': {'b': 'x\ninstall c /bin/sh'}}, 'modules[0] (a): the value of b has a character that modprobe.d cannot hold'),
    ({'name': 'a', 'options': {'b': 'say "no"'}}, 'the value of b has a character that modprobe.d cannot hold'),
])
def test_what_cannot_be_read_is_named(entry: Any, message: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        declared(entry)
    assert message in str(caught.value)


def test_nothing_can_be_blocked_without_files() -> None:
    with pytest.raises(PalisadeError, match='a block is a line in a file'):
        declared({'name': 'a', 'state': 'blocked'}, persist=False)


def test_persist_of_all_is_that_of_each_and_no_is_no() -> None:
    entries: List[Any] = ['a', {'name': 'b', 'persist': True}, {'name': 'c', 'persist': 'no'}]
    assert [item.persist for item in declared(*entries)] == [True, True, False]
    assert [item.persist for item in declared(*entries, persist=False)] == [False, False, False]


def test_needs_of_profile_and_rules_come_behind_and_are_not_required() -> None:
    found = declared('a', profile='server', helpers=['ftp'], tables=['nat'], backend='legacy')
    assert [item.asked for item in found] == ['a', 'nf_conntrack', 'nf_conntrack_ftp', 'nf_nat_ftp', 'ip_tables', 'iptable_nat']
    assert [item.required for item in found] == [True] + [False] * 5
    assert all(item.reason for item in found[1:])


def test_the_operator_says_how_a_needed_module_shall_be() -> None:
    own = Item('ip_conntrack', options={'acct': '1'}, persist=False)
    need = Item('nf_conntrack', required=False, reason='needed')
    assert merged([('nf_conntrack', own), ('nf_conntrack', need)]) == {
        'nf_conntrack': Item('ip_conntrack', options={'acct': '1'}, persist=False, reason='needed')}
    blocked = Item('nf_conntrack', 'blocked')
    assert merged([('nf_conntrack', blocked), ('nf_conntrack', need)]) == {'nf_conntrack': blocked}
