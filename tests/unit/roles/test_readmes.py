# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that READMEs and guides show: every block of them compiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_kernel import SYSCTL_PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import BY_PROFILE, ROWS

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Generate file, number and variables of each block that shows nothing but variables."""
    for path in sorted([*ROOT.glob("roles/*/README.md"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]):
        for number, text in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), 1):
            shown = yaml.safe_load(text)
            if isinstance(shown, dict) and all(str(key).startswith("firewall_") for key in shown):
                yield str(path.relative_to(ROOT)), number, shown


BLOCKS = list(blocks())


def test_there_are_some() -> None:
    assert len([name for name, *_rest in BLOCKS if name == "roles/server/README.md"]) > 8


@pytest.mark.parametrize(("name", "number", "variables"), BLOCKS)
def test_what_is_shown_compiles(name: str, number: int, variables: dict[str, Any]) -> None:
    parts = name.split("/")
    shown_for = parts[1] if parts[0] == "roles" and parts[1] in PROFILES else "server"
    read = read_variables(variables)
    assert compile_policy(read.profile or shown_for, read.policy).tables["filter"]["INPUT"]["rules"]


@pytest.mark.parametrize("role", SYSCTL_PROFILES)
def test_the_table_of_sysctls_is_the_profile(role: str) -> None:
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^[|] `(net[.]\S+)` [|] (\S+) [|] (.*) [|] (.*) [|]$", text, re.MULTILINE)
    values = BY_PROFILE[SYSCTL_PROFILES[role]]
    assert shown == [(row.key, values[row.key], row.reason, row.source) for row in ROWS if values[row.key] is not None]
