#include "images/docker_engine.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <regex>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "images/built_layout.h"
#include "images/containerfile.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr std::size_t max_line = 1u << 20;  // of the engine's answer
constexpr std::int64_t max_archive = 64ll << 30;

struct Free {
  void operator()(archive* a) const { archive_write_free(a); }
};

Unexpected write_error(archive* a, const std::string& path) {
  const char* why = archive_error_string(a);
  return fail(ErrorCode::unavailable, std::string("the context cannot be written: ") + (why ? why : "?"), path);
}

Result<void> copy_data(archive* from, archive* to, const std::string& path) {
  std::string buffer(256u << 10, '\0');
  for (la_ssize_t n; (n = archive_read_data(from, buffer.data(), buffer.size())) != 0;) {
    if (n < 0) return fail(ErrorCode::invalid, "the archived recipe cannot be read", path);
    if (archive_write_data(to, buffer.data(), static_cast<std::size_t>(n)) != n) return write_error(to, path);
  }
  return {};
}

// What the engine answers with where it refuses: {"message": …}.
std::string message_of(const HttpAnswer& answer) {
  boost::system::error_code ec;
  auto value = json::parse(answer.body, ec);
  auto said = !ec && value.is_object() ? text_at(value.get_object(), "message") : "";
  return said.empty() ? fmt::format("it answers with status {}", answer.status) : said;
}

std::string build_path(const BuildOrder& order, const std::string& tag) {
  json::object args;
  for (const auto& [key, value] : order.image.args) args[key] = value;
  auto path = fmt::format("/build?t={}&dockerfile={}&rm=1&forcerm=1&buildargs={}", url_encode(tag),
                          url_encode(order.recipe.dockerfile), url_encode(json::serialize(args)));
  if (!order.image.platforms.empty()) path += "&platform=" + url_encode(order.image.platforms.front());
  if (order.fresh) path += "&nocache=1&pull=1";
  return path;
}

}  // namespace

HttpServer docker_server(const DockerSpec& docker) {
  HttpServer server;
  constexpr std::string_view unix_scheme = "unix://", tcp_scheme = "tcp://";
  if (docker.url.starts_with(unix_scheme)) {
    server.unix_socket = docker.url.substr(unix_scheme.size());
    return server;
  }
  const bool tls = !docker.certificates.empty();
  server.url = (tls ? "https://" : "http://") + docker.url.substr(tcp_scheme.size());
  if (!tls) return server;
  server.ca_file = docker.certificates + "/ca.pem";
  server.certificate_file = docker.certificates + "/cert.pem";
  server.key_file = docker.certificates + "/key.pem";
  return server;
}

Result<void> make_docker_context(const std::string& tar, const Ignore& ignore, Time at, const std::string& to) {
  std::unique_ptr<archive, Free> out(archive_write_new());
  MAYFLY_CHECK(out);
  archive_write_set_format_pax_restricted(out.get());
  if (archive_write_open_filename(out.get(), to.c_str()) != ARCHIVE_OK) return write_error(out.get(), to);
  MAYFLY_TRY(walk_tar(tar, [&](archive* a, archive_entry* entry) -> Result<void> {
    std::string_view name = archive_entry_pathname(entry) ? archive_entry_pathname(entry) : "";
    while (name.ends_with("/")) name.remove_suffix(1);
    // The engine itself needs the Dockerfile, whatever is ignored.
    const bool needed = name == "Dockerfile" || name == "Containerfile";
    if (name.empty() || (!needed && ignore.leaves_out(name))) return {};
    archive_entry_set_mtime(entry, to_micros(at) / 1'000'000, 0);
    if (archive_write_header(out.get(), entry) != ARCHIVE_OK) return write_error(out.get(), to);
    return copy_data(a, out.get(), to);
  }));
  if (archive_write_close(out.get()) != ARCHIVE_OK) return write_error(out.get(), to);
  return {};
}

DockerLine read_docker_line(std::string_view line) {
  static const std::regex step(R"(^Step (\d+/\d+) : )");
  DockerLine out;
  boost::system::error_code ec;
  auto value = json::parse(json::string_view(line.data(), line.size()), ec);
  if (ec || !value.is_object()) return out;
  const auto& o = value.get_object();
  out.error = text_at(o, "error");
  out.text = std::regex_replace(text_at(o, "stream"), step, "STEP $1: ");
  if (const auto* aux = o.if_contains("aux"); aux && aux->is_object())
    out.built = text_at(aux->get_object(), "ID").starts_with("sha256:");
  // The progress of a pull comes many times a second for each layer: only what begins and ends.
  if (auto status = text_at(o, "status"); !status.empty() && !o.contains("progress")) {
    auto id = text_at(o, "id");
    out.text += fmt::format("{}{}{}\n", id, id.empty() ? "" : ": ", status);
  }
  return out;
}

