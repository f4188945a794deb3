# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples that the role nat_router's README and the page on the policy show: each compiles, and takes no notice to do so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def examples(page: str) -> list[dict[str, Any]]:
    """The variables in each block of YAML, those of a play's first role among them."""
    blocks = [yaml.safe_load(text) for text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))]
    return [block[0]["roles"][0]["vars"] if isinstance(block, list) else block for block in blocks]


@pytest.mark.parametrize("example", examples("roles/nat_router/README.md"))
def test_an_example_of_a_router_compiles(example: dict[str, Any]) -> None:
    lan = {"firewall_lan": {"home": {"interfaces": "lan0"}}} if "firewall_mac_acl" in example else {}
    compiled = compile_policy("nat_router", read_variables({**lan, **example}).policy)
    assert compiled.tables != compile_policy("nat_router", {}).tables


@pytest.mark.parametrize("example", examples("docs/policy.md"))
def test_an_example_of_a_policy_compiles(example: dict[str, Any]) -> None:
    read = read_variables(example)
    assert compile_policy(read.profile or "server", read.policy).notes == []
