# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs that keep rules in iptables, as data: how their chains, interfaces and comments look."""
from __future__ import annotations

import re
from typing import NamedTuple, Optional

from ansible_collections.palisade.netfilter.plugins.module_utils._rule import saved_target


class Program(NamedTuple):
    """A program by the names of its chains and, where it puts bare rules into hooks, by what is in those rules.

    Both are patterns as text: compiling all of them would take longer than a run that never needs one.
    """

    name: str
    chains: str
    rules: Optional[str] = None


PROGRAMS = (
    Program('Docker', r'DOCKER(?:-.*|_.*)?', r'-[io] (?:docker0|docker_gwbridge|br-[0-9a-f]{12})\b'),
    Program('fail2ban', r'(?:f2b|fail2ban)-.*'),
    Program('libvirt', r'LIBVIRT_.*', r'-[io] virbr\d+\b'),
    Program('Kubernetes', r'KUBE-.*', r'--comment "?kubernetes'),
    Program('CNI', r'CNI-.*', r'-[io] cni0\b'),
    Program('Calico', r'cali-.*'),
    Program('Cilium', r'(?:OLD_)?CILIUM_.*'),
    Program('Flannel', r'FLANNEL-.*', r'--comment "?flanneld'),
    Program('Tailscale', r'ts-.*', r'-[io] tailscale\d+\b'),
    Program('ufw', r'ufw6?-.*'),
    Program('firewalld', r'(?:INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)_(?:direct|ZONES|ZONES_SOURCE)|(?:IN|FWDI|FWDO|FWD|PRE|POST)_.*'),
    Program('podman', r'NETAVARK.*', r'-[io] podman\d+\b'),
    Program('LXD or Incus', r'lxd_.*|incus_.*', r'--comment "generated for (?:LXD|Incus) network|-[io] (?:lxdbr|incusbr|lxcbr)\d+\b'),
    Program('wg-quick', r'wg-quick.*', r'--comment "wg-quick\(8\) rule for'),
    Program('SSHGuard', r'sshguard'),
    Program('CrowdSec', r'CROWDSEC.*|crowdsec.*'),
    Program('NetworkManager', r'nm-sh-.*', r'--comment "?nm-shared'),
)

#: First parts of chain names that a ruleset's own name must not take.
RESERVED_NAMES = frozenset(('f2b', 'fail2ban', 'ts', 'ufw', 'ufw6', 'cali', 'lxd', 'incus', 'docker', 'nm', 'sshguard', 'crowdsec', 'wg', 'kube',
                            'cni', 'libvirt', 'podman', 'netavark'))

_PALISADE_JUMP = re.compile(r'-m comment --comment "?([a-z][a-z0-9_]{0,11})(?:: policy was \w+)?"? -j \1-[A-Z]+\Z')


def owner_of_chain(chain: str) -> Optional[str]:
    """The program that a chain of this name belongs to, as far as names tell; None where none is known."""
    for program in PROGRAMS:
        if re.fullmatch(program.chains, chain):
            return program.name
    return None


def owner_of_rule(rule: str) -> Optional[str]:
    """The program that put a saved rule into a hook, by its target, its interfaces or its comment; None where none is known."""
    target = saved_target(rule)
    owner = owner_of_chain(target) if target else None
    if owner is not None:
        return owner
    for program in PROGRAMS:
        if program.rules is not None and re.search(program.rules, rule):
            return program.name
    ours = _PALISADE_JUMP.search(rule)
    return 'palisade ruleset %s' % ours.group(1) if ours else None
