// Pools that the configuration does not name: those in which candidates of images are tried.
#include "control/core.h"

namespace mayfly {

void Core::add_pool(PoolSpec spec) {
  dropped_pools_.erase(spec.name);
  auto name = spec.name;
  if (!parts_.config.pools.try_emplace(name, std::move(spec)).second) return;
  added_pools_.insert(name);
  set_up_pool(name, false);
}

void Core::drop_pool(const PoolName& name) {
  if (added_pools_.contains(name)) dropped_pools_.insert(name);
}

// What the configuration itself says.
Config Core::configured() const {
  Config out = parts_.config;
  for (const auto& name : added_pools_) out.pools.erase(name);
  return out;
}

// The layers of released images, for pools that build some; empty: for any other.
std::string Core::layers_for(const PoolName& pool) const {
  for (const auto& [name, image] : parts_.config.images)
    if (parts_.works && image.builder == pool) return parts_.works->layers();
  return "";
}

// Once nothing needs them any more.
void Core::forget_pools() {
  for (auto it = dropped_pools_.begin(); it != dropped_pools_.end();) {
    const auto name = *it;
    bool used = roster_.pool_view(name).versions.front().image.in_progress;
    for (const auto& [id, j] : jobs_) used |= j.spec.pool == name;
    for (const auto& [id, b] : builders_) used |= b.pool == name;
    if (used) {
      ++it;
      continue;
    }
    roster_.pool_view(name).spec = nullptr;
    pools_.erase(name);
    parts_.config.pools.erase(name);
    added_pools_.erase(name);
    it = dropped_pools_.erase(it);
  }
}

}  // namespace mayfly
