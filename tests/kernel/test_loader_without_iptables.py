# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots that find no iptables: nft closes the host, lets in whom the closed set lets in, and is gone once iptables is back. Rules by packets."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._policy import compile_policy

from .support.confirming import start, tell
from .support.host import FAMILIES, SHIMS, Host
from .support.persisted import (
    CLOSED,
    ETC,
    RUN,
    SECTIONS,
    boot,
    install,
    install_sets,
    last_load,
    live,
    loader,
    persisted,
    put,
    with_all_again,
    without,
)
from .support.save_text import policies
from .support.wire import NEIGHBOUR, OWN, cable, connects, flush_neighbours, listening

NewHost = Callable[[], Host]
TABLES = {"ipv4": "ip palisade-closed", "ipv6": "ip6 palisade-closed"}
#: Which backend the files are for makes no difference to nft.
ONCE = pytest.mark.parametrize("backend", ["nft"])


@pytest.fixture
def ready(host: Host) -> Host:
    install_sets(host)
    return host


def table(host: Host, family: str = "ipv4") -> str:
    """Return the table that closes a family, as nft lists it, or nothing."""
    return host.run("nft", "list", "table", *TABLES[family].split(), check=False).stdout


def tables(host: Host) -> list[str]:
    return sorted(line.removeprefix("table ") for line in host.run("nft", "list", "tables").stdout.splitlines())


# What it lets in

#: Policies, and what of tcp 22 and 443 their closed set lets in from the neighbour.
POLICIES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "management": ("server", {"management": {"from": list(NEIGHBOUR.values())}, "services": {"https": {}}}, True),
    "management from elsewhere": ("server", {"management": {"from": ["198.51.100.0/24", "2001:db8:9::/48"]}, "services": {"https": {}}}, False),
    "ssh, with a rate limit": ("server", {"services": {"ssh": {"rate_limit": {"hits": 4, "seconds": 60}}, "https": {}}}, True),
    "ssh but from here": ("server", {"services": {
        "bad": {"ports": 22, "protocols": "tcp", "from": list(NEIGHBOUR.values()), "action": "drop"}, "ssh": {}, "https": {}}}, False),
    "ssh by knocking": ("server", {"services": {"ssh": {"knock": ["tcp/7001", "udp/8001"]}, "https": {}}}, False),
    "nothing may leave": ("workstation", {"outbound": {"policy": "drop"}, "services": {"ssh": {}, "https": {}}}, True),
    "forged sources": ("server", {
        "antispoof": {"interfaces": ["eth0"], "networks": ["192.0.2.0/24", "2001:db8::/32"]}, "services": {"ssh": {}}}, False),
    "a router's LAN": ("nat_router", {
        "wan": {"line": {"interfaces": "ppp0"}}, "lan": {"office": {"interfaces": "eth0", "networks": ["192.0.2.0/24", "2001:db8::/64"]}}}, True),
    "a router's WAN": ("nat_router", {
        "wan": {"line": {"interfaces": "eth0"}}, "lan": {"office": {"interfaces": "eth1", "networks": ["198.51.100.0/24"]}}}, False),
}


@ONCE
@pytest.mark.parametrize(("profile", "policy", "comes_in"), POLICIES.values(), ids=POLICIES)
def test_whom_the_closed_set_lets_in(new_host: NewHost, profile: str, policy: Mapping[str, Any], comes_in: bool) -> None:
    host, neighbour = new_host(), new_host()
    install(host)
    cable(host, neighbour)
    compiled = compile_policy(profile, policy)
    host.apply(tables=compiled.tables, fallback=compiled.fallback, persist=True)
    host.apply(state="present", tables={"filter": {}}, persist=False)
    assert "DROP" not in host.save() and "palisade" not in host.save()
    without(host, "ip*tables*")
    assert loader(host, "boot").returncode == 1
    with listening(host, 22, 443), listening(neighbour, 80):
        for family in FAMILIES:
            flush_neighbours(host, neighbour)
            found = connects(neighbour, OWN[family], 22, 443)
            assert found == {22: "accepted" if comes_in else "silence", 443: "silence"}, table(host, family)
        outwards = connects(host, NEIGHBOUR["ipv4"], 80)
        assert outwards == {80: "silence" if "outbound" in policy else "accepted"}


