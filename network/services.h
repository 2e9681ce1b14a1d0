// SPDX-License-Identifier: GPL-2.0-or-later
// What a definition says about DHCP and router advertisements in our own namespace, beside the elements of extras.h:
//
//   <bascule:dhcp rapid-commit='no' probe='yes' ipv6-only='1800' dns='192.0.2.53' ntp='192.0.2.1' search='a.example'
//                 portal='https://portal.example/' key='client-id'/>   key: 'port' or RFC 4361's identifier
//   <bascule:reserve circuit-id='hex:0102' remote-id='rack 7' ip='10.9.0.50' name='web' lease='3600'/>
//                                                        for the line that a relay names; also mac=, id=
//   <bascule:pool circuit-id='hex:0102' remote-id='rack 7' start='10.9.0.60' end='10.9.0.79' lease='600'/>
//                                                        addresses for that line alone, and the only ones it gets
//   <bascule:boot file='ipxe.efi' arch='7 9' ipxe='no' server='192.0.2.9' name='tftp'/>   first match wins; these come
//                                                                                      before <bootp>
//   <bascule:option code='224' type='text' value='x' force='yes' family='ipv4' vendor='MSFT'/>
//                                                        type: hex, text, ip, u8, u16, u32, names
//   <bascule:option code='43' sub='6' type='u8' value='8'/>   an option in an option: 43, or 125 (IPv6: 17) with
//                                                        enterprise='3561'; those of one code are sent as one
//   <bascule:route to='10.0.0.0/8' via='192.0.2.7'/>     options 121 and 249
//   <bascule:relayed router='10.9.0.1' prefix='24' start='10.9.0.10' end='10.9.0.99' lease='3600'/>   behind a relay
//   <bascule:delegate from='2001:db8:f00::/56' length='64'/>                             IA_PD
//   <bascule:advertise managed='yes' other='yes' interval='600' lifetime='1800' preference='high' nat64='64:ff9b::/96'
//                      routes='2001:db8:ff::/48' enable='yes'/>
//   <bascule:prefix of='2001:db8:1::/64' autonomous='yes' on-link='yes' preferred='3600' valid='7200'/>
//
// and about names:
//
//   <bascule:alias name='ftp' target='web.example.com'/>      CNAME; the target is a name of the network
//   <bascule:forwarder domain='corp.example' addr='10.0.0.53' port='5353'/>   as the peer's <forwarder>, with a port
//   <bascule:names private-answers='yes'/>                    names of the outside may have addresses of the inside
//
// Lists are written with spaces between their parts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/xml.h"
#include "dhcp/spec.h"
#include "network/suboptions.h"

namespace bascule::network {

struct PrefixExtra {
    Prefix of;
    std::optional<bool> autonomous{}, on_link{};
    std::chrono::seconds preferred{0}, valid{0};
    bool operator==(const PrefixExtra&) const = default;
};

struct ServiceExtras {
    std::vector<dhcp::Boot> boot{};
    std::vector<dhcp::ExtraOption> options{}, options6{};
    std::vector<SubOption> suboptions{};
    std::vector<dhcp::Route> routes{};
    std::vector<dhcp::Subnet> relayed{};
    std::vector<dhcp::DelegationPool> delegations{};
    std::vector<PrefixExtra> prefixes{};
    std::vector<Ip> dns{}, ntp{};
    std::vector<std::string> search{};
    std::string portal{};
    std::optional<std::uint32_t> v6_only{};
    std::optional<bool> rapid_commit{};
    bool probe = false, key_by_client_id = false;
    std::vector<dhcp::Reservation> reserved{};  // of the subnet that holds the address
    std::vector<dhcp::Range> pools{};           // of lines; of the subnet that holds the first address
    std::optional<dhcp::Advertising> advertising{};
    std::vector<dhcp::DnsAlias> aliases{};
    std::vector<dhcp::DnsForwarder> forwarders{};
    bool private_answers = false;
    bool operator==(const ServiceExtras&) const = default;
};

// What is for a subnet that is not of the definition nor behind a relay, or nothing.
std::string misplaced(const ServiceExtras& extras, const std::vector<IpInterface>& subnets);

// False: the element is not one of these.
Result<bool> read_service(const xml::Node& node, ServiceExtras& out);
void apply(const ServiceExtras& extras, dhcp::Spec& service);

}  // namespace bascule::network
