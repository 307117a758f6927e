#include "tests/e2e/balancers.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <signal.h>

#include <fstream>
#include <regex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/certificates.h"

namespace e2e {
namespace {

std::string NewFile(const std::string& name, const std::string& text) {
  const std::string file =
      absl::StrCat(testing_certificates::NewFolder(), "/", name);
  std::ofstream(file) << text;
  return file;
}

// As in docs/rollouts.md. A reply of haproxy's own must be one of gRPC's, in
// headers alone: only such a one is tried again by clients.
constexpr char kHaproxy[] = R"(defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  http-error status 502 hdr grpc-status 14
  http-error status 503 hdr grpc-status 14
  http-error status 504 hdr grpc-status 14
listen zeroshot
  bind 127.0.0.1:PORT proto h2
  balance roundrobin
  option httpchk
  http-check connect proto h1
  http-check send meth GET uri /readyz
  default-server proto h2 check inter 100ms fall 1 rise 1
  server a HOST_A:PORT_A port STATUS_A
  server b HOST_B:PORT_B port STATUS_B
)";

constexpr char kEnvoy[] = R"(
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: zeroshot
          codec_type: HTTP2
          stream_idle_timeout: 0s
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: zeroshot
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route:
                  cluster: zeroshot
                  timeout: 0s
                  retry_policy:
                    retry_on: connect-failure,refused-stream,reset,unavailable
                    num_retries: 3
  clusters:
  - name: zeroshot
    type: STATIC
    connect_timeout: 2s
    lb_policy: ROUND_ROBIN
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    health_checks:
    - timeout: 1s
      interval: 0.2s
      no_traffic_interval: 0.2s
      unhealthy_threshold: 1
      healthy_threshold: 1
      grpc_health_check: {service_name: zeroshot.v1.ZeroShot}
    load_assignment:
      cluster_name: zeroshot
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: HOST_A, port_value: PORT_A}}}
        - endpoint: {address: {socket_address: {address: HOST_B, port_value: PORT_B}}}
)";

std::string Filled(const char* text, int port, const Replica& a,
                   const Replica& b) {
  return absl::StrReplaceAll(text, {{"PORT_A", absl::StrCat(a.port)},
                                    {"PORT_B", absl::StrCat(b.port)},
                                    {"STATUS_A", absl::StrCat(a.status_port)},
                                    {"STATUS_B", absl::StrCat(b.status_port)},
                                    {"HOST_A", a.host},
                                    {"HOST_B", b.host},
                                    {"PORT", absl::StrCat(port)}});
}

// A name with several addresses, as a headless Service gives.
std::string Lines(const std::vector<std::string>& hosts) {
  std::string lines;
  for (const std::string& host : hosts) {
    absl::StrAppend(&lines, host, " zeroshot.test\n");
  }
  return lines;
}

}  // namespace

void Replica::Start() {
  std::vector<std::string> flags = more_flags;
  // One thread: two servers share this machine, and threads that wait for one
  // another there are slow.
  flags.insert(flags.end(),
               {"--threads=1", absl::StrCat("--listen=", host, ":", port),
                absl::StrCat("--metrics_listen=", host, ":", status_port),
                "--drain_grace=1s"});
  server = std::make_unique<DemoServer>(flags);
  ASSERT_NE(server->address(), "") << server->process().Errors();
}

void Replica::Stop() {
  server->process().Signal(SIGTERM);
  EXPECT_EQ(server->process().Wait(), 0) << server->process().Errors();
}

int64_t Replica::EmbedImagesCalls() {
  const auto page = httplib::Client(host, status_port).Get("/metrics");
  std::smatch found;
  const std::regex line(
      R"re(zeroshot_calls_total\{(?:method="EmbedImages",code="OK"|code="OK",method="EmbedImages")\} (\d+))re");
  if (!page || !std::regex_search(page->body, found, line)) return 0;
  return std::stoll(found[1]);
}

std::string ProgramOf(Balancer balancer) {
  const std::string program =
      balancer == Balancer::kHaproxy ? "/usr/sbin/haproxy"
      : balancer == Balancer::kEnvoy ? ZEROSHOT_SOURCE_DIR
          "/.cache/envoy-1.40.0/envoy"
                                     : "/usr/sbin/dnsmasq";
  return access(program.c_str(), X_OK) == 0 ? program : "";
}

Running Start(Balancer balancer, const Replica& a, const Replica& b) {
  const std::string program = ProgramOf(balancer);
  const int port = testing::FreePort();
  Running running{nullptr, absl::StrCat("127.0.0.1:", port), ""};
  std::vector<std::string> command;
  switch (balancer) {
    case Balancer::kHaproxy:
      command = {program, "-db", "-f",
                 NewFile("haproxy.cfg", Filled(kHaproxy, port, a, b))};
      break;
    case Balancer::kEnvoy:
      command = {
          program,       "--concurrency",
          "1",           "--use-dynamic-base-id",
          "-c",          NewFile("envoy.yaml", Filled(kEnvoy, port, a, b)),
          "--log-level", "warning"};
      break;
    case Balancer::kDns:
      running.hosts_file = NewFile("hosts", Lines({a.host, b.host}));
      running.target =
          absl::StrCat("dns://127.0.0.1:", port, "/zeroshot.test:", a.port);
      command = {program,
                 "--keep-in-foreground",
                 "--no-resolv",
                 "--no-hosts",
                 "--conf-file=/dev/null",
                 "--pid-file=",
                 "--bind-interfaces",
                 "--listen-address=127.0.0.1",
                 absl::StrCat("--port=", port),
                 absl::StrCat("--user=", geteuid() == 0 ? "root" : ""),
                 absl::StrCat("--addn-hosts=", running.hosts_file)};
  }
  running.process = std::make_unique<Process>(command);
  return running;
}

void SetAddresses(const Running& dns, const std::vector<std::string>& hosts) {
  std::ofstream(dns.hosts_file) << Lines(hosts);
  dns.process->Signal(SIGHUP);
}

}  // namespace e2e
