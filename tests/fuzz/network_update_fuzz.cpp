// SPDX-License-Identifier: GPL-2.0-or-later
// The first two bytes are section, command and parent, the rest is the element: whatever is accepted leaves a
// definition that formats to what parses to the same, unless it contradicts itself as a whole.
#include <cstdlib>
#include <string_view>

#include "network/check.h"
#include "network/port.h"
#include "network/update.h"
#include "network/xml.h"

namespace {

constexpr std::string_view kNetwork = R"(<network><name>n</name><forward mode='nat' dev='eth0'/><bridge name='virbr5'/>
<domain name='lab.example'/>
<dns><txt name='a' value='1'/><srv service='sip' protocol='udp' target='x.example' port='5060'/>
<host ip='10.0.0.9'><hostname>nine</hostname></host></dns>
<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.100' end='10.0.0.200'/>
<host mac='52:54:00:00:00:01' name='one' ip='10.0.0.11'/></dhcp></ip>
<ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp><host id='0:3:0:1' name='six' ip='2001:db8::6'/></dhcp></ip>
<portgroup name='p' default='yes'/></network>)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace bascule;
    if (size < 2) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
    if (const auto port = network::parse_port(text)) {
        const auto again = network::parse_port(network::format(*port));
        if (!again || *again != *port) {
            std::abort();
        }
    }
    auto spec = *network::parse(kNetwork);
    const auto before = spec;
    const auto order = network::order_of(data[0] & 0x0f, data[0] >> 4, text);
    const int parent = static_cast<int>(data[1] % 4) - 1;
    if (!order || !network::update(spec, {order->section, order->command, parent, text})) {
        if (spec != before) {
            std::abort();
        }
        return 0;
    }
    if (network::check(spec)) {
        const auto again = network::parse(network::format(spec));
        if (!again || *again != spec) {
            std::abort();
        }
    }
    return 0;
}
