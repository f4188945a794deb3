# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs' rules are known by their chains, interfaces and comments; a person's own rules are nobody's."""
from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._goal import Ownership
from ansible_collections.palisade.netfilter.plugins.module_utils._known import (
    PROGRAMS,
    RESERVED_NAMES,
    owner_of_chain,
    owner_of_rule,
)

CHAINS = [
    ('DOCKER', 'Docker'), ('DOCKER-USER', 'Docker'), ('DOCKER-ISOLATION-STAGE-1', 'Docker'), ('DOCKER_OUTPUT', 'Docker'), ('f2b-sshd', 'fail2ban'),
    ('fail2ban-ssh', 'fail2ban'), ('LIBVIRT_INP', 'libvirt'), ('KUBE-SERVICES', 'Kubernetes'), ('CNI-FORWARD', 'CNI'), ('cali-INPUT', 'Calico'),
    ('CILIUM_INPUT', 'Cilium'), ('OLD_CILIUM_INPUT', 'Cilium'), ('FLANNEL-FWD', 'Flannel'), ('ts-input', 'Tailscale'),
    ('ufw-before-input', 'ufw'), ('ufw6-user-input', 'ufw'), ('INPUT_direct', 'firewalld'), ('IN_public', 'firewalld'),
    ('NETAVARK_FORWARD', 'podman'),
    ('lxd_input', 'LXD or Incus'), ('wg-quick-wg0', 'wg-quick'), ('sshguard', 'SSHGuard'), ('CROWDSEC_CHAIN', 'CrowdSec'),
    ('nm-sh-in-wlan0', 'NetworkManager'),
    ('INPUT', None), ('WEB', None), ('docker', None), ('MY-DOCKER', None), ('palisade-INPUT', None), ('sshguard2', None), ('f2b', None),
]


@pytest.mark.parametrize(('chain', 'program'), CHAINS)
def test_a_chain_belongs_to_the_program_that_names_chains_so(chain: str, program: Optional[str]) -> None:
    assert owner_of_chain(chain) == program


def test_every_known_program_is_found_by_a_chain() -> None:
    assert {program for _chain, program in CHAINS if program} == {program.name for program in PROGRAMS}


@pytest.mark.parametrize(('rule', 'program'), [
    ('-p tcp -m multiport --dports 22 -j f2b-sshd', 'fail2ban'),
    ('-j DOCKER-USER', 'Docker'),
    ('-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', 'Docker'),
    ('-i br-0123456789ab ! -o br-0123456789ab -j ACCEPT', 'Docker'),
    ('-i virbr0 -p udp -m udp --dport 53 -j ACCEPT', 'libvirt'),
    ('-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD', 'Kubernetes'),
    ('-m comment --comment "wg-quick(8) rule for wg0" -j CONNMARK --restore-mark', 'wg-quick'),
    ('-m comment --comment "generated for LXD network lxdbr0" -j ACCEPT', 'LXD or Incus'),
    ('-i tailscale0 -j ACCEPT', 'Tailscale'),
    ('-i podman1 -j ACCEPT', 'podman'),
    ('-m comment --comment nm-shared-eth0 -j ACCEPT', 'NetworkManager'),
    ('-m comment --comment web -j web-INPUT', 'palisade ruleset web'),
    ('-m comment --comment "web: policy was DROP" -j web-FORWARD', 'palisade ruleset web'),
    ('-m comment --comment web -j other-INPUT', None),
    ('-p tcp -m tcp --dport 22 -j ACCEPT', None),
    ('-i br-lan -j ACCEPT', None),
    ('-i docker01 -j ACCEPT', None),
    ('-m comment --comment "not -j DOCKER-USER" -j ACCEPT', None),
    ('-j REJECT --reject-with icmp-host-prohibited', None),
    ('', None),
])
def test_a_rule_belongs_to_the_program_that_put_it_there(rule: str, program: Optional[str]) -> None:
    assert owner_of_rule(rule) == program


@pytest.mark.parametrize('policy', [None, 'ACCEPT', 'DROP'])
@pytest.mark.parametrize('hook', ['INPUT', 'POSTROUTING'])
def test_another_rulesets_jump_is_explained(policy: Optional[str], hook: str) -> None:
    assert owner_of_rule(Ownership('web_1', 'chains').jump_rule(hook, policy)) == 'palisade ruleset web_1'


@pytest.mark.parametrize('chain', [chain for chain, program in CHAINS if program and chain[0].islower() and '-' in chain and chain == chain.lower()])
def test_the_prefix_of_a_known_programs_chains_is_no_name_for_a_ruleset(chain: str) -> None:
    assert chain.partition('-')[0].partition('_')[0] in RESERVED_NAMES
