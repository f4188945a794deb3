#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_transaction.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: iptables_ruleset
short_description: Put a host's iptables rules into a declared state
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Declares rules for any of the tables V(filter), V(nat), V(mangle), V(raw) and V(security), for IPv4 and IPv6 at once,
    and brings the live rules there by the fewest edits, all tables and families or none.
  - The kernel decides what a rule means. Declared rules are loaded where no packet of the host goes (the rehearsal) and saved back,
    and that text is compared with the live rules. Any spelling that iptables accepts is therefore unchanged on the second run,
    and a rule that iptables or the kernel refuses fails there, before anything has changed.
  - Rules live in chains of their own (C(<name>-INPUT) for the rules of C(INPUT)), one jump leads there,
    and what other programs keep in iptables does not move.
extends_documentation_fragment:
  - palisade.netfilter.attributes
options:
  name:
    description:
      - The ruleset's name, which its chains start with. A lower-case letter and up to 11 more of a-z, 0-9 and V(_).
    type: str
    default: palisade
  state:
    description:
      - V(present) makes the live rules as declared.
      - V(absent) removes the ruleset's chains and jumps and gives back the policies that were found at first. Needs O(scope=chains).
        Its persisted files go too, and with the last persisted ruleset of the host the unit and the loader that the roles install.
    type: str
    choices: [present, absent]
    default: present
  tables:
    description:
      - Tables, in them chains, in them C(policy) (V(ACCEPT) or V(DROP), for built-in chains) and C(rules), a list of rules as one would
        give them to C(iptables -A CHAIN). A chain may also be just the list. C(-A CHAIN) in front of a rule is optional.
      - A rule that starts with C(-4) or C(-6) is for that family alone. With both O(families), a rule that plainly belongs to one
        (by its addresses, by icmp or icmpv6, by its C(--reject-with) and the like) goes to that one, and all others go to both.
      - C(only_if_unused) (bool) in a chain leaves that hook alone on hosts where somebody else has rules in it.
    type: dict
  content:
    description:
      - The same as text in the format of C(iptables-restore). C(*table), C(:CHAIN POLICY), C(-N), C(-P), C(-A), C(-I), C(COMMIT) lines
        and comments are read; counters are put aside.
    type: str
  src:
    description:
      - A file on the controller in the format of O(content), looked for in C(files/) as usual.
    type: path
  profile:
    description:
      - Compile the rules from a policy instead, as the role of that name does.
    type: str
    choices: [nat_router, server, workstation]
  policy:
    description:
      - What the profile is to let through. The variables of the roles, less their C(firewall_) prefix.
      - Needs O(profile).
    type: dict
  families:
    description:
      - The families that the declaration is for. With one family, every rule is passed as written.
      - A family that the kernel does not have is skipped with a warning.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  scope:
    description:
      - With V(chains), only chains and jumps of this ruleset change.
      - With V(tables), each declared table becomes exactly what is declared and keeps no other chain or rule;
        chain names are kept as written, and a built-in chain that is not declared is emptied and keeps its policy.
        Tables that are not declared are left alone.
    type: str
    choices: [chains, tables]
    default: chains
  foreign:
    description:
      - What to do about rules of others. With O(scope=chains) this is about rules in declared hooks that no known program explains,
        such as old handwritten ones, which are met before ours. V(warn) warns, V(refuse) fails and lists them, V(keep) says nothing.
      - With O(scope=tables), chains of known programs (Docker, fail2ban, libvirt and so on) are only removed if this is V(remove).
    type: str
    choices: [warn, refuse, keep, remove]
    default: warn
  backend:
    description:
      - Which iptables to use. V(auto) is what C(iptables) is on the host.
      - Rules in both backends at once are refused.
    type: str
    choices: [auto, nft, legacy]
    default: auto
  rehearsal:
    description:
      - Where declared rules are tried out. V(namespace) is a network namespace (needs CAP_SYS_ADMIN);
        V(scratch) is a chain in the live tables that nothing jumps to, removed again; V(none) compares text.
      - V(auto) is V(namespace) where the host permits it, else V(scratch), which check mode does not use unless it is asked for by name.
      - No rehearsal is made where the declared text equals the live rules already.
    type: str
    choices: [auto, namespace, scratch, none]
    default: auto
  persist:
    description:
      - Keep the rules under C(/etc/palisade) too, for the loader C(palisade-firewall), which brings them back at boot.
        The roles install it with a unit for systemd and turn this on.
      - The files hold only what is ours. They change when the live rules have been read back and are as wanted, each at once,
        and the version before is kept.
      - A warning says where no enabled unit would load them.
    type: bool
    default: false
  fallback:
    description:
      - What is loaded at boot when none of the persisted rules can be, in the shape of O(tables). With O(profile) it is compiled from the
        policy (management access, or else ssh as the policy has it, and nothing else that is new).
      - If left out, nobody new is let in. Loopback, connections of the host's own, IPv6's neighbour discovery and DHCP work.
    type: dict
  lock_timeout:
    description:
      - How long to wait for another run on the host, and for the xtables lock, in seconds.
    type: int
    default: 30
notes:
  - Host names in C(-s) and C(-d) are resolved once, on the managed host, when the rules are loaded.
  - The targets IDLETIMER and LED carry names that are global to the kernel, so rehearsing them would touch the live object.
    Their matches are rehearsed and the target is compared as text; write its options as C(iptables-save) prints them.
  - Rules that stay keep their packet and byte counters. A chain in which very many rules move is written anew with the counters it had;
    C(ip6tables-nft-restore) 1.8.9 takes no counters, so there such a chain's start from zero, and a warning says so.
  - Should an apply fail halfway, every table of both families is put back as it was. Should the module be killed halfway, each table
    is old or new, and the next run makes them one again and says so.
  - On the managed host the module needs Python's standard library, iptables and, for rules with sets, ipset.
