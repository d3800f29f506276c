#include "tests/simulation/sim_executor.h"

namespace mayfly::sim {
namespace {
constexpr Duration slowest = std::chrono::seconds(45);  // the daemon's own deadlines are longer
constexpr auto i7 = "7: a builder runs its pool's image, by digest";
}  // namespace

Duration Wire::latency(const Place& place) {
  if (land_.rng.percent(place.faults.slow_calls)) return land_.rng.spread(place.latency, slowest);
  return land_.rng.upto(place.latency);
}

void Wire::call(const std::string& platform, std::function<std::function<void()>()> effect) {
  Place& place = *land_.places.at(platform);
  auto id = next_++;
  Duration there = latency(place);
  Duration back = latency(place);
  pending_.insert(id);
  auto generation = land_.generation;
  land_.agenda.at(land_.now() + there, [=, this] { arrive(Call{id, generation, platform, back, effect}); });
}

void Wire::arrive(Call call) {
  if (!pending_.contains(call.id)) return;     // it got lost with its daemon
  if (land_.places.at(call.platform)->silent)  // it hangs
    return land_.agenda.at(land_.now() + seconds(10), [=, this] { arrive(call); });
  pending_.erase(call.id);
  auto answer = call.effect();
  land_.agenda.at(land_.now() + call.back, [=, this] { post_(call.generation, answer); });
}

void Wire::daemon_died() {
  std::erase_if(pending_, [this](std::uint64_t) { return land_.rng.percent(50); });
}

void SimExecutor::begin(const BuilderId& id) {
  if (!under_way_.insert(id).second) broken("calls on one builder never overlap", id);
}

void SimExecutor::prepare(const std::string& platform, const std::string& reference, const ImageSpec*,
                          std::function<void(Result<PlatformImage>)> done) {
  wire_.call(platform, [=, this] {
    auto image = land_.places.at(platform)->platform.prepare(reference, after(std::chrono::hours(1)));
    if (image) land_.digests[reference].insert(image->digest);
    land_.note("{} prepares {}: {}", platform, reference, image ? image->digest.substr(0, 15) : image.error().text());
    return [done, image] { done(image); };
  });
}

Result<void> SimExecutor::do_launch(Place& place, const std::string& platform, const BuilderRequest& request) {
  auto result = place.platform.launch(request, after(std::chrono::hours(1)));
  land_.launched[request.id] = {land_.now(), request.image.digest};
  land_.note("{} launches {}: {}", platform, request.id, result ? "ok" : result.error().text());
  return result;
}

void SimExecutor::launch(const std::string& platform, BuilderRequest request, std::function<void(Result<void>)> done) {
  begin(request.id);
  if (land_.mutation == Mutation::launch_wrong_image && land_.rng.one_in(10)) request.image.digest = "sha256:0";
  const PoolSpec& pool = land_.config.pools.at(request.pool);
  bool released = std::any_of(land_.versions.begin(), land_.versions.end(), [&](const auto& v) {
    return v.second.reference == request.image.reference && v.second.digest == request.image.digest;
  });
  bool versioned = versioned_image(pool, land_.config.images) != nullptr;
  if (versioned ? !released
                : request.image.reference != pool.image || !land_.digests[pool.image].contains(request.image.digest))
    broken(i7, fmt::format("{} is launched from {} {}", request.id, request.image.reference, request.image.digest));
  if (pool.platform != platform || pool.network != request.network || pool.limits != request.limits)
    broken(i7, request.id + " is not launched as its pool says");
  wire_.call(platform, [=, this] {
    Place& place = *land_.places.at(platform);
    auto result = do_launch(place, platform, request);
    if (land_.mutation == Mutation::launch_twice && land_.rng.one_in(20)) {
      auto second = request;
      second.id += "0";
      do_launch(place, platform, second);
    }
    return [=, this] {
      under_way_.erase(request.id);
      done(result);
    };
  });
}

void SimExecutor::stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) {
  begin(builder);
  wire_.call(platform, [=, this] {
    Place& place = *land_.places.at(platform);
    auto target = builder;
    if (land_.mutation == Mutation::stop_wrong_builder && land_.rng.one_in(20))
      if (auto all = place.fake.builders(); !all.empty()) target = all.front().id;
    bool forgotten = land_.mutation == Mutation::stop_forgotten && land_.rng.one_in(20);
    Result<void> result = forgotten ? Result<void>() : place.platform.stop(target, after(std::chrono::hours(1)));
    if (result) land_.stopped[builder] = land_.now();
    land_.note("{} stops {}: {}", platform, builder, result ? "ok" : result.error().text());
    return [=, this] {
      under_way_.erase(builder);
      done(result);
    };
  });
}

void SimExecutor::list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) {
  if (land_.mutation == Mutation::list_forgets && land_.rng.one_in(4)) return;
  wire_.call(platform, [=, this] {
    Place& place = *land_.places.at(platform);
    auto all = place.platform.list(after(std::chrono::hours(1)));
    if (all)
      std::erase_if(*all, [&](const SeenBuilder& b) {
        bool hidden = land_.launched[b.id].at + place.list_lag > land_.now();
        if (hidden) land_.harmed.insert(b.id);  // whoever believes the list may give it up
        return hidden;
      });
    land_.note("{} lists {}", platform, all ? std::to_string(all->size()) : all.error().text());
    return [done, all] { done(all); };
  });
}

}  // namespace mayfly::sim
