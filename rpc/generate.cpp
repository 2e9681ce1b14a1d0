// SPDX-License-Identifier: GPL-2.0-or-later
// Build-time generator: the protocol's tables to C++. Not part of the library; needs only the standard library.
//
//   generate TABLES_DIR OUTPUT_DIR AREA...
//
// (the areas, so that the build knows the files beforehand; others than the tables have are an error) reads
// procedures.tsv, structs.tsv and constants.tsv and writes below OUTPUT_DIR/rpc/
//   constants.h       a namespace of constexpr values for each group
//   proto_types.h     the composite types (Domain, Network, …)
//   proto_AREA.h      for each procedure of an area its argument and result structs and a tag that binds them:
//                     struct network_lookup_by_name { using Args, Ret; program, number, … }
//   proto.h           all areas
//   procedures.h      the numbers as enumerations
//   procedures.cpp    the table behind rpc/procedure.h
//   recode_AREA.cpp   decode-and-encode of everything, for tests and fuzzers (rpc/recode.h)
// A file whose content would not change is left untouched, so a new row rebuilds only its own area.
//
// Notation of fields: "name:type; name:type", "-" for none. Types: i8 u8 u16 i32 u32 i64 u64 f64 str uuid
// bytes<=N typed-param, a row of structs.tsv, and of these T? (may be absent), T[<=N] (counted), T[N] (fixed).
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using std::string;
using std::string_view;

[[noreturn]] void die(const string& what) {
    std::cerr << "generate: " << what << '\n';
    std::exit(1);
}

struct Row {
    string file;
    int line = 0;
    std::vector<string> cells;

    [[noreturn]] void bad(const string& what) const { die(file + ":" + std::to_string(line) + ": " + what); }
};

struct Field {
    string name, type;  // C++
    string limit;       // of a counted one
};

struct Procedure {
    string program, name, area, kind, priority, prevents;
    std::int32_t number = 0;
    std::vector<Field> args, ret;
    bool is_event = false;
};

struct Struct {
    string name;
    std::vector<Field> fields;
};

std::vector<string> split(string_view text, string_view by) {
    std::vector<string> out;
    for (;;) {
        const auto at = text.find(by);
        out.emplace_back(text.substr(0, at));
        if (at == string_view::npos) {
            return out;
        }
        text.remove_prefix(at + by.size());
    }
}

