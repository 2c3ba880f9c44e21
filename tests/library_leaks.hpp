// What LeakSanitizer is told to let pass, in any program that includes it.
#pragma once

/// hwloc 2.9 loses the object that it was reading when an XML file ends its description too early.
extern "C" [[gnu::used]] inline const char* __lsan_default_suppressions() { return "leak:libhwloc.so\n"; }
