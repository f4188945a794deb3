# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task as users write it, through ansible and its action plugin, on a throwaway host."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .support.host import FAMILIES, Host
from .support.save_text import policies, rules

CHECKOUT = Path(__file__).resolve().parents[2]
WEB_RULES = """# a web server
*filter
:INPUT DROP [0:0]
:web - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp -j web
-A web -p tcp --dport http -j ACCEPT
-A web -p tcp --dport 443 -j ACCEPT
COMMIT
"""
AUDIT = """
- name: Audit
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Read the live rules
      palisade.netfilter.iptables_ruleset_info:
        backend: "{{ backend }}"
      register: live
    - name: Count what nobody explains
      ansible.builtin.assert:
        that: live | palisade.netfilter.firewall_query('unexplained') | length == unexplained | int
    - name: Ask what is asked
      ansible.builtin.debug:
        msg: "found {{ live | palisade.netfilter.firewall_query(question) | to_json }}"
"""
Task = Callable[..., dict[str, Any]]


Playbook = Callable[..., subprocess.CompletedProcess[str]]


def program(host: Host, folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs on the host as a user of the checkout would, with its files in `folder`."""
    variables = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }
    words = [f"{key}={value}" for key, value in variables.items()]
    interpreter = json.dumps({"ansible_python_interpreter": sys.executable})
    command = [str(Path(sys.executable).with_name(name)), "-c", "local", "-e", interpreter, *arguments]
    return host.run("env", "-C", str(folder), *words, *command, check=False)


@pytest.fixture
def task(host: Host, tmp_path: Path) -> Task:
    """Run one task on the host by `ansible localhost`, and return its result."""

    def run(name: str, *options: str, **arguments: Any) -> dict[str, Any]:
        done = program(host, tmp_path, "ansible", "localhost", "-m", name, "-a", json.dumps(arguments), *options)
        shown, unused, found = done.stdout.partition(" => ")
        assert found, done.stderr
        return {"shown": shown, "failed": "FAILED!" in shown, **json.loads(found)}

    return run


@pytest.fixture
def audit(host: Host, tmp_path: Path) -> Playbook:
    """Run the playbook above on the host."""

    def run(question: str, unexplained: int = 0) -> subprocess.CompletedProcess[str]:
        (tmp_path / "audit.yml").write_text(AUDIT, encoding="utf-8")
        variables = json.dumps({"backend": host.backend, "question": question, "unexplained": unexplained})
        return program(host, tmp_path, "ansible-playbook", "audit.yml", "-e", variables)

    return run


def test_a_file_of_rules_by_its_short_name(host: Host, task: Task, tmp_path: Path) -> None:
    (tmp_path / "web.rules").write_text(WEB_RULES, encoding="utf-8")
    checked = task("iptables_ruleset", "--check", "--diff", src="web.rules", backend=host.backend)
    assert checked["changed"]
    assert "dport 80" in checked["shown"]
    assert host.save() == ""
    first = task("iptables_ruleset", src="web.rules", backend=host.backend)
    assert first["changed"]
    assert first["plan_total"] == checked["plan_total"]
    for family in FAMILIES:
        assert policies(host.save(family))["INPUT"] == "DROP"
        assert len(rules(host.save(family), "filter", "palisade-web")) == 2
    assert not task("iptables_ruleset", src="web.rules", backend=host.backend)["changed"]


def test_a_profile_by_its_full_name(host: Host, task: Task) -> None:
    arguments = {"profile": "server", "policy": {"services": {"https": {}}}, "backend": host.backend}
    assert task("palisade.netfilter.iptables_ruleset", **arguments)["changed"]
    assert "--dport 443" in host.save()
    assert policies(host.save())["INPUT"] == "DROP"
    assert not task("palisade.netfilter.iptables_ruleset", **arguments)["changed"]
    assert task("palisade.netfilter.iptables_ruleset", state="absent", backend=host.backend)["changed"]
    assert "palisade" not in host.save()


def test_a_bad_file_names_its_line(host: Host, task: Task, tmp_path: Path) -> None:
    (tmp_path / "bad.rules").write_text(WEB_RULES.replace("443", "443000"), encoding="utf-8")
    result = task("iptables_ruleset", src="bad.rules", backend=host.backend)
    assert result["failed"]
    assert "443000" in result["msg"]
    assert "line 9" in result["msg"]
    assert task("iptables_ruleset", src="missing.rules", backend=host.backend)["failed"]
    assert host.save() == ""


def test_live_rules_as_data_ad_hoc(host: Host, task: Task) -> None:
    host.restore("*filter\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n-A INPUT -p tcp --dport 3306 -j ACCEPT\nCOMMIT\n")
    before = host.snapshot()
    for name in ("iptables_ruleset_info", "palisade.netfilter.iptables_ruleset_info"):
        result = task(name, "--check", "--diff", families="ipv4", tables="filter", chains="INPUT", backend=host.backend)
        assert [(rule["number"], rule["rule"], rule["owner"]) for rule in result["rules"]] == [
            (1, "-p tcp -j f2b-sshd", "fail2ban"),
            (2, "-p tcp -m tcp --dport 3306 -j ACCEPT", None),
        ]
        assert [chain["rule_count"] for chain in result["chains"]] == [2]
    assert host.snapshot() == before


def test_live_rules_in_a_playbook(host: Host, audit: Playbook) -> None:
    host.apply(tables={"filter": {"INPUT": ["-p tcp --dport 443 -j ACCEPT"]}}, families=["ipv4"])
    done = audit("rules[?chain==`palisade-INPUT`].rule")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.dumps('found ["-p tcp -m tcp --dport 443 -j ACCEPT"]') in done.stdout
    host.iptables("-A", "OUTPUT", "-p", "tcp", "--dport", "25", "-j", "DROP")
    assert audit("rules[].rule").returncode != 0
    done = audit("rules[?starts_with(chain, 'OUT') && owner==`null`] | [0].rule", unexplained=1)
    assert json.dumps('found "-p tcp -m tcp --dport 25 -j DROP"') in done.stdout, done.stdout + done.stderr


def test_a_wrong_question_is_shown_with_what_jmespath_says(audit: Playbook) -> None:
    done = audit("rules[?chain==")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "wrong expression 'rules[?chain=='" in said
    assert "Incomplete expression" in said
    assert "Traceback" not in said
