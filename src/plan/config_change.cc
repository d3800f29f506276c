#include "plan/config_change.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "plan/config_facts.h"
#include "plan/plan.h"
#include "plan/schedule.h"

namespace mayfly::plan {
namespace {

using Kind = ConfigItem::Kind;

std::string some(int n, std::string_view one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); }

std::vector<ChangedValue> differences(const std::vector<Fact>& before, const std::vector<Fact>& after) {
  std::map<std::string_view, const Fact*> was, is;
  for (const auto& f : before) was[f.key] = &f;
  for (const auto& f : after) is[f.key] = &f;
  std::vector<ChangedValue> out;
  for (const auto& f : after) {
    auto old = was.find(f.key);
    if (old == was.end())
      out.push_back({f.key, {}, f.value});
    else if (old->second->value != f.value)
      out.push_back({f.key, old->second->value, f.value});
  }
  for (const auto& f : before)
    if (!is.contains(f.key)) out.push_back({f.key, f.value, {}});
  // Another order says nothing where the entries themselves are others.
  auto entries = std::count_if(out.begin(), out.end(), [](const auto& v) { return v.key.starts_with("schedule \""); });
  if (entries > 0) std::erase_if(out, [](const auto& v) { return v.key == "schedule (order)"; });
  return out;
}

// What a pool has at this moment.
struct Present {
  std::vector<const Job*> queued;
  int idle = 0, starting = 0, busy = 0;
  int unfit = 0;  // idle or starting, and of another shape than the new one
};

class Comparison {
 public:
  Comparison(const Config& before, const Config& after, const ChangeSight& seen)
      : before_(before), after_(after), seen_(seen) {}

  ConfigChange run() {
    change_.id = fingerprint(before_) + fingerprint(after_);
    look();
    section(before_.pools, after_.pools, "pool", &Comparison::pool_effects);
    section(before_.images, after_.images, "image", &Comparison::image_effects);
    section(before_.secrets, after_.secrets, "secret", &Comparison::secret_effects);
    daemon();
    labelled();
    std::sort(change_.stranded.begin(), change_.stranded.end(),
              [](const auto& a, const auto& b) { return a.job < b.job; });
    return std::move(change_);
  }

 private:
  void look() {
    for (const auto& [name, pool] : after_.pools) shapes_[name] = shape_of(after_, pool);
    for (const Job* j : seen_.jobs)
      if (j->state == JobState::queued && j->spec.labels.empty()) present_[j->spec.pool].queued.push_back(j);
    for (const Builder* b : seen_.builders) {
      auto& p = present_[b->pool];
      bool starting = b->state == BuilderState::requested || b->state == BuilderState::starting;
      if (b->state == BuilderState::busy) ++p.busy;
      if (b->state == BuilderState::ready) ++p.idle;
      if (starting) ++p.starting;
      auto pool = after_.pools.find(b->pool);
      if ((starting || b->state == BuilderState::ready) &&
          (pool == after_.pools.end() || (!b->shape.empty() && b->shape != shapes_[b->pool])))
        ++p.unfit;
    }
  }

  template <class T>
  void section(const std::map<std::string, T>& before, const std::map<std::string, T>& after, std::string_view what,
               void (Comparison::*effects)(ConfigItem&, const T*, const T*)) {
    std::set<std::string> names;
    for (const auto& [name, v] : before) names.insert(name);
    for (const auto& [name, v] : after) names.insert(name);
    for (const auto& name : names) {
      auto was = before.find(name), is = after.find(name);
      const T* old = was == before.end() ? nullptr : &was->second;
      const T* fresh = is == after.end() ? nullptr : &is->second;
      ConfigItem item;
      item.what = what;
      item.name = name;
      item.kind = !old ? Kind::added : !fresh ? Kind::removed : Kind::changed;
      item.values =
          differences(old ? facts_of(*old) : std::vector<Fact>(), fresh ? facts_of(*fresh) : std::vector<Fact>());
      if (old && fresh && item.values.empty()) continue;
      (this->*effects)(item, old, fresh);
      change_.items.push_back(std::move(item));
    }
  }

  void pool_effects(ConfigItem& item, const PoolSpec* before, const PoolSpec* after) {
    const Present& now = present_[item.name];
    if (!after) return removed_pool(item, now);
    if (!seen_.platforms.contains(after->platform)) {
      item.at_restart = true;
      item.effects.push_back(
          fmt::format("the platform '{}' is set up only when the daemon starts: the pool stays as it is until then",
                      after->platform));
      return;
    }
    if (!before && !now.queued.empty())
      item.effects.push_back(some(static_cast<int>(now.queued.size()), "queued job") + " of this pool served at last");
    numbers(item, before, *after, now);
    if (before) replaced(item, *before, *after, now);
    if (!before || before->image != after->image) version(item, *after, now);
    if (before) queue(item, *before, *after, now);
    strand(item, *after, now);
    if (after->network == Network::host && (!before || before->network != Network::host))
      item.effects.emplace_back("its jobs get the host's own network");
  }

