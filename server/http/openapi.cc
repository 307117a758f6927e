#include "server/http/openapi.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "inference/inference.pb.h"
#include "server/http/comments.h"
#include "server/http/json_message.h"
#include "server/http/routes.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

constexpr char kJson[] = "application/json";
constexpr char kForm[] = "application/x-www-form-urlencoded";
constexpr char kMultipart[] = "multipart/form-data";
constexpr char kBytes[] = "application/octet-stream";
constexpr char kText[] = "text/plain";

constexpr char kAbout[] =
    "Zero-shot image classification with a CLIP model. Names and meaning of "
    "fields are those of proto/zeroshot/v1; times are in seconds. Errors are "
    "{\"error\": {...}} with a code, a status, a reason for programs and a "
    "message for people; below /v2, the Open Inference Protocol, they are "
    "{\"error\": \"...\"}. Where the server asks for tokens, send "
    "Authorization: Bearer TOKEN. X-Request-Timeout: SECONDS ends a call that "
    "takes longer.";

Json Ref(const std::string& name) {
  return {{"$ref", "#/components/schemas/" + name}};
}

bool IsClass(const FieldDescriptor* field) {
  return field->message_type() == v1::ClassDefinition::descriptor();
}

// Collects the schemas of messages, and of those within them.
class Schemas {
 public:
  // `input`: what a client may send; else what it gets.
  Json Of(const Descriptor* type, bool input) {
    if (type == google::protobuf::Duration::descriptor()) {
      return {{"type", "number"}, {"description", "Seconds."}};
    }
    if (type == google::protobuf::Timestamp::descriptor()) {
      return {{"type", "string"}, {"format", "date-time"}};
    }
    if (!all_.contains(type->name())) {
      all_[type->name()] = Json::object();  // it may be within itself
      all_[type->name()] = type == v1::ClassifyBatchItem::descriptor()
                               ? BatchItem()
                               : Object(type, input);
    }
    return Ref(type->name());
  }

  Json Object(const Descriptor* type, bool input) {
    Json schema = {{"type", "object"}};
    const std::string about = CommentOf(*type);
    if (!about.empty()) schema["description"] = about;
    Json properties = Json::object();
    Json required = Json::array();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* const field = type->field(i);
      // Those of a request itself are its route's.
      if (field->type() == FieldDescriptor::TYPE_BYTES &&
          type != v1::ClassDefinition::descriptor()) {
        continue;
      }
      properties[field->name()] = Field(field, input);
      if (!input && (field->is_repeated() || !field->has_presence())) {
        required.push_back(field->name());
      }
    }
    schema["properties"] = std::move(properties);
    if (!required.empty()) schema["required"] = std::move(required);
    schema["additionalProperties"] = false;
    return schema;
  }

  Json Field(const FieldDescriptor* field, bool input) {
    Json schema = Single(field, input);
    if (input && field->is_repeated() &&
        field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      // Vectors one after the other, or lists of their own.
      schema = {{"oneOf", {schema, {{"type", "array"}, {"items", schema}}}}};
    }
    if (field->is_repeated()) {
      schema = {{"type", "array"}, {"items", std::move(schema)}};
    }
    const std::string about = CommentOf(*field);
    if (!about.empty()) schema["description"] = about;
    return schema;
  }

  void Add(const std::string& name, Json schema) {
    all_[name] = std::move(schema);
  }
  Json Take() { return std::move(all_); }

 private:
  Json Single(const FieldDescriptor* field, bool input) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return {{"type", "number"}};
      case FieldDescriptor::CPPTYPE_STRING:
        if (field->type() == FieldDescriptor::TYPE_BYTES) {
          return {{"type", "string"}, {"contentEncoding", "base64"}};
        }
        return {{"type", "string"}};
      case FieldDescriptor::CPPTYPE_ENUM: {
        Json words = Json::array();
        for (int i = 1; i < field->enum_type()->value_count(); ++i) {
          words.push_back(EnumWord(*field->enum_type()->value(i)));
        }
        return {{"type", "string"}, {"enum", std::move(words)}};
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (input && IsClass(field)) {
          return {{"oneOf",
                   {{{"type", "string"}}, Of(field->message_type(), input)}}};
        }
        return Of(field->message_type(), input);
      case FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"minimum", 0}};
      default:
        return {{"type", "integer"}};
    }
  }

  Json BatchItem() {
    return {{"oneOf",
             {{{"type", "object"},
               {"properties",
                {{"answer", Of(v1::ClassifyResponse::descriptor(), false)}}},
               {"required", {"answer"}}},
              Ref("Error")}}};
  }

  Json all_ = Json::object();
};

