#include "sim/report/gzip.hpp"

#include <zlib.h>

#include "model/core/check.hpp"

namespace shardsim {

std::string gzipped(std::string_view text) {
  constexpr int gzip_format = 15 + 16;  // the largest window, and gzip's header in place of zlib's
  constexpr int memory_level = 8;       // zlib's default
  z_stream stream{};
  const int begun =
      deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_format, memory_level, Z_DEFAULT_STRATEGY);
  SHARDSIM_CHECK(begun == Z_OK, "zlib has memory");
  std::string out;
  constexpr std::size_t piece = 1 << 20;
  do {
    const std::string_view now = text.substr(0, piece);
    text.remove_prefix(now.size());
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(now.data()));
    stream.avail_in = static_cast<uInt>(now.size());
    do {
      const std::size_t size = out.size();
      out.resize(size + piece);
      stream.next_out = reinterpret_cast<Bytef*>(out.data() + size);
      stream.avail_out = static_cast<uInt>(piece);
      deflate(&stream, text.empty() ? Z_FINISH : Z_NO_FLUSH);
      out.resize(out.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  } while (!text.empty());
  deflateEnd(&stream);
  return out;
}

}  // namespace shardsim
