#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Pools and volumes, as virsh uses them: every pool- and vol- command, what is refused and in which words, files that are
# in no pool, what a hostile image cannot do, and that a long job holds up nobody.
# time: 150
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v qemu-img >/dev/null || skip "needs qemu-img"
daemon_start
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
refused() { # PATTERN VIRSH-COMMAND…: it fails and says so
    local pattern=$1 said
    shift
    if said=$(v "$@" 2>&1); then fail "'$*' was not refused"; fi
    has "$pattern" "$said"
}
valid() { # SCHEMA TEXT
    local file=$BASCULE_TEST_DIR/valid.xml
    printf '%s\n' "$2" >"$file"
    virt-xml-validate "$file" "$1" >/dev/null 2>"$BASCULE_TEST_DIR/valid.err" ||
        fail "not valid as $1: $(cat "$BASCULE_TEST_DIR/valid.err") in $2"
}
bytes() { v vol-info "$1" --pool "${3:-p}" --bytes | sed -n "s/^$2: *\([0-9]*\).*/\1/p"; } # VOLUME FIELD [POOL]

# ── a fresh installation has a default pool ─────────────────────────────────────────────────────────────────────
has "default *active *yes" "$(v pool-list --all)"
[[ -d $root/var/lib/bascule/images ]] || fail "the default pool's folder was not made"
has "Persistent: *yes" "$(v pool-info default)"
has "State: *running" "$(v pool-info default)"
valid storagepool "$(v pool-dumpxml default)"
valid storagepool "$(v pool-dumpxml default --inactive)"
caps=$(v pool-capabilities)
has "<pool type='dir' supported='yes'>" "$caps"
has "<pool type='iscsi' supported='no'/>" "$caps"

# ── a pool's life ───────────────────────────────────────────────────────────────────────────────────────────────
target=$BASCULE_TEST_DIR/pool
events=$BASCULE_TEST_DIR/events
stdbuf -oL virsh -q -c "$(libvirt_uri)" pool-event --event lifecycle --loop --timeout 60 >"$events" 2>&1 &
listener=$!
wait_until 10 "the event listener" sh -c "ss -x | grep -q libvirt-sock; sleep 0.3; kill -0 $listener"
v pool-define-as p dir --target "$target" >/dev/null
refused "already exists with uuid" pool-define /dev/stdin <<<"<pool type='dir'><name>p</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid><target><path>/x</path></target></pool>"
refused "Storage source conflict with pool: 'p'" pool-define-as q dir --target "$target"
refused "cannot open directory '$target': No such file" pool-start p
has "p *inactive *no" "$(v pool-list --all)"
v pool-build p >/dev/null
[[ $(stat -c %a "$target") == 711 ]] || fail "pool-build: mode $(stat -c %a "$target")"
v pool-start p >/dev/null
refused "storage pool 'p' is already active" pool-start p
refused "storage pool 'p' is already active" pool-build p
refused "storage pool 'p' is still active" pool-undefine p
refused "storage pool 'p' is still active" pool-delete p
v pool-autostart p >/dev/null
[[ -L $root/etc/bascule/storage/autostart/p.xml ]] || fail "no autostart link"
v pool-autostart p --disable >/dev/null
uuid=$(v pool-uuid p)
[[ $(v pool-name "$uuid") == p ]] || fail "pool-name"
has "running" "$(v pool-list --details)"
[[ $(v pool-list --name --type logical) == "" ]] || fail "pool-list --type logical"
has p "$(v pool-list --name --type dir)"
v pool-refresh p >/dev/null
capacity=$(v pool-info p --bytes | sed -n 's/^Capacity: *//p')
read -r block_size blocks < <(stat -f -c '%S %b' "$target")
((capacity == block_size * blocks)) || fail "capacity $capacity, but the file system has $((block_size * blocks))"
valid storagepool "$(v pool-dumpxml p)"
EDITOR='sed -i s/0711/0700/' v pool-edit p >/dev/null || true # nothing to change: the definition has no mode
refused "pool with matching name 'nowhere'" pool-info nowhere
refused "not supported by this version" pool-define-as i iscsi --source-host h --source-dev d --target /dev/x
refused "does not support source discovery" find-storage-pool-sources-as netfs localhost

