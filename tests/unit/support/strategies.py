# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the property tests draw from: words of a rule, rules, whole tables. Generates data and nothing else."""
from __future__ import annotations

from hypothesis import strategies as st

#: One argument of a rule: anything printable, blanks and quotes included.
WORDS = st.text(st.characters(blacklist_categories=('Cc', 'Cs', 'Zl', 'Zp')), max_size=12)

#: The same with many of the characters that quoting is about.
AWKWARD_WORDS = st.text(st.sampled_from('a"\\\' -$`;#*'), max_size=8)