#: Rules of a closed set in iptables' words, and what they are to nft; None for one that lets nobody in. What is not understood refuses more.
SPELLED: dict[str, str | None] = {
    "-s 192.0.2.0/24 ! -d 192.0.2.9/32 -i eth+ -p tcp -m tcp --dport 2000:2010 -j ACCEPT":
        'ip saddr 192.0.2.0/24 ip daddr != 192.0.2.9 iifname "eth*" tcp dport { 2000-2010 } accept',
    '! -i lo -p udp -m udp --sport 53 -m comment --comment "-j DROP; \\"quoted\\" -s x" -j ACCEPT': 'iifname != "lo" udp sport { 53 } accept',
    "-p tcp -m multiport ! --dports 22,8000:8010 -j ACCEPT": "tcp dport != { 22, 8000-8010 } accept",
    "-p tcp -m multiport --ports 22 -j ACCEPT": None,
    "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP":
        "tcp flags != syn / fin,syn,rst,ack ct state != { established, related } drop",
    "-p icmp -m icmp --icmp-type 3/4 -j ACCEPT": "icmp type destination-unreachable icmp code frag-needed accept",
    "-m iprange --src-range 192.0.2.5-192.0.2.9 -j RETURN": "ip saddr 192.0.2.5-192.0.2.9 return",
    "-m mac --mac-source 02:00:00:00:00:AB -j ACCEPT": "ether saddr 02:00:00:00:00:ab accept",
    "-m addrtype --dst-type LOCAL -j palisade-more": "fib daddr type { local } jump palisade-more",
    "-p tcp -m limit --limit 3/min --limit-burst 7 -j ACCEPT": "meta l4proto tcp limit rate 3/minute burst 7 packets accept",
    "-m recent --set --name x --mask 255.255.255.255 --rsource -j ACCEPT": "accept",
    "-m recent --update --seconds 60 --hitcount 4 --name x --mask 255.255.255.255 --rsource -j DROP": None,
    "-m recent --rcheck --seconds 60 --name x --mask 255.255.255.255 --rsource -j ACCEPT": None,
    "-m recent ! --rcheck --name x --mask 255.255.255.255 --rsource -j RETURN": "drop",
    "-s 192.0.2.0/255.0.255.0 -j ACCEPT": None,
    "-m set --match-set friends src -j ACCEPT": None,
    "-s 10.0.0.0/8 -m set ! --match-set friends src -p tcp -j REJECT --reject-with tcp-reset": "ip saddr 10.0.0.0/8 drop",
    "-s 10.0.0.0/8 -m owner --uid-owner 0 -j palisade-more": "ip saddr 10.0.0.0/8 drop",
    "-p tcp -g palisade-more": "meta l4proto tcp drop",
    "-i lo -m comment --comment -j -p tcp -j ACCEPT": 'iifname "lo" drop',
    "-p tcp -j TARPIT": "meta l4proto tcp drop",
    "-p 132 -j LOG --log-prefix \"-j ACCEPT \"": None,
    "-i a;b -j ACCEPT": None,
    "-j palisade-more": "jump palisade-more",
}