# ── volumes ─────────────────────────────────────────────────────────────────────────────────────────────────────
v vol-create-as p raw.img 10M --allocation 0 --format raw >/dev/null
v vol-create-as p full.img 4M --format raw >/dev/null
v vol-create-as p disk.qcow2 1G --format qcow2 >/dev/null
[[ $(stat -c '%s %a' "$target/raw.img") == "10485760 600" ]] || fail "raw.img: $(stat -c '%s %a' "$target/raw.img")"
[[ $(stat -c %b "$target/raw.img") -lt 100 ]] || fail "raw.img is not sparse"
[[ $(stat -c %b "$target/full.img") -ge 8192 ]] || fail "full.img is not allocated"
[[ $(qemu-img info --output=json "$target/disk.qcow2" | jq -r '"\(.format) \(."virtual-size")"') == "qcow2 1073741824" ]] ||
    fail "disk.qcow2: $(qemu-img info "$target/disk.qcow2")"
refused "storage volume 'raw.img' exists already" vol-create-as p raw.img 1M
touch "$target/stray"
refused "cannot create path '$target/stray'" vol-create-as p stray 1M
[[ $(v vol-list p | awk '{ print $1 }' | sort | xargs) == "disk.qcow2 full.img raw.img" ]] || fail "vol-list: $(v vol-list p)"
v pool-refresh p >/dev/null
has stray "$(v vol-list p --details)"
v vol-delete stray --pool p >/dev/null
[[ ! -e $target/stray ]] || fail "vol-delete left the file"
for name in ../up .. 'a/b'; do refused "a file name" vol-create-as p "$name" 1M; done
refused "no storage vol with matching path 'none'" vol-info none --pool p
refused "unsupported flags (0x2)" vol-delete raw.img --pool p --delete-snapshots

has "<format type='raw'/>" "$(v vol-dumpxml raw.img --pool p)"
for name in raw.img disk.qcow2; do
    valid storagevol "$(v vol-dumpxml "$name" --pool p)"
    [[ $(v vol-path "$name" --pool p) == "$target/$name" ]] || fail "vol-path $name"
    [[ $(v vol-key "$name" --pool p) == "$target/$name" ]] || fail "vol-key $name"
    [[ $(v vol-name "$target/$name") == "$name" ]] || fail "vol-name"
    [[ $(v vol-pool "$target/$name") == p && $(v vol-pool "$target/$name" --uuid) == "$uuid" ]] || fail "vol-pool"
done
[[ $(bytes disk.qcow2 Capacity) == 1073741824 ]] || fail "vol-info: $(v vol-info disk.qcow2 --pool p --bytes)"
has "Physical:" "$(v vol-info disk.qcow2 --pool p --physical)"

# What the document can ask for.
v vol-create p /dev/stdin >/dev/null <<XML
<volume><name>asked.qcow2</name><capacity unit='MiB'>64</capacity><target><format type='qcow2'/>
<permissions><mode>0640</mode><owner>61201</owner><group>61201</group></permissions>
<compat>1.1</compat><clusterSize unit='KiB'>128</clusterSize><features><lazy_refcounts/></features></target></volume>
XML
[[ $(stat -c '%a %u %g' "$target/asked.qcow2") == "640 61201 61201" ]] || fail "permissions: $(stat -c '%a %u %g' "$target/asked.qcow2")"
asked=$(qemu-img info --output=json "$target/asked.qcow2")
[[ $(jq -r '"\(."cluster-size") \(."format-specific".data."lazy-refcounts")"' <<<"$asked") == "131072 true" ]] || fail "asked.qcow2: $asked"
has "<lazy_refcounts/>" "$(v vol-dumpxml asked.qcow2 --pool p)"
valid storagevol "$(v vol-dumpxml asked.qcow2 --pool p)"
refused "encrypted volumes" vol-create p /dev/stdin <<<"<volume><name>e</name><capacity>1</capacity><target><encryption format='luks'/></target></volume>"
refused "missing capacity element" vol-create p /dev/stdin <<<"<volume><name>e</name></volume>"
refused "line 1: <capacity unit>" vol-create p /dev/stdin <<<"<volume><name>e</name><capacity unit='XB'>1</capacity></volume>"
v vol-create p /dev/stdin >/dev/null <<<"<volume><name>folder</name><target><format type='dir'/></target></volume>"
[[ -d $target/folder ]] || fail "no folder"
v vol-delete folder --pool p >/dev/null
for format in vmdk vdi qed qcow vpc; do
    v vol-create-as p "x.$format" 16M --format "$format" >/dev/null
    has "<format type='$format'/>" "$(v vol-dumpxml "x.$format" --pool p)"
    v vol-delete "x.$format" --pool p >/dev/null
done
v vol-create-as p metadata.qcow2 16M --format qcow2 --prealloc-metadata >/dev/null

