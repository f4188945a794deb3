# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests: how long Hypothesis looks for a counter-example, and that none of them ever changes the machine it runs on.

Hypothesis keeps no database in the checkout.
"""
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import BaseHost
from hypothesis import HealthCheck, settings

settings.register_profile(
    'palisade', max_examples=60, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('palisade')


@pytest.fixture(autouse=True)
def _this_machine_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that forgets to put a fake in the host's place would find this machine's own packet filter: without the lock nothing changes."""
    lock = BaseHost.lock

    def guarded(self: BaseHost) -> Any:
        assert self.run_directory != '/run/palisade', 'a unit test was about to change this machine'
        return lock(self)

    monkeypatch.setattr(BaseHost, 'lock', guarded)
