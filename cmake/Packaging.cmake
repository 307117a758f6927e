# What scripts/package makes of the installed tree: an archive that runs from
# any folder and carries every library but glibc, and a Debian package for the
# release that it was built on. Both hold the components libtorch, server and
# package; the archive also bundled.
include(GNUInstallDirs)
set(programs_dir "${CMAKE_INSTALL_BINDIR}")
set(share_dir "${CMAKE_INSTALL_DATADIR}/zeroshot")
set(doc_dir "${CMAKE_INSTALL_DOCDIR}")

install(FILES LICENSE THIRD_PARTY_NOTICES.md DESTINATION "${doc_dir}" COMPONENT server)

# package: the program and the contract, which component client installs with
# its library, without it; and what a host needs to run a service.
install(TARGETS zeroshot_client RUNTIME DESTINATION "${programs_dir}" COMPONENT package EXCLUDE_FROM_ALL)
install(FILES proto/zeroshot/v1/zeroshot.proto DESTINATION "${share_dir}/proto/zeroshot/v1"
  COMPONENT package EXCLUDE_FROM_ALL)
install(FILES deploy/systemd/zeroshot.service DESTINATION lib/systemd/system COMPONENT package EXCLUDE_FROM_ALL)
install(FILES deploy/systemd/server.flags DESTINATION etc/zeroshot COMPONENT package EXCLUDE_FROM_ALL)
install(FILES CHANGELOG.md DESTINATION "${doc_dir}" COMPONENT package EXCLUDE_FROM_ALL)

# bundled: see the script.
install(CODE "
  set(PROGRAMS \"$<TARGET_FILE:zeroshot_server>\" \"$<TARGET_FILE:zeroshot_client>\")
  set(FROM \"${ZEROSHOT_DEPS_DIR}/torch-2.11.0\")
  set(TO \"\${CMAKE_INSTALL_PREFIX}/lib/zeroshot/bundled\")
  set(LICENCES \"\${CMAKE_INSTALL_PREFIX}/${doc_dir}/licences\")"
  COMPONENT bundled EXCLUDE_FROM_ALL)
install(SCRIPT "${PROJECT_SOURCE_DIR}/cmake/InstallBundled.cmake" COMPONENT bundled EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_PACKAGE_NAME zeroshot)
set(CPACK_PACKAGE_VENDOR "The zeroshot authors")
set(ZEROSHOT_MAINTAINER "The zeroshot authors <zeroshot@localhost>" CACHE STRING
  "Who answers for the packages, as 'NAME <ADDRESS>'")
set(CPACK_PACKAGE_CONTACT "${ZEROSHOT_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "CLIP zero-shot image classification over gRPC")
set(CPACK_PACKAGE_DESCRIPTION
  "zeroshot_server classifies images in classes that are named when it is asked.
It loads CLIP weights of OpenAI, Hugging Face and open_clip and keeps them in
memory. zeroshot_client calls it. A small demo model and LibTorch are included.")
set(CPACK_PACKAGE_FILE_NAME "zeroshot-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
# One package of several components, which differ by generator:
# PackagingOfGenerator.cmake is read once for each.
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
set(CPACK_COMPONENTS_ALL libtorch server package bundled)
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_SOURCE_DIR}/cmake/PackagingOfGenerator.cmake")

# Its libraries are this release's, therefore the release is in its name.
cmake_host_system_information(RESULT release QUERY DISTRIB_INFO)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "1~${release_ID}${release_VERSION_ID}")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS
  "${ZEROSHOT_DEPS_DIR}/torch-2.11.0/torch/lib" "${ZEROSHOT_DEPS_DIR}/torch-2.11.0/nvidia/cu13/lib")
# Its postinst makes the service's user.
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
# HEIC's decoder, where libheif has it in a package of its own.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libheif-plugin-libde265)
set(debian_dir "${PROJECT_SOURCE_DIR}/deploy/debian")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${debian_dir}/conffiles" "${debian_dir}/postinst" "${debian_dir}/prerm" "${debian_dir}/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