# Backing files.
refused "no volume of an active pool: say its <format>" vol-create p /dev/stdin <<<"<volume><name>o</name><capacity>1048576</capacity><target><format type='qcow2'/></target><backingStore><path>/nonexistent</path></backingStore></volume>"
v vol-create-as p over.qcow2 1G --format qcow2 --backing-vol disk.qcow2 --backing-vol-format qcow2 >/dev/null
has "<path>$target/disk.qcow2</path>" "$(v vol-dumpxml over.qcow2 --pool p)"
valid storagevol "$(v vol-dumpxml over.qcow2 --pool p)"
refused "cannot be made: take 'raw' or 'qcow2'" vol-create-as p o3 1M --format bochs
refused "has no backing file" vol-create-as p o2 1M --format raw --backing-vol disk.qcow2

# ── resizing ────────────────────────────────────────────────────────────────────────────────────────────────────
v vol-resize raw.img 20M --pool p >/dev/null
[[ $(stat -c %s "$target/raw.img") == 20971520 ]] || fail "vol-resize"
v vol-resize raw.img 1M --delta --pool p >/dev/null
[[ $(bytes raw.img Capacity) == 22020096 ]] || fail "vol-resize --delta"
refused "unless shrink flag" vol-resize raw.img 5M --pool p
v vol-resize raw.img 5M --shrink --pool p >/dev/null
v vol-resize raw.img 6M --allocate --pool p >/dev/null
(($(stat -c %b "$target/raw.img") * 512 >= 1048576)) || fail "vol-resize --allocate allocated nothing"
v vol-resize disk.qcow2 2G --pool p >/dev/null
[[ $(bytes disk.qcow2 Capacity) == 2147483648 ]] || fail "vol-resize of qcow2"
v vol-resize over.qcow2 3G --pool p >/dev/null
v vol-resize disk.qcow2 1G --shrink --pool p >/dev/null

# ── content ─────────────────────────────────────────────────────────────────────────────────────────────────────
head -c 3000000 /dev/urandom >"$BASCULE_TEST_DIR/in"
v vol-create-as p content 3000000 --allocation 0 >/dev/null
v vol-upload content "$BASCULE_TEST_DIR/in" --pool p
v vol-download content "$BASCULE_TEST_DIR/out" --pool p
cmp "$BASCULE_TEST_DIR/in" "$BASCULE_TEST_DIR/out" || fail "what came down is not what went up"
v vol-download content "$BASCULE_TEST_DIR/part" --pool p --offset 1000000 --length 5000
cmp -n 5000 "$BASCULE_TEST_DIR/part" <(tail -c +1000001 "$BASCULE_TEST_DIR/in") || fail "a part"
[[ $(stat -c %s "$BASCULE_TEST_DIR/part") == 5000 ]] || fail "the part has $(stat -c %s "$BASCULE_TEST_DIR/part") bytes"
printf 'hello' >"$BASCULE_TEST_DIR/hello"
v vol-upload content "$BASCULE_TEST_DIR/hello" --pool p --offset 100 --length 5
[[ $(tail -c +101 "$target/content" | head -c 5) == hello ]] || fail "upload at an offset"
refused "longer than was announced" vol-upload content "$BASCULE_TEST_DIR/in" --pool p --length 10
refused "behind the volume's end" vol-download content "$BASCULE_TEST_DIR/part" --pool p --offset 3000001
truncate -s 64M "$BASCULE_TEST_DIR/sparse"
printf 'island' | dd of="$BASCULE_TEST_DIR/sparse" bs=1 seek=20000000 conv=notrunc status=none
v vol-create-as p sparse 64M >/dev/null
v vol-upload sparse "$BASCULE_TEST_DIR/sparse" --pool p --sparse
cmp "$BASCULE_TEST_DIR/sparse" "$target/sparse" || fail "sparse upload"
(($(stat -c %b "$target/sparse") < 2048)) || fail "the holes were written out: $(stat -c %b "$target/sparse") blocks"
v vol-download sparse "$BASCULE_TEST_DIR/sparse.out" --pool p --sparse
cmp "$BASCULE_TEST_DIR/sparse" "$BASCULE_TEST_DIR/sparse.out" || fail "sparse download"
(($(stat -c %b "$BASCULE_TEST_DIR/sparse.out") < 2048)) || fail "the holes came as zeros"

