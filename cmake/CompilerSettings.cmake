# Language level, warnings and sanitizers: one interface target that all of our
# own targets link (zeroshot_add_library does it).
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_program(ZEROSHOT_CCACHE ccache)
if(ZEROSHOT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ZEROSHOT_CCACHE}" CACHE STRING "")
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

# zeroshot_add_library(NAME SOURCES ... HEADERS ... DEPS ... [PRIVATE_DEPS ...])
# A static library of ours. HEADERS are its public headers; the dev preset
# compiles each of them alone (CMake's header verification).
function(zeroshot_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${ARG_HEADERS})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE $<BUILD_INTERFACE:zeroshot_warnings>
    ${ARG_PRIVATE_DEPS})
endfunction()
