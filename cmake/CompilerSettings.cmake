# Language level, warnings and sanitizers: one interface target that all of our
# own targets link (zeroshot_add_library does it).
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
find_program(ZEROSHOT_CCACHE ccache)
if(ZEROSHOT_CCACHE)
  # What uses precompiled headers is cached only where ccache is told that their
  # macros are no concern of it.
  execute_process(COMMAND "${ZEROSHOT_CCACHE}" --get-config sloppiness OUTPUT_VARIABLE sloppiness ERROR_QUIET)
  set(launcher "${ZEROSHOT_CCACHE}")
  if(NOT sloppiness MATCHES "pch_defines" OR NOT sloppiness MATCHES "time_macros")
    set(launcher "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${ZEROSHOT_CCACHE}")
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER "${launcher}" CACHE STRING "")
endif()

add_library(zeroshot_warnings INTERFACE)
target_compile_options(zeroshot_warnings INTERFACE -Wall -Wextra -Wno-sign-compare)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(zeroshot_warnings INTERFACE -Wthread-safety)
endif()
if(ZEROSHOT_SANITIZER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC says itself that sanitizers make it warn of what is initialised (here
  # inside std::regex).
  target_compile_options(zeroshot_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # A false alarm over std::string's operator+ and insert (GCC bug 105651).
  target_compile_options(zeroshot_warnings INTERFACE -Wno-restrict)
endif()
if(ZEROSHOT_SANITIZER STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Abseil's flags, in a header of theirs, use a fence that the sanitizer does
  # not see. Flags are only read after they were parsed.
  target_compile_options(zeroshot_warnings INTERFACE -Wno-tsan)
endif()
if(ZEROSHOT_WERROR)
  target_compile_options(zeroshot_warnings INTERFACE -Werror)
endif()

if(ZEROSHOT_SANITIZER STREQUAL "address")
  # The fuzzers' executables add libFuzzer's main: tests/fuzz.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:Clang>:-fsanitize=fuzzer-no-link>)
  add_link_options(-fsanitize=address,undefined)
elseif(ZEROSHOT_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(ZEROSHOT_SANITIZER)
  message(FATAL_ERROR "ZEROSHOT_SANITIZER is '${ZEROSHOT_SANITIZER}'; allowed: address, thread")
endif()

# Tests' own sources run once, and optimising them took longer than all else:
# half of their compile time under AddressSanitizer, a quarter in the release
# build. libFuzzer has nothing to follow in them either.
set(ZEROSHOT_TEST_OPTIONS -O0)
if(ZEROSHOT_SANITIZER STREQUAL "address" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND ZEROSHOT_TEST_OPTIONS -fno-sanitize=fuzzer-no-link)
endif()

# zeroshot_add_library(NAME SOURCES ... HEADERS ... DEPS ... [PRIVATE_DEPS ...] PCH set)
# A static library of ours. HEADERS are its public headers; the dev preset
# compiles each of them alone (CMake's header verification). PCH: see
# Precompiled.cmake.
function(zeroshot_add_library name)
  cmake_parse_arguments(ARG "" "PCH" "SOURCES;HEADERS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${ARG_HEADERS})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE $<BUILD_INTERFACE:zeroshot_warnings>
    ${ARG_PRIVATE_DEPS})
  zeroshot_precompiled(${name} ${ARG_PCH})
endfunction()

# zeroshot_find_libraries_beside(PROGRAM)
# Installed, it finds LibTorch and what the archive bundles in ../lib/zeroshot,
# wherever the whole was moved to. As RPATH, which unlike RUNPATH holds for the
# libraries' own libraries too.
function(zeroshot_find_libraries_beside program)
  set(folder "$ORIGIN/../lib/zeroshot")
  set_target_properties(${program} PROPERTIES
    INSTALL_RPATH "${folder}/torch/lib;${folder}/nvidia/cu13/lib;${folder}/bundled")
  target_link_options(${program} PRIVATE LINKER:--disable-new-dtags)
endfunction()