  void removed_pool(ConfigItem& item, const Present& now) {
    if (now.unfit > 0) item.effects.push_back(some(now.unfit, "idle builder") + " stopped");
    change_.drained += now.unfit;
    if (now.busy > 0)
      item.effects.push_back(
          fmt::format("{} finish{} first", some(now.busy, "running job"), now.busy == 1 ? "es" : ""));
    for (const Job* j : now.queued) strand(*j, "its pool would be gone");
    if (!now.queued.empty())
      item.effects.push_back(some(static_cast<int>(now.queued.size()), "queued job") + " would wait for ever");
  }

  void numbers(ConfigItem& item, const PoolSpec* before, const PoolSpec& after, const Present& now) {
    auto is = Schedule(after).at(seen_.now);
    auto was = before ? Schedule(*before).at(seen_.now) : PoolNumbers{};
    int ready = std::max(is.warm, is.min), had = std::max(was.warm, was.min);
    if (ready != had)
      item.effects.push_back(fmt::format("{} kept ready from now on{}",
                                         ready == 0 ? "no builder is" : some(ready, "builder"),
                                         before ? fmt::format(" instead of {}", had) : ""));
    int exist = now.idle + now.starting + now.busy;
    if (before && is.max < was.max && exist > is.max)
      item.effects.push_back(
          fmt::format("{} exist: none is stopped for that, and none started until there are fewer than {}",
                      some(exist, "builder"), is.max));
  }

  void replaced(ConfigItem& item, const PoolSpec& before, const PoolSpec& after, const Present& now) {
    if (shape_of(before_, before) == shape_of(after_, after)) return;
    if (now.unfit > 0) item.effects.push_back(some(now.unfit, "idle builder") + " replaced by new ones");
    change_.drained += now.unfit;
    if (now.busy > 0)
      item.effects.push_back(
          fmt::format("{} in the builder{} {} ha{}",
                      now.busy == 1 ? "1 running job finishes" : some(now.busy, "running job") + " finish",
                      now.busy == 1 ? "" : "s", now.busy == 1 ? "it" : "they", now.busy == 1 ? "s" : "ve"));
    if (before.image != after.image)
      item.effects.push_back(fmt::format("the image {} is made ready before the next builder starts", after.image));
  }

  void version(ConfigItem& item, const PoolSpec& after, const Present& now) {
    auto move = seen_.moves.find(item.name);
    if (move == seen_.moves.end()) return;
    const auto& [from, to] = move->second;
    if (!to)
      return item.effects.push_back(
          fmt::format("no version that was released fits {}: jobs wait for one", after.image));
    if (!from || *from == *to)
      return item.effects.push_back(fmt::format("{} version {}", from ? "it stays on" : "its jobs get", to->text()));
    item.effects.push_back(
        fmt::format("a rollout moves it from version {} to {}; running jobs are left alone", from->text(), to->text()));
    if (now.unfit > 0) return;  // replaced already
    const int idle = now.idle + now.starting;
    if (idle > 0) item.effects.push_back(some(idle, "idle builder") + " drained as those of the new version come up");
    change_.drained += idle;
  }

  void queue(ConfigItem& item, const PoolSpec& before, const PoolSpec& after, const Present& now) {
    if (before.ci == after.ci && before.ci_settings == after.ci_settings) return;
    item.effects.push_back(after.ci == "builtin"
                               ? "its jobs come from the API alone from now on"
                               : fmt::format("its jobs come from {} as it says here from now on", after.ci));
    auto fetched = std::count_if(now.queued.begin(), now.queued.end(),
                                 [&](const Job* j) { return j->spec.submitter == "ci/" + before.ci; });
    if (fetched > 0)
      item.effects.push_back(
          fmt::format("{} came from the queue that it had: where that is another one, what waits is cancelled here and "
                      "waits on there",
                      some(static_cast<int>(fetched), "queued job")));
    if (now.busy > 0 && before.ci != "builtin")
      item.effects.push_back("jobs that run are seen to their end where they are from");
  }

  void strand(ConfigItem& item, const PoolSpec& pool, const Present& now) {
    int cut = 0, lost = 0;
    for (const Job* j : now.queued) {
      for (const auto& secret : j->spec.secrets)
        if (std::find(pool.secrets.begin(), pool.secrets.end(), secret) == pool.secrets.end()) {
          strand(*j, fmt::format("it asks for the secret '{}', which its pool could no longer read", secret));
          ++lost;
          break;
        }
      cut += j->spec.timeout && *j->spec.timeout > pool.limits.timeout;
    }
    if (lost > 0) item.effects.push_back(some(lost, "queued job") + " would fail for want of a secret");
    if (cut > 0)
      item.effects.push_back(fmt::format("{} asked for more time and get{} {}", some(cut, "queued job"),
                                         cut == 1 ? "s" : "", format_duration(pool.limits.timeout)));
  }

