// RFC 4180, and what of it is not kept.
#include "sim/validation/csv.hpp"
#include "catch.hpp"
#include "model/core/error.hpp"
#include "sim/report/csv_field.hpp"

using namespace shardsim;

namespace {

std::vector<std::vector<std::string>> fields(std::string_view text) {
  std::vector<std::vector<std::string>> rows;
  for (CsvRow& row : parse_csv(text, "x.csv")) rows.push_back(std::move(row.fields));
  return rows;
}

using Rows = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("fields, quotes and line ends") {
  CHECK(fields("a,b\n1,2\n") == Rows{{"a", "b"}, {"1", "2"}});
  CHECK(fields("a,b\r\n1,") == Rows{{"a", "b"}, {"1", ""}});
  CHECK(fields("\xEF\xBB\xBFid\nx") == Rows{{"id"}, {"x"}});
  CHECK(fields("\"a,\"\"b\"\"\",\"c\nd\"\n") == Rows{{"a,\"b\"", "c\nd"}});
  CHECK(fields("a\n\n\nb") == Rows{{"a"}, {"b"}});
  CHECK(fields(",\n") == Rows{{"", ""}});
  CHECK(fields("").empty());
}

TEST_CASE("rows know the line that they begin in") {
  const std::vector<CsvRow> rows = parse_csv("a\n\"b\nc\"\n\nd\n", "x.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].line == 2);
  CHECK(rows[2].line == 5);
}

TEST_CASE("broken quotes are refused with their line") {
  CHECK_THROWS_WITH(parse_csv("a\nb\"c\n", "x.csv"),
                    "a quote inside a field (x.csv:2); expected quotes around the whole field");
  CHECK_THROWS_WITH(parse_csv("a\n\"b\nc\n", "x.csv"), "a quote is never closed (x.csv:2); expected a closing \"");
  CHECK_THROWS_AS(parse_csv("\"a\"b\n", "x.csv"), InputError);
}

TEST_CASE("what is written reads back") {
  for (const std::string text : {"plain", "a,b", "say \"so\"", "two\nlines", ""}) {
    CHECK(fields(csv_field(text) + ",x") == Rows{{text, "x"}});
  }
}
