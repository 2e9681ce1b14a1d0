#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real Linux guest, driven by real virsh: from define to undefine.
# time: 240
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
make_outside
daemon_start
prepare_guest_image
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }

# What virsh hears of guests. It has registered once it hears of a definition that comes and goes.
events=$BASCULE_TEST_DIR/events
: >"$events"
cat >"$BASCULE_TEST_DIR/probe.xml" <<'XML'
<domain type='qemu'><name>probe</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os></domain>
XML
hears() {
    local before
    before=$(grep -c probe "$events" || true)
    v define "$BASCULE_TEST_DIR/probe.xml" && v undefine probe && (($(grep -c probe "$events" || true) > before))
}
listen_to_events() {
    stdbuf -oL virsh -q -c "$(libvirt_uri)" event --all --loop --timestamp >>"$events" 2>&1 &
    wait_until 10 "an event" hears
}
listen_to_events

# Defined: listed as shut off, with a uuid and MAC of its own, and what comes back can be defined again.
guest_xml alpha 52:54:00:e2:e0:01 "ping,192.168.122.1,2;ping,$outside_address,3;resolve,alpha" default clean-traffic |
    sed "/<mac /d; s|</devices>|<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>&|" \
        >"$BASCULE_TEST_DIR/alpha.xml"
v define "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
has "shut off" "$(v domstate alpha)"
mac=$(v domiflist alpha | awk 'NF { print $5 }')
[[ $mac =~ ^52:54:00: ]] || fail "generated MAC: '$mac'"
v dumpxml alpha >"$BASCULE_TEST_DIR/again.xml"
v define "$BASCULE_TEST_DIR/again.xml" >/dev/null
[[ $(v domiflist alpha | awk 'NF { print $5 }') == "$mac" ]] || fail "the MAC changed"
uuid=$(v domuuid alpha | xargs)
[[ $(v domname "$uuid" | xargs) == alpha ]] || fail "domname of $uuid"

# Clients that know nothing of leases hear of this guest's as of any event of QEMU.
leases=$BASCULE_TEST_DIR/leases
stdbuf -oL virsh -q -c "$(libvirt_uri)" qemu-monitor-event alpha --event BASCULE_LEASE --loop >"$leases" 2>&1 &

# Started: a process of another user, a port on the bridge, a lease, the world.
v start alpha >/dev/null
console_log alpha "$BASCULE_TEST_DIR/console"
has running "$(v domstate alpha)"
id=$(v domid alpha | xargs)
[[ $id =~ ^[0-9]+$ ]] || fail "domid: $id"
v list --name | grep -x alpha >/dev/null || fail "alpha is not listed"
qemu=$(processes qemu-system-x86)
[[ -n $qemu && $(stat -c %u "/proc/$qemu") != 0 ]] || fail "QEMU runs as root"
port=$(v domiflist alpha | awk 'NF { print $1 }')
[[ $(readlink "/sys/class/net/$port/master") == *virbr0 ]] || fail "port $port is not on virbr0"
lease=$(wait_marker 90 "$BASCULE_TEST_DIR/console" lease)
address=$(cut -d' ' -f3 <<<"$lease")
has "router 192.168.122.1 dns 192.168.122.1" "$lease"
wait_marker 60 "$BASCULE_TEST_DIR/console" "done" >/dev/null
for step in "ping 192.168.122.1 ok" "ping $outside_address ok" "resolve alpha ok ${address%/*}"; do
    marker "$BASCULE_TEST_DIR/console" "step $step" >/dev/null || fail "the guest did not: $step"
done
has "$address" "$(v domifaddr alpha)"
has "event BASCULE_LEASE at .* for domain 'alpha': {\"address\":\"${address%/*}\",\"event\":\"added\"" "$(<"$leases")"

# What the guest's own agent says, QEMU's, and all that is known of its addresses.
has "agent is not connected" "$(v domifaddr alpha --source agent 2>&1 || true)"
# shellcheck disable=SC2016  # for the shell there
guest alpha 'mkdir -p /var/run; for p in /sys/class/virtio-ports/*; do grep -q guest_agent $p/name && port=/dev/${p##*/}; done;' \
    'qemu-ga -d -p $port -l /run/agent.log'
says_agent() { v domifaddr alpha --source agent --full | grep -q "^ *eth0 *$mac *ipv4 *${address%/*}/24"; }
wait_until 30 "the agent to answer" says_agent || fail "the agent: $(v domifaddr alpha --source agent 2>&1)"
has "${address%/*}/0" "$(v domifaddr alpha --source arp)"
all=$("$BASCULE_BUILD/bascule" --socket "$root/run/bascule/libvirt-sock" guest addresses alpha)
has "$port  *$mac  *${address%/*}/24  *lease arp agent  *0 s" "$all"
has "fe80::.*/64  *agent  *0 s" "$all"
has "1 received\|1 packets received" "$(guest alpha ping -c 1 192.168.122.1)"
has "inet $address" "$(guest alpha ip -4 addr show dev eth0)"

