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
file(ARCHIVE_CREATE OUTPUT "${doc}/changelog.gz" PATHS "${doc}/CHANGELOG.md" FORMAT raw COMPRESSION GZip)
file(REMOVE "${doc}/CHANGELOG.md")
