// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/probe.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace bascule::vmm {

namespace {

using qmp::Json;

// More than any QEMU has.
constexpr std::size_t kMostModels = 1000, kMostMachines = 1000;

std::uint64_t number_of(const Json& object, std::string_view member) {
    const auto it = object.is_object() ? object.find(member) : object.end();
    return it != object.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

// "EPYC-v2": a version of a model that is there without the suffix, too.
bool is_version(std::string_view name) {
    const auto dash = name.rfind("-v");
    if (dash == std::string_view::npos || dash + 2 == name.size()) {
        return false;
    }
    return std::ranges::all_of(name.substr(dash + 2), [](char c) { return c >= '0' && c <= '9'; });
}

// The properties of an expansion that are on or off, those that are on, and the vendor.
struct Expansion {
    std::vector<std::string> all, on;
    std::string vendor;
};
Expansion expansion_of(const Json& answer) {
    Expansion features;
    const auto model = answer.is_object() ? answer.find("model") : answer.end();
    if (model == answer.end() || !model->is_object() || !model->contains("props") || !(*model)["props"].is_object()) {
        return features;
    }
    const Json& props = (*model)["props"];
    for (const auto& [name, value] : props.items()) {
        if (value.is_boolean() && name.size() < 64) {
            features.all.push_back(name);
            if (value.get<bool>()) {
                features.on.push_back(name);
            }
        }
    }
    features.vendor = qmp::text_of(props, "vendor");
    return features;
}

}  // namespace

std::vector<std::string> probe_arguments(std::string_view accelerator, int fd) {
    return {"-S",
            "-no-user-config",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "none",
            "-accel",
            std::string(accelerator),
            "-chardev",
            fmt::format("socket,id=charmonitor,fd={},server=on,wait=off", fd),
            "-mon",
            "chardev=charmonitor,id=monitor,mode=control",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"};
}

std::shared_ptr<Probe> Probe::over(kernel::Loop& loop, std::unique_ptr<kernel::Stream> stream, std::string best,
                                   Done done) {
    const std::shared_ptr<Probe> probe(new Probe(std::move(best), std::move(done)));
    const auto weak = std::weak_ptr(probe);
    probe->monitor_ =
        Monitor::over(loop, std::move(stream),
                      {.ready =
                           [weak] {
                               if (const auto self = weak.lock()) {
                                   self->ask(
                                       "query-version", nullptr, [self](const Json& a) { return self->use_version(a); },
                                       [self] { self->expand(0); });
                               }
                           },
                       .event = [](const qmp::Event&) {},
                       .lost =
                           [weak](const Error& error) {
                               if (const auto self = weak.lock()) {
                                   self->finish(std::unexpected(error));
                               }
                           }});
    return probe;
}

void Probe::ask(std::string_view command, const Json& arguments, std::function<Result<void>(const Json&)> use,
                std::move_only_function<void()> next) {
    monitor_->execute(
        command, arguments,
        [self = shared_from_this(), use = std::move(use), next = std::move(next)](Result<Json> answer) mutable {
            auto used = answer ? use(*answer) : std::unexpected(std::move(answer).error());
            if (used) {
                next();
            } else {
                self->finish(std::move(used));
            }
        });
}

Result<void> Probe::use_version(const Json& answer) {
    const auto qemu = answer.is_object() ? answer.find("qemu") : answer.end();
    if (qemu == answer.end()) {
        return fail(Code::malformed, "query-version: no version");
    }
    const auto part = [&](std::string_view name) { return std::min<std::uint64_t>(number_of(*qemu, name), 999); };
    facts_.version = part("major") * 1'000'000 + part("minor") * 1'000 + part("micro");
    return {};
}

Result<void> Probe::use_machines(const Json& answer) {
    for (const Json& machine : answer.is_array() ? answer : Json::array()) {
        const std::string name = qmp::text_of(machine, "name"), alias = qmp::text_of(machine, "alias");
        if (!is_our_machine(name) || facts_.machines.size() >= kMostMachines) {
            continue;
        }
        const auto most = static_cast<unsigned>(std::clamp<std::uint64_t>(number_of(machine, "cpu-max"), 1, 4096));
        facts_.machines.push_back({.name = name, .max_cpus = most, .deprecated = qmp::flag_of(machine, "deprecated")});
        if (is_our_machine(alias)) {
            facts_.machines.push_back({.name = alias, .canonical = name, .max_cpus = most});
        }
    }
    sort_machines(facts_.machines);
    return {};
}

Result<void> Probe::use_models(const Json& answer) {
    for (const Json& model : answer.is_array() ? answer : Json::array()) {
        const std::string name = qmp::printable(qmp::text_of(model, "name"), 64);
        if (name.empty() || name == "max" || name == "host" || name == "base" || is_version(name) ||
            models_.size() >= kMostModels) {
            continue;
        }
        CpuModel known{.name = name, .deprecated = qmp::flag_of(model, "deprecated")};
        const auto missing = model.find("unavailable-features");
        for (const Json& feature : missing != model.end() && missing->is_array() ? *missing : Json::array()) {
            if (feature.is_string() && known.missing.size() < kMostModels) {
                known.missing.push_back(qmp::printable(feature.get<std::string>(), 64));
            }
        }
        models_.push_back(std::move(known));
    }
    return {};
}

// The rest of the conversation: number 0 asks for the lists first, then each model for its features, then the best one.
void Probe::expand(std::size_t model) {
    const auto self = shared_from_this();
    if (model == 0 && facts_.machines.empty()) {
        ask(
            "query-machines", nullptr, [self](const Json& a) { return self->use_machines(a); },
            [self] {
                self->ask(
                    "query-cpu-definitions", nullptr, [self](const Json& a) { return self->use_models(a); },
                    [self] {
                        if (self->facts_.machines.empty()) {
                            self->finish(fail(Code::unsupported_config, "it has none of the machine types q35 and pc"));
                        } else {
                            self->expand(0);
                        }
                    });
            });
        return;
    }
    const bool last = model >= models_.size();
    const Json arguments{{"type", "full"}, {"model", {{"name", last ? best_ : models_[model].name}}}};
    const auto use = [self, model, last](const Json& answer) -> Result<void> {
        const Expansion features = expansion_of(answer);
        self->facts_.cpus.learn(features.all);
        if (last) {
            self->facts_.cpus.set_guest(features.on, features.vendor);
        } else {
            self->models_[model].vendor = features.vendor;
            self->facts_.cpus.add(std::move(self->models_[model]), features.on);
        }
        return {};
    };
    ask("query-cpu-model-expansion", arguments, use, [self, model, last] {
        if (last) {
            self->finish({});
        } else {
            self->expand(model + 1);
        }
    });
}

void Probe::finish(Result<void> result) {
    if (auto done = std::exchange(done_, nullptr)) {
        const auto self = shared_from_this();
        if (result) {
            monitor_->execute("quit", nullptr, [](const Result<Json>&) {});
            done(std::move(facts_));
        } else {
            done(std::unexpected(std::move(result).error()));
        }
    }
}

}  // namespace bascule::vmm
