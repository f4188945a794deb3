# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible packs for each of the two module files, as it finds that out: every import in them and in what they import, wherever it stands.

How they run is in test_iptables_ruleset.py.
"""
from __future__ import annotations

import ast
from pathlib import Path
from typing import Set

import pytest
from ansible_collections.palisade.netfilter.plugins.modules import iptables_ruleset, iptables_ruleset_unproved

UTILS = 'ansible_collections.palisade.netfilter.plugins.module_utils.'
FOLDER = Path(str(iptables_ruleset.__file__)).parents[1] / 'module_utils'
RIG = {'_expect', '_flow', '_frames', '_guard', '_host_rig', '_proof', '_prover', '_rig', '_surroundings', '_verdict'}


def packed(path: Path) -> Set[str]:
    """The files of module_utils that a file brings along, all the way down."""
    found: Set[str] = set()
    waiting = [path]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text(encoding='utf-8'))):
            name = (node.module or '')[len(UTILS):] if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(UTILS) else ''
            if name and name not in found:
                found.add(name)
                waiting.append(FOLDER / ('%s.py' % name))
    return found


def test_the_smaller_module_is_the_larger_one_less_the_rig() -> None:
    whole, smaller = (packed(Path(str(module.__file__))) for module in (iptables_ruleset, iptables_ruleset_unproved))
    assert whole - smaller == RIG | {'_prediction', '_fates', '_verdict_diff'} | {'_confirm', '_confirm_base', '_confirm_script', '_host_confirm'}
    assert smaller <= whole
    assert '_transaction' in smaller


@pytest.mark.parametrize('module', [iptables_ruleset, iptables_ruleset_unproved])
def test_no_compiler_travels_to_a_host(module: object) -> None:
    names = packed(Path(str(module.__file__)))  # type: ignore[attr-defined]
    assert not [name for name in names if name.startswith(('_policy', '_profiles', '_services'))]
