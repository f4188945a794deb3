# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as the module persists them, made by hand, and the loader that reads them at boot. It judges nothing."""
from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .host import FAMILIES, SHIMS, Host
from .save_text import without_empty_tables

ETC = "/etc/palisade"
RUN = "/run/palisade"
LOADER = "/usr/local/sbin/palisade-firewall"
SOURCE = Path(__file__).resolve().parents[3] / "roles" / "firewall" / "files" / "palisade-firewall"
WRITTEN = "2026-11-21T10:40:35Z"
KINDS = ("rules", "good", "previous", "closed")
#: The host's /usr/sbin becomes its own, so that commands can be taken away.
OWN_COMMANDS = """
mkdir -p /run/overlay/sbin/upper /run/overlay/sbin/work
mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/overlay/sbin/upper,workdir=/run/overlay/sbin/work /usr/sbin
"""
#: What the tests declare, and the same as the module writes it down: a hook with a policy, one without, a chain, a table with jumps first.
TABLES: dict[str, dict[str, Any]] = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": ["-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-j web"],
        },
        "OUTPUT": ["-d 192.0.2.66/32 -j REJECT --reject-with icmp-port-unreachable"],
        "web": ["-p tcp -m tcp --dport 80 -m comment --comment \"a -j b # of \\\"words\\\" $(false) `false` *\" -j ACCEPT"],
    },
    "nat": {"PREROUTING": ["-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80"]},
}
_FILTER = """*filter
:palisade-INPUT - [0:0]
:palisade-OUTPUT - [0:0]
:palisade-web - [0:0]
#hook INPUT last DROP
#hook OUTPUT last -
-A palisade-INPUT -i lo -j ACCEPT
-A palisade-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A palisade-INPUT -j palisade-web
-A palisade-OUTPUT -d 192.0.2.66/32 -j REJECT --reject-with icmp-port-unreachable
-A palisade-web -p tcp -m tcp --dport 80 -m comment --comment "a -j b # of \\"words\\" $(false) `false` *" -j ACCEPT
COMMIT
"""
_NAT = """*nat
:palisade-PREROUTING - [0:0]
#hook PREROUTING first -
-A palisade-PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
COMMIT
"""
_FILTER6 = "".join(line for line in _FILTER.splitlines(keepends=True) if "icmp-port" not in line)
SECTIONS = {"ipv4": _FILTER + _NAT, "ipv6": _FILTER6 + _NAT}


def one_rule(port: int, hook: str = "INPUT") -> dict[str, str]:
    """Return a small set for both families that is known by its port."""
    section = f"*filter\n:palisade-{hook} - [0:0]\n#hook {hook} last DROP\n-A palisade-{hook} -p tcp -m tcp --dport {port} -j ACCEPT\nCOMMIT\n"
    return dict.fromkeys(FAMILIES, section)


PREVIOUS = one_rule(1003)
CLOSED = one_rule(1004)


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


def install_sets(host: Host) -> None:
    """The loader, and what a boot then finds: rules, and a closed set."""
    install(host)
    put(host, "rules", persisted(SECTIONS, backend=host.backend))
    put(host, "closed", persisted(CLOSED, backend=host.backend))


def without(host: Host, *patterns: str) -> None:
    """Take commands away from a host."""
    host.run("sh", "-euc", OWN_COMMANDS + "".join(f"rm -f /usr/sbin/{pattern} {SHIMS}/{pattern}\n" for pattern in patterns))


def with_all_again(host: Host) -> None:
    """Give the host its commands back."""
    host.run("umount", "/usr/sbin")
    host.run("rm", "-r", "/run/overlay/sbin")


def loader(host: Host, *arguments: str, through: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the loader; `through` is a command that starts it, such as another shell."""
    return host.run(*through, LOADER, *arguments, check=False)


def last_load(host: Host, name: str = "palisade") -> dict[str, str]:
    """Return what the loader noted of its last load."""
    lines = host.run("cat", f"{RUN}/{name}.loaded").stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def boot(host: Host, *arguments: str) -> None:
    """Run the loader as at boot, and insist that it succeeds."""
    done = loader(host, "boot", *arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def live(host: Host) -> dict[str, dict[str, list[str]]]:
    """Return what a packet can meet, by family and table."""
    return {family: without_empty_tables(host.save(family)) for family in FAMILIES}


def loaded_alone(host: Host, sections: Mapping[str, str], **options: str) -> dict[str, dict[str, list[str]]]:
    """Load a set on a fresh host, and return what a packet meets then."""
    install(host)
    put(host, "rules", persisted(sections, backend=host.backend, **options))
    boot(host)
    return live(host)
