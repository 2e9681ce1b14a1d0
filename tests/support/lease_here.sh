#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154  # udhcpc sets them
# What `lease` of lib.sh has udhcpc run: sets address and route of the namespace that it is in, and prints the facts.
# Resolver settings are the host's file, so they are left alone.
case $1 in
    deconfig)
        ip -4 addr flush dev "$interface"
        ;;
    bound | renew)
        ip -4 addr flush dev "$interface"
        ip addr add "$ip/$mask" dev "$interface"
        for gateway in $router; do
            ip route replace default via "$gateway" dev "$interface"
            break
        done
        for name in ip mask subnet router dns domain hostname serverid lease mtu broadcast \
            siaddr boot_file ntpsrv search staticroutes; do
            eval "value=\${$name:-}"
            echo "$name=$value"
        done
        ;;
esac
