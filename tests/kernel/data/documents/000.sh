#!/bin/sh
# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Document 000, personal firewall (2012): the ruleset that it ends with, and its advice on LOG and on noise.
# Ours: 192.168.7.2 for the trusted machine, whose address the document lost; the LOG comes with the document's own limit.
set -e

iptables -P INPUT DROP
iptables -P FORWARD DROP
iptables -A FORWARD -m state --state INVALID -j DROP

iptables -A INPUT -m state --state INVALID -j DROP
iptables -A INPUT -m state --state established,related -j ACCEPT
iptables -A INPUT -i lo -j ACCEPT
# Services.
iptables -A INPUT -i eth0 -p tcp -m multiport --dports 21,22,80,139,445,873,16384 --syn -j ACCEPT
iptables -A INPUT -i eth0 -p udp --dport 137:138 -j ACCEPT
# Samba's browsing: answers to broadcasts come from port 138.
iptables -A INPUT -i eth0 -p udp --sport 138 --dport 1025: -j ACCEPT
# The machine that may do all.
iptables -A INPUT -m mac --mac-source 00:A0:C9:96:94:D3 -s 192.168.7.2 -j ACCEPT
# Noise, not worth a line in the log.
iptables -A INPUT -p udp --sport 631 --dport 631 -j DROP
iptables -A INPUT -m limit --limit 1/min -j LOG
