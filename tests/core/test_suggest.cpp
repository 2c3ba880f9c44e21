// The name that a person meant stands first.
#include <string>
#include <vector>

#include "catch.hpp"
#include "model/core/error.hpp"
#include "model/core/suggest.hpp"

using namespace shardsim;

namespace {

const std::vector<std::string> devices = {"A100-PCIE-40GB", "A100-SXM4-40GB", "A100-SXM4-80GB", "H100-PCIE-80GB",
                                          "H100-SXM5-80GB", "RTX-4090",       "V100-SXM2-32GB"};

std::string nearest(const std::string& name, const std::vector<std::string>& known) {
  return nearest_names(name, known, 1).at(0);
}

std::string refusal(const std::string& name, const std::vector<std::string>& known) {
  try {
    throw_unknown_name("device", name, "--gpu", known);
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("case and punctuation do not make a name") {
  CHECK(normalized_name("A100-SXM4-80GB") == "a100sxm480gb");
  CHECK(normalized_name("a100 sxm4 80gb") == "a100sxm480gb");
  CHECK(normalized_name("p4d.24xlarge") == "p4d24xlarge");
  CHECK(normalized_name("\xc3\xa9-_. ").empty());
}

TEST_CASE("the nearest name comes first") {
  CHECK(nearest("A100-SMX4-80GB", devices) == "A100-SXM4-80GB");  // neighbours swapped
  CHECK(nearest("rtx4080", devices) == "RTX-4090");
  CHECK(nearest("H100-SXM5-80G", devices) == "H100-SXM5-80GB");
  CHECK(nearest("H100", devices).substr(0, 4) == "H100");  // a prefix, far as edits go
  CHECK(nearest("zero3offload", {"ddp", "zero2-offload", "zero3", "zero3-offload"}) == "zero3-offload");
  CHECK(nearest("fdsp", {"ddp", "fsdp", "single", "zero1"}) == "fsdp");
}

TEST_CASE("no more names than asked for, none from an empty list, any input bounded") {
  CHECK(nearest_names("A100", devices, 2).size() == 2);
  CHECK(nearest_names("A100", devices).size() == 3);
  CHECK(nearest_names("A100", devices, 100).size() == devices.size());
  CHECK(nearest_names("A100", {}).empty());
  CHECK(nearest_names("", devices).size() == 3);
  CHECK(nearest_names(std::string(1'000'000, 'x'), devices).size() == 3);
  const std::vector<std::string> reversed(devices.rbegin(), devices.rend());
  CHECK(nearest_names("q", devices) == nearest_names("q", reversed));
}

TEST_CASE("an unknown name is refused with the near ones") {
  CHECK(refusal("RTX-4091", {"RTX-3090", "RTX-4090"}) ==
        "unknown device 'RTX-4091' (--gpu); expected RTX-4090 or RTX-3090");
  CHECK(refusal("A100-SMX4-80GB", devices) ==
        "unknown device 'A100-SMX4-80GB' (--gpu); expected a known name such as A100-SXM4-80GB, A100-SXM4-40GB or "
        "H100-SXM5-80GB");
  CHECK(refusal("x", {}) == "unknown device 'x' (--gpu)");
}
