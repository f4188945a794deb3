# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forty kernel settings, as one task of ours and as a loop of ansible.posix.sysctl, and how many of them are in effect afterwards."""
from __future__ import annotations

import json

from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_of, conf_path, effective, parse_key, same_value
from ansible_collections.palisade.netfilter.tests.kernel.support.host import Host
from ansible_collections.palisade.netfilter.tests.kernel.support.sysctls import read, write

_CONF = {
    "ipv4": {"accept_redirects": 0, "accept_source_route": 0, "log_martians": 1, "rp_filter": 1, "secure_redirects": 0, "send_redirects": 0,
             "arp_ignore": 1},
    "ipv6": {"accept_ra": 0, "accept_redirects": 0, "accept_source_route": 0},
}
_PLAIN = {
    "icmp_echo_ignore_broadcasts": 1, "icmp_ignore_bogus_error_responses": 1, "icmp_ratelimit": 500, "ip_default_ttl": 63, "ip_dynaddr": 2,
    "ip_forward": 0, "ip_no_pmtu_disc": 1, "tcp_ecn": 0, "tcp_fin_timeout": 30, "tcp_keepalive_intvl": 30, "tcp_keepalive_probes": 5,
    "tcp_keepalive_time": 600, "tcp_max_syn_backlog": 2048, "tcp_retries2": 8, "tcp_sack": 0, "tcp_syn_retries": 4, "tcp_synack_retries": 3,
    "tcp_syncookies": 2, "tcp_timestamps": 0,
}
SETTINGS = {
    **{f"net.{family}.conf.{name}.{leaf}": value
       for family, leaves in _CONF.items() for leaf, value in leaves.items() for name in ("all", "default")},
    **{f"net.ipv4.{key}": value for key, value in _PLAIN.items()},
    "net.ipv6.conf.all.forwarding": 0,
}
INTERFACES = ("eth0", "eth1")
OURS = """\
- hosts: all
  gather_facts: false
  tasks:
    - palisade.netfilter.sysctl_hardening:
        settings: {settings}
"""
LOOP = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.posix.sysctl:
        name: "{{{{ item.key }}}}"
        value: "{{{{ item.value }}}}"
        sysctl_set: true
        sysctl_file: /etc/sysctl.d/90-loop.conf
      loop: "{{{{ settings | dict2items }}}}"
  vars:
    settings: {settings}
"""


def playbook(template: str) -> str:
    """Return one of the two playbooks."""
    return template.format(settings=json.dumps(SETTINGS))


def prepare(host: Host) -> None:
    """Give a host two interfaces, each with values of its own, as after a boot of a distribution."""
    for name in INTERFACES:
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        write(host, {f"net/ipv4/conf/{name}/{leaf}": value for leaf, value in {
            "accept_redirects": 1, "log_martians": 0, "rp_filter": 2, "secure_redirects": 1, "send_redirects": 1}.items()})
    write(host, {"net/ipv4/conf/all/send_redirects": 1, "net/ipv4/tcp_ecn": 2})


def not_in_effect(host: Host) -> int:
    """Return how many settings are not in effect on some interface."""
    confs = {parse_key(key): conf_of(parse_key(key)) for key in SETTINGS}
    single = [path for path, conf in confs.items() if conf is None or conf.member == "default" or conf.leaf == "forwarding"]
    members = {path: {name: conf_path(conf.family, name, conf.leaf) for name in ("all", *INTERFACES)}
               for path, conf in confs.items() if conf and path not in single}
    switches = {name: f"net/ipv4/conf/{name}/forwarding" for name in INTERFACES}
    values = read(host, [*single, *switches.values(), *(path for paths in members.values() for path in paths.values())])
    found = {path: [values[path]] for path in single}
    for path, paths in members.items():
        conf = confs[path]
        assert conf
        found[path] = [effective(conf.group, values[paths["all"]], values[paths[name]], values[switches[name]] == "1") for name in INTERFACES]
    wanted = {parse_key(key): str(value) for key, value in SETTINGS.items()}
    return sum(not all(same_value(path, one, wanted[path]) for one in found[path]) for path in wanted)
