#define CATCH_CONFIG_MAIN
#include "catch.hpp"
#include "library_leaks.hpp"
