# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of kernel_modules declare, one item a module. Pure: names are still as they were written."""
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._module_names import PROFILES, Need, helper_needs, legacy_needs
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_facts import same_name

STATES = ('loaded', 'unloaded', 'blocked')
_KEYS = ('name', 'state', 'options', 'persist')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]*')
_PARAMETER = re.compile(r'[A-Za-z0-9_.-]+')
_OPTION = re.compile(r'([^\s="]+)(?:=("[^"]*"|[^\s"]*))?(?=\s|\Z)\s*')


@dataclass(frozen=True)
class Item:
    """One module. required: the operator has named it, so that a kernel without it is an error. `reason` is why, where somebody else wants it."""

    asked: str
    state: str = 'loaded'
    options: Mapping[str, str] = field(default_factory=dict)
    persist: bool = True
    required: bool = True
    reason: str = ''


def declare(modules: Sequence[Any], *, profile: Optional[str], tables: Sequence[str], families: Sequence[str], helpers: Sequence[str],
            backend: str, persist: bool) -> List[Item]:
    """What the operator's list says, and behind it what the profile and the rules need. Whoever comes first says how a module shall be.

    Raises PalisadeError, whose message begins with the option and the entry that is wrong.
    """
    items = [_item(entry, 'modules[%d]' % number, persist) for number, entry in enumerate(modules)]
    needs: List[Need] = [*PROFILES[profile]] if profile else []
    needs += helper_needs(helpers, tables)
    needs += legacy_needs(tables, families) if backend == 'legacy' else []
    return items + [Item(need.name, persist=persist, required=False, reason=need.reason) for need in needs]


def _item(entry: Any, where: str, persist: bool) -> Item:
    given = {'name': entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping):
        raise PalisadeError('%s: a module is a name or a dictionary with %s' % (where, ', '.join(_KEYS)))
    unknown = sorted(set(given) - set(_KEYS))
    if unknown:
        raise PalisadeError("%s: '%s' is no key of a module (known: %s)" % (where, unknown[0], ', '.join(_KEYS)))
    name = given.get('name')
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PalisadeError('%s: %r is no name of a module: letters, digits, _ and -, without a path and .ko' % (where, name))
    where = '%s (%s)' % (where, name)
    item = Item(name, _state(given.get('state'), where), _options(given.get('options'), where), _truth(given.get('persist'), where, persist))
    if item.state == 'blocked' and not item.persist:
        raise PalisadeError('%s: a block is a line in a file, so persist: false leaves nothing of it; unloaded is what is left' % where)
    if item.state == 'blocked' and item.options:
        raise PalisadeError('%s: a blocked module has no use for options' % where)
    return item


def _state(value: Any, where: str) -> str:
    if value is None:
        return 'loaded'
    if value not in STATES:
        raise PalisadeError("%s: state is one of %s, not %r" % (where, ', '.join(STATES), value))
    return str(value)


def _truth(value: Any, where: str, default: bool) -> bool:
    if value is None:
        return default
    text = str(value).lower()
    if text not in ('true', 'yes', 'on', '1', 'false', 'no', 'off', '0'):
        raise PalisadeError('%s: persist is true or false, not %r' % (where, value))
    return default and text in ('true', 'yes', 'on', '1')


def _options(value: Any, where: str) -> Dict[str, str]:
    """Parameter → value as the kernel takes it."""
    if value is None:
        return {}
    if isinstance(value, str):
        pairs = _pairs(value, where)
    elif isinstance(value, Mapping):
        pairs = [(str(key), _value(part, where)) for key, part in value.items()]
    else:
        raise PalisadeError("%s: options are a text such as 'hashsize=16384' or a dictionary" % where)
    found: Dict[str, str] = {}
    for key, text in pairs:
        if not _PARAMETER.fullmatch(key):
            raise PalisadeError("%s: '%s' is no name of a parameter" % (where, key))
        if '"' in text or not text.isprintable():
            raise PalisadeError('%s: the value of %s has a character that modprobe.d cannot hold' % (where, key))
        found[same_name(key)] = text
    return found


def _pairs(text: str, where: str) -> List[Tuple[str, str]]:
    pairs: List[Tuple[str, str]] = []
    rest = text.strip()
    while rest:
        match = _OPTION.match(rest)
        if not match:
            raise PalisadeError("%s: options cannot be read from '%s' on" % (where, rest))
        # A parameter without a value is switched on.
        pairs.append((match.group(1), '1' if match.group(2) is None else match.group(2).strip('"')))
        rest = rest[match.end():]
    return pairs


def _value(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return 'Y' if value else 'N'
    if isinstance(value, (list, tuple)):
        return ','.join(_value(part, where) for part in value)
    if isinstance(value, (int, str)):
        return str(value)
    raise PalisadeError('%s: %r is no value of a parameter' % (where, value))


def merged(items: Sequence[Tuple[str, Item]]) -> Dict[str, Item]:
    """Today's name → what it shall be. `items` have today's name in front; the operator's own come before what others need.

    Raises PalisadeError where the operator says two things of one module.
    """
    found: Dict[str, Item] = {}
    for name, item in items:
        first = found.get(name)
        if first is None:
            found[name] = item
        elif item.required and first != replace(item, asked=first.asked):
            raise PalisadeError('modules: %s is in the list twice and differently (%s and %s). Nothing has changed' % (name, first.asked, item.asked))
        elif first.state == item.state:
            found[name] = replace(first, reason=first.reason or item.reason)
    return found
