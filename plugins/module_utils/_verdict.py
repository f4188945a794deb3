# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way a packet took through the tables and what decided, from the rules' counters. Pure, asks no kernel.

Counters alone know which rules a packet met and not whose packet it was: a REJECT's own reply is counted in OUTPUT. So nothing is
concluded from the last rule that counted. The walk goes from hook to hook as netfilter does, follows what was hit, and takes a
packet for ours only if its size is ours too.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import find_jump, saved_target, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables

#: The tables of each hook in the order of their priorities.
TABLES: Mapping[str, Sequence[str]] = {
    'PREROUTING': ('raw', 'mangle', 'nat'),
    'INPUT': ('mangle', 'filter', 'security', 'nat'),
    'FORWARD': ('mangle', 'filter', 'security'),
    'OUTPUT': ('raw', 'mangle', 'nat', 'filter', 'security'),
    'POSTROUTING': ('mangle', 'nat'),
}
WAYS: Mapping[str, Sequence[str]] = {
    'input': ('PREROUTING', 'INPUT'),
    'forward': ('PREROUTING', 'FORWARD', 'POSTROUTING'),
    'output': ('OUTPUT', 'POSTROUTING'),
}
#: Targets that end a table's say, and how.
_ENDS: Mapping[str, str] = dict.fromkeys(('ACCEPT', 'DNAT', 'SNAT', 'MASQUERADE', 'REDIRECT', 'NETMAP', 'TPROXY'), 'accept')
_ENDINGS: Dict[str, str] = dict(_ENDS, DROP='drop', TARPIT='drop', REJECT='reject', QUEUE='queue', NFQUEUE='queue', SYNPROXY='queue')
#: Bytes of packets that a rig may see beside ours: resets (without and with a time stamp), and what a host says of groups that it has joined.
_OTHERS: Mapping[str, Sequence[int]] = {'ipv4': (40, 52, 32), 'ipv6': (60, 72, 76, 96, 116, 136)}
#: What an ICMP error adds to the packet that it quotes.
_QUOTING = {'ipv4': 28, 'ipv6': 48}
#: Ways through the tables that are tried where counters fit several.
_MOST_WALKS = 500
#: A rule in the order of its table: table, chain, number from 1.
Place = Tuple[str, str, int]


class Step(NamedTuple):
    """A rule that the packet met and fitted, or a policy (number 0)."""

    table: str
    chain: str
    number: int
    rule: str

    def data(self) -> Dict[str, Any]:
        """The step as a result shows it: a policy has no number."""
        found: Dict[str, Any] = {'table': self.table, 'chain': self.chain}
        found.update({'number': self.number, 'rule': self.rule} if self.number else {'policy': self.rule})
        return found

    def text(self) -> str:
        """The step in words."""
        if not self.number:
            return 'the policy %s of %s, table %s' % (self.rule, self.chain, self.table)
        return 'rule %d of %s, table %s: %s' % (self.number, self.chain, self.table, self.rule)


class Judgement(NamedTuple):
    """What became of a packet. `decided` is None if no rule and no policy did: the kernel dropped it behind `after`, or no table was there."""

    verdict: str
    decided: Optional[Step]
    path: Sequence[Step]
    seen: Sequence[Step]
    way: str
    after: str = ''


class Hits:
    """How often packets of ours hit each rule and each policy (number 0), from counters before and after."""

    def __init__(self, before: Tables, after: Tables, family: str, length: int) -> None:
        self.counts: Dict[Place, int] = {}
        self.left: Dict[Place, int] = {}
        for table, chains in after.items():
            for chain, data in chains.items():
                earlier = before.get(table, {}).get(chain)
                places = [(0, data.packets, earlier.packets if earlier else '')]
                counters = earlier.counters if earlier else [''] * len(data.counters)
                places += [(number, now, then) for number, (now, then) in enumerate(zip(data.counters, counters), 1)]
                for number, now, then in places:
                    count = ours(*_delta(now, then), family, length) if now != then else 0
                    if count:
                        self.counts[table, chain, number] = count

    def start(self) -> None:
        """Put back what was taken."""
        self.left = dict(self.counts)

    def take(self, place: Place) -> bool:
        """Whether there is a hit left here; it is used up."""
        left = self.left.get(place, 0)
        if left:
            self.left[place] = left - 1
        return left > 0