Result<HttpAnswer> DockerBuild::exchange(HttpRequest request, std::function<bool(std::string_view)> on_chunk) const {
  const auto left = deadline - std::chrono::steady_clock::now();
  if (left <= left.zero()) return fail(ErrorCode::timeout, "the build takes too long", order.image.docker.url);
  request.timeout = std::chrono::ceil<Duration>(left);
  HttpStream stream;
  stream.on_chunk = std::move(on_chunk);
  stream.on_wake = [this] { return !stop.raised(); };
  stream.wake_fd = stop.fd();
  HttpClient client(docker_server(order.image.docker));
  auto answer = client.stream(request, stream);
  if (stop.raised()) return fail(ErrorCode::unavailable, "it was stopped", order.image.docker.url);
  if (answer) return answer;
  Error e = answer.error();
  e.what =
      (client.connected() ? "the connection to the Docker Engine was lost: " : "no Docker Engine answers: ") + e.what;
  e.where = order.image.docker.url;
  e.next = "Check that it runs there, and that its `certificates:` are right.";
  return Unexpected(std::move(e));
}

Result<void> DockerBuild::run(const std::string& context, const std::string& tag, const std::string& log) const {
  MAYFLY_ASSIGN(auto file, os::open_file(context, O_RDONLY));
  MAYFLY_ASSIGN(auto out, os::open_file(log, O_WRONLY | O_CREAT | O_APPEND));
  HttpRequest request;
  request.method = "POST";
  request.path = build_path(order, tag);
  request.content_type = "application/x-tar";
  request.upload = [&](char* buffer, std::size_t size) -> Result<std::size_t> {
    auto n = ::read(file.get(), buffer, size);
    if (n < 0) return Unexpected(errno_error("the context cannot be read", errno, context));
    return static_cast<std::size_t>(n);
  };
  std::string rest, problem;
  bool built = false;
  Result<void> logged;
  auto take = [&](std::string_view line) {
    auto l = read_docker_line(line);
    if (!l.error.empty()) problem = l.error, l.text += l.error + "\n";
    built |= l.built;
    if (logged) logged = os::write_all(out.get(), l.text, log);
  };
  MAYFLY_ASSIGN(auto answer, exchange(request, [&](std::string_view part) {
                  rest += part;
                  for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
                    take(std::string_view(rest).substr(0, end));
                    rest.erase(0, end + 1);
                  }
                  return logged && rest.size() < max_line;
                }));
  if (!rest.empty()) take(rest);
  MAYFLY_TRY(std::move(logged));
  if (answer.status >= 500)
    return fail(ErrorCode::unavailable, "the Docker Engine does not build: " + message_of(answer),
                order.image.docker.url);
  if (answer.status != 200)
    return fail(ErrorCode::invalid, "the Docker Engine does not build: " + message_of(answer), order.image.docker.url);
  if (!problem.empty()) return fail(ErrorCode::invalid, problem, order.image.docker.url);
  if (built) return {};
  return fail(ErrorCode::unavailable, "the connection to the Docker Engine was lost before the build ended",
              order.image.docker.url);
}

Result<void> DockerBuild::fetch(const std::string& tag, const std::string& to) const {
  MAYFLY_ASSIGN(auto out, os::open_file(to, O_WRONLY | O_CREAT | O_TRUNC));
  HttpRequest request;
  request.path = "/images/" + url_encode(tag) + "/get";
  std::int64_t bytes = 0;
  Result<void> written;
  MAYFLY_ASSIGN(auto answer, exchange(request, [&](std::string_view part) {
                  bytes += static_cast<std::int64_t>(part.size());
                  if (written) written = os::write_all(out.get(), part, to);
                  return written && bytes <= max_archive;
                }));
  MAYFLY_TRY(std::move(written));
  if (bytes > max_archive) return fail(ErrorCode::exhausted, "the image is larger than 64 GiB", tag);
  if (answer.status == 200) return {};
  return fail(answer.status >= 500 ? ErrorCode::unavailable : ErrorCode::invalid,
              "the Docker Engine does not hand out what it built: " + message_of(answer), order.image.docker.url);
}

void DockerBuild::remove(const std::string& tag) const {
  HttpRequest request;
  request.method = "DELETE";
  request.path = "/images/" + url_encode(tag) + "?force=1";
  (void)exchange(request, nullptr);
}

}  // namespace mayfly::images
