# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables' own extension tests, from Debian's source package, as candidate rules. It judges none of them.

The source is fetched with apt into .cache/ of the checkout, from the machine's own mirrors but a private sources
list, and never committed. The format is that of extensions/*.t: `:CHAIN,CHAIN`, `*table`, `rule;saved as;result`,
`%iptables COMMAND` to load a rule that the next ones need, `@command` for tools outside iptables.
"""
from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
CACHE = CHECKOUT / ".cache" / "iptables-source"
COMMENTED = re.compile(r"^#\s*(?=\S.*;\S*;(?:OK|FAIL|NOMATCH)\b)")
FAMILY_FILES = {"ipv4": ("iptables", "libipt_", "libxt_"), "ipv6": ("iptables", "libip6t_", "libxt_")}


@dataclass(frozen=True)
class Candidate:
    """One rule in one hook. `needs` are rules that have to be loaded before it, and are put into the same hook: legacy keeps
    user chains in the order of their names, so that only there a rule is sure to be behind them.
    `expected`: iptables' own authors accept the rule.
    """

    table: str
    chain: str
    rule: str
    needs: tuple[Candidate, ...] = ()
    expected: bool = True

    @property
    def line(self) -> str:
        return f"-A {self.chain} {self.rule}"


def candidates(family: str) -> list[Candidate]:
    """Return every rule of the family's test files, in every hook they name, once."""
    folder = _fetched() / "extensions"
    paths = [path for path in sorted(folder.glob("*.t")) if path.name.startswith(FAMILY_FILES[family])]
    return list(dict.fromkeys(candidate for path in paths for candidate in _read(path.read_text(encoding="utf-8"))))


def _read(text: str) -> Iterator[Candidate]:
    table, chains = "filter", [""]
    needs: dict[str, None] = {}
    for line in text.splitlines():
        line = COMMENTED.sub("", line)
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains = line[1:].strip().split(",")
        elif line.startswith("%"):
            _note_needed(line, needs)
        elif line.strip() and not line.startswith(("#", "@")):
            rule, _saved, result = line.split(";")[:3]
            for chain in chains:
                before = tuple(Candidate(table, chain, needed) for needed in needs)
                yield Candidate(table, chain, rule.strip(), before, result.strip() == "OK")


def _note_needed(line: str, needs: dict[str, None]) -> None:
    action, rule = line.split(" ", 3)[1::2]
    if action == "-D":
        needs.pop(rule, None)
    else:
        needs[rule] = None


def _fetched() -> Path:
    """Return the unpacked source of the iptables that this machine's Debian has."""
    if not CACHE.exists():
        work = CACHE.with_name(f"{CACHE.name}.{os.getpid()}")
        (work / "lists" / "partial").mkdir(parents=True)
        (work / "archives" / "partial").mkdir(parents=True)
        sources = _source_lines(work)
        apt = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null"]
        apt += ["-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}", "-o", "APT::Sandbox::User=root"]
        for command in (["update"], ["--download-only", "source", "iptables"]):
            subprocess.run([*apt, *command], cwd=work, check=True, stdin=subprocess.DEVNULL)
        (archive,) = work.glob("iptables_*.orig.tar.*")
        (work / "source").mkdir()
        unpack = ["tar", "--extract", "--no-same-owner", f"--file={archive}", f"--directory={work / 'source'}"]
        subprocess.run(unpack, check=True, stdin=subprocess.DEVNULL)
        try:
            work.rename(CACHE)
        except OSError:  # another worker was first
            assert CACHE.exists()
    (folder,) = (CACHE / "source").iterdir()
    return folder


def _source_lines(work: Path) -> Path:
    """Write the machine's own package sources as source-package ones, in the one format apt reads without a suffix."""
    deb822 = [path.read_text(encoding="utf-8") for path in Path("/etc/apt/sources.list.d").glob("*.sources")]
    one_line = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.list")]
    lines = [line for path in one_line if path.exists() for line in path.read_text(encoding="utf-8").splitlines()]
    plain = [re.sub(r"^deb(?=\s)", "deb-src", line) for line in lines if re.match(r"deb\s", line)]
    if deb822:
        sources = work / "private.sources"
        stanzas = [re.sub(r"(?mi)^Types:.*$", "Types: deb-src", text).strip() for text in deb822]
        sources.write_text("\n\n".join(stanzas) + "\n", encoding="utf-8")
    else:
        sources = work / "private.list"
        sources.write_text("\n".join(plain) + "\n", encoding="utf-8")
    return sources
