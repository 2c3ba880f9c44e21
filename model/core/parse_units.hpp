// Numbers as people write them: "80 GiB", "450 GB/s", "400 Gb/s", "1.2 us", "312 TFLOPS", "4k", "5e8".
#pragma once

#include <cstdint>
#include <string_view>

#include "model/core/units.hpp"

namespace shardsim {

/// Every parser takes the text and where it stands (file and key, or option), throws InputError with
/// both when the text is malformed, negative, not finite or out of range, and requires a unit where one exists.
/// Powers of ten: kB MB GB TB PB; powers of two: KiB MiB GiB TiB PiB; a bare number is refused.
Bytes parse_bytes(std::string_view text, std::string_view where);
/// "450 GB/s" (bytes), "400 Gb/s" or "400 Gbps" (bits), "600 GiB/s".
Bandwidth parse_bandwidth(std::string_view text, std::string_view where);
/// "ns", "us", "ms", "s".
Time parse_time(std::string_view text, std::string_view where);
/// "312 TFLOPS", "989 TFLOP/s", "1.2 PFLOPS".
FlopRate parse_flop_rate(std::string_view text, std::string_view where);
/// A count of things: "4096", "1.5e9", "5e8", "300M", "1B", "2T" (powers of ten); must come out whole.
std::int64_t parse_count(std::string_view text, std::string_view where);
/// A sequence length: as a count, but "4k" means 4096, as people mean it when they say "4k context".
std::int64_t parse_length(std::string_view text, std::string_view where);

}  // namespace shardsim
