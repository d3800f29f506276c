#include "app/config_shapes.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/text.h"

namespace mayfly {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_variable(std::string_view text) {
  return !text.empty() && text.size() <= 200 && !is_digit(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

bool is_pool_name(std::string_view text) { return is_dns_label(text) && text.size() <= 50; }

// A secret's name becomes a variable: npm-token is NPM_TOKEN.
bool is_secret_name(std::string_view text) { return is_dns_label(text) && !is_digit(text[0]); }

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == '/' || c == ':' || c == '+';
  });
}

bool is_platform(std::string_view text) { return text == "local"; }

bool is_address(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  auto host = text.substr(0, colon), port = text.substr(colon + 1);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  bool fits = std::all_of(host.begin(), host.end(), [&](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || (bracketed && c == ':');
  });
  int number = 0;
  auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  return fits && host.size() <= 253 && !port.empty() && is_digit(port[0]) && ec == std::errc() &&
         end == port.data() + port.size() && number >= 1 && number <= 65535;
}

bool is_image(std::string_view text) {
  return !text.empty() && text.size() <= 1000 && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
}

// HOST[:PORT] and below it a path as registries allow it. No tag: each version brings its own.
bool is_repository(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || text.size() > 255) return false;
  auto host = std::string(text.substr(0, slash));
  bool port = host.find(':', host.starts_with('[') ? host.find(']') : 0) != std::string::npos;
  if (!is_address(port ? host : host + ":443")) return false;
  for (const auto& part : split(text.substr(slash + 1), '/')) {
    auto plain = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); };
    if (part.empty() || !plain(part.front()) || !plain(part.back())) return false;
    if (!std::all_of(part.begin(), part.end(), [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; }))
      return false;
  }
  return true;
}

bool is_tool(std::string_view text) {
  return !text.empty() && text.size() <= 100 && (is_digit(text[0]) || is_letter(text[0])) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_letter(c) || is_digit(c) || std::string_view(".+_-").find(c) != std::string_view::npos;
         });
}

bool is_percent(std::string_view text) {
  double n = -1;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
  return ec == std::errc() && end + 1 == text.data() + text.size() && *end == '%' && n >= 0 && n <= 100;
}

bool is_capability(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_version(std::string_view text) {
  int numbers = 0;
  bool between = true;
  for (char c : text) {
    if (!is_digit(c) && (c != '.' || between)) return false;
    if (c != '.' && between) ++numbers;
    between = c == '.';
  }
  return !between && numbers <= 4;
}

bool is_source(std::string_view text) {
  return !text.empty() && text.size() <= 201 &&
         std::all_of(
             text.begin(), text.end(),
             [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_' || c == '/'; }) &&
         std::count(text.begin(), text.end(), '/') <= 1 && text.front() != '/' && text.back() != '/';
}

bool is_runner_label(std::string_view text) {
  return !text.empty() && text.size() <= 256 && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == ',';
  });
}

bool is_command(std::string_view text) {
  return !text.empty() && text.size() <= 4000 &&
         text.find_first_of(std::string_view("\n\r\0", 3)) == std::string_view::npos;
}

bool has_five_fields(std::string_view text) {
  int fields = 0;
  bool between = true;
  for (char c : text) {
    if (c != ' ' && between) ++fields;
    between = c == ' ';
  }
  return fields == 5;
}

// In clear only where nobody else can listen.
bool is_report_url(std::string_view text) {
  bool plain = text.starts_with("http://");
  if (text.size() > 2000 || (!plain && !text.starts_with("https://"))) return false;
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; })) return false;
  text.remove_prefix(plain ? 7 : 8);
  auto host = text.substr(0, text.find('/'));
  if (host.empty() || host.find('@') != std::string_view::npos) return false;
  if (!plain) return true;
  auto end = host.starts_with('[') ? host.find(']') + 1 : host.find(':');
  host = host.substr(0, end);
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool is_hosted_repository(std::string_view text) {
  auto slash = text.find('/');
  return text.size() <= 400 && slash != std::string_view::npos && slash != 0 && slash + 1 != text.size() &&
         text.find('/', slash + 1) == std::string_view::npos &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT
bool is_image_platform(std::string_view text) {
  int parts = 1;
  bool between = true;
  for (char c : text) {
    if (c == '/' ? between || ++parts > 3 : !(is_digit(c) || (c >= 'a' && c <= 'z'))) return false;
    between = c == '/';
  }
  return !between && parts >= 2 && text.size() <= 60;
}

bool is_docker_url(std::string_view text) {
  if (text.starts_with("unix:///"))
    return text.size() > 8 && text.size() <= 108 && text.find_first_of(" \t") == std::string_view::npos;
  return text.starts_with("tcp://") && is_address(text.substr(6));
}

bool is_registry(std::string_view text) { return is_repository(std::string(text) + "/x"); }

}  // namespace

