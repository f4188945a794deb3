# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five source documents: each one's rules, run by real iptables, and what our variables come to, over the same grid of flows."""
from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy
from ansible_collections.palisade.netfilter.plugins.module_utils._policy_variables import read_variables

from .support.compared import build, judged, run_script
from .support.differences import listed, sort_out
from .support.documents import DOCUMENTS, FOLDER, LEAST_FLOWS, Document
from .support.host import COLLECTIONS, Host

BY_NAME = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
#: Lines that the documents print and iptables refuses, so that the transcripts have others: document, command.
REFUSED = (
    ("002", "-A INPUT -i ! WAN1 -j ACCEPT"),
    ("002", "-A OUTPUT -o ! WAN1 -j ACCEPT"),
    ("002", "-I INPUT 0 -p tcp -m conntrack --ctstate INVALID -j DROP"),
    ("004", "-A INPUT -p tcp -m multiport --dport 80,443,8080 --sport 1024:65535 -j ACCEPT"),
    ("004", "-A INPUT -p tcp -m multiport --dport 25,110,143 --sport 1024:65535 -j ACCEPT"),
)


def apply_variables(host: Host, document: Document) -> None:
    """Bring a host to what the document's variables come to, as a role does."""
    variables = yaml.safe_load((FOLDER / f"{document.name}.yml").read_text(encoding="utf-8"))
    read = read_variables(variables)
    assert read.profile
    host.apply(tables=compile_policy(read.profile, read.policy).tables)


@BY_NAME
def test_every_flow_has_the_fate_that_the_document_gives_it(new_host: Callable[[], Host], document: Document) -> None:
    cases = document.grid().cases
    assert sum(len(case.flows) for case in cases) >= LEAST_FLOWS
    assert len({case.text() for case in cases}) == len(cases), "two cases have one name"
    theirs, ours = new_host(), new_host()
    for host in (theirs, ours):
        build(host, document)
    run_script(theirs, document)
    apply_variables(ours, document)
    by_document, by_ours = (judged(host, document, cases) for host in (theirs, ours))
    assert {"accept", "drop"} <= {fate for fates in by_document for fate in fates if isinstance(fate, str)}
    unexplained, unneeded = sort_out(cases, by_document, by_ours, listed(document.name))
    assert not unexplained, f"{len(unexplained)} packets:\n" + "\n".join(unexplained)
    assert not unneeded, "differences that are listed and do not occur"


@pytest.mark.parametrize(("document", "line"), REFUSED)
def test_a_line_that_a_document_prints_is_refused(host: Host, document: str, line: str) -> None:
    done = host.run("iptables", *line.split(), check=False)
    assert done.returncode != 0, f"document {document}: the transcript may have its line"


@BY_NAME
def test_the_page_tells_the_variables_and_the_differences(document: Document) -> None:
    page = (COLLECTIONS.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    variables = (FOLDER / f"{document.name}.yml").read_text(encoding="utf-8").partition("---\n")[2]
    assert f"```yaml\n{variables}```\n" in page, "docs/sources.md has other variables than the test"
    section = " ".join(page.partition(variables)[2].partition("\n## ")[0].split())
    told = [f"**{difference.name}.** {' '.join(difference.reason.split())}" for difference in listed(document.name)]
    assert [text for text in told if text not in section] == [], "docs/sources.md does not tell these"
    assert section.count("**") == 2 * len(told), "docs/sources.md tells more"
