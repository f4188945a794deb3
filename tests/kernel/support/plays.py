# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role applied to a throwaway host by ansible-playbook, which runs on that host. It holds no test logic."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .host import Host

CHECKOUT = Path(__file__).resolve().parents[3]
Play = Callable[..., "subprocess.CompletedProcess[str]"]


def player(host: Host, folder: Path, role: str, **always: Any) -> Play:
    """Make what applies the role with some variables, and insists on how often it says `changed`, or that it fails (None)."""
    playbook = folder / "play.yml"
    roles = [{"role": f"palisade.netfilter.{role}"}]
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "roles": roles}]), encoding="utf-8")
    variables = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"), "ANSIBLE_LOCALHOST_WARNING": "0",
    }

    def play(*options: str, changed: int | None, **said: Any) -> subprocess.CompletedProcess[str]:
        given = {"ansible_python_interpreter": sys.executable, "firewall_backend": host.backend, **always, **said}
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        words = [f"{key}={value}" for key, value in variables.items()]
        command = [program, "-i", "localhost,", "-c", "local", "-e", json.dumps(given), str(playbook), *options]
        done = host.run("env", "-C", str(folder), *words, *command, check=False)
        found = re.search(r"^localhost +: .*changed=(\d+) .*failed=(\d)", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr
        assert (found.group(2) == "0", int(found.group(1))) == (changed is not None, changed or 0), done.stdout
        return done

    return play


def message(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one message of a play that has failed."""
    (found,) = re.findall(r'"msg": "(.*)"\}$', done.stdout, re.MULTILINE)
    return str(found)
