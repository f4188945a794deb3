# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests: how long Hypothesis looks for a counter-example. It keeps no database in the checkout."""
from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    'palisade', max_examples=60, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('palisade')
