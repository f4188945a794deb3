# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' argument specs, against what the compiler takes: the same variables, the same keys, the same choices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Mapping

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import FINALS
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import FAMILIES
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import MANAGERS, known_variables
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import MERGED, PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._services import HELPERS

ROLES = Path(__file__).resolve().parents[3] / "roles"


def options(role: str) -> dict[str, Any]:
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["argument_specs"]["main"]["options"])


def test_the_engine_takes_every_variable() -> None:
    assert tuple(sorted(options("firewall"))) == known_variables()


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_profile_role_takes_the_same_but_the_profile(profile: str) -> None:
    engine = options("firewall")
    assert engine.pop("firewall_profile")["choices"] == sorted(PROFILES)
    assert options(profile) == engine


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_dictionaries_have_the_keys_that_the_profile_has(profile: str) -> None:
    for name, default in PROFILES[profile].items():
        spec = options(profile)["firewall_" + name]
        if isinstance(default, Mapping) and name not in MERGED:
            assert set(spec["options"]) == set(default)


def test_choices() -> None:
    engine = options("firewall")
    assert tuple(engine["firewall_final"]["choices"]) == FINALS
    assert engine["firewall_families"]["choices"] == list(FAMILIES)


@pytest.mark.parametrize("role", ["firewall", *sorted(PROFILES)])
def test_every_helper_is_named(role: str) -> None:
    listed = options(role)["firewall_helpers"]["description"][-1]
    assert re.findall(r"C\(([a-z0-9_]+)\)", listed) == sorted(HELPERS)


@pytest.mark.parametrize("role", ["firewall", *sorted(PROFILES)])
def test_every_firewall_manager_is_named(role: str) -> None:
    description = " ".join(options(role)["firewall_beside"]["description"])
    assert tuple(sorted(set(re.findall(r"C\(([a-z0-9-]+)\)", description)))) == MANAGERS


def test_of_every_firewall_manager_is_told_what_it_does() -> None:
    told = yaml.safe_load((ROLES / "firewall" / "vars" / "main.yml").read_text(encoding="utf-8"))["__firewall_managers"]
    assert tuple(sorted(told)) == MANAGERS
    assert all(set(entry) <= {"does", "switch"} and entry["does"][-1] not in ".\n" for entry in told.values())
