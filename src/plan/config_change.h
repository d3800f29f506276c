#pragma once
// What a new configuration would change, and what follows from it for the jobs and builders there are. Pure: the same
// two configurations and the same sight give the same answer. `mayfly plan` shows it, `mayfly apply` carries it out.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/builder.h"
#include "model/job.h"
#include "model/pool.h"
#include "model/version.h"

namespace mayfly::plan {

struct ChangedValue {
  std::string key, before, after;  // as written in mayfly.yaml; empty: not there
};

struct ConfigItem {
  enum class Kind { added, changed, removed };
  Kind kind = Kind::changed;
  std::string what;  // "pool", "image", "secret", "daemon"
  std::string name;  // empty for the daemon
  std::vector<ChangedValue> values;
  std::vector<std::string> effects;  // sentences without a full stop
  bool at_restart = false;           // only the next start of the daemon does it
};

// A queued job that would wait for ever, or fail, because of the change.
struct StrandedJob {
  JobId job = 0;
  PoolName pool;
  std::string why;
};

struct ConfigChange {
  std::string id;  // of this pair of configurations: a plan that was shown is applied under its id
  std::vector<ConfigItem> items;
  std::vector<StrandedJob> stranded;  // by id
  int drained = 0;                    // idle and starting builders that are replaced or stopped

  bool empty() const { return items.empty(); }
  // Something but what waits for a restart.
  bool applies() const {
    return std::any_of(items.begin(), items.end(), [](const auto& i) { return !i.at_restart; });
  }
};

// Of a pool that follows an image's versions.
struct VersionMove {
  std::optional<SemVer> from;  // what it stands on
  std::optional<SemVer> to;    // none: nothing that was released fits
};

struct ChangeSight {
  Time now{};
  std::vector<const Job*> jobs;           // not ended
  std::vector<const Builder*> builders;   // not gone
  std::set<std::string> platforms;        // that this daemon has
  std::map<PoolName, VersionMove> moves;  // what the new configuration's pools would stand on
};

ConfigChange compare(const Config& before, const Config& after, const ChangeSight& seen);

// "1 pool added, 2 changed; 3 builders drained": one line for a log. And one per changed value, for the ledger.
std::string summary(const ConfigChange& change);
std::vector<std::string> lines(const ConfigChange& change);

// `after` without what only a restart changes: what may be put into force now.
Config applicable(const Config& before, Config after, const std::set<std::string>& platforms);

inline std::string_view to_string(ConfigItem::Kind kind) {
  return kind == ConfigItem::Kind::added ? "added" : kind == ConfigItem::Kind::removed ? "removed" : "changed";
}

}  // namespace mayfly::plan
