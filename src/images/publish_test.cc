// What is attached to a published image, and what is read from its layers. Whole registries: tests/e2e/publish_test.py.
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <boost/json.hpp>

#include "images/bill.h"
#include "images/layer_reader.h"
#include "images/rpm_header_test.h"
#include "images/seal.h"
#include "os/file.h"
#include "os/process.h"
#include "os/sqlite.h"

namespace mayfly::images {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct Entry {
  std::string path, bytes;
  int mode = 0644;
  std::string link = {};
};

std::string layer_of(const std::vector<Entry>& entries, bool zstd = false) {
  std::string out(4 << 20, '\0');
  std::size_t used = 0;
  auto* a = archive_write_new();
  archive_write_set_format_pax_restricted(a);
  zstd ? archive_write_add_filter_zstd(a) : archive_write_add_filter_gzip(a);
  archive_write_open_memory(a, out.data(), out.size(), &used);
  for (const auto& e : entries) {
    auto* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.path.c_str());
    archive_entry_set_filetype(entry, e.link.empty() ? AE_IFREG : AE_IFLNK);
    if (!e.link.empty()) archive_entry_set_symlink(entry, e.link.c_str());
    archive_entry_set_perm(entry, static_cast<unsigned short>(e.mode));
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.bytes.size()));
    archive_write_header(a, entry);
    archive_write_data(a, e.bytes.data(), e.bytes.size());
    archive_entry_free(entry);
  }
  archive_write_free(a);
  out.resize(used);
  return out;
}

class Publish : public ::testing::Test {
 protected:
  Publish() {
    char name[] = "/tmp/mfpubXXXXXX";
    folder = ::mkdtemp(name);
  }
  ~Publish() override { fs::remove_all(folder); }

  Descriptor add_image(const OciLayout& layout, const std::vector<std::string>& layers) {
    EXPECT_TRUE(layout.create());
    json::array parts;
    for (const auto& bytes : layers) parts.push_back(layout.add(bytes, "layer").value().json());
    auto config = layout.add("{}", "config").value();
    json::object manifest{{"schemaVersion", 2}, {"config", config.json()}, {"layers", parts}};
    auto made = layout.add(json::serialize(manifest), manifest_type).value();
    EXPECT_TRUE(layout.set_name("image", made));
    return made;
  }
  Contents contents_of(const std::vector<std::string>& layers) {
    OciLayout layout(folder + "/layout");
    add_image(layout, layers);
    auto c = read_contents(layout, "image");
    EXPECT_TRUE(c) << c.error().text();
    return c ? *c : Contents{};
  }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder + "/" + name) << text;
    ::chmod((folder + "/" + name).c_str(), 0600);
    return folder + "/" + name;
  }
  std::string private_key(const std::string& kind = "EC") {
    auto path = folder + "/" + kind + ".pem";
    std::vector<std::string> argv{"openssl", "genpkey", "-algorithm", kind, "-out", path};
    if (kind == "EC") argv.insert(argv.end(), {"-pkeyopt", "ec_paramgen_curve:P-256"});
    EXPECT_TRUE(os::run({.argv = argv})->ok());
    ::chmod(path.c_str(), 0600);
    return path;
  }
  std::string public_key(const std::string& of) {
    auto path = of + ".pub";
    EXPECT_TRUE(os::run({.argv = {"openssl", "pkey", "-in", of, "-pubout", "-out", path}})->ok());
    return path;
  }

  std::string folder;
  ReleaseFacts facts{.image = "general",
                     .version = "2.4.1",
                     .recipe = "git+https://example.org/recipes",
                     .commit = "0123456789abcdef0123456789abcdef01234567",
                     .source_digest = sha256_digest("source"),
                     .released_by = "rosa",
                     .approved_by = {"ada", "bert"},
                     .released_at = from_micros(1'700'000'000'000'000)};
};

constexpr const char* dpkg = R"(Package: gcc
Status: install ok installed
Architecture: amd64
Version: 4:12.2.0-3+b1
Description: the compiler
 Package: not-a-package

Package: removed
Status: deinstall ok config-files
Version: 1

Package: make
Status: install ok installed
Architecture: amd64
Version: 4.3
)";

TEST_F(Publish, DpkgListsWhatIsInstalledAndNothingElse) {
  EXPECT_EQ(parse_dpkg_status(dpkg),
            (std::vector<Package>{{"deb", "gcc", "4:12.2.0-3+b1", "amd64"}, {"deb", "make", "4.3", "amd64"}}));
  EXPECT_TRUE(parse_dpkg_status("").empty());
  EXPECT_TRUE(parse_dpkg_status("no colon here\n\n\n: \n").empty());
}

