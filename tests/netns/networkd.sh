#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# systemd-networkd as two guests that are clones: one machine id, so one DUID. Each gets addresses of
# its own in both families, by rapid commit, and a delegated prefix; what the router advertises is in force.
# time: 20
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
tree=${BASCULE_CACHE:-/nowhere}/resolved
[[ -x $tree/lib/systemd/systemd-networkd ]] || skip "needs systemd-networkd in $tree (tests/support/unpacked.sh)"
mkdir "$BASCULE_TEST_DIR/etc"
cp -a /etc/. "$BASCULE_TEST_DIR/etc"
mount --bind "$BASCULE_TEST_DIR/etc" /etc
touch /etc/machine-id
id systemd-network >/dev/null 2>&1 || {
    echo 'systemd-network:x:998:998::/:/bin/false' >>/etc/passwd
    echo 'systemd-network:x:998:' >>/etc/group
}
daemon_start
cat >"$BASCULE_TEST_DIR/clones.xml" <<'XML'
<network>
  <name>clones</name>
  <metadata><b:network xmlns:b='urn:bascule:1'><b:delegate from='fd00:63:f00::/56' length='64'/></b:network></metadata>
  <forward mode='route'/>
  <bridge name='clonesbr' stp='off' delay='0'/>
  <domain name='clones.example'/>
  <ip address='10.63.0.1' netmask='255.255.255.0'><dhcp><range start='10.63.0.10' end='10.63.0.99'/></dhcp></ip>
  <ip family='ipv6' address='fd00:63::1' prefix='64'><dhcp><range start='fd00:63::100' end='fd00:63::1ff'/></dhcp></ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/clones.xml" >/dev/null
echo 0123456789abcdef0123456789abcdef >"$BASCULE_TEST_DIR/machine-id"
mkdir -p "$BASCULE_TEST_DIR/network"
printf '[Match]\nName=eth0\n[Network]\nDHCP=yes\n' >"$BASCULE_TEST_DIR/network/10.network"
chmod -R a+rX "$BASCULE_TEST_DIR"
# What it would ask udev and the host for is not there: /sys is read-only, as in a container.
# shellcheck disable=SC2016
networkd='mount --bind "$1/machine-id" /etc/machine-id && mount -t tmpfs -o mode=755 tmpfs /run && mount -t sysfs -o ro sysfs /sys &&
    mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp &&
    chown -R systemd-network /run/systemd/netif && cp "$1/network/10.network" /run/systemd/network &&
    SYSTEMD_LOG_LEVEL=debug LD_LIBRARY_PATH=$2/usr/lib/x86_64-linux-gnu/systemd exec "$2/lib/systemd/systemd-networkd"'
for n in 1 2; do
    plug "clone$n" clonesbr "52:54:00:63:00:0$n"
    at "clone$n" unshare --mount sh -c "$networkd" sh "$BASCULE_TEST_DIR" "$tree" >"$BASCULE_TEST_DIR/networkd-$n.log" 2>&1 &
done
has() { at "$1" ip -o addr show dev eth0 scope global | grep -Eq "$2"; }
for n in 1 2; do
    wait_until 30 "an IPv4 address for clone $n" has "clone$n" 'inet 10\.63\.0\.[0-9]+/24' || fail "$(tail -n 20 "$BASCULE_TEST_DIR/networkd-$n.log")"
    wait_until 30 "an IPv6 address for clone $n" has "clone$n" 'inet6 fd00:63::1[0-9a-f]+/128' || fail "$(tail -n 20 "$BASCULE_TEST_DIR/networkd-$n.log")"
    at "clone$n" ip -6 route show default | grep -q 'proto ra' || fail "clone $n has no default route of the router's"
    grep -q 'DHCPv6 client: T1 expires' "$BASCULE_TEST_DIR/networkd-$n.log" || fail "clone $n is not bound by DHCPv6"
    grep -q 'Sent Request' "$BASCULE_TEST_DIR/networkd-$n.log" && fail "clone $n had to ask twice: no rapid commit"
done
addresses() { at "$1" ip -o addr show dev eth0 scope global | awk '{ print $4 }'; }
[[ -z $(comm -12 <(addresses clone1 | sort) <(addresses clone2 | sort)) ]] || fail "the clones share: $(addresses clone1; addresses clone2)"
listed=$(v net-dhcp-leases clones)
(($(grep -c ipv4 <<<"$listed") == 2 && $(grep -c 'fd00:63::1' <<<"$listed") == 2)) || fail "net-dhcp-leases: $listed"
(($(grep ipv6 <<<"$listed" | awk '{ print $NF }' | sort -u | wc -l) == 1)) || fail "they were to show one DUID: $listed"
prefixes=$(grep -h -o 'fd00:63:f00:[0-9a-f:]*/64' "$BASCULE_TEST_DIR"/networkd-[12].log | sort -u | wc -l)
((prefixes == 2)) || fail "$prefixes delegated prefixes for two clones"
