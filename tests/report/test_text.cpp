// Does the text say first what matters most, in the right units, within the width of a terminal?
#include <fstream>
#include <sstream>

#include "catch.hpp"
#include "report/sample.hpp"
#include "request/contains.hpp"

using namespace shardsim;

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::size_t cells(const std::string& line) {
  std::size_t count = 0;
  for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("the verdict comes first") {
  CHECK(first_line(render_text(sample_report(), false)) == "FITS: 53.0 of 80.0 GiB on each of 2 x A100-SXM4-80GB");
  Report one = sample_report();
  one.devices.pop_back();
  CHECK(first_line(render_text(one, false)) == "FITS: 53.0 of 80.0 GiB on A100-SXM4-80GB");
}

TEST_CASE("what does not fit is said with the resource and the states behind it") {
  const std::string text = render_text(sample_misfit(), false);
  CHECK(first_line(text) == "DOES NOT FIT: needs 90.0 GiB, has 80.0 GiB on each of 2 x A100-SXM4-80GB");
  CHECK_THAT(text, Contains("model states alone: 16.0 B a parameter x 6.74 G = 107.8 GB"));
  CHECK_THAT(text, !Contains("host RAM, has"));

  Report host = sample_report();
  host.fits = false;
  host.hosts[0].fits = false;
  host.hosts[0].peak_bytes = 600 * gibibyte;
  CHECK(first_line(render_text(host, false)) == "DOES NOT FIT: needs 600.0 GiB of host RAM, has 512.0 GiB on the host");

  Report both = sample_misfit();
  both.hosts = host.hosts;
  both.hosts[0].count = 4;
  CHECK_THAT(render_text(both, false), Contains("also needs 600.0 GiB of host RAM, has 512.0 GiB on each of 4 hosts"));
}

TEST_CASE("a near miss does not print two equal numbers") {
  Report report = sample_misfit();
  for (DeviceReport& device : report.devices) device.peak_used_bytes = device.capacity_bytes + (1 << 20);
  CHECK_THAT(first_line(render_text(report, false)), Contains("needs 80.001 GiB, has 80.000 GiB"));
}

TEST_CASE("the device that does not fit is named among unequal ones") {
  Report report = sample_report();
  report.fits = false;
  report.devices[1].name = "RTX-4090";
  report.devices[1].capacity_bytes = 24 * gibibyte;
  report.devices[1].fits = false;
  CHECK(first_line(render_text(report, false)) ==
        "DOES NOT FIT: needs 53.0 GiB, has 24.0 GiB on gpu1 (RTX-4090), the fullest of 2 devices");
}

TEST_CASE("colour is there when asked for, and only then") {
  CHECK_THAT(render_text(sample_report(), true), Contains("\033[1;32mFITS"));
  CHECK_THAT(render_text(sample_misfit(), true), Contains("\033[1;31mDOES NOT FIT"));
  CHECK_THAT(render_text(sample_report(), false), !Contains("\033"));
}

TEST_CASE("verbose adds the largest tensors and the options") {
  Report report = sample_report();
  CHECK_THAT(render_text(report, false), !Contains("largest tensors"));
  report.request.verbosity = 1;
  CHECK_THAT(render_text(report, false), Contains("largest tensors") && Contains("logits") && Contains("grad-accum"));
}

TEST_CASE("lines stay within 100 columns and carry no blanks at their ends") {
  Report report = sample_misfit();
  report.request.verbosity = 1;
  report.assumptions.push_back(std::string(40, 'a') + " " + std::string(50, 'b') + " " + std::string(30, 'c'));
  report.bottleneck.why = "Host memory is read and written by every rank's optimizer at once, " + std::string(60, 'd');
  std::istringstream lines(render_text(report, false));
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(cells(line) <= 100);
    CHECK_FALSE(line.ends_with(' '));
  }
}

TEST_CASE("the whole text is as agreed") {
  std::ifstream golden(SHARDSIM_SOURCE "/tests/report/sample.txt");
  std::ostringstream expected;
  expected << golden.rdbuf();
  CHECK(render_text(sample_report(), false) == expected.str());
}