# Paused and resumed the guest keeps what its filter has learned from its lease, and gets nothing more by it.
learned() { nft list set bridge bascule nwf_ip4_IP | grep -F "\"$port\" . ${address%/*} "; }
other=192.168.122.253
blocked() { [[ $(guest alpha ping -c 1 -W 1 -I $other 192.168.122.1) == *" 0 "*received* ]]; }
wait_until 30 "the lease in the filter" learned
guest alpha ip addr add $other/24 dev eth0
blocked || fail "an address that was not learned passes"
v suspend alpha >/dev/null
has paused "$(v domstate alpha)"
learned >/dev/null || fail "a paused guest has lost its address: $(nft list set bridge bascule nwf_ip4_IP)"
v resume alpha >/dev/null
has running "$(v domstate alpha)"
learned >/dev/null || fail "a resumed guest has lost its address: $(nft list set bridge bascule nwf_ip4_IP)"
has "1 received\|1 packets received" "$(guest alpha ping -c 1 192.168.122.1)"
blocked || fail "an address that was not learned passes behind a pause"
guest alpha ip addr del $other/24 dev eth0
status=0
guest alpha --time 1 "echo before; sleep 30" >"$BASCULE_TEST_DIR/late" || status=$?
[[ $status == 124 && $(<"$BASCULE_TEST_DIR/late") == before ]] || fail "a command out of time: status $status"
has "bascule.responder' state='connected'" "$(v dumpxml alpha)"
if v dumpxml --inactive alpha | grep -e "state=" -e "<source mode='bind' path"; then fail "live facts of a channel in the definition"; fi
has "$mac" "$(v net-dhcp-leases default)"
has "rx_bytes" "$(v domifstat alpha "$port")"
has "CPU(s): *1" "$(v dominfo alpha)"
v net-dumpxml default >/dev/null

# The daemon is killed and comes back: the guest never noticed and is still its own.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_start
listen_to_events
[[ $(v domid alpha | xargs) == "$id" ]] || fail "alpha has another id after the daemon was killed"
busybox ping -c 1 -W 2 "${address%/*}" >/dev/null || fail "the guest does not answer after the daemon was killed"
has "bascule.responder' state='connected'" "$(v dumpxml alpha)"
[[ $(guest alpha hostname) == alpha ]] || fail "the channel does not work after the daemon was killed"

# Destroyed: gone with everything it had. A transient one leaves no definition.
socket=$(v dumpxml alpha | sed -n "s/.*<source mode='bind' path='\(.*\)'.*/\1/p")
v destroy alpha >/dev/null
[[ -n $socket && ! -e $socket ]] || fail "the channel's socket '$socket' is left"
wait_until 10 "QEMU to end" processes_gone qemu-system-x86
no_port() { ! ip link show "$port"; }
wait_until 5 "the port to be gone" no_port
has "shut off" "$(v domstate alpha)"
v undefine alpha >/dev/null
v list --all --name | grep . && fail "a guest is still listed"
v create "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
# A guest that dies by itself is noticed, and everything that it owned is withdrawn.
port=$(v domiflist alpha | awk 'NF { print $1 }')
kill -KILL "$(processes qemu-system-x86)"
no_guests() { [[ -z $(v list --all --name | tr -d '\n') ]]; }
wait_until 10 "the dead guest to be noticed" no_guests
wait_until 5 "its port to be gone" no_port

# A channel never takes the place of a file, and its path fits a socket's address.
echo precious >"$BASCULE_TEST_DIR/file"
for path in "$BASCULE_TEST_DIR/file" "/$(printf 'x%.0s' {1..107})"; do
    sed "s,<target type='virtio' name='bascule,<source mode='bind' path='$path'/>&," "$BASCULE_TEST_DIR/alpha.xml" >"$BASCULE_TEST_DIR/broken.xml"
    if said=$(v create "$BASCULE_TEST_DIR/broken.xml" 2>&1); then fail "a channel at $path"; fi
done
has precious "$(<"$BASCULE_TEST_DIR/file")"

# What QEMU says when it cannot start is what the client reads.
sed 's/<cmdline>/<initrd>\/dev\/null\/nothing<\/initrd>&/; /guest-image.initrd/d' "$BASCULE_TEST_DIR/alpha.xml" >"$BASCULE_TEST_DIR/broken.xml"
if said=$(v create "$BASCULE_TEST_DIR/broken.xml" 2>&1); then fail "a guest without its initrd started"; fi
has "/dev/null/nothing" "$said"

for event in Defined Started Stopped Undefined; do
    grep -q "alpha.*$event" "$events" || fail "no event '$event': $(cat "$events")"
done
