// Offers: simulated, ranked, priced from dated files, and honest where there is no price.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../plan/scenario.hpp"
#include "catch.hpp"
#include "request/contains.hpp"
#include "request/refusal.hpp"
#include "sim/request/parse_request.hpp"
#include "sim/search/advise.hpp"
#include "sim/search/procurement.hpp"

using namespace shardsim;

namespace {

PriceList shipped_prices() {
  PriceList prices;
  prices.read(test::data().topologies / "prices.yaml");
  return prices;
}

const ForEach one_by_one = [](std::size_t count, const std::function<void(std::size_t)>& work) {
  for (std::size_t i = 0; i < count; ++i) work(i);
};

std::vector<Offer> offers(const std::vector<std::string>& job, const std::vector<std::string>& systems,
                          const Constraints& constraints = {}) {
  return find_offers(read_options(job), {{}}, systems, constraints, shipped_prices(), test::data(), one_by_one);
}

const std::vector<std::string> small_job{"--model", "gpt2", "--seq-len", "512", "--tokens", "1B"};

class PriceFile {
 public:
  explicit PriceFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / ("shardsim-prices-" + std::to_string(::getpid()) + ".yaml")) {
    std::ofstream(path_) << text;
  }
  ~PriceFile() { std::filesystem::remove(path_); }
  PriceFile(const PriceFile&) = delete;
  PriceFile& operator=(const PriceFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("Each offer is what simulate says, and its hours and money follow") {
  const std::vector<Offer> found = offers(small_job, {"p4d.24xlarge", "desktop-rtx-4090", "mi300x-8x"});
  REQUIRE(found.size() == 3);
  for (const Offer& offer : found) {
    INFO(offer.system);
    const Report report = simulate(resolve_request(offer.options), test::data());
    CHECK(report.fits == offer.fits());
    REQUIRE(report.run);
    CHECK(report.run->hours == offer.hours);
    CHECK(offer.power_assumed == (offer.system != "desktop-rtx-4090"));
    CHECK(offer.energy_kWh == Approx(report.run->energy_kWh));
    if (offer.rent_usd)
      CHECK(*offer.rent_usd == Approx(offer.hours * *offer.price.rent_per_hour * static_cast<double>(offer.nodes)));
    if (offer.price.rent_per_hour) CHECK_FALSE(offer.price.rent_source.empty());
    if (offer.buy_usd) {
      CHECK(*offer.own_usd == Approx(*offer.buy_usd * offer.hours / (3 * 8760) + 0.12 * offer.energy_kWh));
      CHECK_FALSE(offer.price.buy_source.empty());
    }
  }
}

TEST_CASE("Each checkpointing policy has a micro-batch of its own: the offer is the fastest of what fits") {
  const std::vector<std::string> job{"--model", "llama-2-7b", "--strategy", "zero3", "--tokens", "1B"};
  const std::vector<Offer> found = offers(job, {"dgx-a100"});
  REQUIRE(found.size() == 1);
  Evaluator evaluator(test::data());
  for (const char* policy : {"full", "selective", "none"}) {
    for (const char* micro_batch : {"1", "2", "4", "8"}) {
      INFO(policy << ", micro-batch " << micro_batch);
      std::vector<std::string> words = job;
      words.insert(words.end(), {"--topology", "dgx-a100", "--checkpointing", policy, "--micro-batch", micro_batch});
      const PointResult other = evaluator.evaluate(read_options(words));
      if (other.status == PointStatus::fits) CHECK(found[0].hours < 1.02 * *other.figures.run_hours);
    }
  }
}

TEST_CASE("What breaks a constraint stands below and says which") {
  Constraints constraints;
  constraints.watts = 1000;
  const std::vector<Offer> found = offers(small_job, {"dgx-h100", "desktop-rtx-4090"}, constraints);
  CHECK(found[0].system == "desktop-rtx-4090");
  CHECK(found[0].misses.empty());
  CHECK(found[1].misses == std::vector<std::string>{"power"});
}

TEST_CASE("What the runtimes refuse stands below what only lacks memory") {
  const auto found =
      offers({"--model", "llama-3-70b", "--strategy", "single", "--tokens", "1M"}, {"dgx-a100", "1xA100"});
  REQUIRE(found.size() == 2);
  CHECK(found[0].result.status == PointStatus::does_not_fit);
  CHECK(found[1].result.status == PointStatus::refused);
}

TEST_CASE("A rack holds what its height lets in, and a machine of unknown height says so") {
  Constraints constraints;
  constraints.rack_units = 6;
  const std::vector<Offer> found = offers(small_job, {"dgx-h100", "dgx-a100", "p4d.24xlarge"}, constraints);
  for (const Offer& offer : found) {
    INFO(offer.system);
    if (offer.system == "dgx-a100") CHECK(offer.misses.empty());
    if (offer.system == "dgx-h100") CHECK(offer.misses == std::vector<std::string>{"rack"});
    if (offer.system == "p4d.24xlarge") CHECK(offer.misses == std::vector<std::string>{"rack (height not known)"});
  }
}

TEST_CASE("Two ranks that share the search find what one finds") {
  const std::vector<std::string> systems{"p4d.24xlarge", "dgx-h100", "desktop-rtx-4090"};
  const OptionTexts job = read_options(small_job);
  const std::vector<OptionTexts> recipes{{}, {{"peft", {"lora", "test"}}}};
  const auto search = [&](const Team& team) {
    return find_offers(job, recipes, systems, {}, shipped_prices(), test::data(), one_by_one, team);
  };
  std::string second;
  CHECK(search({1, 2, [&](const std::string& text) { return second = text, std::vector<std::string>{}; }}).empty());
  const std::vector<Offer> shared = search({0, 2, [&](const std::string& text) {
                                              return std::vector<std::string>{text, second};
                                            }});
  const std::vector<Offer> alone = search({});
  REQUIRE(shared.size() == alone.size());
  REQUIRE(alone.size() == 6);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    CHECK(command_line(shared[i].options) == command_line(alone[i].options));
    CHECK(shared[i].hours == alone[i].hours);
    CHECK(shared[i].misses == alone[i].misses);
  }
}

TEST_CASE("A deadline takes more nodes") {
  const std::vector<Offer> alone =
      offers({"--model", "tinyllama-1.1b", "--seq-len", "1024", "--tokens", "1B"}, {"dgx-a100"});
  Constraints constraints;
  constraints.hours = alone[0].hours / 3;
  const std::vector<Offer> hurried =
      offers({"--model", "tinyllama-1.1b", "--seq-len", "1024", "--tokens", "1B"}, {"dgx-a100"}, constraints);
  CHECK(hurried[0].nodes >= 4);
  CHECK(hurried[0].hours < alone[0].hours);
}

TEST_CASE("Nobody beats the front in both") {
  const std::vector<Offer> found = offers(small_job, {"p4d.24xlarge", "dgx-h100", "p5.48xlarge", "dgx-a100"});
  const Constraints constraints;
  const auto front = best_offers(found, constraints);
  REQUIRE_FALSE(front.empty());
  for (const std::size_t i : front) {
    for (const Offer& other : found) {
      CHECK_FALSE((other.cost(constraints) < found[i].cost(constraints) && other.hours < found[i].hours));
    }
  }
}

TEST_CASE("Machines can be asked for by device, and kept out") {
  Constraints constraints;
  constraints.devices = {"4090"};
  const std::vector<Offer> found = offers(small_job, {"dgx-h100", "desktop-rtx-4090"}, constraints);
  REQUIRE(found.size() == 1);
  CHECK(found[0].gpu == "RTX-4090");
}

TEST_CASE("Prices say where they are from, later files win, and none is guessed") {
  PriceList prices = shipped_prices();
  const auto node = [](const char* name) { return load_topology(name, {}, test::data().topologies); };
  CHECK_THAT(prices.of("dgx-h100", node("dgx-h100")).buy_source, Contains("2024-07"));
  CHECK_THAT(prices.of("p4d.24xlarge", node("p4d.24xlarge")).rent_source, Contains("2026-11"));
  CHECK_THAT(prices.of("rtx-4090-8x", node("rtx-4090-8x")).buy_source, Contains("GPUs alone"));
  CHECK_FALSE(prices.of("mi300x-8x", node("mi300x-8x")).rent_per_hour);
  const PriceFile mine("systems: {mi300x-8x: {rent: 20, rent_source: our contract of 2026}}\n");
  prices.read(mine.path());
  CHECK(prices.of("mi300x-8x", node("mi300x-8x")).rent_per_hour == 20);
  const auto fault = [](const std::string& text) { return refusal([&] { PriceList().read(PriceFile(text).path()); }); };
  CHECK_THAT(fault("systems: {dgx-h100: {rent: 20}}"), Contains("where it is from"));
  CHECK_THAT(fault("systems: {dgx-h100: {rent: -1, rent_source: x}}"), Contains("no price"));
  CHECK_THAT(fault("systems: {dgx-h100: {hire: 1}}"), Contains("unknown key 'hire'"));
  CHECK_THAT(fault("machines: {}"), Contains("unknown section 'machines'"));
}

TEST_CASE("What if") {
  const std::vector<Offer> found = offers(small_job, {"dgx-a100"});
  Evaluator evaluator(test::data());
  const std::vector<WhatIf> answers = what_ifs(found[0], evaluator);
  REQUIRE(answers.size() >= 3);
  CHECK(answers[0].change == "one more node");
  for (const WhatIf& answer : answers) {
    INFO(answer.change);
    CHECK(answer.status == "fits");
    CHECK(answer.hours <= found[0].hours * 1.001);
  }
}
