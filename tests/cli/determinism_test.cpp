// The same answer from any number of threads and ranks. Compilers and optimization levels: tests/golden/signature.sh.
#include "catch.hpp"
#include "cli/program.hpp"

namespace {

void check_same(const std::string& arguments, bool on_ranks) {
  const Run one = run(arguments + " --threads 1 -q");
  INFO(arguments << "\n" << one.err);
  CHECK((one.status == 0 || one.status == 1));
  REQUIRE_FALSE(one.out.empty());
  CHECK(run(arguments + " --threads 3 -q").out == one.out);
  if (!on_ranks || !has_mpirun()) return;
  for (const char* ranks : {"2", "3"}) CHECK(run(arguments + " --threads 1 -q", mpirun + ranks).out == one.out);
}

}  // namespace

TEST_CASE("Threads and ranks do not show in a plan, threads not in a validation, advice or report") {
  const std::string plan = "plan --model gpt2 --tokens 10M --seq-len 512 --systems dgx-a100,4xA100,2xRTX-4090,l40s-4x";
  check_same(plan + " --format json", true);
  const std::string file = scratch().file("measured.csv");
  std::ofstream(file) << "id,source,trust,topology,strategy,model,seq-len,micro-batch,measured_step_time_s\n"
                         "a,here,high,2xA100,ddp,gpt2,512,1,0.05\nb,here,high,2xA100,zero3,gpt2,512,2,0.07\n"
                         "c,there,low,1xRTX-4090,single,gpt2,256,4,0.1\nd,there,low,4xA100,fsdp,gpt2,1024,1,0.1\n";
  check_same("validate '" + file + "' --format json", false);
  check_same("advise --topology 2xRTX-4090 --strategy ddp --model llama-2-7b --seq-len 512 --format json", false);
  check_same("--topology 2x8xH100 --strategy hsdp --model gpt2 --seq-len 512 --format json", false);
}
