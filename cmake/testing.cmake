# How tests enter the build. scripts/test counts the cases of every entry: a GoogleTest program from
# the XML it writes, a script from the lines "baton-test: ..." it prints (tests/support/baton_test.py).
#
# Labels: the ring (unit property exhaustive simulation integration conformance migration chaos
# fuzz), and besides it
#   sanitized   also built and run under AddressSanitizer and UndefinedBehaviorSanitizer
#   threads     also built and run under ThreadSanitizer: the few programs with more than one thread
#   slow        left out by scripts/test --quick
enable_testing()
find_package(GTest REQUIRED)
find_program(BATON_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)  # the one that knows libnbd
add_custom_target(sanitized_tests)
add_custom_target(threaded_tests)
add_custom_target(fuzzers)

# baton_test(NAME SOURCES... [LIBS...] [LABELS...] [TIMEOUT seconds]): one GoogleTest program.
function(baton_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE baton_flags GTest::gtest_main GTest::gmock ${T_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/results/${name}.xml)
  baton_test_properties(${name} "${T_LABELS}" "${T_TIMEOUT}")
  if("sanitized" IN_LIST T_LABELS)
    add_dependencies(sanitized_tests ${name})
  endif()
  if("threads" IN_LIST T_LABELS)
    add_dependencies(threaded_tests ${name})
  endif()
endfunction()

# baton_script_test(NAME COMMAND... [LABELS...] [TIMEOUT seconds]): a script of this folder, with
# arguments. It is told where the programs are (BATON_BUILD_DIR). It says what it did in
# "baton-test:" lines, as tests/support/baton_test.py does; a script that prints none counts as one
# case, and as skipped if it exits 77.
function(baton_script_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "LABELS" ${ARGN})
  list(POP_FRONT T_UNPARSED_ARGUMENTS script)
  cmake_path(ABSOLUTE_PATH script)
  set(command ${script})
  if(script MATCHES "\\.py$")
    set(command ${BATON_PYTHON} -B ${script})
  endif()
  add_test(NAME ${name} COMMAND ${command} ${T_UNPARSED_ARGUMENTS})
  baton_test_properties(${name} "${T_LABELS}" "${T_TIMEOUT}")
  set_tests_properties(${name} PROPERTIES
    SKIP_RETURN_CODE 77
    ENVIRONMENT "BATON_BUILD_DIR=${CMAKE_BINARY_DIR};BATON_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endfunction()

# baton_fuzzer(NAME SOURCES... [LIBS...] [CORPUS folder] [DICTIONARY file]): a libFuzzer target, built
# by the preset fuzz only. Its ctest entry runs it for BATON_FUZZ_SECONDS on top of the corpus.
set(BATON_FUZZ_SECONDS 60 CACHE STRING "how long ctest runs each fuzzer")
function(baton_fuzzer name)
  if(NOT BATON_FUZZ)
    return()
  endif()
  cmake_parse_arguments(T "" "CORPUS;DICTIONARY" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${T_SOURCES})
  target_link_libraries(${name} PRIVATE baton_flags ${T_LIBS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
  add_dependencies(fuzzers ${name})
  # What the fuzzer finds goes to the first folder, in the build; the corpus is only read.
  set(found ${CMAKE_BINARY_DIR}/fuzzers/${name}.found)
  file(MAKE_DIRECTORY ${found})
  if(T_CORPUS)
    cmake_path(ABSOLUTE_PATH T_CORPUS)
  endif()
  set(dictionary "")
  if(T_DICTIONARY)
    set(dictionary -dict=${CMAKE_CURRENT_SOURCE_DIR}/${T_DICTIONARY})
  endif()
  add_test(NAME ${name} COMMAND ${name} -max_total_time=${BATON_FUZZ_SECONDS} -timeout=10
           -rss_limit_mb=2048 -len_control=0 -max_len=16384 ${dictionary} -print_final_stats=1 -artifact_prefix=${found}/ ${found} ${T_CORPUS})
  math(EXPR timeout "${BATON_FUZZ_SECONDS} + 60")
  baton_test_properties(${name} fuzz ${timeout})
endfunction()

function(baton_test_properties name labels timeout)
  if(NOT timeout)
    set(timeout 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout})
  # A guest under emulation wants both cores, and its pauses are measured.
  if("migration" IN_LIST labels OR "chaos" IN_LIST labels)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()
