#include "app/config_reader.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "app/config_table.h"
#include "app/config_value.h"
#include "base/result.h"
#include "base/text.h"

namespace mayfly {
namespace {

// One block of the file that is being read: which section's keys it has, and where it is, for programs and for people.
struct Block {
  ConfigSection section;
  ConfigTarget target;
  std::string path;   // "pools.general.builders"
  std::string title;  // "'builders' of pool 'general'"
  bool secret = false;
};

class Reader {
 public:
  Reader(ConfigReading& reading, const std::string& folder) : reading_(reading), folder_(folder) {
    for (auto section : {ConfigSection::pool, ConfigSection::builders, ConfigSection::rollout})
      defaults(section, {&reading_.config, nullptr, &pool_, nullptr});
    defaults(ConfigSection::top, {&reading_.config});
  }

  void block(const YamlNode& node, const Block& b);

 private:
  void defaults(ConfigSection section, const ConfigTarget& target);
  void entry(const YamlEntry& e, const ConfigKey& key, const Block& b);
  bool settings(const YamlEntry& e, const ConfigKey& key, const Block& b, const std::string& path);
  void sections(const YamlEntry& e, const ConfigKey& key, const Block& b);
  void list(const YamlEntry& e, const ConfigKey& key, const Block& b, const std::string& path);
  ConfigTarget target_for(const ConfigKey& key, const std::string& name);
  std::string unknown(const YamlEntry& e, const Block& b);  // the key that was probably meant
  void missing(const YamlNode& node, const Block& b, const std::set<std::string>& meant);
  void problem(YamlMark at, std::string text) { reading_.problems.push_back({at, std::move(text)}); }

