# One place for warnings, sanitizers and speed-ups of the build.
option(BATON_FUZZ "build the libFuzzer targets" OFF)
set(BATON_SANITIZE "" CACHE STRING "value of -fsanitize=, empty for none")

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  # Debian 12's g++ 12.2 miscompiles coroutines (double free of temporaries in co_await expressions).
  message(FATAL_ERROR "Baton is built with clang 19 or later: use a preset, e.g. cmake --preset release")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers need the sloppiness below; scripts/install-deps installs ccache.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE})
endif()

add_library(baton_flags INTERFACE)
target_compile_options(baton_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough
  -Wno-missing-field-initializers -fno-omit-frame-pointer
  $<$<NOT:$<CONFIG:Debug>>:-O2>)
target_include_directories(baton_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_link_options(baton_flags INTERFACE -fuse-ld=lld)

# One-line defects chosen at run time, for the simulator to catch (base/mutant.h), and marks on rare
# paths, for it to reach (base/mark.h). Never shipped.
option(BATON_MUTANTS "compile the mutants and the marks in" OFF)
if(BATON_MUTANTS)
  target_compile_definitions(baton_flags INTERFACE BATON_MUTANTS)
endif()

if(BATON_SANITIZE)
  add_compile_options(-fsanitize=${BATON_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BATON_SANITIZE})
  if(BATON_SANITIZE MATCHES undefined)
    # clang cannot express -fsanitize=function metadata for coroutine frames.
    add_compile_options(-fno-sanitize=function)
  endif()
endif()
if(BATON_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
