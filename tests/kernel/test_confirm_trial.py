# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no new connection could confirm is said before the change, where ssh shares a connection that somebody else has opened. Over a real ssh."""
from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from .support.confirming import until
from .support.host import Host
from .test_guard import ESTABLISHED, SSH, tables
from .test_over_ssh import play, ssh_client

FIRST = tables([ESTABLISHED, SSH])
SECOND = tables([ESTABLISHED, SSH, "-p tcp --dport 80 -j ACCEPT"])


def apply(host: Host, inside: Sequence[str], directory: Path, options: dict[str, object], variables: str) -> subprocess.CompletedProcess[str]:
    """Apply rules by a playbook of its own, which says what became of it."""
    given = {"backend": host.backend, "families": ["ipv4"], **options}
    told: dict[str, object] = {"ansible.builtin.debug": {"msg": "it is {{ said.confirm.state | default('nothing') }}"}}
    return play(inside, directory, "ipv4", [{"palisade.netfilter.iptables_ruleset": given, "register": "said"}, told], variables)


def place(text: str, *words: str) -> list[int]:
    """Return where these words stand, lines joined: Ansible breaks what it warns of."""
    flat = " ".join(text.split())
    found = [flat.find(word) for word in words]
    assert -1 not in found, text
    return found


@pytest.mark.parametrize("backend", ["nft"])  # It makes no difference to this.
def test_what_nobody_could_confirm_is_said_before_anything_changes(host: Host, tmp_path: Path) -> None:
    """A person has opened the connection that ssh shares by its own configuration: first anybody may log in, then a person alone, then nobody."""
    config = tmp_path / "config"
    config.write_text(f"Host *\nControlPath {tmp_path}/mine\n")
    variables = f"ansible_ssh_args='-F {config} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
    with ssh_client(host, tmp_path) as inside:
        way = ["ssh", "-F", str(config), "-i", f"{tmp_path}/user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        master = subprocess.Popen([*inside, *way, "-o", "ControlMaster=yes", "root@10.99.0.1", "echo ready; exec sleep 600"], stdout=subprocess.PIPE)
        try:
            assert master.stdout is not None
            assert master.stdout.readline() == b"ready\n"
            fine = apply(host, inside, tmp_path, FIRST, variables)
            (tmp_path / "user.pub").write_text("")
            person = apply(host, inside, tmp_path, SECOND, variables)
            before = host.save()
            host.run("kill", (tmp_path / "sshd.pid").read_text().strip())
            assert until(lambda: not (tmp_path / "sshd.pid").exists(), 20)  # It takes the file away itself; sessions go on.
            nobody = apply(host, inside, tmp_path, FIRST, variables)
            after = host.save()
        finally:
            master.kill()
            master.communicate()
    assert "it is proved" in fine.stdout, fine.stdout + fine.stderr
    assert "will not be confirmed" not in fine.stdout + fine.stderr
    assert "it is unproved" in person.stdout, person.stdout + person.stderr
    place(person.stderr + person.stdout, "if rules change, that will not be confirmed by a new connection: a new connection reached the host, which "
                                         "refused to let it log in by itself: root@10.99.0.1: Permission denied")
    assert "--dport 80" in before
    assert (nobody.returncode, after) == (2, before), nobody.stdout
    place(nobody.stdout, "no new connection to this host can be made now", f"only the one that your own ssh shares ({tmp_path}/mine) comes through",
          "Nothing has changed. allow_lockout: true tries it")
