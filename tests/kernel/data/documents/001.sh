#!/bin/sh
# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Document 001, securing a system: every example in the document's own order.
# $iptables is ip6tables for the IPv6 run, as the document asks; $host and $network are the two that may reach MySQL.
set -e
iptables=${iptables:-iptables}
host=${host:-192.158.3.25}
network=${network:-10.3.0.0/16}

$iptables -P INPUT ACCEPT
$iptables -P OUTPUT ACCEPT
$iptables -P FORWARD ACCEPT
$iptables -F
$iptables -X

$iptables -A INPUT -i lo -j ACCEPT
$iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
$iptables -A INPUT -p icmp -j ACCEPT
# Open to the world.
$iptables -A INPUT -p tcp --dport 80 -m state --state NEW -j ACCEPT
$iptables -A INPUT -p tcp --dport 443 -m state --state NEW -j ACCEPT
# MySQL: for those in the list.
$iptables -N MYSQL_WHITELIST
$iptables -A INPUT -p tcp --dport 3306 -m state --state NEW -j MYSQL_WHITELIST
$iptables -A INPUT -p tcp --dport 3306 -m state --state NEW -j DROP
$iptables -A MYSQL_WHITELIST -s "$host" -j ACCEPT
$iptables -A MYSQL_WHITELIST -s "$network" -j ACCEPT
# ssh: so many attempts a minute.
$iptables -A INPUT -p tcp --dport 22 -m state --state NEW -m recent --name ssh --set
$iptables -A INPUT -p tcp --dport 22 -m state --state NEW -m recent --name ssh --rcheck --seconds 60 --hitcount 4 --rttl -j LOG --log-prefix "SSH_brute_force "
$iptables -A INPUT -p tcp --dport 22 -m state --state NEW -m recent --name ssh --rcheck --seconds 60 --hitcount 4 --rttl -j DROP
$iptables -A INPUT -p tcp --dport 22 -m state --state NEW -j ACCEPT

$iptables -P INPUT DROP
