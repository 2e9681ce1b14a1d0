// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdlib>
#include <iostream>

#include <fmt/format.h>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/socket.h"

namespace {

using namespace bascule;
using namespace bascule::cli;
namespace po = boost::program_options;

constexpr const char* kDefaultSocket = "/run/bascule/libvirt-sock";

int usage_error(const std::string& what) {
    std::cerr << "bascule: " << what << "\nTry 'bascule --help'.\n";
    return static_cast<int>(ExitCode::usage);
}

po::options_description global_options() {
    const char* const from_environment = std::getenv("BASCULE_SOCKET");
    po::options_description options("Options");
    options.add_options()("help,h", "show this text, or a command's")("version,V", "show the version")(
        "output,o", po::value<std::string>()->default_value("table")->value_name("table|json"), "how to print")(
        "socket,s",
        po::value<std::string>()
            ->default_value(from_environment != nullptr ? from_environment : kDefaultSocket)
            ->value_name("PATH"),
        "the daemon's socket (also: BASCULE_SOCKET)");
    return options;
}

struct Parsed {
    const Command* command = nullptr;
    Format format = Format::table;
    std::string socket;
    std::vector<std::string> arguments;
    std::map<std::string, bool> switches;
    bool help = false, version = false;
};

// Finds the command that the words begin with and takes its words off.
const Command* take_command(std::vector<std::string>& words) {
    for (const Command& command : commands()) {
        const std::size_t own = command.noun.empty() ? 1 : 2;
        if (words.size() >= own && words[own - 1] == command.verb && (own == 1 || words[0] == command.noun)) {
            words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(own));
            return &command;
        }
    }
    return nullptr;
}

Result<Parsed> parse(const std::vector<std::string>& args) {
    po::options_description all = global_options();
    for (const Command& command : commands()) {
        for (const Switch& one : command.switches) {
            if (all.find_nothrow(std::string(one.name), false) == nullptr) {
                all.add_options()(std::string(one.name).c_str(), "");
            }
        }
    }
    all.add_options()("words", po::value<std::vector<std::string>>());
    po::positional_options_description positional;
    positional.add("words", -1);
    po::variables_map values;
    try {  // Boost's way of reporting; nothing of it leaves this function
        po::store(po::command_line_parser(args).options(all).positional(positional).run(), values);
        po::notify(values);
    } catch (const po::error& error) {
        return fail(Code::invalid_argument, error.what());
    }
    Parsed parsed;
    parsed.help = values.contains("help");
    parsed.version = values.contains("version");
    parsed.socket = values["socket"].as<std::string>();
    const std::string format = values["output"].as<std::string>();
    if (format != "table" && format != "json") {
        return fail(Code::invalid_argument, fmt::format("-o {}: expected table or json", format));
    }
    parsed.format = format == "json" ? Format::json : Format::table;
    if (values.contains("words")) {
        parsed.arguments = values["words"].as<std::vector<std::string>>();
        const std::string first = parsed.arguments.front();
        const std::string second = parsed.arguments.size() > 1 ? " " + parsed.arguments[1] : "";
        parsed.command = take_command(parsed.arguments);
        if (parsed.command == nullptr) {
            return fail(Code::invalid_argument, fmt::format("there is no command '{}{}'", first, second));
        }
        for (const Switch& one : parsed.command->switches) {
            parsed.switches[std::string(one.name)] = values.contains(std::string(one.name));
        }
    }
    return parsed;
}

Result<void> check_arguments(const Parsed& parsed) {
    const Command& command = *parsed.command;
    const auto needed = std::ranges::count_if(command.arguments, [](auto name) { return !name.starts_with('['); });
    if (parsed.arguments.size() < static_cast<std::size_t>(needed) ||
        parsed.arguments.size() > command.arguments.size()) {
        return fail(Code::invalid_argument, help(command));
    }
    return {};
}

int run(const Parsed& parsed) {
    auto transport = SocketTransport::connect(parsed.socket);
    if (!transport) {
        std::cerr << "bascule: " << transport.error().message << "\n";
        return static_cast<int>(exit_code(transport.error()));
    }
    rpc::Client client(*transport);
    Context context{client, parsed.format, parsed.arguments, parsed.switches, {}};
    const auto done = [&]() -> Result<void> {
        TRY_OK(client.open("qemu:///system"));
        return parsed.command->run(context);
    }();
    if (!done) {
        std::cerr << "bascule: " << done.error().message << "\n";
        return static_cast<int>(exit_code(done.error()));
    }
    (void)client.close().has_value();  // the answer has come; how the connection ends does not matter
    std::cout << context.out << std::flush;
    return static_cast<int>(std::cout.good() ? ExitCode::done : ExitCode::failed);
}

}  // namespace

int main(int argc, char** argv) {
    const auto parsed = parse({argv + 1, argv + argc});
    if (!parsed) {
        return usage_error(parsed.error().message);
    }
    if (parsed->version) {
        std::cout << "bascule " << kVersion << "\n";
        return 0;
    }
    if (parsed->help) {
        if (parsed->command != nullptr) {
            std::cout << help(*parsed->command);
        } else {
            std::cout << help() << "\n" << global_options();
        }
        return 0;
    }
    if (parsed->command == nullptr) {
        return usage_error("no command given");
    }
    if (const auto checked = check_arguments(*parsed); !checked) {
        std::cerr << checked.error().message;
        return static_cast<int>(ExitCode::usage);
    }
    return run(*parsed);
}