TEST_F(Publish, ApkListsItsPackages) {
  EXPECT_EQ(parse_apk_installed("C:Q1x\nP:musl\nV:1.2.3-r4\nA:x86_64\nF:lib\n\nP:busybox\nV:1.36\nA:x86_64\n"),
            (std::vector<Package>{{"apk", "musl", "1.2.3-r4", "x86_64"}, {"apk", "busybox", "1.36", "x86_64"}}));
}

TEST_F(Publish, TheTopmostLayerWins) {
  auto c = contents_of({layer_of({{"./var/lib/dpkg/status", "Package: old\nVersion: 1\n"},
                                  {"usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n"},
                                  {"usr/bin/gone", "x", 0755},
                                  {"usr/bin/kept", "x", 0755},
                                  {"usr/bin/data", "x", 0644},
                                  {"opt/tool/bin/tool", "", 0777, "../lib/tool"}}),
                        layer_of({{"var/lib/dpkg/status", dpkg}, {"usr/bin/.wh.gone", ""}}, true)});
  EXPECT_EQ(c.packages.size(), 2U);
  EXPECT_EQ(c.distribution, "debian");
  EXPECT_EQ(c.distribution_version, "12");
  EXPECT_EQ(c.programs, (std::vector<std::string>{"kept", "tool"}));
  EXPECT_EQ(contents_from_json(json::serialize(to_json(c))).value(), c);
}

TEST_F(Publish, WhatAnUpperLayerHidesIsNotThere) {
  auto c = contents_of({layer_of({{"var/lib/dpkg/status", dpkg}, {"usr/bin/a", "x", 0755}, {"bin/b", "x", 0755}}),
                        layer_of({{"var/lib/.wh.dpkg", ""}, {"usr/bin/.wh..wh..opq", ""}, {"usr/bin/c", "x", 0755}})});
  EXPECT_TRUE(c.packages.empty());
  EXPECT_EQ(c.programs, (std::vector<std::string>{"b", "c"}))
      << "an opaque folder hides only what lies below its layer";
}

TEST_F(Publish, ADatabaseThatIsNotReadIsSaid) {
  for (const char* path : {"var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages", "usr/lib/sysimage/rpm/Packages.db"}) {
    auto note = contents_of({layer_of({{path, "x"}})}).note;
    EXPECT_NE(note.find(path), std::string::npos) << note;
  }
}

