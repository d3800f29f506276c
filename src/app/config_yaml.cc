#include "app/config_yaml.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

#include <fmt/format.h>
#include <libfyaml.h>

#include "base/text.h"

namespace mayfly {
namespace {

constexpr int max_depth = 16;  // the deepest configuration has 5
constexpr std::size_t max_nodes = 200'000;

struct ParserDeleter {
  void operator()(fy_parser* p) const { fy_parser_destroy(p); }
};
struct DiagDeleter {
  void operator()(fy_diag* d) const { fy_diag_destroy(d); }
};

YamlMark mark_of(const fy_mark* m, YamlMark otherwise) {
  return m == nullptr || m->line < 0 || m->column < 0 ? otherwise : YamlMark{m->line + 1, m->column + 1};
}

std::string text_of(fy_token* token) {
  std::size_t length = 0;
  const char* text = token == nullptr ? nullptr : fy_token_get_text(token, &length);
  return text == nullptr ? std::string() : std::string(text, length);
}

YamlMark mark_at(std::string_view text, std::size_t offset) {
  YamlMark m;
  for (char c : text.substr(0, offset)) {
    if (c == '\n')
      ++m.line, m.column = 1;
    else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
      ++m.column;
  }
  return m;
}

// What can be said of the bytes before any YAML is read.
std::optional<ConfigProblem> unreadable(std::string_view text) {
  if (text.size() > max_config_bytes)
    return ConfigProblem{
        {}, fmt::format("the file has {} bytes; a configuration has at most {}", text.size(), max_config_bytes)};
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    return ConfigProblem{{}, "the file is UTF-16; save it as UTF-8", 0};
  if (auto bad = ill_formed_utf8(text); bad != std::string_view::npos)
    return ConfigProblem{mark_at(text, bad), fmt::format("byte 0x{:02x} is not UTF-8; save the file as UTF-8",
                                                         static_cast<unsigned char>(text[bad]))};
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
      return ConfigProblem{mark_at(text, i), fmt::format("control character 0x{:02x}; remove it", c)};
  }
  return std::nullopt;
}

// Builds the tree from libfyaml's events. Going by events and not by its document stops at the first anchor, and keeps
// the check for duplicate keys linear.
class TreeBuilder {
 public:
  TreeBuilder(std::string_view text, std::vector<ConfigProblem>& problems) : text_(text), problems_(problems) {}
  std::optional<YamlNode> run();

 private:
  bool node(fy_event* e, int depth, YamlNode& out);
  static bool scalar(fy_event* e, YamlNode& out);
  bool map(int depth, YamlNode& out);
  bool list(int depth, YamlNode& out);
  bool refuse(YamlMark at, std::string text) { return problems_.push_back({at, std::move(text)}), false; }
  bool refuse_decoration(fy_event* e);
  bool syntax_error();
  fy_event* next();  // null at the end and on an error; freed by the following call

  struct Freer {
    fy_parser* parser;
    fy_event* event = nullptr;
    ~Freer() { reset(nullptr); }
    void reset(fy_event* e) {
      if (event != nullptr) fy_parser_event_free(parser, event);
      event = e;
    }
  };

  std::string_view text_;
  std::vector<ConfigProblem>& problems_;
  std::unique_ptr<fy_diag, DiagDeleter> diag_;
  std::unique_ptr<fy_parser, ParserDeleter> parser_;
  std::optional<Freer> current_;
  YamlMark last_;
  std::size_t nodes_ = 0;
};

fy_event* TreeBuilder::next() {
  current_->reset(nullptr);
  current_->reset(fy_parser_parse(parser_.get()));
  fy_event* e = current_->event;
  if (e != nullptr && e->type != FYET_STREAM_END && e->type != FYET_DOCUMENT_END)
    last_ = mark_of(fy_event_start_mark(e), last_);
  return e;
}

// What to do about the mistakes that people make most, by a word of libfyaml's message.
static std::string advice(std::string_view message) {
  static constexpr std::pair<std::string_view, std::string_view> advices[] = {
      {"tab", "; indent with spaces"},
      {"multiline plain key", "; check the indentation of the line after it, and that every key has its ':'"},
      {"nested block mapping on the same line", "; put a value that contains ': ' in quotes"},
      {"plain scalar cannot start with", "; put the value in quotes"},
      {"indentation in mapping", "; the keys of one block start in the same column"},
      {"at the end of block sequence", "; check the indentation: a list and a key do not mix"}};
  for (const auto& [word, text] : advices)
    if (message.find(word) != std::string_view::npos) return std::string(text);
  return {};
}

bool TreeBuilder::syntax_error() {
  void* previous = nullptr;
  const fy_diag_error* d = fy_diag_errors_iterate(diag_.get(), &previous);
  YamlMark at = d != nullptr && d->line > 0 && d->column > 0 ? YamlMark{d->line, d->column} : last_;
  std::string why = d != nullptr && d->msg != nullptr ? d->msg : "this is not YAML";
  return refuse(at, "YAML: " + why + advice(why));
}

bool TreeBuilder::refuse_decoration(fy_event* e) {
  // These tokens start after their first character.
  auto before = [](YamlMark m) { return YamlMark{m.line, std::max(1, m.column - 1)}; };
  YamlMark at = mark_of(fy_event_start_mark(e), last_);
  if (e->type == FYET_ALIAS) at = before(at);
  if (e->type == FYET_ALIAS) return refuse(at, "aliases (*name) are not allowed; write the value out");
  if (fy_token* anchor = fy_event_get_anchor_token(e); anchor != nullptr)
    return refuse(before(mark_of(fy_token_start_mark(anchor), at)),
                  "anchors (&name) are not allowed; write the value out where it is used");
  if (fy_token* tag = fy_event_get_tag_token(e); tag != nullptr)
    return refuse(mark_of(fy_token_start_mark(tag), at), "tags (!name) are not allowed; write the value alone");
  return true;
}

bool TreeBuilder::node(fy_event* e, int depth, YamlNode& out) {
  if (e == nullptr) return syntax_error();
  if (!refuse_decoration(e)) return false;
  out.at = last_;
  if (depth > max_depth) return refuse(last_, fmt::format("nested more than {} levels deep", max_depth));
  if (++nodes_ > max_nodes) return refuse(last_, fmt::format("more than {} values", max_nodes));
  switch (e->type) {
    case FYET_SCALAR:
      return scalar(e, out);
    case FYET_MAPPING_START:
      return map(depth, out);
    case FYET_SEQUENCE_START:
      return list(depth, out);
    default:
      return refuse(last_, "a value was expected here");
  }
}

bool TreeBuilder::scalar(fy_event* e, YamlNode& out) {
  fy_token* token = e->scalar.value;
  out.kind = YamlNode::Kind::scalar;
  out.text = text_of(token);
  auto style = token == nullptr ? FYSS_PLAIN : fy_token_scalar_style(token);
  out.plain = style == FYSS_PLAIN;
  // The token begins after the quote.
  if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && out.at.column > 1) --out.at.column;
  return true;
}