# A qcow2 image that is uploaded is one from then on.
qemu-img create -q -f qcow2 "$BASCULE_TEST_DIR/cloud.qcow2" 5G
v vol-create-as p cloud 1M --allocation 0 >/dev/null
v vol-upload cloud "$BASCULE_TEST_DIR/cloud.qcow2" --pool p
has "<format type='qcow2'/>" "$(v vol-dumpxml cloud --pool p)"
[[ $(bytes cloud Capacity) == 5368709120 ]] || fail "the uploaded image's capacity"

# ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────────
v vol-clone content copy --pool p >/dev/null
cmp "$target/content" "$target/copy" || fail "vol-clone"
v vol-clone over.qcow2 over2.qcow2 --pool p >/dev/null
has "<path>$target/disk.qcow2</path>" "$(v vol-dumpxml over2.qcow2 --pool p)"
v vol-create-from p /dev/stdin content --inputpool p >/dev/null <<XML
<volume><name>big.qcow2</name><capacity unit='MiB'>100</capacity><target><format type='qcow2'/></target></volume>
XML
[[ $(bytes big.qcow2 Capacity) == 104857600 ]] || fail "a larger copy"
qemu-img convert -O raw "$target/big.qcow2" "$BASCULE_TEST_DIR/big.raw"
cmp -n 3000000 "$BASCULE_TEST_DIR/big.raw" "$target/content" || fail "the larger copy's content"

# ── wiping ──────────────────────────────────────────────────────────────────────────────────────────────────────
v vol-wipe copy --pool p >/dev/null
cmp -n 3000000 "$target/copy" /dev/zero || fail "vol-wipe"
for algorithm in nnsa dod bsi gutmann schneier pfitzner7 pfitzner33 random trim; do
    v vol-wipe copy --pool p --algorithm "$algorithm" >/dev/null || fail "vol-wipe --algorithm $algorithm"
done
[[ $(stat -c '%s %b' "$target/copy") == "3000000 0" ]] || fail "after trim: $(stat -c '%s %b' "$target/copy")"

# ── what a guest may write into its disk ────────────────────────────────────────────────────────────────────────
# A raw volume stays raw, whatever it begins with, and so does its copy.
echo "not for guests" >"$BASCULE_TEST_DIR/private"
v vol-create-as p guest.raw 1M --allocation 0 >/dev/null
qemu-img create -q -f qcow2 -b "$BASCULE_TEST_DIR/private" -F raw "$BASCULE_TEST_DIR/evil" 1M
dd if="$BASCULE_TEST_DIR/evil" of="$target/guest.raw" conv=notrunc status=none
v pool-refresh p >/dev/null
dumped=$(v vol-dumpxml guest.raw --pool p)
has "<format type='raw'/>" "$dumped"
! grep backingStore <<<"$dumped" || fail "a guest's bytes were taken for a header"
v vol-clone guest.raw guest2.raw --pool p >/dev/null
cmp "$target/guest.raw" "$target/guest2.raw" || fail "the copy of a raw volume"
# An image from elsewhere shows what it says, and nothing follows it.
cp "$BASCULE_TEST_DIR/evil" "$target/evil.qcow2"
v pool-refresh p >/dev/null
has "<path>$BASCULE_TEST_DIR/private</path>" "$(v vol-dumpxml evil.qcow2 --pool p)"
refused "it is not followed" vol-create-from p /dev/stdin evil.qcow2 --inputpool p <<<"<volume><name>leak</name><capacity>1</capacity></volume>"
[[ ! -e $target/leak ]] || fail "a copy that was refused is there"
# Names that are no names, and things that are no volumes.
mkfifo "$target/fifo"
ln -s /nonexistent "$target/dangling"
ln -s "$target/raw.img" "$target/link.img"
touch "$target/"$'bell\a' "$target/"$'\xff\xfe'
v pool-refresh p >/dev/null
listed=$(v vol-list p)
has link.img "$listed"
for name in fifo dangling bell; do ! grep -q "$name" <<<"$listed" || fail "$name is listed"; done
v vol-delete link.img --pool p >/dev/null
[[ -e $target/raw.img && ! -L $target/link.img ]] || fail "deleting a link"

