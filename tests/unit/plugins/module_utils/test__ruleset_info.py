# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live rules as data: nothing of what iptables-save printed is lost, and names tell whose a rule is."""
from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Sequence

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership
from ansible_collections.palisade.netfilter.plugins.module_utils._known import owner_of_rule
from ansible_collections.palisade.netfilter.plugins.module_utils._ruleset_info import (
    Question,
    family_info,
    other_rulesets,
    ruleset_info,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import (
    BUILTIN_CHAINS,
    Chain,
    Tables,
    append_line,
    parse,
    render,
)
from ansible_collections.palisade.netfilter.tests.unit.support.memory_host import MemoryHost
from ansible_collections.palisade.netfilter.tests.unit.support.saved import SAVED, saved_text
from ansible_collections.palisade.netfilter.tests.unit.support.strategies import TABLES
from hypothesis import given

BOTH = ('ipv4', 'ipv6')
OURS = Ownership('palisade', 'chains')

#: chain, rule, whose it is. Each chain of the filter table that is named here is there.
OWNERS = (
    ('INPUT', '-p tcp -m multiport --dports 22 -j f2b-sshd', 'fail2ban'),
    ('INPUT', '-m comment --comment palisade -j palisade-INPUT', 'palisade'),
    ('INPUT', '-m comment --comment "palisade: policy was ACCEPT" -j palisade-INPUT', 'palisade'),
    ('INPUT', '-j palisade-INPUT', 'palisade'),
    ('INPUT', '-m comment --comment web -j web-INPUT', 'palisade ruleset web'),
    ('INPUT', '-p tcp -m tcp --dport 3306 -j ACCEPT', None),
    ('INPUT', '-j HAND-MADE', None),
    ('INPUT', '-p tcp -g f2b-sshd', 'fail2ban'),
    ('INPUT', '-m comment --comment "not -j f2b-sshd" -j ACCEPT', None),
    ('INPUT', '', None),
    ('FORWARD', '-j DOCKER-USER', 'Docker'),
    ('FORWARD', '-i docker0 ! -o docker0 -j ACCEPT', 'Docker'),
    ('FORWARD', '-i virbr0 -j ACCEPT', 'libvirt'),
    ('FORWARD', '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD', 'Kubernetes'),
    ('FORWARD', '-m comment --comment palisade -j palisade-INPUT', None),
    ('OUTPUT', '-m comment --comment "wg-quick(8) rule for wg0" -j ACCEPT', 'wg-quick'),
    ('palisade-INPUT', '-i lo -j ACCEPT', 'palisade'),
    ('palisade-INPUT', '-j DOCKER-USER', 'palisade'),
    ('palisade~0', '-j ACCEPT', 'palisade'),
    ('web-INPUT', '-j ACCEPT', 'palisade ruleset web'),
    ('web-more', '-j ACCEPT', 'palisade ruleset web'),
    ('site-INPUT', '-j ACCEPT', None),
    ('f2b-sshd', '-s 192.0.2.9/32 -j REJECT --reject-with icmp-port-unreachable', 'fail2ban'),
    ('DOCKER-USER', '-s 192.0.2.9/32 -j DROP', 'Docker'),
    ('KUBE-FORWARD', '-j ACCEPT', 'Kubernetes'),
    ('ufw-user-input', '-p tcp -j ACCEPT', 'ufw'),
    ('IN_public', '-j ACCEPT', 'firewalld'),
    ('HAND-MADE', '-p tcp -j ACCEPT', None),
    ('HAND-MADE', '-i docker0 -j ACCEPT', 'Docker'),
    ('HAND-MADE', '-j palisade-INPUT', None),
    ('palisade2-INPUT', '-j ACCEPT', None),
)


def filter_table(owners: Sequence[Any] = OWNERS) -> Tables:
    chains = [hook + ' ACCEPT' for hook in BUILTIN_CHAINS['filter']]
    chains += [chain + ' -' for chain in dict.fromkeys(chain for chain, _rule, _owner in owners) if chain not in BUILTIN_CHAINS['filter']]
    lines = [':%s [0:0]' % chain for chain in chains]
    lines += [append_line(chain, rule, '[%d:%d]' % (index, 60 * index)) for index, (chain, rule, _owner) in enumerate(owners)]
    return parse('\n'.join(['*filter', *lines, 'COMMIT', '']), 'test')


def info(live: Tables, name: str = 'palisade', tables: Optional[List[str]] = None, chains: Optional[List[str]] = None) -> Any:
    return family_info('ipv4', live, Ownership(name, 'chains'), Question(name, BOTH, tables, chains))


# Whose it is

@pytest.mark.parametrize(('index', 'chain', 'rule', 'owner'), [(index, *known) for index, known in enumerate(OWNERS)])
def test_whose_a_rule_is(index: int, chain: str, rule: str, owner: Optional[str]) -> None:
    entry, = [entry for entry in info(filter_table())[1] if entry['packets'] == index]
    assert (entry['chain'], entry['rule'], entry['owner']) == (chain, rule, owner)


@pytest.mark.parametrize(('chain', 'owner'), [
    ('INPUT', None), ('palisade-INPUT', 'palisade'), ('palisade~0', 'palisade'), ('web-more', 'palisade ruleset web'), ('site-INPUT', None),
    ('palisade2-INPUT', None), ('f2b-sshd', 'fail2ban'), ('DOCKER-USER', 'Docker'), ('HAND-MADE', None),
])
def test_whose_a_chain_is(chain: str, owner: Optional[str]) -> None:
    entry, = [entry for entry in info(filter_table())[0] if entry['chain'] == chain]
    assert entry['owner'] == owner


def test_another_name_makes_other_rules_ours() -> None:
    owners = {(entry['chain'], entry['rule']): entry['owner'] for entry in info(filter_table(), 'web')[1]}
    assert owners['web-INPUT', '-j ACCEPT'] == 'web'
    assert owners['INPUT', '-m comment --comment web -j web-INPUT'] == 'web'
    assert owners['palisade-INPUT', '-i lo -j ACCEPT'] == 'palisade ruleset palisade'
    assert owners['INPUT', '-m comment --comment palisade -j palisade-INPUT'] == 'palisade ruleset palisade'


@pytest.mark.parametrize('policy', [None, 'DROP'])
def test_other_rulesets_are_known_by_the_jumps_that_a_run_of_theirs_puts_there(policy: Optional[str]) -> None:
    jump = Ownership('web_1', 'chains').jump_rule('FORWARD', policy)
    assert other_rulesets(filter_table([('FORWARD', jump, '')]), OURS) == ['web_1']
    for chain, rule in (('INPUT', jump), ('OWN', jump), ('FORWARD', '-j web_1-FORWARD')):
        assert other_rulesets(filter_table([(chain, rule, '')]), OURS) == []
    assert other_rulesets(filter_table([('FORWARD', OURS.jump_rule('FORWARD', policy), '')]), OURS) == []


@pytest.mark.parametrize('name', SAVED)
def test_rules_in_hooks_are_explained_as_the_engine_explains_them(name: str) -> None:
    """The short cut for long chains answers as the whole table of programs does."""
    hooks = {hook for table in BUILTIN_CHAINS.values() for hook in table}
    found = [entry for entry in info(parse(saved_text(name), name))[1] if entry['chain'] in hooks]
    assert [entry['owner'] for entry in found] == [owner_of_rule(entry['rule']) for entry in found]
    assert {entry['owner'] for entry in found} == {None, 'Docker', 'fail2ban'}


# Nothing is lost

def rendered_again(family: str, live: Tables) -> str:
    """What iptables-save printed, put together from the entries alone."""
    chains, rules = family_info(family, live, OURS, Question('palisade', BOTH))
    tables: Tables = {}
    for entry in chains:
        packets = '[%d:%d]' % (entry['packets'] or 0, entry['bytes'] or 0)
        tables.setdefault(entry['table'], {})[entry['chain']] = Chain(entry['policy'], packets)
    for entry in rules:
        chain = tables[entry['table']][entry['chain']]
        chain.rules.append(entry['rule'])
        chain.counters.append('[%d:%d]' % (entry['packets'], entry['bytes']))
        assert entry['number'] == len(chain.rules)
        assert entry['family'] == family
    assert [len(tables[entry['table']][entry['chain']].rules) for entry in chains] == [entry['rule_count'] for entry in chains]
    return render(tables)


@pytest.mark.parametrize('name', SAVED)
def test_what_iptables_printed_can_be_put_together_again(name: str) -> None:
    live = parse(saved_text(name), name)
    assert rendered_again('ipv4', live) == render({table: live[table] for table in BUILTIN_CHAINS})


@given(TABLES)
def test_the_same_of_any_tables(live: Tables) -> None:
    for table in live.values():
        for chain in table.values():
            chain.counters = ['[%d:%d]' % (index, 2 * index) for index in range(len(chain.rules))]
            chain.packets = chain.packets if chain.policy else '[0:0]'
    again = parse(rendered_again('ipv6', live), 'again')
    assert {name: render({name: table}) for name, table in again.items()} == {
        name: render({name: table}) for name, table in live.items() if table}


def test_a_user_chain_counts_nothing_of_its_own() -> None:
    live = parse('*filter\n:INPUT DROP [3:180]\n:web - [0:0]\n[7:420] -A web -j ACCEPT\nCOMMIT\n', 'test')
    chains, rules = info(live)
    assert chains == [
        {'family': 'ipv4', 'table': 'filter', 'chain': 'INPUT', 'policy': 'DROP', 'packets': 3, 'bytes': 180, 'owner': None, 'rule_count': 0},
        {'family': 'ipv4', 'table': 'filter', 'chain': 'web', 'policy': None, 'packets': None, 'bytes': None, 'owner': None, 'rule_count': 1},
    ]
    assert rules == [{'family': 'ipv4', 'table': 'filter', 'chain': 'web', 'number': 1, 'rule': '-j ACCEPT', 'packets': 7, 'bytes': 420,
                      'owner': None}]


# What was asked for

NAT = '*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n[0:0] -A PREROUTING -j DOCKER\n[0:0] -A DOCKER -j RETURN\nCOMMIT\n'
RAW = '*raw\n:PREROUTING ACCEPT [0:0]\n[0:0] -A PREROUTING -j NOTRACK\nCOMMIT\n'
FILTER = '*filter\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n[0:0] -A INPUT -j ACCEPT\nCOMMIT\n'


@pytest.mark.parametrize(('tables', 'chains', 'places'), [
    (None, None, ['filter INPUT', 'filter DOCKER', 'nat PREROUTING', 'nat DOCKER', 'raw PREROUTING']),
    (['nat'], None, ['nat PREROUTING', 'nat DOCKER']),
    (['raw', 'filter'], None, ['filter INPUT', 'filter DOCKER', 'raw PREROUTING']),
    (None, ['DOCKER'], ['filter DOCKER', 'nat DOCKER']),
    (['nat'], ['DOCKER', 'INPUT'], ['nat DOCKER']),
    (['mangle'], None, []),
    (None, ['nowhere'], []),
    ([], [], ['filter INPUT', 'filter DOCKER', 'nat PREROUTING', 'nat DOCKER', 'raw PREROUTING']),
])
def test_tables_and_chains_that_were_asked_for(tables: Optional[List[str]], chains: Optional[List[str]], places: List[str]) -> None:
    found = info(parse(RAW + NAT + FILTER, 'test'), tables=tables, chains=chains)
    assert ['%(table)s %(chain)s' % entry for entry in found[0]] == places
    assert {'%(table)s %(chain)s' % entry for entry in found[1]} == set(places) - {'filter DOCKER'}


def test_a_ruleset_is_known_even_if_its_jump_is_not_asked_for() -> None:
    chains, rules = info(filter_table(), chains=['web-INPUT'])
    assert [entry['owner'] for entry in chains + rules] == ['palisade ruleset web'] * 2


# A host

def test_both_families_with_one_look_at_each() -> None:
    host = MemoryHost('legacy')
    host.put('ipv4', '*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n')
    host.put('ipv6', '*filter\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n')
    before = host.saved()
    found = ruleset_info(Question('palisade', ['ipv6', 'ipv4']), host)
    assert [(entry['family'], entry['rule']) for entry in found['rules']] == [('ipv4', '-p tcp -j ACCEPT'), ('ipv6', '-p udp -j ACCEPT')]
    policies = {(entry['family'], entry['chain']): entry['policy'] for entry in found['chains']}
    assert (policies['ipv4', 'INPUT'], policies['ipv6', 'INPUT']) == ('DROP', 'ACCEPT')
    assert (found['backend'], found['warnings']) == ('legacy', [])
    assert host.calls == ['save ipv4', 'save ipv6']
    assert host.saved() == before


def test_a_family_that_the_kernel_lacks() -> None:
    host = MemoryHost(families=['ipv4'])
    assert ruleset_info(Question('palisade', BOTH), host)['warnings'] == ['ipv6 is skipped: the kernel of this host does not have it']
    assert host.calls == ['save ipv4']
    assert ruleset_info(Question('palisade', ['ipv4']), host)['warnings'] == []


@pytest.mark.parametrize('name', ['Web', 'docker', ''])
def test_a_name_that_is_no_rulesets(name: str) -> None:
    with pytest.raises(PalisadeError, match=r'^name: '):
        ruleset_info(Question(name, BOTH), MemoryHost())


# Sizes

def many(number: int) -> Tables:
    """Rules that nothing explains: those that take longest."""
    rules = [('INPUT', '-s 10.0.%d.%d/32 -p tcp -m comment --comment "list %d" -j DROP' % (index // 250, index % 250, index), None)
             for index in range(number)]
    return filter_table(rules)


def test_ten_times_the_rules_take_ten_times_as_long() -> None:
    seconds: Dict[int, float] = {}
    for number in (5_000, 50_000):
        live = many(number)
        seconds[number] = min(_seconds(live) for _attempt in range(3))
    assert seconds[50_000] < 30 * seconds[5_000]
    assert len(info(many(50_000))[1]) == 50_000


def _seconds(live: Tables) -> float:
    begin = time.process_time()
    info(live)
    return time.process_time() - begin