  // Jobs that ask for labels are of no pool until they run.
  void labelled() {
    const auto pools = views_of(after_);
    for (const Job* j : seen_.jobs)
      if (j->state == JobState::queued && !j->spec.labels.empty() && pools_for(j->spec, pools).empty())
        strand(*j, fmt::format("no pool would have the labels '{}' and allow what it asks for",
                               join(j->spec.labels, ", ")));
  }

  void strand(const Job& job, std::string why) { change_.stranded.push_back({job.id, job.spec.pool, std::move(why)}); }

  // A pool whose own lines are the same is affected all the same when its image's recipe is another.
  void image_effects(ConfigItem& item, const ImageSpec* before, const ImageSpec* after) {
    if (!before || !after) return;
    for (const auto& [name, pool] : after_.pools) {
      auto was = before_.pools.find(name);
      if (was == before_.pools.end() || was->second.image != pool.image) continue;
      if (shape_of(before_, was->second) == shape_of(after_, pool)) continue;
      const Present& now = present_[name];
      item.effects.push_back(
          fmt::format("pool {}: the image is built before the next builder starts{}", name,
                      now.unfit == 0 ? "" : fmt::format("; {} replaced", some(now.unfit, "idle builder"))));
      if (was->second == pool) change_.drained += now.unfit;  // else counted with the pool
    }
  }

  void secret_effects(ConfigItem& item, const SecretSpec* before, const SecretSpec* after) {
    if (before && after) item.effects.emplace_back("jobs that start from now on get the new value");
  }

  void daemon() {
    auto values = differences(facts_of_daemon(before_), facts_of_daemon(after_));
    ConfigItem now, later;
    now.what = later.what = "daemon";
    auto at_start = [](const std::string& key) {
      return key.starts_with("server.") || key == "release.key" || key == "release.patience";
    };
    for (auto& v : values) (at_start(v.key) ? later : now).values.push_back(v);
    later.at_restart = true;
    later.effects.emplace_back(
        "the daemon opens its port and reads its signing key only when it starts: this waits for the next start");
    if (!now.values.empty()) change_.items.push_back(std::move(now));
    if (!later.values.empty()) change_.items.push_back(std::move(later));
  }

  const Config& before_;
  const Config& after_;
  const ChangeSight& seen_;
  std::map<PoolName, Present> present_;
  std::map<PoolName, std::string> shapes_;  // of the new pools
  ConfigChange change_;
};

}  // namespace

ConfigChange compare(const Config& before, const Config& after, const ChangeSight& seen) {
  return Comparison(before, after, seen).run();
}

Config applicable(const Config& before, Config after, const std::set<std::string>& platforms) {
  after.server = before.server;
  after.release.key = before.release.key;
  after.release.patience = before.release.patience;
  for (const auto& [name, old] : before.pools) {
    auto now = after.pools.find(name);
    if (now == after.pools.end() || platforms.contains(now->second.platform)) continue;
    now->second = old;
    if (auto image = before.images.find(old.image); image != before.images.end()) after.images.insert(*image);
  }
  std::erase_if(after.pools, [&](const auto& p) { return !platforms.contains(p.second.platform); });
  return after;
}

std::string summary(const ConfigChange& change) {
  if (change.empty()) return "nothing changes";
  std::vector<std::string> parts;
  for (std::string_view what : {"pool", "image", "secret"})
    for (auto kind : {Kind::added, Kind::changed, Kind::removed}) {
      auto n = std::count_if(change.items.begin(), change.items.end(),
                             [&](const auto& i) { return i.what == what && i.kind == kind; });
      if (n > 0) parts.push_back(fmt::format("{} {}", some(static_cast<int>(n), what), to_string(kind)));
    }
  auto has = [&](auto test) { return std::any_of(change.items.begin(), change.items.end(), test); };
  if (has([](const auto& i) { return i.what == "daemon" && !i.at_restart; })) parts.emplace_back("settings changed");
  if (change.drained > 0) parts.push_back(some(change.drained, "idle builder") + " drained");
  if (!change.stranded.empty())
    parts.push_back(some(static_cast<int>(change.stranded.size()), "queued job") + " stranded");
  if (has([](const auto& i) { return i.at_restart; })) parts.emplace_back("something waits for a restart");
  return join(parts, ", ");
}

std::vector<std::string> lines(const ConfigChange& change) {
  std::vector<std::string> out;
  for (const auto& item : change.items) {
    auto title = item.name.empty() ? item.what : item.what + " " + item.name;
    if (item.kind != Kind::changed) out.push_back(fmt::format("{} {}", title, to_string(item.kind)));
    for (const auto& v : item.values)
      if (item.kind == Kind::changed)
        out.push_back(fmt::format("{} {}: {} → {}{}", title, v.key, v.before.empty() ? "(none)" : v.before,
                                  v.after.empty() ? "(none)" : v.after, item.at_restart ? " (at a restart)" : ""));
  }
  return out;
}

}  // namespace mayfly::plan