seealso:
  - module: ansible.builtin.iptables
"""

EXAMPLES = r"""
- name: Let ssh and the web in, and nothing else
  palisade.netfilter.iptables_ruleset:
    tables:
      filter:
        INPUT:
          policy: DROP
          rules:
            - -i lo -j ACCEPT
            - -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
            - -p icmp -j ACCEPT
            - -p icmpv6 -j ACCEPT
            - -p tcp --syn -m multiport --dports ssh,http,https -j ACCEPT

- name: The same from a file that iptables-restore can read
  palisade.netfilter.iptables_ruleset:
    src: web.rules

- name: From a policy, as the role server does
  palisade.netfilter.iptables_ruleset:
    profile: server
    policy:
      services:
        ssh: {}
        https: {}

- name: A clean slate for the nat table, nobody else's rules kept
  palisade.netfilter.iptables_ruleset:
    scope: tables
    families: [ipv4]
    content: |
      *nat
      :POSTROUTING ACCEPT [0:0]
      -A POSTROUTING -o wan0 -j MASQUERADE
      COMMIT

- name: There after a reboot too, and should that fail, ssh from the office
  palisade.netfilter.iptables_ruleset:
    src: web.rules
    persist: true
    fallback:
      filter:
        INPUT:
          policy: DROP
          rules:
            - -i lo -j ACCEPT
            - -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
            - -p icmpv6 -j ACCEPT
            - -s 192.0.2.0/24 -p tcp --syn --dport 22 -j ACCEPT

- name: As if we had never been there
  palisade.netfilter.iptables_ruleset:
    state: absent
"""

RETURN = r"""
plan:
  description: The operations, at most 200 of them. A chain that is rewritten in one go is listed by the same operations.
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
    action:
      description: One of V(insert), V(append), V(delete), V(policy), V(create_chain), V(flush_chain), V(delete_chain).
      type: str
    position:
      description: Where in the chain, from 1, for inserts, appends and deletes. Deletes count in the chain as it was, inserts as it will be.
      type: int
    rule:
      description: The rule in iptables-save's spelling, or the policy.
      type: str
  sample:
    - {family: ipv4, table: filter, chain: palisade-INPUT, action: insert, position: 1, rule: -i lo -j ACCEPT}
plan_total:
  description: How many operations there are in all.
  returned: success
  type: int
  sample: 1
rehearsal:
  description: Where rules were tried out, V(namespace) or V(scratch); V(none) if nothing had to be, V(text) if text was compared instead.
  returned: success
  type: str
  sample: namespace
exact:
  description: Whether the comparison is the kernel's own. V(false) if text was compared.
  returned: success
  type: bool
  sample: true
persisted:
  description: Where the rules are kept for the next boot.
  returned: when O(persist) is on
  type: str
  sample: /etc/palisade/palisade.rules
boot:
  description: What loads them there.
  returned: when O(persist) is on
  type: dict
  contains:
    unit:
      description: The unit C(palisade-firewall.service). V(enabled), V(disabled), V(missing), or V(no systemd) where it cannot be.
      type: str
  sample: {unit: enabled}
backend:
  description: The backend used, V(nft) or V(legacy).
  returned: success
  type: str
  sample: nft
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host import Host
from ansible_collections.palisade.netfilter.plugins.module_utils._transaction import Request, run_ruleset

#: A longer `content` is not repeated in the result.
LONGEST_ECHO = 1_000


def argument_spec() -> dict:
    """The options, as DOCUMENTATION has them."""
    return {
        'name': {'type': 'str', 'default': 'palisade'},
        'state': {'type': 'str', 'choices': ['present', 'absent'], 'default': 'present'},
        'tables': {'type': 'dict'},
        'content': {'type': 'str'},
        'src': {'type': 'path'},
        'profile': {'type': 'str', 'choices': ['nat_router', 'server', 'workstation']},
        'policy': {'type': 'dict'},
        'families': {'type': 'list', 'elements': 'str', 'choices': ['ipv4', 'ipv6'], 'default': ['ipv4', 'ipv6']},
        'scope': {'type': 'str', 'choices': ['chains', 'tables'], 'default': 'chains'},
        'foreign': {'type': 'str', 'choices': ['warn', 'refuse', 'keep', 'remove'], 'default': 'warn'},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
        'rehearsal': {'type': 'str', 'choices': ['auto', 'namespace', 'scratch', 'none'], 'default': 'auto'},
        'persist': {'type': 'bool', 'default': False},
        'fallback': {'type': 'dict'},
        'lock_timeout': {'type': 'int', 'default': 30},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[('tables', 'content', 'src', 'profile')],
        required_by={'policy': ('profile',)},
        supports_check_mode=True,
    )
    options = module.params
    echo = {key: value for key, value in options.items() if key not in ('tables', 'fallback') and len(str(value)) <= LONGEST_ECHO}
    invocation = {'module_args': echo}
    try:
        request = Request(
            name=options['name'], state=options['state'], scope=options['scope'], families=options['families'],
            rehearsal=options['rehearsal'], foreign=options['foreign'], check_mode=module.check_mode, diff_mode=module._diff,
            tables=options['tables'], content=options['content'], persist=options['persist'], fallback=options['fallback'])
        if options['state'] == 'present' and options['tables'] is None and options['content'] is None:
            raise PalisadeError('state: present needs one of tables, content, src or profile')
        result = run_ruleset(request, Host(options['backend'], options['lock_timeout']))
    except PalisadeError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    for warning in result.pop('warnings'):
        module.warn(warning)
    module.exit_json(invocation=invocation, **result)


if __name__ == '__main__':
    main()
