// Somebody with a shell changes the ledger behind Mayfly's back: each way of it is found.
#include <fmt/format.h>

#include "store/sqlite/scratch.h"
#include "tests/contract/store_samples.h"

namespace mayfly {
namespace {

constexpr const char* drop_triggers =
    "DROP TRIGGER ledger_no_change; DROP TRIGGER ledger_no_removal; DROP TRIGGER ledger_no_replacement;";

class Tampering : public testing::Test {
 protected:
  Tampering() {
    auto store = open_store(scratch_.database());
    for (int i = 1; i <= 10; ++i)
      EXPECT_TRUE(store->commit({.ledger = {contract::make_entry(fmt::format("job/{}", i))}}));
  }
  // Where verify_ledger() says the chain is broken after `sql`; empty if it says nothing.
  std::string found_after(const std::string& sql) {
    raw_sql(scratch_.database(), std::string(drop_triggers) + sql);
    return found();
  }
  std::string found() {
    auto check = open_store(scratch_.database())->verify_ledger();
    return check ? "" : check.error().where;
  }
  void go_on() {
    auto done = open_store(scratch_.database())->commit({.ledger = {contract::make_entry("later")}});
    EXPECT_TRUE(done) << "evidence of tampering must not stop the daemon: " << done.error().text();
  }
  Scratch scratch_;
};

TEST_F(Tampering, NothingFoundWhereNothingWasDone) { EXPECT_EQ(found_after(""), ""); }
TEST_F(Tampering, AChangedDetail) {
  EXPECT_EQ(found_after("UPDATE ledger SET detail = '{}' WHERE seq = 4;"), "ledger entry 4");
}
TEST_F(Tampering, AChangedTime) {
  EXPECT_EQ(found_after("UPDATE ledger SET at = at + 1 WHERE seq = 1;"), "ledger entry 1");
}
TEST_F(Tampering, AChangedHash) {
  EXPECT_EQ(found_after("UPDATE ledger SET hash = zeroblob(32) WHERE seq = 10;"), "ledger entry 10");
}
TEST_F(Tampering, ADroppedEntry) { EXPECT_EQ(found_after("DELETE FROM ledger WHERE seq = 5;"), "ledger entry 6"); }
TEST_F(Tampering, ADroppedFirstEntry) { EXPECT_EQ(found_after("DELETE FROM ledger WHERE seq = 1;"), "ledger entry 2"); }
TEST_F(Tampering, ADroppedEntryWithTheRestMovedUp) {
  EXPECT_EQ(found_after("DELETE FROM ledger WHERE seq = 5; UPDATE ledger SET seq = seq - 1 WHERE seq > 5;"),
            "ledger entry 5");
}
TEST_F(Tampering, ReorderedEntries) {
  EXPECT_EQ(found_after("UPDATE ledger SET seq = 99 WHERE seq = 3; UPDATE ledger SET seq = 3 WHERE seq = 4; UPDATE "
                        "ledger SET seq = 4 WHERE seq = 99;"),
            "ledger entry 3");
}
TEST_F(Tampering, AllDropped) { EXPECT_EQ(found_after("DELETE FROM ledger;"), "ledger entry 1"); }

TEST_F(Tampering, ADroppedTailIsFoundThenAndForEver) {
  EXPECT_EQ(found_after("DELETE FROM ledger WHERE seq > 7;"), "ledger entry 8");
  go_on();
  EXPECT_EQ(found(), "ledger entry 11");  // follows entry 10, which is missing
}

TEST_F(Tampering, AForgedEntryAtTheEnd) {
  LedgerEntry last = open_store(scratch_.database())->ledger(10, 1, {})->front();
  LedgerEntry forged{
      .seq = 11, .at = {}, .kind = "k", .subject = "s", .detail = "{}", .previous = last.hash, .hash = {}};
  forged.hash = ledger_hash(forged);  // a link that is right in itself
  EXPECT_EQ(found_after(fmt::format("INSERT INTO ledger VALUES (11, 0, 'k', 's', '{{}}', x'{}', x'{}');",
                                    forged.previous, forged.hash)),
            "ledger entry 11");
  go_on();
  EXPECT_NE(found(), "");
}

TEST_F(Tampering, TheTriggersStopMistakes) {
  auto database = sqlite::Database::open(scratch_.database(), {.application_id = sqlite_application_id});
  ASSERT_TRUE(database);
  for (const char* sql : {"UPDATE ledger SET detail = '' WHERE seq = 2", "DELETE FROM ledger WHERE seq = 2",
                          "REPLACE INTO ledger VALUES (2, 0, 'k', 's', '', x'00', x'00')"}) {
    auto done = (*database)->execute(sql);
    ASSERT_FALSE(done) << sql;
    EXPECT_NE(done.error().what.find("append-only"), std::string::npos) << done.error().text();
  }
  EXPECT_EQ(found(), "");
}

}  // namespace
}  // namespace mayfly
