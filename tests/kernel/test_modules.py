# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_modules on this machine's kernel, as root in a container: whatever the kernel has, none of it is loaded or unloaded here.

Kernels that load modules are in molecule/vm. Parameters are not written in any of these tests: they are the whole machine's.
"""
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_plan import LOAD_FILE, MODPROBE_FILE, OUR_FILES, SOFTDEP_FILE

from .support.host import IN_CONTAINER, Host, ModuleResult, finish

#: What cannot be told from one kernel to the other: it is there already, in one way or the other, or nothing can be done about it.
AS_IT_IS = {"loaded", "built_in", "unmanageable"}


@pytest.fixture
def backend() -> str:
    """No rule is loaded here, so one backend is as good as the other."""
    return "nft"


def run(host: Host, *modules: Any, check_mode: bool = False, **options: Any) -> ModuleResult:
    """Run the module as root in a container."""
    arguments = {"modules": list(modules), **options}
    return finish(host.start_module(arguments, check_mode=check_mode, through=IN_CONTAINER, name="kernel_modules"))


def twice(host: Host, *modules: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """Run the module in check mode, for good, and again. Return what it said of each module."""
    predicted = run(host, *modules, check_mode=True, **options)
    assert not any(there(host).values())
    result = run(host, *modules, **options)
    assert not result.failed, result.message
    assert (predicted.data["diff"], predicted.data["modules"]) == (result.data["diff"], result.data["modules"])
    again = run(host, *modules, **options)
    assert (again.changed, again.data["diff"]) == (False, [])
    return {one["name"]: one for one in result.data["modules"]}


def there(host: Host) -> dict[str, list[str]]:
    """The lines of our files that are no comments."""
    texts = {path: host.run("cat", path, check=False).stdout for path in OUR_FILES}
    return {path: [line for line in text.splitlines() if not line.startswith("#")] for path, text in texts.items()}


def test_a_container_takes_the_files_and_reports_and_the_second_run_changes_nothing(host: Host) -> None:
    recent = {"name": "xt_recent", "options": "ip_list_tot=5"}
    said = twice(host, "nf_conntrack", "ipt_LOG", "no_such_module", {"name": "dccp", "state": "blocked"}, recent)
    assert said["nf_conntrack"]["state"] in AS_IT_IS and said["xt_LOG"]["state"] in AS_IT_IS
    assert said["dccp"]["state"] in {"unmanageable", "missing", "built_in"}
    assert there(host) == {
        LOAD_FILE: ["nf_conntrack", "no_such_module", "xt_LOG", "xt_recent"],
        MODPROBE_FILE: ["options xt_recent ip_list_tot=5", "install dccp /bin/false"],
        SOFTDEP_FILE: ["softdep dccp pre:"],
    }
    modes = host.run("stat", "-c", "%a %U", *OUR_FILES).stdout.split()
    assert modes == ["644", "root"] * 3


def test_what_is_built_in_and_does_not_show_is_known_from_the_kernels_configuration(host: Host) -> None:
    """Built in, xt_LOG has no parameters and so no folder in /sys/module."""
    configured = host.run("sh", "-c", "zcat /proc/config.gz 2>/dev/null | grep -x CONFIG_NETFILTER_XT_TARGET_LOG=y", check=False).stdout
    if not configured:
        pytest.skip("xt_LOG is not built in here, or the kernel does not show its configuration")
    assert twice(host, "ipt_LOG")["xt_LOG"]["state"] == "built_in"


def test_absent_removes_our_files_and_no_others(host: Host) -> None:
    host.run("sh", "-c", "echo blacklist x >/etc/modprobe.d/other.conf")
    run(host, "nf_conntrack", {"name": "dccp", "state": "blocked"})
    result = run(host, state="absent")
    assert result.changed and not result.failed
    assert not any(there(host).values())
    assert host.run("ls", "/etc/modprobe.d").stdout.split() == ["other.conf"]
    assert not run(host, state="absent").changed


@pytest.mark.parametrize("folder", ["/etc/modprobe.d", "/etc/modules-load.d"])
def test_a_file_that_cannot_be_written_is_one_clear_error(host: Host, folder: str) -> None:
    run(host, "xt_LOG")
    before = there(host)
    host.run("sh", "-euc", f"mkdir -p {folder}; mount --bind {folder} {folder}; mount -o remount,ro,bind {folder}")
    result = run(host, "xt_limit", {"name": "dccp", "state": "blocked"})
    assert result.failed
    assert f"{folder} is read-only" in result.message
    assert there(host) == before


def test_what_a_policy_needs_of_a_legacy_host_is_loaded_at_boot(host: Host) -> None:
    said = twice(host, profile="server", helpers=["ftp"], tables=["filter", "nat"], backend="legacy")
    assert said["nf_conntrack"]["state"] in AS_IT_IS
    kept = set(there(host)[LOAD_FILE])
    assert "nf_conntrack" in kept
    # What this kernel has not at all is left out: at boot it would be a failure.
    expected = {"nf_conntrack_ftp", "nf_nat_ftp", "ip_tables", "iptable_filter", "iptable_nat", "ip6_tables", "ip6table_filter", "ip6table_nat"}
    assert kept == {"nf_conntrack"} | {name for name in expected if said[name]["state"] != "missing"}