Json ErrorSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "error": {
        "type": "object",
        "properties": {
          "code": {"type": "integer", "description": "The HTTP code."},
          "status": {"type": "string", "description": "The gRPC code's name."},
          "reason": {"type": "string", "description": "A word for programs, which stays the same."},
          "message": {"type": "string", "description": "What is wrong, for people."},
          "details": {"type": "object", "description": "What it is about; retry_delay: seconds to wait before trying again."}
        },
        "required": ["code", "status", "reason", "message", "details"]
      }
    },
    "required": ["error"]
  })");
}

Json EmbeddingsSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "model": {"type": "string", "description": "The name of the model served."},
      "input": {
        "description": "A text, a data URI of an image, or a list of them.",
        "oneOf": [
          {"type": "string"},
          {"type": "array", "minItems": 1, "items": {"oneOf": [
            {"type": "string"},
            {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": false},
            {"type": "object", "properties": {"image": {"type": "string"}}, "required": ["image"], "additionalProperties": false}
          ]}}
        ]
      },
      "messages": {"type": "array", "description": "One text or image, as vLLM takes it.", "items": {"type": "object"}},
      "encoding_format": {"type": "string", "enum": ["float", "base64"]},
      "dimensions": {"type": "integer", "description": "The length of the model's vectors."},
      "user": {"type": "string", "description": "Not used."}
    },
    "additionalProperties": false
  })");
}

Json EmbeddingsAnswer() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "object": {"type": "string", "enum": ["list"]},
      "data": {"type": "array", "items": {
        "type": "object",
        "properties": {
          "object": {"type": "string", "enum": ["embedding"]},
          "index": {"type": "integer"},
          "embedding": {"description": "A unit vector, or base64 of its little-endian floats.",
                        "oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}
        },
        "required": ["object", "index", "embedding"]
      }},
      "model": {"type": "string"},
      "usage": {"type": "object", "properties": {
        "prompt_tokens": {"type": "integer", "description": "0: tokens are not counted."},
        "total_tokens": {"type": "integer"}
      }}
    },
    "required": ["object", "data", "model", "usage"]
  })");
}

Json OpenAiModelSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "id": {"type": "string"}, "object": {"type": "string", "enum": ["model"]},
      "created": {"type": "integer"}, "owned_by": {"type": "string"}
    },
    "required": ["id", "object", "created", "owned_by"]
  })");
}

Json InferSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "id": {"type": "string", "description": "Comes back in the answer."},
      "model_name": {"type": "string", "description": "As in the path."},
      "model_version": {"type": "string", "description": "As in the path."},
      "parameters": {"type": "object", "description": "Of a weight set: top_k, score_function, min_probability. binary_data_output: whether outputs come as binary data."},
      "inputs": {"type": "array", "items": {
        "type": "object",
        "properties": {
          "name": {"type": "string", "description": "`image`, or `text` of text_encoder."},
          "datatype": {"type": "string", "enum": ["BYTES"]},
          "shape": {"type": "array", "items": {"type": "integer"}, "description": "[n] or [n, 1]."},
          "parameters": {"type": "object", "description": "binary_data_size: bytes of the input behind the JSON."},
          "data": {"type": "array", "description": "Texts; images as base64 or data URIs.", "items": {}}
        },
        "required": ["name", "datatype", "shape"],
        "additionalProperties": false
      }},
      "outputs": {"type": "array", "description": "Those that are wanted; none: all.", "items": {
        "type": "object",
        "properties": {
          "name": {"type": "string"},
          "parameters": {"type": "object", "description": "binary_data: whether it comes as binary data."}
        },
        "required": ["name"],
        "additionalProperties": false
      }}
    },
    "required": ["inputs"],
    "additionalProperties": false
  })");
}

Json InferAnswerSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "id": {"type": "string"},
      "model_name": {"type": "string"},
      "model_version": {"type": "string"},
      "outputs": {"type": "array", "items": {
        "type": "object",
        "properties": {
          "name": {"type": "string"},
          "datatype": {"type": "string", "enum": ["BYTES", "FP32", "INT32", "BOOL"]},
          "shape": {"type": "array", "items": {"type": "integer"}},
          "data": {"type": "array", "description": "The elements, row by row.", "items": {}},
          "parameters": {"type": "object", "description": "binary_data_size: bytes of the output behind the JSON."}
        },
        "required": ["name", "datatype", "shape"]
      }}
    },
    "required": ["model_name", "model_version", "outputs"]
  })");
}

