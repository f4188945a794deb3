# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions for people who are used to nox. Each only calls ``scripts/test`` with one group; nothing is decided here."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"


@nox.session
def lint(session: nox.Session) -> None:
    """Linters, formatters' checks, licences, changelog, documentation, build and install."""
    session.run("scripts/test", "lint", external=True)


@nox.session
def sanity(session: nox.Session) -> None:
    """Run ``ansible-test sanity`` without ignore files."""
    session.run("scripts/test", "sanity", external=True)


@nox.session
def unit(session: nox.Session) -> None:
    """Pure code, on the controller's Python and on the oldest of the targets."""
    session.run("scripts/test", "unit", external=True)


@nox.session
def kernel(session: nox.Session) -> None:
    """Real iptables in namespaces."""
    session.run("scripts/test", "kernel", external=True)


@nox.session
def molecule(session: nox.Session) -> None:
    """Roles on a whole machine in a container."""
    session.run("scripts/test", "molecule", external=True)
