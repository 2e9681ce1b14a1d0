#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# polkit, the real one, on a bus of this test: who may connect, what he may do to which object, what lists show.
# The sockets where libvirt's clients look, ssh's helper, and wrong URIs.
# time: 120
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
polkitd=/usr/lib/polkit-1/polkitd
[[ -x $polkitd ]] || skip "needs polkitd"
command -v dbus-daemon >/dev/null || skip "needs dbus-daemon"
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
lacks() { ! grep -q -- "$1" <<<"$2" || fail "'$1' in: $2"; }
configure() {
    mkdir -p "$root/etc/bascule"
    printf '%s\n' "$@" >"$root/etc/bascule/bascule.conf"
}

# Of this test alone: the bus (/run is private), polkit's rules, and our actions.
chmod 755 "$BASCULE_TEST_DIR"
rules=$BASCULE_TEST_DIR/rules.d
mkdir -p "$rules" /run/dbus
mount --bind "$rules" /etc/polkit-1/rules.d
mkdir -p "$BASCULE_TEST_DIR/actions"
cp /usr/share/polkit-1/actions/org.freedesktop.policykit.policy "$BASCULE_TEST_DIR/actions/"
cp "$BASCULE_TOP"/packaging/polkit/*.policy "$BASCULE_TEST_DIR/actions/"
mount --bind "$BASCULE_TEST_DIR/actions" /usr/share/polkit-1/actions
policy() { # the body of a rule; polkit notices by itself
    cat >"$rules/10-test.rules" <<RULE
polkit.addRule(function (action, subject) {
    if (action.id.indexOf("org.libvirt.") != 0) { return polkit.Result.NOT_HANDLED; }
    $1
});
RULE
}
policy 'return polkit.Result.NO;'
# A bus that starts nobody by itself: when polkit is stopped here, it is.
cat >"$BASCULE_TEST_DIR/bus.conf" <<'BUS'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
BUS
dbus-daemon --config-file="$BASCULE_TEST_DIR/bus.conf" --fork --nopidfile --nosyslog
start_polkit() {
    "$polkitd" --no-debug >"$BASCULE_TEST_DIR/polkit.log" 2>&1 &
    polkit=$!
    wait_until 10 "polkit" busctl --system status org.freedesktop.PolicyKit1
}
start_polkit
# polkit reads changed rules a moment later.
until_said() { # SECONDS WORDS COMMAND…: until the command's output has them
    local words=$2 seconds=$1
    shift 2
    said=
    wait_until "$seconds" "'$words' from $*" says "$words" "$@" || fail "it said: $("$@" 2>&1)"
}
says() {
    local words=$1
    shift
    said=$("$@" 2>&1 || true)
    grep -q -- "$words" <<<"$said"
}

# As an ordinary user of this host.
user() { setpriv --reuid games --regid games --clear-groups "$@"; }
u() { user virsh -q -c "$(libvirt_uri)" "$@"; }
ro() { user virsh -q -r -c "qemu+unix:///system?socket=$root/run/bascule/libvirt-sock-ro" "$@"; }

# ── who may connect ──
configure 'auth_unix_rw = "polkit"' 'auth_unix_ro = "polkit"'
daemon_start # which asks as root: exempt
[[ $(stat -c %a "$root/run/bascule/libvirt-sock") == 777 ]] || fail "where polkit decides everybody may knock"
until_said 10 "authentication failed: access denied by policy" u uri
until_said 10 "authentication failed: access denied by policy" ro uri
policy 'if (action.id == "org.libvirt.unix.monitor") { return polkit.Result.YES; } return polkit.Result.NO;'
until_said 10 "qemu" ro uri
if said=$(u uri 2>&1); then fail "monitor let a client in that wants to manage"; fi
policy 'if (action.id == "org.libvirt.unix.manage" && subject.user == "games") { return polkit.Result.YES; } return polkit.Result.NO;'
until_said 10 "qemu" u uri
u net-list --name >/dev/null || fail "a user that polkit let in cannot list networks"
# Would need a password, and there is nobody to ask for it.
policy 'return polkit.Result.AUTH_ADMIN;'
until_said 10 "no polkit agent available to authenticate action 'org.libvirt.unix.manage'\|authentication unavailable" u uri </dev/null
# Who has not logged in gets nothing else.
said=$(user /usr/bin/python3 - "$root/run/bascule/libvirt-sock" <<'PY'
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def call(procedure, body=b""):
    s.sendall(struct.pack(">7I", 28 + len(body), 0x20008086, 1, procedure, 0, 1, 0) + body)
    size = struct.unpack(">I", s.recv(4, socket.MSG_WAITALL))[0]
    return s.recv(size - 4, socket.MSG_WAITALL)
print(struct.unpack(">6I2I", call(66)[:32])[6:])                       # auth-list: one way, polkit
name = b"qemu:///system"
print(call(1, struct.pack(">II", 1, len(name)) + name + b"\0\0" + struct.pack(">I", 0))[24:])
print(call(3)[24:])
PY
)
has "(1, 2)" "$said"
[[ $(grep -c "authentication required" <<<"$said") == 2 ]] || fail "a client that did not log in: $said"
# Without polkit nobody but root.
kill "$polkit"
wait "$polkit" || true
until_said 10 "authentication unavailable: polkit cannot be asked" u uri
v uri >/dev/null || fail "root needs polkit"
start_polkit
policy 'return polkit.Result.YES;'
until_said 10 "qemu" u uri
daemon_stop

# ── what he may do to which object ──
configure 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0777"' 'access_drivers = [ "polkit" ]'
policy 'return polkit.Result.YES;'
daemon_start
network() { echo "<network><name>$1</name><bridge name='virbr-$1'/><ip address='10.9.$2.1' netmask='255.255.255.0'/></network>"; }
network mine 1 >"$BASCULE_TEST_DIR/mine.xml"
network theirs 2 >"$BASCULE_TEST_DIR/theirs.xml"
network third 3 >"$BASCULE_TEST_DIR/third.xml"
v net-define "$BASCULE_TEST_DIR/mine.xml" >/dev/null
v net-define "$BASCULE_TEST_DIR/theirs.xml" >/dev/null
policy '
    if (action.id.indexOf("org.libvirt.api.connect.") == 0) { return polkit.Result.YES; }
    if (action.id.indexOf("org.libvirt.api.network.") == 0 && action.lookup("connect_driver") == "QEMU" &&
        action.lookup("network_name") == "mine") { return polkit.Result.YES; }
    return polkit.Result.NO;'
lists_mine() { [[ $(u net-list --all --name | tr -d '\n') == mine ]]; }
wait_until 10 "the list to be what the user may see" lists_mine || fail "networks: $(u net-list --all --name 2>&1)"
[[ $(v net-list --all --name | grep -c .) == 3 ]] || fail "root's list: $(v net-list --all --name)"
u net-start mine >/dev/null || fail "what is granted is refused"
u net-dumpxml mine | grep -q "<name>mine</name>" || fail "dumpxml"
for command in "net-start theirs" "net-dumpxml theirs" "net-info default" "net-undefine theirs"; do
    # shellcheck disable=SC2086
    if said=$(u $command 2>&1); then fail "'$command' was allowed"; fi
    has "access denied: 'QEMU' denied access" "$said"
done
# By the UUID that decides, not by the name that the client says.
theirs=$(v net-uuid theirs)
if u net-start "$theirs" 2>/dev/null; then fail "by UUID it was allowed"; fi
# Documents: only the name is read before.
if said=$(u net-define "$BASCULE_TEST_DIR/third.xml" 2>&1); then fail "defining another network was allowed"; fi
has "denied access" "$said"
echo "<network><name>third</name><nonsense/></network>" >"$BASCULE_TEST_DIR/bad.xml"
if said=$(u net-define "$BASCULE_TEST_DIR/bad.xml" 2>&1); then fail "nonsense was defined"; fi
has "denied access" "$said"
if said=$(v net-define "$BASCULE_TEST_DIR/bad.xml" 2>&1); then fail "nonsense was defined"; fi
has "nonsense" "$said"
u net-dumpxml --inactive mine >"$BASCULE_TEST_DIR/again.xml"
u net-define "$BASCULE_TEST_DIR/again.xml" >/dev/null || fail "redefining what is granted"
# Other classes: nothing is granted of filters, so none are seen.
lacks clean-traffic "$(u nwfilter-list)"
v nwfilter-list | grep -q clean-traffic || fail "root sees no filters"
# What is looked up by a path, or by what it is for, is the object that is found.
for pool in mine theirs; do
    v pool-define-as "$pool" dir --target "$BASCULE_TEST_DIR/pool-$pool" >/dev/null
    v pool-build "$pool" >/dev/null
    v pool-start "$pool" >/dev/null
    v vol-create-as "$pool" disk 1M >/dev/null
    v secret-define /dev/stdin <<<"<secret><usage type='ceph'><name>$pool</name></usage></secret>" >/dev/null
done
touch "$BASCULE_TEST_DIR/pool-mine/new"
secret=$(v secret-list | awk '$3 == "mine" { print $1 }')
policy '
    if (action.id.indexOf("org.libvirt.api.connect.") == 0 || action.lookup("network_name") == "mine" ||
        action.lookup("pool_uuid") == "'"$(v pool-uuid mine)"'" || action.lookup("secret_uuid") == "'"$secret"'") {
        return polkit.Result.YES;
    }
    return polkit.Result.NO;'
until_said 10 "^disk$" u vol-name "$BASCULE_TEST_DIR/pool-mine/disk"
[[ $(u vol-name "$BASCULE_TEST_DIR/pool-mine/new") == new ]] || fail "a volume that has just come: $(u vol-name "$BASCULE_TEST_DIR/pool-mine/new" 2>&1)"
has "disk" "$(u vol-list mine)"
by_use() {
    user /usr/bin/python3 -c 'import libvirt, sys
print(libvirt.open(sys.argv[1]).secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_CEPH, sys.argv[2]).UUIDString())' "$(libvirt_uri)" "$1" 2>&1
}
[[ $(by_use mine) == "$secret" ]] || fail "a secret by its use: $(by_use mine)"
has "denied access" "$(by_use theirs)"
for path in pool-theirs/disk secrets; do
    if said=$(u vol-name "$BASCULE_TEST_DIR/$path" 2>&1); then fail "$path was shown"; fi
    has "denied access" "$said"
done
# Events of others' objects do not reach him.
user timeout 20 virsh -q -c "$(libvirt_uri)" net-event --event lifecycle --loop --timeout 4 >"$BASCULE_TEST_DIR/events" 2>&1 &
watcher=$!
watching() { ss -xHp state established | grep -q "libvirt-sock.*" && kill -0 "$watcher"; }
wait_until 5 "the watcher" watching
event_comes() {
    v net-start theirs >/dev/null 2>&1 || v net-destroy theirs >/dev/null 2>&1 || true
    v net-destroy mine >/dev/null 2>&1 || v net-start mine >/dev/null 2>&1 || true
    grep -q "for network mine" "$BASCULE_TEST_DIR/events"
}
wait_until 4 "an event of his own" event_comes || fail "events: $(cat "$BASCULE_TEST_DIR/events")"
wait "$watcher" || true
lacks "network theirs" "$(cat "$BASCULE_TEST_DIR/events")"
# Nobody there to decide: no.
kill "$polkit"
wait "$polkit" || true
until_said 10 "denied access: polkit cannot be asked" u net-list
v net-list >/dev/null || fail "root needs polkit"
v net-destroy mine >/dev/null 2>&1 || true
v net-destroy theirs >/dev/null 2>&1 || true
daemon_stop

# ── who may by the sockets' group ──
configure 'unix_sock_group = "games"' 'unix_sock_rw_perms = "0770"' 'unix_sock_ro_perms = "0750"' 'compat_sockets = 1'
daemon_start
for folder in bascule libvirt; do
    [[ $(stat -c '%a %G' "$root/run/$folder/libvirt-sock" "$root/run/$folder/libvirt-sock-ro" | xargs) == "770 games 750 games" ]] ||
        fail "modes and groups: $(stat -c '%a %G %n' "$root/run/$folder"/*)"
done
as() { setpriv --reuid nobody --regid "$1" --clear-groups virsh -q -c "$(libvirt_uri)" uri; }
as games >/dev/null || fail "the group may not connect"
if said=$(as nogroup 2>&1); then fail "others may connect"; fi
has "Permission denied" "$said"
daemon_stop

# ── where libvirt's clients look ──
configure 'compat_sockets = 1'
daemon_start
for name in libvirt virtqemud virtnetworkd virtnwfilterd virtnodedevd virtinterfaced virtstoraged virtsecretd; do
    [[ -S $root/run/libvirt/$name-sock && -S $root/run/libvirt/$name-sock-ro ]] || fail "no $name-sock"
done
daemon_stop
[[ ! -e $root/run/libvirt/libvirt-sock ]] || fail "sockets are left"
# Somebody else's is not taken.
mkdir -p "$root/run/libvirt"
/usr/bin/python3 -c 'import socket,sys,time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(60)' "$root/run/libvirt/virtnetworkd-sock" &
other=$!
wait_until 5 "a stranger's socket" test -S "$root/run/libvirt/virtnetworkd-sock"
if said=$(timeout 20 "$BASCULE_BUILD/basculed" --root "$root" 2>&1); then fail "it took a socket from a libvirt daemon"; fi
has "virtnetworkd serves there: stop it (systemctl disable --now virtnetworkd.socket" "$said"
[[ ! -e $root/run/bascule/libvirt-sock ]] || fail "half of the sockets are left"
kill "$other"
wait "$other" 2>/dev/null || true

# /run/libvirt itself, as on a host without libvirt: no parameters, all drivers' names, and ssh's helper.
mkdir -p /run/libvirt "$root/run"
mount --bind /run/libvirt "$root/run/libvirt"
daemon_start
[[ $(virsh -q uri) == qemu:///system ]] || fail "without a URI: $(virsh -q uri 2>&1)"
[[ $(virsh -q -c qemu:///system hostname) == "$(hostname)"* ]] || fail "qemu:///system"
virsh -q -r -c qemu:///system net-list --name | grep -qx default || fail "virsh -r"
ssh=$BASCULE_TEST_DIR/ssh
cat >"$ssh" <<'SSH'
#!/bin/sh
# Stands for ssh: runs here what would run there.
while [ "$1" != "--" ] && [ $# -gt 0 ]; do shift; done
shift 2
exec sh -c "$*"
SSH
chmod +x "$ssh"
[[ $(virsh -q -c "qemu+ssh://somewhere/system?command=$ssh" hostname) == "$(hostname)"* ]] || fail "qemu+ssh"
# Hosts without libvirt's helper: busybox has a netcat everywhere.
netcat=$BASCULE_TEST_DIR/nc
cat >"$netcat" <<'NC'
#!/bin/sh
shift
exec busybox nc "local:$1"
NC
chmod +x "$netcat"
if busybox nc --help 2>&1 | grep -q "local:"; then
    [[ $(virsh -q -c "qemu+ssh://somewhere/system?command=$ssh&proxy=netcat&netcat=$netcat" hostname) == "$(hostname)"* ]] ||
        fail "qemu+ssh over netcat"
fi
said=$(virsh -q -c qemu:///nowhere uri 2>&1) && fail "qemu:///nowhere"
has "internal error: unexpected qemu URI path '/nowhere', try qemu:///system" "$said"
tear_down
