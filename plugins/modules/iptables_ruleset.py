#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: documentation and one call. Its options are in module_utils/_options.py, what it does in _transaction.py and _prover.py."""
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
  - palisade.netfilter.confirmation
  - palisade.netfilter.iptables_ruleset
notes:
  - Host names in C(-s) and C(-d) are resolved once, on the managed host, when the rules are loaded.
  - The targets IDLETIMER and LED carry names that are global to the kernel, so rehearsing them would touch the live object.
    Their matches are rehearsed and the target is compared as text; write its options as C(iptables-save) prints them.
  - Rules that stay keep their packet and byte counters. A chain in which very many rules move is written anew with the counters it had;
    C(ip6tables-nft-restore) 1.8.9 takes no counters, so there such a chain's start from zero, and a warning says so.
  - Should an apply fail halfway, every table of both families is put back as it was. Should the module be killed halfway, each table
    is old or new, and the next run makes them one again and says so.
  - On the managed host the module needs Python's standard library, iptables and, for rules with sets, ipset.
  - Where a change is not confirmed, this ruleset's chains, jumps and policies in all tables of both families are put back, and nothing of others.
    Files of O(persist) change after the confirmation.
  - Proofs by packets need C(ip) of iproute2 there too. Rules with C(limit), C(recent) and the like begin empty in them.
  - Where there is nothing to prove, which is without O(expect) and over a connection that is no network (local, Docker and the like),
    M(palisade.netfilter.iptables_ruleset_unproved) runs in the place of this module. It has the same options and results and less to carry.
seealso:
  - module: ansible.builtin.iptables
  - module: palisade.netfilter.packet_probe
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

- name: Only if these packets come to this
  palisade.netfilter.iptables_ruleset:
    src: web.rules
    expect:
      - {in_interface: eth0, port: 443, verdict: accept}
      - {in_interface: eth0, port: 3306, verdict: drop}
      - - {in_interface: eth0, source: 203.0.113.7, port: 22, verdict: drop}
        - {in_interface: eth0, source: 203.0.113.7, port: 7001}
        - {in_interface: eth0, source: 203.0.113.7, port: 22, verdict: accept}

- name: Back to what was persisted before
  palisade.netfilter.iptables_ruleset:
    state: previous

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
guard:
  description: Whether the connection that Ansible came by is let in again, as a new one.
  returned: success, and if that or a flow is the reason for a failure
  type: dict
  contains:
    state:
      description:
        - V(proved), V(refused), V(overridden) (refused, and O(allow_lockout) is on), V(unproved) if it could not be proved, or V(none)
          where there is nothing to prove.
      type: str
    connection:
      description: The connection.
      returned: if there is one
      type: str
    reason:
      description: Why. Of V(refused) and V(overridden) the packet that would not pass, the rule that decides, and the way to allow it.
      returned: if there is something to say
      type: str
  sample: {state: proved, connection: from 203.0.113.7 port 40022 to 192.0.2.10 port 22}
confirm:
  description: Whether a new connection has confirmed the change.
  returned: when O(confirm_timeout) is not 0 or something changes, not in check mode
  type: dict
  contains:
    state:
      description:
        - V(proved), or V(unproved) where no new connection could prove anything, V(none) if no live rule changes, V(off) if O(confirm_timeout) is 0.
        - Of a failure V(rolled_back) if the host has put back what it had before, V(failed) if that failed, V(gone) if it was restarted
          meanwhile, V(unknown) if it could not be reached any more.
      type: str
    connection:
      description: The new connection.
      returned: with RV(confirm.state=proved)
      type: str
    reason:
      description: Why, or the state that the host is in.
      returned: with any other state
      type: str
  sample: {state: proved, connection: from 203.0.113.7 port 40112 to 192.0.2.10 port 22}
flows:
  description:
    - What became of the flows of O(expect), those of sequences among them, in one list and each as
      M(palisade.netfilter.packet_probe) returns it.
  returned: with O(expect), where it could be proved, and also if that is the reason for a failure
  type: list
  elements: dict
verdict_diff:
  description: The traffic that a change makes another verdict for, or another rewriting.
  returned: with O(verdict_diff) in diff mode, when live rules change
  type: list
  elements: dict
  contains:
    traffic:
      description: What was sent, in words.
      type: str
    families:
      description: V(ipv4), V(ipv6) or both.
      type: list
      elements: str
    before:
      description: What becomes of it by the live rules.
      type: str
    after:
      description: What becomes of it by the wanted ones.
      type: str
    by:
      description: Chain and number of the rule that decides then, or the policy.
      type: list
      elements: str
  sample: [{traffic: tcp 443 from any on eth0, families: [ipv4, ipv6], before: drop, after: accept, by: [palisade-INPUT 7]}]
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

from ansible_collections.palisade.netfilter.plugins.module_utils._confirm import Confirming, RulesHost
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._options import run_module
from ansible_collections.palisade.netfilter.plugins.module_utils._prover import Prover


class SafeHost(RigHost, RulesHost):
    """A host on which a run is proved before, and has to be confirmed after."""


def main() -> None:
    """Run the module."""
    run_module(
        SafeHost,
        lambda host, options: Prover(host, options['expect'], options['allow_lockout'], options['verdict_diff']),
        lambda host, options: Confirming(host, options['confirm_id'], options['confirm_timeout']))


if __name__ == '__main__':
    main()
