#include "os/http1.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

struct Fed {
  Http1Answer answer;
  std::string body;
  Result<void> result;
};

// Fed in pieces of `step` bytes: where reads end must not matter.
Fed feed(std::string_view bytes, std::size_t step) {
  Fed f;
  for (std::size_t at = 0; at < bytes.size() && f.result; at += step)
    f.result = f.answer.feed(bytes.substr(at, step), [&](std::string_view part) { return f.body += part, true; });
  return f;
}

TEST(Http1, ReadsAnswersHoweverTheyArrive) {
  struct Case {
    const char* bytes;
    int status;
    const char* body;
    bool reusable;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello", 200, "hello", true},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: "
       "1\r\n\r\n",
       200, "abc0123456789", true},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", 201,
       "{}", false},
      {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
      {"HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\nx", 404, "x", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxjunk", 200, "x", false},
  };
  for (const auto& c : cases)
    for (std::size_t step : {1u, 2u, 7u, 1000u}) {
      auto f = feed(c.bytes, step);
      ASSERT_TRUE(f.result) << c.bytes << f.result.error().text();
      EXPECT_TRUE(f.answer.done()) << c.bytes << step;
      EXPECT_EQ(f.answer.status, c.status);
      EXPECT_EQ(f.body, c.body) << step;
      EXPECT_EQ(f.answer.reusable(), c.reusable) << c.bytes << step;
    }
}

TEST(Http1, AnswerWithoutLengthEndsWithTheConnection) {
  auto f = feed("HTTP/1.1 200 OK\r\n\r\nabc", 1);
  EXPECT_FALSE(f.answer.done());
  EXPECT_TRUE(f.answer.end_of_stream());
  EXPECT_TRUE(f.answer.done());
  EXPECT_FALSE(f.answer.reusable());
}

TEST(Http1, TellsACutAnswerFromAWholeOne) {
  for (const char* bytes : {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"})
    EXPECT_FALSE(feed(bytes, 3).answer.end_of_stream()) << bytes;
}

TEST(Http1, RefusesWhatIsNotHttp) {
  for (const char* bytes :
       {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"})
    for (std::size_t step : {1u, 1000u}) EXPECT_FALSE(feed(bytes, step).result) << bytes;
  EXPECT_FALSE(feed(std::string(100 << 10, 'a'), 1000).result) << "a head without an end must not fill the memory";
}

TEST(Http1, StopsWhenTheBodyIsNotWanted) {
  Http1Answer a;
  ASSERT_TRUE(a.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [](std::string_view) { return false; }));
  EXPECT_TRUE(a.stopped());
}

}  // namespace
}  // namespace mayfly
