// README.md here ends with every recorded figure beside ours. After a wanted change: SHARDSIM_UPDATE_README=1, look at
// the difference, and say in the commit what moved and by how much.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>

#include "readme.hpp"
#include "recording.hpp"

using namespace shardsim;

namespace {

const std::string marker = "<!-- what follows is written by test_oracle -->\n";

struct Kind {
  std::string title;
  std::function<std::vector<oracle::Row>()> rows;
};

const std::vector<Kind> kinds{
    {"Tensors saved for backward", oracle::saved_tensors},
    {"Training steps", oracle::training},
    {"FSDP1, and offload", oracle::two_sides},
    {"Optimizer states", oracle::optimizers},
    {"Quantized weights", oracle::quantized},
    {"DDP's buckets", oracle::ddp},
    {"accelerate's placement", oracle::device_map},
    {"ZeRO", oracle::zero},
    {"PyTorch's caching allocator", oracle::allocator},
    {"Parameters, buffers and adapters", oracle::counts},
};

/// One line a case: its figures, ours where equal, else both; and how far the worst of them is off.
std::string table(const std::vector<oracle::Row>& rows) {
  std::string text =
      "| case | figures in bytes: ours, and theirs where it differs | largest difference |\n|---|---|---|\n";
  for (auto row = rows.begin(); row != rows.end();) {
    const auto end = std::find_if(row, rows.end(), [&](const oracle::Row& other) { return other.name != row->name; });
    std::string figures, cause;
    double worst = 0;
    const std::string name = row->name;
    for (; row != end; ++row) {
      figures += fmt::format("{}{} {}", figures.empty() ? "" : ", ", row->figure, row->ours);
      if (row->ours != row->theirs) figures += fmt::format(" (theirs {})", row->theirs);
      if (std::abs(row->difference()) > std::abs(worst)) {
        worst = row->difference();
        cause = row->cause;
      }
    }
    const std::string difference = worst == 0 ? "equal" : fmt::format("{:+.3f} %", 100 * worst);
    text += fmt::format("| {} | {} | {}{} |\n", name, figures, difference, cause.empty() ? "" : ": " + cause);
  }
  return text;
}

auto count_equal(const std::vector<oracle::Row>& rows) {
  return std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row.ours == row.theirs; });
}

/// For the project's README: a kind a line.
std::string summary() {
  std::string text =
      "| recorded from the real libraries | figures | equal to the byte | largest difference |\n"
      "| :--- | ---: | ---: | ---: |\n";
  for (const Kind& kind : kinds) {
    const std::vector<oracle::Row> rows = kind.rows();
    double worst = 0;
    for (const oracle::Row& row : rows) worst = std::max(worst, std::abs(row.difference()));
    text += fmt::format("| {} | {} | {} | {} |\n", kind.title, rows.size(), count_equal(rows),
                        worst == 0 ? "none" : fmt::format("{:.2f} %", 100 * worst));
  }
  return text;
}

std::string tables() {
  std::string text;
  for (const Kind& kind : kinds) {
    const std::vector<oracle::Row> rows = kind.rows();
    const auto equal = count_equal(rows);
    text += fmt::format("\n### {}\n\n{} of {} figures are equal.\n\n{}", kind.title, equal, rows.size(), table(rows));
  }
  return text;
}

}  // namespace

TEST_CASE("README.md lists every case, ours and theirs") {
  const std::string path = std::string(SHARDSIM_SOURCE) + "/tests/oracle/README.md";
  std::ifstream file(path);
  REQUIRE(file);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t end = text.find(marker);
  REQUIRE(end != std::string::npos);
  const std::string wanted = text.substr(0, end + marker.size()) + tables();
  if (std::getenv("SHARDSIM_UPDATE_README") != nullptr) {
    std::ofstream(path) << wanted;
    return;
  }
  CHECK((text == wanted));  // in brackets, so that a difference does not print all of it
}

TEST_CASE("The project's README.md says how many figures are equal") {
  check_readme(SHARDSIM_SOURCE "/README.md", "oracle", summary());
}
