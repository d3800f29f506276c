#include "app/config_value.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace {

constexpr std::size_t max_text = 64 << 10;
constexpr std::size_t max_list = 1000;

class ValueReader {
 public:
  ValueReader(const ConfigKey& key, const std::string& folder, bool quiet, std::vector<ConfigProblem>& problems)
      : key_(key), folder_(folder), quiet_(quiet), problems_(problems) {}

  bool read(const YamlNode& node, ConfigValue& value) {
    if (node.is_null()) return wrong(node.at, fmt::format("'{}' has no value; give it one or remove it", key_.name));
    switch (key_.kind) {
      case ConfigKind::names:
        return names(node, value);
      case ConfigKind::texts:
        return texts(node, value);
      case ConfigKind::choice:
        return choice(node, value);
      default:
        return scalar(node, value);
    }
  }

 private:
  bool wrong(YamlMark at, std::string text) { return problems_.push_back({at, std::move(text)}), false; }
  bool must_be(const YamlNode& node, std::string_view what) {
    auto like = key_.example.empty() ? std::string() : fmt::format(", such as {}", key_.example);
    return wrong(node.at, fmt::format("'{}' must be {}{}", key_.name, what, like));
  }
  std::string quoted(std::string_view text) const { return quiet_ ? "its value" : fmt::format("'{}'", shown(text)); }

  bool scalar(const YamlNode& node, ConfigValue& value) {
    using K = ConfigKind;
    if (node.kind != YamlNode::Kind::scalar) return must_be(node, "a single value");
    if (node.text.size() > max_text)
      return wrong(node.at, fmt::format("'{}' is longer than {} bytes", key_.name, max_text));
    switch (key_.kind) {
      case K::text:
        return text(node, value);
      case K::path:
        return path(node, value);
      case K::size:
        return size(node, value);
      case K::duration:
        return duration(node, value);
      default:
        return number(node, value);
    }
  }

  bool text(const YamlNode& node, ConfigValue& value) {
    value.text = node.text;
    if (key_.shape == nullptr || key_.shape->fits(node.text)) return true;
    return wrong(node.at, fmt::format("{} is not right for '{}'; it must be {}", quoted(node.text), key_.name,
                                      key_.shape->words));
  }

  bool path(const YamlNode& node, ConfigValue& value) {
    if (node.text.empty()) return wrong(node.at, fmt::format("'{}' is empty; it must be a path", key_.name));
    if (node.text.size() > 4095 || node.text.find_first_of("\n\r\t") != std::string::npos)
      return wrong(node.at, fmt::format("{} is not right for '{}'; it must be a path of at most 4095 bytes in one line",
                                        quoted(node.text), key_.name));
    if (node.text[0] == '~')
      return wrong(node.at, fmt::format("'~' in '{}' would not be expanded; write the whole path", key_.name));
    value.text = (std::filesystem::path(folder_) / node.text).lexically_normal().string();
    if (value.text.size() > 1 && value.text.back() == '/') value.text.pop_back();
    return true;
  }

  bool size(const YamlNode& node, ConfigValue& value) {
    auto bytes = parse_bytes(node.text);
    if (!bytes) return must_be(node, "a number and a unit");
    value.integer = *bytes;
    return in_range(node, static_cast<double>(*bytes));
  }

  bool duration(const YamlNode& node, ConfigValue& value) {
    auto d = parse_duration(node.text);
    if (!d) return must_be(node, "a number and a unit (ms, s, m, h, d)");
    value.duration = *d;
    return in_range(node, static_cast<double>(d->count()));
  }

  bool number(const YamlNode& node, ConfigValue& value) {
    const char *begin = node.text.data(), *end = begin + node.text.size();
    if (!node.plain) return must_be(node, "a number without quotes");
    if (key_.kind == ConfigKind::integer) {
      auto [stop, ec] = std::from_chars(begin, end, value.integer);
      if (ec == std::errc::result_out_of_range && stop == end) return out_of_range(node);
      if (ec != std::errc() || stop != end) return must_be(node, "a whole number");
      return in_range(node, static_cast<double>(value.integer));
    }
    auto [stop, ec] = std::from_chars(begin, end, value.number, std::chars_format::fixed);
    if (ec != std::errc() || stop != end || !std::isfinite(value.number)) return must_be(node, "a number");
    return in_range(node, value.number);
  }

