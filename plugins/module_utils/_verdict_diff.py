# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which traffic a plan makes another verdict for: what is worth asking, and how the two answers differ. Pure, sends nothing.

    rules that come and go ──▶ what each would match, in words of a flow ──▶ flows ──▶ (proved on both states elsewhere) ──▶ changes
"""
from __future__ import annotations

import ipaddress
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import ELSEWHERE, Flow, complete, icmp_type_name, read_flow
from ansible_collections.palisade.netfilter.plugins.module_utils._plan import FamilyPlan
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import saved_target, tokenise
from ansible_collections.palisade.netfilter.plugins.module_utils._save import BUILTIN_CHAINS, Tables
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import Surroundings

#: Flows that are asked about at most, where there are few rules; each costs some milliseconds on either state.
MOST_FLOWS = 120
#: With more rules each answer takes longer: as many flows times rules as this, and never fewer flows than the second number.
MOST_WORK, FEWEST_FLOWS = 400_000, 16
#: Of one rule's ports, so many are asked about; of the host's interfaces, so many.
MOST_PORTS, MOST_INTERFACES = 4, 4
#: A port that stands for all those that no rule names.
OTHER_PORT = 64999
#: Rules are read so deep in jumps of jumps, as deep as nft goes.
DEEPEST = 16

_HOOKS = {('filter', 'INPUT'): 'input', ('filter', 'FORWARD'): 'forward', ('filter', 'OUTPUT'): 'output', ('nat', 'PREROUTING'): 'input'}
_PORT_PROTOCOLS = ('tcp', 'udp')
#: Options of a rule → the part of a flow that they are about.
_PARTS = {
    '-s': 'source', '-d': 'destination', '-i': 'in_interface', '-o': 'out_interface', '-p': 'protocol', '--dport': 'ports', '--dports': 'ports',
    '--sport': 'source_ports', '--sports': 'source_ports', '--icmp-type': 'icmp_type', '--icmpv6-type': 'icmp_type', '--mac-source': 'source_mac',
    '--src-range': 'source', '--dst-range': 'destination', '--uid-owner': 'uid', '--ctstate': 'state',
}
_ICMP = {'ipv4': 'icmp', 'ipv6': 'ipv6-icmp'}

#: What a packet must be to meet a rule, by the part of a flow; the jumps that led there included.
Conditions = Mapping[str, str]


class Question(NamedTuple):
    """A flow to ask about, by its keys, and the words that stand for its source and port."""

    keys: Mapping[str, Any]
    words: str


class Change(NamedTuple):
    """Traffic whose verdict, or whose rewriting, changes: the same words for one family or for both."""

    words: str
    families: Sequence[str]
    before: str
    after: str
    reasons: Sequence[str]

    def text(self) -> str:
        """For example: tcp 443 from any on eth0: drop → accept, by palisade-INPUT 7."""
        only = ' (%s)' % self.families[0] if len(self.families) == 1 else ''
        return '%s%s: %s → %s, by %s' % (self.words, only, self.before, self.after, ' and '.join(self.reasons))

    def data(self) -> Dict[str, Any]:
        """The change as the module returns it."""
        return {'traffic': self.words, 'families': list(self.families), 'before': self.before, 'after': self.after, 'by': list(self.reasons)}


# What to ask


def questions(plans: Sequence[FamilyPlan], live: Mapping[str, Tables], predicted: Mapping[str, Tables], around: Surroundings) -> List[Question]:
    """What is worth asking about these plans, the most telling first, bounded in number by the size of the tables."""
    found: Dict[Tuple[Tuple[str, Any], ...], Question] = {}
    rules = 1
    for plan in plans:
        wanted = _conditions(plan, live.get(plan.family, {}), predicted.get(plan.family, {}))
        rules += sum(len(chain.rules) for tables in (live, predicted) for table in tables.get(plan.family, {}).values() for chain in table.values())
        for question in _asked(plan.family, wanted, around):
            found.setdefault(tuple(sorted(question.keys.items())), question)
    most = max(FEWEST_FLOWS, min(MOST_FLOWS, MOST_WORK // rules))
    return _spread(list(found.values()), most)


def _spread(found: List[Question], most: int) -> List[Question]:
    """All of them, or where there are too many, some from everywhere in the list."""
    return found if len(found) <= most else [found[index * len(found) // most] for index in range(most)]


def _conditions(plan: FamilyPlan, live: Tables, predicted: Tables) -> List[Tuple[str, Conditions]]:
    """Hook and conditions of every rule that comes or goes, and of changed policies (without conditions)."""
    gone: Dict[Tuple[str, str], FrozenSet[int]] = {}
    come: Dict[Tuple[str, str], FrozenSet[int]] = {}
    found: List[Tuple[str, Conditions]] = []
    for table in plan.tables:
        for change in table.changes:
            key = table.table, change.chain
            gone[key] = frozenset(range(len(change.old or ()))) - {old for old, _new in change.edits.kept}
            come[key] = frozenset(range(len(change.new or ()))) - {new for _old, new in change.edits.kept}
            if change.policies[1] is not None and key in _HOOKS:
                found.append((_HOOKS[key], {}))
    for (table_name, hook_chain), hook in _HOOKS.items():
        for tables, changed in ((predicted, come), (live, gone)):
            if hook_chain in tables.get(table_name, {}):
                found += [(hook, one) for one in _walk(tables, table_name, hook_chain, changed, {}, False, DEEPEST)]
    return found


def _walk(tables: Tables, table: str, chain: str, changed: Mapping[Tuple[str, str], FrozenSet[int]], led: Conditions, new: bool,
          depth: int) -> Iterator[Conditions]:
    """The conditions of changed rules in a chain and below it. Below a changed jump every rule counts as changed."""
    chains = tables[table]
    touched = changed.get((table, chain), frozenset())
    for index, rule in enumerate(chains[chain].rules):
        here = new or index in touched
        target = saved_target(rule)
        below = target in chains and target not in BUILTIN_CHAINS[table]
        if not here and not below:
            continue
        conditions = _joined(led, _parts(rule))
        if conditions is None:
            continue
        if below and target is not None and depth:
            yield from _walk(tables, table, target, changed, conditions, here, depth - 1)
        elif here and target is not None:
            yield conditions


def _parts(rule: str) -> Dict[str, str]:
    """What a saved rule asks of a packet. A negated condition is no hint at what it matches."""
    found: Dict[str, str] = {}
    words = tokenise(rule)
    for index, word in enumerate(words[:-1]):
        if word in _PARTS and (index == 0 or words[index - 1] != '!'):
            found.setdefault(_PARTS[word], words[index + 1])
    return found


def _joined(led: Conditions, own: Conditions) -> Optional[Dict[str, str]]:
    """Both together; None where no packet meets both. The narrower of two networks counts."""
    joined = dict(led)
    for part, value in own.items():
        there = joined.get(part)
        if there is None or there == value:
            joined[part] = value
        elif part in ('source', 'destination'):
            narrower = _narrower(there, value)
            if narrower is None:
                return None
            joined[part] = narrower
        elif part in ('protocol', 'in_interface', 'out_interface', 'source_mac'):
            return None
    return joined


def _narrower(one: str, other: str) -> Optional[str]:
    if '-' in one + other:
        return other if '-' in other else one
    first, second = ipaddress.ip_network(one, strict=False), ipaddress.ip_network(other, strict=False)
    if not first.overlaps(second):
        return None
    return one if first.prefixlen > second.prefixlen else other


def _asked(family: str, wanted: Iterable[Tuple[str, Conditions]], around: Surroundings) -> Iterator[Question]:
    everything = list(wanted)
    for hook, conditions in everything:
        if set(conditions.get('state', '').split(',')) <= {'RELATED', 'ESTABLISHED'} and conditions.get('state'):
            continue
        sources = [_sample(conditions.get('source', ''))]
        # Who is not named by the rule may fare otherwise now, too. What is for one link alone nobody else sends.
        sources += [''] if sources[0] and not sources[0].startswith('fe80:') else []
        for protocol, port, named in _protocols(family, conditions):
            for source in sources:
                for into, out in _ways(hook, family, conditions, source, around):
                    yield _question(family, hook, conditions, protocol, port, named, source, into, out)


def _protocols(family: str, conditions: Conditions) -> List[Tuple[str, str, bool]]:
    """Protocol, port or ICMP type, and whether that is what the rule names."""
    protocol = conditions.get('protocol', '')
    if protocol in ('icmp', 'ipv6-icmp', 'icmpv6'):
        return [(_ICMP[family], conditions.get('icmp_type', 'echo-request'), True)]
    if protocol and protocol not in _PORT_PROTOCOLS:
        return []
    ports = conditions.get('ports', '')
    if not ports:
        return [(one, str(OTHER_PORT), False) for one in ([protocol] if protocol else _PORT_PROTOCOLS)]
    return [(protocol or 'tcp', one.partition(':')[0] or '1', True) for one in ports.split(',')[:MOST_PORTS]]


def _ways(hook: str, family: str, conditions: Conditions, source: str, around: Surroundings) -> List[Tuple[str, str]]:
    """Interfaces in and out that are worth a question: the rule's own, else those of the host that lead somewhere."""
    # An interface with a link-local address alone is the end of a container's or a bridge's link.
    own = [name for name in around.interfaces if name != 'lo' and around.knows(name, family)
           and not around.address_on(name, family).startswith('fe80:')][:MOST_INTERFACES]
    into = [_interface(conditions['in_interface'])] if 'in_interface' in conditions else [''] if source else own
    out = [_interface(conditions['out_interface'])] if 'out_interface' in conditions else own
    if hook == 'input':
        return [(name, '') for name in into]
    if hook == 'output':
        return [('', name) for name in out]
    return [(one, other) for one in into for other in out if one != other]


