# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging: prefixes and targets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_logging import read_logging
from ansible_collections.palisade.netfilter.plugins.module_utils._profiles import PROFILES


def log_lines(**policy: Any) -> list[str]:
    """Return what follows -j in every rule that logs."""
    found = compile_policy("server", policy).tables["filter"]
    return [rule.split(" -j ")[1] for chain in found.values() for rule in chain["rules"] if re.search(r"-j N?F?LOG", rule)]


@pytest.mark.parametrize(
    ("logging", "expected"),
    [
        ({}, 'LOG --log-prefix "palisade INPUT drop: " --log-level 6'),
        ({"target": "nflog"}, 'NFLOG --nflog-prefix "palisade INPUT drop: "'),
        ({"target": "nflog", "group": 0}, 'NFLOG --nflog-prefix "palisade INPUT drop: "'),
        ({"target": "nflog", "group": "65535", "prefix": "x"}, "NFLOG --nflog-prefix x --nflog-group 65535"),
        ({"target": "nflog", "prefix": ""}, "NFLOG"),
        ({"prefix": "", "level": "warning"}, "LOG"),
    ],
)
def test_targets(logging: dict[str, Any], expected: str) -> None:
    assert log_lines(logging=logging) == [expected]


def test_the_verdict_is_what_becomes_of_the_packet() -> None:
    assert [line.split('"')[1] for line in log_lines(final="reject", logging={"invalid": True})] == [
        "palisade invalid drop: ",
        "palisade INPUT reject: ",
    ]


@pytest.mark.parametrize(
    ("prefix", "name", "expected"),
    [
        ("palisade {chain} {verdict}: ", "ssh", "palisade ssh accept: "),
        ("palisade {chain} {verdict}: ", "a-name-that-is-very-long", "palisade a-name-that accept: "),
        ("FW ", "ssh", "FW ssh "),
        ("{verdict} ", "ssh", "accept ssh "),
        ("x" * 29, "ssh", "x" * 21 + "ssh "),
        ("{chain}{chain}", "a-name-that-is-very-long", "a-name-that-isa-name-that-is"[:14] * 2),
    ],
)
def test_the_line_of_a_service_has_its_name_and_fits(prefix: str, name: str, expected: str) -> None:
    (line,) = [
        line
        for line in log_lines(services={"ssh": {"state": "absent"}, name: {"ports": 1, "log": True}}, logging={"prefix": prefix})
        if name[:3] in line
    ]
    found = re.split("[ ]", line, maxsplit=2)[2].split(" --log-level")[0].strip('"')
    assert found == expected
    assert len(found) <= 29


@pytest.mark.parametrize(
    ("logging", "message"),
    [
        ({"target": "syslog"}, "firewall_logging.target: 'syslog' is none of log, nflog; did you mean 'log'?"),
        ({"group": 5}, "firewall_logging.group: only the target nflog has groups"),
        ({"target": "nflog", "group": 65536}, "firewall_logging.group: 65536 is not between 0 and 65535"),
        ({"invalid": "perhaps"}, "firewall_logging.invalid: true or false is needed"),
        ({"prefix": "{chian}"}, "firewall_logging.prefix: 'chian' is none of chain, verdict; did you mean 'chain'?"),
        ({"prefix": "x" * 17 + "{chain}{verdict}"}, "firewall_logging.prefix: 'xxxxxxxxxxxxxxxxx{chain}{verdict}' comes to 30 characters"),
        ({"colour": "red"}, "firewall_logging.colour: unknown key"),
    ],
)
def test_what_is_wrong_is_named(logging: dict[str, Any], message: str) -> None:
    with pytest.raises(PalisadeError, match="^" + re.escape(message)):
        read_logging({**PROFILES["server"]["logging"], **logging}, "firewall_logging")
