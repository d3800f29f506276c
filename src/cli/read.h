#pragma once
// Lenient reading of what a daemon, perhaps a newer one, answers: what is missing or of another type reads as nothing.
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly {

inline std::string read_text(const boost::json::object& o, std::string_view key) {
  auto* v = o.if_contains(key);
  auto* s = v ? v->if_string() : nullptr;
  return s ? std::string(s->data(), s->size()) : "";
}

inline std::int64_t read_number(const boost::json::object& o, std::string_view key) {
  auto* v = o.if_contains(key);
  if (!v) return 0;
  if (auto* i = v->if_int64()) return *i;
  if (auto* u = v->if_uint64()) return static_cast<std::int64_t>(*u & INT64_MAX);
  return 0;
}

inline std::vector<const boost::json::object*> read_objects(const boost::json::object& o, std::string_view key) {
  std::vector<const boost::json::object*> out;
  auto* v = o.if_contains(key);
  auto* a = v ? v->if_array() : nullptr;
  if (!a) return out;
  for (const auto& e : *a)
    if (auto* object = e.if_object()) out.push_back(object);
  return out;
}

}  // namespace mayfly
