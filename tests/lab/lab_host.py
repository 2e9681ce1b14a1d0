# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab hosts: virtualization hosts that QEMU boots from this machine's own root file system.

Theory of operation

A lab host is a folder. In it: `args` (how its QEMU is started), `pid`, `console.log` (serial console), the sockets
`responder` (commands), `shell` (a terminal), and what the host itself writes, since it sees the folder at /mnt/out.
Everything needed to use a host is in its folder, so any process can: the runner, a test that drives hosts from
outside, a person. Booting twice gives the same host with the same disk and a fresh everything else: after a power
cut (QEMU killed) that is what a real host would find, except that what the disk said it had written is there.

The CPU is an emulated AMD EPYC, whose SVM QEMU's emulation has; kvm_amd in the host gives nested guests real
type='kvm'. The machine has an IOMMU with interrupt remapping. Networks: none but what the needs ask for.

A host's needs are words KEY=NUMBER:
  mem=MIB (3072)   cpus=N (1)   igb=N (0): Intel 82576 NICs with SR-IOV, all on one wire   disk=GIB (0): at /mnt/disk, kept over boots
  link=1: a NIC `link0` that is connected to that of the other host
"""

import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/support"))
from responder import NoResponder, Responder  # noqa: E402

DEFAULTS = {"mem": 3072, "cpus": 1, "igb": 0, "disk": 0, "link": 0}
# The rest of an EPYC is more than the emulation has.
CPU = "EPYC,-fxsr-opt,-misalignsse,-osvw,-topoext,-nrip-save,-xsavec"
# memmap: no PCI windows above 4 GiB. QEMU's 82576 (10.0) takes only the lower half of a virtual function's 64-bit BARs: one
# placed up there is unreachable, and the VF's driver, whose mailbox to the PF is in it, makes up a MAC address.
KERNEL_LINE = ("console=ttyS0 panic=-1 quiet intel_iommu=on iommu=pt mitigations=off no_timer_check tsc=reliable "
               "memmap=32G$0xc000000000")
BOOT_SECONDS = 90


class LabError(Exception):
    """The lab itself failed: no test is to blame."""


def images():
    """Where kernel, initrd, modules and QEMU are; made when they are not."""
    made = subprocess.run([TOP / "tests/lab/setup.sh"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        raise LabError(f"tests/lab/setup.sh ended with status {made.returncode}")
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


def responder_program(folder):
    """The responder is in the host's own folder: linked statically, it needs nothing of the host."""
    source = TOP / "tests/support/guest/responder.c"
    subprocess.run(["gcc", "-O2", "-static", "-o", folder / "responder", source], check=True)


