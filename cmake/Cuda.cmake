# The CUDA compiler, where the cuda preset asks for one: the machine's own if
# it is of the release that LibTorch was built with, else the one that
# scripts/setup --cuda unpacked. The room that has .cu files enables the
# language; everything else compiles without it.
if(ZEROSHOT_CUDA AND NOT CMAKE_CUDA_COMPILER)
  foreach(nvcc IN ITEMS
      nvcc /usr/local/cuda/bin/nvcc "${ZEROSHOT_DEPS_DIR}/torch-2.11.0/nvidia/cu13/bin/nvcc")
    find_program(path "${nvcc}" NO_CACHE)
    if(path)
      execute_process(COMMAND "${path}" --version OUTPUT_VARIABLE version)
      if(version MATCHES "release 13\\.")
        set(CMAKE_CUDA_COMPILER "${path}" CACHE FILEPATH "CUDA compiler")
        break()
      endif()
    endif()
    unset(path)
  endforeach()
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "No CUDA 13 compiler here: run scripts/setup --cuda")
  endif()
  message(STATUS "CUDA compiler: ${CMAKE_CUDA_COMPILER}")
endif()