Json ModelConfigSchema() {
  return Json::parse(R"({
    "type": "object",
    "properties": {
      "name": {"type": "string"},
      "platform": {"type": "string"},
      "backend": {"type": "string"},
      "max_batch_size": {"type": "integer", "description": "Images or texts of one call at most."},
      "input": {"type": "array", "items": {"type": "object"}},
      "output": {"type": "array", "items": {"type": "object"}}
    },
    "required": ["name", "platform", "backend", "max_batch_size", "input", "output"]
  })");
}

// {NAME: true}
Json TrueSchema(const char* name) {
  return {{"type", "object"},
          {"properties", {{name, {{"type", "boolean"}}}}},
          {"required", {name}}};
}

// The fields of a request to /v1/classify: those of the call and of a
// classifier in it.
Json ClassifyFields(Schemas* schemas) {
  Json schema =
      schemas->Object(v1::ClassifyBatchRequest::descriptor(), /*input=*/true);
  Json fields = Json::object();
  fields.update(schema["properties"]);
  schema = schemas->Object(v1::BuildClassifierRequest::descriptor(), true);
  fields.update(schema["properties"]);
  return fields;
}

// A field of a form or a query: text.
Json AsText(Json field) {
  const Json about = field.value("description", "");
  if (field.value("type", "") == "array" || field.contains("$ref") ||
      field.contains("oneOf")) {
    field = {{"type", "string"}};
  }
  if (about != "") field["description"] = about;
  return field;
}

Json FormOf(const Json& fields, bool image) {
  Json properties = Json::object();
  if (image) {
    properties["image"] = {
        {"type", "array"},
        {"items", {{"type", "string"}, {"format", "binary"}}},
        {"description", "The image as a file; several of them are a batch."}};
  }
  for (const auto& [name, field] : fields.items()) {
    properties[name] = AsText(field);
  }
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"description",
           "Lists are words between commas, lines, or a JSON list."}};
}

Json Content(const char* type, Json schema) {
  return {{type, {{"schema", std::move(schema)}}}};
}

Json QueryParameters(const Json& fields) {
  Json parameters = Json::array();
  for (const auto& [name, field] : fields.items()) {
    Json schema = AsText(field);
    const Json about = schema.value("description", "");
    schema.erase("description");
    parameters.push_back({{"name", name},
                          {"in", "query"},
                          {"description", about},
                          {"schema", std::move(schema)}});
  }
  return parameters;
}

// What describes one route.
class Operation {
 public:
  Operation(const Route& route, Schemas* schemas) : schemas_(schemas) {
    out_["summary"] = std::string(route.summary);
    for (size_t open = route.path.find('{'); open != route.path.npos;
         open = route.path.find('{', open + 1)) {
      const size_t close = route.path.find('}', open);
      out_["parameters"].push_back(
          {{"name", std::string(route.path.substr(open + 1, close - open - 1))},
           {"in", "path"},
           {"required", true},
           {"schema", {{"type", "string"}}}});
    }
    if (absl::StartsWith(route.path, "/v2")) {
      error_ = "InferenceError";
      why_ = "See `error`.";
    }
    // What HTTP itself may be refused for.
    codes_ = {400, 408, 413, 431};
    if (!route.rpc.empty()) codes_.insert({401, 403, 429, 500, 503, 504});
  }

  void Answers(const char* type, Json schema) {
    answer_.update(Content(type, std::move(schema)));
  }
  void Answers(const Descriptor* type) {
    Answers(kJson, schemas_->Of(type, false));
  }
  void Takes(const char* type, Json schema) {
    body_.update(Content(type, std::move(schema)));
    codes_.insert(415);
  }
  void Query(const Json& fields) {
    for (Json& parameter : QueryParameters(fields)) {
      out_["parameters"].push_back(std::move(parameter));
    }
  }
  // The fields of a message that the path does not name.
  void Query(const Descriptor* type) {
    Json fields = schemas_->Object(type, true)["properties"];
    for (const Json& parameter : out_.value("parameters", Json::array())) {
      fields.erase(parameter["name"].get<std::string>());
    }
    Query(fields);
  }
  void May(int code) { codes_.insert(code); }

