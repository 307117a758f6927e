# zeroshot_install_pages(PROGRAM COMPONENT component)
# The man page and the completions that PROGRAM prints of itself, made whenever
# it is linked, so that they cannot go stale, and installed beside it. The
# component "package" has them too: packages leave out what else a component
# has.
include(GNUInstallDirs)
function(zeroshot_install_pages program)
  cmake_parse_arguments(ARG "" "COMPONENT" "" ${ARGN})
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/pages")
  file(MAKE_DIRECTORY "${folder}")
  set(pages
    "man:${program}.1:${CMAKE_INSTALL_MANDIR}/man1"
    "bash:${program}:${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
    "zsh:_${program}:${CMAKE_INSTALL_DATADIR}/zsh/site-functions"
    "fish:${program}.fish:${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
  foreach(page ${pages})
    string(REPLACE ":" ";" page "${page}")
    list(GET page 0 kind)
    list(GET page 1 file)
    list(GET page 2 destination)
    add_custom_command(TARGET ${program} POST_BUILD VERBATIM
      COMMAND ${program} --generate=${kind} > "${folder}/${file}")
    install(FILES "${folder}/${file}" DESTINATION "${destination}" COMPONENT ${ARG_COMPONENT})
    install(FILES "${folder}/${file}" DESTINATION "${destination}" COMPONENT package EXCLUDE_FROM_ALL)
  endforeach()
endfunction()
