# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads dictionaries keyed by name, whose entries may be absent, and names that stand for entries of another. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterable, TypeVar

from ansible_collections.palisade.netfilter.plugins.module_utils import _policy_values as values
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_values import join

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One entry as the user gave it: its name, where it stands, and its keys that have a value."""

    name: str
    where: str
    given: dict[str, Any]

    def at(self, key: str) -> str:
        return join(self.where, key)

    def read(self, key: str, reader: Callable[..., T], default: T, *arguments: Any) -> T:
        """The key's value, read by a function of `_policy_values` (or one like those)."""
        return reader(self.given[key], self.at(key), *arguments) if key in self.given else default

    def needed(self, key: str, reader: Callable[..., T], *arguments: Any) -> T:
        """The same for a key that must be there."""
        if key not in self.given:
            raise PalisadeError(f"{self.where}: needs `{key}`")
        return reader(self.given[key], self.at(key), *arguments)


def entries(given: Any, where: str, keys: Iterable[str]) -> list[Entry]:
    """The entries that are present, by name; `state` is known in each beside `keys`."""
    result = []
    for name, value in sorted(values.mapping(given, where).items()):
        at = join(where, name)
        values.name(name, at)
        entry = {key: item for key, item in values.mapping(value, at).items() if item is not None}
        values.known_keys(entry, at, (*keys, "state"))
        state = values.choice(entry.pop("state", "present"), join(at, "state"), ("present", "absent"))
        if state == "present":
            result.append(Entry(name, at, entry))
    return result


def references(value: Any, where: str, variable: str, known: Iterable[str]) -> tuple[str, ...]:
    """Names of entries of another variable. One that is there and absent is fine: a host may lack what its group has."""
    names = values.items(value, where)
    if not names:
        raise PalisadeError(f"{where}: the list is empty; leave it out")
    return values.unique(reference(name, where, variable, known) for name in names)


def reference(name: Any, where: str, variable: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if not isinstance(name, str) or name not in known:
        hint = values.suggestion(name, known) or " (known: {})".format(", ".join(known) or "none")
        raise PalisadeError(f"{where}: {name!r} is no entry of {variable}{hint}")
    return str(name)
