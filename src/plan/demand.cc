// Which pools could take a job.
#include "base/text.h"
#include "plan/sight.h"

namespace mayfly::plan {
namespace {

bool same_label(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool takes(const PoolSpec& pool, const JobSpec& job) {
  auto has = [&](const std::string& label) {
    return std::any_of(pool.labels.begin(), pool.labels.end(), [&](const auto& l) { return same_label(l, label); });
  };
  auto allows = [&](const std::string& name) {
    return std::find(pool.secrets.begin(), pool.secrets.end(), name) != pool.secrets.end();
  };
  return std::all_of(job.labels.begin(), job.labels.end(), has) &&
         std::all_of(job.secrets.begin(), job.secrets.end(), allows) &&
         (!job.timeout || *job.timeout <= pool.limits.timeout);
}

}  // namespace

std::vector<PoolView> views_of(const Config& config) {
  std::vector<PoolView> out;
  for (const auto& [name, spec] : config.pools) {
    auto& view = out.emplace_back();
    view.name = name, view.spec = &spec;
  }
  return out;
}

std::vector<Index> pools_for(const JobSpec& job, const std::vector<PoolView>& pools) {
  std::vector<Index> found;
  for (Index i = 0; i < pools.size(); ++i)
    if (job.labels.empty() ? pools[i].name == job.pool : pools[i].spec && takes(*pools[i].spec, job))
      found.push_back(i);
  std::sort(found.begin(), found.end(), [&](Index a, Index b) {
    int left = pools[a].spec ? pools[a].spec->preference : 0, right = pools[b].spec ? pools[b].spec->preference : 0;
    return left != right ? left < right : pools[a].name < pools[b].name;
  });
  return found;
}

}  // namespace mayfly::plan