@ONCE
@pytest.mark.parametrize("awk", ["mawk", "gawk", "busybox awk", "original-awk"])
def test_what_becomes_of_the_words_of_iptables(host: Host, awk: str) -> None:
    install(host)
    # The name is a link to the machine's own program: it has to go before anything else takes it.
    script = f"command -v {awk.split()[0]}; rm {SHIMS}/awk; cat > {SHIMS}/awk; chmod +x {SHIMS}/awk"
    host.run("sh", "-euc", script, text=f'#!/bin/sh\nexec {awk} "$@"\n')
    section = "".join(f"-A palisade-INPUT {rule}\n" for rule in SPELLED)
    text = f"*filter\n:palisade-INPUT - [0:0]\n:palisade-more - [0:0]\n#hook INPUT last DROP\n{section}COMMIT\n"
    put(host, "closed", persisted({"ipv4": text}, backend="nft"))
    without(host, "ip*tables*")
    assert "ipv4 is CLOSED through nft (table ip palisade-closed): in comes only whom the closed sets let in" in loader(host, "boot").stderr
    listed = table(host)
    (chain,) = re.findall(r"chain palisade-INPUT \{\n(.*?)\t\}", listed, re.DOTALL)
    spelled = [line.strip() for line in chain.splitlines()]
    # nft leaves out what a later word implies, and versions differ in their braces around one element.
    wanted = [re.sub(r"\{ ([^ ,]+) \}", r"\1", rule) for rule in SPELLED.values() if rule]
    found = [re.sub(r"\{ ([^ ,]+) \}", r"\1", line).replace("meta l4proto 6 ", "meta l4proto tcp ") for line in spelled]
    assert found == wanted, "\n".join(found)


@ONCE
def test_whole_tables_are_closed_by_their_own_chains(host: Host) -> None:
    install(host)
    rules = "-A INPUT -s 192.0.2.0/24 -j from@here\n-A from@here -p tcp -m tcp --dport 22 -j ACCEPT\n"
    text = f"*filter\n:INPUT DROP [0:0]\n:from@here - [0:0]\n{rules}COMMIT\n"
    put(host, "closed", persisted({"ipv4": text}, backend="nft", scope="tables"))
    without(host, "ip*tables*")
    loader(host, "boot")
    assert "chain palisade-from_here {\n\t\ttcp dport 22 accept" in re.sub(r"\{ 22 \}", "22", table(host))
    assert "ip saddr 192.0.2.0/24 jump palisade-from_here" in table(host)


@ONCE
def test_without_a_closed_set_nobody_new_comes_in(new_host: NewHost) -> None:
    host, neighbour = new_host(), new_host()
    install(host)
    cable(host, neighbour)
    put(host, "rules", persisted(SECTIONS, backend="nft"))
    put(host, "closed", persisted(CLOSED, backend="nft").replace("1004", "1005"))
    without(host, "ip*tables*")
    assert loader(host, "boot").returncode == 1
    with listening(host, 1004, 1005), listening(neighbour, 80):
        for family in FAMILIES:
            flush_neighbours(host, neighbour)
            assert set(connects(neighbour, OWN[family], 1004, 1005).values()) == {"silence"}
            assert connects(host, NEIGHBOUR[family], 80) == {80: "accepted"}
            assert connects(host, OWN[family], 1004) == {1004: "accepted"}


@ONCE
def test_what_nft_does_not_take_is_closed_as_it_is_built_in(ready: Host) -> None:
    without(ready, "ip*tables*")
    ready.run("sh", "-euc", "mv /usr/sbin/nft /usr/sbin/nft.real; cat > /usr/sbin/nft; chmod 755 /usr/sbin/nft", text="""#!/bin/sh
    [ "$1" = -f ] || exec nft.real "$@"
    text=$(cat)
    case $text in *palisade-INPUT* | *'ct state'*) echo no such thing >&2; exit 1 ;; esac
    printf '%s' "$text" | nft.real -f -
    """)
    done = loader(ready, "boot")
    assert "CLOSED through nft (table ip palisade-closed) without any exception" in done.stderr
    assert [table(ready, family).count("policy drop") for family in FAMILIES] == [2, 2]


# How it comes and goes

