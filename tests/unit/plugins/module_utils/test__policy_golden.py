# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden files: variables as a user writes them (NAME.yml), the rules they come to (NAME.rules), and the closed fallback
beside those (NAME.closed).

After a change that is meant, `PALISADE_UPDATE_GOLDEN=1 pytest tests/unit` writes the rules anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_text import tables_text
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yml")))
def test_variables_come_to_the_golden_rules(name: str) -> None:
    read = read_variables(yaml.safe_load((GOLDEN / f"{name}.yml").read_text(encoding="utf-8")))
    compiled = compile_policy(read.profile or "server", read.policy)
    for suffix, tables in (("rules", compiled.tables), ("closed", compiled.fallback)):
        text = tables_text(tables)
        golden = GOLDEN / f"{name}.{suffix}"
        if os.environ.get("PALISADE_UPDATE_GOLDEN"):
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8")


def test_each_golden_file_has_its_partner() -> None:
    names = [{path.stem for path in GOLDEN.glob(f"*.{suffix}")} for suffix in ("yml", "rules", "closed")]
    assert names[0] == names[1] == names[2]
