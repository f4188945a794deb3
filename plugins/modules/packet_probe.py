#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_probe.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: packet_probe
short_description: Ask a host what its iptables rules do with a packet
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Sends a packet through a copy of the live rules and says what became of it, which rule decided, the path through the tables,
    and what nat wrote into it.
  - The packet is real and so is the kernel that judges it, but neither meets the host. In a network namespace of its own there are
    interfaces, addresses, routes, settings and ipsets as the host has them, and a copy of its rules; the packet goes in there, as a frame
    on a wire or from a socket. The verdict is read from the rules' counters and must agree with whether the packet came out.
  - Nothing of the host changes, in check mode or not.
extends_documentation_fragment:
  - palisade.netfilter.attributes
options:
  hook:
    description:
      - Where the packet goes. V(input) comes in by O(in_interface) for the host itself, V(forward) comes in by O(in_interface) and leaves
        by O(out_interface), V(output) is sent by the host.
      - If left out, it is told from the interfaces and addresses that are given.
    type: str
    choices: [input, forward, output]
  in_interface:
    description:
      - The interface that the packet comes in by. If left out, the one that leads to O(source), or the one of O(destination),
        or that of the default route.
      - One that the host does not have is made for the proof.
    type: str
  out_interface:
    description:
      - The interface that the packet leaves by. The host's own routes decide, and if they say another one, that is an error.
        One that the host does not have is made for the proof, with a route to the destination.
    type: str
  source:
    description:
      - The address that the packet comes from. If left out, a neighbour on O(in_interface), or an address of nowhere
        (198.51.100.7, 2001:db8:51::7) where the default route leads; for V(output) the address that the host would take.
    type: str
  source_port:
    description:
      - The port it comes from. If left out, 40000, and one more for each further packet of O(count).
    type: int
  source_mac:
    description:
      - The Ethernet address it comes from.
    type: str
  destination:
    description:
      - The address it goes to. If left out, the host's own on O(in_interface), or for V(forward) and V(output) a neighbour on
        O(out_interface) or an address of nowhere (203.0.113.7, 2001:db8:113::7).
    type: str
  protocol:
    description:
      - The protocol. If left out, V(tcp), or ICMP where O(icmp_type) is given.
    type: str
    choices: [tcp, udp, icmp, ipv6-icmp]
  port:
    description:
      - The port it goes to. Needed with V(tcp) and V(udp).
    type: int
  icmp_type:
    description:
      - The ICMP type, as a name that iptables knows, a number, or type/code. If left out, V(echo-request).
    type: str
  flags:
    description:
      - The TCP flags that are set, or V(NONE). If left out, V(SYN), and V(ACK) for an established connection.
    type: list
    elements: str
  state:
    description:
      - V(new) is the first packet of a connection. For V(established) the connection is opened first, with nothing but nat in its way,
        and the packet that is judged comes from the side that opened it.
    type: str
    choices: [new, established]
  count:
    description:
      - How many such packets are sent, up to 1000. The last one is judged. For rules with C(limit), C(recent) and the like, which begin empty.
    type: int
  wait:
    description:
      - Seconds that pass before the packet is sent, up to 600. For rules that remember for a time, such as a knock's window or a rate limit.
    type: float
  uid:
    description:
      - The user, name or number, that sends a packet of hook V(output).
    type: str
  verdict:
    description:
      - What is expected. If it is otherwise, the module fails and says what was found and which rule decided.
    type: str
    choices: [accept, drop, reject]
  rewritten_source:
    description:
      - The source that nat is expected to give the packet, as V(address), V(address:port) or V([address]:port).
    type: str
  rewritten_destination:
    description:
      - The destination that nat is expected to give the packet.
    type: str
  flows:
    description:
      - Several packets, each a dictionary of the options above, which meets a fresh copy of the rules.
      - An element that is a list of such dictionaries is a sequence. Its packets go in order through one copy, so that what the first
        ones leave behind (port knocking, rate limits, a connection half open) counts for the next.
    type: list
    elements: raw
  backend:
    description:
      - Which iptables to ask. V(auto) is what C(iptables) is on the host.
    type: str
    choices: [auto, nft, legacy]
    default: auto
notes:
  - Needs root, C(ip) of iproute2 and, for rules with sets, C(ipset) on the managed host, and leave to make network namespaces (CAP_SYS_ADMIN).
    Without that leave it fails and says so.
  - What a copy cannot have ends in an error that names the rule, where a packet meets such a rule
    (C(-m physdev), C(-m statistic), C(-j NFQUEUE) and some more).
  - C(limit), C(hashlimit), C(recent) and C(connlimit) begin empty in the copy, so O(count) is counted from nothing.
  - Native nftables base chains beside iptables' own, and policy routing, are not part of the copy. Where they are there, a warning says so.
seealso:
  - module: palisade.netfilter.iptables_ruleset
"""

EXAMPLES = r"""
- name: Does ssh get through from the office?
  palisade.netfilter.packet_probe:
    in_interface: eth0
    source: 203.0.113.7
    port: 22

- name: Insist on it
  palisade.netfilter.packet_probe:
    in_interface: eth0
    source: 203.0.113.7
    port: 22
    verdict: accept

- name: What a router is to do
  palisade.netfilter.packet_probe:
    flows:
      - {in_interface: lan0, out_interface: wan0, port: 443, verdict: accept, rewritten_source: 192.0.2.1}
      - {in_interface: wan0, out_interface: lan0, port: 22, verdict: drop}
      - {in_interface: wan0, protocol: icmp, verdict: accept}
      - {in_interface: wan0, destination: "2001:db8::1", port: 80, verdict: reject}
      - {out_interface: wan0, port: 25, uid: www-data, verdict: reject}

