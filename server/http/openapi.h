// /openapi.json: the API in OpenAPI 3.1, made from the table of routes and from
// the messages themselves.
#ifndef ZEROSHOT_SERVER_HTTP_OPENAPI_H_
#define ZEROSHOT_SERVER_HTTP_OPENAPI_H_

#include <string>

#include "server/http/message.h"

namespace zeroshot::server::http {

std::string OpenApiJson();
Response OpenApiResponse();

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_OPENAPI_H_