TEST_F(Publish, AnRpmDatabaseIsReadWithWhatLiesInItsJournalYet) {
  const auto path = folder + "/rpmdb.sqlite";
  auto db = sqlite::Database::open(path, {}).value();
  ASSERT_TRUE(db->execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"));
  for (const char* name : {"zlib", "bash", "gpg-pubkey"}) {
    auto header = header_of({{1000, 6, text(name)}, {1001, 6, text("1.2")}, {1002, 6, text("3")}});
    auto insert = db->prepare("INSERT INTO Packages (blob) VALUES (?)").value();
    ASSERT_TRUE(insert.blob(header).run());
  }
  auto bytes = os::read_file(path, 1 << 20).value(), wal = os::read_file(path + "-wal", 1 << 20).value();
  ASSERT_FALSE(wal.empty()) << "the database is open still";
  auto c = contents_of({layer_of({{"var/lib/rpm/rpmdb.sqlite", bytes}, {"var/lib/rpm/rpmdb.sqlite-wal", wal}})});
  EXPECT_EQ(c.note, "");
  EXPECT_EQ(c.packages, (std::vector<Package>{{"rpm", "bash", "1.2-3", ""}, {"rpm", "zlib", "1.2-3", ""}}));
}

TEST_F(Publish, ADamagedLayerIsAnError) {
  OciLayout layout(folder + "/layout");
  auto whole = layer_of({{"var/lib/dpkg/status", std::string(300'000, 'x')}});
  add_image(layout, {whole.substr(0, whole.size() / 2)});
  auto c = read_contents(layout, "image");
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, ErrorCode::invalid);
}

TEST_F(Publish, TheBillOfMaterialsNamesEveryPackage) {
  Contents c{"debian", "12", {{"deb", "g++", "4:12.2.0-3+b1", "amd64"}}, {}, {}};
  auto text = spdx_document(c, facts, sha256_digest("image"));
  EXPECT_EQ(text, spdx_document(c, facts, sha256_digest("image")));
  auto o = json::parse(text);
  EXPECT_EQ(o.at_pointer("/spdxVersion").as_string(), "SPDX-2.3");
  EXPECT_EQ(o.at_pointer("/creationInfo/created").as_string(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(o.at_pointer("/packages/1/externalRefs/0/referenceLocator").as_string(),
            "pkg:deb/debian/g%2B%2B@4:12.2.0-3%2Bb1?arch=amd64&distro=debian-12");
  EXPECT_EQ(o.at_pointer("/relationships").as_array().size(), 2U);
  c = {"fedora", "40", {{"rpm", "bash", "2:5.1.8-9.el9", "x86_64", "GPLv3+"}}, {}, {}};
  o = json::parse(spdx_document(c, facts, sha256_digest("image")));
  EXPECT_EQ(o.at_pointer("/packages/1/externalRefs/0/referenceLocator").as_string(),
            "pkg:rpm/fedora/bash@5.1.8-9.el9?arch=x86_64&epoch=2&distro=fedora-40");
  EXPECT_EQ(o.at_pointer("/packages/1/licenseComments").as_string(), "The package says: GPLv3+");
  EXPECT_EQ(contents_from_json(json::serialize(to_json(c))).value(), c);
}

TEST_F(Publish, WhatAKeySignedItsPublicHalfProvesAndNoOther) {
  for (const char* kind : {"EC", "ED25519"}) {
    auto path = private_key(kind);
    auto key = Key::load_private(path);
    ASSERT_TRUE(key) << key.error().text();
    auto pub = Key::load_public(public_key(path)).value();
    auto signature = key->sign("some bytes");
    EXPECT_TRUE(pub.verify("some bytes", signature));
    EXPECT_FALSE(pub.verify("other bytes", signature));
    auto envelope = dsse_envelope(*key, "type", "payload");
    EXPECT_EQ(open_dsse_envelope(pub, envelope).value(), "payload");
    ::rename(path.c_str(), (path + ".old").c_str());
    auto other = Key::load_public(public_key(private_key(kind))).value();
    EXPECT_FALSE(other.verify("some bytes", signature));
    EXPECT_FALSE(open_dsse_envelope(other, envelope));
  }
}

TEST_F(Publish, OpensslItselfAcceptsTheSignature) {
  auto path = private_key();
  auto data = file("data", "some bytes");
  auto signature = file("signature", Key::load_private(path)->sign("some bytes"));
  auto done =
      os::run({.argv = {"openssl", "dgst", "-sha256", "-verify", public_key(path), "-signature", signature, data}});
  EXPECT_TRUE(done->ok()) << done->out << done->err;
}

TEST_F(Publish, AKeyThatOthersMayReadIsRefused) {
  auto path = private_key();
  ::chmod(path.c_str(), 0644);
  auto key = Key::load_private(path);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::denied);
  EXPECT_FALSE(Key::load_private(file("garbage", "garbage")));
  EXPECT_FALSE(Key::load_private(folder + "/none"));
}

TEST_F(Publish, WhatIsAttachedStaysTheSameOverRetries) {
  OciLayout image(folder + "/image"), attached(folder + "/attached");
  auto about = add_image(image, {layer_of({{"var/lib/dpkg/status", dpkg}})});
  std::optional<Key> key = Key::load_private(private_key()).value();
  auto c = read_contents(image, "image").value();
  ASSERT_TRUE(seal(attached, about, c, "r.example/general", facts, key));
  auto first = attached.find(signature_name("r.example/general")).value().digest;
  auto index = attached.find(referrers_name).value().digest;
  ASSERT_TRUE(seal(attached, about, c, "r.example/general", facts, key));
  ASSERT_TRUE(seal(attached, about, c, "other.example/general", facts, key));
  EXPECT_EQ(attached.find(signature_name("r.example/general")).value().digest, first) << "ECDSA signatures are random";
  EXPECT_EQ(attached.find(referrers_name).value().digest, index);
  auto listed = json::parse(attached.read(index).value());
  auto manifest = json::parse(attached.read(std::string(listed.at_pointer("/manifests/0/digest").as_string())).value());
  EXPECT_EQ(manifest.at_pointer("/subject/digest").as_string(), about.digest);
  EXPECT_EQ(manifest.at_pointer("/artifactType").as_string(), "application/spdx+json");
}

TEST_F(Publish, WithoutAKeyNothingClaimsToBeSigned) {
  OciLayout image(folder + "/image"), attached(folder + "/attached");
  auto about = add_image(image, {layer_of({})});
  ASSERT_TRUE(seal(attached, about, {}, "r.example/general", facts, std::nullopt));
  EXPECT_TRUE(attached.find(referrers_name));
  EXPECT_FALSE(attached.find(attestations_name));
  EXPECT_FALSE(attached.find(signature_name("r.example/general")));
}

TEST_F(Publish, ALayoutNoticesAChangedFile) {
  OciLayout layout(folder + "/layout");
  ASSERT_TRUE(layout.create());
  auto blob = layout.add("bytes", "t").value();
  std::ofstream(layout.blob_path(blob.digest)) << "other";
  EXPECT_FALSE(layout.read(blob.digest));
  EXPECT_FALSE(layout.find("nothing"));
}

}  // namespace
}  // namespace mayfly::images
