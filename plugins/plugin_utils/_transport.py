# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of connections, and whether a change of the host's network could cut them."""
from __future__ import annotations

import typing as t

from ansible_collections.palisade.netfilter.plugins.module_utils._connection import over_network

#: Connections without a network path between Ansible and the host, by the last word of their transport. Nothing on the host can cut them.
WITHOUT_NETWORK = frozenset((
    'local', 'docker', 'docker_api', 'nsenter', 'podman', 'buildah', 'chroot', 'jail', 'iocage', 'zone', 'lxc', 'lxd', 'incus', 'libvirt_lxc',
    'libvirt_qemu', 'machinectl', 'qubes', 'kubectl', 'oc', 'vmware_tools',
))


def kind_of(connection: t.Any) -> str:
    """The last word of a connection's transport."""
    return str(connection.transport).rpartition('.')[2]


def may_be_cut(kind: str) -> bool:
    """Whether Ansible could be cut off: by its own connection, or on this very host by the one that its operator came in by."""
    return kind not in WITHOUT_NETWORK or (kind == 'local' and over_network())
