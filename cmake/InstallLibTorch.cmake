# Copies what runs of LibTorch, in the wheels' own layout, by which it finds the
# CUDA libraries, with its licences. `cmake --install` includes it (component
# libtorch); alone:
#   cmake -DFROM=.deps/torch-2.11.0 -DTO=FOLDER -DCUDA=OFF -DSTRIP=ON -P cmake/InstallLibTorch.cmake
# STRIP drops symbols for linkers and debuggers from LibTorch, a fifth of its size.
set(torch_libraries "torch/lib/lib(c10|gomp.*|torch_cpu)\\.so.*")
set(cuda_libraries "nvidia/cu13/lib/lib(cudart|cupti)\\.so.*")
if(CUDA)
  # All but what nothing here loads: stubs for linkers, nvcc's own library, an
  # alternative NVRTC, multi-GPU solvers, BLAS and FFTW by other names.
  set(torch_libraries "torch/lib/.*")
  set(cuda_libraries "nvidia/.*")
endif()
set(unused "/stubs/|/libnvvm\\.|\\.alt\\.|/libcusolverMg\\.|/libnvblas\\.|/libcufftw\\.")

file(GLOB_RECURSE libraries RELATIVE "${FROM}" "${FROM}/torch/lib/*.so*" "${FROM}/nvidia/*.so*")
list(FILTER libraries INCLUDE REGEX "^(${torch_libraries}|${cuda_libraries})$")
list(FILTER libraries EXCLUDE REGEX "${unused}")
file(GLOB_RECURSE licences RELATIVE "${FROM}" "${FROM}/*.dist-info/*")
list(FILTER licences INCLUDE REGEX "[Ll][Ii][Cc][Ee][Nn][CcSs][Ee][^/]*$")
foreach(file IN LISTS libraries licences)
  get_filename_component(folder "${file}" DIRECTORY)
  file(INSTALL "${FROM}/${file}" DESTINATION "${TO}/${folder}" MESSAGE_NEVER)
  if(STRIP AND file MATCHES "^torch/lib/")
    execute_process(COMMAND strip --strip-unneeded --preserve-dates "$ENV{DESTDIR}${TO}/${file}"
      COMMAND_ERROR_IS_FATAL ANY)
  endif()
endforeach()
message(STATUS "Installed: LibTorch in ${TO}")
