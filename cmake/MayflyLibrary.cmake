# The headers of other people's that nearly every file includes: half of what compiling a file costs.
function(mayfly_common_headers)
  if(MAYFLY_PCH)
    file(WRITE ${PROJECT_BINARY_DIR}/generated/common_headers.cc "")
    add_library(common_headers OBJECT ${PROJECT_BINARY_DIR}/generated/common_headers.cc)
    target_link_libraries(common_headers PRIVATE fmt::fmt Boost::json)
    target_compile_options(common_headers PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    target_precompile_headers(common_headers PRIVATE <algorithm> <chrono> <deque> <filesystem> <functional> <map> <memory>
      <mutex> <optional> <set> <sstream> <string> <string_view> <variant> <vector> <boost/json.hpp> <fmt/format.h>
      <tl/expected.hpp>)
  endif()
endfunction()

# Only for what links Boost.JSON itself: its definitions have to be the same.
function(mayfly_use_common_headers name)
  if(MAYFLY_PCH AND NOT name MATCHES "^(base|os)(_test)?$")
    target_precompile_headers(${name} REUSE_FROM common_headers)
    target_compile_options(${name} PRIVATE -fPIC)  # of programs too: it must be the same everywhere
  endif()
endfunction()

# One library per folder: every .cc beside the CMakeLists.txt, with its *_test.cc as the test program `<name>_test`.
# `<name>` is the folder's path below src/ with / as _. DEPS are this project's libraries or imported targets.
function(mayfly_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;TEST_DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|_main)\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
    target_link_libraries(${name} PUBLIC ${ARG_DEPS})
    mayfly_use_common_headers(${name})
    set(self ${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
    set(self ${name})
  endif()
  if(tests AND MAYFLY_TESTS)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${self} ${ARG_TEST_DEPS} GTest::gmock GTest::gtest_main)
    mayfly_use_common_headers(${name}_test)
    add_test(NAME ${name}_test COMMAND ${name}_test)
  endif()
endfunction()

# A libFuzzer program from one *_fuzz.cc, built only where MAYFLY_FUZZ is on (clang). SOURCES are compiled with it, where a
# whole library would take longer to compile than to fuzz.
function(mayfly_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(MAYFLY_FUZZ)
    add_executable(${name} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cc ${ARG_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  endif()
endfunction()
