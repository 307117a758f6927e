# CUDA, where the cuda preset asks for it: the language, for which devices, and
# the compiler: the machine's own if it is of the release that LibTorch was
# built with, else the one that scripts/setup --cuda unpacked. Only
# clip/torch/cuda has .cu files, but a language must be enabled above all that
# links them.
if(NOT ZEROSHOT_CUDA)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER)
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

# Code for each, as LibTorch has it (Turing, A100, Ampere, Ada, Hopper, Blackwell
# of data centres and of desks), and PTX of the last for what comes after. Code
# for x.y also runs on x.z with z above y.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120)
endif()
if(ZEROSHOT_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${ZEROSHOT_CCACHE}" CACHE STRING "")
endif()
enable_language(CUDA)
# nvcc 13 knows C++20, CMake 3.25 does not know that it does.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

# One runtime in the process, the one that LibTorch brings: clip/torch/cuda
# links it.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
