# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel settings each profile wants, why, and who says so. Data only.

`net.ipv4.conf.all.X` stands for the effective value on every interface, those to come included.
"""
from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple

PROFILES = ('workstation', 'server', 'router')
COMPLIANCE = ('none', 'cis')

_CIS = 'CIS Debian Benchmark %s'
_SOURCES = 'documents 000 and 002'


class Row(NamedTuple):
    """A key by profile. None leaves it alone. `kernel` is what a kernel starts with, of `conf` keys in `all` and in `default`."""

    key: str
    workstation: Optional[str]
    server: Optional[str]
    router: Optional[str]
    cis: Optional[str]
    kernel: Tuple[str, str]
    reason: str
    source: str


def _everywhere(key: str, value: str, kernel: str, reason: str, source: str) -> Row:
    return Row(key, value, value, value, value, (kernel, kernel), reason, source)


ROWS = (
    Row('net.ipv4.ip_forward', '0', '0', '1', '0', ('0', '0'),
        'only a router passes packets on; Docker, libvirt and Kubernetes make a host one', _CIS % '3.3.1'),
    Row('net.ipv6.conf.all.forwarding', '0', '0', '1', '0', ('0', '0'),
        'only a router passes packets on; Docker, libvirt and Kubernetes make a host one', _CIS % '3.3.1'),
    _everywhere('net.ipv4.icmp_echo_ignore_broadcasts', '1', '1',
                'a ping to a broadcast address is not multiplied by all who answer', _CIS % '3.3.4' + ', document 002'),
    _everywhere('net.ipv4.icmp_ignore_bogus_error_responses', '1', '1', 'broken routers must not fill the log', _CIS % '3.3.3'),
    _everywhere('net.ipv4.tcp_syncookies', '1', '1', 'connections still come about in a flood of SYN', _CIS % '3.3.10' + ', ' + _SOURCES),
    Row('net.ipv4.conf.all.accept_source_route', '0', '0', '0', '0', ('0', '1'),
        'the sender does not choose the way past filters', _CIS % '3.3.8' + ', document 002'),
    _everywhere('net.ipv6.conf.all.accept_source_route', '0', '0', 'the sender does not choose the way past filters', _CIS % '3.3.8'),
    _everywhere('net.ipv4.conf.all.accept_redirects', '0', '1',
                'anybody on the link could redirect our traffic to himself', _CIS % '3.3.5' + ', document 002'),
    _everywhere('net.ipv6.conf.all.accept_redirects', '0', '1', 'anybody on the link could redirect our traffic to himself', _CIS % '3.3.5'),
    _everywhere('net.ipv4.conf.all.secure_redirects', '0', '1', 'a gateway that was taken over could redirect our traffic', _CIS % '3.3.6'),
    _everywhere('net.ipv4.conf.all.send_redirects', '0', '1', 'we tell nobody to take another way', _CIS % '3.3.2' + ', document 002'),
    Row('net.ipv4.conf.all.rp_filter', '2', '1', '1', '1', ('0', '0'),
        'forged sources are dropped: by 1 if the answer would leave by another interface, by 2 if by none; VPN clients need 2',
        'RFC 3704, ' + _CIS % '3.3.7' + ', ' + _SOURCES),
    Row('net.ipv4.conf.all.log_martians', '0', '1', '1', '1', ('0', '0'),
        'impossible sources are logged; on a workstation that is noise', _CIS % '3.3.9' + ', document 002'),
    Row('net.ipv6.conf.all.accept_ra', None, '0', '0', '0', ('1', '1'),
        'nobody on the link sets our addresses and routes, unless the host lives by that', _CIS % '3.3.11'),
    Row('net.core.bpf_jit_harden', '2', '2', '2', None, ('0', '0'),
        'the machine code that the kernel makes of BPF programs holds no constants of an attacker', 'Kernel Self Protection Project'),
)

#: The rows by the names of the tables in which they stand.
BY_PROFILE: Mapping[str, Mapping[str, Optional[str]]] = {
    'workstation': {row.key: row.workstation for row in ROWS},
    'server': {row.key: row.server for row in ROWS},
    'router': {row.key: row.router for row in ROWS},
}
#: The benchmark's set, literally. It asks a router to forward, as its profile does: the benchmark exempts routers.
CIS: Mapping[str, str] = {row.key: row.cis for row in ROWS if row.cis is not None}
CIS_SPARES_ROUTERS = ('net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding')

#: Programs that need forwarding, by the interfaces they make and the files they leave where they run.
FORWARDERS: Tuple[Tuple[str, str, Tuple[str, ...]], ...] = (
    ('Docker', r'docker\d+|docker_gwbridge|br-[0-9a-f]{12}', ('/run/docker.sock',)),
    ('libvirt', r'virbr\d+', ()),
    ('Kubernetes', r'cni\d+|kube-.*|flannel\.\d+|cali[0-9a-f]{11}|cilium_.*|lxc[0-9a-f]{12,}|weave|nodelocaldns',
     ('/etc/kubernetes/kubelet.conf', '/run/k3s/containerd/containerd.sock')),
    ('podman', r'podman\d+|cni-podman\d+', ()),
    ('LXD or Incus', r'lxdbr\d+|incusbr\d+|lxcbr\d+', ()),
)
