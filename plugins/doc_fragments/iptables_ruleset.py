# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of iptables_ruleset, which is two files: one with the rig that proves rules by packets, one without."""
from __future__ import annotations


class ModuleDocFragment:
    """The options; the argument spec to them is in module_utils/_options.py."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The ruleset's name, which its chains start with. A lower-case letter and up to 11 more of a-z, 0-9 and V(_).
    type: str
    default: palisade
  state:
    description:
      - V(present) makes the live rules as declared.
      - V(absent) removes the ruleset's chains and jumps and gives back the policies that were found at first. Needs O(scope=chains).
        Its persisted files go too, and with the last persisted ruleset of the host the unit and the loader that the roles install.
      - V(previous) goes back to the version that was persisted before the one in force, as the host itself has kept it, with its backend, scope and
        families. It is rehearsed, guarded, confirmed and persisted as any other; what was in force until then is the version before it from then on,
        so that a second run goes forward again. The closed fallback stays as it is. Without such a version, or with a damaged one, the module fails
        and nothing changes.
    type: str
    choices: [present, absent, previous]
    default: present
  tables:
    description:
      - Tables, in them chains, in them C(policy) (V(ACCEPT) or V(DROP), for built-in chains) and C(rules), a list of rules as one would
        give them to C(iptables -A CHAIN). A chain may also be just the list. C(-A CHAIN) in front of a rule is optional.
      - A rule that starts with C(-4) or C(-6) is for that family alone. With both O(families), a rule that plainly belongs to one
        (by its addresses, by icmp or icmpv6, by its C(--reject-with) and the like) goes to that one, and all others go to both.
      - C(only_if_unused) (bool) in a chain leaves that hook alone on hosts where somebody else has rules in it.
        One that has rules keeps them, and leaves the hook's policy alone there.
    type: dict
  content:
    description:
      - The same as text in the format of C(iptables-restore). C(*table), C(:CHAIN POLICY), C(-N), C(-P), C(-A), C(-I), C(COMMIT) lines
        and comments are read; counters are put aside.
    type: str
  src:
    description:
      - A file on the controller in the format of O(content), looked for in C(files/) as usual.
    type: path
  profile:
    description:
      - Compile the rules from a policy instead, as the role of that name does.
    type: str
    choices: [nat_router, server, workstation]
  policy:
    description:
      - What the profile is to let through. The variables of the roles, less their C(firewall_) prefix.
      - Needs O(profile).
    type: dict
  families:
    description:
      - The families that the declaration is for. With one family, every rule is passed as written.
      - A family that the kernel does not have is skipped with a warning.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  scope:
    description:
      - With V(chains), only chains and jumps of this ruleset change.
      - With V(tables), each declared table becomes exactly what is declared and keeps no other chain or rule;
        chain names are kept as written, and a built-in chain that is not declared is emptied and keeps its policy.
        Tables that are not declared are left alone.
    type: str
    choices: [chains, tables]
    default: chains
  foreign:
    description:
      - What to do about rules of others. With O(scope=chains) this is about rules in declared hooks that no known program explains,
        such as old handwritten ones, which are met before ours. V(warn) warns, V(refuse) fails and lists them, V(keep) says nothing.
      - With O(scope=tables), chains of known programs (Docker, fail2ban, libvirt and so on) are only removed if this is V(remove).
    type: str
    choices: [warn, refuse, keep, remove]
    default: warn
  backend:
    description:
      - Which iptables to use. V(auto) is what C(iptables) is on the host.
      - Rules in both backends at once are refused.
    type: str
    choices: [auto, nft, legacy]
    default: auto
  rehearsal:
    description:
      - Where declared rules are tried out. V(namespace) is a network namespace (needs CAP_SYS_ADMIN);
        V(scratch) is a chain in the live tables that nothing jumps to, removed again; V(none) compares text.
      - V(auto) is V(namespace) where the host permits it, else V(scratch), which check mode does not use unless it is asked for by name.
      - No rehearsal is made where the declared text equals the live rules already.
    type: str
    choices: [auto, namespace, scratch, none]
    default: auto
  persist:
    description:
      - Keep the rules under C(/etc/palisade) too, for the loader C(palisade-firewall), which brings them back at boot.
        The roles install it with a unit for systemd and turn this on.
      - The files hold only what is ours. They change when the live rules have been read back and are as wanted, each at once,
        and the version before is kept.
      - A warning says where no enabled unit would load them.
    type: bool
    default: false
  fallback:
    description:
      - What is loaded at boot when none of the persisted rules can be, in the shape of O(tables). With O(profile) it is compiled from the
        policy (management access, or else ssh as the policy has it, and nothing else that is new).
      - If left out, nobody new is let in. Loopback, connections of the host's own, IPv6's neighbour discovery and DHCP work.
    type: dict
  expect:
    description:
      - What packets shall meet once the rules are live, and what each shall come to. A list of flows, with the keys that
        M(palisade.netfilter.packet_probe) has for options; an element that is itself a list is a sequence, sent in order through one copy of
        the rules, so that what its first packets leave behind counts for the next.
      - Every flow, or one of a sequence, says what is expected of it by C(verdict), C(rewritten_source) or C(rewritten_destination).
      - They are proved with real packets at every run, in check mode too, on a copy of what the live state will be, with everybody else's rules,
        in a network namespace, before anything changes. If one comes out otherwise, the module fails, names the flow, what was expected, what was
        found and the rule that decided, and nothing has changed.
      - Where the host permits no network namespace the module fails. With O(rehearsal=scratch) or O(rehearsal=none) it goes on, and a
        warning says how many flows were not proved.
    type: list
    elements: raw
  allow_lockout:
    description:
      - Go on though the connection that Ansible came by would not be let in again.
      - When something changes and the run came in over ssh, that connection is proved as a new one on what the live state will be, with its whole
        handshake and for IPv6 with neighbour discovery. If one of its packets would not pass, the module fails, names it, the rule
        that decides and the way to allow it, and nothing has changed. With V(true), that is a warning.
      - Nor is a change refused then because no new connection comes in before it (O(confirm_timeout)). That it has to be confirmed stays so.
    type: bool
    default: false
  verdict_diff:
    description:
      - In diff mode, when live rules change, also tell which traffic that makes another verdict for. Packets that rules which come or go
        are about, and those of O(expect), are sent through a copy of the live rules and one of the wanted rules.
      - A hundred or so packets at most, fewer with many rules; it takes a few seconds. Not every change for every packet is found by that.
      - Where it cannot be told (no leave to make namespaces), the diff says so, and nothing fails.
    type: bool
    default: false
  lock_timeout:
    description:
      - How long to wait for another run on the host, and for the xtables lock, in seconds.
    type: int
    default: 30
"""
