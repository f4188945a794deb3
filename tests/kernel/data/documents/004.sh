#!/bin/sh
# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Document 004, server firewall: its script with the rules of every service that it names.
# Ours: the policies of INPUT and FORWARD, without which everything is let in; --dports and -m tcp --sport for the two lines
# that give --dport and --sport to multiport, which iptables refuses.
set -e
ipt=iptables
mod=modprobe

$ipt -F
$ipt -X
$ipt -t nat -F
$ipt -t nat -X
$ipt -t mangle -F
$ipt -t mangle -X
$ipt -Z
$ipt -t nat -Z
$ipt -t mangle -Z

$mod ip_tables
$mod ip_conntrack
$mod iptable_filter
$mod iptable_nat
$mod iptable_mangle
$mod ipt_LOG
$mod ipt_limit
$mod ipt_state
$mod ip_conntrack_irc
$mod ip_conntrack_ftp

$ipt -P INPUT DROP
$ipt -P FORWARD DROP
$ipt -t nat -P OUTPUT ACCEPT
$ipt -t mangle -P PREROUTING ACCEPT
$ipt -t mangle -P POSTROUTING ACCEPT

$ipt -A INPUT -i lo -j ACCEPT

$ipt -N ALLOW
$ipt -A ALLOW -p TCP --syn -j ACCEPT
$ipt -A ALLOW -p TCP -m state --state ESTABLISHED,RELATED -j ACCEPT
$ipt -A ALLOW -p TCP -j DROP

$ipt -A INPUT -p icmp --icmp-type echo-request -j ALLOW
$ipt -A INPUT -p icmp --icmp-type time-exceeded -j ALLOW
$ipt -A INPUT -p icmp --icmp-type destination-unreachable -j ALLOW

# FTP: control, data of active clients, passive data.
$ipt -A INPUT -p tcp --dport 21 -j ALLOW
$ipt -A INPUT -p tcp --sport 20 -j ACCEPT
$ipt -A INPUT -p TCP --destination-port 62000:64000 -j ACCEPT
# ssh, IRC, web, mail.
$ipt -A INPUT -p tcp --dport 22 --sport 1024:65535 -j ALLOW
$ipt -A INPUT -p tcp --dport 6667 --sport 1024:65535 -j ALLOW
$ipt -A INPUT -p tcp --dport 80 --sport 1024:65535 -j ALLOW
$ipt -A INPUT -p tcp -m multiport --dports 80,443,8080 -m tcp --sport 1024:65535 -j ALLOW
$ipt -A INPUT -p tcp --dport 25 --sport 1024:65535 -j ALLOW
$ipt -A INPUT -p tcp -m multiport --dports 25,110,143 -m tcp --sport 1024:65535 -j ALLOW
# DNS, asked here and asked elsewhere.
$ipt -A INPUT -p udp --dport 53 -j ACCEPT
$ipt -A INPUT -p tcp --dport 53 -j ALLOW
$ipt -A OUTPUT -p udp --dport 53 -j ACCEPT
$ipt -A OUTPUT -p tcp --dport 53 -j ACCEPT
