# Precompiled headers of libraries, never of ours: most of a file's compile time
# is reading gRPC, ATen or GoogleMock. One set for each kind of target:
#
#   core        the standard library and Abseil
#   grpc        core, gRPC and the wire contract
#   torch       core and ATen
#   tests       core and GoogleTest
#   grpc_tests  grpc and GoogleTest
#
# zeroshot_precompiled(TARGET SET) lets a target start from one. Sources still
# include what they use: tests/rules holds it, and the dev preset builds without.
option(ZEROSHOT_PCH "Precompile the headers of libraries" ON)

# Clang compares times of headers, which a compiler cache does not keep.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()

# Inside precompiled headers GCC 12 no longer keeps its false alarms over
# std::string (bug 105651) to itself, where it optimises enough to have them.
if(ZEROSHOT_PCH AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(zeroshot_warnings INTERFACE
    "$<$<CONFIG:Release>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>")
endif()

# Programs and libraries share a set, so both are compiled as libraries are.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE ${CMAKE_CXX_COMPILE_OPTIONS_PIC})

set(core_headers
  <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstddef> <cstdint> <cstdlib> <cstring>
  <deque> <filesystem> <fstream> <functional> <limits> <map> <memory> <mutex> <optional> <random> <set> <string>
  <string_view> <system_error> <thread> <utility> <variant> <vector>
  <absl/cleanup/cleanup.h> <absl/container/flat_hash_map.h> <absl/functional/function_ref.h>
  <absl/status/status.h> <absl/status/statusor.h> <absl/strings/ascii.h> <absl/strings/match.h>
  <absl/strings/numbers.h> <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/strings/str_join.h>
  <absl/strings/str_split.h> <absl/strings/string_view.h> <absl/strings/strip.h> <absl/time/clock.h>
  <absl/time/time.h> <absl/types/span.h>)
set(grpc_headers <grpcpp/grpcpp.h> <zeroshot/v1/zeroshot.grpc.pb.h>)
set(gtest_headers <future> <sstream> <gmock/gmock.h> <gtest/gtest.h>)

# A library without code, which owns the set: it is compiled when the first
# target that is built needs it.
function(zeroshot_precompile set)
  cmake_parse_arguments(ARG "" "" "HEADERS;DEPS;OPTIONS" ${ARGN})
  set(source "${PROJECT_BINARY_DIR}/pch/${set}_pch.cc")
  file(CONFIGURE OUTPUT "${source}" CONTENT "")
  add_library(${set}_pch OBJECT EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(${set}_pch PRIVATE zeroshot_warnings absl::cleanup absl::flat_hash_map absl::function_ref
    absl::span absl::status absl::statusor absl::str_format absl::strings absl::time ${ARG_DEPS})
  target_compile_options(${set}_pch PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(${set}_pch PRIVATE ${ARG_HEADERS})
endfunction()

# zeroshot_precompiled(TARGET SET): see above. Sources with options of their
# own must have SKIP_PRECOMPILE_HEADERS.
function(zeroshot_precompiled target set)
  if(NOT ZEROSHOT_PCH)
    return()
  endif()
  if(NOT TARGET ${set}_pch)
    if(set STREQUAL "core")
      zeroshot_precompile(core HEADERS ${core_headers})
    elseif(set STREQUAL "grpc")
      zeroshot_precompile(grpc HEADERS ${core_headers} ${grpc_headers} DEPS zeroshot_proto)
    elseif(set STREQUAL "torch")
      zeroshot_precompile(torch HEADERS ${core_headers} <ATen/ATen.h> <ATen/Parallel.h> DEPS torch)
    elseif(set STREQUAL "tests")
      zeroshot_precompile(tests HEADERS ${core_headers} ${gtest_headers} DEPS GTest::gmock
        OPTIONS ${ZEROSHOT_TEST_OPTIONS})
    elseif(set STREQUAL "grpc_tests")
      zeroshot_precompile(grpc_tests HEADERS ${core_headers} ${grpc_headers} ${gtest_headers}
        DEPS zeroshot_proto GTest::gmock OPTIONS ${ZEROSHOT_TEST_OPTIONS})
    else()
      message(FATAL_ERROR "zeroshot_precompiled: no set '${set}'")
    endif()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${set}_pch)
endfunction()
