# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as the module persists them, made by hand, and the loader that reads them at boot. It judges nothing."""
from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .host import FAMILIES, Host

ETC = "/etc/palisade"
RUN = "/run/palisade"
LOADER = "/usr/local/sbin/palisade-firewall"
SOURCE = Path(__file__).resolve().parents[3] / "roles" / "firewall" / "files" / "palisade-firewall"
WRITTEN = "2026-11-21T10:40:35Z"
KINDS = ("rules", "good", "previous", "closed")


def persisted(
    sections: Mapping[str, str],
    *,
    backend: str,
    name: str = "palisade",
    scope: str = "chains",
    asked: Sequence[str] = FAMILIES,
    written: str = WRITTEN,
) -> str:
    """Return the text of a file, whose sections are given by family."""
    head = ["palisade.netfilter rules 1", f"name {name}", f"backend {backend}", f"asked {' '.join(asked)}", f"written {written}"]
    text = "".join(f"# {line}\n" for line in head)
    text += "".join(f"# family {family} {scope}\n{section}" for family, section in sections.items())
    return f"{text}# end sha256 {hashlib.sha256(text.encode()).hexdigest()}\n"


def install(host: Host) -> None:
    """Put the loader where the role puts it, and an empty directory for its files."""
    host.run("sh", "-euc", f"install -D -m 755 {SOURCE} {LOADER}; install -d -m 700 {ETC}")


def put(host: Host, kind: str, text: str, *, name: str = "palisade") -> None:
    """Write one file of a ruleset as the module leaves it."""
    host.run("sh", "-euc", f"umask 077; cat > {ETC}/{name}.{kind}", text=text)


def loader(host: Host, *arguments: str, through: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the loader; `through` is a command that starts it, such as another shell."""
    return host.run(*through, LOADER, *arguments, check=False)


def last_load(host: Host, name: str = "palisade") -> dict[str, str]:
    """Return what the loader noted of its last load."""
    lines = host.run("cat", f"{RUN}/{name}.loaded").stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)
