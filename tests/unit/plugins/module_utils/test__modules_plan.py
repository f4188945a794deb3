# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the plan: what two values mean, in which order modules come and go, what the files say. Whole runs are in test__modules_run.py."""
from __future__ import annotations

from typing import Dict, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import Item, declare
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import Facts, Live, read_config
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_plan import (
    LOAD_FILE,
    MODPROBE_FILE,
    SOFTDEP_FILE,
    means_the_same,
    options_of,
    plan_modules,
    wanted_files,
)
from ansible_collections.palisade.netfilter.tests.unit.support.memory_modules import debian
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(('shown', 'declared'), [
    ('1', '1'), ('Y', '1'), ('Y', 'y'), ('Y', 'on'), ('N', '0'), ('N', 'N'), ('N', 'off'), ('16', '0x10'), ('8', '010'), ('0', '00'), ('-1', '-1'),
    ('21,2121', '21,2121'), ('21,2121', '0x15,2121'), ('text', 'text'), ('', ''),
])
def test_the_same_in_another_spelling(shown: str, declared: str) -> None:
    assert means_the_same('x', 'y', shown, declared, 4096)


@pytest.mark.parametrize(('shown', 'declared'), [
    ('1', '2'), ('Y', '0'), ('N', '1'), ('Y', 'maybe'), ('16', '10'), ('21,2121', '21'), ('21', '21,0'), ('text', 'Text'), ('1', 'one'), ('', '0'),
])
def test_something_else(shown: str, declared: str) -> None:
    assert not means_the_same('x', 'y', shown, declared, 4096)


@pytest.mark.parametrize(('declared', 'page', 'shown'), [
    (1, 4096, 512), (512, 4096, 512), (513, 4096, 1024), (10000, 4096, 10240), (10000, 65536, 16384), (65536, 65536, 65536),
])
def test_the_table_of_connections_fills_pages(declared: int, page: int, shown: int) -> None:
    assert means_the_same('nf_conntrack', 'hashsize', str(shown), str(declared), page)
    assert not means_the_same('nf_conntrack', 'hashsize', str(shown + 512), str(declared), page)
    assert not means_the_same('nf_conntrack', 'acct', str(shown), str(shown - 1), page)


OPTIONS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.from_regex(r"[ -!#-\[\]-~]{0,12}", fullmatch=True), min_size=1, max_size=4)


@given(OPTIONS)
def test_a_line_of_options_reads_back_as_what_was_declared(options: Dict[str, str]) -> None:
    line, = read_config([('a', options_of('x', options) + '\n')])
    assert (line.command, line.pattern) == ('options', 'x')
    text = options_of('x', options)[len('options x '):]
    item, = declare([{'name': 'x', 'options': text}], profile=None, tables=[], families=[], helpers=[], backend='nft', persist=True)
    assert item.options == options


def test_the_files_are_sorted_and_the_same_for_the_same() -> None:
    items = {'b': Item('b'), 'a': Item('a', options={'z': '1', 'y': 'two words'}), 'd': Item('d', 'blocked'), 'c': Item('c', 'unloaded'),
             'e': Item('e', persist=False)}
    files = wanted_files(items)
    assert [line for line in (files[LOAD_FILE] or '').split('\n') if line[:1] not in ('#', '')] == ['a', 'b']
    assert (files[MODPROBE_FILE] or '').endswith('\noptions a y="two words" z=1\ninstall d /bin/false\n')
    assert (files[SOFTDEP_FILE] or '').endswith('\nsoftdep d pre:\n')
    assert wanted_files(dict(reversed(list(items.items())))) == files


def test_nothing_to_say_is_no_file() -> None:
    assert wanted_files({'c': Item('c', 'unloaded')}) == {LOAD_FILE: None, MODPROBE_FILE: None, SOFTDEP_FILE: None}


NAMES = sorted(debian('debian12').depends)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True))
def test_what_a_module_needs_is_loaded_before_it(names: List[str]) -> None:
    facts = Facts(live={}, tree=debian('debian12'))
    plan = plan_modules({name: Item(name) for name in names}, {}, facts, persist=True)
    order = [load.name for load in plan.loads]
    assert sorted(order) == sorted(names)
    assert all(needed not in order[order.index(name):] for name in order for needed in facts.depends(name))


def test_modules_that_hold_each_other_stay() -> None:
    facts = Facts(live={'a': Live(1, ('b',), False), 'b': Live(1, ('a',), False)})
    with pytest.raises(PalisadeError, match='modules: a, b hold each other and cannot be unloaded'):
        plan_modules({name: Item(name, 'unloaded') for name in 'ab'}, {}, facts, persist=True)
