# Copies every library of this machine that PROGRAMS load, but for glibc's and
# LibTorch's (in FROM), to the folder TO, and their licences to LICENCES: for the
# archive that runs on other distributions. Included by `cmake --install
# --component bundled`.
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${PROGRAMS}
  RESOLVED_DEPENDENCIES_VAR libraries
  UNRESOLVED_DEPENDENCIES_VAR missing
  DIRECTORIES "${FROM}/torch/lib" "${FROM}/nvidia/cu13/lib"
  PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(anl|c|dl|m|pthread|resolv|rt|util)\\.so"
  POST_EXCLUDE_REGEXES "^${FROM}/")
if(missing)
  message(FATAL_ERROR "Not found, and needed by ${PROGRAMS}: ${missing}")
endif()
foreach(library IN LISTS libraries)
  file(INSTALL "${library}" DESTINATION "${TO}" FOLLOW_SYMLINK_CHAIN MESSAGE_NEVER)
  # The package that owns it; where /lib is a link to /usr/lib it may be listed
  # by either name.
  file(REAL_PATH "${library}" file)
  string(REGEX REPLACE "^/usr" "" other "${file}")
  set(owner "")
  foreach(name IN ITEMS "${file}" "${other}")
    if(NOT owner)
      execute_process(COMMAND dpkg-query --search "${name}" OUTPUT_VARIABLE owner ERROR_QUIET)
    endif()
  endforeach()
  string(REGEX REPLACE ":.*" "" owner "${owner}")
  if(NOT owner OR NOT EXISTS "/usr/share/doc/${owner}/copyright")
    message(FATAL_ERROR "The licence of ${library} is not known: no package's copyright file names it")
  endif()
  file(INSTALL "/usr/share/doc/${owner}/copyright" DESTINATION "${LICENCES}" TYPE FILE RENAME "${owner}"
    FOLLOW_SYMLINK_CHAIN MESSAGE_NEVER)
endforeach()
list(LENGTH libraries number)
message(STATUS "Installed: ${number} libraries in ${TO}")
