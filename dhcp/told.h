// SPDX-License-Identifier: GPL-2.0-or-later
// What a client is told beyond its address: the options of RFC 2132 and later, and what it boots.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dhcp/message.h"
#include "dhcp/spec.h"

namespace bascule::dhcp {

// What a client says of itself: firmware that boots from the network, its kind of processor, its vendor.
struct ClientFacts {
    std::vector<std::uint16_t> archs;       // option 93 (RFC 4578), in its order
    bool ipxe = false;                      // option 175, or the user class "iPXE"
    bool http = false;                      // UEFI HTTP boot: the vendor class begins with "HTTPClient"
    std::string vendor_class;               // option 60, else the first of option 124
    std::vector<std::string> user_classes;  // option 77, in RFC 3004's form or as the bare text that most send
};
ClientFacts facts_of(const Options& options);
bool matches(const ClientMatch& match, const ClientFacts& facts);

// What the client is to boot; null: nothing was written down for it.
const Boot* boot_for(const Spec& spec, const ClientFacts& facts);
// The name it is to fetch. UEFI's HTTP boot takes nothing but a URL, so a bare path becomes one on `server`.
std::string boot_file(const Boot& boot, const ClientFacts& facts, const Ip& server);

// RFC 3442: for each route the length, the significant octets of the destination, the gateway.
Bytes encode_routes(const std::vector<Route>& routes);
// RFC 3397 and RFC 8106: names in DNS form, uncompressed, as many as whole ones fit `most` bytes.
Bytes encode_names(const std::vector<std::string>& names, std::size_t most = 255);

// Fills in next server and boot file, and adds every option, in the order in which they would be given up when the
// client takes only short messages. `us`: our address on the client's link, or the one nearest to it; `name`: the
// client's host name, may be empty.
void tell(const Spec& spec, const Subnet& subnet, const Ip& us, const Message& request, std::string_view name,
          Message& reply);

}  // namespace bascule::dhcp