  ConfigReading& reading_;
  const std::string& folder_;
  PoolSpec pool_;  // with the defaults of the table
};

void Reader::defaults(ConfigSection section, const ConfigTarget& target) {
  for (const auto& key : config_keys()) {
    if (key.in != section || key.fallback.empty()) continue;
    YamlNode node;
    node.text = key.fallback;
    node.plain = true;
    ConfigValue value;
    std::vector<ConfigProblem> problems;
    MAYFLY_CHECK(read_value(key, node, folder_, false, value, problems));
    key.store(target, value);
  }
}

void Reader::block(const YamlNode& node, const Block& b) {
  std::size_t before = reading_.problems.size();
  if (node.kind != YamlNode::Kind::map) {
    if (node.is_null())
      problem(node.at, fmt::format("{} is empty; give it its keys or remove it", b.title));
    else
      problem(node.at, fmt::format("{} must be a block of keys", b.title));
  } else {
    std::set<std::string> meant;  // named by suggestions: need not be called missing as well
    for (const auto& e : node.entries) {
      const auto keys = config_keys();
      auto key = std::find_if(keys.begin(), keys.end(),
                              [&](const ConfigKey& k) { return k.in == b.section && k.name == e.key; });
      if (key == keys.end())
        meant.insert(unknown(e, b));
      else
        entry(e, *key, b);
    }
    missing(node, b, meant);
  }
  if (!b.secret) return;
  // What follows the place of a mistake in a secret may be its value, written here by mistake.
  for (std::size_t i = before; i < reading_.problems.size(); ++i) {
    auto& p = reading_.problems[i];
    auto place = reading_.places.find(b.path);
    bool at_name = place != reading_.places.end() && place->second == p.at;
    auto name = at_name ? b.path.size() - b.path.rfind('.') - 1 : 0;
    p.show = std::min(p.show, p.at.column - 1 + static_cast<int>(name));
  }
}

void Reader::entry(const YamlEntry& e, const ConfigKey& key, const Block& b) {
  if (key.kind == ConfigKind::later)
    return problem(e.at,
                   fmt::format("this version of Mayfly does not have '{}' (in {}) yet; remove it", key.name, b.title));
  std::string path = b.path.empty() ? std::string(key.name) : fmt::format("{}.{}", b.path, key.name);
  reading_.places[path] = e.value.at;
  if (key.kind == ConfigKind::sections) return sections(e, key, b);
  if (key.kind == ConfigKind::list) return list(e, key, b, path);
  if (key.kind == ConfigKind::section) {
    auto title =
        b.section == ConfigSection::top ? fmt::format("'{}'", key.name) : fmt::format("'{}' of {}", key.name, b.title);
    return block(e.value, {key.child, b.target, path, title, b.secret});
  }
  if (settings(e, key, b, path)) return;
  for (const auto& item : e.value.items) reading_.places.try_emplace(path + "." + item.text, item.at);
  ConfigValue value;
  if (read_value(key, e.value, folder_, b.secret, value, reading_.problems))
    key.store(b.target, value);
  else
    reading_.wrong.insert(path);
}

// A choice that has settings: {name: {…}}, or the bare name where none of them is required. False: it is none.
bool Reader::settings(const YamlEntry& e, const ConfigKey& key, const Block& b, const std::string& path) {
  bool map = e.value.kind == YamlNode::Kind::map && e.value.entries.size() == 1;
  const auto& name = map ? e.value.entries[0].key : e.value.text;
  auto own = std::find_if(key.blocks.begin(), key.blocks.end(), [&](const auto& o) { return o.choice == name; });
  if (own == key.blocks.end() || (!map && e.value.kind != YamlNode::Kind::scalar)) return false;
  ConfigValue value;
  value.text = name;
  key.store(b.target, value);
  YamlNode none;
  none.kind = YamlNode::Kind::map;
  none.at = e.value.at;
  bool given = map && !e.value.entries[0].value.is_null();
  auto place = fmt::format("{}.{}", path, name);
  reading_.places[place] = map ? e.value.entries[0].at : e.value.at;
  block(given ? e.value.entries[0].value : none,
        {own->section, b.target, place, fmt::format("'{}' of {}", name, b.title), b.secret});
  return true;
}

ConfigTarget Reader::target_for(const ConfigKey& key, const std::string& name) {
  ConfigTarget t{&reading_.config};
  if (key.child == ConfigSection::pool) {
    t.pool = &(reading_.config.pools[name] = pool_);
    t.pool->name = name;
  } else if (key.child == ConfigSection::image) {
    t.image = &reading_.config.images[name];
    t.image->name = name;
  } else if (key.child == ConfigSection::platform) {
    t.platform = &reading_.config.platforms[name];
  } else {
    t.secret = &reading_.config.secrets[name];
    t.secret->name = name;
  }
  return t;
}

void Reader::sections(const YamlEntry& e, const ConfigKey& key, const Block& b) {
  bool secret = key.child == ConfigSection::secret;
  const auto& kind = config_section(key.child).title;
  if (e.value.kind != YamlNode::Kind::map || e.value.entries.empty()) {
    problem(e.value.at, fmt::format("'{}' must be a map from names to {}s", key.name, kind));
    if (secret) reading_.problems.back().show = e.value.at.column - 1;
    return;
  }
  for (const auto& item : e.value.entries) {
    if (!key.shape->fits(item.key)) {
      problem(item.at, fmt::format("'{}' cannot be the name of {} {}; names are {}", shown(item.key),
                                   kind[0] == 'i' ? "an" : "a", kind, key.shape->words));
      if (secret) reading_.problems.back().show = item.at.column - 1;
      continue;
    }
    auto path = fmt::format("{}.{}", key.name, item.key);
    reading_.places[path] = item.at;
    block(item.value, {key.child, target_for(key, item.key), path, fmt::format("{} '{}'", kind, item.key), secret});
  }
  static_cast<void>(b);
}

// The only list of blocks that there is: a pool's schedule.
void Reader::list(const YamlEntry& e, const ConfigKey& key, const Block& b, const std::string& path) {
  constexpr std::size_t most = 100;
  if (e.value.kind != YamlNode::Kind::list)
    return problem(e.value.at, fmt::format("'{}' must be a list of blocks", key.name));
  if (e.value.items.size() > most)
    return problem(e.value.at, fmt::format("'{}' has more than {} entries", key.name, most));
  std::vector<ScheduleEntry> entries(e.value.items.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto place = fmt::format("{}.{}", path, i);
    reading_.places[place] = e.value.items[i].at;
    auto target = b.target;
    target.schedule = &entries[i];
    block(e.value.items[i],
          {key.child, target, place, fmt::format("entry {} of '{}' of {}", i + 1, key.name, b.title)});
  }
  b.target.pool->schedule = std::move(entries);
}

std::string Reader::unknown(const YamlEntry& e, const Block& b) {
  std::vector<std::string> known;
  for (const auto& key : config_keys())
    if (key.in == b.section && key.kind != ConfigKind::later) known.emplace_back(key.name);
  auto hint = suggestion(e.key, known);
  // A key one block too high: `memory` in a pool and not in its builders.
  for (const auto& outer : config_keys())
    for (const auto& key : config_keys())
      if (outer.in == b.section && outer.kind == ConfigKind::section && key.in == outer.child && key.name == e.key)
        hint = fmt::format("; it belongs in '{}'", outer.name);
  if (hint.empty()) hint = fmt::format("; the keys here are: {}", join(known, ", "));
  auto title = b.section == ConfigSection::top ? fmt::format("at {}", b.title) : fmt::format("in {}", b.title);
  problem(e.at, fmt::format("unknown key '{}' {}{}", shown(e.key), title, hint));
  return nearest(e.key, known).value_or("");
}

void Reader::missing(const YamlNode& node, const Block& b, const std::set<std::string>& meant) {
  YamlMark at = node.at;
  if (auto place = reading_.places.find(b.path); place != reading_.places.end()) at = place->second;
  std::vector<std::string> own;
  std::size_t given = 0;
  for (const auto& key : config_keys()) {
    if (key.in != b.section) continue;
    own.emplace_back(key.name);
    const auto* e = node.find(key.name);
    if (e == nullptr) {
      if (key.required && !meant.contains(std::string(key.name)))
        problem(at, fmt::format("{} has no '{}'", b.title, key.name));
      continue;
    }
    ++given;
    for (const auto& need : config_words(key.needs))
      if (node.find(need) == nullptr)
        problem(e->at, fmt::format("'{}' needs '{}' beside it in {}", key.name, need, b.title));
  }
  if (config_section(b.section).exactly_one && given != 1)
    problem(at, fmt::format("{} needs exactly one of: {}", b.title, join(own, ", ")));
}

}  // namespace

ConfigReading read_config(std::string_view text, const std::string& folder) {
  ConfigReading reading;
  auto root = parse_yaml(text, reading.problems);
  if (root && root->is_null()) root.reset();
  if (root) {
    Reader(reading, folder).block(*root, {ConfigSection::top, {&reading.config}, "", "the top level"});
    check_config(reading, folder);
  } else if (reading.problems.empty()) {
    reading.problems.push_back({{}, "the file is empty; `mayfly init` writes one to begin with"});
  }
  std::sort(reading.problems.begin(), reading.problems.end(), [](const ConfigProblem& a, const ConfigProblem& b) {
    return std::tie(a.at, a.text) < std::tie(b.at, b.text);
  });
  return reading;
}

}  // namespace mayfly