@ONCE
def test_it_is_closed_until_iptables_is_back(ready: Host) -> None:
    ready.run("nft", "add table inet somebody; add chain inet somebody own { type filter hook input priority 5 ; }")
    without(ready, "ip*tables*")
    for _time in range(2):
        done = loader(ready, "boot")
        assert done.returncode == 1
        assert [f"{family} is CLOSED through nft" in done.stderr for family in FAMILIES] == [True, True]
        assert (last_load(ready)["from"], last_load(ready)["result"]) == ("built-in", "failed")
        assert tables(ready) == ["inet somebody", TABLES["ipv4"], TABLES["ipv6"]]
        assert "tcp dport" in table(ready) and "1004" in table(ready)
    again = loader(ready, "reload")
    assert (again.returncode, "nothing was changed" in again.stderr) == (1, True)
    shown = loader(ready, "status")
    assert shown.returncode == 1
    assert "not loaded: the commands of the nft backend are not on this host" in shown.stdout
    assert "ipv6 is CLOSED through nft, table ip6 palisade-closed" in shown.stdout
    assert tables(ready) == ["inet somebody", TABLES["ipv4"], TABLES["ipv6"]]
    with_all_again(ready)
    boot(ready)
    assert [name for name in tables(ready) if "filter" not in name and "nat" not in name] == ["inet somebody"]
    assert policies(ready.save())["INPUT"] == "DROP"
    assert loader(ready, "status").returncode == 0
    assert ready.run("ls", "-A", RUN).stdout.split() == ["lock", "palisade.loaded"]


@ONCE
def test_a_load_that_fails_with_iptables_back_is_closed_by_iptables(ready: Host) -> None:
    without(ready, "ip*tables*")
    loader(ready, "boot")
    with_all_again(ready)
    ready.run("sh", "-c", f"for one in {ETC}/*; do echo rubbish > $one; done")
    assert loader(ready, "reload").returncode == 1
    assert table(ready) != "", "a reload that changes nothing opens nothing"
    assert loader(ready, "boot").returncode == 1
    assert policies(ready.save())["INPUT"] == "DROP"
    assert (table(ready), table(ready, "ipv6")) == ("", "")


@ONCE
def test_without_ip6tables_ipv4_is_loaded_and_ipv6_is_closed(ready: Host) -> None:
    without(ready, "ip6tables*")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert "the commands for ipv6 are not on this host. ipv6 is CLOSED through nft" in done.stderr
    assert last_load(ready)["from"] == "rules"
    assert policies(ready.save())["INPUT"] == "DROP"
    assert (table(ready), "1004" in table(ready, "ipv6")) == ("", True)


@ONCE
def test_without_the_commands_for_ipv4_ipv6_is_loaded_and_ipv4_is_closed(ready: Host) -> None:
    without(ready, "iptables*")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert last_load(ready)["from"] == "rules", done.stderr
    assert policies(ready.save("ipv6"))["INPUT"] == "DROP"
    assert ("1004" in table(ready), table(ready, "ipv6")) == (True, "")
    assert "live       ipv4: closed through nft, its commands are not on this host\n" in loader(ready, "status").stdout


@ONCE
def test_without_nft_it_is_said_that_nothing_is_filtered(ready: Host) -> None:
    without(ready, "ip*tables*", "nft")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert "ipv4 could not be closed, it is NOT FILTERED by us: the commands for ipv4 are not on this host, and there is no nft either" in done.stderr
    assert (last_load(ready)["from"], last_load(ready)["result"]) == ("built-in", "failed")
    with_all_again(ready)
    assert tables(ready) == []


@ONCE
def test_of_several_rulesets_each_is_let_in_and_all_have_to_be_back(ready: Host) -> None:
    lab = {family: text.replace("palisade-", "lab-").replace("1004", "1006") for family, text in CLOSED.items()}
    put(ready, "closed", persisted(lab, backend="nft", name="lab"), name="lab")
    put(ready, "rules", persisted(lab, backend="nft", name="lab"), name="lab")
    without(ready, "ip*tables*")
    assert loader(ready, "boot", "palisade").returncode == 1
    assert "1004" in table(ready) and "1006" in table(ready)
    with_all_again(ready)
    done = loader(ready, "boot", "palisade")
    assert (done.returncode, "ipv4 stays closed through nft, since there are other rulesets" in done.stderr) == (0, True)
    assert "1006" in table(ready)
    boot(ready)
    assert table(ready) == ""


