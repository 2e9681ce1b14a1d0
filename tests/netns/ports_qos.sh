#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 40
# Ports of guests that only stand there (paused, nothing to boot): what the kernel holds for each kind of interface,
# limits set and changed while they run, and moves to another network.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v tc >/dev/null || skip "needs tc"
[[ -x /usr/bin/qemu-system-x86_64 ]] || skip "needs qemu-system-x86_64"
daemon_start

domain() { # NAME INTERFACES
    cat >"$root/$1.xml" <<XML
<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>$2</devices></domain>
XML
}
tap_of() { v domiflist "$1" | awk -v mac="$2" '$5 == mac { print $1 }'; }
class_of() { tc class show dev "$1" | tr '\n' ' '; }
has() { [[ $1 == *"$2"* ]] || fail "$3: '$2' is not in: $1"; }

# A second network, with a limit of its own that floors are shares of.
cat >"$root/limited.xml" <<XML
<network><name>limited</name><bridge name='vlim0'/>
<bandwidth><inbound average='10000' peak='20000' burst='1000'/></bandwidth>
<ip address='192.168.77.1' netmask='255.255.255.0'/></network>
XML
v net-create "$root/limited.xml" >/dev/null
has "$(class_of vlim0)" "rate 80Mbit ceil 160Mbit" "the network's own limit"

domain a "<interface type='network'><mac address='52:54:00:00:0a:01'/><source network='default'/>
    <bandwidth><inbound average='1000' peak='2000' burst='512'/><outbound average='500'/></bandwidth>
    <port isolated='yes'/></interface>
  <interface type='user'><mac address='52:54:00:00:0a:02'/></interface>"
v create --paused "$root/a.xml" >/dev/null
tap=$(tap_of a 52:54:00:00:0a:01)
[[ $tap == vnet* ]] || fail "the tap is called '$tap'"
has "$(class_of "$tap")" "rate 8Mbit ceil 16Mbit" "inbound"
has "$(ip -d link show "$tap")" "isolated on" "isolation"
limited_in() { tc filter show dev "$tap" parent ffff: 2>/dev/null; nft list table netdev bascule 2>/dev/null; }
limited_in | grep -E "police|limit rate over 500000 bytes/second|limit rate over 488" >/dev/null || fail "nothing limits what it sends"
[[ $(v domiftune a "$tap") =~ inbound.average:\ *1000 ]] || fail "domiftune does not tell"

# Live, by MAC; and off again.
v domiftune a 52:54:00:00:0a:01 --inbound 3000,6000,100 --live || fail "domiftune"
has "$(class_of "$tap")" "rate 24Mbit ceil 48Mbit" "inbound, changed"
v domiftune a "$tap" --inbound 0 --outbound 0 --live || fail "domiftune off"
[[ -z $(class_of "$tap") ]] || fail "a limit is left: $(class_of "$tap")"
! limited_in | grep -E "police|limit rate" >/dev/null || fail "a limit of what it sends is left"
v domiftune a "$tap" --inbound 100,50 --live 2>"$root/words" && fail "a peak below the average was taken"
grep -q "below the average" "$root/words" || fail "why not: $(cat "$root/words")"

# To the other network, with a floor there; QEMU goes on as it was.
v dumpxml a | grep "network='default'" >/dev/null || fail "where it is"
move="<interface type='network'><mac address='52:54:00:00:0a:01'/><source network='limited'/>
  <bandwidth><inbound average='1000' floor='400'/></bandwidth></interface>"
echo "$move" >"$root/move.xml"
v update-device a "$root/move.xml" --live || fail "moving it"
[[ $(cat "/sys/class/net/$tap/master/uevent") == *vlim0* ]] || fail "it is not on the other bridge"
has "$(class_of vlim0)" "rate 3200Kbit" "its floor"
[[ $(ip -d link show "$tap") != *"isolated on"* ]] || fail "it is isolated still"
sed 's/400/30000/' "$root/move.xml" >"$root/more.xml"
v update-device a "$root/more.xml" --live 2>"$root/words" && fail "more than the network has was promised"
grep -q "more than the network" "$root/words" || fail "why not: $(cat "$root/words")"
sed "s/<source/<model type='e1000'\/><source/" "$root/move.xml" >"$root/model.xml"
v update-device a "$root/model.xml" --live 2>"$root/words" && fail "the model changed under the guest"
v domif-setlink a "$tap" down
[[ $(v domif-getlink a "$tap") == *down* ]] || fail "the cable"

# What a second guest may not have.
domain b "<interface type='network'><mac address='52:54:00:00:0a:01'/><source network='limited'/></interface>"
v define "$root/b.xml" 2>"$root/words" && fail "one MAC twice on one network"
grep -q "has the MAC address" "$root/words" || fail "why not: $(cat "$root/words")"

# The administrator's hook is told of a guest's ports, and may refuse the guest.
mkdir -p "$root/etc/bascule/hooks"
cat >"$root/etc/bascule/hooks/network" <<HOOK
#!/bin/sh
{ echo "\$*"; cat; } >>"$root/told"
[ "\$2" != port-created ] || [ ! -e "$root/forbid" ] || { echo "no ports today" >&2; exit 1; }
HOOK
chmod 755 "$root/etc/bascule/hooks/network"
domain h "<interface type='network'><mac address='52:54:00:00:0c:01'/><source network='default'/></interface>"
touch "$root/forbid"
v create --paused "$root/h.xml" 2>"$root/words" && fail "a guest that the hook refuses"
grep -q "no ports today" "$root/words" || fail "why not: $(cat "$root/words")"
[[ -z $(v domiflist h 2>/dev/null) ]] || fail "a refused guest is there"
rm "$root/forbid"
: >"$root/told"
v create --paused "$root/h.xml" >/dev/null || fail "a guest that the hook allows"
grep -qx "default port-created begin -" "$root/told" || fail "the hook was told: $(cat "$root/told")"
grep -q "<mac address='52:54:00:00:0c:01'/>" "$root/told" || fail "the hook got no port: $(cat "$root/told")"
echo "<interface type='network'><mac address='52:54:00:00:0c:01'/><source network='limited'/></interface>" >"$root/away.xml"
v update-device h "$root/away.xml" --live >/dev/null || fail "moving it"
moved() { grep -qx "limited port-created begin -" "$root/told" && grep -qx "default port-deleted begin -" "$root/told"; }
wait_until 30 "word of the move" moved
v destroy h >/dev/null
left() { grep -qx "limited port-deleted begin -" "$root/told"; }
wait_until 30 "word of the end" left
rm "$root/etc/bascule/hooks/network"

