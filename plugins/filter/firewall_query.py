# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that picks from what iptables_ruleset_info returns, in jmespath's language. It touches no host."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible.errors import AnsibleFilterError

try:
    import jmespath
except ImportError:
    jmespath = None

HOOKS = ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING")

# Questions that have a name, and what they are in jmespath.
NAMED = {
    "unexplained": "rules[?owner==`null` && (%s)]" % " || ".join(f"chain=='{hook}'" for hook in HOOKS),
}

MISSING = (
    "firewall_query needs the Python package jmespath on the controller, and Ansible's Python there does not have it: "
    "python3 -m pip install jmespath, or the package python3-jmespath"
)


def firewall_query(data: Any, expression: str) -> Any:
    """Answer a named question or a jmespath expression about `data`."""
    if jmespath is None:
        raise AnsibleFilterError(MISSING)
    if not isinstance(expression, str):
        raise AnsibleFilterError(f"the expression is a text, not {expression!r}")
    try:
        return jmespath.search(NAMED.get(expression, plain(expression)), plain(data))
    except ValueError as error:  # jmespath's own errors are such, and what Python says of a slice is one too
        raise AnsibleFilterError(f"wrong expression {plain(expression)!r}: jmespath says: {error}") from error


def plain(data: Any) -> Any:
    """Copy data into Python's own types. jmespath's functions judge by a type's name, and Ansible's texts have types of their own."""
    if isinstance(data, str):
        return str.__str__(data)
    if isinstance(data, Mapping):
        return {plain(key): plain(value) for key, value in data.items()}
    if isinstance(data, Iterable):
        return [plain(value) for value in data]
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data) if isinstance(data, float) else int(data)
    return data


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"firewall_query": firewall_query}
