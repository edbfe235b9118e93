# pgmig as one executable, which is not built by default: script/build --single
set(PGMIG_SINGLE_FORM static CACHE STRING
  "What it is linked to: static (nothing), mostly (glibc), dynamic (libpq and OpenSSL, too)")
set_property(CACHE PGMIG_SINGLE_FORM PROPERTY STRINGS static mostly dynamic)
list(GET PGMIG_LUA 0 single_lua)
set(PGMIG_SINGLE_LUA ${single_lua} CACHE STRING "Its Lua engine, by pkg-config name")

pkg_check_modules(SINGLE_LUA REQUIRED ${PGMIG_SINGLE_LUA})
list(GET SINGLE_LUA_LIBRARIES 0 single_lua_library)
if(NOT PGMIG_SINGLE_FORM MATCHES "^(static|mostly|dynamic)$")
  message(FATAL_ERROR "PGMIG_SINGLE_FORM is static, mostly or dynamic")
endif()

# archive VARIABLE NAME...: a static library, which is missing where pgmig-single cannot be built.
set(single_missing "")
function(archive variable)
  list(TRANSFORM ARGN REPLACE "(.+)" "lib\\1.a" OUTPUT_VARIABLE files)
  find_library(${variable} NAMES ${files} HINTS ${LIBPQ_LIBDIR} ${SINGLE_LUA_LIBDIR}
    /usr/lib/postgresql/${libpq_major}/lib)
  mark_as_advanced(${variable})
  if(NOT ${variable})
    set(single_missing "${single_missing} ${files}" PARENT_SCOPE)
  endif()
endfunction()

string(REGEX MATCH "^[0-9]+" libpq_major "${LIBPQ_VERSION}")
archive(SINGLE_ARCHIVE_${PGMIG_SINGLE_LUA} ${single_lua_library})
set(single_libraries ${SINGLE_ARCHIVE_${PGMIG_SINGLE_LUA}} m)
if(PGMIG_SINGLE_FORM STREQUAL dynamic)
  list(APPEND single_libraries PkgConfig::LIBPQ PkgConfig::CRYPTO)
else()
  archive(SINGLE_PQ_ARCHIVE pq)
  archive(SINGLE_PGCOMMON_ARCHIVE pgcommon_shlib)
  archive(SINGLE_PGPORT_ARCHIVE pgport_shlib)
  archive(SINGLE_SSL_ARCHIVE ssl)
  archive(SINGLE_CRYPTO_ARCHIVE crypto)
  list(APPEND single_libraries ${SINGLE_PQ_ARCHIVE} ${SINGLE_PGCOMMON_ARCHIVE}
    ${SINGLE_PGPORT_ARCHIVE} ${SINGLE_SSL_ARCHIVE} ${SINGLE_CRYPTO_ARCHIVE})
endif()
if(single_missing)
  add_custom_target(pgmig-single
    COMMAND ${CMAKE_COMMAND} -E echo "pgmig-single needs${single_missing}: script/bootstrap"
    COMMAND ${CMAKE_COMMAND} -E false)
  return()
endif()

# OpenSSL without its tables for unwinding the stack, a twelfth of the whole: nothing is thrown
# through it.
function(without_tables variable archive)
  get_filename_component(name ${archive} NAME)
  set(lean ${CMAKE_BINARY_DIR}/single/${name})
  add_custom_command(OUTPUT ${lean} DEPENDS ${archive} VERBATIM
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/single
    COMMAND ${CMAKE_OBJCOPY} --remove-section .eh_frame --remove-section .rela.eh_frame ${archive}
      ${lean})
  list(TRANSFORM single_libraries REPLACE "^${archive}$" ${lean})
  set(single_libraries ${single_libraries} PARENT_SCOPE)
  set(${variable} ${lean} PARENT_SCOPE)
endfunction()
if(NOT PGMIG_SINGLE_FORM STREQUAL dynamic)
  without_tables(single_ssl ${SINGLE_SSL_ARCHIVE})
  without_tables(single_crypto ${SINGLE_CRYPTO_ARCHIVE})
endif()

# The modules, compiled by the engine that loads them.
find_program(SINGLE_INTERPRETER_${PGMIG_SINGLE_LUA} NAMES ${PGMIG_SINGLE_LUA})
mark_as_advanced(SINGLE_INTERPRETER_${PGMIG_SINGLE_LUA})
file(GLOB_RECURSE single_modules CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/lua/*.lua)
if(PGMIG_SINGLE_FORM STREQUAL static)
  set(single_static pgmig.static=${CMAKE_SOURCE_DIR}/core/single/static.lua)
endif()
# A file for each choice: another one has other modules.
set(single_c ${CMAKE_BINARY_DIR}/single/modules-${PGMIG_SINGLE_FORM}-${PGMIG_SINGLE_LUA}.c)
add_custom_command(OUTPUT ${single_c}
  COMMAND ${SINGLE_INTERPRETER_${PGMIG_SINGLE_LUA}} ${CMAKE_SOURCE_DIR}/core/single/embed.lua ${single_c}
    ${CMAKE_SOURCE_DIR}/lua ${single_modules} ${single_static}
  DEPENDS core/single/embed.lua core/single/static.lua ${single_modules} VERBATIM)

add_executable(pgmig-single EXCLUDE_FROM_ALL core/single/main.c ${single_c} ${core_binding}
  ${single_ssl} ${single_crypto})
set_target_properties(pgmig-single PROPERTIES OUTPUT_NAME pgmig
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/single)
target_compile_definitions(pgmig-single PRIVATE PGMIG_SINGLE_FORM="${PGMIG_SINGLE_FORM}")
target_include_directories(pgmig-single PRIVATE core)
target_include_directories(pgmig-single SYSTEM PRIVATE ${SINGLE_LUA_INCLUDE_DIRS}
  ${LIBPQ_INCLUDE_DIRS})
# Not the target `pgmig`, which comes with shared libraries.
add_dependencies(pgmig-single pgmig)
target_link_libraries(pgmig-single PRIVATE pgmig_flags $<TARGET_FILE:pgmig>)
target_link_options(pgmig-single PRIVATE -Wl,--strip-all -Wl,--gc-sections)

if(PGMIG_SINGLE_FORM STREQUAL static)
  target_link_options(pgmig-single PRIVATE -static-pie -Wl,-z,pack-relative-relocs)
  target_link_libraries(pgmig-single PRIVATE ${single_libraries})
else()
  # What a C module needs of Lua, all of it.
  target_link_options(pgmig-single PRIVATE -pie
    -Wl,--dynamic-list=${CMAKE_SOURCE_DIR}/core/single/exported)
  list(POP_FRONT single_libraries)
  target_link_libraries(pgmig-single PRIVATE -Wl,--whole-archive ${SINGLE_ARCHIVE_${PGMIG_SINGLE_LUA}}
    -Wl,--no-whole-archive ${single_libraries})
endif()
if(NOT PGMIG_SINGLE_FORM STREQUAL dynamic)
  target_sources(pgmig-single PRIVATE core/single/absent.c)
endif()
