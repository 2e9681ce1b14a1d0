# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2119,SC2120
# What ./run and the script tests share: a daemon in a private root, an outside, guests, waiting. Source it inside
# the namespaces that in_namespace.sh makes; nothing here is for the host itself.
#
#   BASCULE_TOP     the project's folder              BASCULE_BUILD   where basculed and its helper were built
#   root            the daemon's root folder (set before daemon_start; tests get it from $BASCULE_TEST_DIR/root)
set -euo pipefail
: "${BASCULE_TOP:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${BASCULE_BUILD:=$BASCULE_TOP/build/dev}"
: "${root:=${BASCULE_TEST_DIR:+$BASCULE_TEST_DIR/root}}"
# Addresses of RFC 5737, which nothing real has.
outside_host=203.0.113.1
outside_address=203.0.113.2

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
skip() { # the reason names what is missing; tests/skips.txt says which reasons are acceptable
    echo "SKIPPED: $*"
    exit 77
}

# wait_until SECONDS WHAT COMMAND…: until the command succeeds; WHAT is for the failure message. From 5 seconds on the
# limit only ends a hang, and a loaded machine may take half a minute; below that the time is what is tested.
wait_until() {
    local deadline=$((SECONDS + ($1 < 5 || $1 > 30 ? $1 : 30))) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || { echo "gave up waiting for $what" >&2; return 1; }
        sleep 0.05
    done
}

needs_daemon() {
    [[ -x $BASCULE_BUILD/basculed && -x $BASCULE_BUILD/bascule-netsvc ]] || skip "needs basculed and bascule-netsvc in $BASCULE_BUILD"
}

# ── the daemon ──────────────────────────────────────────────────────────────────────────────────────────────

libvirt_uri() { echo "qemu+unix:///system?socket=$root/run/bascule/libvirt-sock"; }
v() { virsh -q -c "$(libvirt_uri)" "$@"; }

# daemon_start [OPTION…]: returns once it answers. Its process id is $daemon, its log $root/basculed.log.
# setsid: a Ctrl-C at the terminal is for the script, which then stops things in order.
daemon_start() {
    mkdir -p "$root"
    chmod 755 "$root" # QEMU runs as a user of its own and reads kernels below it
    setsid "$BASCULE_BUILD/basculed" --root "$root" "$@" >>"$root/basculed.log" 2>&1 &
    daemon=$!
    wait_until 30 "basculed to answer" daemon_answers || { tail -n 40 "$root/basculed.log" >&2; return 1; }
}
daemon_answers() {
    kill -0 "$daemon" 2>/dev/null || { deadline=0; return 1; }
    [[ -S $root/run/bascule/libvirt-sock ]] && v uri # virsh takes half a second of a lab host's time
}
# daemon_stop [SIGNAL]: the daemon ends; guests and the network helper live on, as they must.
daemon_stop() {
    [[ -n ${daemon:-} ]] || return 0
    kill -"${1:-TERM}" "$daemon" 2>/dev/null || true
    wait_until 20 "basculed to end" daemon_gone || kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon=
}
daemon_gone() { ! kill -0 "$daemon" 2>/dev/null || [[ $(ps -o stat= -p "$daemon") == Z* ]]; }

# The filter "guarded": clean-traffic, and no DHCP server behind the port.
define_guarded() {
    cat >"$BASCULE_TEST_DIR/no-server.xml" <<'XML'
<filter name='no-dhcp-server-here' chain='ipv4' priority='-710'>
  <rule action='drop' direction='out' priority='100'><ip protocol='udp' srcportstart='67'/></rule>
</filter>
XML
    cat >"$BASCULE_TEST_DIR/guarded.xml" <<'XML'
<filter name='guarded'>
  <filterref filter='no-dhcp-server-here'/>
  <filterref filter='clean-traffic'/>
</filter>
XML
    v nwfilter-define "$BASCULE_TEST_DIR/no-server.xml" >/dev/null
    v nwfilter-define "$BASCULE_TEST_DIR/guarded.xml" >/dev/null
}

# By program name; sees only the process namespace that it runs in.
processes() { pgrep -x "$1" || true; }
processes_gone() { [[ -z $(pgrep -x -d ' ' "$1") ]]; }

