# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the property tests draw from: words of a rule, rules, whole tables. Generates data and nothing else."""
from __future__ import annotations

from typing import List, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._rule import join
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Chain, Table, Tables
from hypothesis import strategies as st

#: One argument of a rule: anything printable, blanks and quotes included.
WORDS = st.text(st.characters(blacklist_categories=('Cc', 'Cs', 'Zl', 'Zp')), max_size=12)

#: The same with many of the characters that quoting is about.
AWKWARD_WORDS = st.text(st.sampled_from('a"\\\' -$`;#*'), max_size=8)

#: A rule with a comment of any words, in a spelling that survives a save.
RULES = st.one_of(
    st.sampled_from(['', '-j ACCEPT', '-p tcp -m tcp --dport 22 -j WEB']),
    st.lists(WORDS | AWKWARD_WORDS, min_size=1, max_size=3).map(lambda words: join(['-m', 'comment', '--comment'] + words)))

COUNTERS = st.tuples(st.integers(0, 2 ** 64 - 1), st.integers(0, 2 ** 64 - 1)).map(lambda pair: '[%d:%d]' % pair)

CHAIN_NAMES = st.text('ABZaz09_.@+~%/:#=-', min_size=1, max_size=28).filter(lambda name: name[0] not in ':#=-')


@st.composite
def _table(draw: st.DrawFn, name: str) -> Table:
    table: Table = {}
    for hook in BUILTIN_CHAINS[name]:
        table[hook] = Chain(draw(st.sampled_from(['ACCEPT', 'DROP'])), draw(COUNTERS))
    for chain in draw(st.lists(CHAIN_NAMES, max_size=3, unique=True)):
        table.setdefault(chain, Chain(None))
    for data in table.values():
        rules: List[Tuple[str, str]] = draw(st.lists(st.tuples(RULES, COUNTERS), max_size=4))
        data.rules.extend([rule for rule, _counter in rules])
        data.counters.extend([counter for _rule, counter in rules])
    return table


#: Whole tables as iptables-save -c prints them.
TABLES: st.SearchStrategy[Tables] = st.lists(st.sampled_from(sorted(BUILTIN_CHAINS)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: _table(name) for name in names}))
