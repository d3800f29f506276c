// The JSON Schema and the reference, both from the table.
#include <fmt/format.h>
#include <boost/json.hpp>

#include "app/config.h"
#include "app/config_table.h"
#include "base/text.h"

namespace mayfly {
namespace {

namespace json = boost::json;
using K = ConfigKind;

constexpr std::string_view size_pattern = "^[0-9]+(\\.[0-9]+)? ?(B|k|kB|KB|M|MB|G|GB|TB|Ki|KiB|Mi|MiB|Gi|GiB|Ti|TiB)?$";
constexpr std::string_view duration_pattern = "^([0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d))+$";

json::value as_number(const ConfigKey& key, std::string_view text) {
  double n = config_bound(key.kind, text);
  if (key.kind == K::number) return n;
  return static_cast<std::int64_t>(n);
}

// The text of the document, without the marks of Markdown.
std::string plain(std::string_view doc) {
  std::string out;
  for (char c : doc)
    if (c != '`') out += c;
  return out;
}

json::value reference_to(ConfigSection section) {
  return json::object{{"$ref", fmt::format("#/$defs/{}", config_section(section).id)}};
}

json::array texts(std::string_view list) {
  auto words = config_words(list);
  return json::array(words.begin(), words.end());
}

json::object choice(const ConfigKey& key) {
  if (!key.block) return {{"enum", texts(key.choices)}};
  json::object properties;
  for (const auto& name : config_words(key.choices))
    properties[name] = json::object{{"type", json::array{"object", "null"}}, {"maxProperties", 0}};
  for (const auto& own : key.blocks) properties[own.choice] = reference_to(own.section);
  json::object block{{"type", "object"},
                     {"properties", properties},
                     {"additionalProperties", false},
                     {"minProperties", 1},
                     {"maxProperties", 1}};
  return {{"oneOf", json::array{json::object{{"enum", texts(key.choices)}}, block}}};
}

json::object value_schema(const ConfigKey& key) {
  json::object text{{"type", "string"}};
  if (key.shape != nullptr) text["pattern"] = key.shape->pattern;
  json::object names = key.shape == nullptr ? json::object() : json::object{{"pattern", key.shape->pattern}};
  switch (key.kind) {
    case K::text:
      return text;
    case K::path:
      return {{"type", "string"}, {"minLength", 1}, {"maxLength", 4095}};
    case K::integer:
      return {{"type", "integer"}, {"minimum", as_number(key, key.min)}, {"maximum", as_number(key, key.max)}};
    case K::number:
      return {{"type", "number"}, {"minimum", as_number(key, key.min)}, {"maximum", as_number(key, key.max)}};
    case K::size:
      return {{"type", json::array{"string", "integer"}},
              {"pattern", size_pattern},
              {"minimum", as_number(key, key.min)},
              {"maximum", as_number(key, key.max)}};
    case K::duration:
      return {{"type", "string"}, {"pattern", duration_pattern}};
    case K::choice:
      return choice(key);
    case K::names:
      return {{"type", "array"}, {"items", text}, {"uniqueItems", true}, {"maxItems", 1000}};
    case K::texts:
      return {{"type", "object"},
              {"propertyNames", names},
              {"maxProperties", 1000},
              {"additionalProperties", json::object{{"type", json::array{"string", "number", "boolean"}}}}};
    case K::sections:
      return {{"type", "object"},
              {"propertyNames", names},
              {"additionalProperties", reference_to(key.child)},
              {"minProperties", 1}};
    case K::list:
      return {{"type", "array"}, {"items", reference_to(key.child)}, {"maxItems", 100}};
    case K::section:
      return reference_to(key.child).as_object();
    case K::later:
      break;
  }
  return {};
}

json::value example_of(const ConfigKey& key) {
  if (key.kind == K::integer) return as_number(key, key.example);
  if (key.kind == K::number) return as_number(key, key.example);
  return json::value(key.example);
}

json::object section_schema(const ConfigSectionInfo& section) {
  json::object properties, dependent;
  json::array required;
  for (const auto& key : config_keys()) {
    if (key.in != section.section || key.kind == K::later) continue;
    auto schema = value_schema(key);
    schema["description"] = plain(key.doc);
    if (!key.fallback.empty())
      schema["default"] = key.kind == K::integer ? as_number(key, key.fallback) : json::value(key.fallback);
    if (!key.example.empty() && key.kind != K::names && key.kind != K::texts)
      schema["examples"] = json::array{example_of(key)};
    properties[key.name] = std::move(schema);
    if (key.required) required.emplace_back(key.name);
    if (!key.needs.empty()) dependent[key.name] = texts(key.needs);
  }
  json::object out{{"type", "object"},
                   {"description", plain(section.doc)},
                   {"properties", properties},
                   {"additionalProperties", false}};
  if (!required.empty()) out["required"] = required;
  if (!dependent.empty()) out["dependentRequired"] = dependent;
  if (section.exactly_one) out["minProperties"] = out["maxProperties"] = 1;
  return out;
}

// Boost.JSON 1.81 writes one line only; this one is for people to read and for git to compare.
void pretty(const json::value& value, std::string& out, std::size_t depth) {
  auto line = [&](std::size_t d) { out += "\n" + std::string(2 * d, ' '); };
  bool first = true;
  auto next = [&] { out += first ? "" : ",", first = false; };
  if (const auto* o = value.if_object(); o != nullptr && !o->empty()) {
    out += "{";
    for (const auto& [name, member] : *o) {
      next();
      line(depth + 1);
      out += json::serialize(name) + ": ";
      pretty(member, out, depth + 1);
    }
    line(depth);
    out += "}";
  } else if (const auto* a = value.if_array(); a != nullptr) {
    out += "[";
    for (const auto& item : *a) {
      if (!first) out += ", ";
      first = false;
      pretty(item, out, depth + 1);
    }
    out += "]";
  } else if (const auto* d = value.if_double(); d != nullptr) {
    out += fmt::format("{}", *d);
  } else {
    out += json::serialize(value);
  }
}

std::string type_words(const ConfigKey& key) {
  switch (key.kind) {
    case K::text:
      return "text";
    case K::path:
      return "path";
    case K::integer:
      return "whole number";
    case K::number:
      return "number";
    case K::size:
      return "size";
    case K::duration:
      return "duration";
    case K::choice: {
      std::string out;
      for (const auto& c : config_words(key.choices)) out += fmt::format("{}`{}`", out.empty() ? "" : ", ", c);
      for (const auto& own : key.blocks) out += fmt::format(" (see `{}`)", config_section(own.section).path);
      return out;
    }
    case K::names:
      return "list of names";
    case K::texts:
      return "map of texts";
    case K::list:
      return fmt::format("list of blocks, see `{}`", config_section(key.child).path);
    case K::section:
      return fmt::format("block, see `{}`", config_section(key.child).path);
    case K::sections:
      return fmt::format("map of blocks, see `{}`", config_section(key.child).path);
    case K::later:
      break;
  }
  return {};
}

std::string row(const ConfigKey& key) {
  auto code = [](std::string_view text) { return text.empty() ? std::string() : fmt::format("`{}`", text); };
  auto range = key.min.empty() ? std::string() : fmt::format("{} to {}", key.min, key.max);
  auto fallback = key.required ? std::string("(required)") : code(key.fallback);
  auto doc = std::string(key.doc);
  if (key.shape != nullptr && key.kind != K::names && key.name != "image") {
    bool of_names = key.kind == K::sections || key.kind == K::texts;
    doc += fmt::format(" {}: {}.", of_names ? "Names" : "Form", key.shape->words);
  }
  if (!key.example.empty()) doc += fmt::format(" Example: `{}: {}`.", key.name, key.example);
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, type_words(key), fallback, range, doc);
}

}  // namespace

std::string config_schema() {
  json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "mayfly.yaml"}};
  json::object definitions;
  for (const auto& section : config_sections()) {
    if (section.section != ConfigSection::top) {
      definitions[section.id] = section_schema(section);
      continue;
    }
    for (auto& [name, member] : section_schema(section)) schema[name] = member;
  }
  schema["$defs"] = definitions;
  std::string out;
  pretty(schema, out, 0);
  return out + "\n";
}

std::string config_reference() {
  std::string out;
  for (const auto& section : config_sections()) {
    out += fmt::format("{}### `{}`\n\n{}\n\n| key | type | default | range | what |\n| --- | --- | --- | --- | --- |\n",
                       out.empty() ? "" : "\n", section.path, section.doc);
    for (const auto& key : config_keys())
      if (key.in == section.section && key.kind != K::later) out += row(key);
  }
  return out;
}

}  // namespace mayfly
