# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots with damaged files, without files, and without iptables: the last good set, or closed; ssh gets in, and the unit says what was wrong.

A neighbour knocks all through each boot. What else a file can have is in molecule/persistence, in containers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.molecule.shared.machines import UNIT
from devkit import vm

from .changing import Kept, kept, met, until
from .knocking import Knocks, knocking

RULES, GOOD = "/etc/palisade/palisade.rules", "/etc/palisade/palisade.good"
BINARIES = "/usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi"
GONE = "/usr/local/gone"
ON_BOOKWORM = pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
ON_TRIXIE = pytest.mark.parametrize("machine", ["trixie"], indirect=True)


@pytest.fixture
def as_it_was(machine: vm.Machine) -> Iterator[Kept]:
    """Give the rules and files; have them again afterwards."""
    before = kept(machine)
    machine.check("rm -rf /root/palisade; cp -a /etc/palisade /root/")
    yield before
    machine.check(f"""
        if [ -d {GONE} ]; then mv {GONE}/* /usr/sbin/; rmdir {GONE}; fi
        rm -rf /etc/palisade; mv /root/palisade /etc/; systemctl reset-failed {UNIT}; systemctl restart {UNIT}""")
    assert kept(machine) == before
    assert machine.check("nft list tables | grep closed || :") == ""
    assert met(machine) == "refused"


def damaged_boot(machine: vm.Machine, damage: str) -> Knocks:
    """Do the damage, boot, and return what a neighbour met meanwhile. The machine is reached by ssh afterwards, and the unit has failed."""
    machine.check(damage)
    with knocking(machine) as knocks:
        machine.reboot()
    shown = machine.check(f"systemctl show --property=UnitFileState,ActiveState,Result {UNIT}").split()
    assert set(shown) == {"UnitFileState=enabled", "ActiveState=failed", "Result=exit-code"}
    return knocks


def said(machine: vm.Machine) -> str:
    """Return what the unit has said in this boot."""
    return machine.check(f"journalctl --sync; journalctl -q -b -o cat -u {UNIT}")


def answers(knocks: Knocks, port: int) -> set[str]:
    """Return what was met at a port, over whichever family."""
    return {answer for where, met_there in knocks.items() if where.endswith(f" {port}") for answer in met_there}


@ON_BOOKWORM
def test_with_a_corrupt_file_the_last_good_set_is_loaded(machine: vm.Machine, as_it_was: Kept) -> None:
    knocks = damaged_boot(machine, f"sed -i 's/--dport 443 /--dport 8080 /' {RULES}")
    journal = said(machine)
    assert f"{RULES} is not used: its checksum is wrong" in journal and "loaded from: good" in journal, journal
    assert kept(machine).rules == as_it_was.rules
    assert answers(knocks, 8080) == {"silence"}
    assert answers(knocks, 443) == {"silence", "refused"}


@ON_TRIXIE
def test_with_a_torn_file_and_a_missing_one_the_machine_is_closed_but_for_management(machine: vm.Machine, as_it_was: Kept) -> None:
    """On a disk without a free block, too: the loader writes none."""
    knocks = damaged_boot(machine, f"rm -f {RULES} /etc/palisade/palisade.previous; truncate --size=-30 {GOOD}; {FILL_THE_DISK}")
    machine.check("rm /filler")
    journal = said(machine)
    assert f"{RULES} is not used: it is missing" in journal, journal
    assert f"{GOOD} is not used: its last line, which proves it whole" in journal and "loaded from: closed" in journal, journal
    assert answers(knocks, 8080) == {"silence"} and "open" not in answers(knocks, 443)  # which was refused until the old kernel ended
    assert met(machine) == "silence"


FILL_THE_DISK = """
    fallocate -l $(df --output=avail --block-size=1 / | tail -n 1) /filler || :
    while dd if=/dev/zero bs=64k count=64 2>/dev/null >>/filler; do :; done
    while dd if=/dev/zero bs=1k count=1 2>/dev/null >>/filler; do :; done; sync
"""
"""What is kept for root included."""


@ON_BOOKWORM
def test_without_iptables_the_machine_is_closed_through_nft(machine: vm.Machine, as_it_was: Kept) -> None:
    knocks = damaged_boot(machine, f"mkdir {GONE}; mv {BINARIES} {GONE}; ! command -v iptables-restore")
    journal = said(machine)
    assert "CLOSED through nft" in journal, journal
    assert answers(knocks, 8080) == {"silence"} and "open" not in answers(knocks, 443)  # which was refused until the old kernel ended
    assert met(machine) == "silence"
    # And without nft somebody has to be told: nobody closes anything then.
    machine.check(f"nft flush ruleset; rm /run/palisade/closed-by-nft; mv /usr/sbin/nft {GONE}")
    assert machine.run(f"systemctl restart {UNIT}").returncode == 1
    until(lambda: said(machine).count("could not be closed, it is NOT FILTERED by us") == 2, 30, "both families are named")
    assert machine.check(f"systemctl is-failed {UNIT}") == "failed"