# Everything that a daemon leaves running when it stops: guests, networks, the helper.
tear_down() {
    local name
    if [[ -n ${daemon:-} ]]; then
        for name in $(v list --name 2>/dev/null); do v destroy "$name" >/dev/null || true; done
        for name in $(v net-list --name 2>/dev/null); do v net-destroy "$name" >/dev/null || true; done
    fi
    daemon_stop
    local helper
    for helper in $(processes bascule-netsvc); do kill "$helper" 2>/dev/null || true; done
    wait_until 10 "bascule-netsvc to end" processes_gone bascule-netsvc
}

# What of ours is still in the kernel and among the processes of these namespaces, one a line.
left_behind() {
    ip -j -d link show | jq -r '.[] | select((.ifalias // "") | startswith("bascule:")) | "link \(.ifname) (\(.ifalias))"'
    nft -j list tables | jq -r '.nftables[].table? | select(.name? == "bascule") | "table \(.family) \(.name)"'
    local program
    for program in basculed bascule-netsvc qemu-system-x86; do # the kernel keeps 15 characters of a name
        pgrep -l -x "$program" | sed 's/^/process /' || true
    done
}

# ── a world around it ───────────────────────────────────────────────────────────────────────────────────────

# place NAME: a process that only holds a network namespace; its id is in ${place[NAME]}. No name in /run/netns,
# so nothing is left when it ends.
declare -A place
place() {
    local mark
    mark=$(mktemp)
    # It says itself that it is in its namespace: looked at from outside, a process between fork and exec has been taken
    # for one that is, and a test's devices landed in the namespace of the test.
    # shellcheck disable=SC2016
    unshare --net sh -c 'ip link set lo up && rm "$1" && exec sleep infinity' sh "$mark" &
    place[$1]=$!
    wait_until 5 "namespace $1" test ! -e "$mark" || fail "$1 got no namespace of its own"
}
at() { # PLACE COMMAND…
    local name=$1
    shift
    nsenter --net="/proc/${place[$name]}/ns/net" "$@"
}
# In the background: its process is the command itself, so that $! ends it and not only a shell around it.
exec_at() { # PLACE COMMAND…
    local name=$1
    shift
    exec nsenter --net="/proc/${place[$name]}/ns/net" "$@"
}

# The world beyond the host: reachable from here, and without any route to guests' subnets, so that only
# translated packets are answered.
make_outside() {
    place outside
    ip link add outside0 type veth peer name eth0 netns "${place[outside]}"
    ip addr add "$outside_host/24" dev outside0
    ip link set outside0 up
    at outside ip addr add "$outside_address/24" dev eth0
    at outside ip link set eth0 up
    wait_until 5 "the outside" busybox ping -c 1 -W 1 "$outside_address"
}

# plug NAME BRIDGE [MAC]: a place called NAME whose eth0 is a port of the bridge; the port's own name is NAME-port.
plug() {
    place "$1"
    ip link add "$1-port" type veth peer name eth0 netns "${place[$1]}"
    wait_until 5 "eth0 of $1" at "$1" ip link show eth0 || fail "$1 got no eth0: $(ip link; at "$1" ip link)"
    [[ -z ${3:-} ]] || at "$1" ip link set eth0 address "$3"
    ip link set "$1-port" master "$2" up
    at "$1" ip link set eth0 up
}

# lease NAME [UDHCPC-OPTION…]: a real client asks in that place until it has a lease, and sets address and default
# route. Prints what the server said, "ip=… router=… dns=…" and more, one fact a line. A bridge with spanning tree lets
# nothing through for its first four seconds; the client asks every second.
lease() {
    local name=$1
    shift
    at "$name" busybox udhcpc -f -q -n -i eth0 -t 20 -T 1 -A 1 -s "$BASCULE_TOP/tests/support/lease_here.sh" "$@" 2>"$BASCULE_TEST_DIR/lease-$name.err"
}
fact() { sed -n "s/^$1=//p"; } # of what lease printed

# A system bus of the namespace's own, on which everybody may own every name.
system_bus() {
    command -v dbus-daemon >/dev/null || skip "needs dbus-daemon"
    mkdir -p /run/dbus
    cat >"$BASCULE_TEST_DIR/bus.conf" <<'XML'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/><allow user='*'/></policy>
</busconfig>
XML
    dbus-daemon --config-file="$BASCULE_TEST_DIR/bus.conf" --nofork 2>"$BASCULE_TEST_DIR/bus.log" &
    wait_until 30 "the bus" busctl --system list
}

# ── guests ──────────────────────────────────────────────────────────────────────────────────────────────────

