#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Changes of a running network: DHCP and DNS answer anew at once, its bridge and ports stay, and a guest that is not
# concerned loses no packet.
# time: 15
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }
refused() { # WORDS COMMAND…
    local said
    said=$("${@:2}" 2>&1) && fail "accepted: ${*:2}"
    grep -qF -- "$1" <<<"$said" || fail "${*:2}: '$said' instead of '$1'"
}
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='updbr' stp='off' delay='0'/>
  <mac address='52:54:00:60:00:fe'/>
  <domain name='lab.example' localOnly='yes'/>
  <ip address='10.60.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.60.0.10' end='10.60.0.10'/></dhcp>
  </ip>
</network>
XML
v net-define "$BASCULE_TEST_DIR/lab.xml" >/dev/null
v net-start lab >/dev/null
bridge=$(cat /sys/class/net/updbr/ifindex)
plug alpha updbr 52:54:00:60:00:01
plug beta updbr 52:54:00:60:00:02
is "from the pool" "$(lease alpha | fact ip)" 10.60.0.10
at alpha timeout -s INT 10 ping -i 0.05 10.60.0.1 >"$BASCULE_TEST_DIR/ping" 2>&1 &
pinging=$!
ask() { at alpha dig +short +time=1 +tries=2 @10.60.0.1 "$@"; }
named() { [[ $(ask "$1") == "$2" ]]; }

# A host is known at once, in what runs only; then everywhere.
v net-update lab add ip-dhcp-host "<host mac='52:54:00:60:00:02' name='beta' ip='10.60.0.77'/>" --live >/dev/null
is "a host added live" "$(lease beta | fact ip)" 10.60.0.77
v net-dumpxml lab | grep -q 10.60.0.77 || fail "what runs does not show the host"
! v net-dumpxml --inactive lab | grep -q 10.60.0.77 || fail "the definition changed as well"
v net-update lab modify ip-dhcp-host "<host mac='52:54:00:60:00:02' name='beta' ip='10.60.0.78'/>" --live >/dev/null
at beta ip addr flush dev eth0
is "a host modified live" "$(lease beta | fact ip)" 10.60.0.78
v net-update lab delete ip-dhcp-host "<host name='beta'/>" --live >/dev/null
v net-update lab add ip-dhcp-range "<range start='10.60.0.90' end='10.60.0.90'/>" --live --config >/dev/null
plug gamma updbr 52:54:00:60:00:03
is "a range added live" "$(lease gamma | fact ip)" 10.60.0.90
v net-dumpxml --inactive lab | grep -q 10.60.0.90 || fail "the definition lacks the range"

# Names.
v net-update lab add dns-host "<host ip='10.60.0.200'><hostname>printer.lab.example</hostname></host>" >/dev/null
wait_until 5 "the printer's name" named printer.lab.example 10.60.0.200
v net-update lab modify dns-host "<host ip='10.60.0.200'><hostname>plotter.lab.example</hostname></host>" --current >/dev/null
wait_until 5 "the plotter's name" named plotter.lab.example 10.60.0.200
v net-update lab delete dns-host "<host><hostname>plotter.lab.example</hostname></host>" --live >/dev/null
wait_until 5 "that it is gone" named plotter.lab.example ""

# What cannot be, and why.
refused "there is an existing dhcp range entry" v net-update lab add ip-dhcp-range "<range start='10.60.0.90' end='10.60.0.90'/>" --live
refused "is not in the subnet 10.60.0.0/24" v net-update lab add ip-dhcp-host "<host name='x' ip='10.61.0.1'/>" --live
refused "no <ip> element found at index 4" v net-update lab add ip-dhcp-host "<host name='x' ip='10.60.0.9'/>" --live --parent-index 4
refused "dhcp ranges cannot be modified" v net-update lab modify ip-dhcp-range "<range start='10.60.0.90' end='10.60.0.90'/>"
refused "<ip>: does not go with mode 'bridge'" v net-update lab modify forward "<forward mode='bridge'/>" --live
refused "<bridge name> cannot change while the network runs" v net-update lab modify bridge "<bridge name='otherbr'/>" --live
v net-dumpxml lab >"$BASCULE_TEST_DIR/kept"
grep -q updbr "$BASCULE_TEST_DIR/kept" || fail "a refused change left something behind"

# A definition that takes effect at once; one that cannot changes nothing.
b() { "$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" "$@"; }
v net-dumpxml --inactive lab | sed -e "s|<range start='10.60.0.10' .*|<range start='10.60.0.120' end='10.60.0.120'/>|" \
    -e "s|mode='nat'|mode='route'|" >"$BASCULE_TEST_DIR/next.xml"
