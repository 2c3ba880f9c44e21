// Does the echo hold what the result depends on, and nothing else?
#include <algorithm>
#include <set>

#include "catch.hpp"
#include "sim/request/echo.hpp"
#include "sim/request/option_table.hpp"
#include "sim/request/parse_request.hpp"

using namespace shardsim;

TEST_CASE("the echo names every option that can change the result, once") {
  std::vector<std::string> expected = option_names();
  const std::set<std::string> presentation = {"config", "format",  "output",   "trace",   "memory-snapshot",
                                              "quiet",  "verbose", "no-color", "threads", "help"};
  std::erase_if(expected, [&](const std::string& name) { return presentation.contains(name); });
  std::vector<std::string> echoed;
  for (const auto& [name, value] : echo(Request{})) echoed.emplace_back(name);
  std::sort(expected.begin(), expected.end());
  std::sort(echoed.begin(), echoed.end());
  CHECK(echoed == expected);
}

TEST_CASE("what is echoed parses back to the same request") {
  const Request request = parse_request({"--topology", "4xA100", "--strategy", "zero3-offload-param", "--precision",
                                         "fp16-mixed", "--reduce-dtype", "fp32", "--pin-memory", "off", "--seq-len",
                                         "3k", "--host-memory", "1TiB", "--price", "0.1", "--loss", "chunked"});
  std::vector<std::string> again;
  for (const auto& [name, value] : echo(request)) {
    if (std::holds_alternative<std::monostate>(value)) continue;
    const bool size = name == "host-memory" || name == "nvme";
    again.push_back("--" + std::string(name));
    again.push_back(to_text(value) + (size ? "B" : ""));
  }
  CHECK(echo(parse_request(again)) == echo(request));
}
