// What 16 384 GPUs cost over 8: one whole answer each, dense and mixture of experts, and the most memory that it took.
#include <sys/resource.h>

#include <cstdio>
#include <string>

#include "sim/report/make_report.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/simulate.hpp"
#include "tests/bench/stopwatch.hpp"

using namespace shardsim;

namespace {

double milliseconds(const std::string& topology, const std::string& strategy, const std::string& model) {
  const DataFolders data{std::string(SHARDSIM_SOURCE) + "/model/zoo", std::string(SHARDSIM_SOURCE) + "/topologies"};
  const Request request =
      parse_request({"--topology", topology, "--strategy", strategy, "--model", model, "--checkpointing", "full"});
  return bench::median_ns([&] { render_json(simulate(request, data)); }) / 1e6;
}

}  // namespace

int main() {
  std::printf("%-16s %-10s %10s %10s %6s\n", "model", "strategy", "8: ms", "16384: ms", "ratio");
  for (const char* model : {"llama-2-7b", "llama-3-70b", "llama-3.1-405b", "mixtral-8x7b"}) {
    for (const char* strategy : {"hsdp", "fsdp", "zero3"}) {
      const double few = milliseconds("2x4xH100", strategy, model);
      const double many = milliseconds("2048x8xH100", strategy, model);
      std::printf("%-16s %-10s %10.2f %10.2f %6.2f\n", model, strategy, few, many, many / few);
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("most memory: %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
}