class Host:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    @staticmethod
    def make(folder, name, needs, peer=None):
        """A new host, not booted yet. `peer` is the folder of the host at the other end of its link."""
        host = Host(folder)
        host.folder.mkdir(parents=True)
        needs = {**DEFAULTS, **needs}
        (host.folder / "name").write_text(name + "\n")
        (host.folder / "top").write_text(f"{TOP}\n")
        responder_program(host.folder)
        if needs["disk"]:
            disk = host.folder / "disk.img"
            with open(disk, "wb") as file:
                file.truncate(needs["disk"] << 30)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk], check=True)
        (host.folder / "args").write_text("\n".join(host.arguments(name, needs, peer)) + "\n")
        return host

    def arguments(self, name, needs, peer):
        made, folder = images(), self.folder
        tree = made["qemu"]
        result = [f"{tree}/usr/bin/qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-no-reboot",
                  "-display", "none"]
        for data in ("qemu", "seabios"):
            result += ["-L", f"{tree}/usr/share/{data}"]
        result += ["-machine", "q35,kernel-irqchip=split,sata=off,smbus=off,i8042=off", "-accel", "tcg,thread=multi", "-cpu", CPU,
                   "-smp", str(needs["cpus"]), "-m", str(needs["mem"]),
                   "-device", "intel-iommu,intremap=on,caching-mode=on",
                   "-kernel", made["kernel"], "-initrd", made["initrd"],
                   "-append", KERNEL_LINE,
                   "-chardev", f"file,id=console,path={folder}/console.log,append=on", "-serial", "chardev:console",
                   "-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-device", "virtio-rng-pci",
                   "-device", "virtio-serial-pci",
                   "-chardev", f"socket,id=shell,path={folder}/shell,server=on,wait=off",
                   "-device", "virtconsole,chardev=shell",
                   "-chardev", f"socket,id=responder,path={folder}/responder.sock,server=on,wait=off",
                   "-device", "virtserialport,chardev=responder,name=bascule.responder"]
        for tag, path, options in (("root", "/", ",readonly=on,multidevs=remap"), ("modules", made["modules"], ",readonly=on"),
                                   ("out", folder, "")):
            result += ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none{options}"]
        if needs["disk"]:
            # unsafe: what the host wrote is in this machine's page cache, which outlives QEMU; a flush beyond that only
            # costs time. What the host had not written yet is lost with it.
            result += ["-drive", f"file={folder}/disk.img,format=raw,if=none,id=disk,cache=unsafe",
                       "-device", "virtio-blk-pci,drive=disk"]
        for number in range(needs["igb"]):
            # A root port each: virtual functions take device numbers of the bus that their NIC is on.
            result += ["-device", f"pcie-root-port,id=igbport{number},chassis={number + 1}",
                       "-netdev", f"hubport,id=igb{number},hubid=0",
                       "-device", f"igb,netdev=igb{number},mac=52:54:00:1a:b0:{number:02x},romfile=,bus=igbport{number}"]
        if needs["link"]:
            result += ["-netdev", f"dgram,id=link,local.type=unix,local.path={folder}/link,"
                                  f"remote.type=unix,remote.path={peer}/link",
                       "-device", f"virtio-net-pci,netdev=link,mac=52:54:00:1a:b1:{ord(name[-1]):02x},romfile="]
        return result

    # ── power ──

    def boot(self):
        """Returns once the host answers; LabError with the end of its console when it does not."""
        for stale in ("qmp", "shell", "responder.sock", "link"):
            (self.folder / stale).unlink(missing_ok=True)
        arguments = (self.folder / "args").read_text().splitlines()
        tree = arguments[0].removesuffix("/usr/bin/qemu-system-x86_64")
        libraries = f"{tree}/usr/lib/x86_64-linux-gnu"
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "QEMU_MODULE_DIR": f"{libraries}/qemu"}
        with open(self.folder / "qemu.log", "ab") as log:
            # However its starter ends, a forgotten host does not run for ever.
            process = subprocess.Popen(["timeout", "--signal=KILL", "3600", *arguments], env=environment, stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        (self.folder / "pid").write_text(f"{process.pid}\n")
        deadline = time.monotonic() + BOOT_SECONDS
        while not (self.folder / "responder.sock").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            Responder(str(self.folder / "responder.sock"), BOOT_SECONDS).run("true", 1)
        except NoResponder as error:
            self.cut()
            raise LabError(f"{self.folder.name} did not come up: {error}\nthe end of QEMU's log and of its console:\n"
                           f"{self.tail('qemu.log')}\n{self.tail('console.log')}") from error

    def off(self):
        """Powered off in order: file systems are synced and unmounted first."""
        try:
            self.run("sync; umount /mnt/disk 2>/dev/null; (sleep 0.2; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 &", 30)
        except NoResponder:
            pass
        deadline = time.monotonic() + 30
        while self.running() and self.alive(self.pid()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.cut()

    def pid(self):
        try:
            return int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def running(self):
        return self.pid() > 0 and pathlib.Path(f"/proc/{self.pid()}").exists()

    def cut(self):
        """A power cut: QEMU is killed. Nothing that the host's kernel still had in memory reaches the disk."""
        pid = self.pid()
        if not pid:
            return
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.alive(pid):
            time.sleep(0.02)
        (self.folder / "pid").unlink(missing_ok=True)

    @staticmethod
    def alive(pid):
        """Whether any process of the group still is (a zombie that another process has to reap is not)."""
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                return False
        except ChildProcessError:
            pass
        found = subprocess.run(["pgrep", "-g", str(pid), "-r", "D,R,S,I,T"], stdout=subprocess.DEVNULL, check=False)
        return found.returncode == 0

    # ── use ──

    def run(self, command, seconds=60):
        """(status, output) of a shell command in the host; status 124 when its time was up, NoResponder when it is dead."""
        return Responder(str(self.folder / "responder.sock")).run(command, seconds)

    def shell(self):
        """Connects this terminal to the host's shell until Ctrl-]."""
        import select
        import termios
        import tty
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(self.folder / "shell"))
        print(f"shell of {self.folder.name}; Ctrl-] leaves\r")
        peer.sendall(b"\n")
        saved = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            while True:
                ready, _, _ = select.select([0, peer], [], [])
                source = 0 if 0 in ready else peer.fileno()
                data = os.read(source, 65536)
                if not data or (source == 0 and b"\x1d" in data):
                    return
                if source == 0:
                    peer.sendall(data)
                else:
                    os.write(1, data)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
            print()

    def tail(self, name, lines=25):
        path = self.folder / name
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join("    | " + line for line in text.replace("\r", "").splitlines()[-lines:])

    def remove(self):
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command_line(self):
        return shlex.join((self.folder / "args").read_text().splitlines())