  Json Take() {
    if (!body_.empty()) out_["requestBody"] = {{"content", body_}};
    Json responses = {{"200", {{"description", "OK"}}}};
    if (!answer_.empty()) responses["200"]["content"] = answer_;
    for (const int code : codes_) {
      responses[absl::StrCat(code)] = {
          {"description", why_}, {"content", Content(kJson, Ref(error_))}};
    }
    out_["responses"] = std::move(responses);
    return std::move(out_);
  }
  Json& raw() { return out_; }

 private:
  Schemas* const schemas_;
  Json out_ = Json::object();
  std::string error_ = "Error";
  std::string why_ = "See `reason`.";
  Json answer_ = Json::object();
  Json body_ = Json::object();
  std::set<int> codes_;
};

void DescribeClassify(Operation* operation, Schemas* schemas) {
  const Json fields = ClassifyFields(schemas);
  operation->Query(fields);
  operation->Takes(kMultipart, FormOf(fields, /*image=*/true));
  const Json image = {{"type", "string"}, {"format", "binary"}};
  operation->Takes("image/*", image);
  operation->Takes(kBytes, image);
  Json json = Json::object();
  json["image"] = {{"type", "string"},
                   {"description",
                    "The image as base64 or as a data URI. URLs are not "
                    "fetched."}};
  json["images"] = {{"type", "array"}, {"items", {{"type", "string"}}}};
  json.update(fields);
  operation->Takes(kJson, {{"type", "object"},
                           {"properties", std::move(json)},
                           {"additionalProperties", false}});
  operation->Answers(
      kJson, {{"oneOf",
               {schemas->Of(v1::ClassifyResponse::descriptor(), false),
                schemas->Of(v1::ClassifyBatchResponse::descriptor(), false)}}});
  operation->May(404);
  operation->May(409);
}

