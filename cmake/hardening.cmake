# What makes a mistake in C harder to use, where compiler and linker know it, and keeps the folders
# of whoever builds out of what is built. script/lint looks whether it is there.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

function(harden target)
  foreach(flag -fstack-protector-strong -fstack-clash-protection
      -fcf-protection=full -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "has${flag}" known)
    check_c_compiler_flag(${flag} ${known})
    if(${known})
      target_compile_options(${target} INTERFACE ${flag})
    endif()
  endforeach()
  foreach(flag -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
    string(MAKE_C_IDENTIFIER "has${flag}" known)
    check_linker_flag(C ${flag} ${known})
    if(${known})
      target_link_options(${target} INTERFACE ${flag})
    endif()
  endforeach()
  # crti.o of many systems has no such mark, which would take it from the whole.
  if(has_fcf_protection_full)
    target_link_options(${target} INTERFACE -Wl,-z,shstk)
  endif()
  foreach(folder ${CMAKE_SOURCE_DIR}=. ${CMAKE_BINARY_DIR}=./build)
    target_compile_options(${target} INTERFACE -ffile-prefix-map=${folder})
  endforeach()
endfunction()

# Only an optimizing compiler checks these, and the sanitizers do it themselves.
function(fortify target)
  set(optimized "$<CONFIG:Release,RelWithDebInfo,MinSizeRel>")
  set(level 2)
  set(CMAKE_REQUIRED_FLAGS "-O2 -Werror")
  set(CMAKE_REQUIRED_DEFINITIONS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
  include(CheckCSourceCompiles)
  check_c_source_compiles("#include <string.h>\nint main(void) { return 0; }"
    has_fortify_3)
  if(has_fortify_3)
    set(level 3)
  endif()
  target_compile_options(${target} INTERFACE
    $<${optimized}:-U_FORTIFY_SOURCE> $<${optimized}:-D_FORTIFY_SOURCE=${level}>)
endfunction()
