# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/demo as a new user meets it: run whole, read, and pointed at an inventory. Its own expectations fail it, too."""
from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.palisade.netfilter.tests.kernel.support.host import Host

#: What is told of an inventory does not depend on the backend.
ONCE = pytest.mark.parametrize("backend", ["nft"])
DEMO = str(Path(__file__).resolve().parents[2] / "scripts" / "demo")
INVENTORY = """\
servers:
  hosts:
    here:
      ansible_connection: local
      ansible_become: false
      ansible_python_interpreter: {python}
      firewall_services: {{{services}}}
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    """Give what one run has said. The workers share it: the first to ask has it run, the others wait for it."""
    folder = tmp_path_factory.getbasetemp()
    said = (folder if worker_id == "master" else folder.parent) / "demo"
    with said.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not said.stat().st_size:
            done = subprocess.run([DEMO], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=540, check=False)
            file.write(f"{done.stdout}{done.stderr if done.returncode else ''}\nstatus {done.returncode}\n")
    text = said.read_text()
    assert text.endswith("\nstatus 0\n"), text[-8000:]
    return text


def test_it_says_that_all_is_as_expected(output: str) -> None:
    assert re.search(r"^All \d\d expectations met", output, re.MULTILINE)
    assert "NOT SO" not in output


def test_what_it_says_changes_nothing_on_hosts_of_your_own_is_a_check(output: str) -> None:
    assert "(changes nothing): ./scripts/demo INVENTORY --check\n" in output


def test_the_diff_comes_once_and_for_both_families(output: str) -> None:
    for family in ("ipv4", "ipv6"):
        assert output.count(f"--- {family} filter (live)") == 1
    assert output.count("    +-N palisade-INPUT") == 2
    assert output.count("    +++ /etc/palisade/palisade.closed") == 1
    assert output.count("    +*filter") == 2


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("what", "after"), [("ssh (tcp 22)", "answers"), ("https (tcp 443)", "answers"), ("something else (tcp 8080)", "no answer"), ("ping", "answers")]
)
def test_the_table_shows_what_got_through(output: str, what: str, after: str, family: str) -> None:
    assert re.search(rf"^  {re.escape(what)} +{family} +answers +{after} ", output, re.MULTILINE), output


def test_the_live_rules_are_shown(output: str) -> None:
    assert output.count("    -A palisade-INPUT -p tcp -m tcp --dport 443 ") == 2


def test_the_runs_change_once_then_nothing_then_all_back(output: str) -> None:
    assert re.findall(r"^    demo +: .*?changed=(\d)", output, re.MULTILINE) == ["4", "0", "4", "0", "0", "3"]


def test_the_rules_outlive_a_reboot(output: str) -> None:
    reboot = output[output.index(" A reboot\n") : output.index(" And away with it")]
    assert "palisade-firewall: palisade: loaded /etc/palisade/palisade.rules " in reboot
    assert re.search(r"^  something else \(tcp 8080\) IPv6  answers +no answer ", reboot, re.MULTILINE), reboot
    assert "  ok: the rules are what they were before the reboot\n" in reboot
    assert reboot.count("same as persisted") >= 2


@ONCE
def test_an_inventory_is_applied(host: Host, tmp_path: Path) -> None:
    host.run("rm", "-rf", "/etc/palisade")
    inventory = tmp_path / "inventory.yml"
    # The machine's own modules, and sysctls that are not of a network namespace, are no business of a test.
    inventory.write_text(INVENTORY.format(python=sys.executable, services="https: {}")
                         + "      firewall_sysctl_state: unmanaged\n      firewall_modules_state: unmanaged\n")
    done = host.run(DEMO, str(inventory), "-e", "ansible_remote_tmp=/run/ansible")
    assert done.stdout.startswith("This APPLIES playbooks/site.yml to the hosts of the groups workstations, servers, routers")
    assert "+-A palisade-INPUT -p tcp -m tcp --dport 443 " in done.stdout
    assert "Applied, and there after a reboot." in done.stdout
    assert "-A palisade-INPUT -p tcp -m tcp --dport 443 " in host.save()
    assert host.run("ls", "/etc/palisade/palisade.rules", "/usr/local/sbin/palisade-firewall").returncode == 0
    again = host.run(DEMO, str(inventory), "-e", "ansible_remote_tmp=/run/ansible")
    assert re.search(r"^here +: .*changed=0 .*failed=0 ", again.stdout, re.MULTILINE)


@ONCE
@pytest.mark.parametrize("option", ["--check", "-vC"])
def test_an_inventory_is_checked_and_nothing_changes(host: Host, tmp_path: Path, option: str) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY.format(python=sys.executable, services="https: {}"))
    before = host.snapshot()
    done = host.run(DEMO, str(inventory), option)
    assert done.stdout.startswith("Check only: what playbooks/site.yml would change")
    assert "+-A palisade-INPUT -p tcp -m tcp --dport 443 " in done.stdout
    assert "Nothing has been changed." in done.stdout
    assert host.snapshot() == before


@ONCE
def test_a_bad_inventory_fails_it(host: Host, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY.format(python=sys.executable, services="htps: {}"))
    before = host.snapshot()
    done = host.run(DEMO, str(inventory), check=False)
    assert done.returncode != 0
    assert "firewall_services.htps" in done.stdout + done.stderr
    assert "It ended with an error, see above." in done.stdout and "Applied" not in done.stdout
    assert host.snapshot() == before


GROUPS = """\
all:
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: {python}
workstations:
  hosts:
    desk: {{firewall_outbound: {{{outbound}}}}}
routers:
  hosts:
    gate: {{firewall_redirects: {{proxy: {{port: 80, to_port: 3128}}}}}}
"""


@ONCE
def test_each_group_is_checked_with_its_profile(host: Host, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(GROUPS.format(python=sys.executable, outbound="policy: drop"))
    before = host.snapshot()
    done = host.run(DEMO, str(inventory), "--check")
    plays = done.stdout.split("PLAY [")
    assert [play.partition("]")[0] for play in plays[1:]] == ["Workstations", "Servers", "Routers"]
    assert "+-P OUTPUT DROP" in plays[1] and "--dport 22 " not in plays[1]
    assert "no hosts matched" in plays[2]
    assert "--dport 22 " in plays[3] and "REDIRECT --to-ports 3128" in plays[3]
    assert "Nothing has been changed." in done.stdout
    assert host.snapshot() == before


@ONCE
def test_a_failure_in_one_group_ends_the_run(host: Host, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(GROUPS.format(python=sys.executable, outbound="services: {dsn: {}}"))
    done = host.run(DEMO, str(inventory), "--check", check=False)
    assert done.returncode != 0
    assert "firewall_outbound.services.dsn: 'dsn' is no well-known service" in done.stdout + done.stderr
    assert "PLAY [Routers]" not in done.stdout


@ONCE
@pytest.mark.parametrize("text", [None, "all:\n  hosts:\n    here:\n"], ids=["no such file", "no servers in it"])
def test_an_inventory_without_servers_is_an_error(host: Host, tmp_path: Path, text: str | None) -> None:
    inventory = tmp_path / "inventory.yml"
    if text is not None:
        inventory.write_text(text)
    done = host.run(DEMO, str(inventory), check=False)
    assert done.returncode != 0
    assert "It ended before it began" in done.stdout
    assert "Nothing has been changed." not in done.stdout and "Applied" not in done.stdout