def ours(packets: int, octets: int, family: str, length: int) -> int:
    """How many of the packets that a counter saw are ours, of `length` bytes each."""
    sizes = tuple({length + _QUOTING[family], *_OTHERS[family]} - {length})
    most = min(packets, octets // length)
    for count in range(most, -1, -1):
        if _is_sum(octets - count * length, packets - count, sizes):
            return count
    return most if most < packets else 0


def _is_sum(octets: int, packets: int, sizes: Sequence[int]) -> bool:
    """Whether so many packets of these sizes can have so many bytes together. More than a few others are taken to be of one size."""
    if packets == 0:
        return octets == 0
    if packets > 4:
        return octets % packets == 0 and octets // packets in sizes
    return any(_is_sum(octets - size, packets - 1, sizes) for size in sizes if size * packets <= octets or packets > 1)


def _delta(now: str, then: str) -> Tuple[int, int]:
    packets, octets = _counters(now)
    packets_then, octets_then = _counters(then)
    return packets - packets_then, octets - octets_then


def _counters(text: str) -> Tuple[int, int]:
    """Read '[1:40]'; a text without counters is zero."""
    packets, _colon, octets = text.strip('[]').partition(':')
    return (int(packets), int(octets)) if octets else (0, 0)


class _Walk:
    """One packet's way through one set of tables.

    A chain that several rules jump to may be met more often than one of its rules was hit: then `choices` says at which meetings, in order, it was.
    """

    def __init__(self, tables: Tables, hits: Hits, visits: Mapping[Tuple[str, str], int], choices: Sequence[bool]) -> None:
        self.tables = tables
        self.hits = hits
        self.visits = visits
        self.choices = list(choices)
        self.chosen: List[bool] = []
        self.path: List[Step] = []
        self.seen: List[Step] = []
        hits.start()

    def _take(self, place: Place) -> bool:
        table, chain, _number = place
        if self.hits.left.get(place, 0) and self.hits.counts[place] < self.visits.get((table, chain), 0):
            self.chosen.append(self.choices.pop(0) if self.choices else True)
            if not self.chosen[-1]:
                return False
        return self.hits.take(place)

    def hook(self, table: str, chain: str) -> Optional[Tuple[str, Step]]:
        """How a table ended at a hook and by which rule or policy; None if the packet did not come there."""
        seen = len(self.seen)
        end = self._chain(table, chain, 0)
        if end is not None and end[0] != 'return':
            return end
        if self.hits.take((table, chain, 0)):
            data = self.tables[table][chain]
            policy = data.policy or 'ACCEPT'
            step = Step(table, chain, 0, policy)
            if data.rules or policy != 'ACCEPT':
                self.path.append(step)
            return _ENDINGS.get(policy, 'accept'), step
        del self.seen[seen:]
        return None

    def _chain(self, table: str, chain: str, depth: int) -> Optional[Tuple[str, Step]]:
        """Follow one chain; None at its end."""
        for number, rule in enumerate(self.tables[table][chain].rules, 1):
            step = Step(table, chain, number, rule)
            self.seen.append(step)
            if not self._take((table, chain, number)):
                continue
            self.path.append(step)
            target = saved_target(rule)
            if target in _ENDINGS:
                return _ENDINGS[str(target)], step
            if target == 'RETURN':
                return None if depth else ('return', step)
            if target in self.tables[table]:
                end = self._chain(table, str(target), depth + 1)
                if end is not None:
                    return end
                if is_goto(rule):
                    return None if depth else ('return', step)
        return None


def is_goto(rule: str) -> bool:
    """Whether a saved rule goes to its chain for good: -g."""
    if ' -g ' not in ' %s' % rule:
        return False
    words = tokenise(rule)
    jump = find_jump(words)
    return jump is not None and jump.place > 0 and words[jump.place - 1] == '-g'


def judge(tables: Tables, hits: Hits, way: str, arrived: bool) -> Judgement:
    """What became of one packet.

    tables: the rules as loaded. way: 'input', 'forward' or 'output'; what nat sent another way has that one. arrived: whether the
    packet was seen where it was to come out, which is known from elsewhere. Raises PalisadeError if that and the counters differ.
    """
    visits = _visits(tables, hits)
    choices: List[bool] = []
    best: Optional[Judgement] = None
    least, first_error = 0, None
    for _attempt in range(_MOST_WALKS):
        walk = _Walk(tables, hits, visits, choices)
        try:
            found = _judge(walk, way, arrived)
            left = sum(hits.left.values())
            if best is None or left < least:
                best, least = found, left
            if left == 0:
                break
        except PalisadeError as error:
            first_error = first_error or error
        choices = walk.chosen
        while choices and not choices[-1]:
            choices.pop()
        if not choices:
            break
        choices[-1] = False
    if best is None:
        raise first_error or PalisadeError('its way through the tables cannot be read from the counters')
    return best


def _visits(tables: Tables, hits: Hits) -> Dict[Tuple[str, str], int]:
    """How often our packets came to each chain that rules jump to."""
    found: Dict[Tuple[str, str], int] = {}
    for (table, chain, number), count in hits.counts.items():
        rules = tables.get(table, {}).get(chain)
        target = saved_target(rules.rules[number - 1]) if rules and number else None
        if target in tables.get(table, {}):
            found[table, str(target)] = found.get((table, str(target)), 0) + count
    return found


def _judge(walk: _Walk, way: str, arrived: bool) -> Judgement:
    decided: Optional[Step] = None
    after = ''
    for hook in WAYS[way]:
        for table in TABLES[hook]:
            if hook not in walk.tables.get(table, {}):
                continue
            end = walk.hook(table, hook)
            if end is None and table == 'nat':
                continue  # Only the first packet of a connection comes here.
            if end is None:
                return _lost(walk, way, after, arrived)
            verdict, step = end
            after = '%s of table %s' % (hook, table)
            if verdict != 'accept':
                return _ended(walk, way, verdict, step, arrived)
            decided = step if table == 'filter' or decided is None or decided.table != 'filter' else decided
    if not arrived:
        return _lost(walk, way, after, arrived)
    return Judgement('accept', decided, walk.path, walk.seen, way)


def _ended(walk: _Walk, way: str, verdict: str, step: Step, arrived: bool) -> Judgement:
    if arrived and verdict != 'queue':
        raise PalisadeError('the counters say that %s decided, and yet the packet came out' % step.text())
    return Judgement(verdict, step, walk.path, walk.seen, way)


def _lost(walk: _Walk, way: str, after: str, arrived: bool) -> Judgement:
    if arrived:
        raise PalisadeError('the packet came out, and the counters do not show its way behind %s' % (after or 'its start'))
    return Judgement('drop', None, walk.path, walk.seen, way, after)
