# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the kernel tests: real iptables, both backends, in namespaces of this machine. Needs root."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .support.host import BACKENDS, Host


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_host(backend: str) -> Iterator[Callable[[], Host]]:
    """Make as many throwaway hosts of the backend as the test wants."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Host(backend))


@pytest.fixture
def host(new_host: Callable[[], Host]) -> Host:
    """One throwaway host without a single rule."""
    return new_host()
