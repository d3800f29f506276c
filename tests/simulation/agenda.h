#pragma once
// What is yet to happen, by the world's time; what is due at the same time happens in the order it was entered.
#include <functional>
#include <map>
#include <optional>

#include "base/clock.h"

namespace mayfly::sim {

class Agenda {
 public:
  void at(Time t, std::function<void()> what) { entries_.emplace(t, std::move(what)); }
  std::optional<Time> next() const { return entries_.empty() ? std::nullopt : std::optional(entries_.begin()->first); }
  void run_due(Time now) {
    while (!entries_.empty() && entries_.begin()->first <= now) {
      auto what = std::move(entries_.begin()->second);
      entries_.erase(entries_.begin());
      what();
    }
  }

 private:
  std::multimap<Time, std::function<void()>> entries_;
};

}  // namespace mayfly::sim
