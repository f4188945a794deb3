#!/usr/bin/python
# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: argument spec, documentation, and one call. What it does is in module_utils/_sysctl_transaction.py."""
from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_hardening
short_description: Put the kernel's settings around the firewall into a declared state
version_added: 0.1.0
author:
  - palisade.netfilter contributors (@palisade)
description:
  - Declares kernel settings (sysctls) by a profile, by the set of a benchmark, one by one, or by all three. Brings the running kernel and one
    file that is read at boot into that state, all keys in one go.
  - It knows what a value means. The kernel keeps C(net.ipv4.conf) keys three times, for V(all), for V(default) and for each interface, and joins
    V(all) and the interface's own by a rule of its own for each key. What is declared here is the value in effect, and V(all), V(default) and
    the interfaces are written as that takes. Interfaces that come later have it too.
  - Values are checked before anything is written, written straight into C(/proc/sys), and read back. If one of them fails, those already written
    are put back.
  - If Ansible cannot come in anew by the new values, as where a strict C(rp_filter) drops what comes by another way than the answer goes, the host
    puts the former ones back by itself (O(confirm_timeout)).
  - The table of the profiles, with the reason for each value, is in the collection's C(docs/kernel.md).
extends_documentation_fragment:
  - palisade.netfilter.attributes
  - palisade.netfilter.confirmation
options:
  profile:
    description:
      - The settings that suit a machine of this kind. Without it, only what the other options say is declared.
      - A profile gives way in two cases, and says so in the result (V(kept)). It does not switch forwarding off where Docker, libvirt, Kubernetes,
        podman or LXD run, and it leaves C(net.ipv6.conf.*.accept_ra) alone where IPv6 routes have been learned from routers. O(settings) decides
        otherwise.
    type: str
    choices: [workstation, server, router]
  compliance:
    description:
      - V(cis) puts the values of the CIS Debian Benchmark's section on network parameters over those of the profile, literally. Routers keep
        forwarding, as the benchmark has it.
    type: str
    choices: [none, cis]
    default: none
  settings:
    description:
      - Keys and their values, which win over O(profile) and O(compliance). A key may be any below C(/proc/sys), with dots or with slashes.
      - C(net.ipv4.conf.all.X) and C(net.ipv4.conf.*.X) mean the value in effect on every interface, now and later.
        C(net.ipv4.conf.default.X) means interfaces to come, C(net.ipv4.conf.eth0.X) that one interface.
      - V(null) leaves a key alone, also if the profile has it.
      - Numbers are decimal, or hexadecimal with C(0x). A zero in front, which the kernel takes for octal, is refused for keys that take a number.
    type: dict
    default: {}
  interfaces:
    description:
      - Interfaces and what they have otherwise, such as ppp0 with C(ipv4.rp_filter) V(2). The others keep what is declared for all.
      - An interface need not be there yet. What is declared for it waits in the file.
      - V(null) leaves the interface's own value alone. What is in V(all) still counts for it.
    type: dict
    default: {}
  state:
    description:
      - V(absent) takes our file away. Its keys get what the remaining files say, and where none says anything what the kernel starts with, as far
        as that is known here. Others stay as they are until the next boot. The other options do not matter then.
      - The same becomes of single keys that are no longer declared.
    type: str
    choices: [present, absent]
    default: present
  persist:
    description:
      - Whether to write C(/etc/sysctl.d/99-zz-palisade.conf). If V(false), that file stays as it is.
    type: bool
    default: true
  runtime:
    description:
      - Whether to write the running kernel's settings.
    type: bool
    default: true
  on_missing:
    description:
      - What to do about a key that this kernel does not have. V(skip) writes it to the file and says so, V(fail) fails before anything changes.
      - If left out, it is as V(skip) for keys of the profile and for keys that are known to exist in some kernels. Any other key of O(settings) is
        taken for a typing error and refused.
    type: str
    choices: [skip, fail]
notes:
  - In an ordinary container C(/proc/sys) cannot be written. That is no failure and no change. The keys are V(readonly), a warning lists them, and the
    file is written.
  - With the values that are written, those are put back that the kernel has moved because of them, as forwarding moves other keys. The file
    changes after the confirmation; a change of the file alone needs none.
  - When forwarding is switched, the kernel resets C(net.ipv4.conf.all.accept_redirects). So forwarding is written first.
  - C(systemd-networkd), NetworkManager and C(/etc/network/interfaces) may set keys of interfaces on their own. They are not looked into.
seealso:
  - module: palisade.netfilter.iptables_ruleset
  - module: ansible.posix.sysctl