  bool in_range(const YamlNode& node, double number) {
    if (key_.min.empty()) return true;
    return (number >= config_bound(key_.kind, key_.min) && number <= config_bound(key_.kind, key_.max)) ||
           out_of_range(node);
  }
  bool out_of_range(const YamlNode& node) {
    return wrong(node.at,
                 fmt::format("'{}' is {}; it must be from {} to {}", key_.name, shown(node.text), key_.min, key_.max));
  }

  bool choice(const YamlNode& node, ConfigValue& value) {
    const YamlNode* body = nullptr;
    value.text = node.text;
    if (node.kind == YamlNode::Kind::map && key_.block && node.entries.size() == 1) {
      value.text = node.entries[0].key;
      body = &node.entries[0].value;
    } else if (node.kind != YamlNode::Kind::scalar) {
      return must_be(node, key_.block ? "one name" : "a single word");
    }
    auto known = config_words(key_.choices);
    for (const auto& name : config_words(key_.later_choices))
      if (name == value.text)
        return wrong(node.at, fmt::format("this version of Mayfly does not have {} '{}' yet; it has {}", key_.name,
                                          name, join(known, ", ")));
    for (const auto& name : known) {
      if (name != value.text) continue;
      bool empty = body == nullptr || body->is_null() || (body->kind == YamlNode::Kind::map && body->entries.empty());
      return empty || wrong(body->at, fmt::format("'{}' has no settings; write '{}: {}'", name, key_.name, name));
    }
    return wrong(node.at, fmt::format("'{}' is not right for '{}'; it is one of: {}{}", shown(value.text), key_.name,
                                      join(known, ", "), suggestion(value.text, known)));
  }

  bool names(const YamlNode& node, ConfigValue& value) {
    if (node.kind != YamlNode::Kind::list) return must_be(node, "a list of names");
    if (node.items.size() > max_list)
      return wrong(node.at, fmt::format("'{}' has more than {} names", key_.name, max_list));
    std::set<std::string> seen;
    bool good = true;
    for (const auto& item : node.items) {
      if (item.kind != YamlNode::Kind::scalar)
        good = must_be(item, "a list of names");
      else if (!key_.shape->fits(item.text))
        good = wrong(item.at, fmt::format("'{}' is not a name; names are {}", shown(item.text), key_.shape->words));
      else if (!seen.insert(item.text).second)
        good = wrong(item.at, fmt::format("'{}' is in this list a second time; remove one", item.text));
      else
        value.names.push_back(item.text);
    }
    return good;
  }

  bool texts(const YamlNode& node, ConfigValue& value) {
    if (node.kind != YamlNode::Kind::map) return must_be(node, "a map from names to values");
    if (node.entries.size() > max_list)
      return wrong(node.at, fmt::format("'{}' has more than {} entries", key_.name, max_list));
    bool good = true;
    for (const auto& entry : node.entries) {
      if (!key_.shape->fits(entry.key))
        good = wrong(entry.at, fmt::format("'{}' is not a name for '{}'; names are {}", shown(entry.key), key_.name,
                                           key_.shape->words));
      else if (entry.value.kind != YamlNode::Kind::scalar || entry.value.is_null() ||
               entry.value.text.size() > max_text)
        good = wrong(entry.value.at, fmt::format("'{}' must be a text; write '' for an empty one", shown(entry.key)));
      else
        value.texts[entry.key] = entry.value.text;
    }
    return good;
  }

  const ConfigKey& key_;
  const std::string& folder_;
  bool quiet_;
  std::vector<ConfigProblem>& problems_;
};

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t limit = 60;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    bool begins = (c & 0xc0) != 0x80;
    if (begins && i >= limit) return out + "…";
    // C1 control characters are two bytes in UTF-8: c2 80 to c2 9f.
    bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    out += c < 0x20 || c == 0x7f || c1 ? '?' : static_cast<char>(c);
  }
  return out;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  auto best = nearest(word, known);
  return best ? fmt::format("; did you mean '{}'?", *best) : std::string();
}

bool read_value(const ConfigKey& key, const YamlNode& node, const std::string& folder, bool keep_quiet,
                ConfigValue& value, std::vector<ConfigProblem>& problems) {
  return ValueReader(key, folder, keep_quiet, problems).read(node, value);
}

}  // namespace mayfly