b net define --live "$BASCULE_TEST_DIR/next.xml" >/dev/null || fail "net define --live"
v net-dumpxml lab | grep -q "mode='route'" || fail "what runs is not what was defined"
plug delta updbr 52:54:00:60:00:04
is "from the new range" "$(lease delta | fact ip)" 10.60.0.120
sed "s|name='updbr'|name='wrongbr'|" "$BASCULE_TEST_DIR/next.xml" >"$BASCULE_TEST_DIR/wrong.xml"
refused "cannot change while the network runs" b net define --live "$BASCULE_TEST_DIR/wrong.xml"
v net-dumpxml --inactive lab | grep -q updbr || fail "the definition changed though what runs could not"

# Of all that the guest that was not concerned saw nothing.
is "the bridge is the same" "$(cat /sys/class/net/updbr/ifindex)" "$bridge"
wait "$pinging" || true
grep -q " 0% packet loss" "$BASCULE_TEST_DIR/ping" || fail "packets were lost: $(tail -2 "$BASCULE_TEST_DIR/ping")"

# Ports that clients make.
cat >"$BASCULE_TEST_DIR/port.xml" <<'XML'
<networkport>
  <owner><name>mine</name><uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid></owner>
  <mac address='52:54:00:60:00:07'/>
</networkport>
XML
v net-port-create lab "$BASCULE_TEST_DIR/port.xml" >"$BASCULE_TEST_DIR/made" || fail "net-port-create"
port=$(v net-port-list lab | grep -oE '[0-9a-f-]{36}')
v net-port-dumpxml lab "$port" | grep -q "<plug type='network' bridge='updbr'/>" || fail "the port has no place"
v net-dumpxml lab | grep -q "connections='1'" || fail "the port is not counted"
v net-port-delete lab "$port" >/dev/null
is "ports left" "$(v net-port-list lab | grep -cE '[0-9a-f-]{36}')" 0

# A hook is told, and may refuse.
mkdir -p "$root/etc/bascule/hooks/network.d"
cat >"$root/etc/bascule/hooks/network" <<HOOK
#!/bin/sh
{ echo "\$*"; cat; } >>"$BASCULE_TEST_DIR/told"
HOOK
cat >"$root/etc/bascule/hooks/network.d/50-no" <<HOOK
#!/bin/sh
if [ "\$2" = start ] && [ -e "$BASCULE_TEST_DIR/forbid" ]; then echo "not today" >&2; exit 1; fi
HOOK
chmod +x "$root/etc/bascule/hooks/network" "$root/etc/bascule/hooks/network.d/50-no"
v net-destroy lab >/dev/null
touch "$BASCULE_TEST_DIR/forbid"
refused "not today" v net-start lab
v net-list --all | grep -w lab | grep -q inactive || fail "a refused network runs"
rm "$BASCULE_TEST_DIR/forbid"
v net-start lab >/dev/null
told() { grep -q "^$1\$" "$BASCULE_TEST_DIR/told"; }
wait_until 5 "word of the start" told "lab started begin -"
told "lab stopped end -" || fail "the hook was not told of the end"
told "lab start begin -" || fail "the hook was not asked"
grep -q "^<hookData>" "$BASCULE_TEST_DIR/told" || fail "the hook got no document"
grep -q "<name>lab</name>" "$BASCULE_TEST_DIR/told" || fail "the hook's document lacks the network"
# It is told of ports, too, and may refuse one.
cat >"$root/etc/bascule/hooks/network.d/60-no-port" <<HOOK
#!/bin/sh
if [ "\$2" = port-created ] && [ -e "$BASCULE_TEST_DIR/forbid" ]; then echo "not today" >&2; exit 1; fi
HOOK
chmod +x "$root/etc/bascule/hooks/network.d/60-no-port"
touch "$BASCULE_TEST_DIR/forbid"
echo "<networkport><owner><name>g</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid></owner><mac address='52:54:00:77:00:99'/></networkport>" >"$root/port.xml"
refused "not today" v net-port-create lab "$root/port.xml"
is "ports of a refusal" "$(v net-port-list lab | grep -cE '[0-9a-f-]{36}')" 0
rm "$BASCULE_TEST_DIR/forbid"
v net-port-create lab "$root/port.xml" >/dev/null || fail "a port that the hook allows"
told "lab port-created begin -" || fail "the hook was not told of the port"
grep -q "<networkport>" "$BASCULE_TEST_DIR/told" || fail "the hook's document lacks the port"
v net-port-delete lab "$(v net-port-list lab | grep -oE '[0-9a-f-]{36}')" >/dev/null
wait_until 30 "word of the port that went" told "lab port-deleted begin -"
v net-destroy lab >/dev/null
daemon_stop
