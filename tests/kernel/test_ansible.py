# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task as users write it, through ansible and its action plugin, on a throwaway host."""
from __future__ import annotations

import json
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
Task = Callable[..., dict[str, Any]]


@pytest.fixture
def task(host: Host, tmp_path: Path) -> Task:
    """Run one task on the host by `ansible localhost`, and return its result."""
    ansible = str(Path(sys.executable).with_name("ansible"))
    variables = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }

    def run(name: str, *options: str, **arguments: Any) -> dict[str, Any]:
        words = [f"{key}={value}" for key, value in variables.items()]
        interpreter = json.dumps({"ansible_python_interpreter": sys.executable})
        command = [ansible, "localhost", "-c", "local", "-e", interpreter, "-m", name, "-a", json.dumps(arguments), *options]
        done = host.run("env", "-C", str(tmp_path), *words, *command, check=False)
        shown, unused, found = done.stdout.partition(" => ")
        assert found, done.stderr
        return {"shown": shown, "failed": "FAILED!" in shown, **json.loads(found)}

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