- name: ssh opens after a knock
  palisade.netfilter.packet_probe:
    flows:
      - - {in_interface: eth0, source: 203.0.113.7, port: 22, verdict: drop}
        - {in_interface: eth0, source: 203.0.113.7, port: 7001, verdict: drop}
        - {in_interface: eth0, source: 203.0.113.7, port: 22, verdict: accept}
        - {in_interface: eth0, source: 203.0.113.7, port: 22, wait: 31, verdict: drop}

- name: The whole handshake of an ssh connection
  palisade.netfilter.packet_probe:
    flows:
      - - {in_interface: eth0, source: 203.0.113.7, source_port: 40000, port: 22, verdict: accept}
        - {hook: output, source_port: 22, destination: 203.0.113.7, port: 40000, flags: "SYN,ACK", verdict: accept}
        - {in_interface: eth0, source: 203.0.113.7, source_port: 40000, port: 22, flags: ACK, verdict: accept}
"""

RETURN = r"""
verdict:
  description: V(accept), V(drop) or V(reject).
  returned: success, without O(flows)
  type: str
  sample: accept
rule:
  description:
    - The rule that decided, or the policy. Of an accepted packet, what the filter table has said.
    - Empty where no rule decided, such as where the kernel has no route for the packet; RV(reason) says which.
  returned: success, without O(flows)
  type: dict
  contains:
    table:
      description: The table.
      type: str
    chain:
      description: The chain.
      type: str
    number:
      description: The rule's number in it, from 1.
      type: int
    rule:
      description: The rule as iptables-save has it.
      type: str
    policy:
      description: The policy, if that decided and no rule.
      type: str
  sample: {table: filter, chain: INPUT, number: 4, rule: -p tcp -m tcp --dport 22 -j ACCEPT}
reason:
  description: The same in words.
  returned: success, without O(flows)
  type: str
  sample: "rule 4 of INPUT, table filter: -p tcp -m tcp --dport 22 -j ACCEPT"
path:
  description: Every rule that the packet fitted on its way, in order and each like RV(rule), and the policies of chains that are not empty.
  returned: success, without O(flows)
  type: list
  elements: dict
hook:
  description: The way it went, V(input), V(forward) or V(output). What nat sends elsewhere goes another way than it was meant to.
  returned: success, without O(flows)
  type: str
  sample: input
out_interface:
  description: The interface that it left by.
  returned: success, without O(flows), if it left
  type: str
  sample: wan0
rewritten_source:
  description: The source that nat gave it.
  returned: success, without O(flows), if nat did
  type: str
  sample: 192.0.2.1:40000
rewritten_destination:
  description: The destination that nat gave it.
  returned: success, without O(flows), if nat did
  type: str
  sample: 10.1.0.80:80
verdicts:
  description: The verdict of each packet, in order.
  returned: success, without O(flows), with O(count) above 1
  type: list
  elements: str
  sample: [accept, accept, drop]
flow:
  description: The packet in full, with everything that was filled in.
  returned: success, without O(flows)
  type: dict
assumed:
  description: What the host does not have and was made for the proof.
  returned: success, without O(flows)
  type: list
  elements: str
  sample: ["wan0 is there, up and with IPv4"]
flows:
  description: For each of O(flows) in order, those of sequences one by one, a dictionary of all of the above.
  returned: success, with O(flows)
  type: list
  elements: dict
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import KEYS
from ansible_collections.palisade.netfilter.plugins.module_utils._host_rig import RigHost
from ansible_collections.palisade.netfilter.plugins.module_utils._probe import probe


def argument_spec() -> Dict[str, Any]:
    """The options, as DOCUMENTATION has them."""
    return {
        'hook': {'type': 'str', 'choices': ['input', 'forward', 'output']},
        'in_interface': {'type': 'str'},
        'out_interface': {'type': 'str'},
        'source': {'type': 'str'},
        'source_port': {'type': 'int'},
        'source_mac': {'type': 'str'},
        'destination': {'type': 'str'},
        'protocol': {'type': 'str', 'choices': ['tcp', 'udp', 'icmp', 'ipv6-icmp']},
        'port': {'type': 'int'},
        'icmp_type': {'type': 'str'},
        'flags': {'type': 'list', 'elements': 'str'},
        'state': {'type': 'str', 'choices': ['new', 'established']},
        'count': {'type': 'int'},
        'wait': {'type': 'float'},
        'uid': {'type': 'str'},
        'verdict': {'type': 'str', 'choices': ['accept', 'drop', 'reject']},
        'rewritten_source': {'type': 'str'},
        'rewritten_destination': {'type': 'str'},
        'flows': {'type': 'list', 'elements': 'raw'},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[('flows', key) for key in KEYS],
        supports_check_mode=True,
    )
    options = module.params
    one = {key: options[key] for key in KEYS if options[key] is not None}
    try:
        outcome = probe(RigHost(options['backend'], 0), one, options['flows'])
    except PalisadeError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    result: Dict[str, Any] = {'flows': outcome.results} if options['flows'] is not None else dict(outcome.results[0])
    if outcome.failure:
        module.fail_json(msg=outcome.failure, changed=False, **result)
    module.exit_json(changed=False, **result)


if __name__ == '__main__':
    main()