// Lines but comments and the line of column names; exactly `columns` cells each.
std::vector<Row> read_table(const std::filesystem::path& path, std::size_t columns) {
    std::ifstream in(path);
    if (!in) {
        die("cannot read " + path.string());
    }
    std::vector<Row> rows;
    string line;
    bool named = false;
    for (int number = 1; std::getline(in, line); ++number) {
        if (line.empty() || line[0] == '#' || !std::exchange(named, true)) {
            continue;
        }
        Row row{path.string(), number, split(line, "\t")};
        if (row.cells.size() != columns) {
            row.bad("expected " + std::to_string(columns) + " columns, got " + std::to_string(row.cells.size()));
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::int64_t number(const Row& row, const string& text) {
    std::size_t used = 0;
    try {
        const long long value = std::stoll(text, &used);
        if (used == text.size()) {
            return value;
        }
    } catch (const std::exception&) {
    }
    row.bad("expected a number, got '" + text + "'");
}

// "network-lookup-by-name" to "network_lookup_by_name"; C++'s own words get a trailing underscore.
string snake(string_view kebab) {
    static const std::set<string> taken{
        "alignas",  "and",      "auto",     "bool",    "break",    "case",     "catch",    "char",     "class",
        "concept",  "const",    "continue", "default", "delete",   "do",       "double",   "else",     "enum",
        "explicit", "export",   "extern",   "false",   "float",    "for",      "friend",   "goto",     "if",
        "inline",   "int",      "long",     "mutable", "new",      "not",      "operator", "or",       "private",
        "public",   "register", "requires", "return",  "short",    "signed",   "sizeof",   "static",   "struct",
        "switch",   "template", "this",     "throw",   "true",     "try",      "typedef",  "typename", "union",
        "unsigned", "using",    "virtual",  "void",    "volatile", "protected"};
    string out(kebab);
    std::ranges::replace(out, '-', '_');
    return taken.contains(out) ? out + "_" : out;
}

string pascal(string_view kebab) {
    string out;
    bool up = true;
    for (const char c : kebab) {
        if (c == '-') {
            up = true;
            continue;
        }
        out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        up = false;
    }
    return out;
}

class Types {
public:
    void add(const string& name) { composites_.insert(name); }

    std::vector<Field> fields(const Row& row, const string& text) const {
        std::vector<Field> out;
        if (text == "-") {
            return out;
        }
        for (const string& item : split(text, "; ")) {
            const auto colon = item.find(':');
            if (colon == string::npos) {
                row.bad("expected name:type, got '" + item + "'");
            }
            out.push_back(field(row, item.substr(0, colon), item.substr(colon + 1)));
        }
        return out;
    }

private:
    Field field(const Row& row, const string& name, string type) const {
        Field out{snake(name), "", ""};
        if (type.starts_with("bytes<=")) {
            return {out.name, "Bytes", std::to_string(number(row, type.substr(7)))};
        }
        if (type.ends_with(']')) {
            const auto open = type.find('[');
            const string count = type.substr(open + 1, type.size() - open - 2);
            const string item = scalar(row, type.substr(0, open));
            if (count.starts_with("<=")) {
                return {out.name, "std::vector<" + item + ">", std::to_string(number(row, count.substr(2)))};
            }
            return {out.name, "std::array<" + item + ", " + std::to_string(number(row, count)) + ">", ""};
        }
        if (type.ends_with('?')) {
            type.pop_back();
            return {out.name, "std::optional<" + scalar(row, type) + ">", ""};
        }
        return {out.name, scalar(row, type), ""};
    }

    string scalar(const Row& row, const string& type) const {
        static const std::map<string, string> plain{
            {"i8", "std::int8_t"},    {"u8", "std::uint8_t"},  {"u16", "std::uint16_t"},     {"i32", "std::int32_t"},
            {"u32", "std::uint32_t"}, {"i64", "std::int64_t"}, {"u64", "std::uint64_t"},     {"f64", "double"},
            {"str", "std::string"},   {"uuid", "Uuid"},        {"typed-param", "TypedParam"}};
        if (const auto it = plain.find(type); it != plain.end()) {
            return it->second;
        }
        if (!composites_.contains(type)) {
            row.bad("unknown type '" + type + "' (a row of structs.tsv may only name earlier ones)");
        }
        return pascal(type);
    }

    std::set<string> composites_;
};

// Which header a procedure belongs to: handlers of one subject include one or two.
string area_of(const string& program, const string& name) {
    const auto has = [&](string_view word) { return name.find(word) != string::npos; };
    if (program != "remote") {
        return program;
    }
    if (name.starts_with("domain-")) {
        return "domain";
    }
    if (has("nwfilter")) {
        return "nwfilter";
    }
    if (has("node-device") || name == "node-num-of-devices" || name == "node-list-devices") {
        return "node_device";
    }
    for (const string word : {"network", "interface", "storage", "secret", "domain"}) {
        if (has(word)) {
            return word;
        }
    }
    return "connect";
}

// Names of the error-domain group: the driver's, and the API layer's in front of it.
std::pair<string, string> domains_of(const Procedure& p) {
    if (p.name.starts_with("auth-") || p.program == "keepalive") {
        return {"rpc", "rpc"};
    }
    if (p.area == "domain" || p.area == "connect") {
        return {"qemu", p.name.find("snapshot") != string::npos     ? "domain_snapshot"
                        : p.name.find("checkpoint") != string::npos ? "domain_checkpoint"
                                                                    : "domain"};
    }
    if (p.area == "node_device") {
        return {"nodedev", "nodedev"};
    }
    if (p.area == "qemu" || p.area == "lxc") {
        return {p.area, "none"};
    }
    if (p.program != "remote") {
        return {"rpc", "rpc"};
    }
    return {p.area, p.area};
}

std::vector<Procedure> read_procedures(const std::filesystem::path& dir, const Types& types) {
    std::vector<Procedure> out;
    std::set<string> names;
    std::set<std::pair<string, std::int32_t>> numbers;
    for (const Row& row : read_table(dir / "procedures.tsv", 8)) {
        Procedure p;
        const auto slash = row.cells[0].find('/');
        p.program = slash == string::npos ? "remote" : row.cells[0].substr(0, slash);
        p.number = static_cast<std::int32_t>(
            number(row, slash == string::npos ? row.cells[0] : row.cells[0].substr(slash + 1)));
        p.name = row.cells[1];
        p.args = types.fields(row, row.cells[2]);
        p.ret = types.fields(row, row.cells[3]);
        p.kind = row.cells[4];
        p.priority = std::to_string(number(row, row.cells[5]));
        p.prevents = row.cells[7] == "-" ? "" : row.cells[7];
        p.is_event = p.kind.starts_with("event");
        p.area = area_of(p.program, p.name);
        if (!names.insert(p.name).second || !numbers.emplace(p.program, p.number).second) {
            row.bad("'" + p.name + "': its name or number is taken");
        }
        out.push_back(std::move(p));
    }
    return out;
}

// --- writing -------------------------------------------------------------------------------------------------

class Output {
public:
    explicit Output(std::filesystem::path dir) : dir_(std::move(dir)) { std::filesystem::create_directories(dir_); }

    void write(const string& name, const string& body) const {
        const std::filesystem::path path = dir_ / name;
        const string text =
            "// SPDX-License-Identifier: GPL-2.0-or-later\n// Generated by rpc/generate.cpp from rpc/*.tsv.\n" + body;
        std::ifstream old(path, std::ios::binary);
        if (old && string(std::istreambuf_iterator<char>(old), {}) == text) {
            return;
        }
        std::ofstream out(path, std::ios::binary | std::ios::trunc);
        out << text;
        if (!out.flush()) {
            die("cannot write " + path.string());
        }
    }

private:
    std::filesystem::path dir_;
};

string open_namespace(const string& name) { return "\nnamespace bascule::rpc" + name + " {\n"; }
string close_namespace(const string& name) { return "\n}  // namespace bascule::rpc" + name + "\n"; }

string struct_text(const string& name, const std::vector<Field>& fields) {
    std::ostringstream out;
    out << "struct " << name << " {\n";
    for (const Field& f : fields) {
        out << "    " << f.type << " " << f.name << "{};\n";
    }
    out << "    template <class A, class T>\n    static void fields(A& a, T& t) {\n";
    for (const Field& f : fields) {
        out << "        a(t." << f.name << (f.limit.empty() ? "" : ", " + f.limit) << ");\n";
    }
    out << "    }\n    bool operator==(const " << name << "&) const = default;\n};\n";
    return out.str();
}

string types_text(const std::vector<Struct>& structs) {
    string out = "#pragma once\n\n#include \"rpc/xdr.h\"\n" + open_namespace("::proto");
    for (const Struct& s : structs) {
        out += "\n" + struct_text(s.name, s.fields);
    }
    return out + close_namespace("::proto");
}

string tag_text(const Procedure& p) {
    const string id = snake(p.name);
    std::ostringstream out;
    const auto part = [&](const string& suffix, const std::vector<Field>& fields) {
        if (fields.empty()) {
            return string("Nothing");
        }
        out << struct_text(id + suffix, fields);
        return id + suffix;
    };
    out << "\n// " << (p.program == "remote" ? "" : p.program + "/") << p.number << " " << p.name << " (" << p.kind
        << ")\n";
    const string args = p.is_event ? "" : part("_args", p.args);
    const string ret = part(p.is_event ? "_msg" : "_ret", p.ret);
    out << "struct " << id << " {\n";
    if (p.is_event) {
        out << "    using Msg = " << ret << ";\n";
    } else {
        out << "    using Args = " << args << ";\n    using Ret = " << ret << ";\n";
    }
    out << "    static constexpr std::uint32_t program = program::" << snake(p.program) << ";\n"
        << "    static constexpr std::int32_t number = " << p.number << ";\n"
        << "    static constexpr bool opens_stream = " << (p.kind.find("+stream") != string::npos ? "true" : "false")
        << ";\n};\n";
    return out.str();
}

string area_text(const std::vector<Procedure>& procedures, const string& area) {
    string out =
        "#pragma once\n\n#include \"rpc/program.h\"\n#include \"rpc/proto_types.h\"\n" + open_namespace("::proto");
    for (const Procedure& p : procedures) {
        if (p.area == area) {
            out += tag_text(p);
        }
    }
    return out + close_namespace("::proto");
}

string numbers_text(const std::vector<Procedure>& procedures, const std::vector<string>& programs) {
    string out = "#pragma once\n\n#include <cstdint>\n" + open_namespace("");
    for (const string& program : programs) {
        out += "\nenum class " + pascal(program) + "Procedure : std::int32_t {\n";
        for (const Procedure& p : procedures) {
            if (p.program == program) {
                out += "    " + snake(p.name) + " = " + std::to_string(p.number) + ",\n";
            }
        }
        out += "};\n";
    }
    return out + close_namespace("");
}

string table_text(const std::vector<Procedure>& procedures) {
    std::ostringstream out;
    out << "#include \"rpc/constants.h\"\n#include \"rpc/procedure.h\"\n#include \"rpc/program.h\"\n"
        << open_namespace("") << "\nnamespace {\nconstexpr ProcedureInfo kTable[] = {\n";
    const auto use = [](const Procedure& p, string_view what) {
        const auto at = p.kind.find(what);
        if (at == string::npos) {
            return string("none");
        }
        const string rest = p.kind.substr(at + what.size());
        return rest.substr(0, rest.find('+'));
    };
    for (const Procedure& p : procedures) {
        const auto [driver, api] = domains_of(p);
        out << "    {program::" << snake(p.program) << ", " << p.number << ", \"" << p.name << "\", "
            << (p.is_event ? "false" : "true") << ", StreamUse::" << use(p, "+stream-")
            << ", FdUse::" << use(p, "+fds-") << ", " << p.priority << ", "
            << (p.kind.find("+urgent") != string::npos ? "true" : "false") << ", error_domain::" << driver
            << ", error_domain::" << api << ", \"" << p.prevents << "\"},\n";
    }
    out << "};\n}  // namespace\n\nstd::span<const ProcedureInfo> procedures() { return kTable; }\n"
        << close_namespace("");
    return out.str();
}

// Structs with the same field types in the same order have the same codec; the first of each shape stands for all
// (its fields() and theirs come from the same lines above), which keeps this to a quarter of the compile time.
string recode_text(const std::vector<Procedure>& procedures, const string& area) {
    std::ostringstream out;
    std::map<string, string> first_of_shape;
    const auto codec = [&](const std::vector<Field>& fields, const string& type) {
        string shape;
        for (const Field& f : fields) {
            shape += f.type + "/" + f.limit + ";";
        }
        return "&recode_as<" + first_of_shape.emplace(shape, type).first->second + ">";
    };
    out << "#include \"rpc/recode.h\"\n#include \"rpc/proto_" << area << ".h\"\n"
        << open_namespace("::detail") << "\nconst RecodeRow kRecode_" << area << "[] = {\n";
    for (const Procedure& p : procedures) {
        if (p.area != area) {
            continue;
        }
        const string tag = "proto::" + snake(p.name);
        out << "    {" << tag << "::program, " << p.number << ", "
            << (p.is_event ? "nullptr, " + codec(p.ret, tag + "::Msg")
                           : codec(p.args, tag + "::Args") + ", " + codec(p.ret, tag + "::Ret"))
            << "},\n";
    }
    out << "};\nstd::span<const RecodeRow> recode_rows_" << area << "() { return kRecode_" << area << "; }\n"
        << close_namespace("::detail");
    return out.str();
}

string recode_index_text(const std::set<string>& areas) {
    string out = "#include \"rpc/recode.h\"\n" + open_namespace("::detail") + "\n";
    string list;
    for (const string& area : areas) {
        out += "std::span<const RecodeRow> recode_rows_" + area + "();\n";
        list += "recode_rows_" + area + "(), ";
    }
    out += "\nstd::vector<std::span<const RecodeRow>> recode_rows() { return {" + list + "}; }\n";
    return out + close_namespace("::detail");
}

// Flags are unsigned, as on the wire; limits are sizes; names of typed parameters are text.
string constant_type(const string& group, const std::vector<std::pair<string, string>>& values) {
    if (group == "typed-param-field") {
        return "std::string_view";
    }
    if (group == "limit") {
        return "std::size_t";
    }
    const bool wide = std::ranges::any_of(values, [](const auto& v) { return std::stoll(v.second) > INT32_MAX; });
    const bool flags = group.find("-flag") != string::npos || group == "domain-modification-impact";
    const bool negative = std::ranges::any_of(values, [](const auto& v) { return v.second.starts_with('-'); });
    return !negative && (wide || flags || group.starts_with("program")) ? "std::uint32_t" : "std::int32_t";
}

string constants_text(const std::filesystem::path& dir) {
    std::vector<std::pair<string, std::vector<std::pair<string, string>>>> groups;
    for (const Row& row : read_table(dir / "constants.tsv", 5)) {
        const string& group = row.cells[0];
        auto it = std::ranges::find(groups, group, [](const auto& g) { return g.first; });
        if (it == groups.end()) {
            it = groups.insert(groups.end(), {group, {}});
        }
        if (group != "typed-param-field") {
            number(row, row.cells[2]);
        }
        it->second.emplace_back(row.cells[1], row.cells[2]);
    }
    std::ostringstream out;
    out << "#pragma once\n\n#include <cstddef>\n#include <cstdint>\n#include <string_view>\n" << open_namespace("");
    for (const auto& [group, values] : groups) {
        const string type = constant_type(group, values);
        out << "\nnamespace " << snake(group) << " {\n";
        for (const auto& [name, value] : values) {
            const bool text = type == "std::string_view";
            out << "inline constexpr " << type << " " << snake(name) << " = " << (text ? "\"" : "") << value
                << (text                      ? "\""
                    : type == "std::uint32_t" ? "u"
                                              : "")
                << ";\n";
        }
        out << "}  // namespace " << snake(group) << "\n";
    }
    out << close_namespace("");
    return out.str();
}

void generate(const std::filesystem::path& tables, const Output& out, const std::set<string>& expected_areas) {
    Types types;
    std::vector<Struct> structs;
    for (const Row& row : read_table(tables / "structs.tsv", 2)) {
        if (row.cells[0] == "typed-param") {
            continue;
        }
        structs.push_back({pascal(row.cells[0]), types.fields(row, row.cells[1])});
        types.add(row.cells[0]);
    }
    const std::vector<Procedure> procedures = read_procedures(tables, types);
    std::set<string> areas;
    std::vector<string> programs;
    for (const Procedure& p : procedures) {
        areas.insert(p.area);
        if (std::ranges::find(programs, p.program) == programs.end()) {
            programs.push_back(p.program);
        }
    }
    if (areas != expected_areas) {
        string list;
        for (const string& area : areas) {
            list += " " + area;
        }
        die("rpc_areas in rpc/generate.cmake must be:" + list);
    }
    out.write("constants.h", constants_text(tables));
    out.write("proto_types.h", types_text(structs));
    out.write("procedures.h", numbers_text(procedures, programs));
    out.write("procedures.cpp", table_text(procedures));
    out.write("recode_index.cpp", recode_index_text(areas));
    string all = "#pragma once\n\n";
    for (const string& area : areas) {
        out.write("proto_" + area + ".h", area_text(procedures, area));
        out.write("recode_" + area + ".cpp", recode_text(procedures, area));
        all += "#include \"rpc/proto_" + area + ".h\"\n";
    }
    out.write("proto.h", all);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        die("usage: generate TABLES_DIR OUTPUT_DIR AREA...");
    }
    generate(argv[1], Output(std::filesystem::path(argv[2]) / "rpc"), std::set<string>(argv + 3, argv + argc));
}