constinit const ConfigShape name_shape{is_dns_label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
                                       "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"};
constinit const ConfigShape pool_shape{is_pool_name, "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$",
                                       "1 to 50 of a-z, 0-9 and '-', beginning and ending with a letter or digit"};
constinit const ConfigShape secret_shape{
    is_secret_name, "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
    "1 to 63 of a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit"};
constinit const ConfigShape variable_shape{is_variable, "^[A-Za-z_][A-Za-z0-9_]{0,199}$",
                                           "letters, digits and '_', not beginning with a digit"};
constinit const ConfigShape label_shape{is_label, "^[A-Za-z0-9_./:+-]{1,100}$",
                                        "1 to 100 letters, digits and any of '-_./:+'"};
constinit const ConfigShape platform_shape{is_platform, "^local$", "'local', so far"};
constinit const ConfigShape address_shape{is_address, "^(\\[[0-9A-Za-z.:-]+\\]|[0-9A-Za-z.-]+):[0-9]{1,5}$",
                                          "HOST:PORT with a port from 1 to 65535"};
constinit const ConfigShape cron_shape{has_five_fields, "^\\s*\\S+(\\s+\\S+){4}\\s*$",
                                       "five fields: minute hour day-of-month month day-of-week"};
constinit const ConfigShape repository_shape{
    is_repository, "^(\\[[0-9A-Fa-f:]+\\]|[0-9A-Za-z.-]+)(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$",
    "HOST[:PORT]/PATH, in lower case and without a tag"};
constinit const ConfigShape tool_shape{is_tool, "^[0-9A-Za-z][0-9A-Za-z.+_-]{0,99}$",
                                       "the name of a program or a package"};
constinit const ConfigShape percent_shape{is_percent, "^[0-9]{1,3}(\\.[0-9]{1,4})?%$", "a percentage from 0% to 100%"};
constinit const ConfigShape source_shape{is_source, "^([A-Za-z0-9_-]{1,100}/)?[A-Za-z0-9._-]{1,100}$",
                                         "NAME or OWNER/NAME"};
constinit const ConfigShape runner_label_shape{is_runner_label, "^[^,\\x00-\\x1f]{1,256}$",
                                               "1 to 256 characters without commas"};
constinit const ConfigShape capability_shape{is_capability, "^[A-Za-z0-9_.-]{1,100}$",
                                             "letters, digits, '_', '.' and '-'"};
constinit const ConfigShape version_shape{is_version, "^[0-9]+(\\.[0-9]+){0,3}$", "numbers with dots between"};
constinit const ConfigShape command_shape{is_command, "^[^\\n\\r\\u0000]{1,4000}$", "one line of at most 4000 bytes"};
constinit const ConfigShape image_shape{is_image, "^\\S{1,1000}$", "a reference without spaces"};
constinit const ConfigShape report_url_shape{
    is_report_url, "^(https://[^/\\s@]+|http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]{1,5})?)(/\\S*)?$",
    "https://…, or http:// on this machine's loopback"};
constinit const ConfigShape registry_shape{
    is_registry, "^(\\[[0-9A-Fa-f:]+\\]|[0-9A-Za-z.-]+)(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "HOST[:PORT], perhaps with a path"};
constinit const ConfigShape hosted_shape{is_hosted_repository, "^[^/\\x00-\\x1f\\x7f]+/[^/\\x00-\\x1f\\x7f]+$",
                                         "OWNER/REPOSITORY or PROJECT/REPOSITORY"};
constinit const ConfigShape image_platform_shape{is_image_platform, "^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$",
                                                 "OS/ARCHITECTURE, perhaps with a variant, such as linux/arm64"};
constinit const ConfigShape docker_shape{is_docker_url,
                                         "^(unix:///[^ \\t]+|tcp://(\\[[0-9A-Za-z.:-]+\\]|[0-9A-Za-z.-]+):[0-9]{1,5})$",
                                         "unix:///PATH or tcp://HOST:PORT"};

}  // namespace mayfly
