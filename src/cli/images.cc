// image list, release, rollback.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "model/json.h"

namespace mayfly {
namespace {

namespace json = boost::json;

// Fetching a large image is the slowest part of releasing it.
constexpr auto release_patience = std::chrono::minutes(60);

Result<Api> api_of(Call& call) {
  MAYFLY_ASSIGN(auto address, find_daemon(call.line.connection, call.environment));
  return Api(std::move(address));
}

std::string channels_of(const json::object& image, const std::string& version) {
  std::string out;
  auto* channels = image.if_contains("channels");
  if (!channels || !channels->is_object()) return out;
  for (const auto& [name, v] : channels->get_object())
    if (v.is_string() && std::string_view(v.get_string()) == version)
      out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

// "2/3": in how many of its registries a version is.
std::string published(const json::object& image, const std::string& version) {
  int all = 0, there = 0;
  for (const auto* p : read_objects(image, "publications")) {
    if (read_text(*p, "version") != version) continue;
    ++all;
    there += read_text(*p, "state") == "published";
  }
  return all == 0 ? "" : fmt::format("{}/{}", there, all);
}

std::vector<std::string> read_texts(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  auto* v = o.if_contains(key);
  if (!v || !v->is_array()) return out;
  for (const auto& e : v->get_array())
    if (e.is_string()) out.emplace_back(e.get_string());
  return out;
}

// "general; 3 failed: 17, 12, 9": the pools that run it, and the jobs that failed on it.
std::string used_by(const json::object& image, const std::string& version) {
  for (const auto* u : read_objects(image, "uses")) {
    if (read_text(*u, "version") != version) continue;
    std::string out = printable(join(read_texts(*u, "pools"), ", "));
    auto* failed = u->if_contains("failed_jobs");
    if (!failed || !failed->is_array() || failed->get_array().empty()) return out;
    std::vector<std::string> ids;
    for (const auto& id : failed->get_array())
      if (ids.size() < 3) ids.push_back(json::serialize(id));
    auto all = failed->get_array().size();
    return fmt::format("{}{}{} failed: {}{}", out, out.empty() ? "" : "; ", all, join(ids, ", "),
                       all > ids.size() ? ", …" : "");
  }
  return "";
}

std::string held_pools(const json::object& image) {
  std::string out;
  auto* held = image.if_contains("held");
  if (!held || !held->is_object()) return out;
  for (const auto& [pool, why] : held->get_object())
    if (why.is_string())
      out += fmt::format("pool {} waits: {}\n", printable(std::string(pool)), printable(std::string(why.get_string())));
  return out;
}

std::string base_note(const json::object& image) {
  auto note = read_text(image, "base_note");
  return note.empty() ? "" : fmt::format("{}: {}\n", printable(read_text(image, "name")), printable(note));
}

std::string publish_problems(const json::object& image, Time now) {
  std::string out;
  for (const auto* p : read_objects(image, "publications")) {
    auto problem = read_text(*p, "problem");
    if (problem.empty()) continue;
    auto next = from_micros(read_number(*p, "next_try"));
    out +=
        fmt::format("{} {} is not in {}: {} (tried {} times; again {})\n", printable(read_text(*p, "image")),
                    printable(read_text(*p, "version")), printable(read_text(*p, "repository")), printable(problem),
                    read_number(*p, "attempts"), next > now ? "in " + format_duration(next - now) : std::string("now"));
  }
  return out;
}

Result<void> add_versions(Table& table, const json::object& image, Time now) {
  for (const auto* o : read_objects(image, "versions")) {
    MAYFLY_ASSIGN(auto v, image_version_from_json(*o));
    bool withdrawn = v.state == VersionState::withdrawn;
    table.add({v.image, v.number.text(), channels_of(image, v.number.text()), v.digest.substr(0, 19),
               v.released_at == Time{} ? "" : age(now - v.released_at), v.released_by, join(v.approved_by, ", "),
               v.bytes > 0 ? format_bytes(v.bytes) : "", published(image, v.number.text()),
               used_by(image, v.number.text()), withdrawn ? "withdrawn: " + v.withdrawn_why : v.reference},
              1, withdrawn ? Output::Colour::quiet : Output::Colour::plain);
  }
  return {};
}

int show_images(Call& call, const std::vector<const json::object*>& images) {
  Table table(
      {"IMAGE", "VERSION", "CHANNELS", "DIGEST", "RELEASED", "BY", "APPROVED", "SIZE", "PUBLISHED", "POOLS", "WHAT"});
  std::string without;
  for (const auto* image : images) {
    if (read_objects(*image, "versions").empty()) without += " " + printable(read_text(*image, "name"));
    if (auto added = add_versions(table, *image, SystemClock().now()); !added) return call.failed(added.error());
  }
  if (images.empty()) call.output.err("There are no images. The daemon's configuration names them.\n");
  if (!without.empty()) call.output.err(fmt::format("Without a released version:{}.\n", without));
  if (!images.empty()) call.output.out(table.text(call.output));
  for (const auto* image : images)
    call.output.out(call.output.paint(
        publish_problems(*image, SystemClock().now()) + held_pools(*image) + base_note(*image), Output::Colour::bad));
  return 0;
}

int command_image_list(Call& call) {
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  bool one = !call.line.operands.empty();
  auto answer = api->get(one ? "/v1/images/" + url_encode(call.line.operands[0]) : "/v1/images");
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show_images(call, one ? std::vector<const json::object*>{&*answer} : read_objects(*answer, "images"));
}

int command_image_release(Call& call) {
  json::object body{{"reference", call.value("reference")}};
  for (const char* key : {"version", "level", "commit"})
    if (call.has(key)) body[key] = call.value(key);
  if (call.value("reference").empty())
    return call.usage(
        {ErrorCode::invalid, "it is not said what was built", "--reference", "Give an image's reference."});
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  HttpRequest request{.method = "POST",
                      .path = fmt::format("/v1/images/{}/versions", url_encode(call.line.operands[0])),
                      .body = json::serialize(body)};
  request.timeout = release_patience;
  call.output.progress("the image is being looked at");
  auto answer = api->send(request);
  call.output.progress("");
  if (!answer) return call.failed(answer.error());
  auto object = parse_json_object(answer->body);
  auto v = object ? image_version_from_json(*object) : Unexpected(object.error());
  if (!v) return call.failed(v.error());
  if (call.has("json")) return call.output.out(answer->body + "\n"), 0;
  call.output.out(fmt::format("{} {} is {}\n", printable(v->image), v->number.text(), printable(v->digest)));
  return 0;
}

int command_image_rollback(Call& call) {
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  auto path = fmt::format("/v1/images/{}/rollback", url_encode(call.line.operands[0]));
  if (call.line.operands.size() > 1) path += "?to=" + url_encode(call.line.operands[1]);
  auto answer = api->post(path);
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show_images(call, {&*answer});
}

int command_image_publish(Call& call) {
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  auto answer = api->post(fmt::format("/v1/images/{}/publish", url_encode(call.line.operands[0])));
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show_images(call, {&*answer});
}

int command_image_verify(Call& call) {
  if (!call.environment.verify_image)
    return call.failed({ErrorCode::unsupported, "this program was built without `mayfly image verify`", {}, {}});
  auto key = call.value("key");
  if (key.empty())
    return call.usage(
        {ErrorCode::invalid, "it is not said whose signature to look for", "--key", "Give the file of a public key."});
  auto proof = call.environment.verify_image(call.line.operands[0], key);
  if (!proof) return call.failed(proof.error());
  if (call.has("json")) {
    json::array statements;
    for (const auto& [type, statement] : proof->attestations) {
      boost::system::error_code error;
      statements.push_back(json::parse(statement, error));
    }
    return call.output.out(json::serialize(json::object{{"repository", proof->repository},
                                                        {"digest", proof->digest},
                                                        {"statements", std::move(statements)}}) +
                           "\n"),
           0;
  }
  auto text = fmt::format("{}@{} is signed by this key.\n", printable(proof->repository), proof->digest);
  for (const auto& [type, statement] : proof->attestations)
    text += fmt::format("It carries, signed by the same key: {}\n", printable(type));
  return call.output.out(text), 0;
}

}  // namespace

std::vector<Command> image_commands() {
  const Option json_option{"json", 0, {}, "Print JSON, for scripts"};
  std::vector<Command> out;
  out.push_back({.name = "image list",
                 .operands = "[NAME]",
                 .most = 1,
                 .summary = "List images and their versions, the highest first",
                 .description =
                     "POOLS are those that run the version or move to it. With NAME it also says which of the "
                     "last jobs on it failed: `mayfly explain JOB` tells why.",
                 .options = {json_option},
                 .examples = {"mayfly image list", "mayfly image list general --json"},
                 .run = command_image_list});
  out.push_back(
      {.name = "image release",
       .operands = "NAME",
       .least = 1,
       .most = 1,
       .summary = "Release what was built as a version of an image",
       .description =
           "The reference is resolved to a digest first, and the version is that digest for ever. Pools that "
           "follow the image then move to it by themselves.",
       .options = {{"reference", 'r', "REF", "What was built (docker://…, oci:DIR, docker-archive:FILE, a local name)"},
                   {"version", 'v', "VERSION", "Its version, such as 2.4.1 (default: the next one)"},
                   {"level", 0, "LEVEL", "What the next one raises: patch (the default), minor or major"},
                   {"commit", 0, "COMMIT", "The commit that its recipe was built from"},
                   json_option},
       .examples = {"mayfly image release general --reference localhost/general:17",
                    "mayfly image release general --reference docker://registry.example/general:17 --level minor"},
       .run = command_image_release});
  out.push_back({.name = "image rollback",
                 .operands = "NAME [VERSION]",
                 .least = 1,
                 .most = 2,
                 .summary = "Return to an earlier version of an image (default: the one before the highest)",
                 .description = "The versions above it are withdrawn: pools that follow a range move back by "
                                "themselves, within seconds; running jobs are left to finish.",
                 .options = {json_option},
                 .examples = {"mayfly image rollback general", "mayfly image rollback general 2.4.0"},
                 .run = command_image_rollback});
  out.push_back({.name = "image publish",
                 .operands = "NAME",
                 .least = 1,
                 .most = 1,
                 .summary = "Try now what is not in every registry yet",
                 .description =
                     "Released versions are published by themselves, and what failed is tried again, ever more "
                     "seldom. This command tries at once, for instance after new credentials.",
                 .options = {json_option},
                 .examples = {"mayfly image publish general"},
                 .run = command_image_publish});
  out.push_back({.name = "image verify",
                 .operands = "REF",
                 .least = 1,
                 .most = 1,
                 .summary = "Check a published image's signature, SBOM and provenance against a public key",
                 .description =
                     "Asks the registry alone; needs no daemon. With --json the signed statements themselves "
                     "are printed: SPDX and SLSA provenance, each as in-toto.",
                 .options = {{"key", 'k', "FILE", "The public key, PEM"}, json_option},
                 .examples = {"mayfly image verify registry.example/team/general:2 --key release.pub"},
                 .run = command_image_verify});
  return out;
}

}  // namespace mayfly