Json DescribeRoute(const Route& route, Schemas* schemas) {
  Operation operation(route, schemas);
  const Json file = {{"type", "string"}, {"format", "binary"}};
  const Json text = {{"type", "string"}};
  switch (route.kind) {
    case Kind::kClassify:
      DescribeClassify(&operation, schemas);
      break;
    case Kind::kBuild: {
      const Json fields = schemas->Object(
          v1::BuildClassifierRequest::descriptor(), true)["properties"];
      operation.raw()["description"] =
          "With Accept: text/event-stream the answer is a stream of `progress` "
          "events that ends with one `result` or `error`.";
      operation.Query(fields);
      operation.Takes(
          kJson, schemas->Of(v1::BuildClassifierRequest::descriptor(), true));
      operation.Takes(kForm, FormOf(fields, false));
      operation.Takes(kMultipart, FormOf(fields, false));
      operation.Answers(v1::BuildClassifierResponse::descriptor());
      operation.Answers("text/event-stream", text);
      break;
    }
    case Kind::kList:
      operation.Query(v1::ListWeightSetsRequest::descriptor());
      operation.Answers(v1::ListWeightSetsResponse::descriptor());
      break;
    case Kind::kDescribe:
      operation.Query(v1::GetWeightSetRequest::descriptor());
      operation.Answers(v1::GetWeightSetResponse::descriptor());
      operation.May(404);
      break;
    case Kind::kDelete:
      operation.Answers(v1::DeleteWeightSetResponse::descriptor());
      operation.May(404);
      break;
    case Kind::kExport:
      operation.Query(v1::ExportWeightSetRequest::descriptor());
      operation.Answers(kBytes, file);
      operation.May(404);
      break;
    case Kind::kImport: {
      const Json fields = schemas->Object(
          v1::ImportWeightSetHeader::descriptor(), true)["properties"];
      operation.Query(fields);
      operation.Takes(kBytes, file);
      Json form = FormOf(fields, false);
      form["properties"]["file"] = file;
      operation.Takes(kMultipart, std::move(form));
      operation.Answers(v1::ImportWeightSetResponse::descriptor());
      operation.May(409);
      break;
    }
    case Kind::kEmbed:
      operation.Takes(kJson, Ref("EmbeddingsRequest"));
      operation.Answers(kJson, Ref("EmbeddingsResponse"));
      operation.May(404);
      break;
    case Kind::kOpenAiModels:
      operation.Answers(
          kJson,
          {{"type", "object"},
           {"properties",
            {{"object", {{"type", "string"}}},
             {"data", {{"type", "array"}, {"items", Ref("OpenAiModel")}}}}},
           {"required", {"object", "data"}}});
      break;
    case Kind::kOpenAiModel:
      operation.Answers(kJson, Ref("OpenAiModel"));
      operation.May(404);
      break;
    case Kind::kModel:
      operation.Answers(v1::GetModelResponse::descriptor());
      break;
    case Kind::kTemplateSets:
      operation.Answers(v1::ListTemplateSetsResponse::descriptor());
      break;
    case Kind::kClassSets:
      operation.Answers(v1::ListClassSetsResponse::descriptor());
      break;
    case Kind::kClassSet:
      operation.Query(v1::GetClassSetRequest::descriptor());
      operation.Answers(v1::GetClassSetResponse::descriptor());
      operation.May(404);
      break;
    case Kind::kLive:
    case Kind::kReady:
      operation.Answers(kText, text);
      break;
    case Kind::kInferenceLive:
      operation.Answers(kJson, TrueSchema("live"));
      operation.May(503);
      break;
    case Kind::kInferenceReady:
      operation.Answers(kJson, TrueSchema("ready"));
      operation.May(503);
      break;
    case Kind::kInferenceServer:
      operation.Answers(inference::ServerMetadataResponse::descriptor());
      break;
    case Kind::kInferenceIndex:
      operation.Takes(
          kJson,
          schemas->Of(inference::RepositoryIndexRequest::descriptor(), true));
      operation.Answers(
          kJson,
          {{"type", "array"},
           {"items",
            schemas->Of(
                inference::RepositoryIndexResponse::ModelIndex::descriptor(),
                false)}});
      break;
    case Kind::kInferenceModel:
      operation.Answers(inference::ModelMetadataResponse::descriptor());
      operation.May(404);
      break;
    case Kind::kInferenceModelReady:
      operation.Answers(kJson, TrueSchema("ready"));
      operation.May(404);
      break;
    case Kind::kInferenceConfig:
      operation.Answers(kJson, Ref("ModelConfig"));
      operation.May(404);
      break;
    case Kind::kInfer:
      operation.raw()["description"] =
          "With Inference-Header-Content-Length: N the first N bytes of the "
          "body are the JSON, and tensors as binary data are behind it; with "
          "0 the body is the one image or text itself.";
      operation.Takes(kJson, Ref("InferRequest"));
      operation.Takes(kBytes, file);
      operation.Answers(kJson, Ref("InferAnswer"));
      operation.Answers(kBytes, file);
      operation.May(404);
      operation.May(409);
      break;
    case Kind::kMetrics:
      operation.Answers(kText, text);
      break;
    case Kind::kOpenApi:
      operation.Answers(kJson, {{"type", "object"}});
      break;
    case Kind::kDocs:
    case Kind::kPage:
      operation.Answers("text/html", text);
      break;
  }
  Json described = operation.Take();
  if (route.kind == Kind::kLive || route.kind == Kind::kReady) {
    described["responses"]["503"] = {{"description", "Why not."},
                                     {"content", Content(kText, text)}};
  }
  return described;
}

}  // namespace

std::string OpenApiJson() {
  Schemas schemas;
  schemas.Add("Error", ErrorSchema());
  schemas.Add("EmbeddingsRequest", EmbeddingsSchema());
  schemas.Add("EmbeddingsResponse", EmbeddingsAnswer());
  schemas.Add("OpenAiModel", OpenAiModelSchema());
  schemas.Add("InferenceError",
              {{"type", "object"},
               {"properties", {{"error", {{"type", "string"}}}}},
               {"required", {"error"}}});
  schemas.Add("InferRequest", InferSchema());
  schemas.Add("InferAnswer", InferAnswerSchema());
  schemas.Add("ModelConfig", ModelConfigSchema());
  Json paths = Json::object();
  for (const Route& route : Routes()) {
    Json described = DescribeRoute(route, &schemas);
    if (!route.rpc.empty()) {
      described["security"] = {Json::object(), {{"token", Json::array()}}};
    }
    paths[std::string(route.path)][absl::AsciiStrToLower(route.method)] =
        std::move(described);
  }
  const Json api = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "zeroshot"},
        {"version", ZEROSHOT_VERSION},
        {"description", kAbout}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", schemas.Take()},
        {"securitySchemes",
         {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
  return api.dump(1);
}

Response OpenApiResponse() {
  static const auto* const text = new std::string(OpenApiJson());
  Response response;
  response.body = *text;
  response.headers.emplace_back("Cache-Control", "no-cache");
  return response;
}

}  // namespace zeroshot::server::http
