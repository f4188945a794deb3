#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_ruleset_info.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: iptables_ruleset_info
short_description: Read a host's live iptables rules as data
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Returns the live rules of IPv4 and IPv6 with their counters, and says of each rule and chain whose it is, as far as names tell.
  - Changes nothing. The filter P(palisade.netfilter.firewall_query#filter) picks from what is returned.
extends_documentation_fragment:
  - palisade.netfilter.attributes
attributes:
  diff_mode:
    support: N/A
    details: Nothing changes, so there is nothing to differ.
options:
  families:
    description:
      - The families to read. One that the kernel does not have is skipped with a warning.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  tables:
    description:
      - The tables to return. If left out or empty, all that are there. A table that no program has used yet is not there.
    type: list
    elements: str
    choices: [filter, nat, mangle, raw, security]
  chains:
    description:
      - The chains to return, by their live names, such as V(INPUT) or V(palisade-INPUT). If left out or empty, all that are there.
      - A chain that is not there is not in the result either; that is no error.
    type: list
    elements: str
  name:
    description:
      - The ruleset whose chains, rules and jumps count as ours, as in O(palisade.netfilter.iptables_ruleset#module:name).
    type: str
    default: palisade
  backend:
    description:
      - Which iptables to ask. V(auto) is what C(iptables) is on the host.
    type: str
    choices: [auto, nft, legacy]
    default: auto
notes:
  - Reading takes root (C(become=true)), as C(iptables-save) does.
  - It fails where the answer would not be whole, as M(palisade.netfilter.iptables_ruleset) does. That is with rules in both backends at once,
    and with tables that hold native nftables rules which iptables cannot represent.
  - Both families are read one after the other, not at the same instant.
  - On hosts with very many rules, O(tables) and O(chains) make the result smaller. The host is asked for all of them in any case.
seealso:
  - module: palisade.netfilter.iptables_ruleset
  - plugin: palisade.netfilter.firewall_query
    plugin_type: filter
"""

EXAMPLES = r"""
# By hand (ANSIBLE_CALLBACK_RESULT_FORMAT=yaml makes it shorter):
# ansible web1.example.org -b -m palisade.netfilter.iptables_ruleset_info -a 'families=ipv4 chains=INPUT'
- name: Read all there is
  palisade.netfilter.iptables_ruleset_info:
  register: live

- name: Fail where rules stand in hooks that nobody explains
  ansible.builtin.assert:
    that: live | palisade.netfilter.firewall_query('unexplained') | length == 0

- name: Read the nat table of IPv4 alone
  palisade.netfilter.iptables_ruleset_info:
    families: [ipv4]
    tables: [nat]
  register: nat

- name: Show which of its rules no packet has met yet
  ansible.builtin.debug:
    msg: "{{ nat | palisade.netfilter.firewall_query('rules[?packets==`0`].[chain, number, rule]') }}"
"""

RETURN = r"""
rules:
  description:
    - The rules. IPv4 comes before IPv6, the tables are in the order V(filter), V(nat), V(mangle), V(raw), V(security),
      and chains and rules are in the order in which C(iptables-save) prints them.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    table:
      description: The table.
      type: str
    chain:
      description: The chain by its live name.
      type: str
    number:
      description: Where in the chain, from 1, as C(iptables -D) takes it.
      type: int
    rule:
      description: The rule in iptables-save's spelling, without C(-A CHAIN).
      type: str
    packets:
      description: How many packets have met it.
      type: int
    bytes:
      description: How many bytes these had.
      type: int
    owner:
      description:
        - Whose it is. The ruleset's O(name) if it is ours, V(palisade ruleset NAME) if it is another ruleset's, or the name of a known program
          (V(Docker), V(fail2ban), V(libvirt), V(Kubernetes), V(ufw), V(firewalld) and so on). V(null) where no name tells.
        - A rule in a program's chain counts as the program's, also one that a person has put there (C(DOCKER-USER) is meant for that).
          Elsewhere the chain that it jumps to, its interfaces and its comment tell.
        - Rules that were made with O(palisade.netfilter.iptables_ruleset#module:scope=tables) have no names that tell.
      type: str
  sample:
    - {family: ipv4, table: filter, chain: INPUT, number: 1, rule: -p tcp -m multiport --dports 22 -j f2b-sshd, packets: 77, bytes: 4620,
       owner: fail2ban}
chains:
  description: The chains, in the same order.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    table:
      description: The table.
      type: str
    chain:
      description: The chain by its live name.
      type: str
    policy:
      description: The policy of a built-in chain, V(null) for any other.
      type: str
    packets:
      description: How many packets have come as far as the policy, V(null) without one. On nft only a policy that somebody has set counts.
      type: int
    bytes:
      description: How many bytes these had.
      type: int
    owner:
      description: Whose it is, in the words of RV(rules[].owner). Built-in chains are nobody's, V(null).
      type: str
    rule_count:
      description: How many rules it has.
      type: int
  sample:
    - {family: ipv4, table: filter, chain: INPUT, policy: DROP, packets: 12, bytes: 720, owner: null, rule_count: 1}
backend:
  description: The backend that was asked, V(nft) or V(legacy).
  returned: success
  type: str
  sample: nft
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._ruleset_info import Question, ruleset_info

#: Reading takes no lock: nothing is waited for.
NO_WAIT = 0


def argument_spec() -> dict:
    """The options, as DOCUMENTATION has them."""
    return {
        'families': {'type': 'list', 'elements': 'str', 'choices': ['ipv4', 'ipv6'], 'default': ['ipv4', 'ipv6']},
        'tables': {'type': 'list', 'elements': 'str', 'choices': ['filter', 'nat', 'mangle', 'raw', 'security']},
        'chains': {'type': 'list', 'elements': 'str'},
        'name': {'type': 'str', 'default': 'palisade'},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    try:
        question = Question(options['name'], options['families'], options['tables'], options['chains'])
        result = ruleset_info(question, Host(options['backend'], NO_WAIT))
    except PalisadeError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop('warnings'):
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == '__main__':
    main()
