# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What virtual machines are made with, what is told of those that there are, and the group that they have for themselves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import List, Optional

import pytest
from devkit import groups, vm
from devkit.report import Outcome
from devkit.shell import SetupError


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Give the list of the scenarios that are run."""
    ran: List[str] = []

    def scenario(_bench: object, name: str, **_options: object) -> Outcome:
        ran.append(name)
        return Outcome(passed=1)

    monkeypatch.setattr(groups, "_scenario", scenario)
    monkeypatch.setattr(groups, "Bench", lambda log: None)
    monkeypatch.setattr(groups, "run", lambda argv, log: 0)
    monkeypatch.setattr(groups, "output", lambda argv: ran.append(" ".join(argv[-4:])))
    monkeypatch.setattr(groups, "_clear_away", lambda scenarios, log: None)
    monkeypatch.setattr(groups, "test_images", lambda suites, log: [])
    monkeypatch.setattr(groups.machine, "install_packages", lambda names, log: None)
    monkeypatch.setattr(groups.engine, "ensure", lambda log: None)
    monkeypatch.setattr(vm, "ensure", lambda releases, log: None)
    return ran


def test_virtual_machines_are_a_group_of_their_own(scenarios: List[str]) -> None:
    groups.GROUPS["vm"](io.StringIO())
    assert scenarios == ["vm", "vm stop bookworm trixie"]
    scenarios.clear()
    groups.GROUPS["molecule"](io.StringIO())
    assert "default" in scenarios and "vm" not in scenarios


@pytest.mark.parametrize(
    ("says", "good"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n", False),
        ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\n", True),
        ("QEMU emulator version 9.2.0\n", False),
        (None, False),
    ],
)
def test_only_a_new_qemu_of_the_machine_is_used(says: Optional[str], good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "output", lambda argv: says)
    monkeypatch.setattr(vm.shutil, "which", lambda program: f"/usr/bin/{program}")
    assert vm._qemu("qemu-img")[-1] == ("qemu-img" if good else str(vm.FOLDER / "qemu" / "usr" / "bin" / "qemu-img"))


def test_a_failed_build_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "FOLDER", tmp_path)
    monkeypatch.setattr(vm, "LOGS", tmp_path)
    monkeypatch.setattr(vm.machine, "install_packages", lambda names, log: None)
    monkeypatch.setattr(vm, "as_root", lambda argv, env: argv)
    monkeypatch.setattr(vm, "run", lambda argv, log, env: log.write("said this\n") and int("trixie" in argv))
    log = io.StringIO()
    with pytest.raises(SetupError, match=r"build-vm trixie .* failed, see .*vm-trixie\.log"):
        vm.ensure(["bookworm", "trixie"], log)
    assert "said this" in log.getvalue()


def test_machines_are_found_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "FOLDER", tmp_path)
    (tmp_path / "run" / "mine").mkdir(parents=True)
    (tmp_path / "run" / "mine" / "release").write_text("trixie")
    mine = vm.Machine("mine", "trixie")
    assert vm.named("mine") == mine
    assert vm.started() == [mine]
    assert (mine.address, mine.address6, mine.pid) == ("192.0.2.13", "2001:db8:2::13", None)
    with pytest.raises(SetupError, match="no virtual machine other"):
        vm.named("other")
