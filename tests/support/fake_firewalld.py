#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A firewalld that only knows zones: fake_firewalld.py FILE ZONE…

On the system bus it answers as org.fedoraproject.FirewallD1 does; the zone of each interface is in FILE, a line
"INTERFACE ZONE" each, anew after each change. SIGUSR1: it reloads, forgets every interface and says so.
"""

import signal
import sys

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

NAME = "org.fedoraproject.FirewallD1"


class Refusal(dbus.DBusException):
    _dbus_error_name = NAME + ".Exception"


class Firewalld(dbus.service.Object):
    def __init__(self, bus, path, zones):
        super().__init__(bus, "/org/fedoraproject/FirewallD1")
        self.path, self.zones, self.of = path, zones, {}
        self.write()

    def write(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.writelines(f"{link} {zone}\n" for link, zone in sorted(self.of.items()))

    def known(self, zone):
        if zone not in self.zones:
            raise Refusal(f"INVALID_ZONE: {zone}")

    @dbus.service.method(NAME + ".zone", in_signature="", out_signature="as")
    def getZones(self):
        return self.zones

    @dbus.service.method(NAME + ".zone", in_signature="ss", out_signature="s")
    def changeZoneOfInterface(self, zone, link):
        self.known(zone)
        self.of[str(link)] = str(zone)
        self.write()
        return zone

    @dbus.service.method(NAME + ".zone", in_signature="ss", out_signature="s")
    def removeInterface(self, zone, link):
        self.known(zone)
        if self.of.pop(str(link), None) is None:
            raise Refusal(f"UNKNOWN_INTERFACE: {link}")
        self.write()
        return zone

    @dbus.service.signal(NAME, signature="")
    def Reloaded(self):
        pass

    def reload(self):
        self.of = {}
        self.write()
        self.Reloaded()
        return True


def main():
    DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    it = Firewalld(bus, sys.argv[1], sys.argv[2:])
    name = dbus.service.BusName(NAME, bus)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, it.reload)
    GLib.MainLoop().run()
    del name


main()