# ── files in no pool ────────────────────────────────────────────────────────────────────────────────────────────
outside=$BASCULE_TEST_DIR/outside
mkdir -p "$outside/new"
refused "no storage vol with matching path" vol-info "$outside/none.img"
qemu-img create -q -f qcow2 "$outside/lone.qcow2" 7M
before=$(v pool-list --all --name)
[[ $(v vol-info "$outside/lone.qcow2" --bytes | sed -n 's/^Capacity: *\([0-9]*\).*/\1/p') == 7340032 ]] || fail "a lone file"
implied=$(v vol-pool "$outside/lone.qcow2")
has "<path>$outside</path>" "$(v pool-dumpxml "$implied")"
valid storagepool "$(v pool-dumpxml "$implied")"
[[ $(v pool-list --all --name) == "$before" ]] || fail "an implied pool is listed"
ro="qemu+unix:///system?socket=$root/run/bascule/libvirt-sock-ro"
if said=$(virsh -q -r -c "$ro" vol-info "$outside/lone.qcow2" 2>&1); then fail "the read-only socket tells of any file"; fi
has "no storage vol with matching path" "$said"
virsh -q -r -c "$ro" vol-info raw.img --pool p >/dev/null || fail "the read-only socket does not tell of volumes"
if said=$(virsh -q -r -c "$ro" vol-delete raw.img --pool p 2>&1); then fail "the read-only socket deletes"; fi
has "read only access prevents virStorageVolDelete" "$said"
# That is what virt-install needs; where there is no file yet, it defines a pool.
if command -v virt-install >/dev/null; then
    install() {
        virt-install --connect "$(libvirt_uri)" --name x --memory 64 --osinfo detect=off,require=off --import \
            --network none --graphics none --noautoconsole "$@" 2>&1
    }
    has "<source file=\"$outside/lone.qcow2\"/>" "$(install --disk "$outside/lone.qcow2" --print-xml)"
    has "Dry run completed" "$(install --disk "$outside/new/disk.qcow2,size=1" --dry-run)"
    has "Dry run completed" "$(install --disk pool=default,size=1,format=raw --dry-run)"
    v pool-destroy new >/dev/null
    v pool-undefine new >/dev/null
fi
v vol-delete "$outside/lone.qcow2" >/dev/null
[[ ! -e $outside/lone.qcow2 ]] || fail "a lone file was not deleted"

# ── a long job is in nobody's way ───────────────────────────────────────────────────────────────────────────────
v vol-create-as p slow 200M >/dev/null
dd if=/dev/zero of="$target/slow" bs=1M count=200 conv=notrunc status=none # what was never written needs no wiping
written=$(stat -c %.Y "$target/slow")
v vol-wipe slow --pool p --algorithm pfitzner33 >"$BASCULE_TEST_DIR/wipe" 2>&1 &
wiper=$!
wiping() { [[ $(stat -c %.Y "$target/slow") != "$written" ]]; }
wait_until 10 "the wipe to begin" wiping
refused "volume 'slow' is still being allocated" vol-delete slow --pool p
began=$(date +%s%N)
for ((i = 0; i < 20; i++)); do v vol-info raw.img --pool p >/dev/null; done
took=$((($(date +%s%N) - began) / 20000000))
((took < 1000)) || fail "a call took $took ms while a volume was wiped"
refused "asynchronous jobs running" pool-destroy p
daemon_stop KILL # a job that dies with the daemon
wait "$wiper" || true
wait "$listener" || true

# ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────
for what in Defined Created Started; do has "pool p: $what\|pool 'p'.*$what" "$(cat "$events")"; done

# ── a restart, and what a dead daemon left ──────────────────────────────────────────────────────────────────────
printf 'half' >"$target/half"
setfattr -n trusted.bascule.format -v unfinished "$target/half" 2>/dev/null || rm "$target/half"
v_list() { v vol-list p | awk '{ print $1 }'; }
daemon_start
has "p *active" "$(v pool-list)"
has raw.img "$(v_list)"
gone() { [[ ! -e $target/half ]]; }
wait_until 10 "the unfinished file to go" gone
v vol-delete slow --pool p >/dev/null

# ── the end of a pool ───────────────────────────────────────────────────────────────────────────────────────────
v pool-destroy p >/dev/null
refused "storage pool 'p' is not active" vol-list p
refused "Directory not empty" pool-delete p
rm -r "${target:?}"/* "$target/"$'\xff\xfe' 2>/dev/null || true
v pool-delete p >/dev/null
[[ ! -e $target ]] || fail "pool-delete left the folder"
v pool-undefine p >/dev/null
[[ ! -e $root/etc/bascule/storage/p.xml ]] || fail "pool-undefine left the file"
v pool-create-as t dir --target "$BASCULE_TEST_DIR/transient" --build >/dev/null
has "Persistent: *no" "$(v pool-info t)"
v pool-destroy t >/dev/null
refused "no storage pool" pool-info t
tear_down