def _question(family: str, hook: str, conditions: Conditions, protocol: str, port: str, named: bool, source: str, into: str, out: str) -> Question:
    keys: Dict[str, Any] = {'hook': hook, 'protocol': protocol}
    words = protocol
    if protocol in _PORT_PROTOCOLS:
        keys['port'] = int(port) or 1
        words += ' %s' % port if named else ' to any other port'
        if conditions.get('source_ports'):
            keys['source_port'] = int(conditions['source_ports'].split(',')[0].partition(':')[0] or 1) or 1
    else:
        keys['icmp_type'] = port
        words += ' %s' % icmp_type_name(protocol, port)
    if hook != 'output':
        words += ' from %s' % (source or 'any')
        if source:
            keys['source'] = source
        if conditions.get('source_mac'):
            keys['source_mac'] = conditions['source_mac'].lower()
            words += ' %s' % keys['source_mac']
    for key, value, word in (('in_interface', into, 'on'), ('out_interface', out, 'out by')):
        if value:
            keys[key] = value
            words += ' %s %s' % (word, value)
    destination = _sample(conditions.get('destination', ''))
    if destination:
        keys['destination'] = destination
        words += ' to %s' % destination
    keys['family'] = family
    return Question(keys, words)


def _interface(pattern: str) -> str:
    return pattern[:-1] + '0' if pattern.endswith('+') else pattern