bool TreeBuilder::map(int depth, YamlNode& out) {
  out.kind = YamlNode::Kind::map;
  std::unordered_map<std::string, int> lines;  // of the keys seen
  for (;;) {
    fy_event* e = next();
    if (e == nullptr) return syntax_error();
    if (e->type == FYET_MAPPING_END) return true;
    YamlNode key, value;
    if (!node(e, depth + 1, key)) return false;
    if (key.kind != YamlNode::Kind::scalar) return refuse(key.at, "a key must be a single word");
    if (!node(next(), depth + 1, value)) return false;
    if (auto [first, fresh] = lines.emplace(key.text, key.at.line); !fresh) {
      problems_.push_back({key.at, fmt::format("key '{}' is given a second time; the first is in line {}",
                                               key.text.substr(0, 60), first->second)});
      continue;
    }
    out.entries.push_back({std::move(key.text), key.at, std::move(value)});
  }
}

bool TreeBuilder::list(int depth, YamlNode& out) {
  out.kind = YamlNode::Kind::list;
  for (;;) {
    fy_event* e = next();
    if (e == nullptr) return syntax_error();
    if (e->type == FYET_SEQUENCE_END) return true;
    if (!node(e, depth + 1, out.items.emplace_back())) return false;
  }
}

std::optional<YamlNode> TreeBuilder::run() {
  fy_diag_cfg diag_cfg{};
  fy_diag_cfg_default(&diag_cfg);
  diag_cfg.fp = nullptr;
  diag_cfg.output_fn = [](fy_diag*, void*, const char*, std::size_t) {};
  diag_cfg.level = FYET_ERROR;
  diag_.reset(fy_diag_create(&diag_cfg));
  if (!diag_) return refuse({}, "out of memory"), std::nullopt;
  fy_diag_set_collect_errors(diag_.get(), true);
  fy_parse_cfg cfg{};
  cfg.flags = static_cast<fy_parse_cfg_flags>(FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE);
  cfg.diag = diag_.get();
  parser_.reset(fy_parser_create(&cfg));
  if (!parser_ || fy_parser_set_string(parser_.get(), text_.data(), text_.size()) != 0)
    return refuse({}, "out of memory"), std::nullopt;
  current_.emplace(Freer{parser_.get()});

  YamlNode root;
  bool seen = false, ended = false;
  for (;;) {
    fy_event* e = next();
    if (e == nullptr) {
      if (!ended) syntax_error();
      break;
    }
    if (e->type == FYET_STREAM_END) ended = true;
    if (e->type != FYET_DOCUMENT_START) continue;
    if (seen) {
      refuse(last_, "a second document starts here; a configuration is one document");
      break;
    }
    seen = true;
    if (!node(next(), 0, root)) break;
    fy_event* end = next();
    if (end == nullptr) {
      syntax_error();
      break;
    }
  }
  current_.reset();
  if (!ended || !seen) return std::nullopt;
  return root;
}

}  // namespace

const YamlEntry* YamlNode::find(std::string_view key) const {
  for (const auto& e : entries)
    if (e.key == key) return &e;
  return nullptr;
}

std::optional<YamlNode> parse_yaml(std::string_view text, std::vector<ConfigProblem>& problems) {
  if (auto problem = unreadable(text)) return problems.push_back(*problem), std::nullopt;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark, as some editors write
  return TreeBuilder(text, problems).run();
}

}  // namespace mayfly
