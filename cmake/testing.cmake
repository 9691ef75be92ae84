# baton_test(NAME SOURCES... [LIBS...] [LABELS...]): one GoogleTest program.
# Each program is one ctest entry; its cases are counted by scripts/test from the XML it writes.
enable_testing()
find_package(GTest REQUIRED)
add_custom_target(sanitized_tests)
add_custom_target(fuzzers)

function(baton_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE baton_flags GTest::gtest_main GTest::gmock ${T_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_output=xml:${CMAKE_BINARY_DIR}/results/${name}.xml)
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 300)
  if("sanitized" IN_LIST T_LABELS)
    add_dependencies(sanitized_tests ${name})
  endif()
endfunction()
