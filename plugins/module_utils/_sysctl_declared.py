# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task declares of the kernel's settings: profile, benchmark, settings and interfaces, put together and checked. Pure."""
from __future__ import annotations

import re
from typing import AbstractSet, Any, Dict, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import (
    BY_PROFILE,
    CIS,
    CIS_SPARES_ROUTERS,
    COMPLIANCE,
    FORWARDERS,
    PROFILES,
    ROWS,
    Row,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import (
    ALL,
    DEFAULT,
    FAMILIES,
    check_interface,
    conf_of,
    conf_path,
    parse_key,
    parse_value,
    shown,
)

_ROWS: Mapping[str, Row] = {parse_key(row.key): row for row in ROWS}
FORWARDING = tuple(conf_path(family, ALL, 'forwarding') for family in FAMILIES)
ACCEPT_RA = conf_path('ipv6', ALL, 'accept_ra')
#: Where an item is from. What a person wrote is meant, what a profile wants may give way to what the host lives by.
BY_PROFILE_OR_CIS = ('profile', 'cis')


class Item(NamedTuple):
    """One key and the value that it is to have; origin: profile, cis, settings or interfaces."""

    path: str
    value: str
    origin: str
    reason: str = ''
    source: str = ''


class Declaration(NamedTuple):
    """What is declared, by path, and the keys that are expressly left alone, with the reason."""

    items: Mapping[str, Item]
    left: Mapping[str, str]


def declare(profile: Optional[str], compliance: str, settings: Mapping[Any, Any], interfaces: Mapping[Any, Any]) -> Declaration:
    """Put together what a task says. Raises PalisadeError for what cannot be meant."""
    if profile is not None and profile not in PROFILES:
        raise PalisadeError('profile: %s is none of %s' % (profile, ', '.join(PROFILES)))
    if compliance not in COMPLIANCE:
        raise PalisadeError('compliance: %s is none of %s' % (compliance, ', '.join(COMPLIANCE)))
    items = _of_profile(profile, compliance)
    left: Dict[str, str] = {}
    general = _settings(settings)
    for path, value in {**general, **_interfaces(interfaces, general)}.items():
        if value is None:
            items.pop(path, None)
            left[path] = 'left alone, as declared'
        else:
            row = _ROWS.get(path)
            items[path] = Item(path, value, 'settings', 'declared', row.source if row else '')
    return Declaration(in_table_order(items), left)


def _of_profile(profile: Optional[str], compliance: str) -> Dict[str, Item]:
    items: Dict[str, Item] = {}
    for key, value in BY_PROFILE[profile].items() if profile else ():
        if value is not None:
            items[parse_key(key)] = _item(key, value, 'profile')
    for key, value in CIS.items() if compliance == 'cis' else ():
        if profile != 'router' or key not in CIS_SPARES_ROUTERS:
            items[parse_key(key)] = _item(key, value, 'cis')
    return items


def _item(key: str, value: str, origin: str) -> Item:
    row = _ROWS[parse_key(key)]
    return Item(parse_key(key), value, origin, row.reason, row.source)


def in_table_order(items: Mapping[str, Item]) -> Dict[str, Item]:
    """In the order of the profiles' table, what is not in it behind, by name; an interface's own behind what is for all."""
    order = list(_ROWS)

    def place(path: str) -> Any:
        conf = conf_of(path)
        general = conf_path(conf.family, ALL, conf.leaf) if conf else path
        return (order.index(general) if general in order else len(order), general, conf and (ALL, DEFAULT, conf.member).index(conf.member), path)

    return {path: items[path] for path in sorted(items, key=place)}


def _settings(settings: Mapping[Any, Any]) -> Dict[str, Optional[str]]:
    found: Dict[str, Optional[str]] = {}
    spelled: Dict[str, str] = {}
    for key, given in settings.items():
        path = parse_key(key)
        value = None if given is None else parse_value(path, given, 'settings: %s' % key)
        if path in found and found[path] != value:
            raise PalisadeError('settings: %s and %s are one key, with two values: %s and %s' % (spelled[path], key, found[path], value))
        found[path], spelled[path] = value, key
    return found


def _interfaces(interfaces: Mapping[Any, Any], general: Mapping[str, Optional[str]]) -> Dict[str, Optional[str]]:
    found: Dict[str, Optional[str]] = {}
    for name, keys in interfaces.items():
        check_interface(name, 'interfaces')
        if not isinstance(keys, Mapping):
            raise PalisadeError('interfaces: %s: %r is not a dictionary such as {ipv4.rp_filter: 2}' % (name, keys))
        for key, given in keys.items():
            where = 'interfaces: %s: %s' % (name, key)
            parts = re.fullmatch(r'(ipv4|ipv6)[./]([a-z0-9_]+)', key) if isinstance(key, str) else None
            if parts is None:
                raise PalisadeError('%s is not a key such as ipv4.rp_filter' % where)
            path = conf_path(parts.group(1), name, parts.group(2))
            value = None if given is None else parse_value(path, given, where)
            if general.get(path, value) != value:
                raise PalisadeError('%s is %s, and settings has %s for it' % (where, value, general[path]))
            found[path] = value
    return found


def adapted(declaration: Declaration, forwarders: Sequence[str], advertised: AbstractSet[str], live: Mapping[str, str]) -> Declaration:
    """The declaration where a profile gives way to what the host lives by.

    Forwarding is not switched off under programs that need it. Routers' advertisements stay where routes have been learned from them; a router,
    which forwards, has to be told so (2) for that interface, and one that has been told before is believed.
    """
    items, left = dict(declaration.items), dict(declaration.left)
    for path in FORWARDING:
        item = items.get(path)
        if item and item.value == '0' and item.origin in BY_PROFILE_OR_CIS and forwarders:
            del items[path]
            left[path] = 'needed by %s' % ' and '.join(forwarders)
    item = items.get(ACCEPT_RA)
    if item is None or item.origin != 'profile':
        return Declaration(items, left)
    routes = FORWARDING[1] in items and items[FORWARDING[1]].value == '1'
    if not routes and advertised:
        del items[ACCEPT_RA]
        left[ACCEPT_RA] = 'IPv6 routes are learned from routers on %s' % ', '.join(sorted(advertised))
    elif routes:
        told = {conf.member for conf in map(conf_of, live) if conf and conf.group == ('ipv6', 'accept_ra') and live[conf.path] == '2'}
        for name in sorted((advertised | told) - {ALL, DEFAULT}):
            path = conf_path('ipv6', name, 'accept_ra')
            if path not in items and path not in left:
                items[path] = Item(path, '2', 'profile', 'IPv6 routes are learned from routers here; a router, which forwards, takes 2 for that')
    return Declaration(in_table_order(items), left)


def forwarders_of(interfaces: Sequence[str], files: AbstractSet[str]) -> Sequence[str]:
    """The programs on a host that need forwarding, by its interfaces and by which of their files are there."""
    return [name for name, pattern, marks in FORWARDERS
            if any(re.fullmatch(pattern, one) for one in interfaces) or any(mark in files for mark in marks)]


def kernel_default(path: str) -> Optional[str]:
    """What a kernel starts with; None for a key that is in no profile."""
    conf = conf_of(path)
    row = _ROWS.get(conf_path(conf.family, ALL, conf.leaf) if conf else path)
    if row is None:
        return None
    return row.kernel[0 if conf is None or conf.member == ALL else 1]


def title_of(profile: Optional[str], compliance: str) -> str:
    """What our file is, in words."""
    parts = (['profile %s' % profile] if profile else []) + (['compliance %s' % compliance] if compliance != 'none' else [])
    return 'Kernel settings' + (': ' + ', '.join(parts) if parts else '')


def reason_of(item: Item) -> str:
    """Why, and who says so."""
    return '%s (%s)' % (item.reason, item.source) if item.source and item.origin in BY_PROFILE_OR_CIS else item.reason or shown(item.path)
