#pragma once
// A quantity over time in bounded memory, however long the time: when the buckets run out, pairs of them are merged.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace mayfly::simulate {

class Series {
 public:
  struct Bucket {
    double area = 0;  // value × seconds
    int most = 0;
  };

  // The value from `from` to `to` (since the beginning). Times never go back.
  void add(Duration from, Duration to, int value) {
    while (to > width_ * buckets) fold();
    if (from >= to) return;
    auto last = static_cast<std::size_t>((to.count() - 1) / width_.count());
    if (values_.size() <= last) values_.resize(last + 1);
    for (auto i = static_cast<std::size_t>(from / width_); i <= last; ++i) {
      auto begin = std::max(from, width_ * static_cast<std::int64_t>(i));
      auto end = std::min(to, width_ * static_cast<std::int64_t>(i + 1));
      values_[i].area += value * std::chrono::duration<double>(end - begin).count();
      values_[i].most = std::max(values_[i].most, value);
    }
  }
  Duration width() const { return width_; }
  const std::vector<Bucket>& values() const { return values_; }

 private:
  static constexpr int buckets = 1024;
  void fold() {
    std::size_t half = (values_.size() + 1) / 2;
    for (std::size_t i = 0; i < half; ++i) {
      Bucket sum = values_[2 * i];
      if (2 * i + 1 < values_.size()) {
        sum.area += values_[2 * i + 1].area;
        sum.most = std::max(sum.most, values_[2 * i + 1].most);
      }
      values_[i] = sum;
    }
    values_.resize(half);
    width_ *= 2;
  }

  Duration width_ = milliseconds(1);
  std::vector<Bucket> values_;
};

}  // namespace mayfly::simulate
