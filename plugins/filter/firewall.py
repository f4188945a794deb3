# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read a host's `firewall_*` variables and show what they come to. They touch no host."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_declared import declare as declare_modules
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_access import (
    CLOSED,
    LIMITED,
    access,
    admits,
    read_ssh_connection,
    unsure,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_kernel import SYSCTL_PROFILES, kernel_settings
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_model import Policy, read_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_text import tables_text
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import (
    RoleVariables,
    management_port,
    read_variables,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import declare as declare_sysctls

# Connection plugins that reach the host through its own sshd, without their collection's name.
SSH_CONNECTIONS = ("libssh", "paramiko", "paramiko_ssh", "smart", "ssh")

CLOSED_TO_ALL = (
    "Nothing in the policy lets Ansible's own connection back in (tcp port {port}). "
    "Add `firewall_services: {{ssh: {{ports: {port}}}}}`, or `firewall_management: {{from: [your address]}}`; "
    "or set `firewall_allow_lockout: true` if that is meant."
)
CLOSED_TO_CLIENT = (
    "Nothing in the policy lets {address} back in, from which Ansible is connected to tcp port {port}. "
    "Add it to the `from` of a service on that port, or add `firewall_management: {{from: [{address}]}}`; "
    "or set `firewall_allow_lockout: true` if that is meant."
)

#: What firewall_policy returns beside the problem where there is one.
NOTHING: Mapping[str, Any] = {
    "access": "", "beside": [], "modules": [], "persist": False, "policy": {}, "profile": "",
    "sysctl": {"compliance": "none", "interfaces": {}, "profile": "", "settings": {}},
}


def firewall_policy(variables: Mapping[str, Any], connection: str = "local", port: Any = 22) -> dict[str, Any]:
    """Read the variables of one host. What is wrong with them is in `problem`, as one sentence for the operator."""
    try:
        given = read_variables(variables)
        policy = management_port(given.policy, port)
        read = read_policy(given.profile, policy)  # type: ignore[arg-type]
        reached = access(read, int(port)) if connection.rpartition(".")[2] in SSH_CONNECTIONS else ""
        kernel = _kernel(given, read)
    except PalisadeError as error:
        return {**NOTHING, "problem": str(error)}
    return {
        "access": reached,
        "beside": list(given.beside),
        "persist": given.persist,
        "policy": policy,
        "problem": "",
        "profile": given.profile,
        **kernel,
    }


def _kernel(given: RoleVariables, policy: Policy) -> dict[str, Any]:
    """The options of kernel_modules and sysctl_hardening. What those would refuse is refused here, before anything has changed."""
    modules = [{"name": name, **entry} for name, entry in given.modules.items()]
    sysctl = {
        "compliance": given.sysctl_compliance,
        "interfaces": given.sysctl_interfaces,
        "profile": SYSCTL_PROFILES[policy.profile],
        "settings": kernel_settings(policy, given.sysctl),
    }
    try:
        declare_modules(modules, profile=None, tables=(), families=(), helpers=(), backend="nft", persist=given.persist)
    except PalisadeError as error:
        raise PalisadeError(f"firewall_modules: {error}") from error
    try:
        declare_sysctls(**sysctl)  # type: ignore[arg-type]
    except PalisadeError as error:
        raise PalisadeError(f"firewall_sysctl: {error}") from error
    return {"modules": modules, "sysctl": sysctl}


def firewall_lockout(read: Mapping[str, Any], ssh_connection: str = "", port: Any = 22) -> str:
    """Why the running connection would not be let in again, or nothing when it would be, or when that is unknown."""
    if read["access"] == CLOSED:
        policy = read_policy(read["profile"], read["policy"])
        return f"{CLOSED_TO_ALL.format(port=port)} {unsure(policy, int(port))}".strip()
    client = read_ssh_connection(ssh_connection)
    if read["access"] != LIMITED or client is None:
        return ""
    policy = read_policy(read["profile"], read["policy"])
    if admits(policy, client):
        return ""
    return f"{CLOSED_TO_CLIENT.format(address=client.address, port=client.port)} {unsure(policy, client.port)}".strip()


def firewall_rules(policy: Mapping[str, Any], profile: str = "server") -> str:
    """Compile a policy and show it as iptables-restore text."""
    try:
        return tables_text(compile_policy(profile, policy).tables)
    except PalisadeError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "firewall_lockout": firewall_lockout,
            "firewall_policy": firewall_policy,
            "firewall_rules": firewall_rules,
        }
