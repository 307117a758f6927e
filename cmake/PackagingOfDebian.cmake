# Run by CPack over the tree that becomes the Debian package: what the prefix
# /usr puts into the wrong place, and what Debian wants by another name.
set(tree "${CPACK_TEMPORARY_DIRECTORY}/ALL_COMPONENTS_IN_ONE")
if(NOT EXISTS "${tree}/usr/etc/zeroshot/server.flags")
  message(FATAL_ERROR "No tree of the Debian package in ${tree}")
endif()
file(RENAME "${tree}/usr/etc" "${tree}/etc")
set(doc "${tree}/usr/share/doc/zeroshot")
file(COPY_FILE "${CMAKE_CURRENT_LIST_DIR}/../deploy/debian/copyright" "${doc}/copyright")
file(REMOVE "${doc}/LICENSE")

# Debian wants man pages and change logs compressed as far as gzip can, without a
# file name or a time, so that the same tree gives the same package.
find_program(GZIP gzip REQUIRED)
function(compress)
  execute_process(COMMAND "${GZIP}" -9 --no-name ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
file(RENAME "${doc}/CHANGELOG.md" "${doc}/changelog")
# The package's own, beside the program's: one entry, for what is in the other.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  set(date "--date=@$ENV{SOURCE_DATE_EPOCH}")
endif()
execute_process(COMMAND date --utc --rfc-email ${date} OUTPUT_VARIABLE now OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
file(WRITE "${doc}/changelog.Debian"
  "${CPACK_PACKAGE_NAME} (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium\n\n"
  "  * Release ${CPACK_PACKAGE_VERSION}: see changelog.gz.\n\n"
  " -- ${CPACK_PACKAGE_CONTACT}  ${now}\n")
file(GLOB pages "${tree}/usr/share/man/man*/*")
compress("${doc}/changelog" "${doc}/changelog.Debian" ${pages})