@ONCE
def test_a_flush_opens_such_a_host_too(ready: Host) -> None:
    without(ready, "ip*tables*")
    loader(ready, "boot")
    done = loader(ready, "flush")
    assert done.returncode == 0, done.stderr
    assert "ipv4 is not closed through nft any more" in done.stderr
    assert tables(ready) == []
    assert loader(ready, "flush").returncode == 1, "nothing is there to flush by, and nothing to open"


# The module on such a host

@pytest.fixture
def closed(ready: Host) -> Host:
    """A host that a boot has closed through nft, on which iptables is back."""
    ready.run("rm", f"{ETC}/palisade.rules")
    without(ready, "ip*tables*")
    loader(ready, "boot")
    with_all_again(ready)
    return ready


RULES = {"filter": {"INPUT": {"policy": "DROP", "rules": ["-p tcp --dport 22 -j ACCEPT"]}}}


@pytest.mark.parametrize("persist", [True, False])
def test_a_run_of_the_module_takes_it_away_when_its_rules_are_live(closed: Host, persist: bool) -> None:
    foreseen = closed.module(check_mode=True, tables=RULES, persist=persist)
    assert "- table ip palisade-closed, by which a boot without iptables has closed this host" in foreseen.diff_text
    assert table(closed) != ""
    result = closed.apply(tables=RULES, persist=persist)
    assert (result.changed, result.diff_text.split("written")[0]) == (True, foreseen.diff_text.split("written")[0])
    assert (table(closed), table(closed, "ipv6")) == ("", "")
    assert live(closed)["ipv4"] != {}
    assert not closed.apply(tables=RULES, persist=persist).changed


@ONCE
def test_while_a_run_waits_for_its_confirmation_the_host_stays_closed(closed: Host) -> None:
    for word, result in (("undo", "undone good"), ("confirm", "kept")):
        assert start(closed, 600, tables=RULES, persist=True).data["confirm"]["state"] == "pending"
        assert (table(closed) != "", "1004" in table(closed)) == (True, True)
        assert tell(closed, word, *(["new"] if word == "confirm" else [])).startswith(result)
        assert [table(closed, family) != "" for family in FAMILIES] == [word == "undo"] * 2
    assert closed.run("ls", f"{RUN}/closed-by-nft", check=False).stdout == ""


@ONCE
def test_rules_that_are_there_already_are_no_reason_to_stay_closed(closed: Host) -> None:
    closed.restore("*filter\n:INPUT DROP [0:0]\n:palisade-INPUT - [0:0]\n-A INPUT -m comment --comment \"palisade: policy was ACCEPT\" "
                   "-j palisade-INPUT\n-A palisade-INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    result = closed.apply(tables=RULES, families=["ipv4"])
    assert (result.changed, result.plan) == (True, [])
    assert (table(closed), table(closed, "ipv6") != "") == ("", True)
    assert closed.run("cat", f"{RUN}/closed-by-nft").stdout == "ipv6\n"


@ONCE
def test_other_rulesets_that_are_not_loaded_keep_it_closed(closed: Host) -> None:
    result = closed.apply(name="lab", tables=RULES)
    assert any("this host stays closed through nft (ip palisade-closed, ip6 palisade-closed)" in said for said in result.warnings)
    assert table(closed) != ""


@ONCE
def test_a_proof_says_whose_it_is(closed: Host) -> None:
    said = closed.probe(hook="input", in_interface="lo", protocol="tcp", port=22, source="127.0.0.1", destination="127.0.0.1").warnings
    assert any("this host is closed through nft (ip palisade-closed, ip6 palisade-closed)" in text for text in said), said
    assert not any("native nftables chains" in text for text in said)
