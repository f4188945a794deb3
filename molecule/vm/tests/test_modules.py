# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_modules on kernels that load and unload modules: what it says is so, and is so after a reboot.

The module is not packed and carried there for each run, and Python not started: emulated, that would be nearly all of the time.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible
import pytest
from devkit import vm

ROOT = Path(__file__).resolve().parents[3]
FOLDER = "/root/kernel_modules"
FILES = "/etc/modules-load.d /etc/modprobe.d"
LOADED = "cut -d' ' -f1 /proc/modules"
#: What these tests load, and what else the legacy rules of the role do. The first of them hold those behind them.
OURS = ("nf_nat_ftp nf_conntrack_ftp nf_nat_tftp nf_conntrack_tftp nf_conntrack_irc xt_TRACE xt_recent xt_hl xt_DSCP iptable_nat iptable_filter "
        "iptable_raw ip6table_nat ip6table_filter ip6table_raw ip_tables ip6_tables")
#: A process on the machine that runs the module for each line of arguments, as a child of its own.
SERVER = """
import os, runpy, sys
from ansible.module_utils import basic
from ansible_collections.palisade.netfilter.plugins.module_utils import _modules_run
for line in sys.argv[1:] or sys.stdin:
    if os.fork() == 0:
        if line.startswith('without '):
            os.execvp('setpriv', ['setpriv', '--inh-caps=-all', '--bounding-set=-sys_module', sys.executable, 'server.py', line[8:]])
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = line.encode(), 'legacy'
        runpy.run_module('ansible_collections.palisade.netfilter.plugins.modules.kernel_modules', run_name='__main__', alter_sys=True)
    os.wait()
    sys.argv[1:] or print('end', flush=True)
"""
#: It has a soft dependency, so modprobe passes over its install line.
SOFT = "xt_TRACE"


