#include "model/publication.h"

#include <algorithm>

#include "model/json.h"
#include "model/json_reader.h"

namespace mayfly {

namespace json = boost::json;

std::string_view to_string(PublicationState s) {
  switch (s) {
    case PublicationState::pending:
      return "pending";
    case PublicationState::published:
      return "published";
    case PublicationState::failed:
      return "failed";
  }
  return "pending";
}

std::optional<PublicationState> publication_state_from(std::string_view name) {
  for (auto s : {PublicationState::pending, PublicationState::published, PublicationState::failed})
    if (to_string(s) == name) return s;
  return std::nullopt;
}

Duration publication_backoff(int attempts) {
  constexpr Duration most = std::chrono::minutes(10);
  return attempts > 10 ? most : std::min<Duration>(most, seconds(1) * (1 << std::max(0, attempts - 1)));
}

json::object to_json(const Publication& p) {
  json::array channels;
  for (const auto& c : p.channels) channels.emplace_back(c);
  json::object o{{"image", p.image},
                 {"version", p.number.text()},
                 {"repository", p.repository},
                 {"state", to_string(p.state)},
                 {"channels", std::move(channels)},
                 {"attempts", p.attempts}};
  if (!p.problem.empty()) o["problem"] = p.problem;
  put_time(o, "next_try", p.next_try);
  put_time(o, "published_at", p.published_at);
  return o;
}

Result<Publication> publication_from_json(const json::object& o) {
  JsonReader r(o, "publication");
  Publication p;
  p.image = r.text("image");
  MAYFLY_ASSIGN(p.number, SemVer::parse(r.text("version")));
  p.repository = r.text("repository");
  p.state = r.name("state", publication_state_from, PublicationState::pending);
  p.channels = r.texts("channels");
  p.problem = r.text("problem");
  p.attempts = static_cast<int>(std::clamp<std::int64_t>(r.number("attempts"), 0, INT32_MAX));
  p.next_try = r.time("next_try");
  p.published_at = r.time("published_at");
  MAYFLY_TRY(r.check());
  return p;
}

}  // namespace mayfly