# What comes from a network has a peak, too: 900 kB that nothing holds back would pass in one burst.
cat >"$root/peaky.xml" <<'XML'
<network><name>peaky</name><bridge name='vpeak0' stp='off'/>
<bandwidth><outbound average='50' peak='200' burst='2000'/></bandwidth>
<ip address='192.168.79.1' netmask='255.255.255.0'/></network>
XML
v net-create "$root/peaky.xml" >/dev/null
plug sender vpeak0
at sender ip addr add 192.168.79.2/24 dev eth0
passed() { at sender python3 - <<'PY'
import socket, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begin, sent = time.monotonic(), 0
while sent < 900_000:
    try:
        sent += out.sendto(bytes(1400), ("192.168.79.1", 53))
    except OSError:
        time.sleep(0.01)
print(int((time.monotonic() - begin) * 1000))
PY
}
# Read by the service, or too many for it: they have come either way.
counted() { awk '$1 == "Udp:" { print $2 + $4 }' /proc/net/snmp | tail -1; }
at sender ping -c 1 -W 5 192.168.79.1 >/dev/null || fail "the network's host does not answer"
before=$(counted)
took=$(passed)
came=$((($(counted) - before) * 1400))
# What may come at once (where rules do it a second of the peak), and the peak for as long as it took; a tenth for
# headers and clocks.
most=$((((1000 + took) * 200) * 11 / 10 + 20000))
((came <= most)) || fail "$came bytes passed in $took ms, more than $most"
some() { (($(counted) - before > 30)); }
wait_until 30 "some of it to pass" some
v net-destroy peaky >/dev/null

# passt, where it is not.
if ! command -v passt >/dev/null; then
    domain p "<interface type='user'><backend type='passt'/></interface>"
    v create --paused "$root/p.xml" 2>"$root/words" && fail "a backend that is not there"
    grep -q "package passt" "$root/words" || fail "why not: $(cat "$root/words")"
fi

# A guest that is off, and what a NIC is that says nothing of its model.
sed -i 's/0a:01/0b:01/' "$root/b.xml"
v define "$root/b.xml" >/dev/null || fail "another MAC"
v dumpxml b | grep "<model type='virtio'/>" >/dev/null || fail "the default model"
v domiftune b 52:54:00:00:0b:01 --inbound 1000 --live 2>"$root/words" && fail "live, of a guest that is off"
grep -q "'b' is off.*--config" "$root/words" || fail "why not: $(cat "$root/words")"
v domiftune b 52:54:00:00:0b:01 --inbound 1000 --config >/dev/null || fail "its definition"
v undefine b >/dev/null

# Ethernet: a script of the user's, addresses of the host's end, a tap of somebody else's.
cat >"$root/up" <<'SH'
#!/bin/sh
echo "$1" >>"$(dirname "$0")/script-ran"
SH
chmod 755 "$root/up"
ip tuntap add mytap0 mode tap vnet_hdr
domain e "<interface type='ethernet'><mac address='52:54:00:00:0e:01'/><target dev='side0'/>
    <source><ip address='192.0.2.1' family='ipv4' prefix='32' peer='192.0.2.2'/></source>
    <script path='$root/up'/></interface>
  <interface type='ethernet'><mac address='52:54:00:00:0e:02'/><target dev='mytap0' managed='no'/></interface>
  <interface type='udp'><source address='127.0.0.1' port='5555'><local address='127.0.0.1' port='5556'/></source></interface>
  <interface type='server'><source address='127.0.0.1' port='5558'/></interface>"
v create --paused "$root/e.xml" >/dev/null || fail "ethernet"
[[ $(cat "$root/script-ran") == side0 ]] || fail "the script did not run"
ip -4 addr show side0 | grep "192.0.2.1 peer 192.0.2.2" >/dev/null || fail "the host's end: $(ip addr show side0)"
v destroy e >/dev/null
wait_until 5 "side0 to go" test ! -e /sys/class/net/side0
ip link show mytap0 >/dev/null || fail "a tap of somebody else's was removed"
sed -i 's/mytap0/nosuch0/' "$root/e.xml"
v create "$root/e.xml" 2>"$root/words" && fail "a tap that is not there"
grep -q "no tap 'nosuch0'" "$root/words" || fail "why not: $(cat "$root/words")"

# Nothing to do for the next daemon, and all of it known to it.
daemon_stop
daemon_start
has "$(class_of vlim0)" "rate 3200Kbit" "its floor, later"
[[ $(v domiftune a "$tap") =~ inbound.floor\ *:\ *400 ]] || fail "the next daemon does not know"
v destroy a >/dev/null
[[ $(class_of vlim0) != *3200Kbit* ]] || fail "the floor of a guest that is gone"
v net-destroy limited >/dev/null
tear_down
[[ -z $(left_behind) ]] || fail "left behind: $(left_behind)"