class Modules:
    """A machine that has the module's code, and nothing loaded that these tests load."""

    def __init__(self, machine: vm.Machine) -> None:
        self.machine = machine
        subprocess.run([*machine.ssh_argv(), f"mkdir -p {FOLDER}; tar xz -C {FOLDER}"], input=_code(), check=True, timeout=120)
        machine.check(f"tar c {FILES} 2>/dev/null >{FOLDER}/files.tar; palisade-firewall flush; {self._unload()}")  # the rules hold modules
        self.hashsize = machine.check("cat /sys/module/nf_conntrack/parameters/hashsize")
        self.start()

    def start(self) -> None:
        """Start the server, after a boot too."""
        self.server = subprocess.Popen(
            [*self.machine.ssh_argv(), f"cd {FOLDER}; exec python3 server.py 2>&1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        self.server.communicate()

    def put_back(self) -> None:
        """Leave the machine as it was."""
        self.stop()
        self.machine.check(f"""
            find {FILES} -name '*palisade.conf' -delete; rm -f /etc/modules-load.d/somebody.conf; tar x -C / -f {FOLDER}/files.tar; rm -rf {FOLDER}
            echo {self.hashsize} >/sys/module/nf_conntrack/parameters/hashsize
            palisade-firewall flush; {self._unload()}
            systemctl restart systemd-modules-load.service palisade-firewall.service""")

    @staticmethod
    def _unload() -> str:
        return f"for module in {OURS}; do rmmod $module 2>/dev/null || true; done"

    def run(self, *modules: Any, through: str = "", **options: Any) -> dict[str, Any]:
        """Run the module to its end, whatever that is. `through` is "without " for root as in a container, who may not load modules."""
        assert self.server.stdin is not None and self.server.stdout is not None
        arguments = {"modules": list(modules), "_ansible_diff": True, **options}
        self.server.stdin.write(through + json.dumps({"ANSIBLE_MODULE_ARGS": arguments}) + "\n")
        self.server.stdin.flush()
        said = list(iter(self.server.stdout.readline, "end\n"))
        return dict(json.loads(next(line for line in said if line.startswith("{"))))

    def apply(self, *modules: Any, **options: Any) -> dict[str, dict[str, Any]]:
        """Run it, and again, which is to change nothing. Return what was said of each module."""
        first = self.run(*modules, **options)
        assert not first.get("failed"), first["msg"]
        again = self.run(*modules, **options)
        assert not again["changed"], again["diff"]
        said = {one["name"]: one for one in first["modules"]}
        assert {one["name"]: one["state"] for one in again["modules"]} == {name: one["state"] for name, one in said.items()}
        return said

    def refuse(self, *modules: Any, **options: Any) -> str:
        """Run it, and insist on an error that leaves everything as it was."""
        look = f"cat {FILES.replace(' ', '/* ')}/* 2>/dev/null; {LOADED} | sort; cat /sys/module/nf_conntrack/parameters/*"
        before = self.machine.run(look).stdout
        result = self.run(*modules, **options)
        assert result.get("failed"), result
        assert self.machine.run(look).stdout == before
        message = str(result["msg"])
        assert message.endswith("Nothing has changed"), message
        return message

    def loaded(self) -> set[str]:
        return set(self.machine.check(LOADED).split())

    def fails(self, command: str) -> bool:
        return self.machine.run(command).returncode != 0


def _code() -> bytes:
    """Pack what the module needs of ansible-core and of this collection."""
    stream = io.BytesIO()
    core = Path(ansible.__file__).parent
    plugins = ROOT / "plugins"
    inside = "ansible_collections/palisade/netfilter/plugins"
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path in (core / "module_utils").rglob("*.py"):
            if path.relative_to(core / "module_utils").parts[0] not in ("facts", "powershell", "csharp"):
                archive.add(path, f"ansible/{path.relative_to(core)}")
        archive.add(core / "release.py", "ansible/release.py")
        archive.add(core / "release.py", "ansible/__init__.py")
        for path in (*(plugins / "module_utils").glob("_*.py"), plugins / "modules" / "kernel_modules.py"):
            archive.add(path, f"{inside}/{path.relative_to(plugins)}")
        server = tarfile.TarInfo("server.py")
        server.size = len(SERVER)
        archive.addfile(server, io.BytesIO(SERVER.encode()))
    return stream.getvalue()


@pytest.fixture(scope="module")
def modules(machine: vm.Machine) -> Iterator[Modules]:
    given = Modules(machine)
    yield given
    given.put_back()


def blocked(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "state": "blocked"} for name in names]


def test_row_3_1_old_names_are_loaded_as_what_they_are_called_today(modules: Modules) -> None:
    names = ("ip_conntrack", "ip_conntrack_ftp")
    predicted = modules.run(*names, _ansible_check_mode=True)
    assert "nf_conntrack_ftp" not in modules.loaded()
    said = modules.apply(*names)
    assert list(said.values()) == predicted["modules"]
    assert [(one["asked"], one["name"], one["before"], one["state"]) for one in said.values()] == [
        ("ip_conntrack", "nf_conntrack", "loaded", "loaded"), ("ip_conntrack_ftp", "nf_conntrack_ftp", "unloaded", "loaded")]
    assert "nf_conntrack_ftp" in modules.loaded()
    assert modules.machine.check("grep -v '^#' /etc/modules-load.d/palisade.conf").split() == ["nf_conntrack", "nf_conntrack_ftp"]


def test_row_2_1_modules_of_today_are_loaded(modules: Modules) -> None:
    names = {"nf_conntrack", "nf_conntrack_ftp", "xt_conntrack", "xt_LOG", "xt_state"}
    assert {one["state"] for one in modules.apply(*sorted(names)).values()} == {"loaded"}
    assert names <= modules.loaded()


def test_row_4_2_everything_that_the_document_loads_is_loaded(modules: Modules) -> None:
    asked = ["ip_tables", "ip_conntrack", "iptable_filter", "iptable_nat", "iptable_mangle", "ipt_LOG", "ipt_limit", "ipt_state", "ip_conntrack_irc",
             "ip_conntrack_ftp"]
    said = modules.apply(*asked)
    assert {one["state"] for one in said.values()} == {"loaded"}
    assert set(said) <= modules.loaded()
    tables = ("iptable_mangle", "iptable_nat", "iptable_filter", "ip_tables")
    modules.apply(*[{"name": name, "state": "unloaded"} for name in ("ip_conntrack_irc", *tables)])
    assert not {"nf_conntrack_irc", "ip_tables"} & modules.loaded()


def test_row_0_12_kernel_options_are_modules_of_today(modules: Modules) -> None:
    """Connection tracking, multiport, limit, iprange, mac, the helper of FTP with NAT, REDIRECT."""
    asked = ["ipt_conntrack", "ipt_multiport", "ipt_limit", "ipt_iprange", "ipt_mac", "ip_conntrack_ftp", "ip_nat_ftp", "ipt_REDIRECT"]
    said = modules.apply(*asked)
    assert set(said) == {"xt_conntrack", "xt_multiport", "xt_limit", "xt_iprange", "xt_mac", "nf_conntrack_ftp", "nf_nat_ftp", "xt_REDIRECT"}
    assert {one["state"] for one in said.values()} == {"loaded"}
    assert set(said) <= modules.loaded()


def test_unknown_modules_and_those_of_the_past_are_named(modules: Modules) -> None:
    assert modules.refuse("xt_hl", "nf_contrack") == "modules: this kernel has no module nf_contrack. Is nf_conntrack meant?. Nothing has changed"
    assert "NFLOG does its work" in modules.refuse("xt_hl", "ipt_ULOG")


def test_an_alias_that_only_modprobe_knows(modules: Modules) -> None:
    assert list(modules.apply("nfct-helper-ftp")) == ["nf_conntrack_ftp"]


@pytest.mark.parametrize("state", ["unloaded", "blocked"])
def test_a_module_in_use_is_refused_with_its_holders(modules: Modules, state: str) -> None:
    modules.apply("nf_conntrack_ftp")
    message = modules.refuse("xt_hl", {"name": "ip_conntrack", "state": state})
    assert message.startswith("modules: nf_conntrack cannot be unloaded: it is in use by ")
    assert "nf_conntrack_ftp" in message


def test_unloading_takes_the_module_alone_and_its_holders_first(modules: Modules) -> None:
    modules.apply("nf_nat_ftp")
    said = modules.apply({"name": "nf_conntrack_ftp", "state": "unloaded"}, {"name": "nf_nat_ftp", "state": "unloaded"})
    assert {one["state"] for one in said.values()} == {"unloaded"}
    left = modules.loaded()
    assert "nf_nat" in left and not {"nf_conntrack_ftp", "nf_nat_ftp"} & left


def test_blocked_is_blocked_by_name_alias_dependency_and_rule(modules: Modules) -> None:
    modules.apply("nf_conntrack_tftp", SOFT)
    said = modules.apply(*blocked("ip_conntrack_tftp", SOFT))
    assert [(one["before"], one["state"]) for one in said.values()] == [("loaded", "blocked")] * 2
    for command in ("modprobe nf_conntrack_tftp", "modprobe ip_conntrack_tftp", "modprobe nfct-helper-tftp", "modprobe nf_nat_tftp",
                    f"modprobe {SOFT}", f"modprobe ip{SOFT.replace('xt_', 't_')}",
                    "unshare -n iptables -t raw -A PREROUTING -p udp --dport 69 -j CT --helper tftp"):
        assert modules.fails(command), command
    assert not {"nf_conntrack_tftp", "nf_nat_tftp", SOFT} & modules.loaded()
    # The rule is refused for its helper and nothing else.
    said = modules.apply({"name": "nf_conntrack_tftp", "persist": False}, SOFT)
    assert {one["state"] for one in said.values()} == {"loaded"}
    modules.machine.check("unshare -n iptables -t raw -A PREROUTING -p udp --dport 69 -j CT --helper tftp")


def test_without_its_third_file_the_block_of_a_module_with_soft_dependencies_does_not_hold(modules: Modules) -> None:
    """Should this fail one day, modprobe heeds install lines always and the file can go."""
    modules.apply(*blocked(SOFT))
    modules.machine.check(f"rm /etc/modprobe.d/00-palisade.conf; modprobe {SOFT}")
    modules.apply(*blocked(SOFT))
    assert modules.fails(f"modprobe {SOFT}")


def test_options_are_given_written_or_need_a_reload(modules: Modules) -> None:
    fresh = modules.apply({"name": "ipt_recent", "options": {"ip_list_tot": 321}})["xt_recent"]
    assert fresh["options"] == {"ip_list_tot": {"before": None, "after": "321"}}
    assert modules.machine.check("cat /sys/module/xt_recent/parameters/ip_list_tot") == "321"
    stuck = modules.apply({"name": "xt_recent", "options": "ip_list_tot=322"})["xt_recent"]
    assert (stuck["reload_needed"], stuck["options"]) == (True, {"ip_list_tot": {"before": "321", "after": "321"}})
    written = modules.apply({"name": "nf_conntrack", "options": {"hashsize": 10000}})["nf_conntrack"]
    assert written["changed"] and not written["reload_needed"]
    assert modules.machine.check("cat /sys/module/nf_conntrack/parameters/hashsize") == "10240"


def test_unknown_parameters_are_refused_of_what_is_loaded_and_what_is_not(modules: Modules) -> None:
    modules.machine.run("rmmod xt_recent")
    assert "nf_conntrack has no parameter hashsise" in modules.refuse({"name": "nf_conntrack", "options": "hashsise=1"})
    assert "xt_recent has no parameter ip_list" in modules.refuse("xt_hl", {"name": "xt_recent", "options": "ip_list=1 ip_list_tot=5"})


def test_root_without_the_right_to_load_is_told_and_the_files_are_written(modules: Modules) -> None:
    modules.machine.run("rmmod xt_recent")
    said = modules.apply("xt_recent", "nf_conntrack", *blocked("dccp"), through="without ")
    assert {name: one["state"] for name, one in said.items()} == {"xt_recent": "unmanageable", "nf_conntrack": "loaded", "dccp": "unmanageable"}
    assert "no CAP_SYS_MODULE" in said["xt_recent"]["reason"]
    assert "xt_recent" not in modules.loaded()


DECLARED = [
    {"name": "xt_recent", "options": {"ip_list_tot": 321}},
    {"name": "ip_conntrack", "options": {"hashsize": 10000}},
    *blocked("nf_conntrack_tftp", SOFT),
]


@pytest.fixture(scope="module")
def rebooted(modules: Modules) -> Modules:
    """Give a machine that was declared so and then booted. Somebody else's file asks for what we block."""
    modules.machine.run("rmmod xt_recent")
    assert not modules.run(*DECLARED, tables=["filter", "nat"], backend="legacy").get("failed")
    modules.machine.check("echo nf_conntrack_tftp >/etc/modules-load.d/somebody.conf")
    modules.stop()
    modules.machine.reboot(seconds=300)
    modules.start()
    return modules


def test_after_a_reboot_everything_is_as_declared_before_the_network_is_up(rebooted: Modules) -> None:
    machine = rebooted.machine
    assert {"xt_recent", "nf_conntrack", "ip_tables", "iptable_filter", "iptable_nat", "ip6_tables", "ip6table_nat"} <= rebooted.loaded()
    parameters = machine.check("cat /sys/module/xt_recent/parameters/ip_list_tot /sys/module/nf_conntrack/parameters/hashsize")
    assert parameters.split() == ["321", "10240"]
    assert not {"nf_conntrack_tftp", SOFT} & rebooted.loaded()
    when = [int(machine.check(f"systemctl show --property={what} --value {unit}")) for unit, what in (
        ("systemd-modules-load.service", "ExecMainExitTimestampMonotonic"), ("systemd-networkd.service", "ActiveEnterTimestampMonotonic"))]
    assert 0 < when[0] < when[1], when


def test_after_a_reboot_nothing_is_left_to_do(rebooted: Modules) -> None:
    again = rebooted.run(*DECLARED, tables=["filter", "nat"], backend="legacy")
    assert not again["changed"], again["diff"]
    assert any("somebody.conf asks for it at boot" in json.dumps(warning) for warning in again["warnings"])
    rebooted.machine.check("rm /etc/modules-load.d/somebody.conf")


def test_absent_takes_the_files_and_unloads_nothing(rebooted: Modules) -> None:
    result = rebooted.run(state="absent")
    assert result["changed"]
    assert "xt_recent" in rebooted.loaded()
    assert rebooted.machine.run(f"find {FILES} -name '*palisade.conf'").stdout == ""
    assert not rebooted.run(state="absent")["changed"]
