// The mistakes that people make, and word for word what they are told.
#include <gtest/gtest.h>

#include "app/config.h"
#include "app/config_reader.h"

namespace mayfly {
namespace {

std::string told(std::string_view text) {
  auto config = parse_config(text, "mayfly.yaml");
  EXPECT_FALSE(config) << text;
  if (!config) EXPECT_EQ(config.error().code, ErrorCode::invalid);
  return config ? "" : config.error().text();
}

struct Mistake {
  const char* text;
  const char* expected;
};

class ConfigMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, IsToldWordForWord) { EXPECT_EQ(told(GetParam().text), GetParam().expected); }

const Mistake keys[] = {
    {"pools:\n  general:\n    imge: x:1\n",
     "mayfly.yaml:3:5: unknown key 'imge' in pool 'general'; did you mean 'image'?\n"
     "    3 |     imge: x:1\n"
     "      |     ^"},
    {"pools:\n  general:\n    image: x:1\n    memory: 4GiB\n",
     "mayfly.yaml:4:5: unknown key 'memory' in pool 'general'; it belongs in 'builders'\n"
     "    4 |     memory: 4GiB\n"
     "      |     ^"},
    {"pools:\n  p: {image: x:1, builders: {zzzzzz: 1}}\n",
     "mayfly.yaml:2:30: unknown key 'zzzzzz' in 'builders' of pool 'p'; the keys here are: warm, min, max, cpu, "
     "memory, "
     "disk, pids, timeout, "
     "grace, log\n"
     "    2 |   p: {image: x:1, builders: {zzzzzz: 1}}\n"
     "      |                              ^"},
    {"pool:\n  p: {image: x:1}\n",
     "mayfly.yaml:1:1: unknown key 'pool' at the top level; did you mean 'pools'?\n"
     "    1 | pool:\n"
     "      | ^"},
    {"pools:\n  p:\n    network: none\n",
     "mayfly.yaml:2:3: pool 'p' has no 'image'\n"
     "    2 |   p:\n"
     "      |   ^"},
    {"pools:\n  p: {image: x:1}\n  p: {image: y:1}\n",
     "mayfly.yaml:3:3: key 'p' is given a second time; the first is in line 2\n"
     "    3 |   p: {image: y:1}\n"
     "      |   ^"},
    {"pools:\n  Big_Pool: {image: x:1}\n",
     "mayfly.yaml:2:3: 'Big_Pool' cannot be the name of a pool; names are 1 to 50 of a-z, 0-9 and '-', beginning and "
     "ending with a letter "
     "or digit\n"
     "    2 |   Big_Pool: {image: x:1}\n"
     "      |   ^"},
    {"pools:\n  p:\n    image: x:1\n    schedule:\n      - {cron: '0 25 * * *', warm: 10}\n",
     "mayfly.yaml:5:16: '25' does not fit the hour (0 to 23)\n"
     "    5 |       - {cron: '0 25 * * *', warm: 10}\n"
     "      |                ^"},
    {"pools: {p: {image: x:1, ci: {jenkins: {organization: acme}}}}\n",
     "mayfly.yaml:1:29: this version of Mayfly does not have ci 'jenkins' yet; it has builtin, buildbot, "
     "azure-devops, github\n"
     "    1 | pools: {p: {image: x:1, ci: {jenkins: {organization: acme}}}}\n"
     "      |                             ^"},
    {"secrets: {t: {env: T}}\npools:\n  p:\n    image: x:1\n    ci:\n      azure-devops: {organisation: acme, pool: l, "
     "token: t, agent_version: 4}\n",
     "mayfly.yaml:6:22: unknown key 'organisation' in 'azure-devops' of pool 'p'; did you mean 'organization'?\n"
     "    6 |       azure-devops: {organisation: acme, pool: l, token: t, agent_version: 4}\n"
     "      |                      ^"},
    {"secrets: {t: {env: T}}\npools:\n  p:\n    image: x:1\n    secrets: [t]\n    ci:\n      azure-devops: "
     "{organization: acme, pool: l, token: t, agent_version: 4}\n",
     "mayfly.yaml:7:58: 't' is among the pool's own 'secrets', which each of its jobs may read\n"
     "    7 |       azure-devops: {organization: acme, pool: l, token: t, agent_version: 4}\n"
     "      |                                                          ^"},
    {"secrets: {t: {env: T}}\npools:\n  p:\n    image: x:1\n    ci:\n      azure-devops: {url: 'http://tfs.a.example', "
     "pool: l, token: t, agent_version: 4}\n",
     "mayfly.yaml:6:27: 'http://tfs.a.example' is not https://HOST/COLLECTION\n"
     "    6 |       azure-devops: {url: 'http://tfs.a.example', pool: l, token: t, agent_version: 4}\n"
     "      |                           ^"},
    {"pools: {p: {image: x:1, ci: github}}\n",
     "mayfly.yaml:1:29: 'github' of pool 'p' has no 'labels'\n"
     "    1 | pools: {p: {image: x:1, ci: github}}\n"
     "      |                             ^"},
    {"secrets: {t: {env: T}}\npools: {p: {image: x:1, ci: {github: {organisation: acme, token: t, labels: [a]}}}}\n",
     "mayfly.yaml:2:39: unknown key 'organisation' in 'github' of pool 'p'; did you mean 'organization'?\n"
     "    2 | pools: {p: {image: x:1, ci: {github: {organisation: acme, token: t, labels: [a]}}}}\n"
     "      |                                       ^"},
    {"secrets: {t: {env: T}}\npools: {p: {image: x:1, ci: {github: {organization: acme, token: u, labels: [a]}}}}\n",
     "mayfly.yaml:2:66: there is no 'u' under 'secrets:'; did you mean 't'?\n"
     "    2 | pools: {p: {image: x:1, ci: {github: {organization: acme, token: u, labels: [a]}}}}\n"
     "      |                                                                  ^"},
    {"secrets: {t: {env: T}}\npools: {p: {image: x:1, secrets: [t], ci: {github: {organization: a, token: t, labels: "
     "[a]}}}}\n",
     "mayfly.yaml:2:77: 't' is among the pool's own 'secrets', which each of its jobs may read\n"
     "    2 | pools: {p: {image: x:1, secrets: [t], ci: {github: {organization: a, token: t, labels: [a]}}}}\n"
     "      |                                                                             ^"},
    {"secrets: {t: {env: T}}\npools: {p: {image: x:1, ci: {github: {repository: acme, token: t, labels: [a]}}}}\n",
     "mayfly.yaml:2:51: 'acme' is not OWNER/REPOSITORY\n"
     "    2 | pools: {p: {image: x:1, ci: {github: {repository: acme, token: t, labels: [a]}}}}\n"
     "      |                                                   ^"},
    {"pools: {p: {image: x:1, platform: kubernetes}}\n",
     "mayfly.yaml:1:35: this version of Mayfly does not have platform 'kubernetes' yet; it has local\n"
     "    1 | pools: {p: {image: x:1, platform: kubernetes}}\n"
     "      |                                   ^"},
};
INSTANTIATE_TEST_SUITE_P(Keys, ConfigMistake, testing::ValuesIn(keys));

const Mistake values[] = {
    {"pools: {p: {image: x:1, network: egres}}\n",
     "mayfly.yaml:1:34: 'egres' is not right for 'network'; it is one of: none, egress, host; did you mean 'egress'?\n"
     "    1 | pools: {p: {image: x:1, network: egres}}\n"
     "      |                                  ^"},
    {"pools: {p: {image: x:1, builders: {timeout: 90}}}\n",
     "mayfly.yaml:1:45: 'timeout' must be a number and a unit (ms, s, m, h, d), such as 20m\n"
     "    1 | pools: {p: {image: x:1, builders: {timeout: 90}}}\n"
     "      |                                             ^"},
    {"pools: {p: {image: x:1, builders: {memory: 4}}}\n",
     "mayfly.yaml:1:44: 'memory' is 4; it must be from 16MiB to 64TiB\n"
     "    1 | pools: {p: {image: x:1, builders: {memory: 4}}}\n"
     "      |                                            ^"},
    {"pools: {p: {image: x:1, builders: {warm: lots}}}\n",
     "mayfly.yaml:1:42: 'warm' must be a whole number, such as 2\n"
     "    1 | pools: {p: {image: x:1, builders: {warm: lots}}}\n"
     "      |                                          ^"},
    {"pools: {p: {image: x:1, builders: {grace: 0s}}}\n",
     "mayfly.yaml:1:43: 'grace' is 0s; it must be from 100ms to 1h\n"
     "    1 | pools: {p: {image: x:1, builders: {grace: 0s}}}\n"
     "      |                                           ^"},
    {"pools: {p: {image: x:1, builders: {warm: 20, max: 5}}}\n",
     "mayfly.yaml:1:42: 'warm' is 20, more than 'max', which is 5\n"
     "    1 | pools: {p: {image: x:1, builders: {warm: 20, max: 5}}}\n"
     "      |                                          ^"},
    {"pools: {p: {image: x:1, builders: {memory: 1GiB, disk: 2GiB}}}\n",
     "mayfly.yaml:1:56: 'disk' is 2.0 GiB, more than 'memory', which is 1.0 GiB; the workspace lives in memory\n"
     "    1 | pools: {p: {image: x:1, builders: {memory: 1GiB, disk: 2GiB}}}\n"
     "      |                                                        ^"},
    {"pools: {p: {image: x:1, builders: }}\n",
     "mayfly.yaml:1:25: 'builders' of pool 'p' is empty; give it its keys or remove it\n"
     "    1 | pools: {p: {image: x:1, builders: }}\n"
     "      |                         ^"},
    {"pools: {p: {image: x:1, secrets: npm-token}}\n",
     "mayfly.yaml:1:34: 'secrets' must be a list of names, such as [npm-token]\n"
     "    1 | pools: {p: {image: x:1, secrets: npm-token}}\n"
     "      |                                  ^"},
    {"images: {a: {recipe: ~/a}}\npools: {p: {image: a}}\n",
     "mayfly.yaml:1:22: '~' in 'recipe' would not be expanded; write the whole path\n"
     "    1 | images: {a: {recipe: ~/a}}\n"
     "      |                      ^"},
};
INSTANTIATE_TEST_SUITE_P(Values, ConfigMistake, testing::ValuesIn(values));

const Mistake references[] = {
    {"images: {general: {recipe: a}}\npools: {p: {image: genral}}\n",
     "mayfly.yaml:2:20: there is no 'genral' under 'images:'; did you mean 'general'?\n"
     "    2 | pools: {p: {image: genral}}\n"
     "      |                    ^"},
    {"images: {general: {}}\npools: {p: {image: general@newest}}\n",
     "mayfly.yaml:2:20: '@newest' names no versions; write one such as general@2.4.1, a range such as general@^2 or "
     "general@~2.4, or general@latest\n"
     "    2 | pools: {p: {image: general@newest}}\n"
     "      |                    ^"},
    {"pools: {p: {image: 'https://example.org/x'}}\n",
     "mayfly.yaml:1:20: 'https://' is not a place that images come from; registries are docker://HOST/NAME:TAG\n"
     "    1 | pools: {p: {image: 'https://example.org/x'}}\n"
     "      |                    ^"},
    {"secrets: {npm-token: {env: X}}\npools: {p: {image: x:1, secrets: [npm-tokn]}}\n",
     "mayfly.yaml:2:35: there is no 'npm-tokn' under 'secrets:'; did you mean 'npm-token'?\n"
     "    2 | pools: {p: {image: x:1, secrets: [npm-tokn]}}\n"
     "      |                                   ^"},
    {"pools: {p: {image: x:1}}\nserver: {listen: 'localhost:8443', tokens: t, tls: {certificate: c}}\n",
     "mayfly.yaml:2:52: 'tls' of 'server' has no 'key'\n"
     "    2 | server: {listen: 'localhost:8443', tokens: t, tls: {certificate: c}}\n"
     "      |                                                    ^"},
    {"pools: {p: {image: x:1}}\nserver: {listen: ':8443'}\n",
     "mayfly.yaml:2:10: 'listen' needs 'tls' beside it in 'server'\n"
     "    2 | server: {listen: ':8443'}\n"
     "      |          ^\n"
     "mayfly.yaml:2:10: 'listen' needs 'tokens' beside it in 'server'\n"
     "    2 | server: {listen: ':8443'}\n"
     "      |          ^\n"
     "mayfly.yaml:2:18: ':8443' is not right for 'listen'; it must be HOST:PORT with a port from 1 to 65535\n"
     "    2 | server: {listen: ':8443'}\n"
     "      |                  ^"},
};
INSTANTIATE_TEST_SUITE_P(References, ConfigMistake, testing::ValuesIn(references));

const Mistake yaml[] = {
    {"", "mayfly.yaml:1:1: the file is empty; `mayfly init` writes one to begin with"},
    {"# nothing\n",
     "mayfly.yaml:1:1: the file is empty; `mayfly init` writes one to begin with\n    1 | # nothing\n      | ^"},
    {"pools:\n\tp: 1\n",
     "mayfly.yaml:2:1: YAML: tab character may not be used as indentation; indent with spaces\n"
     "    2 |  p: 1\n"
     "      | ^"},
    {"pools: {p: {image: x:1}}\n---\na: 1\n",
     "mayfly.yaml:2:1: a second document starts here; a configuration is one document\n"
     "    2 | ---\n"
     "      | ^"},
    {"pools: {p: &p {image: x:1}}\n",
     "mayfly.yaml:1:12: anchors (&name) are not allowed; write the value out where it is used\n"
     "    1 | pools: {p: &p {image: x:1}}\n"
     "      |            ^"},
    {"pools: {p: *p}\n",
     "mayfly.yaml:1:12: aliases (*name) are not allowed; write the value out\n"
     "    1 | pools: {p: *p}\n"
     "      |            ^"},
    {"pools: {p: !!map {image: x:1}}\n",
     "mayfly.yaml:1:12: tags (!name) are not allowed; write the value alone\n"
     "    1 | pools: {p: !!map {image: x:1}}\n"
     "      |            ^"},
    {"pools: caf\xe9\n",
     "mayfly.yaml:1:11: byte 0xe9 is not UTF-8; save the file as UTF-8\n"
     "    1 | pools: caf?\n"
     "      |           ^"},
    {"\xff\xfep\0o\0", "mayfly.yaml:1:1: the file is UTF-16; save it as UTF-8\n    1 | …\n      | ^"},
    {"pools: \x1b[31m\n",
     "mayfly.yaml:1:8: control character 0x1b; remove it\n"
     "    1 | pools:  [31m\n"
     "      |        ^"},
    {"pools: [p: 1\n", "mayfly.yaml:2:1: YAML: flow sequence without a closing bracket"},
    {"- pools\n", "mayfly.yaml:1:1: the top level must be a block of keys\n    1 | - pools\n      | ^"},
};
INSTANTIATE_TEST_SUITE_P(Yaml, ConfigMistake, testing::ValuesIn(yaml));

// A value may stand in the file by mistake. Whatever is wrong with it, no message repeats it.
TEST(ConfigErrors, NeverShowWhatMayBeASecret) {
  for (const char* entry : {"npm: hunter2", "npm: {env: hunter-2}", "npm: {env: hunter2, file: hunter2}",
                            "npm: {value: hunter2}", "npm: [hunter2]", "npm: {env: [hunter2]}", "npm: {file: ~hunter2}",
                            "npm: {env: , x: hunter2}", "NPM: hunter2"}) {
    auto text = told("pools: {p: {image: x:1}}\nsecrets: {" + std::string(entry) + "}\n");
    EXPECT_EQ(text.find("hunter"), std::string::npos) << text;
    EXPECT_NE(text.find("mayfly.yaml:2:"), std::string::npos) << text;
  }
  EXPECT_EQ(told("pools: {p: {image: x:1}}\nsecrets: [hunter2]\n"),
            "mayfly.yaml:2:10: 'secrets' must be a map from names to secrets\n    2 | secrets: …\n      |          ^");
}

TEST(ConfigErrors, TwentyAtOnceAndTheNumberOfTheRest) {
  std::string text = "pools:\n  p:\n    image: x:1\n";
  for (int i = 0; i < 33; ++i) text += "    wrong" + std::to_string(i) + ": 1\n";
  auto all = told(text);
  EXPECT_NE(all.find("mayfly.yaml:23:5: unknown key 'wrong19'"), std::string::npos) << all;
  EXPECT_EQ(all.find("wrong20"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\nmayfly.yaml: and 13 more")) << all;
}

TEST(ConfigErrors, OneMistakeIsNotToldTwice) {
  EXPECT_EQ(read_config("pools: {p: {imag: x:1}}", "/").problems.size(), 1u);  // not also: no image
  EXPECT_EQ(read_config("pools: {p: {image: x:1, builders: {warm: 20, max: x}}}", "/").problems.size(),
            1u);  // not also: warm > max
  EXPECT_EQ(read_config("pools: {p: {image: x:1, builders: {disk: 5GiB, memory: x}}}", "/").problems.size(), 1u);
}

// Neither a line of a megabyte nor a deep nest makes a long message or a deep recursion.
TEST(ConfigErrors, AreShortWhateverTheFile) {
  EXPECT_LT(told("pools: {p: {" + std::string(900'000, 'k') + ": 1, image: x:1}}").size(), 600u);
  EXPECT_LT(told("pools: " + std::string(500'000, '[')).size(), 400u);
  EXPECT_LT(told(std::string(500'000, ' ') + "pools: 1").size(), 400u);
  EXPECT_EQ(told(std::string((1 << 20) + 1, ' ')),
            "mayfly.yaml:1:1: the file has 1048577 bytes; a configuration has at most 1048576\n"
            "    1 | " +
                std::string(100, ' ') + "…\n      | ^");
}

}  // namespace
}  // namespace mayfly