def _sample(text: str) -> str:
    """An address of a network or range; '' for everybody, and for what is written in no way that could be read."""
    if not text or text.endswith('/0'):
        return ''
    try:
        if '-' in text:
            return str(ipaddress.ip_address(text.partition('-')[0]))
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ''
    return str(network.network_address if network.num_addresses <= 2 else network.network_address + 1)


def flows_of(asked: Sequence[Question], around: Surroundings) -> List[Tuple[Question, Flow]]:
    """The complete flows of those questions that make sense on this host, each with a source port of its own."""
    found = []
    for number, question in enumerate(asked):
        keys = dict(question.keys)
        family = keys.pop('family')
        if keys['protocol'] in _PORT_PROTOCOLS:
            keys.setdefault('source_port', 40001 + number)
        try:
            flow = complete(read_flow(keys, 'question')._replace(family=family), around)
        except PalisadeError:
            continue  # The host has no such interface, address or route: nothing to be told about it.
        if 'source' not in keys and flow.source not in ELSEWHERE.values():
            question = question._replace(words=question.words.replace(' from any', ' from a neighbour', 1))
        found.append((question, flow))
    return found


def lanes(flows: Sequence[Flow]) -> List[List[int]]:
    """The flows' numbers in groups that share a rig: of those to one port, each in another, so that none uses up the rate limit of the next."""
    groups: List[List[int]] = []
    seen: Dict[Tuple[str, str, int, Tuple[int, int]], int] = {}
    for number, flow in enumerate(flows):
        key = flow.family, flow.protocol, flow.port, flow.icmp_type
        lane = seen.get(key, 0)
        seen[key] = lane + 1
        if lane == len(groups):
            groups.append([])
        groups[lane].append(number)
    return groups


# What the answers say


def changes(asked: Sequence[Question], before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> List[Change]:
    """Those whose fate changes. An answer without a verdict (what could not be proved) is left out."""
    found: Dict[Tuple[str, str, str], Dict[str, str]] = {}
    for question, then, now in zip(asked, before, after):
        if 'verdict' in then and 'verdict' in now and _fate(then) != _fate(now):
            found.setdefault((question.words, _fate(then), _fate(now)), {}).setdefault(question.keys['family'], _decided(now))
    return [Change(words, sorted(reasons), then, now, list(dict.fromkeys(reasons.values()))) for (words, then, now), reasons in found.items()]


def _fate(answer: Mapping[str, Any]) -> str:
    rewritten = ['%s %s' % (word, answer[key]) for key, word in (('rewritten_source', 'from'), ('rewritten_destination', 'to')) if answer.get(key)]
    return str(answer['verdict']) + (' (%s)' % ', '.join(rewritten) if rewritten else '')


def _decided(answer: Mapping[str, Any]) -> str:
    rule = answer.get('rule')
    if not rule:
        return str(answer.get('reason', ''))
    return '%s %s' % (rule['chain'], rule['number']) if rule.get('number') else 'the policy of %s' % rule['chain']