# Puts kernel and initrd of the test guest where the daemon's QEMU may read them: $guest_kernel, $guest_initrd.
prepare_guest_image() {
    local kernel initrd where=${BASCULE_GUEST_IMAGE:-}
    [[ -n $where ]] || where=$("$BASCULE_TOP/tests/support/guest_image.sh") || fail "no guest image"
    eval "$where"
    mkdir -p "$root/guest-image"
    chmod 755 "$root" "$root/guest-image"
    cp "$kernel" "$root/guest-image/vmlinux"
    cp "$initrd" "$root/guest-image/initrd"
    guest_kernel=$root/guest-image/vmlinux
    guest_initrd=$root/guest-image/initrd
}

# guest_xml NAME MAC STEPS [NETWORK [FILTER]]: a small guest; STEPS as guest/init has them.
guest_xml() {
    local type=qemu filter=
    [[ -z ${5:-} ]] || filter="<filterref filter='$5'/>"
    [[ ${BASCULE_ACCEL:-tcg} != kvm ]] || type=kvm
    cat <<XML
<domain type='$type'>
  <name>$1</name>
  <memory unit='MiB'>192</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$guest_kernel</kernel>
    <initrd>$guest_initrd</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 bascule.host=$1 bascule.cmds=$3</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <interface type='network'>
      <mac address='$2'/>
      <source network='${4:-default}'/>
      <model type='virtio'/>
      $filter
    </interface>
    <serial type='pty'/>
    <console type='pty'/>
    <channel type='unix'>
      <target type='virtio' name='bascule.responder'/>
    </channel>
  </devices>
</domain>
XML
}

# guest NAME [--time SECONDS] COMMAND…: runs a command in a running guest of guest_xml; its output, its status. 125:
# nobody answers there in time.
declare -A guest_channel # by name; asked for once, and again when it is gone: each start of a guest has its own
guest() {
    local name=$1 socket=${guest_channel[$1]:-}
    shift
    if [[ ! -S $socket ]]; then
        socket=$(v dumpxml "$name" | awk -F"'" '/<source mode=.bind. path=/ { path = $4 }
                                                /<target .*name=.bascule.responder./ { print path; exit }')
        [[ -S $socket ]] || { echo "guest $name has no channel bascule.responder" >&2; return 125; }
        guest_channel[$name]=$socket
    fi
    "$BASCULE_TOP/tests/support/responder.py" "$socket" "$@"
}

# console_log GUEST FILE: copies the guest's console to FILE from now on, through `virsh console`, which wants a
# terminal: script(1) gives it one. The process is $console.
console_log() {
    : >"$2"
    script -q -f -c "virsh -q -c '$(libvirt_uri)' console $1 --force" "$2" < <(exec sleep infinity) >/dev/null 2>&1 &
    console=$!
}

# marker FILE WORDS…: the first line of the guest that starts with "BASCULE WORDS", without carriage return.
marker() {
    local file=$1
    shift
    tr -d '\r' <"$file" | grep -a -o "BASCULE $*.*" | sed -n 1p
}
wait_marker() { # SECONDS FILE WORDS…
    local seconds=$1
    shift
    wait_until "$seconds" "the guest to say 'BASCULE ${*:2}'" marker "$@" && marker "$@"
}

# drops PATTERN: packets counted by dropping rules of table bridge bascule whose comment matches the pattern, a
# line each: "N COMMENT".
drops() {
    nft -j list table bridge bascule 2>/dev/null | jq -r --arg pattern "$1" '
        .nftables[].rule? | select(. != null and ((.comment // "") | test($pattern)))
        | select([.expr[] | has("drop") or ((.goto.target? // "") | startswith("nwf_drop_"))] | any)
        | "\([.expr[].counter?.packets // 0] | add) \(.comment)"'
}
dropped() { drops "$1" | awk '{ sum += $1 } END { print sum + 0 }'; } # PATTERN -> sum
dropped_at_least() { (($(dropped "$1") >= $2)); }                    # PATTERN COUNT

# bind PORT MAC FILTER [IP…]: puts a device under a filter, without a guest.
bind() {
    local port=$1 mac=$2 filter=$3 parameters="" address
    shift 3
    for address in "$@"; do parameters+="<parameter name='IP' value='$address'/>"; done
    cat >"$root/binding-$port.xml" <<XML
<filterbinding>
  <owner><name>$port</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid></owner>
  <portdev name='$port'/>
  <mac address='$mac'/>
  <filterref filter='$filter'>$parameters</filterref>
</filterbinding>
XML
    v nwfilter-binding-create "$root/binding-$port.xml"
}
