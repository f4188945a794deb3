# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the kernel tests: real iptables, both backends, in namespaces of this machine. Needs root."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernel_support.host import BACKENDS, Host, link_collection


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the checkout as an installed collection."""
    return link_collection(tmp_path_factory.mktemp("collections"))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_host(backend: str, collections: Path) -> Iterator[Callable[[], Host]]:
    """Make as many throwaway hosts of the backend as the test wants."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Host(backend, collections))


@pytest.fixture
def host(new_host: Callable[[], Host]) -> Host:
    """One throwaway host without a single rule."""
    return new_host()
