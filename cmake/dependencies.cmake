# Every library is a Debian 12 package; scripts/install-deps names and installs them.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(PkgConfig REQUIRED)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(libxxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(libnbd REQUIRED IMPORTED_TARGET libnbd)
find_package(OpenSSL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)

# Asio without its deprecated names and without exceptions thrown through handlers we do not own.
add_library(baton_asio INTERFACE)
target_link_libraries(baton_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(baton_asio INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_CO_AWAIT)
