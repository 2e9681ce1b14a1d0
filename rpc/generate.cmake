# SPDX-License-Identifier: GPL-2.0-or-later
# The protocol's C++ is generated from rpc/*.tsv into <build>/generated/rpc. The generator leaves files alone whose
# content is the same, so a new row rebuilds only the area that it is in.
if(NOT TARGET bascule_rpc)
  return()
endif()
add_executable(rpc_generate ${PROJECT_SOURCE_DIR}/rpc/generate.cpp)
set(rpc_areas bascule connect domain interface keepalive lxc network node_device nwfilter qemu secret storage)
set(rpc_out ${PROJECT_BINARY_DIR}/generated/rpc)
set(rpc_headers ${rpc_out}/constants.h ${rpc_out}/procedures.h ${rpc_out}/proto.h ${rpc_out}/proto_types.h)
set(rpc_recode ${rpc_out}/recode_index.cpp)
foreach(area IN LISTS rpc_areas)
  list(APPEND rpc_headers ${rpc_out}/proto_${area}.h)
  list(APPEND rpc_recode ${rpc_out}/recode_${area}.cpp)
endforeach()
file(GLOB rpc_tables CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/rpc/*.tsv)
add_custom_command(
  OUTPUT ${rpc_headers} ${rpc_out}/procedures.cpp ${rpc_recode}
  COMMAND rpc_generate ${PROJECT_SOURCE_DIR}/rpc ${PROJECT_BINARY_DIR}/generated ${rpc_areas}
  DEPENDS rpc_generate ${rpc_tables}
  COMMENT "Generating the protocol from rpc/*.tsv"
  VERBATIM)
add_custom_target(rpc_generated DEPENDS ${rpc_headers} ${rpc_out}/procedures.cpp ${rpc_recode})

target_sources(bascule_rpc PRIVATE ${rpc_out}/procedures.cpp)
target_include_directories(bascule_rpc PUBLIC ${PROJECT_BINARY_DIR}/generated)
add_dependencies(bascule_rpc rpc_generated)

if(BASCULE_TESTS)
  add_library(bascule_rpc_recode STATIC ${rpc_recode})
  target_link_libraries(bascule_rpc_recode PUBLIC bascule_rpc)
  add_dependencies(bascule_rpc_recode rpc_generated)
endif()
