# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the source documents that load modules, each by its number: old names and new, on whatever kernel this is.

What a kernel that loads modules does with the same rows is in molecule/vm/tests/test_modules.py.
"""

from __future__ import annotations

import pytest

from ..support.host import Host
from ..test_modules import AS_IT_IS, LOAD_FILE, there, twice


@pytest.fixture
def backend() -> str:
    return "nft"


def test_row_0_12_kernel_options_are_modules_of_today(host: Host) -> None:
    """Connection tracking, multiport, limit, iprange, mac, the helper of FTP, REDIRECT: once options of a kernel that one built oneself."""
    said = twice(host, "ip_conntrack", "ipt_multiport", "ipt_limit", "ipt_iprange", "ipt_mac", "ip_conntrack_ftp", "ipt_REDIRECT")
    assert set(said) == {"nf_conntrack", "xt_multiport", "xt_limit", "xt_iprange", "xt_mac", "nf_conntrack_ftp", "xt_REDIRECT"}
    assert {one["state"] for one in said.values()} <= AS_IT_IS


def test_row_2_1_modules_that_need_not_be_loaded_where_they_are_built_in(host: Host) -> None:
    names = ["nf_conntrack", "nf_conntrack_ftp", "xt_LOG", "xt_conntrack", "xt_state"]
    said = twice(host, *names)
    assert {one["state"] for one in said.values()} <= AS_IT_IS
    assert there(host)[LOAD_FILE] == names


def test_row_3_1_old_names_are_todays(host: Host) -> None:
    said = twice(host, "ip_conntrack", "ip_conntrack_ftp")
    assert [(one["asked"], name) for name, one in said.items()] == [("ip_conntrack", "nf_conntrack"), ("ip_conntrack_ftp", "nf_conntrack_ftp")]
    assert there(host)[LOAD_FILE] == ["nf_conntrack", "nf_conntrack_ftp"]


def test_row_4_2_a_whole_list_of_old_names(host: Host) -> None:
    said = twice(host, "ip_tables", "ip_conntrack", "iptable_filter", "iptable_nat", "iptable_mangle", "ipt_LOG", "ipt_limit", "ipt_state",
                 "ip_conntrack_irc", "ip_conntrack_ftp")
    assert list(said) == ["ip_tables", "nf_conntrack", "iptable_filter", "iptable_nat", "iptable_mangle", "xt_LOG", "xt_limit", "xt_state",
                          "nf_conntrack_irc", "nf_conntrack_ftp"]
    assert {one["state"] for one in said.values()} <= AS_IT_IS
    assert there(host)[LOAD_FILE] == sorted(said)
