#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_modules_run.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_modules
short_description: Put a host's kernel modules into a declared state, now and at boot
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Loads, unloads and blocks kernel modules, gives them options, and keeps that for the next boots in files of its own.
  - Old names, such as V(ip_conntrack) and V(ipt_LOG), are understood as what they are called today. A module that is built into the kernel
    counts as loaded.
  - Where nothing can be loaded (in containers, on kernels without modules, without files for the running kernel) the files are written,
    the result says V(unmanageable), and the next run changes nothing.
  - Whatever is done is looked at afterwards. Should anything have come out otherwise, everything is put back and the module fails.
extends_documentation_fragment:
  - palisade.netfilter.attributes
options:
  modules:
    description:
      - The modules, each as a name or as a dictionary with V(name), V(state) (V(loaded), V(unloaded) or V(blocked), by default V(loaded)),
        V(options) and V(persist).
      - V(loaded) is loaded now and at boot. V(unloaded) is not loaded now, and nothing keeps it from being loaded later.
        V(blocked) is not loaded now and cannot be by C(modprobe), neither by its name nor by an alias nor as what another module needs.
      - V(options) are the module's parameters, as a dictionary or as a text such as V(hashsize=16384). They are given when it is loaded.
        If it is loaded already, parameters that the kernel lets one write are written, and of others the result says that a reload is needed.
      - V(persist=false) leaves a module out of the files. It is of no use for V(blocked).
      - What is here about a module goes before what O(profile), O(helpers) and O(tables) say of it.
      - A module that is no longer in the list leaves the files. It is not unloaded.
    type: list
    elements: raw
    default: []
  profile:
    description:
      - Load what the role of that name needs on any host. That is V(nf_conntrack).
    type: str
    choices: [nat_router, server, workstation]
  policy:
    description:
      - What O(palisade.netfilter.iptables_ruleset#module:policy) takes. From it and O(profile) come O(tables), O(families) and O(helpers),
        as far as the task does not have them. It is compiled on the controller.
      - Needs O(profile).
    type: dict
  tables:
    description:
      - The tables of iptables in use. On a host whose backend is legacy, their modules are loaded, since the unit that loads the rules at
        boot is not permitted to load modules.
    type: list
    elements: str
    choices: [filter, nat, mangle, raw, security]
    default: []
  families:
    description:
      - The families that these tables are for.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  helpers:
    description:
      - The helpers of connection tracking that rules assign, as in C(-j CT --helper ftp). Their modules are loaded, and their other halves
        if V(nat) is in O(tables).
    type: list
    elements: str
    choices: [Q.931, RAS, amanda, ftp, irc, netbios-ns, pptp, sane, sip, snmp, tftp]
    default: []
  backend:
    description:
      - Which iptables O(tables) is about. V(auto) is what C(iptables) is on the host.
    type: str
    choices: [auto, nft, legacy]
    default: auto
  state:
    description:
      - V(present) makes it as declared.
      - V(absent) removes the files that this module has written. Nothing is unloaded, and nothing that was blocked is loaded.
    type: str
    choices: [present, absent]
    default: present
  persist:
    description:
      - Keep it for the next boots. With V(false) the files are left as they are, and nothing can be blocked.
    type: bool
    default: true
notes:
  - It owns the files C(/etc/modules-load.d/palisade.conf), C(/etc/modprobe.d/palisade.conf) and C(/etc/modprobe.d/00-palisade.conf), whole.
    What else is there is read, and told where it is in the way.
  - C(insmod) and C(modprobe --ignore-install) load a blocked module all the same. So does an initramfs that was made before and has it.
  - A module is unloaded alone. What it needed stays.
  - On the managed host the module needs Python's standard library and, where something changes, C(modprobe) and C(rmmod) of kmod.
seealso:
  - module: palisade.netfilter.iptables_ruleset
  - module: community.general.modprobe
"""

EXAMPLES = r"""
- name: Load connection tracking with a larger table, and the helper for ftp
  palisade.netfilter.kernel_modules:
    modules:
      - name: nf_conntrack
        options:
          hashsize: 65536
      - nf_conntrack_ftp

- name: The same by the names of old
  palisade.netfilter.kernel_modules:
    modules:
      - name: ip_conntrack
        options: hashsize=65536
      - ip_conntrack_ftp

- name: Keep protocols that nobody uses out of the kernel
  palisade.netfilter.kernel_modules:
    modules:
      - {name: dccp, state: blocked}
      - {name: sctp, state: blocked}
      - {name: rds, state: blocked}
      - {name: tipc, state: blocked}

- name: What a policy needs, and one module more
  palisade.netfilter.kernel_modules:
    profile: nat_router
    policy:
      helpers: [ftp]
      lan: {home: {interfaces: [eth1], networks: [192.0.2.0/24]}}
      wan: {internet: {interfaces: [eth0]}}
    modules:
      - xt_set

- name: As if we had never been there, from the next boot on
  palisade.netfilter.kernel_modules:
    state: absent
"""

RETURN = r"""
files:
  description: Those of our files that change.
  returned: success
  type: list
  elements: str
  sample: [/etc/modules-load.d/palisade.conf]
modules:
  description: The modules, the operator's own first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name on this host.
      type: str
    asked:
      description: Its name as it was written.
      type: str
    wanted:
      description: V(loaded), V(unloaded) or V(blocked), as declared.
      type: str
    state:
      description:
        - How it is after the run, or would be after one in check mode.
        - V(loaded), V(built_in), V(unloaded), V(blocked), V(missing) (this kernel does not have it) or V(unmanageable) (nothing can be done
          about it or known of it here, see RV(modules[].reason)).
      type: str
    before:
      description: How it was before, in the same words.
      type: str
    changed:
      description: Whether it changes, or its lines in the files do.
      type: bool
    options:
      description: Each declared parameter, with its value V(before) and V(after). V(null) is not known.
      type: dict
    reload_needed:
      description: Whether an option takes effect only when the module is loaded anew.
      type: bool
    reason:
      description: Why it is wanted, where it was not the operator who asked for it, why it has another name, and why it is not as wanted.
      type: str
  sample:
    - {name: nf_conntrack, asked: ip_conntrack, wanted: loaded, state: loaded, before: unloaded, changed: true,
       options: {hashsize: {before: null, after: "65536"}}, reload_needed: false,
       reason: "ip_conntrack is nf_conntrack today: connection tracking serves both families since 2.6.20"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_modules import ModulesHost
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_run import Request, run_modules


def argument_spec() -> dict:
    """The options, as DOCUMENTATION has them."""
    return {
        'modules': {'type': 'list', 'elements': 'raw', 'default': []},
        'profile': {'type': 'str', 'choices': ['nat_router', 'server', 'workstation']},
        'policy': {'type': 'dict'},
        'tables': {'type': 'list', 'elements': 'str', 'choices': ['filter', 'nat', 'mangle', 'raw', 'security'], 'default': []},
        'families': {'type': 'list', 'elements': 'str', 'choices': ['ipv4', 'ipv6'], 'default': ['ipv4', 'ipv6']},
        'helpers': {'type': 'list', 'elements': 'str', 'default': [], 'choices': [
            'Q.931', 'RAS', 'amanda', 'ftp', 'irc', 'netbios-ns', 'pptp', 'sane', 'sip', 'snmp', 'tftp']},
        'backend': {'type': 'str', 'choices': ['auto', 'nft', 'legacy'], 'default': 'auto'},
        'state': {'type': 'str', 'choices': ['present', 'absent'], 'default': 'present'},
        'persist': {'type': 'bool', 'default': True},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), required_by={'policy': ('profile',)}, supports_check_mode=True)
    options = {key: value for key, value in module.params.items() if key != 'policy'}
    try:
        result = run_modules(Request(check_mode=module.check_mode, **options), ModulesHost())
    except PalisadeError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop('warnings'):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == '__main__':
    main()
