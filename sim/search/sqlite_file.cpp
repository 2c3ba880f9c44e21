// Results as a table `points`, a column an axis and a figure, with an index on each axis.
#include <fmt/format.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "model/core/error.hpp"
#include "sim/search/figures.hpp"
#include "sim/search/result_file.hpp"

namespace shardsim {

namespace {

namespace fs = std::filesystem;

std::string quoted_name(const std::string& name) { return "\"" + name + "\""; }

class SqliteFile : public ResultFile {
 public:
  SqliteFile(fs::path file, const DesignSpace& space) : path_(std::move(file)) {
    fs::remove(unfinished(path_));
    if (sqlite3_open(unfinished(path_).c_str(), &database_) != SQLITE_OK) fail();
    std::string columns = "\"index\" INTEGER PRIMARY KEY";
    for (const Axis& axis : space.axes) {
      axes_.push_back(axis.option);
      columns += ", " + quoted_name(axis.option) + (axis.is_whole ? " INTEGER" : " TEXT");
    }
    columns += ", status TEXT, fits INTEGER";
    for (const NamedFigure& figure : named_figures({})) {
      columns += fmt::format(", {} {}", figure.name, figure.whole ? "INTEGER" : "REAL");
      figures_.emplace_back(figure.name);
    }
    columns += ", bottleneck TEXT, message TEXT";
    // A crash costs this file only: the journals have everything.
    execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE points(" + columns + "); BEGIN");
    std::string marks = "?";
    for (std::size_t i = 0; i < axes_.size() + figures_.size() + 4; ++i) marks += ", ?";
    const std::string insert = "INSERT INTO points VALUES (" + marks + ")";
    if (sqlite3_prepare_v2(database_, insert.c_str(), -1, &insert_, nullptr) != SQLITE_OK) fail();
  }

  ~SqliteFile() override { close(); }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  void add(const std::string&, const nlohmann::json& point) override {
    int column = 0;
    bind(++column, point, "index");
    for (const std::string& axis : axes_) bind(++column, point["axes"], axis);
    bind(++column, point, "status");
    bind(++column, point, "fits");
    for (const std::string& figure : figures_) bind(++column, point, figure);
    bind(++column, point, "bottleneck");
    bind(++column, point, "message");
    if (sqlite3_step(insert_) != SQLITE_DONE) fail();
    sqlite3_reset(insert_);
  }

  void finish() override {
    for (const std::string& axis : axes_) {
      execute("CREATE INDEX " + quoted_name("by " + axis) + " ON points(" + quoted_name(axis) + ")");
    }
    execute("COMMIT");
    close();
    fs::rename(unfinished(path_), path_);
  }

 private:
  void execute(const std::string& sql) {
    if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail();
  }

  void bind(int column, const nlohmann::json& object, const std::string& key) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) {
      sqlite3_bind_null(insert_, column);
    } else if (value->is_string()) {
      const auto& text = value->get_ref<const std::string&>();
      sqlite3_bind_text(insert_, column, text.c_str(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    } else if (value->is_number_float()) {
      sqlite3_bind_double(insert_, column, value->get<double>());
    } else {
      sqlite3_bind_int64(insert_, column, value->is_boolean() ? value->get<bool>() : value->get<std::int64_t>());
    }
  }

  void close() {
    sqlite3_finalize(insert_);
    sqlite3_close(database_);
    insert_ = nullptr;
    database_ = nullptr;
  }

  [[noreturn]] void fail() {
    const std::string reason = sqlite3_errmsg(database_);
    close();
    std::error_code ignored;
    fs::remove(unfinished(path_), ignored);
    throw InputError("cannot write the results: " + reason, path_.string(),
                     "a writable place with room; then run the same command again, and nothing that is done is lost");
  }

  fs::path path_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::vector<std::string> axes_;
  std::vector<std::string> figures_;
};

}  // namespace

std::unique_ptr<ResultFile> make_sqlite_file(const fs::path& file, const DesignSpace& space) {
  return std::make_unique<SqliteFile>(file, space);
}

}  // namespace shardsim
