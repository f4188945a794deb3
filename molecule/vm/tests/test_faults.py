# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full and read-only file systems: one error that names what it was, nothing has changed, and no file is torn.

A clock that jumps and a /run that is full while a change waits are in test_confirm.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from devkit import vm

from .changing import FILL_RUN, kept, left_behind, running, wait_for
from .test_damage import FILL_THE_DISK, ON_BOOKWORM, ON_TRIXIE

FULL, READ_ONLY = "No space left on device", "is read-only. Nothing has changed"


def good(**options: object) -> dict[str, object]:
    """Return the arguments of a change that cuts nobody off."""
    rules = ["-i lo -j ACCEPT", "-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-p tcp --dport 22 -j ACCEPT", "-6 -p ipv6-icmp -j ACCEPT"]
    return {"tables": {"filter": {"INPUT": {"policy": "DROP", "rules": rules}}}, "persist": True, "confirm_timeout": 60, **options}


@contextmanager
def trouble(machine: vm.Machine, begin: str, end: str) -> Iterator[None]:
    """Make trouble as long as the block lasts."""
    machine.check(begin)
    try:
        yield
    finally:
        machine.check(end)


TROUBLES = {
    # Not even Ansible can unpack the module there; what came of it is asked of the machine.
    "/ is full": (FILL_THE_DISK, "rm /filler", "No usable temporary directory found"),
    "/etc is full": ("""
        set -e; mount -t tmpfs -o size=256k,mode=0700 none /mnt; cp -a /etc/palisade/. /mnt/; mount --bind /mnt /etc/palisade
        dd if=/dev/zero bs=4k >/mnt/filler 2>/dev/null || :""", "umount /etc/palisade /mnt", FULL),
    "/run is full": (FILL_RUN, "rm /run/filler", FULL),
    "/etc is read-only": ("mount --bind /etc /etc; mount -o remount,bind,ro /etc", "umount /etc", READ_ONLY),
    "/ is read-only": ("sync; echo u >/proc/sysrq-trigger; until ! touch /probe 2>/dev/null; do sleep 0.1; done",
                       "mount -o remount,rw /; rm -f /probe", READ_ONLY),
}
"""What is done, how it is undone, the words for it."""


# Two tests, and not one for pairs of machine and trouble: pytest would run it behind all others, when there is no IPv6 any more.
@ON_BOOKWORM
@pytest.mark.parametrize("what", ["/ is full", "/etc is full", "/etc is read-only"])
def test_what_cannot_be_written_is_named_and_nothing_has_changed(machine: vm.Machine, what: str) -> None:
    change_and_be_refused(machine, what)


@ON_TRIXIE
@pytest.mark.parametrize("what", ["/run is full", "/ is read-only"])
def test_what_cannot_be_written_is_named_on_the_other_machine_too(machine: vm.Machine, what: str) -> None:
    change_and_be_refused(machine, what)


def change_and_be_refused(machine: vm.Machine, what: str) -> None:
    """Insist on one error that says what it was, and on rules, files and units from before."""
    begin, end, words = TROUBLES[what]
    before = kept(machine)
    with trouble(machine, begin, end), running(machine, good()) as run:
        result = run.result()
    assert result["failed"], result
    message = str(result["msg"])
    assert words in message and message.count("\n") <= 1, message
    assert "othing has changed" in message or "what was there before is in force" in message, message
    assert kept(machine) == before
    assert machine.check("ls -A /etc/palisade | grep '^[.]' || :") == ""
    assert left_behind(machine) == ""


@ON_TRIXIE
def test_files_that_cannot_take_their_places_are_told_of_and_written_later(machine: vm.Machine) -> None:
    """/etc becomes read-only between the change and its confirmation. What is live is good; so is what the next boot would load, the old set."""
    machine.check("cp -a /etc/palisade /root/palisade")
    before = kept(machine)
    with running(machine, good()) as run:
        wait_for(machine, run)
        with trouble(machine, "mount --bind /etc /etc; mount -o remount,bind,ro /etc", "umount /etc"):
            result = run.result()
            now = kept(machine)
    assert result["failed"], result
    assert "The change is live and confirmed, but its files could not be written" in result["msg"], result["msg"]
    assert "Read-only file system" in result["msg"], result["msg"]
    assert now.files == before.files
    assert now.rules != before.rules
    machine.check("palisade-firewall reload")
    later = kept(machine)
    assert later.rules == now.rules
    assert later.files != before.files
    machine.check("palisade-firewall status; rm -r /etc/palisade; mv /root/palisade /etc/palisade; palisade-firewall reload")
    assert kept(machine) == before