"""

EXAMPLES = r"""
- name: A server
  palisade.netfilter.sysctl_hardening:
    profile: server

- name: A router by two providers, with a LAN that gets no redirects and a VPN
  palisade.netfilter.sysctl_hardening:
    profile: router
    settings:
      net.ipv4.conf.all.rp_filter: 2
      net.ipv4.tcp_ecn: 0
    interfaces:
      eth1.100:
        ipv4.log_martians: 0

- name: What the benchmark asks for, less one key
  palisade.netfilter.sysctl_hardening:
    profile: server
    compliance: cis
    settings:
      net.ipv4.conf.all.log_martians: null

- name: As if we had never been there
  palisade.netfilter.sysctl_hardening:
    state: absent
"""

RETURN = r"""
keys:
  description:
    - What became of each key. On a failure, the key that the kernel did not take.
  returned: success, and if the kernel does not take a value
  type: list
  elements: dict
  contains:
    key:
      description: The key. C(all) stands for every interface.
      type: str
    wanted:
      description: The declared value, V(null) for a key that is left alone or given back.
      type: str
    state:
      description:
        - V(ok), V(changed), or V(restored) for one that is no longer declared.
        - V(missing) where this kernel does not have the key or the interface.
        - V(readonly) where it should change and C(/proc/sys) cannot be written.
        - V(shadowed) where it has the value now, but RV(keys[].shadowed_by) gives it another one.
        - V(kept) where it is left alone.
        - V(rejected) where the kernel does not take the value, which is a failure.
      type: str
    changed:
      description: Whether it was written (in check mode would be), on any interface.
      type: bool
    before:
      description: The value of this very key before.
      type: str
    after:
      description: The value of this very key then. It may differ from RV(keys[].wanted) where an interface has a value of its own.
      type: str
    effective:
      description:
        - The value in effect then, by interface. C(default) is interfaces to come. Of more than 50 interfaces only those are listed that
          are not as declared.
      returned: for keys of C(net.ipv4.conf) and C(net.ipv6.conf)
      type: dict
    effective_elsewhere:
      description: How many interfaces are not listed, and the value in effect there.
      returned: if there are such
      type: dict
    reason:
      description: Why the profile wants it, or why it is left alone.
      type: str
    source:
      description: Who says so.
      type: str
    shadowed_by:
      description: Files and lines that set another value, and when.
      returned: if there are such
      type: list
      elements: str
  sample:
    - key: net.ipv4.conf.all.rp_filter
      wanted: "1"
      state: changed
      changed: true
      before: "2"
      after: "1"
      effective: {default: "1", eth0: "1", lo: "1"}
      reason: drops forged sources
      source: RFC 3704
confirm:
  description: Whether a new connection has confirmed the change.
  returned: success, not in check mode, and of a failure if the change was made
  type: dict
  contains:
    state:
      description:
        - V(proved), or V(unproved) where no new connection could prove anything, V(none) if no value changes in the running kernel, V(off) if
          O(confirm_timeout) is 0.
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_seconds import check_seconds
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_sysctl import SysctlHost
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_confirm import ConfirmingSettings
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_transaction import Request, run_sysctl


def argument_spec() -> dict:
    """The options, as DOCUMENTATION has them."""
    return {
        'profile': {'type': 'str', 'choices': ['workstation', 'server', 'router']},
        'compliance': {'type': 'str', 'choices': ['none', 'cis'], 'default': 'none'},
        'settings': {'type': 'dict', 'default': {}},
        'interfaces': {'type': 'dict', 'default': {}},
        'state': {'type': 'str', 'choices': ['present', 'absent'], 'default': 'present'},
        'persist': {'type': 'bool', 'default': True},
        'runtime': {'type': 'bool', 'default': True},
        'on_missing': {'type': 'str', 'choices': ['skip', 'fail']},
        'confirm_timeout': {'type': 'int', 'default': 60},
        'confirm_id': {'type': 'str', 'default': ''},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = dict(module.params)
    token, seconds = options.pop('confirm_id'), options.pop('confirm_timeout')
    invocation = {'module_args': {**options, 'confirm_timeout': seconds}}
    try:
        check_seconds(seconds)
        host = SysctlHost()
        result = run_sysctl(Request(check_mode=module.check_mode, **options), host, ConfirmingSettings(host, token, seconds))
    except PalisadeError as error:
        module.fail_json(msg=str(error), invocation=invocation, **getattr(error, 'result', {}))
    for warning in result.pop('warnings'):
        module.warn(warning)
    module.exit_json(invocation=invocation, **result)


if __name__ == '__main__':
    main()
