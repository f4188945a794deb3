# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof says: from what was seen of a packet to a verdict, its rule, its path and rewrites, and whether that was expected. Pure."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import Flow, packet_of
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import Packet, packet_bytes
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import unprovable
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import saved_target
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._verdict import Hits, Judgement, Step, judge

#: What the kernel counts when it drops a packet by itself → what that means.
_KERNEL_REASONS: Sequence[Tuple[str, str]] = (
    ('IPReversePathFilter', 'the way back to its source is by another interface (rp_filter)'),
    ('InNoRoutes', 'there is no route to its destination'), ('Ip6InNoRoutes', 'there is no route to its destination'),
    ('OutNoRoutes', 'there is no route to its destination'), ('Ip6OutNoRoutes', 'there is no route to its destination'),
    ('InAddrErrors', 'this host does not forward (net.ipv4.ip_forward), or does not take such addresses'),
    ('Ip6InAddrErrors', 'this host does not forward (net.ipv6.conf.all.forwarding), or does not take such addresses'),
    ('InHdrErrors', 'its header'), ('Ip6InHdrErrors', 'its header'),
    ('InDiscards', 'routing'), ('Ip6InDiscards', 'routing'),
)
#: Rules with these targets, or without one, leave a packet on its way.
_HARMLESS = (None, 'LOG', 'NFLOG', 'ULOG', 'TRACE')


class Sight(NamedTuple):
    """What was seen of one packet: the rules as they were given, their counters after it, and where it came out (interface, '' for the host itself).

    `arrived` is None if it did not come out. `kernel` is what the kernel counted of its own drops, `refused` its word where it would not send.
    """

    rules: Tables
    counted: Tables
    arrived: Optional[Packet]
    interface: str
    kernel: Mapping[str, int]
    refused: str = ''


def conclude(flow: Flow, number: int, before: Tables, sight: Sight) -> Dict[str, Any]:
    """The result of one packet. Raises PalisadeError where what was seen does not prove anything."""
    hits = Hits(before, sight.counted, flow.family, len(packet_bytes(packet_of(flow, 0))))
    way = _way(flow, hits, sight)
    try:
        judgement = judge(sight.rules, hits, way, sight.arrived is not None)
        _check_provable(judgement)
    except PalisadeError as error:
        raise PalisadeError('%s: its verdict cannot be proved: %s' % (flow.text(), error)) from None
    rewritten = _rewritten(packet_of(flow, number), sight.arrived)
    # Of an established connection, the tables of nat saw the first packet alone.
    by_nat = flow.state == 'established' or any(step.table == 'nat' and step.number for step in judgement.path)
    _check_way(flow, sight, way, by_nat)
    result: Dict[str, Any] = {'verdict': judgement.verdict, 'hook': judgement.way}
    result['rule'] = judgement.decided.data() if judgement.decided else None
    result['reason'] = _reason(judgement, sight)
    result['path'] = [step.data() for step in judgement.path]
    if sight.arrived is not None and judgement.way != 'input':
        result['out_interface'] = sight.interface
    result.update(rewritten)
    return result


def _way(flow: Flow, hits: Hits, sight: Sight) -> str:
    """Which hooks the packet took: nat may turn what was for the host into what is forwarded, and the other way round."""
    if flow.hook == 'output':
        return 'output'
    if sight.arrived is not None:
        return 'forward' if sight.interface else 'input'
    chains = {chain for _table, chain, _number in hits.counts}
    return 'forward' if 'FORWARD' in chains else 'input' if 'INPUT' in chains else flow.hook


def _check_provable(judgement: Judgement) -> None:
    for step in judgement.seen:
        why = unprovable(step.rule) if saved_target(step.rule) not in _HARMLESS else ''
        if why:
            raise PalisadeError('it meets %s, and %s' % (step.text(), why))


def _check_way(flow: Flow, sight: Sight, way: str, by_nat: bool) -> None:
    if way != flow.hook and not by_nat:
        raise PalisadeError('%s: hook: the packet did not go through %s but through %s, as its destination has it' % (flow.text(), flow.hook, way))
    # What was dropped on the way was not seen to leave, and met rules about interfaces all the same.
    routed = sight.interface or ('' if by_nat else flow.routed)
    if flow.out_interface and way != 'input' and routed and routed != flow.out_interface:
        raise PalisadeError('%s: out_interface: the host routes the packet by %s and not by %s' % (flow.text(), routed, flow.out_interface))


def _reason(judgement: Judgement, sight: Sight) -> str:
    """In words, what decided."""
    if judgement.decided is not None:
        return judgement.decided.text()
    if judgement.verdict == 'accept':
        return 'no table has a chain at its hooks'
    if sight.refused:
        return 'the kernel did not send it: %s' % sight.refused
    why = next((text for name, text in _KERNEL_REASONS if sight.kernel.get(name)), 'no rule did')
    return 'the kernel dropped it %s: %s' % ('behind %s' % judgement.after if judgement.after else 'ahead of every rule', why)


def _rewritten(sent: Packet, arrived: Optional[Packet]) -> Dict[str, str]:
    """What nat made of the packet's addresses and ports, where it did."""
    if arrived is None:
        return {}
    ports = sent.protocol in ('tcp', 'udp')
    pairs = (('rewritten_source', (sent.source, sent.source_port), (arrived.source, arrived.source_port)),
             ('rewritten_destination', (sent.destination, sent.port), (arrived.destination, arrived.port)))
    return {key: _with_port(now[0], now[1] if ports else 0) for key, then, now in pairs if then[0] != now[0] or (ports and then[1] != now[1])}


def _with_port(address: str, port: int) -> str:
    if not port:
        return address
    return '%s:%d' % ('[%s]' % address if ':' in address else address, port)


# What was expected


def disagreement(flow: Flow, result: Mapping[str, Any]) -> str:
    """What was expected of a flow and is not so; '' if all is."""
    for key, found in (('verdict', result['verdict']), ('rewritten_source', result.get('rewritten_source')),
                       ('rewritten_destination', result.get('rewritten_destination'))):
        expected = getattr(flow, key)
        if key != 'verdict' and expected[0]:
            if _matches(expected, found):
                continue
            expected = _with_port(*expected)
        elif key != 'verdict' or not expected or expected == found:
            continue
        return '%s: %s %s was expected and %s was found; it was decided by %s' % (flow.text(), key, expected, found or 'none', result['reason'])
    return ''


def _matches(expected: Tuple[str, int], found: Optional[str]) -> bool:
    return found is not None and (found == _with_port(*expected) or (not expected[1] and _without_port(found) == expected[0]))


def _without_port(text: str) -> str:
    if text.startswith('['):
        return text[1:].partition(']')[0]
    return text if text.count(':') > 1 else text.partition(':')[0]


def result_of(flow: Flow, packets: List[Dict[str, Any]], assumed: Sequence[str]) -> Dict[str, Any]:
    """A flow's result: the last packet's, all packets' verdicts where there are several, and what was filled in or made for the proof."""
    result = dict(packets[-1])
    if len(packets) > 1:
        result['verdicts'] = [packet['verdict'] for packet in packets]
    result['flow'] = flow.data()
    result['assumed'] = list(assumed)
    return result


__all__ = ['Sight', 'Step', 'conclude', 'disagreement', 'result_of']
