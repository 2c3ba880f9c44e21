#include "sim/search/result_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "sim/report/csv_field.hpp"
#include "sim/search/figures.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

class TextFile : public ResultFile {
 public:
  explicit TextFile(const fs::path& file) : file_(file) {}
  void finish() override { file_.finish(); }

 protected:
  void write(const std::string& text) { file_.write(text); }

 private:
  WholeFile file_;
};

class JsonLines : public TextFile {
 public:
  using TextFile::TextFile;
  void add(const std::string& line, const nlohmann::json&) override { write(line); }
};

class Csv : public TextFile {
 public:
  Csv(const fs::path& file, const DesignSpace& space) : TextFile(file) {
    std::string header = "index";
    for (const Axis& axis : space.axes) axes_.push_back(axis.option), header += "," + axis.option;
    header += ",status,fits";
    for (const NamedFigure& figure : named_figures({})) header += "," + std::string(figure.name);
    write(header + ",bottleneck,message\n");
  }
  void add(const std::string&, const nlohmann::json& point) override {
    std::string row = point["index"].dump();
    for (const std::string& axis : axes_) row += "," + cell(point["axes"], axis);
    row += "," + cell(point, "status") + "," + cell(point, "fits");
    for (const NamedFigure& figure : named_figures({})) row += "," + cell(point, std::string(figure.name));
    write(row + "," + cell(point, "bottleneck") + "," + cell(point, "message") + "\n");
  }

 private:
  static std::string cell(const nlohmann::json& object, const std::string& key) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) return "";
    if (!value->is_string()) return value->dump();
    return csv_field(value->get_ref<const std::string&>());
  }

  std::vector<std::string> axes_;
};

}  // namespace

fs::path unfinished(const fs::path& file) { return file.string() + ".unfinished"; }

WholeFile::WholeFile(fs::path file) : path_(std::move(file)) {
  file_ = ::open(unfinished(path_).c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
  if (file_ < 0) fail();
}

WholeFile::~WholeFile() {
  if (file_ >= 0) ::close(file_);
}

void WholeFile::write(const std::string& text) {
  constexpr std::size_t enough = 1 << 20;
  buffer_ += text;
  if (buffer_.size() >= enough) flush();
}

void WholeFile::finish() {
  flush();
  if (::fsync(file_) != 0 || ::close(file_) != 0) fail();
  file_ = -1;
  if (::rename(unfinished(path_).c_str(), path_.c_str()) != 0) fail();
}

void WholeFile::flush() {
  const char* next = buffer_.data();
  for (std::size_t left = buffer_.size(); left > 0;) {
    const ssize_t written = ::write(file_, next, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail();
    next += written;
    left -= static_cast<std::size_t>(written);
  }
  buffer_.clear();
}

void WholeFile::fail() {
  const int reason = errno;
  ::unlink(unfinished(path_).c_str());
  throw InputError(fmt::format("cannot write the results: {}", std::strerror(reason)), path_.string(),
                   "a writable place with room; then run the same command again, and nothing that is done is lost");
}

ResultFormat result_format_of(const fs::path& file) {
  if (file.extension() == ".csv") return ResultFormat::csv;
  if (file.extension() == ".sqlite") return ResultFormat::sqlite;
  if (file.extension() == ".html") return ResultFormat::html;
  return ResultFormat::json_lines;
}

std::unique_ptr<ResultFile> make_result_file(const fs::path& file, ResultFormat format, const SweepSpec& spec,
                                             const std::string& command) {
  switch (format) {
    case ResultFormat::csv:
      return std::make_unique<Csv>(file, spec.space);
    case ResultFormat::sqlite:
      return make_sqlite_file(file, spec.space);
    case ResultFormat::html:
      return make_html_file(file, spec, command);
    case ResultFormat::json_lines:
      break;
  }
  return std::make_unique<JsonLines>(file);
}

}  // namespace shardsim
