#pragma once
// For the model's own JSON only: reading members, and leaving out times that have not come.
#include <boost/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/result.h"
#include "base/text.h"

namespace mayfly {

inline void put_time(boost::json::object& o, std::string_view key, Time t) {
  if (t != Time{}) o[key] = to_micros(t);
}

// Reads members by type and remembers the first that is wrong.
class JsonReader {
 public:
  JsonReader(const boost::json::object& o, std::string where) : object_(o), where_(std::move(where)) {}

  std::string text(std::string_view key) {
    auto* v = find(key);
    if (!v) return {};
    if (auto* s = v->if_string()) return {s->data(), s->size()};
    wrong(key, "a string");
    return {};
  }
  std::int64_t number(std::string_view key, std::int64_t missing = 0) {
    auto* v = find(key);
    if (!v) return missing;
    if (auto* i = v->if_int64()) return *i;
    if (auto* u = v->if_uint64(); u && *u <= INT64_MAX) return static_cast<std::int64_t>(*u);
    wrong(key, "an integer");
    return missing;
  }
  bool flag(std::string_view key) {
    auto* v = find(key);
    if (!v) return false;
    if (auto* b = v->if_bool()) return *b;
    wrong(key, "true or false");
    return false;
  }
  Time time(std::string_view key) { return from_micros(number(key)); }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> out;
    auto* v = find(key);
    if (!v) return out;
    auto* a = v->if_array();
    if (!a) return wrong(key, "an array of strings"), out;
    for (const auto& e : *a) {
      auto* s = e.if_string();
      if (!s) return wrong(key, "an array of strings"), out;
      out.emplace_back(s->data(), s->size());
    }
    return out;
  }
  std::map<std::string, std::string> map(std::string_view key) {
    std::map<std::string, std::string> out;
    auto* v = find(key);
    if (!v) return out;
    auto* o = v->if_object();
    if (!o) return wrong(key, "an object of strings"), out;
    for (const auto& [k, e] : *o) {
      auto* s = e.if_string();
      if (!s) return wrong(key, "an object of strings"), out;
      out.emplace(std::string(k), std::string(s->data(), s->size()));
    }
    return out;
  }
  const boost::json::object* object(std::string_view key) {
    auto* v = find(key);
    if (!v) return nullptr;
    if (auto* o = v->if_object()) return o;
    wrong(key, "an object");
    return nullptr;
  }
  template <class E>
  E name(std::string_view key, std::optional<E> (*from)(std::string_view), E missing) {
    if (!find(key)) return missing;
    if (auto e = from(text(key))) return *e;
    wrong(key, "a known name");
    return missing;
  }
  void wrong(std::string_view key, std::string_view expected) {
    if (!problem_) problem_ = Error{ErrorCode::invalid, fmt::format("'{}' is not {}", key, expected), where_, {}};
  }
  void refuse_unknown(const std::vector<std::string>& known) {
    for (const auto& [k, v] : object_) {
      std::string key(k);
      if (problem_ || std::find(known.begin(), known.end(), key) != known.end()) continue;
      auto near = nearest(key, known);
      problem_ = Error{ErrorCode::invalid, fmt::format("unknown member '{}'", key), where_,
                       near ? fmt::format("Did you mean '{}'?", *near) : fmt::format("Known: {}.", join(known, ", "))};
    }
  }
  Result<void> check() const {
    if (problem_) return Unexpected(*problem_);
    return {};
  }

 private:
  const boost::json::value* find(std::string_view key) {
    auto* v = object_.if_contains(key);
    return v && v->is_null() ? nullptr : v;
  }
  const boost::json::object& object_;
  std::string where_;
  std::optional<Error> problem_;
};

}  // namespace mayfly
